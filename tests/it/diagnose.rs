//! `etcdtop diagnose`: for people, for monitoring, for tickets; and what the dashboard shows of the same.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use etcdtop::lab::Spec;
use serde_json::Value;

use crate::cli::{json, run, run_blocking, run_with};
use crate::support::clean_environment;
use crate::support::cluster::{TestCluster, program};
use crate::support::pty::Pty;

#[tokio::test(flavor = "multi_thread")]
async fn one_look_for_people_and_for_machines() {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some("3.4".into()), ..Spec::default() }).await;
    let endpoints = cluster.endpoints_text();
    let told = run_blocking(&["diagnose", "--endpoints", &endpoints, "--for", "1s", "--explain"]).await;
    assert_eq!(told.code, 0, "notes are no warning: {}", told.all());
    for words in [
        "HEALTHY\n",
        "note      one voter: the cluster can lose none\n",
        "next: plan an upgrade",
        "name: version_unsupported",
    ] {
        assert!(told.out.contains(words), "{words}: {}", told.out);
    }
    let diagnosis =
        json(&run_blocking(&["diagnose", "--endpoints", &endpoints, "--for", "1s", "-o", "json"]).await);
    assert_eq!(
        (&diagnosis["verdict"], &diagnosis["severity"]),
        (&"healthy".into(), &"note".into()),
        "{diagnosis}"
    );
    for finding in diagnosis["findings"].as_array().unwrap() {
        for field in ["name", "severity", "line", "meaning", "next"] {
            assert!(finding[field].is_string(), "{field}: {finding}");
        }
        assert!(finding["evidence"].is_array() && finding.get("member_id").is_some(), "{finding}");
    }
}

#[test]
fn wrong_usage_is_unknown_to_a_monitoring_system() {
    for args in [
        &["diagnose", "--no-such-flag"][..],
        &["health", "--no-such-flag"],
        &["diagnose", "--for", "soon"],
        &["diagnose", "--for", "99999h"],
    ] {
        let told = run(args);
        assert_eq!(told.code, 3, "{}", told.all());
    }
    assert_eq!(run(&["status", "--no-such-flag"]).code, 2);
    assert_eq!(run(&["diagnose", "--help"]).code, 0);
}

/// A program that ends with the test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_tells_what_comes_and_what_is_over() {
    let cluster = TestCluster::of("3.6").await;
    let mut command = Command::new(program());
    for (name, value) in clean_environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let endpoints = cluster.endpoints_text();
    let mut watching = Killed(
        command
            .args(["diagnose", "--watch", "-o", "jsonl", "--endpoints", &endpoints])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    let (tell, told) = std::sync::mpsc::channel::<Value>();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = tell.send(serde_json::from_str(&line).unwrap());
        }
    });
    let until = |event: &str, name: &str, member: Option<&str>| loop {
        let change = told.recv_timeout(crate::support::PATIENCE).unwrap();
        let finding = &change["finding"];
        if change["event"] == event && finding["name"] == name && finding["member"].as_str() == member {
            return change;
        }
    };
    // What is there from the start is told, too: that nothing was ever saved.
    until("found", "no_backup", None);
    cluster.stop(2).unwrap();
    // If it led, another may have no leader for a moment, and be found first.
    let found = until("found", "member_not_serving", Some("m3"));
    assert_eq!(found["finding"]["severity"], "critical");
    cluster.cont(2).unwrap();
    until("over", "member_not_serving", Some("m3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_holds_the_evidence_and_on_wish_no_names() {
    let cluster = TestCluster::of("3.7").await;
    cluster.etcdctl(&["user", "add", "root:s3cr3t-word"]);
    cluster.etcdctl(&["user", "grant-role", "root", "root"]);
    cluster.etcdctl(&["auth", "enable"]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let endpoints = cluster.endpoints_text();
    let text = format!(
        "version = 1\n[contexts.bigcorp-prod]\nendpoints = {:?}\nsnapshot_dir = \"/srv/bigcorp\"\nuser = \"root\"\n",
        endpoints.split(',').collect::<Vec<_>>()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let bundle = |name: &str, more: &'static [&'static str]| {
        let (config, file) = (config.clone(), file(name));
        tokio::task::spawn_blocking(move || {
            let mut args =
                vec!["diagnose", "--config", &config, "--context", "bigcorp-prod", "--bundle", &file];
            args.extend(more);
            run_with(&args, &[("ETCDTOP_PASSWORD", "s3cr3t-word")])
        })
    };
    let told = bundle("open.json", &[]).await.unwrap();
    assert_eq!(told.code, 0, "{}", told.all());
    let open = std::fs::read_to_string(file("open.json")).unwrap();
    let evidence: Value = serde_json::from_str(&open).unwrap();
    assert!(!open.contains("s3cr3t-word"), "{open}");
    assert!(open.contains("bigcorp-prod") && open.contains("127.0.0.1"));
    assert_eq!(evidence["diagnosis"]["verdict"], "healthy");
    assert_eq!(evidence["metrics"].as_array().unwrap().len(), 3);
    assert!(evidence["metrics"][0]["sample"]["quota"].is_u64(), "{evidence}");
    let buckets = evidence["metrics"][0]["sample"]["wal_fsync"]["buckets"].as_array().unwrap();
    assert_eq!(buckets.last().unwrap()[0], "+Inf", "{buckets:?}");

    let told = bundle("hidden.json", &["--anonymise"]).await.unwrap();
    assert_eq!(told.code, 0, "{}", told.all());
    let hidden = std::fs::read_to_string(file("hidden.json")).unwrap();
    let id = evidence["status"]["members"][0]["id"].as_str().unwrap();
    let cluster_id = evidence["status"]["cluster_id"].as_str().unwrap();
    for secret in ["s3cr3t-word", "bigcorp", "127.0.0.1", "/srv", "\"m1\"", "m2:", id, cluster_id] {
        assert!(!hidden.contains(secret), "{secret} is in the bundle: {hidden}");
    }
    let evidence: Value = serde_json::from_str(&hidden).unwrap();
    assert_eq!(evidence["status"]["members"][0]["name"], "member-1", "{hidden}");
    // Nothing is overwritten, and that is said before anybody is asked.
    let again = bundle("open.json", &[]).await.unwrap();
    assert!(again.code == 3 && again.err.contains("not overwritten"), "{}", again.all());
    assert_eq!(std::fs::read_to_string(file("open.json")).unwrap(), open);
    assert_eq!(std::fs::metadata(file("open.json")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_latencies_and_compares_data() {
    let cluster = TestCluster::of("3.5").await;
    let _load = etcdtop::lab::Load::start(&cluster, etcdtop::lab::LoadKind::Kubernetes);
    let endpoints = cluster.endpoints_text();
    tokio::task::spawn_blocking(move || {
        let mut p = Pty::etcdtop(120, 40, &["--endpoints", &endpoints]);
        p.wait("HEALTHY");
        p.keys("8");
        p.wait_until("a latency", |s| {
            s.lines().any(|l| l.contains("fsync") && l.contains(" ms") && !l.contains("grep"))
        });
        p.keys("e");
        p.wait("wal_fsync_duration_seconds");
        p.keys("\u{1b}");
        p.wait("P99 5MIN");
        p.keys("H");
        p.wait("3 members hold the same data at revision");
        p.keys("7");
        p.wait("3 members hold the same data at revision");
        p.keys("q");
        assert!(p.exit().success());
    })
    .await
    .unwrap();
}
