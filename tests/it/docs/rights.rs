//! The table of `docs/permissions.md`: each call as nobody, as a user without a role, and as root, on every version.

use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, ConnectOptions, Error, GetOptions,
};
use etcdtop::lab::Spec;

use super::page;
use crate::support::cluster::TestCluster;

const VERSIONS: [&str; 4] = ["3.4", "3.5", "3.6", "3.7"];

/// Whether etcd let somebody.
fn let_in<T>(answer: Result<T, Error>) -> bool {
    match answer {
        Ok(_) => true,
        Err(e) => {
            let words = e.to_string();
            let refused = words.contains("permission denied") || words.contains("user name is empty");
            // Anything else is an answer to somebody who may ask.
            assert!(
                refused || words.contains("bad leader transferee") || words.contains("compacted"),
                "{words}"
            );
            !refused
        }
    }
}

struct Somebody {
    client: Client,
    /// The member, for its alarms.
    member: u64,
}

impl Somebody {
    async fn called(endpoint: &str, user: Option<(&str, &str)>, member: u64) -> Self {
        let mut options = ConnectOptions::new().with_timeout(Duration::from_secs(10));
        if let Some((name, password)) = user {
            options = options.with_user(name, password);
        }
        Self { client: Client::connect([endpoint], Some(options)).await.unwrap(), member }
    }

    /// Whether this one may make a call of the table.
    async fn may(&mut self, call: &str, revision: i64) -> bool {
        let client = &mut self.client;
        match call {
            "Status" => let_in(client.status().await),
            "MemberList" => let_in(client.member_list().await),
            "Alarm, list" => let_in(client.alarm(AlarmAction::Get, AlarmType::None, None).await),
            // A key that only roles may read: that etcd says so is an answer, but not to nobody.
            "Range" => match client.get("a", Some(GetOptions::new())).await {
                Ok(_) => true,
                Err(e) => e.to_string().contains("permission denied"),
            },
            "HashKV" => let_in(client.hash_kv(0).await),
            "Snapshot" => match client.snapshot().await {
                Ok(mut stream) => let_in(stream.message().await),
                refused => let_in(refused),
            },
            "Defragment" => let_in(client.defragment().await),
            "Compact" => let_in(client.compact(revision, Some(CompactionOptions::new())).await),
            // To nobody: who may ask is told that there is no such member.
            "MoveLeader" => let_in(client.maintenance_client().move_leader(1).await),
            "Alarm, disarm" => {
                let mut options = AlarmOptions::new();
                options.with_member(self.member);
                let_in(client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options)).await)
            }
            "Put, Delete" => let_in(client.put("etcdtop/proof", "x", None).await),
            _ => panic!("{call} is no call of this test"),
        }
    }
}

/// The rows of the table: the call, and who may on each version.
fn table() -> Vec<(String, Vec<String>)> {
    let text = page("permissions.md");
    let at = text.find("| call |").unwrap();
    let rows = text[at..].lines().take_while(|l| l.starts_with('|')).skip(2);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
        (cells[0].clone(), cells[2..].to_vec())
    })
    .collect()
}

async fn prepared(version: &str) -> TestCluster {
    let spec = Spec { members: 1, version: Some(version.into()), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    for i in 0..12 {
        cluster.etcdctl(&["put", "a", &i.to_string()]);
    }
    for args in
        [&["user", "add", "root:s3cret"][..], &["user", "add", "guest:guest"], &["role", "add", "root"]]
    {
        // Later versions have that role from the start of a user.
        let _ = cluster.try_etcdctl(args);
    }
    for args in [
        &["user", "grant-role", "root", "root"][..],
        &["user", "add", "writer:writes"],
        &["role", "add", "proof"],
        &["role", "grant-permission", "proof", "--prefix=true", "readwrite", "etcdtop/"],
        &["user", "grant-role", "writer", "proof"],
        &["auth", "enable"],
    ] {
        cluster.etcdctl(args);
    }
    cluster
}

async fn compared(version: &'static str) -> usize {
    let cluster = prepared(version).await;
    let endpoint = cluster.endpoints()[0].raw().to_owned();
    let mut root = Somebody::called(&endpoint, Some(("root", "s3cret")), 0).await;
    root.member = root.client.status().await.unwrap().header().unwrap().member_id();
    let mut nobody = Somebody::called(&endpoint, None, root.member).await;
    let mut guest = Somebody::called(&endpoint, Some(("guest", "guest")), root.member).await;
    let mut writer = Somebody::called(&endpoint, Some(("writer", "writes")), root.member).await;
    let column = VERSIONS.iter().position(|v| *v == version).unwrap();
    let mut looked = 0;
    for (call, who) in table() {
        let told = who[column].as_str();
        if call == "`/metrics`" {
            let output = crate::cli::run_blocking(&[
                "diagnose",
                "--for",
                "4s",
                "-o",
                "json",
                "--user",
                "guest:guest",
                "--endpoints",
                &endpoint,
            ])
            .await;
            assert_eq!(crate::cli::json(&output)["measured"], true, "{version}: {}", output.all());
            assert_eq!(told, "anybody");
            continue;
        }
        // Each asks for a floor of its own: one that is there already is refused to everybody.
        let mut rights = Vec::new();
        for (i, somebody) in (2..).zip([&mut nobody, &mut guest, &mut root]) {
            if call == "Alarm, disarm" {
                raise(&mut root_again(&endpoint).await, somebody.member).await;
            }
            rights.push(somebody.may(&call, i).await);
        }
        let really = match rights.as_slice() {
            [true, true, true] => "anybody",
            [false, true, true] => "any user",
            [false, false, true] if writer.may(&call, 6).await => "its role",
            [false, false, true] => "root",
            _ => panic!("{version} {call}: {rights:?}"),
        };
        assert_eq!(told, really, "{call} on {version}: docs/permissions.md beside the cluster");
        looked += 1;
    }
    looked
}

async fn root_again(endpoint: &str) -> Client {
    Somebody::called(endpoint, Some(("root", "s3cret")), 0).await.client
}

async fn raise(root: &mut Client, member: u64) {
    let mut options = AlarmOptions::new();
    options.with_member(member);
    root.alarm(AlarmAction::Activate, AlarmType::Nospace, Some(options)).await.unwrap();
}

/// Each in a test of its own: one that fails must give its cluster's place back.
async fn as_the_page_says(version: &'static str) {
    let looked = Box::pin(compared(version)).await;
    assert!(looked >= 11, "{looked} rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_what_on_3_4() {
    Box::pin(as_the_page_says("3.4")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_what_on_3_5() {
    Box::pin(as_the_page_says("3.5")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_what_on_3_6() {
    Box::pin(as_the_page_says("3.6")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_call_what_on_3_7() {
    Box::pin(as_the_page_says("3.7")).await;
}
