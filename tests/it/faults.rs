//! Members that die, stop, restart or are cut off in the middle of an operation, on a real cluster. However it ends, what
//! the program says of it must be what happened, and nothing may be left behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcdtop::etcd::Dialer;
use etcdtop::etcd::http::HttpConnection;
use etcdtop::lab::Spec;
use etcdtop::model::{Bytes, ClusterView, Endpoint, MemberId, MemberState, Revision};
use etcdtop::ops::journal::{End, Journal, StepEnd};
use etcdtop::ops::plan::{Action, Keep, Plan, Request, Roll, Verify};
use etcdtop::ops::{Limits, OpEvent};
use tokio::sync::watch;

use crate::support::cluster::TestCluster;
use crate::support::operate::{Ran, fill, plan, run_telling};
use crate::support::proxy::{Fault, Proxy, free_port};
use crate::support::watch::Watch;

/// How long a member is away.
const OUTAGE: Duration = Duration::from_secs(4);
/// Longer than anything here may take.
const FOREVER: Duration = Duration::from_secs(240);

/// What happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// SIGKILL, and started again after the outage.
    Kill,
    /// SIGKILL, and started again at once.
    Restart,
    /// SIGSTOP and SIGCONT.
    Stop,
    /// Neither clients nor peers reach it; what it dials itself passes.
    Partition,
    /// It hears us, and we hear nothing of it.
    AnswersLost,
}

const BLOWS: [Blow; 5] = [Blow::Kill, Blow::Restart, Blow::Stop, Blow::Partition, Blow::AnswersLost];

/// The moment at which it happens.
enum When {
    /// A step was announced: its number from 0.
    Announced(usize),
    /// A member writes the file that a defragmentation replaces the old one with.
    Rewriting(PathBuf),
    /// A member drops what was compacted.
    Compacting(Endpoint, Revision),
    /// A snapshot is coming in.
    Streaming(PathBuf),
}

/// A cluster whose members are reached through proxies, by clients and by each other.
struct Arena {
    cluster: TestCluster,
    clients: Vec<Proxy>,
    peers: Vec<Proxy>,
    dialer: Dialer,
    watched: Watch,
}

impl Arena {
    async fn start(spec: Spec) -> Self {
        let (mut clients, mut peers, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let port = free_port();
            let proxy = Proxy::to(format!("127.0.0.1:{port}")).await;
            told.push((port, proxy.address.clone()));
            peers.push(proxy);
            clients.push(Proxy::unaimed().await);
        }
        let advertised = clients.iter().map(|p| format!("http://{}", p.address)).collect();
        let cluster = TestCluster::start(Spec { peers: told, advertised, ..spec }).await;
        for (proxy, member) in clients.iter().zip(cluster.members()) {
            proxy.aim(member.client.raw().trim_start_matches("http://").to_owned());
        }
        let typed: Vec<_> = clients.iter().map(|p| Endpoint::parse(&p.address).unwrap()).collect();
        let dialer = Dialer::new(cluster.access().clone(), &typed).unwrap();
        let watched = Watch::start(cluster.access(), &typed);
        Self { cluster, clients, peers, dialer, watched }
    }

    /// Waits until every member serves and has caught up, as told by answers to what is asked from now on: what was
    /// written before this counts in it.
    async fn whole(&self) -> ClusterView {
        let now = jiff::Timestamp::now();
        let whole = |v: &ClusterView| {
            v.listed() == 3
                && v.leader.is_some()
                && v.members.iter().all(|m| {
                    m.state == MemberState::Ok
                        && m.status_asked.is_some_and(|asked| asked > now)
                        && m.lag.is_some_and(|l| l < 100)
                        && m.metrics.is_some()
                })
        };
        self.watched.poll().poll_now();
        ClusterView::clone(&*self.watched.until("a whole cluster", whole).await)
    }

    fn index(&self, view: &ClusterView, id: MemberId) -> usize {
        self.cluster.members().iter().position(|m| m.name == view.name_of(id)).unwrap()
    }

    fn strike(&mut self, i: usize, blow: Blow) {
        match blow {
            Blow::Kill => self.cluster.kill(i),
            Blow::Restart => self.cluster.restart(i).unwrap(),
            Blow::Stop => self.cluster.stop(i).unwrap(),
            Blow::Partition => {
                self.peers[i].set(Fault::Blackhole);
                self.clients[i].set(Fault::Blackhole);
            }
            Blow::AnswersLost => self.clients[i].set(Fault::Deaf),
        }
    }

    fn heal(&mut self, i: usize, blow: Blow) {
        match blow {
            Blow::Kill => self.cluster.restart(i).unwrap(),
            Blow::Restart => {}
            Blow::Stop => self.cluster.cont(i).unwrap(),
            Blow::Partition | Blow::AnswersLost => {
                self.peers[i].set(Fault::Pass);
                self.clients[i].set(Fault::Pass);
            }
        }
    }

    /// How often a member's log has this in it: what it did, in its own words.
    fn logged(&self, i: usize, words: &str) -> usize {
        let log = self.cluster.folder().join(format!("{}.log", self.cluster.members()[i].name));
        std::fs::read_to_string(log).unwrap().matches(words).count()
    }

    /// Carries a plan out, and strikes a member in the middle of it. False when it was over before.
    async fn run(
        &mut self,
        plan: Plan,
        when: When,
        victim: usize,
        (blow, away): (Blow, Duration),
        journals: &Path,
    ) -> (Ran, bool) {
        let limits =
            Limits { settle: Duration::from_secs(30), watch: Duration::from_secs(120), ..Limits::default() };
        let (began_tx, mut began) = watch::channel(None);
        let heard = move |event: &OpEvent| {
            if let OpEvent::Began { step, .. } = event {
                began_tx.send_replace(Some(*step));
            }
        };
        let (dialer, poll) = (self.dialer.clone(), self.watched.poll().handle());
        let engine = run_telling(&dialer, poll, plan, limits, journals, heard);
        tokio::pin!(engine);
        let middle = middle(&when, &mut began, &dialer);
        tokio::time::timeout(FOREVER, async {
            tokio::select! {
                biased;
                ran = &mut engine => return (ran, false),
                () = middle => {}
            }
            self.strike(victim, blow);
            let healed = async {
                tokio::time::sleep(away).await;
                self.heal(victim, blow);
            };
            let (ran, ()) = tokio::join!(engine, healed);
            (ran, true)
        })
        .await
        .unwrap()
    }
}

/// Waits for the middle of an operation.
async fn middle(when: &When, began: &mut watch::Receiver<Option<usize>>, dialer: &Dialer) {
    let tick = || tokio::time::sleep(Duration::from_millis(1));
    let files = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    match when {
        When::Announced(step) => {
            let _ = began.wait_for(|b| b.is_some_and(|b| b >= *step)).await;
        }
        When::Rewriting(data) => {
            while !files(data).any(|f| f.file_name().to_string_lossy().starts_with("db.tmp")) {
                tick().await;
            }
        }
        When::Compacting(endpoint, revision) => {
            let mut http = HttpConnection::default();
            loop {
                let reply = http.get(dialer, endpoint, "/metrics", Duration::from_secs(1)).await;
                let floor = reply.ok().and_then(|r| etcdtop::etcd::metrics::parse(&r.body).ok());
                if floor.and_then(|m| m.compact_revision).is_some_and(|floor| floor >= *revision) {
                    return;
                }
            }
        }
        When::Streaming(folder) => {
            let grows = |f: std::fs::DirEntry| {
                f.path().extension().is_some_and(|e| e == "part")
                    && f.metadata().is_ok_and(|m| m.len() > 1 << 20)
            };
            while !files(folder).any(grows) {
                tick().await;
            }
        }
    }
}

/// What must be so after every operation, however it ended.
fn in_order(ran: &Ran, id: etcdtop::model::ClusterId, journals: &Path, what: &str) {
    let past = ran.past.operations.last().unwrap();
    assert_eq!(past.end.as_ref(), Some(&ran.end), "{what}: the journal tells another end");
    assert!(past.cut_in().is_none(), "{what}: a step has no end: {past:#?}");
    assert!(ran.past.open().is_none(), "{what}");
    Journal::open(journals, id).unwrap_or_else(|e| panic!("{what}: the lock is held: {e}"));
}

/// The victims of an operation on `target`: that itself, the leader, and another.
fn victims(arena: &Arena, view: &ClusterView, target: MemberId) -> Vec<(&'static str, usize)> {
    let leader = view.leader.unwrap();
    let mut found = vec![("target", arena.index(view, target))];
    if leader != target {
        found.push(("leader", arena.index(view, leader)));
    }
    let other = view.members.iter().filter_map(|m| m.id).find(|id| *id != target && *id != leader);
    found.push(("other", arena.index(view, other.unwrap())));
    found
}

fn follower(view: &ClusterView) -> MemberId {
    view.members.iter().filter_map(|m| m.id).find(|id| Some(*id) != view.leader).unwrap()
}

/// A rewrite that is hit: by each blow, on whom it is done to, on the leader, on another.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_defragmentation() {
    let mut arena = Arena::start(Spec { version: Some("3.6".into()), ..Spec::default() }).await;
    fill(&arena.cluster, 192, 1, 512);
    for blow in BLOWS {
        for role in 0..3 {
            let mut tries = 0;
            let (ran, what, id, index, before, journals) = loop {
                let view = arena.whole().await;
                let target = follower(&view);
                let (name, victim) = victims(&arena, &view, target)[role];
                let what = format!("{blow:?} of the {name}");
                let request = Request::Defragment(Roll { members: vec![target], ..Roll::default() });
                let journals = tempfile::tempdir().unwrap();
                let made = plan(&request, &view).unwrap();
                let id = made.cluster;
                let index = arena.index(&view, target);
                let data = arena.cluster.folder().join(&arena.cluster.members()[index].name);
                let before = arena.logged(index, "finished defragmenting directory");
                let rewriting = When::Rewriting(data.join("member/snap"));
                let (ran, hit) = arena.run(made, rewriting, victim, (blow, OUTAGE), journals.path()).await;
                if hit {
                    break (ran, what, id, index, before, journals);
                }
                // A busy machine sees it when it is over.
                tries += 1;
                assert!(tries < 5, "{what}: it was over before: {:?}", ran.events);
            };
            arena.whole().await;
            in_order(&ran, id, journals.path(), &what);
            let really = arena.logged(index, "finished defragmenting directory") > before;
            println!("{what}: {:?} {:?}, really {really}", ran.end, ran.ends());
            match ran.ends()[..] {
                [StepEnd::Done] => assert!(really, "{what}: {:?}", ran.events),
                [StepEnd::Failed(_) | StepEnd::Skipped(_)] => assert!(!really, "{what}: {:?}", ran.events),
                ref other => panic!("{what}: nobody knows after it was healed: {other:?}"),
            }
        }
    }
}

/// So many revisions that a member drops them for some seconds.
fn revisions(cluster: &TestCluster) {
    let puts: Vec<_> = (0..120).map(|i| format!("put /history/{i} x")).collect();
    let txn = format!("\n{}\n\n\n", puts.join("\n"));
    for _ in 0..40 {
        cluster.etcdctl_with(&["txn"], &txn);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_compaction() {
    // Ten revisions a batch, ten milliseconds between two: some seconds in all.
    let extra_args = vec!["--compaction-batch-limit=10".into()];
    let mut arena = Arena::start(Spec { version: Some("3.6".into()), extra_args, ..Spec::default() }).await;
    for blow in BLOWS {
        for role in 0..2 {
            arena.whole().await;
            revisions(&arena.cluster);
            let view = arena.whole().await;
            let (name, victim) = victims(&arena, &view, view.leader.unwrap())[role];
            let what = format!("{blow:?} of the {name}");
            let journals = tempfile::tempdir().unwrap();
            let made = plan(&Request::Compact(Keep::Last(1)), &view).unwrap();
            let id = made.cluster;
            let Action::Compact { revision } = made.steps[0].action else { panic!("{made:?}") };
            let endpoint = arena.cluster.members()[victim].client.clone();
            let when = When::Compacting(endpoint, revision);
            let (ran, hit) = arena.run(made, when, victim, (blow, OUTAGE), journals.path()).await;
            assert!(hit, "{what}: it was over before: {:?}", ran.events);
            arena.whole().await;
            in_order(&ran, id, journals.path(), &what);
            println!("{what}: {:?} {:?}", ran.end, ran.ends());
            // The floor had moved when it was hit: it must be said to be done, whatever became of the rest.
            assert!(matches!(ran.ends()[..], [StepEnd::Done]), "{what}: {:?}", ran.events);
            let dropped = |v: &ClusterView| v.compact_revision.is_some_and(|floor| floor >= revision);
            arena.watched.until("the floor", dropped).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_moving_the_leader() {
    let mut arena = Arena::start(Spec { version: Some("3.7".into()), ..Spec::default() }).await;
    for blow in BLOWS {
        for role in 0..3 {
            let view = arena.whole().await;
            let to = follower(&view);
            let (name, victim) = victims(&arena, &view, to)[role];
            let what = format!("{blow:?} of the {name}");
            let journals = tempfile::tempdir().unwrap();
            let made = plan(&Request::MoveLeader { to }, &view).unwrap();
            let (id, transferee) = (made.cluster, arena.index(&view, to));
            let before = arena.logged(transferee, "became leader at term");
            let (ran, hit) =
                arena.run(made, When::Announced(0), victim, (blow, OUTAGE), journals.path()).await;
            assert!(hit, "{what}: {:?}", ran.events);
            arena.whole().await;
            in_order(&ran, id, journals.path(), &what);
            let led = arena.logged(transferee, "became leader at term") > before;
            println!("{what}: {:?} {:?}, led {led}", ran.end, ran.ends());
            match ran.ends()[..] {
                [StepEnd::Done] => assert!(led, "{what}: {:?}", ran.events),
                [StepEnd::Failed(_)] => assert!(!led, "{what}: {:?}", ran.events),
                ref other => panic!("{what}: {other:?}"),
            }
        }
    }
    // The one who is to lead sleeps for longer than the call waits. The order to stand for election lies in its socket: it
    // leads when it wakes up.
    let view = arena.whole().await;
    let to = follower(&view);
    let transferee = arena.index(&view, to);
    let journals = tempfile::tempdir().unwrap();
    let made = plan(&Request::MoveLeader { to }, &view).unwrap();
    let id = made.cluster;
    let before = arena.logged(transferee, "became leader at term");
    let stop = (Blow::Stop, Duration::from_secs(22));
    let (ran, hit) = arena.run(made, When::Announced(0), transferee, stop, journals.path()).await;
    assert!(hit, "{:?}", ran.events);
    arena.whole().await;
    in_order(&ran, id, journals.path(), "a long sleep");
    let led = arena.logged(transferee, "became leader at term") > before;
    println!("a long sleep: {:?} {:?}, led {led}", ran.end, ran.ends());
    assert!(matches!(ran.ends()[..], [StepEnd::Done]) == led, "{:?}", ran.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_snapshot() {
    let mut arena = Arena::start(Spec { version: Some("3.5".into()), ..Spec::default() }).await;
    fill(&arena.cluster, 24, 1, 512);
    let etcdutl = arena.cluster.binaries().etcdctl.with_file_name("etcdutl");
    for blow in BLOWS {
        for role in 0..3 {
            let view = arena.whole().await;
            let target = follower(&view);
            let (name, victim) = victims(&arena, &view, target)[role];
            let what = format!("{blow:?} of the {name}");
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path().join("snapshots");
            let made = plan(
                &Request::Snapshot {
                    member: Some(target),
                    folder: folder.clone(),
                    name: None,
                    verify: Verify::Full,
                },
                &view,
            )
            .unwrap();
            let (id, index) = (made.cluster, arena.index(&view, target));
            // Slow enough that the blow comes in the middle.
            arena.clients[index].set(Fault::Delay(Duration::from_millis(20)));
            let (ran, hit) = arena
                .run(made, When::Streaming(folder.clone()), victim, (blow, OUTAGE), scratch.path())
                .await;
            arena.clients[index].set(Fault::Pass);
            assert!(hit, "{what}: it was over before: {:?}", ran.events);
            arena.whole().await;
            in_order(&ran, id, scratch.path(), &what);
            println!("{what}: {:?} {:?}", ran.end, ran.ends());
            let left: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().map(|f| f.path()).collect();
            match ran.ends()[..] {
                [StepEnd::Done] => {
                    let file = left.iter().find(|p| p.extension().is_some_and(|e| e == "db")).unwrap();
                    let checked =
                        std::process::Command::new(&etcdutl).args(["snapshot", "status"]).arg(file).output();
                    assert!(checked.unwrap().status.success(), "{what}");
                    assert_eq!(left.len(), 2, "{what}: {left:?}");
                }
                [StepEnd::Failed(_)] => assert!(left.is_empty(), "{what}: {left:?}"),
                ref other => panic!("{what}: {other:?}"),
            }
        }
    }
}

/// The way out of NOSPACE, hit when the alarm is taken back and when the write is proved.
#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_recovery() {
    let quota = Some(Bytes(16 << 20));
    let mut arena = Arena::start(Spec { version: Some("3.7".into()), quota, ..Spec::default() }).await;
    for blow in [Blow::Kill, Blow::Stop, Blow::Partition] {
        for from_end in [2, 1] {
            arena.whole().await;
            fill(&arena.cluster, 3, 40, 512);
            arena.watched.until("NOSPACE", |v| !v.alarms.is_empty()).await;
            let view = arena.whole().await;
            let leader = arena.index(&view, view.leader.unwrap());
            let journals = tempfile::tempdir().unwrap();
            let made = plan(&Request::RecoverNoSpace { folder: None, keep: 2 }, &view).unwrap();
            let (id, step) = (made.cluster, made.steps.len() - from_end);
            let what = format!("{blow:?} of the leader at {}", made.steps[step].title);
            let (ran, hit) =
                arena.run(made, When::Announced(step), leader, (blow, OUTAGE), journals.path()).await;
            assert!(hit, "{what}: {:?}", ran.events);
            arena.whole().await;
            in_order(&ran, id, journals.path(), &what);
            println!("{what}: {:?}", ran.end);
            let alarms = !arena.whole().await.alarms.is_empty();
            assert!(ran.end == End::Done || alarms || from_end == 1, "{what}: {:?}", ran.events);
            assert!(ran.end != End::Done || !alarms, "{what}: {:?}", ran.events);
            let key = arena.cluster.etcdctl(&["get", "etcdtop/proof", "--print-value-only"]);
            let told = ran.ends().iter().any(|e| matches!(e, StepEnd::Unknown(why) if why.contains("left")));
            assert!(key.is_empty() || told, "{what}: {key:?} was left, {:?}", ran.events);
            if ran.end != End::Done {
                // What is left of it goes through once the cluster is whole.
                let again = plan(&Request::RecoverNoSpace { folder: None, keep: 2 }, &arena.whole().await);
                if let Ok(again) = again {
                    let limits = Limits::default();
                    let poll = arena.watched.poll().handle();
                    let ran = run_telling(&arena.dialer, poll, again, limits, journals.path(), |_| {}).await;
                    assert_eq!(ran.end, End::Done, "{what}: {:?}", ran.events);
                }
            }
        }
    }
}
