//! The real world of the engine: a cluster that is being polled, and a connection of its own for each step.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::event::Progress;
use super::lock::{Held, LockError, boottime, holder};
use super::plan::Action;
use super::save::{self, Saving};
use super::seam::{Called, Look, Told, World};
use crate::etcd::{Connection, Dialer, Fault, Permit};
use crate::model::{Alarm, ClusterId, ClusterView, MemberId, MemberState, MemberView};
use crate::poll::Handle;

/// How long a look waits for a poll: who has not answered anew by then counts as silent.
const LOOK: Duration = Duration::from_secs(5);
/// Moving the leader, disarming, a put: calls that a healthy cluster answers at once.
const SHORT: Duration = Duration::from_secs(10);

/// A polled cluster, and how to reach its members.
#[derive(Debug)]
pub struct Live {
    dialer: Dialer,
    cluster: ClusterId,
    poll: Handle,
    saving: Saving,
    lock: Lock,
}

/// What makes sure that nobody else changes the cluster meanwhile.
#[derive(Clone, Debug)]
pub enum Lock {
    /// Nothing but the journal's lock on this host.
    Host,
    /// The lock in the cluster is ours.
    Ours(Arc<Held>),
    /// It is not; the key is read, and whoever holds it respected.
    Respected(String),
}

impl Live {
    /// For the cluster that `poll` looks at; `dialer` is that of the poll.
    #[must_use]
    pub fn new(dialer: Dialer, cluster: ClusterId, poll: Handle) -> Self {
        Self { dialer, cluster, poll, saving: Saving::default(), lock: Lock::Host }
    }

    /// The same with a lock in the cluster.
    #[must_use]
    pub fn with_lock(self, lock: Lock) -> Self {
        Self { lock, ..self }
    }

    /// A connection to one member, which is made sure to be that member.
    async fn to(&self, member: MemberId) -> Result<Connection, Fault> {
        let view = self.poll.view();
        let endpoint = view.member(member).and_then(|m| m.endpoint.clone());
        let not_sent = |fault| Fault::NotSent { fault: Box::new(fault) };
        let endpoint = endpoint.ok_or_else(|| {
            not_sent(Fault::Unreachable { reason: "no endpoint leads to it from here".into() })
        })?;
        // Whatever goes wrong on the way there, the call itself was not sent.
        self.dialer.connect_to(&endpoint, self.cluster, member).await.map_err(not_sent)
    }

    /// The same for what only reads. Without a quorum nobody authenticates, but the poll's own connection has its token
    /// already, and a snapshot is what one wants then.
    async fn to_read(&self, member: MemberId) -> Result<Connection, Fault> {
        let refused = match self.to(member).await {
            Ok(connection) => return Ok(connection),
            Err(fault) => fault,
        };
        let view = self.poll.view();
        let endpoint = view.member(member).and_then(|m| m.endpoint.as_ref());
        match endpoint.and_then(|e| self.poll.connection(e)) {
            Some(open) if self.dialer.access().user.is_some() => {
                open.of(self.cluster, member, LOOK).await.map_err(|_| refused)
            }
            _ => Err(refused),
        }
    }

    /// The leader if there is a way to it; else any voter that serves: it hands on what goes through Raft.
    fn voter(&self) -> Result<MemberId, Fault> {
        let view = self.poll.view();
        let serves = |m: &&MemberView| m.is_voter() && m.state.serves() && m.endpoint.is_some();
        let mut voters: Vec<_> = view.members.iter().filter(serves).collect();
        voters.sort_by_key(|m| m.id != view.leader);
        voters.first().and_then(|m| m.id).ok_or(Fault::NoLeader)
    }

    /// Who is asked to carry an action out.
    fn whom(&self, action: &Action) -> Result<MemberId, Fault> {
        match action {
            Action::Defragment { member } | Action::Snapshot { member, .. } => Ok(*member),
            Action::MoveLeader { .. } => self.poll.view().leader.ok_or(Fault::NoLeader),
            _ => self.voter(),
        }
    }

    /// The alarms that an action takes back, as they are raised now.
    fn raised(&self, action: &Action) -> Vec<Alarm> {
        let Action::Disarm { member, alarm, .. } = action else { return Vec::new() };
        let view = self.poll.view();
        let meant = |a: &&Alarm| a.kind == *alarm && member.is_none_or(|m| a.member == m);
        view.alarms.iter().filter(meant).copied().collect()
    }

    /// What is not to be done, because it is so already.
    fn needless(&self, action: &Action) -> Option<&'static str> {
        match action {
            Action::MoveLeader { to, .. } => {
                (self.poll.view().leader == Some(*to)).then_some("it led already")
            }
            Action::Disarm { .. } => self.raised(action).is_empty().then_some("it was not raised any more"),
            _ => None,
        }
    }

    async fn send(
        &self,
        permit: &Permit,
        action: &Action,
        to: Connection,
        limit: Duration,
        progress: &watch::Sender<Progress>,
    ) -> Result<Told, Fault> {
        match action {
            Action::Defragment { .. } => to.defragment(permit, limit).await.map(|()| Told::default()),
            Action::Compact { revision } => {
                to.compact(permit, *revision, limit).await.map(|()| Told::default())
            }
            Action::MoveLeader { to: transferee, .. } => {
                to.move_leader(permit, *transferee, SHORT).await.map(|()| Told::default())
            }
            Action::Disarm { .. } => {
                for raised in self.raised(action) {
                    to.disarm(permit, raised.member, raised.kind, SHORT).await?;
                }
                Ok(Told::default())
            }
            Action::ProveWrite { key } => {
                to.prove_write(permit, key, SHORT).await?;
                Ok(Told { note: Some(format!("put and deleted {key}")), file: None })
            }
            Action::Snapshot { member, file, verify, numbered } => {
                let wanted = save::Wanted { file, numbered: *numbered, verify: *verify };
                save::save(&to, &self.poll.view(), *member, wanted, &self.saving, progress).await
            }
        }
    }
}

/// The view without what nobody said anew: a gate must not let a step pass on yesterday's health, nor an outcome be told
/// from yesterday's counters.
fn only_fresh(view: &ClusterView, asked: Timestamp) -> ClusterView {
    let mut view = view.clone();
    for m in view.members.iter_mut().filter(|m| m.state.answers()) {
        if !is_since(m.status_asked, asked, view.at) {
            m.state = MemberState::Hung;
            m.detail = Some("it was asked again and has not answered".into());
        }
    }
    for m in &mut view.members {
        m.metrics_asked = m.metrics_asked.filter(|_| is_since(m.metrics_asked, asked, view.at));
    }
    // A leader whom nobody names any more leads no more, as far as is known.
    let named = |id: MemberId| {
        let mut fresh = view.members.iter().filter(|m| m.state.answers());
        fresh.any(|m| m.status.as_ref().is_some_and(|s| s.leader == Some(id)))
    };
    view.leader = view.leader.filter(|id| named(*id));
    view
}

/// Whether a question was asked after another moment. One that lies in the future is of a clock that was set back: old.
fn is_since(at: Option<Timestamp>, asked: Timestamp, now: Timestamp) -> bool {
    at.is_some_and(|at| at >= asked && at <= now)
}

/// Whether every member that answers has said anew what it was asked for, or failed to.
fn is_fresh(view: &ClusterView, asked: Timestamp, how: Look) -> bool {
    let since = |at: Option<Timestamp>| is_since(at, asked, view.at);
    // Who never had metrics to tell is not waited for.
    let scraped = |m: &MemberView| how == Look::Status || m.metrics.is_none() || since(m.scrape_asked);
    view.at >= asked
        && view.members.iter().filter(|m| m.state.answers()).all(|m| since(m.status_asked) && scraped(m))
}

/// Who is to carry an action out, and the connection there; or why nothing is to be done.
#[derive(Debug)]
pub enum Way {
    /// To this member.
    To(MemberId, Box<Connection>),
    /// It is so already.
    Needless(&'static str),
}

impl World for Live {
    type Way = Way;

    async fn look(&mut self, how: Look) -> Arc<ClusterView> {
        // Compared with the same clock's times of the questions.
        let asked = Timestamp::now();
        let fresh = |view: &Arc<ClusterView>| is_fresh(view, asked, how);
        match self.poll.look(how == Look::Closely, LOOK, fresh).await {
            Some(view) if how == Look::Status => view,
            Some(view) => Arc::new(only_fresh(&view, asked)),
            None => Arc::new(only_fresh(&self.poll.view(), asked)),
        }
    }

    async fn alone(&mut self, action: &Action) -> Result<(), String> {
        match &self.lock {
            _ if !action.changes() => Ok(()),
            Lock::Host => Ok(()),
            Lock::Ours(held) => held.check().await,
            Lock::Respected(key) => match holder(&self.dialer, &self.poll, self.cluster, key).await {
                Some(holder) => Err(LockError::Held { holder, key: key.clone() }.to_string()),
                None => Ok(()),
            },
        }
    }

    async fn reach(&mut self, action: &Action) -> Result<Way, Fault> {
        if let Some(why) = self.needless(action) {
            return Ok(Way::Needless(why));
        }
        let whom = self.whom(action)?;
        let to = match action {
            Action::Snapshot { .. } => self.to_read(whom).await?,
            _ => self.to(whom).await?,
        };
        Ok(Way::To(whom, Box::new(to)))
    }

    async fn act(
        &mut self,
        way: Way,
        permit: &Permit,
        action: &Action,
        limit: Duration,
        progress: &watch::Sender<Progress>,
    ) -> Called {
        match way {
            Way::Needless(why) => Called {
                via: None,
                took: Duration::ZERO,
                outcome: Ok(Told { note: Some(why.to_owned()), file: None }),
            },
            Way::To(member, to) => {
                self.saving = Saving::default();
                let sent = self.clock();
                let outcome = Box::pin(self.send(permit, action, *to, limit, progress)).await;
                Called { via: Some(member), took: self.clock().saturating_sub(sent), outcome }
            }
        }
    }

    async fn give_up(&mut self) -> Option<Told> {
        self.saving.give_up().await
    }

    async fn pause(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn clock(&self) -> Duration {
        boottime()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gates::{self, Gate};
    use crate::testing::{healthy, noon};

    #[test]
    fn a_view_that_nobody_renewed_lets_nothing_pass() {
        let mut view = healthy(3);
        let asked = view.at.checked_add(Duration::from_secs(5)).unwrap();
        view.members[0].status_asked = Some(asked);
        view.at = asked;
        let seen = only_fresh(&view, asked);
        assert_eq!(seen.members.iter().map(|m| m.state.answers()).collect::<Vec<_>>(), [true, false, false]);
        let action = Action::Defragment { member: view.members[0].id.unwrap() };
        let cluster = view.cluster_id.unwrap();
        assert_eq!(gates::before(cluster, &action, &view), Gate::Go);
        assert!(matches!(gates::before(cluster, &action, &seen), Gate::Wait(_)));
    }

    #[test]
    fn an_answer_to_an_older_question_is_not_fresh() {
        let mut view = healthy(3);
        let asked = view.at.checked_add(Duration::from_secs(5)).unwrap();
        view.at = asked.checked_add(Duration::from_secs(1)).unwrap();
        for m in &mut view.members {
            // It came after the look began; what it tells may have been true before.
            m.status_at = Some(view.at);
        }
        assert!(!is_fresh(&view, asked, Look::Status));
        for m in &mut view.members {
            m.status_asked = Some(asked);
            m.metrics = Some(std::sync::Arc::default());
        }
        assert!(is_fresh(&view, asked, Look::Status));
        assert!(!is_fresh(&view, asked, Look::Closely), "their metrics are older");
        for m in &mut view.members {
            (m.scrape_asked, m.metrics_asked) = (Some(asked), Some(noon()));
        }
        assert!(is_fresh(&view, asked, Look::Closely), "who failed to tell them is not waited for");
        let seen = only_fresh(&view, asked);
        assert!(seen.members.iter().all(|m| m.metrics_asked.is_none()), "and tells no outcome");
        // The clock was set back since: what lies in the future is old.
        let earlier = noon().checked_sub(Duration::from_secs(3_600)).unwrap();
        view.at = earlier;
        assert!(!is_fresh(&view, earlier, Look::Status));
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
        let live = Live::new(dialer, cluster, Handle::still(view));
        let Err(fault) = live.to(member).await else { panic!("nobody answers there") };
        assert!(matches!(fault, Fault::NotSent { .. }) && !fault.outcome_unknown(), "{fault:?}");
        assert!(fault.to_string().contains("nothing was sent"), "{fault}");
    }
}
