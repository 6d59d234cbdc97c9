//! What is wrong with real clusters, made wrong on purpose, is found and named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, Compare, Txn, TxnOp};
use etcdtop::lab::{Binaries, Cluster, Load, LoadKind, Spec};
use etcdtop::model::hashes::Agreement;
use etcdtop::model::{Bytes, Finding, Severity};
use etcdtop::poll::compare::compare;

use serde_json::Value;

use crate::cli::{json, run, run_blocking};
use crate::support::certs::Certs;
use crate::support::cluster::{TestCluster, patient};
use crate::support::doctor::Doctor;
use crate::support::learner::Learner;
use crate::support::operate::dialer;
use crate::support::proxy::{Fault, Proxy, free_port};

fn doctor(cluster: &Cluster) -> Doctor {
    Doctor::visit(cluster.access(), &cluster.endpoints())
}

async fn client(cluster: &Cluster) -> Client {
    let endpoints: Vec<_> = cluster.endpoints().iter().map(|e| e.raw().to_owned()).collect();
    Client::connect(endpoints, None).await.unwrap()
}

/// So many puts of values of so many bytes over so many keys, several at a time.
async fn puts(client: &Client, count: usize, keys: usize, bytes: usize) {
    const LANES: usize = 64;
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..LANES {
        let mut kv = client.kv_client();
        lanes.spawn(async move {
            let value = vec![b'x'; bytes];
            for i in (lane..count).step_by(LANES) {
                // A busy machine times out, or elects somebody.
                let mut tries = 0;
                while let Err(e) = kv.put(format!("fill/{}", i % keys), value.clone(), None).await {
                    tries += 1;
                    assert!(tries < 20 && !e.to_string().contains("space exceeded"), "{e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    while let Some(done) = lanes.join_next().await {
        done.unwrap();
    }
}

/// A writer that goes on until it is dropped; what fails is tried again.
struct Writer(Arc<AtomicBool>);

impl Writer {
    fn start(client: &Client, lanes: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for lane in 0..lanes {
            let (mut kv, over) = (client.kv_client(), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let _ = kv.put(format!("writer/{lane}"), vec![b'x'; 100], None).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Self(over)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_stop_and_die_until_the_quorum_is_lost() {
    let mut cluster = TestCluster::of("3.6").await;
    let mut doctor = doctor(&cluster);
    doctor.until_whole().await;
    let endpoints = cluster.endpoints_text();
    let well = run_blocking(&["diagnose", "--endpoints", &endpoints, "-o", "json"]).await;
    let told = json(&well);
    // What the machine's own load does to disks and elections is no more than a warning.
    assert!(
        well.code < 2 && ["healthy", "warning"].map(Value::from).contains(&told["verdict"]),
        "{}",
        well.all()
    );

    // Not the leader: only what is done here is to be found.
    let one = cluster.follower();
    let other = (0..3).find(|i| ![one, cluster.leader()].contains(i)).unwrap();
    let [stopped, killed] = [one, other].map(|i| cluster.members()[i].name.clone());
    cluster.stop(one).unwrap();
    let hung = doctor.until("member_not_serving", |f| f.line.contains(&format!("{stopped} hung"))).await;
    assert_eq!(hung.severity, Severity::Critical);
    // One look is enough for that: no scrape is waited for.
    let args = ["diagnose", "--endpoints", &endpoints, "--for", "0s", "-o", "json"];
    let told = run_blocking(&args).await;
    let diagnosis = json(&told);
    assert_eq!((told.code, &diagnosis["severity"]), (2, &"critical".into()), "{diagnosis}");
    let first = &diagnosis["findings"][0];
    assert_eq!(
        (&first["name"], &first["member"]),
        (&"member_not_serving".into(), &stopped.into()),
        "{first}"
    );
    cluster.cont(one).unwrap();
    doctor.until_over("member_not_serving").await;

    cluster.kill(other);
    doctor.until("member_not_serving", |f| f.line.contains(&format!("{killed} refused"))).await;
    cluster.kill(one);
    let lost = doctor.until("quorum_lost", |_| true).await;
    assert_eq!((lost.severity, lost.action), (Severity::Critical, Some("snapshot")));
    assert_eq!(doctor.found[0].key.rule, "quorum_lost", "it comes first: {:#?}", doctor.found);
    let told = run_blocking(&args).await;
    assert_eq!((told.code, &json(&told)["verdict"]), (2, &"quorum_lost".into()), "{}", told.all());

    cluster.restart(one).unwrap();
    doctor.until_over("quorum_lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_and_nonsense_typed_have_their_exit_codes() {
    let port = free_port();
    let nobody =
        run_blocking(&["diagnose", "--endpoints", &format!("127.0.0.1:{port}"), "--for", "0s"]).await;
    assert_eq!(nobody.code, 2, "{}", nobody.all());
    assert!(nobody.out.starts_with("UNREACHABLE"), "{}", nobody.out);
    let wrong = run(&["diagnose", "--endpoints", "no such endpoint"]);
    assert_eq!(wrong.code, 3, "{}", wrong.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_quota_is_found_with_the_requests_that_fail() {
    let spec = Spec { version: Some("3.6".into()), quota: Some(Bytes(16 << 20)), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let mut doctor = doctor(&cluster);
    doctor.until_whole().await;
    let client = client(&cluster).await;
    puts(&client, 150, 1_000, 100 << 10).await;
    doctor.until("quota_nearly_full", |f| f.severity >= Severity::Warning).await;
    let _writer = Writer::start(&client, 8);
    let mut kv = client.kv_client();
    while kv.put("more", vec![b'x'; 100 << 10], None).await.is_ok() {}
    let alarm = doctor.until("alarm_nospace", |_| true).await;
    assert_eq!((alarm.severity, alarm.action), (Severity::Critical, Some("recover")));
    let failed = doctor.until("requests_failed", |f| f.severity == Severity::Critical).await;
    assert!(failed.line.contains("KV/Put"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activated_corrupt_alarm_is_critical() {
    let cluster = TestCluster::of("3.5").await;
    let mut doctor = doctor(&cluster);
    let view = doctor.until_whole().await;
    let mut client = client(&cluster).await;
    let member = view.members[2].id.unwrap().0;
    let of_m3 = || {
        let mut options = AlarmOptions::new();
        options.with_member(member);
        Some(options)
    };
    client.alarm(AlarmAction::Activate, AlarmType::Corrupt, of_m3()).await.unwrap();
    let alarm = doctor.until("alarm_corrupt", |_| true).await;
    assert!(alarm.line.contains("m3"), "{alarm:?}");
    // The next step, by its key: nothing differs here, so the alarm is all there is.
    let told = run_blocking(&[
        "diagnose",
        "--endpoints",
        &cluster.endpoints_text(),
        "--for",
        "0s",
        "--hashkv",
        "-o",
        "json",
    ])
    .await;
    let diagnosis = json(&told);
    assert_eq!((told.code, &diagnosis["findings"][0]["key"]), (2, &"H".into()), "{diagnosis}");
    assert_eq!(diagnosis["hashes"]["answers"].as_array().unwrap().len(), 3, "{diagnosis}");
    client.alarm(AlarmAction::Deactivate, AlarmType::Corrupt, of_m3()).await.unwrap();
    doctor.until_over("alarm_corrupt").await;
}

/// A value is another in one member's file: its keys and revisions are right, and no checksum of etcd's notices.
#[tokio::test(flavor = "multi_thread")]
async fn data_that_differs_is_found_by_majority() {
    let mut cluster = TestCluster::of("3.6").await;
    let mut doctor = doctor(&cluster);
    doctor.until_whole().await;
    cluster.etcdctl(&["put", "victim", "the-truth-of-the-majority"]);
    let same = |view: &etcdtop::model::ClusterView| {
        let revisions: Vec<_> =
            view.members.iter().filter_map(|m| Some(m.status.as_ref()?.revision)).collect();
        revisions.len() == 3 && revisions.iter().all(|r| *r == revisions[0])
    };
    while !same(&*doctor.look().await) {}
    let dialer = dialer(&cluster);
    let view = doctor.look().await;
    let compared = compare(&view, &doctor.poll().handle(), &dialer).await.unwrap();
    assert!(matches!(compared.agreement(), Agreement::Same { members: 3, .. }), "{compared:?}");

    // The backend commits ten times a second: the value is in the file by now, and the log does not bring it again.
    cluster.kill(1);
    let file = cluster.folder().join("m2/member/snap/db");
    let mut bytes = std::fs::read(&file).unwrap();
    let needle = b"the-truth-of-the-majority";
    let places: Vec<_> =
        bytes.windows(needle.len()).enumerate().filter(|(_, w)| w == needle).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the value is not in the file");
    for at in places {
        bytes[at] = b'T';
    }
    std::fs::write(&file, bytes).unwrap();
    let started = |view: &etcdtop::model::ClusterView| {
        let m2 = view.members.iter().find(|m| m.label() == "m2").unwrap();
        m2.metrics.as_ref().and_then(|x| x.started_at)
    };
    let before = started(&view);
    cluster.restart(1).unwrap();
    let mut view = doctor.until_whole().await;
    while started(&view) == before {
        view = doctor.until_whole().await;
    }
    let compared = compare(&view, &doctor.poll().handle(), &dialer).await.unwrap();
    let m2 = view.members.iter().find(|m| m.label() == "m2").and_then(|m| m.id).unwrap();
    assert_eq!(compared.agreement(), Agreement::Differ { odd: vec![m2] }, "{compared:?}");
    let told =
        run_blocking(&["diagnose", "--endpoints", &cluster.endpoints_text(), "--for", "0s", "--hashkv"])
            .await;
    assert_eq!(told.code, 2, "{}", told.all());
    assert!(told.out.contains("m2 holds other data than the majority"), "{}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragmented_file_and_one_that_was_left_out() {
    let cluster = TestCluster::of("3.7").await;
    let mut doctor = doctor(&cluster);
    doctor.until_whole().await;
    let client = client(&cluster).await;
    // 110 MiB that stay, 150 that are history.
    puts(&client, 260, 110, 1 << 20).await;
    let mut kv = client.kv_client();
    let head = kv.put("last", "x", None).await.unwrap().header().unwrap().revision();
    cluster.etcdctl(&["compact", "--physical", &head.to_string()]);
    // Pages that were freed count as in use until later transactions have gone by.
    let _writer = Writer::start(&client, 1);
    let fragmented = doctor.until("fragmented", |f| f.line.contains("too")).await;
    assert_eq!((fragmented.severity, fragmented.action), (Severity::Warning, Some("rolling_defrag")));
    let only_one = cluster.endpoints()[0].raw().to_owned();
    let done = std::process::Command::new(&cluster.binaries().etcdctl)
        .args(["--endpoints", &only_one, "--command-timeout=60s", "defrag"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    doctor.until("sizes_differ", |f| f.line.contains("m1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_that_change_too_often() {
    let cluster = TestCluster::of("3.5").await;
    let mut doctor = doctor(&cluster);
    let mut view = doctor.until_whole().await;
    for _ in 0..4 {
        let leader = view.leader_view().unwrap();
        let other = view.members.iter().find(|m| m.id != leader.id).unwrap();
        let done = std::process::Command::new(&cluster.binaries().etcdctl)
            .args(["--endpoints", leader.endpoint.as_ref().unwrap().raw(), "move-leader"])
            .arg(other.id.unwrap().to_string())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        let (old, mut now) = (leader.id, doctor.look().await);
        while now.leader == old || now.leader.is_none() {
            now = doctor.look().await;
        }
        view = now;
    }
    let churn = doctor.until("leader_changes", |_| true).await;
    assert_eq!(churn.severity, Severity::Warning);
}

/// Whether a thread of a process waits for its disk right now.
fn syncs(pid: u32) -> bool {
    // fdatasync and fsync of x86_64, then of arm64.
    let calls = if cfg!(target_arch = "x86_64") { ["75 ", "74 "] } else { ["83 ", "82 "] };
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let in_call =
        |t: &std::fs::DirEntry| std::fs::read_to_string(t.path().join("syscall")).unwrap_or_default();
    threads.into_iter().any(|t| calls.iter().any(|call| in_call(&t).starts_with(call)))
}

/// Ends what asks for it when it is dropped: a test that fails leaves nothing running.
#[derive(Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A disk that stalls: a process that is stopped in the middle of an fsync measures the stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_is_named_before_its_member_falls() {
    let spec = Spec {
        version: Some("3.6".into()),
        // Leaders must not be lost over it, and requests are measured.
        extra_args: ["--heartbeat-interval=500", "--election-timeout=5000", "--metrics=extensive"]
            .map(String::from)
            .to_vec(),
        ..Spec::default()
    };
    let cluster = Arc::new(TestCluster::start(spec).await);
    let mut doctor = doctor(&cluster);
    let view = doctor.until_whole().await;
    let client = client(&cluster).await;
    let _writer = Writer::start(&client, 8);
    let leader = view.leader_view().unwrap().label();
    let index = cluster.members().iter().position(|m| m.name == leader).unwrap();
    let over = Over::default();
    let stalling = {
        let (cluster, over) = (Arc::clone(&cluster), Arc::clone(&over.0));
        let pid = cluster.members()[index].pid().unwrap();
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if syncs(pid) {
                    cluster.stop(index).unwrap();
                    std::thread::sleep(Duration::from_millis(700));
                    cluster.cont(index).unwrap();
                    // Scrapes and writers get their turn.
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        })
    };
    let slow = doctor.until("fsync_slow", |f| f.severity >= Severity::Warning).await;
    assert!(slow.line.contains(&format!("{leader}, the leader")), "{slow:?}");
    assert_eq!(slow.action, Some("move_leader"), "{slow:?}");
    let requests = doctor.until("requests_slow", |_| true).await;
    assert!(requests.severity == Severity::Critical && requests.line.contains("KV/Put"), "{requests:?}");
    drop(over);
    stalling.join().unwrap();
}

/// Members whose peers are reached through proxies.
async fn with_peer_proxies(spec: Spec) -> (TestCluster, Vec<Proxy>) {
    let (mut told, mut proxies) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let port = free_port();
        let proxy = Proxy::to(format!("127.0.0.1:{port}")).await;
        told.push((port, proxy.address.clone()));
        proxies.push(proxy);
    }
    (TestCluster::start(Spec { peers: told, ..spec }).await, proxies)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_between_peers_and_one_that_is_cut() {
    let spec = Spec { version: Some("3.6".into()), extra_args: patient(), ..Spec::default() };
    let (cluster, proxies) = with_peer_proxies(spec).await;
    let mut doctor = doctor(&cluster);
    doctor.until_whole().await;
    // There and back: the answer waits once, what is sent once.
    proxies[2].set(Fault::Delay(Duration::from_millis(100)));
    let slow = doctor.until("rtt_slow", |f| f.severity == Severity::Warning).await;
    assert!(slow.line.contains("m3"), "{slow:?}");
    // A note is what the machine's own load is worth.
    let slow = |f: &&Finding| f.key.rule == "rtt_slow" && f.severity >= Severity::Warning;
    let pairs: Vec<_> = doctor.found.iter().filter(slow).map(|f| &f.line).collect();
    assert!(!pairs.iter().any(|l| l.contains("m1 to m2") || l.contains("m2 to m1")), "{pairs:?}");

    // Nobody reaches m3 any more, while it answers its clients.
    proxies[2].set(Fault::Cut);
    let cut = doctor.until("peer_cut", |_| true).await;
    assert!(cut.severity == Severity::Warning && cut.line.contains("m3"), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_and_mixed_versions() {
    let mut cluster = TestCluster::of("3.5").await;
    let mut doctor = doctor(&cluster);
    doctor.until_whole().await;
    let learner = Learner::join(&cluster);
    let told = doctor.until("learner", |f| f.line.contains("m4")).await;
    assert_eq!(told.severity, Severity::Note);
    // A learner does not serve HashKV: the voters are compared.
    let view = doctor.until_whole().await;
    let compared = compare(&view, &doctor.poll().handle(), &dialer(&cluster)).await.unwrap();
    assert!(matches!(compared.agreement(), Agreement::Same { members: 3, .. }), "{compared:?}");
    drop(learner);
    let removed = crate::support::wait_for("a learner that is removed", || {
        let list = cluster.etcdctl(&["member", "list"]);
        let id = list.lines().find(|l| l.contains("m4")).and_then(|l| l.split(',').next())?.to_owned();
        cluster.try_etcdctl(&["member", "remove", &id]).ok()
    });
    assert!(removed.contains("removed"), "{removed}");
    cluster.restart_as(1, Binaries::find(Some("3.6")).unwrap()).unwrap();
    let mixed = doctor.until("versions_differ", |_| true).await;
    assert!(mixed.line.contains("3.5.") && mixed.line.contains("3.6."), "{mixed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_soon() {
    let certs = Certs::new();
    let pair = certs.issue_for("soon", &["localhost", "127.0.0.1"], Duration::from_secs(5 * 86_400));
    let tls = etcdtop::lab::Tls {
        ca: certs.ca(),
        cert: pair.cert,
        key: pair.key,
        client_auth: false,
        own: Vec::new(),
    };
    let spec = Spec { version: Some("3.6".into()), members: 1, tls: Some(tls), ..Spec::default() };
    let cluster = TestCluster::start(spec).await;
    let mut doctor = doctor(&cluster);
    let soon = doctor.until("certificate_expires", |_| true).await;
    assert_eq!(soon.severity, Severity::Critical, "{soon:?}");
    assert!(soon.line.contains("expires in 4 d"), "{soon:?}");
    doctor.until("single_voter", |f| f.severity == Severity::Note).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_that_pile_up_until_somebody_compacts() {
    let cluster =
        TestCluster::start(Spec { version: Some("3.6".into()), members: 1, ..Spec::default() }).await;
    let mut doctor = doctor(&cluster);
    doctor.until_whole().await;
    let client = client(&cluster).await;
    puts(&client, 101_000, 100, 10).await;
    let piled = doctor.until("revisions_pile_up", |_| true).await;
    // Nobody knows yet that it goes on for long.
    assert_eq!((piled.severity, piled.action), (Severity::Note, Some("compact")), "{piled:?}");
    cluster.etcdctl(&["compact", "100000"]);
    doctor.until_over("revisions_pile_up").await;
}

/// Every version, idle and written to: nothing above a note is found while one looks. `make soak` looks for ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn healthy_clusters_have_nothing_above_a_note() {
    for version in ["3.4", "3.5", "3.6", "3.7"] {
        let cluster = TestCluster::of(version).await;
        let _load = Load::start(&cluster, LoadKind::Kubernetes);
        let mut doctor = doctor(&cluster);
        doctor.until_whole().await;
        let mut came: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..25 {
            let before = std::mem::take(&mut doctor.found);
            doctor.look().await;
            for f in &doctor.found {
                // What this machine's own load does to disks and elections is measured, and right.
                let loads = ["fsync_slow", "commit_slow", "requests_slow", "member_slow", "leader_changes"];
                assert!(f.severity == Severity::Note || loads.contains(&f.key.rule), "{version}: {f:#?}");
                if !before.iter().any(|old| old.key == f.key) {
                    *came.entry(format!("{:?}", f.key)).or_default() += 1;
                }
            }
        }
        assert!(came.values().all(|times| *times == 1), "{version} flaps: {came:?}");
    }
}

/// A transaction that fails its comparison is no failure of etcd's.
#[tokio::test(flavor = "multi_thread")]
async fn what_clients_ask_in_vain_is_no_failure() {
    let cluster =
        TestCluster::start(Spec { version: Some("3.7".into()), members: 1, ..Spec::default() }).await;
    let mut doctor = doctor(&cluster);
    doctor.until_whole().await;
    let mut client = client(&cluster).await;
    for _ in 0..200 {
        let never = Txn::new().when([Compare::version("k", etcd_client::CompareOp::Equal, 7)]);
        client.txn(never.and_then([TxnOp::put("k", "v", None)])).await.unwrap();
        // Compacted already, or in the future: OutOfRange.
        assert!(client.compact(1 << 40, None).await.is_err());
    }
    for _ in 0..4 {
        doctor.look().await;
    }
    assert!(!doctor.found.iter().any(|f| f.key.rule == "requests_failed"), "{:#?}", doctor.found);
}
