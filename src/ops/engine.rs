//! Carries out a plan, one step after the other, each checked right before and right after; generic over the world it
//! acts on, so that the same engine runs on real clusters and, under the property test, on simulated ones.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::gates::{self, Gate};
use super::guard::Confirmed;
use super::journal::{End, Entry, Figures, Journal, JournalError, StepEnd};
use super::plan::{Action, AfterFailure, Plan, PlanId, Step};
use crate::etcd::{Fault, Permit};
use crate::model::{Bytes, ClusterView, MemberId};

/// What the engine acts on.
pub trait World: Send {
    /// A view that was polled after this call began.
    fn look(&mut self) -> impl Future<Output = Arc<ClusterView>> + Send;
    /// Carries out one action. `progress` may be told how far it is.
    fn act(
        &mut self,
        permit: &Permit,
        action: &Action,
        limit: Duration,
        progress: &watch::Sender<Progress>,
    ) -> impl Future<Output = Result<Option<String>, Fault>> + Send;
    /// Lets time pass.
    fn pause(&mut self, time: Duration) -> impl Future<Output = ()> + Send;
    /// The time.
    fn now(&self) -> Timestamp;
}

/// Where what happens is written down before it happens.
pub trait Record: Send {
    /// On disk when this returns.
    ///
    /// # Errors
    /// When it is not: then what it announces must not happen.
    fn write(&mut self, at: Timestamp, plan: &PlanId, entry: Entry<'_>) -> Result<(), JournalError>;
}

impl Record for Journal {
    fn write(&mut self, at: Timestamp, plan: &PlanId, entry: Entry<'_>) -> Result<(), JournalError> {
        Self::write(self, at, plan, entry)
    }
}

/// How far a step is, where that can be told truly; never a guess.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is known but the time.
    #[default]
    Unknown,
    /// So many bytes of a snapshot are in the file.
    Bytes {
        /// So many.
        done: Bytes,
        /// Of so many, about: the member goes on writing.
        of: Option<Bytes>,
    },
}

/// What the engine tells while it runs. A transition is never lost; how far a step is comes by [`Progress`].
#[derive(Clone, Debug, PartialEq)]
pub enum OpEvent {
    /// It waits before or after a step, and why.
    Waiting {
        /// From 0.
        step: usize,
        /// For what.
        why: String,
    },
    /// A step began.
    Began {
        /// From 0.
        step: usize,
        /// When.
        at: Timestamp,
    },
    /// The remaining steps go in another order: the leader has changed.
    Reordered(Vec<Step>),
    /// A step ended.
    StepEnded {
        /// From 0.
        step: usize,
        /// How.
        end: StepEnd,
        /// Its figures.
        figures: Figures,
    },
    /// The operation ended.
    Ended(End),
}

/// Time limits of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long what a step needs may take to come about.
    pub settle: Duration,
    /// One call of a step; a defragmentation or compaction goes on behind it.
    pub call: Duration,
    /// How long a member whose outcome is unknown is watched.
    pub watch: Duration,
    /// Between two looks.
    pub pause: Duration,
    /// Looks in a row that must be good after a step.
    pub good_looks: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // OpenShift's operator gives a member 60 s to come back.
            settle: Duration::from_secs(60),
            call: Duration::from_secs(600),
            watch: Duration::from_secs(1_800),
            pause: Duration::from_millis(200),
            good_looks: 2,
        }
    }
}

/// How often a plan is put into another order before one step: more, and the cluster is not fit for it.
const REORDERS: usize = 8;

/// Runs a plan to its end.
#[derive(Debug)]
pub struct Engine<W, R, T> {
    world: W,
    record: R,
    tell: T,
    limits: Limits,
    stop: watch::Receiver<Option<String>>,
    progress: watch::Sender<Progress>,
}

enum Passed {
    Yes(Arc<ClusterView>),
    No(String),
    Cancelled(String),
}

impl<W: World, R: Record, T: FnMut(OpEvent) + Send> Engine<W, R, T> {
    /// An engine for one plan. `stop` holds why it shall stop at the next safe point, once it shall.
    pub const fn new(
        world: W,
        record: R,
        tell: T,
        limits: Limits,
        stop: watch::Receiver<Option<String>>,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self { world, record, tell, limits, stop, progress }
    }

    /// Carries the plan out. `by` is who confirmed it.
    pub async fn run(mut self, confirmed: Confirmed, by: &str) -> End {
        let (plan, permit) = confirmed.into_parts();
        let at = self.world.now();
        let end = match self.record.write(at, &plan.id, Entry::Confirmed { by, body: &plan }) {
            Ok(()) => self.steps(&plan, &permit).await,
            Err(e) => End::Failed(format!("nothing was done: {e}")),
        };
        let at = self.world.now();
        if let Err(e) = self.record.write(at, &plan.id, Entry::Ended { end: &end }) {
            tracing::error!("the end of {} is not in the journal: {e}", plan.id);
        }
        (self.tell)(OpEvent::Ended(end.clone()));
        end
    }

    async fn steps(&mut self, plan: &Plan, permit: &Permit) -> End {
        let mut steps = plan.steps.clone();
        let mut worst = None;
        for i in 0..steps.len() {
            if let Some(why) = self.stop.borrow().clone() {
                return End::Cancelled(format!("{why}, before {}", steps[i].title));
            }
            let passed = self.admit(plan, &mut steps, i).await;
            let end = self.step(plan, permit, i, &steps[i].clone(), passed).await;
            match end {
                Ok(StepEnd::Done) => {}
                Ok(StepEnd::Skipped(why)) if goes_on(plan, &steps[i]) => {
                    worst.get_or_insert(End::Stopped(format!("{}: {why}", steps[i].title)));
                }
                Ok(StepEnd::Skipped(why)) => return End::Stopped(format!("{}: {why}", steps[i].title)),
                Ok(StepEnd::Unknown(why)) => return End::Unknown(format!("{}: {why}", steps[i].title)),
                Ok(StepEnd::Failed(why)) => {
                    let end = End::Failed(format!("{}: {why}", steps[i].title));
                    if !goes_on(plan, &steps[i]) {
                        return end;
                    }
                    worst = Some(end);
                }
                Err(end) => return end,
            }
        }
        worst.unwrap_or(End::Done)
    }

    /// The gate before a step. A member that leads by now goes behind the others: which step is next is only known from
    /// the very look that lets it pass.
    async fn admit(&mut self, plan: &Plan, steps: &mut [Step], i: usize) -> Passed {
        for _ in 0..REORDERS {
            let action = steps[i].action.clone();
            let passed = self.pass(plan, i, |cluster, view| gates::before(cluster, &action, view), 1).await;
            match &passed {
                Passed::Yes(view) if leader_last(&mut steps[i..], view) => {
                    (self.tell)(OpEvent::Reordered(steps.to_vec()));
                }
                _ => return passed,
            }
        }
        Passed::No("the leader changes all the time".into())
    }

    /// One step that was let pass, or not: announcement, call, outcome, gate.
    async fn step(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        i: usize,
        step: &Step,
        passed: Passed,
    ) -> Result<StepEnd, End> {
        let before = match passed {
            Passed::Yes(view) => view,
            Passed::Cancelled(why) => return Err(End::Cancelled(format!("{why}, before {}", step.title))),
            Passed::No(why) => {
                let end = StepEnd::Skipped(format!("not done: {why}"));
                self.step_ended(plan, i, step, &end, &Figures::default())?;
                return Ok(end);
            }
        };
        if let Some(why) = self.stop.borrow().clone() {
            return Err(End::Cancelled(format!("{why}, before {}", step.title)));
        }
        // A leader is only rewritten in place where the plan that was confirmed says so.
        if let Action::Defragment { member } = step.action
            && before.leader == Some(member)
            && !step.as_leader
        {
            let end = StepEnd::Skipped(format!(
                "not done: {} leads by now, and the plan does not say that a leader is rewritten",
                before.name_of(member)
            ));
            self.step_ended(plan, i, step, &end, &Figures::default())?;
            return Ok(end);
        }
        let began = self.world.now();
        self.write(began, plan, Entry::StepBegins { step: i + 1, body: step })?;
        (self.tell)(OpEvent::Began { step: i, at: began });
        self.progress.send_replace(Progress::default());
        let outcome = self.world.act(permit, &step.action, self.limits.call, &self.progress).await;
        let (end, note) = match outcome {
            Ok(note) => (StepEnd::Done, note),
            Err(fault) if fault.outcome_unknown() => {
                (self.resolve(&step.action, &before, &fault).await, None)
            }
            Err(fault) => (StepEnd::Failed(fault.to_string()), None),
        };
        let took = Duration::try_from(self.world.now().duration_since(began)).unwrap_or_default();
        // What must hold before the next step, and the figures of the proof, from the same look.
        let settled = if end == StepEnd::Done {
            let looks = self.limits.good_looks;
            let gate = |cluster, view: &ClusterView| match step.action {
                Action::Compact { .. } => gates::compacted(&before, view),
                _ => gates::after(cluster, &step.action, view),
            };
            self.pass(plan, i, gate, looks).await
        } else {
            Passed::Yes(self.world.look().await)
        };
        let after = match &settled {
            Passed::Yes(view) => Some(Arc::clone(view)),
            _ => Some(self.world.look().await),
        };
        let size = |view: &ClusterView| view.member(step.action.member()?)?.status.as_ref()?.db_size;
        let figures = Figures {
            before: size(&before),
            after: after.as_deref().and_then(size),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            note,
        };
        self.step_ended(plan, i, step, &end, &figures)?;
        match settled {
            Passed::Yes(_) => Ok(end),
            Passed::No(why) => Err(End::Stopped(format!("after {}: {why}", step.title))),
            Passed::Cancelled(why) => Err(End::Cancelled(format!("{why}, after {}", step.title))),
        }
    }

    fn step_ended(
        &mut self,
        plan: &Plan,
        i: usize,
        step: &Step,
        end: &StepEnd,
        figures: &Figures,
    ) -> Result<(), End> {
        let at = self.world.now();
        (self.tell)(OpEvent::StepEnded { step: i, end: end.clone(), figures: figures.clone() });
        self.write(at, plan, Entry::StepEnded { step: i + 1, action: &step.action, end, figures })
    }

    fn write(&mut self, at: Timestamp, plan: &Plan, entry: Entry<'_>) -> Result<(), End> {
        self.record.write(at, &plan.id, entry).map_err(|e| End::Stopped(e.to_string()))
    }

    /// Looks until the gate says go so many times in a row, or stop, or for too long.
    async fn pass(
        &mut self,
        plan: &Plan,
        step: usize,
        gate: impl Fn(crate::model::ClusterId, &ClusterView) -> Gate + Send,
        looks: u32,
    ) -> Passed {
        // The physical work of a compaction takes its time on every member.
        let compacts = matches!(plan.steps.get(step).map(|s| &s.action), Some(Action::Compact { .. }));
        let limit = if compacts { self.limits.call } else { self.limits.settle };
        let deadline = self.world.now().checked_add(limit).unwrap_or(Timestamp::MAX);
        let (mut good, mut told) = (0, String::new());
        loop {
            let view = self.world.look().await;
            match gate(plan.cluster, &view) {
                Gate::Go => {
                    good += 1;
                    if good >= looks {
                        return Passed::Yes(view);
                    }
                }
                Gate::Stop(why) => return Passed::No(why),
                Gate::Wait(why) => {
                    good = 0;
                    if self.world.now() >= deadline {
                        let waited = crate::model::units::age(limit);
                        return Passed::No(format!("{why}, for {waited}"));
                    }
                    if let Some(stop) = self.stop.borrow().clone() {
                        return Passed::Cancelled(stop);
                    }
                    if why != told {
                        (self.tell)(OpEvent::Waiting { step, why: why.clone() });
                        told = why;
                    }
                }
            }
            self.world.pause(self.limits.pause).await;
        }
    }

    /// A call that was not answered may have been carried out, and may still be going on: the member tells.
    async fn resolve(&mut self, action: &Action, before: &ClusterView, fault: &Fault) -> StepEnd {
        let since = self.world.now();
        let deadline = since.checked_add(self.limits.watch).unwrap_or(Timestamp::MAX);
        loop {
            let view = self.world.look().await;
            if let Some(end) = seen(action, before, &view, since, fault) {
                return end;
            }
            if let Some(why) = self.stop.borrow().clone().filter(|_| later(self.world.now(), since) >= GRACE)
            {
                return StepEnd::Unknown(format!("{fault}; {why} before the members told more"));
            }
            if self.world.now() >= deadline {
                let watched = crate::model::units::age(self.limits.watch);
                return StepEnd::Unknown(format!("{fault}; watched for {watched}, and nothing told"));
            }
            self.world.pause(self.limits.pause).await;
        }
    }
}

/// A scrape that came so much later than the call also began after it: a scrape takes five seconds at most.
const SCRAPED_LATER: Duration = Duration::from_secs(6);
/// What has not happened so long after the call was given up does not happen any more: a transfer of leadership is given up
/// after an election timeout, a proposal after seven seconds.
const GRACE: Duration = Duration::from_secs(10);

fn later(at: Timestamp, since: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(since)).unwrap_or_default()
}

/// What a view tells of an action whose call was not answered until `since`; none: nothing yet.
fn seen(
    action: &Action,
    before: &ClusterView,
    now: &ClusterView,
    since: Timestamp,
    fault: &Fault,
) -> Option<StepEnd> {
    match action {
        Action::Defragment { member } => {
            let (was, is) = (before.member(*member)?, now.member(*member)?);
            if !is.state.answers() {
                // Whether it is gone or only the way to it: it is watched until it answers again.
                return None;
            }
            let counted = |m: &crate::model::MemberView| m.metrics.as_ref().and_then(|x| x.defragmentations);
            match (counted(was), counted(is)) {
                // Counters begin anew with the process: it was restarted, and left its file as it was.
                (Some(a), Some(b)) if b > a => Some(StepEnd::Done),
                (Some(a), Some(b)) if b < a => {
                    Some(StepEnd::Failed(format!("{fault}; {} was restarted meanwhile", is.label())))
                }
                (Some(_), Some(_)) if is.metrics.as_ref().and_then(|x| x.defrag_inflight) == Some(true) => {
                    None
                }
                _ => {
                    let size = |m: &crate::model::MemberView| m.status.as_ref().and_then(|s| s.db_size);
                    let shrunk = size(was).zip(size(is)).is_some_and(|(a, b): (Bytes, Bytes)| b < a);
                    // Only a scrape that began after the call can tell that there is none.
                    let fresh = is.metrics_at.is_some_and(|at| later(at, since) >= SCRAPED_LATER);
                    match (shrunk, fresh) {
                        (true, _) => Some(StepEnd::Done),
                        (false, true) => {
                            Some(StepEnd::Failed(format!("{fault}; the member did not defragment")))
                        }
                        (false, false) => None,
                    }
                }
            }
        }
        // That it happened is proof at once; that it has not, only when it does not happen any more.
        Action::MoveLeader { to, .. } => match now.leader {
            Some(leader) if leader == *to => Some(StepEnd::Done),
            Some(leader) if later(now.at, since) >= GRACE => {
                Some(StepEnd::Failed(format!("{fault}; {} leads", now.name_of(leader))))
            }
            _ => None,
        },
        Action::Disarm { member, alarm } => {
            let raised = now.alarms.iter().any(|a| a.member == *member && a.kind == *alarm);
            match (raised, now.leader.is_some()) {
                (false, true) => Some(StepEnd::Done),
                (true, true) if later(now.at, since) >= GRACE => {
                    Some(StepEnd::Failed(format!("{fault}; it is still raised")))
                }
                _ => None,
            }
        }
        // The floor moves before the physical work: it tells that the history is gone, and the gate after the step waits
        // for the work itself.
        Action::Compact { revision } => match now.compact_revision {
            Some(floor) if floor >= *revision => Some(StepEnd::Done),
            _ => None,
        },
        Action::Snapshot { .. } => Some(StepEnd::Failed(fault.to_string())),
        Action::ProveWrite { key } => {
            Some(StepEnd::Unknown(format!("{fault}; the key {key} may have been left behind")))
        }
    }
}

/// Whether the rest is worth doing after this step failed: when one member could not be defragmented. Without the
/// snapshot, the compaction or the alarm's end the plan is not the one that was confirmed.
fn goes_on(plan: &Plan, step: &Step) -> bool {
    plan.after_failure == AfterFailure::GoOn && matches!(step.action, Action::Defragment { .. })
}

/// A member that leads by now goes behind the followers that are still to be defragmented. Whether anything moved.
fn leader_last(steps: &mut [Step], view: &ClusterView) -> bool {
    let defragments = |s: &Step| match s.action {
        Action::Defragment { member } => Some(member),
        _ => None,
    };
    let Some(first) = steps.first().and_then(defragments).filter(|m| Some(*m) == view.leader) else {
        return false;
    };
    // Up to the last defragmentation of this run of steps.
    let Some(last) = steps.iter().rposition(|s| defragments(s).is_some_and(|m: MemberId| m != first)) else {
        return false;
    };
    steps[..=last].rotate_left(1);
    true
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
