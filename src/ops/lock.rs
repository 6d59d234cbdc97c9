//! One change at a time, also from several hosts: a key in the cluster itself, under a lease that is renewed while the
//! operation runs. The journal's lock is seen on one host alone; a timer on each control-plane host needs this one.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::guard::Confirmed;
use crate::etcd::{Connection, Dialer, Fault, Lease, Locked, Permit};
use crate::model::text::printable;
use crate::model::{ClusterId, MemberView};
use crate::poll::Handle;

/// The lock of one who was killed goes after so long; and so long may every member be too busy to renew it.
const TTL: Duration = Duration::from_secs(120);
/// It is renewed so often.
const RENEW: Duration = Duration::from_secs(20);
/// Unrenewed for so long, it counts as lost: before somebody else can have it.
const LOST: Duration = Duration::from_secs(100);
const CALL: Duration = Duration::from_secs(5);

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else changes the cluster.
    #[error("another etcdtop changes this cluster now: {} (key {key}); wait for it", printable(.holder))]
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

/// A lock that is held.
#[derive(Debug)]
pub struct ClusterLock {
    way: Arc<Way>,
    lease: Lease,
    lost: watch::Receiver<Option<String>>,
    renews: JoinHandle<()>,
}

#[derive(Debug)]
struct Way {
    dialer: Dialer,
    poll: Handle,
    cluster: ClusterId,
    permit: Permit,
}

impl Way {
    async fn connect(&self) -> Result<Connection, Fault> {
        connect(&self.dialer, &self.poll, self.cluster).await
    }
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
        match Box::pin(dialer.connect_to(endpoint, cluster, id)).await {
            Ok(connection) => return Ok(connection),
            Err(why) => fault = why,
        }
    }
    Err(fault)
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
    ) -> Result<Self, LockError> {
        let cluster = confirmed.plan().cluster;
        let way = Arc::new(Way { dialer, poll, cluster, permit: confirmed.permit_of_lock() });
        let connection = way.connect().await.map_err(LockError::Fault)?;
        let lease = match connection.lock(&way.permit, key, holder, TTL, CALL).await {
            Ok(Locked::Ours(lease)) => lease,
            Ok(Locked::Theirs(holder)) => return Err(LockError::Held { holder, key: key.to_owned() }),
            Err(fault) if fault.is_no_space() => return Err(LockError::NoWrites(fault)),
            Err(fault) => return Err(LockError::Fault(fault)),
        };
        let (tell, lost) = watch::channel(None);
        let renews = tokio::spawn(renew(Arc::clone(&way), lease, tell));
        Ok(Self { way, lease, lost, renews })
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
    /// Why it could not: then it goes by itself within two minutes.
    pub async fn release(self) -> Result<(), Fault> {
        self.renews.abort();
        self.way.connect().await?.unlock(&self.way.permit, self.lease, CALL).await
    }
}

async fn renew(way: Arc<Way>, lease: Lease, lost: watch::Sender<Option<String>>) {
    let mut renewed = Instant::now();
    let mut pause = RENEW;
    loop {
        sleep(pause).await;
        let kept = match way.connect().await {
            Ok(connection) => connection.keep_lock(&way.permit, lease, CALL).await,
            Err(fault) => Err(fault),
        };
        pause = match kept {
            Ok(true) => {
                renewed = Instant::now();
                RENEW
            }
            Ok(false) => {
                lost.send_replace(Some("the lock in the cluster is gone".into()));
                return;
            }
            Err(fault) if renewed.elapsed() >= LOST => {
                lost.send_replace(Some(format!("the lock in the cluster cannot be renewed: {fault}")));
                return;
            }
            // A member that is rewritten answers nobody.
            Err(_) => Duration::from_secs(2),
        };
    }
}
