//! What a real etcd rarely says: absurd numbers, hostile names, ids above 2^63, silence at one RPC.

use etcd_client::proto::{PbMember, PbMemberListResponse, PbStatusResponse};
use etcdtop::etcd::Access;
use etcdtop::model::{Endpoint, MemberId, MemberState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cli::{json, run_blocking};
use crate::support::fake::{Fake, Script, header};
use crate::support::watch::Watch;

const BIG: u64 = 0xfedc_ba98_7654_3210;

fn script() -> Script {
    let status = PbStatusResponse {
        header: Some(header(BIG, BIG - 1)),
        version: "3.6.5".into(),
        leader: BIG,
        raft_index: u64::MAX,
        raft_applied_index: 9,
        raft_term: 2,
        db_size: 4_096,
        db_size_in_use: i64::MAX,
        db_size_quota: 0,
        ..PbStatusResponse::default()
    };
    let member = PbMember { id: BIG, name: "m\u{1b}[2J\u{202e}1".into(), ..PbMember::default() };
    let members = PbMemberListResponse { header: None, members: vec![member] };
    Script { status: Some(Ok(status)), members: Some(Ok(members)), ..Script::default() }
}

fn watch(fake: &Fake) -> Watch {
    Watch::start(&Access::default(), &[Endpoint::parse(&fake.address).unwrap()])
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_numbers_and_hostile_names_do_no_harm() {
    let fake = Fake::start(script()).await;
    let output = run_blocking(&["status", "--endpoints", &fake.address]).await;
    assert_eq!(output.code, 0, "{}", output.all());
    assert!(!output.out.contains('\u{1b}') && !output.out.contains('\u{202e}'), "{:?}", output.out);
    assert!(output.out.contains("m\\x1b[2J\\u{202e}1"), "{}", output.out);
    let ours = json(&run_blocking(&["status", "-o", "json", "--endpoints", &fake.address]).await);
    assert_eq!(ours["members"][0]["id"], "fedcba9876543210");
    assert_eq!(ours["members"][0]["db_quota"], serde_json::Value::Null, "a quota of 0 is not known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_list_that_never_comes_does_not_hide_the_member() {
    let fake = Fake::start(Script { members: None, ..script() }).await;
    let view =
        watch(&fake).until("the member", |v| v.members.iter().any(|m| m.state == MemberState::Ok)).await;
    assert_eq!((view.members[0].id, view.listed()), (Some(MemberId(BIG)), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_never_comes_is_hung() {
    let fake = Fake::start(Script { status: None, ..script() }).await;
    let view = watch(&fake).until("hung", |v| v.members[0].state == MemberState::Hung).await;
    assert!(view.members[0].detail.as_ref().unwrap().raw().starts_with("accepts TCP"), "{view:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_server_are_told_in_words() {
    for (status, state, words) in [
        (tonic::Status::permission_denied("etcdserver: permission denied"), MemberState::Auth, "root role"),
        (tonic::Status::unavailable("etcdserver: no leader"), MemberState::NoLeader, "no leader"),
        (tonic::Status::unimplemented("unknown service"), MemberState::Failing, "not etcd's API v3"),
        (tonic::Status::data_loss("boom \u{1b}[2J"), MemberState::Failing, "boom"),
    ] {
        let fake = Fake::start(Script { status: Some(Err(status)), ..script() }).await;
        let view = watch(&fake).until(words, |v| v.members[0].state == state).await;
        let detail = view.members[0].detail.as_ref().unwrap();
        assert!(detail.raw().contains(words) && !detail.raw().contains('\u{1b}'), "{detail:?}");
    }
}

/// Something that answers every connection with the same bytes.
async fn says(bytes: &'static [u8]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(bytes).await;
                let _ = stream.read(&mut [0; 1024]).await;
            });
        }
    });
    (address, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_etcd_is_said_to_be_none() {
    for (bytes, words) in [
        (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], "HTTP server that is no etcd"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no etcd"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n{\"etcdserver\":\"2.3.8\",\"etcdcluster\":\"2.3.0\"}", "etcd 2.3.8"),
    ] {
        let (address, task) = says(bytes).await;
        let ours = json(&run_blocking(&["status", "-o", "json", "--endpoints", &address]).await);
        let member = &ours["members"][0];
        assert_eq!(member["state"], "failing", "{member}");
        assert!(member["detail"].as_str().unwrap().contains(words), "{member}");
        task.abort();
    }
}

/// A stream that is no snapshot: each way is named, and nothing is left of any.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_no_snapshot_is_refused() {
    let digest = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec();
    let (some, other) = (vec![7_u8; 32 << 10], vec![8_u8; 32 << 10]);
    let cases = [
        (vec![], false, "without its checksum"),
        (vec![some.clone(), other.clone()], false, "without its checksum"),
        (vec![some.clone(), digest(&other)], false, "does not match what the member sent"),
        (vec![some.clone(), digest(&some)], false, "no whole database"),
        (vec![some.clone()], true, "no answer within 30 s"),
    ];
    let running = cases.map(|(snapshot, snapshot_stalls, words)| async move {
        let fake = Fake::start(Script { snapshot, snapshot_stalls, ..script() }).await;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("snapshots");
        let place = format!("{}/", folder.display());
        let (address, state) = (fake.address.clone(), home.path().join("state").display().to_string());
        let output = tokio::task::spawn_blocking(move || {
            let args = ["snapshot", "save", &place, "--endpoints", &address];
            crate::cli::run_with(&args, &[("XDG_STATE_HOME", &state)])
        });
        let output = output.await.unwrap();
        assert!(output.code == 1 && output.err.contains(words), "{words}: {}", output.all());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{words}");
    });
    futures_util::future::join_all(running).await;
}
