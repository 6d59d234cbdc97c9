//! The lock in the cluster: kept longer than its lease lasts, told when it is lost, gone when its holder is.

use std::time::Duration;

use etcdtop::ops::lock::{ClusterLock, LockError, Times};
use etcdtop::ops::plan::{Request, Roll};
use etcdtop::ops::{Confirmed, Mode, confirm};
use serde_json::Value;

use crate::support::cluster::TestCluster;
use crate::support::operate::{dialer, plan};
use crate::support::wait_for_async;
use crate::support::watch::Watch;

const KEY: &str = "etcdtop/lock";

/// Short enough to be seen running out.
const TIMES: Times =
    Times { ttl: Duration::from_secs(6), renew: Duration::from_secs(2), lost: Duration::from_secs(5) };

struct Arena {
    cluster: TestCluster,
    watched: Watch,
}

impl Arena {
    async fn start() -> Self {
        let cluster = TestCluster::of("3.6").await;
        let watched = Watch::start(cluster.access(), &cluster.endpoints());
        watched.until("a leader", |v| v.listed() == 3 && v.leader.is_some()).await;
        Self { cluster, watched }
    }

    async fn confirmed(&self) -> Confirmed {
        let whole =
            |v: &etcdtop::model::ClusterView| v.members.iter().all(|m| m.state.serves() && m.lag == Some(0));
        let view = self.watched.until("all of them", whole).await;
        let plan = plan(&Request::Defragment(Roll::default()), &view).unwrap();
        let name = plan.name_to_type.clone();
        confirm(plan, &Mode::ReadWrite, &name).unwrap()
    }

    async fn take(&self, holder: &str) -> Result<ClusterLock, LockError> {
        let confirmed = self.confirmed().await;
        let handle = self.watched.poll().handle();
        ClusterLock::take(dialer(&self.cluster), handle, &confirmed, KEY, holder, TIMES).await
    }

    /// Seconds that the lock's lease has left; none when there is no lock.
    fn left(&self) -> Option<(i64, i64)> {
        let got: Value = serde_json::from_str(&self.cluster.etcdctl(&["get", KEY, "-w", "json"])).unwrap();
        let lease = got["kvs"].as_array()?.first()?["lease"].as_i64()?;
        let told =
            self.cluster.try_etcdctl(&["lease", "timetolive", &format!("{lease:x}"), "-w", "json"]).ok()?;
        let told: Value = serde_json::from_str(&told).unwrap();
        Some((lease, told["ttl"].as_i64()?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_renewed_respected_and_given_back() {
    let arena = Arena::start().await;
    let first = arena.take("first").await.unwrap();
    match arena.take("second").await {
        Err(LockError::Held { holder, key }) => assert_eq!((holder.as_str(), key.as_str()), ("first", KEY)),
        other => panic!("{other:?}"),
    }
    // It runs down, and is full again: more than once.
    for _ in 0..2 {
        wait_for_async("it runs down", || arena.left().filter(|(_, left)| *left <= 4)).await;
        wait_for_async("it is renewed", || arena.left().filter(|(_, left)| *left >= 5)).await;
    }
    assert_eq!(first.held().check().await, Ok(()));
    first.release().await.unwrap();
    assert_eq!(arena.left(), None);
    arena.take("second").await.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_it_is_told_and_may_begin_nothing() {
    let arena = Arena::start().await;
    let lock = arena.take("first").await.unwrap();
    let held = lock.held();
    let (lease, _) = arena.left().unwrap();
    arena.cluster.etcdctl(&["lease", "revoke", &format!("{lease:x}")]);
    let why = tokio::time::timeout(crate::support::PATIENCE, lock.lost()).await.unwrap();
    assert!(why.contains("gone"), "{why}");
    // Later than it would have been renewed, a step asks for itself.
    let asked = || {
        let held = &held;
        async move { held.check().await.is_err() }
    };
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while !asked().await {
        assert!(std::time::Instant::now() < deadline, "it still counts as held");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_one_who_is_gone_goes_by_itself() {
    let arena = Arena::start().await;
    // As when its process is killed: nobody renews it, nobody gives it back.
    arena.take("first").await.unwrap().leave();
    assert!(arena.left().is_some());
    wait_for_async("it goes", || arena.left().is_none().then_some(())).await;
    arena.take("second").await.unwrap().release().await.unwrap();
}
