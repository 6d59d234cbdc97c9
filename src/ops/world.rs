//! The real world of the engine: a cluster that is being polled, and a connection of its own for each step.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use super::engine::{Progress, World};
use super::plan::Action;
use super::save;
use crate::etcd::{Connection, Dialer, Fault, Permit};
use crate::model::{ClusterId, ClusterView, MemberId, MemberState};

/// How long a look waits for a poll: who has not answered anew by then counts as silent.
const LOOK: Duration = Duration::from_secs(5);
/// Moving the leader, disarming, a put: calls that a healthy cluster answers at once.
const SHORT: Duration = Duration::from_secs(10);

/// A polled cluster, and how to reach its members.
pub struct Live {
    dialer: Dialer,
    cluster: ClusterId,
    views: watch::Receiver<Arc<ClusterView>>,
    poll_now: Box<dyn Fn() + Send + Sync>,
}

impl Live {
    /// `views` come from a running poll, `poll_now` asks that for one now.
    #[must_use]
    pub fn new(
        dialer: Dialer,
        cluster: ClusterId,
        views: watch::Receiver<Arc<ClusterView>>,
        poll_now: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self { dialer, cluster, views, poll_now }
    }

    /// A connection to one member, which is made sure to be that member.
    async fn to(&self, member: MemberId) -> Result<Connection, Fault> {
        let view = Arc::clone(&self.views.borrow());
        let endpoint = view.member(member).and_then(|m| m.endpoint.clone());
        let endpoint = endpoint
            .ok_or_else(|| Fault::Unreachable { reason: "no endpoint leads to it from here".into() })?;
        // Whatever goes wrong on the way there, the call itself was not sent.
        let connected = self.dialer.connect_to(&endpoint, self.cluster, member).await;
        connected.map_err(|fault| Fault::NotSent { fault: Box::new(fault) })
    }

    /// The leader if there is a way to it; else any voter that serves: it hands on what goes through Raft.
    async fn to_voter(&self) -> Result<Connection, Fault> {
        let view = Arc::clone(&self.views.borrow());
        let serves = |m: &&crate::model::MemberView| m.is_voter() && m.state.serves() && m.endpoint.is_some();
        let mut voters: Vec<_> = view.members.iter().filter(serves).collect();
        voters.sort_by_key(|m| m.id != view.leader);
        let member = voters.first().and_then(|m| m.id).ok_or(Fault::NoLeader)?;
        self.to(member).await
    }
}

/// The view without what nobody said anew: a gate must not let a step pass on yesterday's health.
fn only_fresh(view: &ClusterView, asked: Timestamp) -> ClusterView {
    let mut view = view.clone();
    for m in view.members.iter_mut().filter(|m| m.state.answers() && m.status_at.is_none_or(|at| at < asked))
    {
        m.state = MemberState::Hung;
        m.detail = Some("it was asked again and has not answered".into());
    }
    view
}

impl World for Live {
    async fn look(&mut self) -> Arc<ClusterView> {
        let asked = Timestamp::now();
        (self.poll_now)();
        // The members must have been asked after this, or be known not to answer.
        let fresh = |view: &Arc<ClusterView>| {
            view.at >= asked
                && view
                    .members
                    .iter()
                    .filter(|m| m.state.answers())
                    .all(|m| m.status_at.is_some_and(|at| at >= asked))
        };
        let in_time = matches!(timeout(LOOK, self.views.wait_for(fresh)).await, Ok(Ok(_)));
        let view = Arc::clone(&self.views.borrow());
        if in_time { view } else { Arc::new(only_fresh(&view, asked)) }
    }

    async fn act(
        &mut self,
        permit: &Permit,
        action: &Action,
        limit: Duration,
        progress: &watch::Sender<Progress>,
    ) -> Result<Option<String>, Fault> {
        if !permit.covers(self.cluster) {
            return Err(Fault::WrongMember { found: MemberId(0), cluster: self.cluster });
        }
        match action {
            Action::Defragment { member } => {
                self.to(*member).await?.defragment(permit, limit).await?;
                Ok(None)
            }
            Action::Compact { revision } => {
                self.to_voter().await?.compact(permit, *revision, limit).await?;
                Ok(None)
            }
            Action::MoveLeader { to, .. } => {
                let leader = self.views.borrow().leader.ok_or(Fault::NoLeader)?;
                if leader != *to {
                    self.to(leader).await?.move_leader(permit, *to, SHORT).await?;
                }
                Ok(None)
            }
            Action::Disarm { member, alarm } => {
                let raised =
                    self.views.borrow().alarms.iter().any(|a| a.member == *member && a.kind == *alarm);
                if !raised {
                    return Ok(Some("it was not raised any more".into()));
                }
                self.to_voter().await?.disarm(permit, *member, *alarm, SHORT).await?;
                Ok(None)
            }
            Action::ProveWrite { key } => {
                self.to_voter().await?.prove_write(permit, key, SHORT).await?;
                Ok(Some(format!("put and deleted {key}")))
            }
            Action::Snapshot { member, file } => {
                let connection = self.to(*member).await?;
                let view = Arc::clone(&self.views.borrow());
                let saved = save::save(&connection, &view, *member, file, progress).await?;
                Ok(Some(saved))
            }
        }
    }

    async fn pause(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gates::{self, Gate};
    use crate::testing::healthy;

    #[test]
    fn a_view_that_nobody_renewed_lets_nothing_pass() {
        let mut view = healthy(3);
        let asked = view.at.checked_add(Duration::from_secs(5)).unwrap();
        view.members[0].status_at = Some(asked);
        let seen = only_fresh(&view, asked);
        assert_eq!(seen.members.iter().map(|m| m.state.answers()).collect::<Vec<_>>(), [true, false, false]);
        let action = Action::Defragment { member: view.members[0].id.unwrap() };
        let cluster = view.cluster_id.unwrap();
        assert_eq!(gates::before(cluster, &action, &view), Gate::Go);
        assert!(matches!(gates::before(cluster, &action, &seen), Gate::Wait(_)));
    }

    /// A member that accepts TCP and says nothing is not asked to do anything: there is no outcome to watch for.
    #[tokio::test]
    async fn what_was_not_sent_is_not_watched_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut view = healthy(1);
        let endpoint = crate::model::Endpoint::parse(&silent.local_addr().unwrap().to_string()).unwrap();
        view.members[0].endpoint = Some(endpoint.clone());
        let (member, cluster) = (view.members[0].id.unwrap(), view.cluster_id.unwrap());
        let access = crate::etcd::Access {
            dial_timeout: Duration::from_millis(100),
            command_timeout: Duration::from_millis(100),
            ..crate::etcd::Access::default()
        };
        let dialer = Dialer::new(access, &[endpoint]).unwrap();
        let (_views, views) = watch::channel(Arc::new(view));
        let live = Live::new(dialer, cluster, views, Box::new(|| {}));
        let Err(fault) = live.to(member).await else { panic!("nobody answers there") };
        assert!(matches!(fault, Fault::NotSent { .. }) && !fault.outcome_unknown(), "{fault:?}");
        assert!(fault.to_string().contains("nothing was sent"), "{fault}");
    }
}
