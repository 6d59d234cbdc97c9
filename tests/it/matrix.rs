//! etcd 3.4, 3.5, 3.6 and 3.7, each compared with its own etcdctl; TLS and authentication.

use std::time::Duration;

use etcdtop::etcd::{Access, Credentials, TlsFiles};
use etcdtop::lab::Spec;
use etcdtop::model::{MemberState, VerdictKind};
use serde_json::Value;

use crate::cli::{json, run};
use crate::support::certs::Certs;
use crate::support::cluster::TestCluster;
use crate::support::watch::Watch;

/// `endpoint status` of etcdctl and ours, at a moment at which the cluster stood still in between.
async fn agrees(version: &str) {
    let cluster = TestCluster::of(version).await;
    assert!(cluster.binaries().is(version), "{}", cluster.binaries().version);
    cluster.etcdctl(&["put", "/a", "b"]);
    let endpoints = cluster.endpoints_text();
    let (theirs, ours) = crate::support::wait_for("a moment without change", || {
        let before: Value =
            serde_json::from_str(&cluster.etcdctl(&["endpoint", "status", "-w", "json"])).unwrap();
        let ours = json(&run(&["status", "--endpoints", &endpoints, "-o", "json"]));
        let after: Value =
            serde_json::from_str(&cluster.etcdctl(&["endpoint", "status", "-w", "json"])).unwrap();
        (before == after).then_some((before, ours))
    });
    assert_eq!(ours["verdict"], "healthy", "{ours}");
    assert_eq!(
        (&ours["members_total"], &ours["members_ok"], &ours["can_lose"]),
        (&3.into(), &3.into(), &1.into())
    );
    for member in ours["members"].as_array().unwrap() {
        let endpoint = &member["endpoint"];
        let theirs = theirs.as_array().unwrap().iter().find(|t| &t["Endpoint"] == endpoint).unwrap();
        let s = &theirs["Status"];
        let hex = |v: &Value| Value::from(format!("{:x}", v.as_u64().unwrap()));
        let mut pairs = vec![
            (member["id"].clone(), hex(&s["header"]["member_id"]), "id"),
            (ours["cluster_id"].clone(), hex(&s["header"]["cluster_id"]), "cluster_id"),
            (ours["leader_id"].clone(), hex(&s["leader"]), "leader_id"),
            (ours["revision"].clone(), s["header"]["revision"].clone(), "revision"),
            (member["version"].clone(), s["version"].clone(), "version"),
            (member["db_size"].clone(), s["dbSize"].clone(), "db_size"),
            (member["db_size_in_use"].clone(), s["dbSizeInUse"].clone(), "db_size_in_use"),
            (member["raft_term"].clone(), s["raftTerm"].clone(), "raft_term"),
            (member["raft_index"].clone(), s["raftIndex"].clone(), "raft_index"),
            (member["raft_applied_index"].clone(), s["raftAppliedIndex"].clone(), "raft_applied_index"),
        ];
        // 3.6 and later tell the quota and the storage version; before, the quota is a metric: etcd's default.
        if let Some(quota) = s.get("dbSizeQuota") {
            pairs.push((member["db_quota"].clone(), quota.clone(), "db_quota"));
        } else {
            pairs.push((member["db_quota"].clone(), (2_u64 << 30).into(), "db_quota"));
        }
        let storage = s.get("storageVersion").cloned().unwrap_or(Value::Null);
        pairs.push((member["storage_version"].clone(), storage, "storage_version"));
        for (ours, theirs, field) in pairs {
            assert_eq!(ours, theirs, "{field} of {endpoint}");
        }
        let is_leader = member["id"] == ours["leader_id"];
        assert_eq!(member["role"], if is_leader { "leader" } else { "follower" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_4_agrees_with_etcdctl() {
    agrees("3.4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_5_agrees_with_etcdctl() {
    agrees("3.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_6_agrees_with_etcdctl() {
    agrees("3.6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_7_agrees_with_etcdctl() {
    agrees("3.7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_works_and_each_way_it_fails_is_told_apart() {
    let certs = Certs::new();
    let (tls, server) = certs.both_ways();
    let spec = Spec { members: 1, version: Some("3.6".into()), tls: Some(tls), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let endpoint = cluster.endpoints_text();
    let path = |p: &std::path::Path| p.display().to_string();
    let (ca, cert, key) = (path(&certs.ca()), path(&server.cert), path(&server.key));
    let status = |args: &[&str]| {
        let mut all = vec!["status", "-o", "json", "--endpoints"];
        all.extend_from_slice(args);
        json(&run(&all))["members"][0].clone()
    };
    let good = status(&[&endpoint, "--cacert", &ca, "--cert", &cert, "--key", &key]);
    assert_eq!((&good["state"], &good["name"]), (&"ok".into(), &"m1".into()), "{good}");
    // An endpoint without a scheme means TLS once certificates are given.
    let bare = endpoint.trim_start_matches("https://");
    assert_eq!(status(&[bare, "--cacert", &ca, "--cert", &cert, "--key", &key])["state"], "ok");
    assert_eq!(
        status(&[&endpoint, "--insecure-skip-tls-verify", "--cert", &cert, "--key", &key])["state"],
        "ok"
    );

    let other = Certs::new();
    let wrong_ca = path(&other.ca());
    let stranger = other.issue("stranger", &["x"], 2099);
    let plain = format!("http://{bare}");
    let by_name = endpoint.replace("127.0.0.1", "127.0.0.2");
    for (args, state, words) in [
        (vec![&*endpoint, "--cacert", &wrong_ca, "--cert", &cert, "--key", &key], "tls", "authority"),
        (vec![&*endpoint, "--cacert", &ca], "tls", "client certificate"),
        (
            vec![&*endpoint, "--cacert", &ca, "--cert", &path(&stranger.cert), "--key", &path(&stranger.key)],
            "tls",
            "client certificate",
        ),
        (vec![&*plain], "tls", "speaks TLS"),
        // etcd listens on 127.0.0.1 alone: a port that nobody listens on.
        (vec![&*by_name, "--cacert", &ca], "refused", "nothing listens"),
        (
            vec![&*endpoint, "--cacert", &ca, "--cert", &cert, "--key", &key, "--server-name", "elsewhere"],
            "tls",
            "not for elsewhere",
        ),
    ] {
        let member = status(&args);
        assert_eq!(member["state"], state, "{args:?}: {member}");
        assert!(member["detail"].as_str().unwrap().contains(words), "{args:?}: {member}");
    }
    let mismatch = run(&[
        "status",
        "--endpoints",
        &endpoint,
        "--cacert",
        &ca,
        "--cert",
        &cert,
        "--key",
        &path(&stranger.key),
    ]);
    assert_eq!(mismatch.code, 2);
    assert!(mismatch.err.contains("do not belong together"), "{}", mismatch.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_server_certificate_is_named_with_its_date() {
    let certs = Certs::new();
    let server = certs.issue("server", &["127.0.0.1"], 2021);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    // etcd itself would not come up with it: its own gateway does not trust the certificate either.
    let acceptor = crate::support::certs::acceptor(&server);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let ca = certs.ca().display().to_string();
    let args = ["status", "-o", "json", "--endpoints", &endpoint, "--cacert", &ca].map(str::to_owned);
    let output =
        tokio::task::spawn_blocking(move || run(&args.each_ref().map(String::as_str))).await.unwrap();
    let member = &json(&output)["members"][0];
    assert_eq!(member["state"], "tls", "{member}");
    assert!(member["detail"].as_str().unwrap().contains("expired on 2021-01-01"), "{member}");
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_on_a_plain_port_is_said_to_be_just_that() {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some("3.6".into()), ..Spec::default() }).await;
    let endpoint = cluster.endpoints_text().replace("http://", "https://");
    let member = json(&run(&[
        "status",
        "-o",
        "json",
        "--insecure-skip-tls-verify",
        "--endpoints",
        &endpoint,
    ]))["members"][0]
        .clone();
    assert_eq!(member["state"], "tls", "{member}");
    assert!(member["detail"].as_str().unwrap().contains("plain HTTP"), "{member}");
}

/// What Status wants once authentication is on changed: nothing up to 3.5, a valid token of any user from 3.6 on.
async fn authentication(version: &str, anonymous: &str) {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some(version.into()), ..Spec::default() }).await;
    for args in [
        &["user", "add", "root:s3cret"][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "guest:guest"],
        &["auth", "enable"],
    ] {
        // 3.4 makes the root role when authentication is enabled; later ones have it from the start of a user.
        if args[1] == "grant-role" && version == "3.4" {
            cluster.etcdctl(&["role", "add", "root"]);
        }
        cluster.etcdctl(args);
    }
    let endpoint = cluster.endpoints_text();
    let member = |args: &[&str]| {
        let mut all = vec!["status", "-o", "json", "--endpoints", &endpoint];
        all.extend_from_slice(args);
        let output = run(&all);
        assert!(!output.all().contains("s3cret"), "{}", output.all());
        json(&output)["members"][0].clone()
    };
    assert_eq!(member(&["--user", "root:s3cret"])["state"], "ok");
    assert_eq!(member(&["--user", "guest:guest"])["state"], "ok");
    let m = member(&[]);
    assert_eq!(m["state"], anonymous, "{m}");
    if anonymous == "auth" {
        assert!(m["detail"].as_str().unwrap().contains("--user"), "{m}");
    }
    let m = member(&["--user", "root:wrong"]);
    assert_eq!(m["state"], "auth", "{m}");
    assert!(m["detail"].as_str().unwrap().contains("password is wrong"), "{m}");
    // The poll keeps its token, and the member list (which needs one from 3.6 on).
    let access = Access {
        user: Some(Credentials { name: "root".into(), password: "s3cret".into() }),
        tls: TlsFiles::default(),
        ..Access::default()
    };
    let watch = Watch::start(&access, &cluster.endpoints());
    watch.until_verdict(VerdictKind::Healthy).await;
    watch.until_state("m1", MemberState::Ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_on_3_4() {
    authentication("3.4", "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_on_3_6() {
    authentication("3.6", "auth").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_on_3_5() {
    authentication("3.5", "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_on_3_7() {
    authentication("3.7", "auth").await;
}

/// What a lab does to its members on purpose, seen from outside: a member that is stopped, goes on, dies and returns.
async fn a_member_comes_and_goes(version: &str) {
    let mut cluster = TestCluster::of(version).await;
    let watch = Watch::start(cluster.access(), &cluster.endpoints());
    watch.until_verdict(VerdictKind::Healthy).await;
    cluster.stop(2).unwrap();
    watch.until_state("m3", MemberState::Hung).await;
    cluster.cont(2).unwrap();
    watch.until_verdict(VerdictKind::Healthy).await;
    let before = cluster.members()[2].pid().unwrap();
    cluster.kill(2);
    assert_eq!(cluster.members()[2].pid(), None, "a killed member has no process");
    let view = watch.until_state("m3", MemberState::Refused).await;
    assert_ne!(view.leader, view.members.iter().find(|m| m.label() == "m3").unwrap().id);
    cluster.restart(2).unwrap();
    watch.until_verdict(VerdictKind::Healthy).await;
    assert_ne!(cluster.members()[2].pid(), Some(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_3_4_comes_and_goes() {
    a_member_comes_and_goes("3.4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_3_5_comes_and_goes() {
    a_member_comes_and_goes("3.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_3_6_comes_and_goes() {
    a_member_comes_and_goes("3.6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_3_7_comes_and_goes() {
    a_member_comes_and_goes("3.7").await;
}

/// Why our own pause between keep-alive pings is never shorter than ten seconds.
async fn pings_too_often_are_cut_off(version: &str) {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some(version.into()), ..Spec::default() }).await;
    let options = |every| {
        etcd_client::ConnectOptions::new()
            .with_keep_alive(every, Duration::from_secs(5))
            .with_keep_alive_while_idle(true)
    };
    // A watch on each connection: an idle one would not be missed.
    let watch = async |every| {
        let mut client =
            etcd_client::Client::connect([cluster.endpoints_text()], Some(options(every))).await.unwrap();
        let mut stream = client.watch("/nothing", None).await.unwrap();
        assert!(stream.message().await.unwrap().unwrap().created());
        (client, stream)
    };
    let (_often, mut cut) = watch(Duration::from_millis(200)).await;
    let (_seldom, mut kept) = watch(Duration::from_secs(10)).await;
    let end = tokio::time::timeout(crate::support::PATIENCE, cut.message()).await;
    let end = end.unwrap_or_else(|_| panic!("etcd {version} did not mind pings every 200 ms"));
    assert!(end.is_err(), "{version}: {end:?}");
    let still_open = tokio::time::timeout(Duration::from_millis(100), kept.message()).await;
    assert!(still_open.is_err(), "{version}: the other connection ended, too: {still_open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_too_often_are_cut_off_by_3_4() {
    Box::pin(pings_too_often_are_cut_off("3.4")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_too_often_are_cut_off_by_3_7() {
    Box::pin(pings_too_often_are_cut_off("3.7")).await;
}
