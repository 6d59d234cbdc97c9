//! Where the engine ends and the world begins: what it acts on, and where it writes down what it is about to do. The real
//! ones are [`super::world::Live`] and [`Journal`]; tests bring simulated ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::event::Progress;
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
    /// From sending to the answer or to giving up.
    pub took: Duration,
    /// What came of it, and what there is to tell.
    pub outcome: Result<Told, Fault>,
}

/// What there is to tell of a call that did what it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// In words.
    pub note: Option<String>,
    /// The file that it left.
    pub file: Option<PathBuf>,
}

/// What the engine acts on.
pub trait World: Send {
    /// A way to the member that carries an action out, which is made sure to be that member.
    type Way: Send;
    /// A view of what members said after this call began.
    fn look(&mut self, how: Look) -> impl Future<Output = Arc<ClusterView>> + Send;
    /// Makes sure, right before an action, that nobody else changes the cluster; why not, if somebody may.
    fn alone(&mut self, _: &Action) -> impl Future<Output = Result<(), String>> + Send {
        std::future::ready(Ok(()))
    }
    /// Finds the way to whoever is to carry out an action. Nothing of it is sent yet.
    fn reach(&mut self, action: &Action) -> impl Future<Output = Result<Self::Way, Fault>> + Send;
    /// Carries out one action. `progress` may be told how far it is.
    fn act(
        &mut self,
        way: Self::Way,
        permit: &Permit,
        action: &Action,
        limit: Duration,
        progress: &watch::Sender<Progress>,
    ) -> impl Future<Output = Called> + Send;
    /// Waits until what a call that was dropped had begun has come to its end; what it came to, if it was done all the same.
    fn give_up(&mut self) -> impl Future<Output = Option<Told>> + Send {
        std::future::ready(None)
    }
    /// Lets time pass.
    fn pause(&mut self, time: Duration) -> impl Future<Output = ()> + Send;
    /// The time of day, for the journal.
    fn now(&self) -> Timestamp;
    /// A clock that nobody sets and that goes on while the machine sleeps, for limits and for how old a look is.
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
