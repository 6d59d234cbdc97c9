//! Broken worlds, made with real processes and a proxy: the verdict must be right in each.

use std::sync::Arc;

use etcdtop::etcd::Access;
use etcdtop::lab::Spec;
use etcdtop::model::verdict::judge;
use etcdtop::model::{AlarmKind, Bytes, Endpoint, MemberState, Role, VerdictKind};

use crate::cli::{json, run, run_blocking};
use crate::support::cluster::TestCluster;
use crate::support::learner::Learner;
use crate::support::proxy::{Fault, Proxy, free_port};
use crate::support::watch::Watch;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_member_is_hung_and_comes_back() {
    let cluster = TestCluster::of("3.6").await;
    let watch = Watch::start(cluster.access(), &cluster.endpoints());
    watch.until_verdict(VerdictKind::Healthy).await;
    cluster.stop(1).unwrap();
    watch.until_state("m2", MemberState::Hung).await;
    // If it was the leader the others elect one first.
    let view = watch.until_verdict(VerdictKind::Degraded).await;
    let verdict = judge(&view, &[]);
    assert_eq!(view.can_lose(), Some(0), "{verdict:?}");
    assert!(verdict.reason.contains("m2 hung: accepts TCP, no answer for"), "{}", verdict.reason);
    let m2 = view.members.iter().find(|m| m.label() == "m2").unwrap();
    assert!(m2.status.is_some() && m2.latency.is_none(), "its last figures are kept, its ping is not");
    cluster.cont(1).unwrap();
    watch.until_verdict(VerdictKind::Healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_killed_is_quorum_lost_and_heals() {
    let mut cluster = TestCluster::of("3.5").await;
    // Only one endpoint is typed; the others come from the member list.
    let typed = [cluster.endpoints()[0].clone()];
    let watch = Watch::start(cluster.access(), &typed);
    watch.until_verdict(VerdictKind::Healthy).await;
    cluster.kill(1);
    cluster.kill(2);
    let view = watch.until_verdict(VerdictKind::QuorumLost).await;
    let verdict = judge(&view, &[]);
    assert_eq!(verdict.headline, "QUORUM LOST 1/3");
    assert!(
        verdict.reason.contains("m2 refused") && verdict.reason.contains("m3 refused"),
        "{}",
        verdict.reason
    );
    cluster.restart(1).unwrap();
    cluster.restart(2).unwrap();
    let view = watch.until_verdict(VerdictKind::Healthy).await;
    assert_eq!(view.healthy_voters(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_leader_is_replaced_and_the_term_grows() {
    let mut cluster = TestCluster::of("3.7").await;
    let watch = Watch::start(cluster.access(), &cluster.endpoints());
    let view = watch.until_verdict(VerdictKind::Healthy).await;
    let leader = view.leader_view().unwrap().label();
    let index = cluster.members().iter().position(|m| m.name == leader).unwrap();
    cluster.kill(index);
    let term = view.term;
    let view = watch
        .until("another leader", |v| v.leader_view().is_some_and(|m| m.label() != leader) && v.term > term)
        .await;
    assert_eq!(judge(&view, &[]).kind, VerdictKind::Degraded);
}

/// A quota that is passed: on 3.5 the quota is known from `/metrics` alone, on 3.7 from Status.
async fn no_space(version: &str) {
    let quota = Bytes(16 << 20);
    let spec = Spec { version: Some(version.into()), quota: Some(quota), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let watch = Watch::start(cluster.access(), &cluster.endpoints());
    watch
        .until("the quota", |v| {
            v.members.len() == 3 && v.members.iter().all(|m| m.quota().map(|q| q.0) == Some(quota))
        })
        .await;
    let value = "x".repeat(1 << 20);
    for i in 0..64 {
        let key = format!("/fill/{i}");
        let output = std::process::Command::new(&cluster.binaries().etcdctl)
            .args(["--endpoints", &cluster.endpoints_text(), "put", &key])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .and_then(|mut child| {
                use std::io::Write;
                child.stdin.take().unwrap().write_all(value.as_bytes())?;
                child.wait_with_output()
            })
            .unwrap();
        if String::from_utf8_lossy(&output.stderr).contains("database space exceeded") {
            break;
        }
    }
    let view = watch.until_verdict(VerdictKind::ReadOnly).await;
    assert_eq!(judge(&view, &[]).headline, "READ-ONLY (NOSPACE)");
    let alarm = view.alarms.iter().find(|a| a.kind == AlarmKind::NoSpace).unwrap();
    let raiser = view.member(alarm.member).unwrap();
    assert!(judge(&view, &[]).reason.contains(&raiser.label()), "{}", judge(&view, &[]).reason);
    assert!(raiser.status.as_ref().unwrap().db_size.unwrap() >= Bytes(12 << 20));
    // The same from the command line, as etcdctl has it.
    let ours = json(&run(&["status", "-o", "json", "--endpoints", &cluster.endpoints_text()]));
    assert_eq!(ours["verdict"], "read_only", "{ours}");
    let alarms = cluster.etcdctl(&["alarm", "list"]);
    assert!(alarms.contains(&alarm.member.0.to_string()), "{alarms}");
    assert_eq!(run(&["health", "--endpoints", &cluster.endpoints_text()]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_space_on_3_5() {
    no_space("3.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_space_on_3_7() {
    no_space("3.7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_tunnel_the_typed_endpoints_stand() {
    let cluster = TestCluster::of("3.6").await;
    let mut proxies = Vec::new();
    for member in cluster.members() {
        proxies.push(Proxy::to(member.client.raw().trim_start_matches("http://").to_owned()).await);
    }
    let typed: Vec<_> = proxies.iter().map(|p| Endpoint::parse(&p.address).unwrap()).collect();
    let watch = Watch::start(&Access::default(), &typed);
    let view = watch.until_verdict(VerdictKind::Healthy).await;
    assert_eq!(view.members.len(), 3, "no second row for the advertised urls");
    for m in &view.members {
        assert!(typed.contains(m.endpoint.as_ref().unwrap()), "{m:?}");
    }
    // The tunnel to one member goes silent: the advertised url serves, where it can be reached.
    proxies[0].set(Fault::Blackhole);
    let is_advertised = |e: Option<&Endpoint>| e.is_some_and(|e| !typed.contains(e));
    watch
        .until("the advertised url", |v| {
            v.members.iter().any(|m| m.state == MemberState::Ok && is_advertised(m.endpoint.as_ref()))
        })
        .await;
    proxies[0].set(Fault::Pass);
    watch
        .until("the typed endpoint again", |v| v.members.iter().all(|m| !is_advertised(m.endpoint.as_ref())))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_member_is_slow_and_not_down() {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some("3.6".into()), ..Spec::default() }).await;
    let proxy = Proxy::to(cluster.members()[0].client.raw().trim_start_matches("http://").to_owned()).await;
    let watch = Watch::start(&Access::default(), &[Endpoint::parse(&proxy.address).unwrap()]);
    watch.until_state("m1", MemberState::Ok).await;
    proxy.set(Fault::Delay(std::time::Duration::from_millis(400)));
    let view = watch.until_state("m1", MemberState::Slow).await;
    let m1 = view.members.iter().find(|m| m.label() == "m1").unwrap();
    assert!(m1.detail.as_ref().unwrap().raw().starts_with("Status took"), "{m1:?}");
    proxy.set(Fault::Pass);
    watch.until_state("m1", MemberState::Ok).await;
    proxy.set(Fault::Cut);
    // The way in is cut; the member itself is well, and its advertised url shows it.
    let advertised = &cluster.endpoints()[0];
    watch
        .until("the other way in", |v| {
            v.members.iter().any(|m| m.state == MemberState::Ok && m.endpoint.as_ref() == Some(advertised))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_very_slow_path_a_member_is_slow_and_not_hung_by_turns() {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some("3.6".into()), ..Spec::default() }).await;
    let proxy = Proxy::to(cluster.members()[0].client.raw().trim_start_matches("http://").to_owned()).await;
    // Longer than a member is given before it is called hung, there and back.
    proxy.set(Fault::Delay(std::time::Duration::from_millis(700)));
    let ours = json(
        &run_blocking(&["status", "-o", "json", "--command-timeout=9s", "--endpoints", &proxy.address]).await,
    );
    let states: Vec<_> = ours["members"].as_array().unwrap().iter().map(|m| &m["state"]).collect();
    assert_eq!(states, ["slow"], "{ours}");
    let watch = Watch::start(&Access::default(), &[Endpoint::parse(&proxy.address).unwrap()]);
    watch.until_state("m1", MemberState::Slow).await;
    for view in watch.next_views(6).await {
        assert_eq!(view.members.len(), 1, "{view:#?}");
        assert_eq!(view.members[0].state, MemberState::Slow, "{view:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn learners_and_unstarted_members_are_what_they_are() {
    let cluster = TestCluster::of("3.6").await;
    let watch = Watch::start(cluster.access(), &cluster.endpoints());
    watch.until_verdict(VerdictKind::Healthy).await;
    // etcd refuses to grow until its members have been connected for a while.
    crate::support::wait_for("a member that is added", || {
        cluster.try_etcdctl(&["member", "add", "m4", "--learner", "--peer-urls=http://127.0.0.1:9"]).ok()
    });
    let view = watch.until("the unstarted learner", |v| v.listed() == 4).await;
    let new = view.members.iter().find(|m| m.role == Role::Unstarted).unwrap();
    assert_eq!((new.state, new.learner, new.endpoint.is_none()), (MemberState::Unstarted, true, true));
    assert_eq!((view.voters(), view.can_lose()), (3, Some(1)), "a learner has no vote");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_two_clusters_are_refused() {
    let spec = Spec { members: 1, version: Some("3.6".into()), ..Spec::default() };
    let (a, b) = (TestCluster::start(spec.clone()).await, TestCluster::start(spec).await);
    let both = format!("{},{}", a.endpoints_text(), b.endpoints_text());
    let output = run(&["status", "--endpoints", &both]);
    assert_eq!(output.code, 2, "{}", output.all());
    assert!(output.err.contains("different clusters") && output.out.is_empty(), "{}", output.all());
    // The dashboard shows one and says so about the other.
    let endpoints = [a.endpoints(), b.endpoints()].concat();
    let watch = Watch::start(&Access::default(), &endpoints);
    let view = watch.until("the conflict", |v| !v.conflicts.is_empty()).await;
    assert_eq!(view.members.len(), 1);
    assert!(judge(&view, &[]).reason.contains("another cluster"), "{}", judge(&view, &[]).reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_endpoints_of_one_member_are_one_row() {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some("3.6".into()), ..Spec::default() }).await;
    let proxy = Proxy::to(cluster.members()[0].client.raw().trim_start_matches("http://").to_owned()).await;
    let typed = [cluster.endpoints()[0].clone(), Endpoint::parse(&proxy.address).unwrap()];
    let watch = Watch::start(&Access::default(), &typed);
    let view: Arc<_> = watch.until("both ways", |v| v.members.iter().any(|m| m.also_at.len() == 1)).await;
    assert_eq!(view.members.len(), 1, "{view:#?}");
}

/// Cutting what the others send to a member does not keep it from sending: both directions are proxied, because each
/// member dials the others through their proxies.
#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_cluster_is_told_apart_from_a_dead_one() {
    let mut peers = Vec::new();
    let mut proxies = Vec::new();
    for _ in 0..3 {
        let port = free_port();
        let proxy = Proxy::to(format!("127.0.0.1:{port}")).await;
        peers.push((port, proxy.address.clone()));
        proxies.push(proxy);
    }
    let spec = Spec { version: Some("3.6".into()), peers, ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let watch = Watch::start(cluster.access(), &cluster.endpoints());
    watch.until_verdict(VerdictKind::Healthy).await;
    // No peer can reach any other: every member answers, none has a leader.
    for proxy in &proxies {
        proxy.set(Fault::Cut);
    }
    let view = watch.until_verdict(VerdictKind::NoLeader).await;
    assert_eq!((view.answering_voters(), view.can_lose()), (3, Some(0)));
    assert!(judge(&view, &[]).reason.starts_with("3 of 3 voters answer, none has a leader"));
    for proxy in &proxies {
        proxy.set(Fault::Pass);
    }
    watch.until_verdict(VerdictKind::Healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_without_a_quorum_is_not_mistaken_for_a_wrong_password() {
    let mut cluster = TestCluster::of("3.7").await;
    for args in
        [&["user", "add", "root:s3cret"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]]
    {
        cluster.etcdctl(args);
    }
    cluster.kill(1);
    cluster.kill(2);
    let endpoint = cluster.endpoints()[0].raw().to_owned();
    let ours = json(&run(&["status", "-o", "json", "--user", "root:s3cret", "--endpoints", &endpoint]));
    let member = &ours["members"][0];
    let detail = member["detail"].as_str().unwrap();
    assert!(detail.contains("no quorum") || detail.contains("no leader"), "{member}");
    assert_ne!(member["state"], "auth", "{member}");
}

/// A learner goes on naming the leader it knew last: it takes part in no election.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_does_not_hide_a_lost_quorum() {
    let mut cluster = TestCluster::of("3.6").await;
    let learner = Learner::join(&cluster);
    let watch = Watch::start(cluster.access(), &cluster.endpoints());
    let view = watch.until_state("m4", MemberState::Ok).await;
    assert_eq!(view.members.iter().find(|m| m.label() == "m4").unwrap().role, Role::Learner);
    // The leader and a follower die: the learner knew that leader.
    let leader = view.leader_view().unwrap().label();
    let dead: Vec<_> = cluster.members().iter().map(|m| m.name.clone()).collect();
    let at = |name: &str| dead.iter().position(|d| d == name).unwrap();
    let other = at(dead.iter().find(|d| **d != leader).unwrap());
    cluster.kill(at(&leader));
    cluster.kill(other);
    let view = watch.until_verdict(VerdictKind::QuorumLost).await;
    assert_eq!(judge(&view, &[]).headline, "QUORUM LOST 1/3");
    assert_eq!((view.leader, view.can_lose()), (None, Some(0)));
    // The same from the command line; the learner's own health does not make the cluster's.
    let endpoints = format!("{},{}", cluster.endpoints_text(), learner.url);
    let health = tokio::task::spawn_blocking(move || {
        run(&["health", "--command-timeout=2s", "--endpoints", &endpoints])
    })
    .await
    .unwrap();
    assert_eq!(health.code, 2, "{}", health.all());
}
