//! One change at a time, also from several hosts: a key in the cluster itself, under a lease that is renewed while the
//! operation runs. The journal's lock is seen on one host alone; a timer on each control-plane host needs this one. Who does
//! not hold it respects it: it is read before an operation begins and before each of its steps.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::guard::Confirmed;
use crate::etcd::{Connection, Dialer, Fault, Lease, Locked, Permit};
use crate::model::text::printable;
use crate::model::{ClusterId, MemberView};
use crate::poll::Handle;

/// How a lock is kept.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// That of one who was killed goes after so long; and so long may every member be too busy to renew it.
    pub ttl: Duration,
    /// It is renewed so often; one that was renewed so lately is ours.
    pub renew: Duration,
    /// Unrenewed for so long, it counts as lost: before somebody else can have it.
    pub lost: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(120), renew: Duration::from_secs(20), lost: Duration::from_secs(90) }
    }
}

const CALL: Duration = Duration::from_secs(5);

/// Time since the machine was started, also while it slept: a lease does not sleep with it.
pub(super) fn boottime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else changes the cluster.
    #[error("another etcdtop changes this cluster now: {} (key {key}); wait for it: it goes within two minutes when that one is gone", printable(.holder))]
    Held {
        /// Who, as that one wrote it.
        holder: String,
        /// The lock.
        key: String,
    },
    /// A cluster that takes no writes keeps no lock.
    #[error(
        "no lock can be kept in a cluster that takes no writes ({0}): run it on one host alone, without --lock"
    )]
    NoWrites(Fault),
    /// Nobody could be asked, or the answer was an error.
    #[error("the lock could not be taken: {0}")]
    Fault(Fault),
}

/// Who holds the lock of a cluster, as that one wrote it; none also where nobody can be asked: what is to be done then has
/// checks of its own.
pub async fn holder(dialer: &Dialer, poll: &Handle, cluster: ClusterId, key: &str) -> Option<String> {
    let connection = Box::pin(connect(dialer, poll, cluster)).await.ok()?;
    connection.locked_by(key, CALL).await.ok()?
}

/// A connection to a voter that serves, the leader if that is one of them: it hands nothing on.
async fn connect(dialer: &Dialer, poll: &Handle, cluster: ClusterId) -> Result<Connection, Fault> {
    let view = poll.view();
    let serves = |m: &&MemberView| m.is_voter() && m.state.serves() && m.endpoint.is_some();
    let mut voters: Vec<_> = view.members.iter().filter(serves).collect();
    voters.sort_by_key(|m| m.id != view.leader);
    let mut fault = Fault::NoLeader;
    for m in voters {
        let Some((endpoint, id)) = m.endpoint.as_ref().zip(m.id) else { continue };
        // The poll's own connection is open already; on a slow link a handshake takes longer than all that is asked.
        if let Some(open) = poll.connection(endpoint)
            && let Ok(connection) = Box::pin(open.of(cluster, id, CALL)).await
        {
            return Ok(connection);
        }
        match Box::pin(dialer.connect_to(endpoint, cluster, id)).await {
            Ok(connection) => return Ok(connection),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

/// A lock that is held, and renewed by a task of its own.
#[derive(Debug)]
pub struct ClusterLock {
    held: Arc<Held>,
    lost: watch::Receiver<Option<String>>,
    renews: JoinHandle<()>,
}

/// The lock as the engine asks for it before each step.
#[derive(Debug)]
pub struct Held {
    dialer: Dialer,
    poll: Handle,
    cluster: ClusterId,
    permit: Permit,
    lease: Lease,
    times: Times,
    /// When an answer that it was ours was asked for.
    renewed: Mutex<Duration>,
}

impl Held {
    async fn connect(&self) -> Result<Connection, Fault> {
        connect(&self.dialer, &self.poll, self.cluster).await
    }

    fn age(&self) -> Duration {
        boottime().saturating_sub(*self.renewed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Renews it; whether it was still there.
    async fn renew(&self) -> Result<bool, Fault> {
        let asked = boottime();
        let kept = self.connect().await?.keep_lock(&self.permit, self.lease, CALL).await?;
        if kept {
            *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        }
        Ok(kept)
    }

    /// Whether it is ours still, for as long as a step takes to be sent.
    ///
    /// # Errors
    /// Why that is not sure.
    pub async fn check(&self) -> Result<(), String> {
        if self.age() <= self.times.renew + self.times.renew / 2 {
            return Ok(());
        }
        match Box::pin(self.renew()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("the lock in the cluster is gone".into()),
            Err(fault) => Err(format!("the lock in the cluster cannot be renewed: {fault}")),
        }
    }
}

impl ClusterLock {
    /// Takes the lock of the cluster that a plan was confirmed for.
    ///
    /// # Errors
    /// Why not.
    pub async fn take(
        dialer: Dialer,
        poll: Handle,
        confirmed: &Confirmed,
        key: &str,
        holder: &str,
        times: Times,
    ) -> Result<Self, LockError> {
        let cluster = confirmed.plan().cluster;
        let permit = confirmed.permit_of_lock();
        let asked = boottime();
        let connection = connect(&dialer, &poll, cluster).await.map_err(LockError::Fault)?;
        let lease = match connection.lock(&permit, key, holder, times.ttl, CALL).await {
            Ok(Locked::Ours(lease)) => lease,
            Ok(Locked::Theirs(holder)) => return Err(LockError::Held { holder, key: key.to_owned() }),
            Err(fault) if fault.is_no_space() => return Err(LockError::NoWrites(fault)),
            Err(fault) => return Err(LockError::Fault(fault)),
        };
        let held = Held { dialer, poll, cluster, permit, lease, times, renewed: Mutex::new(asked) };
        let held = Arc::new(held);
        let (tell, lost) = watch::channel(None);
        let renews = tokio::spawn(keep(Arc::clone(&held), tell));
        Ok(Self { held, lost, renews })
    }

    /// For the engine.
    #[must_use]
    pub fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }

    /// Waits until it is lost; why.
    pub async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        let why = lost.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Gives it back.
    ///
    /// # Errors
    /// Why it could not: then it goes by itself.
    pub async fn release(self) -> Result<(), Fault> {
        self.renews.abort();
        self.held.connect().await?.unlock(&self.held.permit, self.held.lease, CALL).await
    }

    /// Renews it no more, and leaves it to its time: what was sent may begin yet.
    pub fn leave(self) {
        self.renews.abort();
    }
}

async fn keep(held: Arc<Held>, lost: watch::Sender<Option<String>>) {
    let mut pause = held.times.renew;
    loop {
        sleep(pause).await;
        // An attempt must not outlast the lease that it is to renew.
        let left = held.times.lost.saturating_sub(held.age()).max(Duration::from_millis(500));
        let kept = timeout(left, Box::pin(held.renew())).await;
        pause = match kept {
            Ok(Ok(true)) => held.times.renew,
            Ok(Ok(false)) => {
                lost.send_replace(Some("the lock in the cluster is gone".into()));
                return;
            }
            // A member that is rewritten answers nobody.
            failed if held.age() >= held.times.lost => {
                let why = failed.map_or_else(
                    |_| "no answer".into(),
                    |f| f.map_or_else(|f| f.to_string(), |_| String::new()),
                );
                lost.send_replace(Some(format!("the lock in the cluster cannot be renewed: {why}")));
                return;
            }
            _ => held.times.renew.min(Duration::from_secs(2)),
        };
    }
}
