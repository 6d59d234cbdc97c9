//! Carries out a plan, one step after the other, each checked right before and right after; generic over the world it
//! acts on, so that the same engine runs on real clusters and, under the property test, on simulated ones.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::gates::{self, Gate};
use super::guard::Confirmed;
use super::journal::{End, Entry, Figures, StepEnd};
use super::outcome::Lost;
use super::plan::{Action, AfterFailure, Plan, Step};
use super::seam::{Called, Look, Record, World};
use crate::etcd::{Fault, Permit};
use crate::model::{Bytes, ClusterId, ClusterView, MemberId};

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

/// How a gate is waited for.
#[derive(Clone, Copy)]
struct Patience {
    /// So long.
    limit: Duration,
    /// Looks in a row that must be good.
    looks: u32,
    how: Look,
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
        let end = match self.record.write(at, &plan.id, Entry::Confirmed { by, body: &plan }).await {
            Ok(()) => self.steps(&plan, &permit).await,
            Err(e) => End::Failed(format!("nothing was done: {e}")),
        };
        let at = self.world.now();
        if let Err(e) = self.record.write(at, &plan.id, Entry::Ended { end: &end }).await {
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
            // What is counted afterwards is counted from here.
            let counts = matches!(action, Action::Defragment { .. } | Action::Compact { .. });
            let how = if counts { Look::Closely } else { Look::Status };
            let patience = Patience { limit: self.limits.settle, looks: 1, how };
            let passed =
                self.pass(plan, i, |cluster, view| gates::before(cluster, &action, view), patience).await;
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
            Passed::No(why) => return self.skip(plan, i, step, &why).await,
        };
        if let Some(why) = self.stop.borrow().clone() {
            return Err(End::Cancelled(format!("{why}, before {}", step.title)));
        }
        // A leader is only rewritten in place where the plan that was confirmed says so.
        if let Action::Defragment { member } = step.action
            && before.leader == Some(member)
            && !step.as_leader
        {
            let name = before.name_of(member);
            let why = format!("{name} leads by now, and the plan does not say that a leader is rewritten");
            return self.skip(plan, i, step, &why).await;
        }
        let began = self.world.now();
        self.write(began, plan, Entry::StepBegins { step: i + 1, body: step }).await?;
        (self.tell)(OpEvent::Began { step: i, at: began });
        self.progress.send_replace(Progress::default());
        let called = self.send(plan, permit, i, step).await;
        let took_ms = Some(u64::try_from(called.took.as_millis()).unwrap_or(u64::MAX));
        let (end, took_ms, note) = match called.outcome {
            Ok(note) => (StepEnd::Done, took_ms, note),
            Err(fault) if fault.outcome_unknown() => {
                let lost = Lost::new(called.via, fault, self.world.clock());
                // How long it took nobody said.
                (self.find_out(permit, i, step, &before, lost).await, None, None)
            }
            Err(fault) => (StepEnd::Failed(fault.to_string()), took_ms, None),
        };
        // What must hold before the next step, and the figures of the proof, from the same look.
        let settled = if end == StepEnd::Done {
            self.settle(plan, i, step, &before).await
        } else {
            Passed::Yes(self.world.look(Look::Status).await)
        };
        let after = match &settled {
            Passed::Yes(view) => Arc::clone(view),
            _ => self.world.look(Look::Status).await,
        };
        let size = |view: &ClusterView| view.member(step.action.member()?)?.status.as_ref()?.db_size;
        let figures = Figures { before: size(&before), after: size(&after), took_ms, note };
        self.step_ended(plan, i, step, &end, &figures).await?;
        match settled {
            Passed::Yes(_) => Ok(end),
            Passed::No(why) => Err(End::Stopped(format!("after {}: {why}", step.title))),
            Passed::Cancelled(why) => Err(End::Cancelled(format!("{why}, after {}", step.title))),
        }
    }

    /// The call of a step. What can go through any voter is tried again as long as nothing was sent: the one that was asked
    /// may have gone in that very moment.
    async fn send(&mut self, plan: &Plan, permit: &Permit, i: usize, step: &Step) -> Called {
        let deadline = self.world.clock() + self.limits.settle;
        loop {
            let called = self.world.act(permit, &step.action, self.limits.call, &self.progress).await;
            let unsent = matches!(called.outcome, Err(Fault::NotSent { .. } | Fault::NoLeader));
            if !unsent || !step.action.takes_any_voter() || self.world.clock() >= deadline {
                return called;
            }
            let patience = Patience { limit: self.limits.settle, looks: 1, how: Look::Status };
            let gate = |cluster, view: &ClusterView| gates::before(cluster, &step.action, view);
            if !matches!(self.pass(plan, i, gate, patience).await, Passed::Yes(_)) {
                return called;
            }
        }
    }

    /// The gate after a step that was done.
    async fn settle(&mut self, plan: &Plan, i: usize, step: &Step, before: &ClusterView) -> Passed {
        let looks = self.limits.good_looks;
        if matches!(step.action, Action::Compact { .. }) {
            // The physical work takes its time on every member, and only metrics tell its end.
            let patience = Patience { limit: self.limits.call, looks: 1, how: Look::Closely };
            return self.pass(plan, i, |_, view| gates::compacted(before, view), patience).await;
        }
        let patience = Patience { limit: self.limits.settle, looks, how: Look::Status };
        self.pass(plan, i, |cluster, view| gates::after(cluster, &step.action, view), patience).await
    }

    /// A step that is left out.
    async fn skip(&mut self, plan: &Plan, i: usize, step: &Step, why: &str) -> Result<StepEnd, End> {
        let end = StepEnd::Skipped(format!("not done: {why}"));
        self.step_ended(plan, i, step, &end, &Figures::default()).await?;
        Ok(end)
    }

    async fn step_ended(
        &mut self,
        plan: &Plan,
        i: usize,
        step: &Step,
        end: &StepEnd,
        figures: &Figures,
    ) -> Result<(), End> {
        let at = self.world.now();
        (self.tell)(OpEvent::StepEnded { step: i, end: end.clone(), figures: figures.clone() });
        self.write(at, plan, Entry::StepEnded { step: i + 1, action: &step.action, end, figures }).await
    }

    async fn write(&mut self, at: Timestamp, plan: &Plan, entry: Entry<'_>) -> Result<(), End> {
        self.record.write(at, &plan.id, entry).await.map_err(|e| End::Stopped(e.to_string()))
    }

    /// Looks until the gate says go so many times in a row, or stop, or for too long.
    async fn pass(
        &mut self,
        plan: &Plan,
        step: usize,
        gate: impl Fn(ClusterId, &ClusterView) -> Gate + Send,
        patience: Patience,
    ) -> Passed {
        let deadline = self.world.clock() + patience.limit;
        let (mut good, mut told) = (0, String::new());
        loop {
            let view = self.world.look(patience.how).await;
            match gate(plan.cluster, &view) {
                Gate::Go => {
                    good += 1;
                    if good >= patience.looks {
                        return Passed::Yes(view);
                    }
                }
                Gate::Stop(why) => return Passed::No(why),
                Gate::Wait(why) => {
                    good = 0;
                    if self.world.clock() >= deadline {
                        let waited = crate::model::units::age(patience.limit);
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
            self.pause(patience.how).await;
        }
    }

    /// Between two looks; a scrape is worth more to a member than a `Status`.
    async fn pause(&mut self, how: Look) {
        let times = if how == Look::Closely { 5 } else { 1 };
        self.world.pause(self.limits.pause * times).await;
    }

    /// A call that was not answered may have been carried out, and may still be going on: the members tell.
    async fn find_out(
        &mut self,
        permit: &Permit,
        i: usize,
        step: &Step,
        before: &ClusterView,
        mut lost: Lost,
    ) -> StepEnd {
        let deadline = self.world.clock() + self.limits.watch;
        let whom = lost.via.map_or_else(|| "the members".to_owned(), |id| before.name_of(id));
        let why = format!("{}; {whom} is watched to find out what became of it", lost.fault);
        (self.tell)(OpEvent::Waiting { step: i, why });
        loop {
            let view = self.world.look(Look::Closely).await;
            let at = self.world.clock();
            lost.look(&view, at);
            if let Some(end) = lost.tells(&step.action, before, &view, at) {
                return end;
            }
            // A proof can be tried again: its key is known to be ours.
            if matches!(step.action, Action::ProveWrite { .. }) && lost.is_over(at) && view.leader.is_some() {
                let called = self.world.act(permit, &step.action, self.limits.call, &self.progress).await;
                match called.outcome {
                    Ok(_) => return StepEnd::Done,
                    Err(fault) if fault.outcome_unknown() => {
                        lost = Lost::new(called.via, fault, self.world.clock());
                    }
                    // It was not sent: what came before is as open as it was.
                    Err(Fault::NotSent { .. } | Fault::NoLeader) => {}
                    Err(fault) => return StepEnd::Failed(fault.to_string()),
                }
            }
            let at = self.world.clock();
            let left = match &step.action {
                Action::ProveWrite { key, .. } => format!("; the key {key} may have been left behind"),
                _ => String::new(),
            };
            if let Some(why) = self.stop.borrow().clone().filter(|_| lost.had_its_chance(at)) {
                return StepEnd::Unknown(format!("{}; {why} before the members told more{left}", lost.fault));
            }
            if at >= deadline {
                let watched = crate::model::units::age(self.limits.watch);
                return StepEnd::Unknown(format!(
                    "{}; watched for {watched}, and nothing told{left}",
                    lost.fault
                ));
            }
            self.pause(Look::Closely).await;
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
