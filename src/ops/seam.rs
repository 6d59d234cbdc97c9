//! Where the engine ends and the world begins: what it acts on, and where it writes down what it is about to do. The real
//! ones are [`super::world::Live`] and [`Journal`]; tests bring simulated ones.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::engine::Progress;
use super::journal::{Entry, Journal, JournalError};
use super::plan::{Action, PlanId};
use crate::etcd::{Fault, Permit};
use crate::model::{ClusterView, MemberId};

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Every member is asked for its `Status`.
    Status,
    /// And for its `/metrics`: of members that did not tell those anew, `metrics_asked` is none.
    Closely,
}

/// How a call went.
#[derive(Debug)]
pub struct Called {
    /// The member that it was sent to, where it was sent.
    pub via: Option<MemberId>,
    /// From sending to the answer or to giving up, without the way there.
    pub took: Duration,
    /// What came of it, and what there is to tell.
    pub outcome: Result<Option<String>, Fault>,
}

/// What the engine acts on.
pub trait World: Send {
    /// A view of what members said after this call began.
    fn look(&mut self, how: Look) -> impl Future<Output = Arc<ClusterView>> + Send;
    /// Carries out one action. `progress` may be told how far it is.
    fn act(
        &mut self,
        permit: &Permit,
        action: &Action,
        limit: Duration,
        progress: &watch::Sender<Progress>,
    ) -> impl Future<Output = Called> + Send;
    /// Lets time pass.
    fn pause(&mut self, time: Duration) -> impl Future<Output = ()> + Send;
    /// The time of day, for the journal.
    fn now(&self) -> Timestamp;
    /// A clock that nobody sets, for limits.
    fn clock(&self) -> Duration;
}

/// Where what happens is written down before it happens.
pub trait Record: Send {
    /// On disk when this is done.
    ///
    /// # Errors
    /// When it is not: then what it announces must not happen.
    fn write(
        &mut self,
        at: Timestamp,
        plan: &PlanId,
        entry: Entry<'_>,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;
}

impl Record for Journal {
    fn write(
        &mut self,
        at: Timestamp,
        plan: &PlanId,
        entry: Entry<'_>,
    ) -> impl Future<Output = Result<(), JournalError>> + Send {
        Self::write(self, at, plan, &entry)
    }
}
