//! Operations on real clusters, through the same engine that dashboard and commands use.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use etcdtop::etcd::{Access, Credentials, Dialer};
use etcdtop::lab::Spec;
use etcdtop::model::{Bytes, ClusterView, MemberStatus, VerdictKind};
use etcdtop::ops::journal::{self, End, Journal, JournalError, StepEnd};
use etcdtop::ops::past;
use etcdtop::ops::plan::{Action, Keep, Request, Roll, Verify};
use etcdtop::ops::{Limits, OpEvent};
use etcdtop::ops::{Mode, confirm};

use crate::support::cluster::TestCluster;
use crate::support::operate::{dialer, fill, plan, run};
use crate::support::proxy::{Fault, Proxy};
use crate::support::watch::Watch;

fn size_of(view: &ClusterView, name: &str) -> Bytes {
    let m = view.members.iter().find(|m| m.label() == name).unwrap();
    m.status.as_ref().unwrap().db_size.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_and_a_roll_shrink_every_file_leader_last() {
    let cluster = TestCluster::of("3.6").await;
    let watched = Watch::start(cluster.access(), &cluster.endpoints());
    watched.until_verdict(VerdictKind::Healthy).await;
    fill(&cluster, 4, 12, 512);
    let journals = tempfile::tempdir().unwrap();
    let view = watched.until("the file's size", |v| v.revision.is_some_and(|r| r.0 > 48)).await;
    let before: Vec<_> = ["m1", "m2", "m3"].map(|n| size_of(&view, n)).to_vec();
    let ran = run(
        &dialer(&cluster),
        &watched,
        plan(&Request::Compact(Keep::Last(4)), &view).unwrap(),
        Limits::default(),
        journals.path(),
    )
    .await;
    assert_eq!(ran.end, End::Done, "{:?}", ran.events);
    // On an idle cluster Status goes on telling the old "in use": pages that were freed count from the next write on.
    // One that falls into the same batch as the compaction's end does not count: a slow member takes some.
    let freed = |v: &ClusterView| {
        let frees = |s: &MemberStatus| s.reclaimable().is_some_and(|b| b.0 > 8 << 20);
        v.members.iter().all(|m| m.status.as_ref().is_some_and(frees))
    };
    let mut view = watched.poll().views().borrow().clone();
    for _ in 0..60 {
        if freed(&view) {
            break;
        }
        cluster.etcdctl(&["put", "/a", "x"]);
        view = watched.next_views(1).await.remove(0);
    }
    assert!(freed(&view), "{view:#?}");
    let leader = view.leader.unwrap();
    let request = Request::Defragment(Roll { move_leader: true, ..Roll::default() });
    let made = plan(&request, &view).unwrap();
    assert!(matches!(made.steps[2].action, Action::MoveLeader { from, .. } if from == leader), "{made:#?}");
    assert!(matches!(made.steps[3].action, Action::Defragment { member } if member == leader), "{made:#?}");
    let ran = run(&dialer(&cluster), &watched, made, Limits::default(), journals.path()).await;
    assert_eq!(ran.end, End::Done, "{:?}", ran.events);
    let view = watched
        .until("smaller files", |v| (0..3).all(|i| size_of(v, ["m1", "m2", "m3"][i]).0 < before[i].0 / 2))
        .await;
    assert_ne!(view.leader, Some(leader), "the leader moved");
    // The journal tells it, with figures, and what it teaches.
    let past = &ran.past.operations;
    assert_eq!(past.len(), 2);
    assert_eq!((past[1].steps.len(), past[1].end.as_ref()), (4, Some(&End::Done)));
    assert!(past[1].steps.iter().all(|s| s.end == Some(StepEnd::Done)), "{past:#?}");
    assert_eq!(ran.past.rates.len(), 3, "{:?}", ran.past.rates);
    assert!(!past[1].interrupted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_at_once_is_found_out_by_watching() {
    let cluster = TestCluster::of("3.5").await;
    let watched = Watch::start(cluster.access(), &cluster.endpoints());
    let view = watched
        .until("metrics", |v| {
            v.listed() == 3
                && v.leader.is_some()
                && v.members.iter().all(|m| m.metrics.is_some() && m.lag.is_some())
        })
        .await;
    let follower = view.members.iter().find(|m| m.id != view.leader).unwrap();
    let request = Request::Defragment(Roll { members: vec![follower.id.unwrap()], ..Roll::default() });
    let limits =
        Limits { call: Duration::from_micros(1), watch: Duration::from_secs(20), ..Limits::default() };
    let journals = tempfile::tempdir().unwrap();
    let made = plan(&request, &view).unwrap();
    let ran = run(&dialer(&cluster), &watched, made, limits, journals.path()).await;
    let ended = jiff_now();
    // Whether the call was sent before the deadline is up to the machine; what is said must be what happened.
    let counted = async || {
        let m = watched
            .until("a scrape of later", |v| {
                v.members.iter().all(|m| m.metrics_at.is_some_and(|at| at > ended))
            })
            .await;
        m.members.iter().find(|m| m.id == follower.id).unwrap().metrics.as_ref().unwrap().defragmentations
    };
    match ran.ends()[..] {
        [StepEnd::Done] => assert_eq!((ran.end, counted().await), (End::Done, Some(1))),
        [StepEnd::Failed(why)] => {
            assert!(why.contains("did not defragment"), "{why}");
            assert_eq!(counted().await, Some(0));
        }
        ref other => panic!("{other:?}"),
    }
}

/// The playbook as one plan, on each version.
async fn out_of_no_space(version: &str) {
    let quota = Bytes(16 << 20);
    let spec = Spec { version: Some(version.into()), quota: Some(quota), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let watched = Watch::start(cluster.access(), &cluster.endpoints());
    watched.until("the quota", |v| v.listed() == 3 && v.members.iter().all(|m| m.quota().is_some())).await;
    fill(&cluster, 3, 40, 512);
    let view = watched.until_verdict(VerdictKind::ReadOnly).await;
    // Disarming alone is refused, and says what comes first.
    let disarm = plan(&Request::Disarm, &view).unwrap();
    let refusal = confirm(disarm, &Mode::ReadWrite, "test").unwrap_err().to_string();
    // Whether all of it is in use differs from run to run: what comes first does not.
    assert!(refusal.contains("of its quota") && refusal.contains("compact"), "{version}: {refusal}");
    let folder = tempfile::tempdir().unwrap();
    let request = Request::RecoverNoSpace { folder: Some(folder.path().join("snapshots")), keep: 2 };
    let made = plan(&request, &view).unwrap();
    let ran = run(&dialer(&cluster), &watched, made, Limits::default(), folder.path()).await;
    assert_eq!(ran.end, End::Done, "{version}: {:#?}", ran.events);
    watched.until_verdict(VerdictKind::Healthy).await;
    cluster.etcdctl(&["put", "/after", "it"]);
    assert!(
        cluster.etcdctl(&["get", "etcdtop/proof", "--print-value-only"]).is_empty(),
        "the proof is deleted"
    );
    assert!(ran.past.last_snapshot.is_some());
    let saved: Vec<_> =
        std::fs::read_dir(folder.path().join("snapshots")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(saved.len(), 2, "the file and what is beside it, no part: {saved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_no_space_on_3_4() {
    out_of_no_space("3.4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_no_space_on_3_5() {
    out_of_no_space("3.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_no_space_on_3_6() {
    out_of_no_space("3.6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_no_space_on_3_7() {
    out_of_no_space("3.7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_data_that_fills_the_quota_is_not_promised_away() {
    let spec =
        Spec { members: 1, version: Some("3.6".into()), quota: Some(Bytes(8 << 20)), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let watched = Watch::start(cluster.access(), &cluster.endpoints());
    watched.until("the quota", |v| v.members.iter().any(|m| m.quota().is_some())).await;
    // Recovered again and again, and filled again: in the end nothing is left that could be given back. Nothing is
    // compacted, so every revision counts as live.
    let journals = tempfile::tempdir().unwrap();
    for _ in 0..12 {
        fill(&cluster, 600, 1, 40);
        let view = watched.until_verdict(VerdictKind::ReadOnly).await;
        let made = plan(&Request::RecoverNoSpace { folder: None, keep: 1_000_000 }, &view).unwrap();
        let block = made.blocks().next().map(str::to_owned);
        if let Some(block) = block {
            assert!(block.contains("are in use") && block.contains("--quota-backend-bytes"), "{block}");
            assert!(confirm(made, &Mode::ReadWrite, "test").is_err());
            return;
        }
        let ran = run(&dialer(&cluster), &watched, made, Limits::default(), journals.path()).await;
        if ran.end != End::Done {
            // The file did not come below 90%: the alarm stays, and it says what helps.
            assert!(
                matches!(&ran.end, End::Stopped(why) if why.contains("all of it is in use")),
                "{:?}",
                ran.end
            );
            return;
        }
        watched.until("writes", |v| v.alarms.is_empty()).await;
    }
    panic!("a database that only grows was never said to be full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stops_before_its_turn_keeps_the_roll_from_beginning() {
    let cluster = TestCluster::of("3.7").await;
    let watched = Watch::start(cluster.access(), &cluster.endpoints());
    let view = watched
        .until("a whole cluster", |v| v.listed() == 3 && v.members.iter().all(|m| m.lag.is_some()))
        .await;
    let request = Request::Defragment(Roll::default());
    let made = plan(&request, &view).unwrap();
    // The one that comes last is gone before the first: none is touched.
    let last = made.steps[2].action.member().unwrap();
    let index = cluster.members().iter().position(|m| m.name == view.name_of(last)).unwrap();
    cluster.stop(index).unwrap();
    let limits = Limits { settle: Duration::from_secs(4), ..Limits::default() };
    let journals = tempfile::tempdir().unwrap();
    let ran = run(&dialer(&cluster), &watched, made, limits, journals.path()).await;
    cluster.cont(index).unwrap();
    assert!(
        matches!(&ran.end, End::Stopped(why) if why.contains("hung") || why.contains("nobody leads")),
        "{:?}",
        ran.end
    );
    assert!(matches!(ran.ends()[..], [StepEnd::Skipped(_)]), "{:?}", ran.events);
    assert!(ran.events.iter().any(|e| matches!(e, OpEvent::Waiting { .. })), "it waited first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_cut_leaves_nothing() {
    let cluster =
        TestCluster::start(Spec { members: 1, version: Some("3.6".into()), ..Spec::default() }).await;
    fill(&cluster, 20, 1, 512);
    let proxy = Proxy::to(cluster.members()[0].client.raw().trim_start_matches("http://").to_owned()).await;
    let typed = [etcdtop::model::Endpoint::parse(&proxy.address).unwrap()];
    let watched = Watch::start(cluster.access(), &typed);
    let view = watched.until_verdict(VerdictKind::Healthy).await;
    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("snapshots");
    let request =
        Request::Snapshot { member: None, folder: snapshots.clone(), name: None, verify: Verify::Full };
    // Slow enough that the cut comes in the middle.
    proxy.set(Fault::Delay(Duration::from_millis(30)));
    let cut = async {
        crate::support::wait_for_async("the part", || {
            std::fs::read_dir(&snapshots).ok()?.flatten().next().map(|_| ())
        })
        .await;
        proxy.set(Fault::Cut);
    };
    let made = plan(&request, &view).unwrap();
    let to = dialer(&cluster);
    let (ran, ()) = tokio::join!(run(&to, &watched, made, Limits::default(), folder.path()), cut);
    assert!(matches!(&ran.end, End::Failed(_) | End::Unknown(_)), "{:?}", ran.end);
    let left: Vec<_> = std::fs::read_dir(&snapshots).unwrap().flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    // And whole, it is what etcdutl says it is.
    proxy.set(Fault::Pass);
    watched.until_verdict(VerdictKind::Healthy).await;
    let ran =
        run(&dialer(&cluster), &watched, plan(&request, &view).unwrap(), Limits::default(), folder.path())
            .await;
    assert_eq!(ran.end, End::Done, "{:?}", ran.events);
    let file = std::fs::read_dir(&snapshots)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "db"))
        .unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let etcdutl = cluster.binaries().etcdctl.with_file_name("etcdutl");
    let restored = std::process::Command::new(etcdutl)
        .args(["snapshot", "restore"])
        .arg(&file)
        .arg("--data-dir")
        .arg(folder.path().join("restored"))
        .output()
        .unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
}

/// With authentication on nobody gets a token while there is no quorum; the one that the poll has is good.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_needs_no_quorum_with_authentication_on_either() {
    let mut cluster = TestCluster::of("3.6").await;
    for args in
        [&["user", "add", "root:s3cret"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]]
    {
        cluster.etcdctl(args);
    }
    let user = Some(Credentials { name: "root".into(), password: "s3cret".into() });
    let access = Access { user, command_timeout: Duration::from_secs(2), ..cluster.access().clone() };
    let watched = Watch::start(&access, &cluster.endpoints());
    watched.until_verdict(VerdictKind::Healthy).await;
    cluster.kill(1);
    cluster.kill(2);
    let view = watched.until_verdict(VerdictKind::QuorumLost).await;
    let folder = tempfile::tempdir().unwrap();
    let request = Request::Snapshot {
        member: None,
        folder: folder.path().join("snapshots"),
        name: None,
        verify: Verify::Full,
    };
    let to = Dialer::new(access, &cluster.endpoints()).unwrap();
    let made = plan(&request, &view).unwrap();
    let ran = run(&to, &watched, made, Limits::default(), folder.path()).await;
    assert_eq!(ran.end, End::Done, "{:?}", ran.events);
}

#[tokio::test]
async fn two_at_once_are_refused_and_an_interrupted_one_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let id = etcdtop::model::ClusterId(0xabc);
    let first = Journal::open(folder.path(), id).unwrap();
    let refused = Journal::open(folder.path(), id).unwrap_err();
    let holder = format!("process {}", std::process::id());
    assert!(matches!(&refused, JournalError::Locked { holder: h } if h.starts_with(&holder)), "{refused}");
    assert!(Journal::open(folder.path(), etcdtop::model::ClusterId(1)).is_ok(), "another cluster");
    drop(first);
    // A process that was killed after it announced a step, in the middle of a line.
    let line = r#"{"at":"2026-11-21T08:00:00Z","plan":"p1","event":"confirmed","by":"me","body":{"title":"Roll","steps":[{"title":"defragment m1"}]}}
{"at":"2026-11-21T08:00:01Z","plan":"p1","event":"step_begins","step":1,"body":{}}
{"at":"2026-11-21T08:00"#;
    std::fs::write(folder.path().join("abc.jsonl"), line).unwrap();
    let past = past::read(folder.path(), id);
    assert!(past.operations[0].interrupted());
    assert!(past.operations[0].cut_in().is_some());
    // The next line does not stick to the one that was cut.
    let journal = Journal::open(folder.path(), id).unwrap();
    let plan = etcdtop::ops::plan::PlanId("p1".into());
    journal.write(jiff_now(), &plan, &journal::Entry::Ended { end: &End::Done }).await.unwrap();
    assert!(!past::read(folder.path(), id).operations[0].interrupted());
}

fn jiff_now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
