//! Carries out a plan, one step after the other, each checked right before and right after; generic over the world it
//! acts on, so that the same engine runs on real clusters and, under the property test, on simulated ones.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::event::{Haste, Limits, OpEvent, Progress, Stop};
use super::gates;
use super::guard::Confirmed;
use super::journal::{self, End, Entry, Figures, StepEnd};
use super::outcome::Lost;
use super::plan::{Action, Plan, Step};
use super::seam::{Called, Look, Record, Told, World};
use crate::etcd::{Fault, Permit};
use crate::model::ClusterView;

mod turn;
mod watching;

use turn::{Sweep, Turn, before_its_turn, hinges_on_in_use, leader_last, needless, rule, stalled};
use watching::wanted;

/// How often a plan is put into another order before one step: more, and the cluster is not fit for it.
const REORDERS: usize = 8;

/// Runs a plan to its end.
#[derive(Debug)]
pub struct Engine<W, R, T> {
    world: W,
    record: R,
    tell: T,
    limits: Limits,
    stop: watch::Receiver<Option<Stop>>,
    progress: watch::Sender<Progress>,
    /// When the plan was begun, on the world's clock.
    began: Duration,
    /// What the members told when the plan's compaction had ended.
    compacted: Option<Arc<ClusterView>>,
}

enum Passed {
    Yes(Arc<ClusterView>),
    No(String),
    Cancelled(String),
}

/// Whether a step may be done now.
enum Ready<Way> {
    /// Yes: the way, the look that says so, and when it began.
    Yes { way: Way, view: Arc<ClusterView>, asked: Duration },
    /// Nobody can be asked: nothing is sent.
    Unreached(Arc<ClusterView>, Fault),
    /// No.
    No(String),
    /// It is too late for it, and for whatever else stalls members.
    Over(String),
    /// Somebody does not want it any more.
    Cancelled(String),
}

/// What became of a step.
enum Stepped {
    /// It ended, and how long its member was gone for it.
    Ended(StepEnd, Option<Duration>),
    /// It is too late for it, and for whatever else stalls members: nothing was sent.
    Over(String),
}

/// A look that is older lets nothing be sent: less than an election takes.
const LOOK_IS_OLD: Duration = Duration::from_secs(1);

/// How closely to look before an action: what is counted afterwards is counted from there.
const fn how(action: &Action) -> Look {
    match action {
        Action::Defragment { .. } | Action::Compact { .. } => Look::Closely,
        _ => Look::Status,
    }
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
        stop: watch::Receiver<Option<Stop>>,
        progress: watch::Sender<Progress>,
    ) -> Self {
        Self { world, record, tell, limits, stop, progress, began: Duration::ZERO, compacted: None }
    }

    /// Carries the plan out. `by` is who confirmed it.
    pub async fn run(mut self, confirmed: Confirmed, by: &str) -> End {
        let (plan, permit) = confirmed.into_parts();
        let at = self.world.now();
        let end = match self
            .record
            .write(at, &plan.id, Entry::Confirmed { by, host: journal::host(), body: &plan })
            .await
        {
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
        self.began = self.world.clock();
        let mut sweep = Sweep::default();
        for i in 0..steps.len() {
            if let Some(why) = self.stopped() {
                return End::Cancelled(format!("{why}, before {}", steps[i].title));
            }
            let step = steps[i].clone();
            let stepped = match self.turn(plan, &step, i, &sweep).await {
                Turn::Comes => self.step(plan, permit, &mut steps, i).await,
                Turn::Over(why) => Ok(Stepped::Over(why)),
                Turn::Cancelled(why) => return End::Cancelled(format!("{why}, before {}", step.title)),
            };
            // The steps that are ahead may be in another order by now.
            let step = &steps[i];
            let (end, took) = match stepped {
                Ok(Stepped::Ended(end, took)) => (end, took),
                Ok(Stepped::Over(why)) => {
                    if let Err(end) = self.skip(plan, i, step, &why).await {
                        return end;
                    }
                    sweep.over(End::Stopped(format!("{why}, before {}", step.title)));
                    continue;
                }
                Err(end) => return end,
            };
            let missed = match end {
                StepEnd::Done => {
                    sweep.moved |= step.action.rolls();
                    if let Some(why) = took.and_then(|took| stalled(plan, step, took)) {
                        // Without another member to go to it ended as it was to.
                        if steps[i + 1..].iter().any(|s| s.action.rolls()) {
                            sweep.over(End::Stopped(why));
                        }
                    }
                    continue;
                }
                StepEnd::Needless(_) => continue,
                StepEnd::Unknown(why) => return End::Unknown(format!("{}: {why}", step.title)),
                StepEnd::Skipped(why) => End::Stopped(format!("{}: {why}", step.title)),
                StepEnd::Failed(why) => End::Failed(format!("{}: {why}", step.title)),
            };
            if let Some(end) = sweep.missed(missed, plan, &steps[i..]) {
                return end;
            }
        }
        sweep.worst.unwrap_or(End::Done)
    }

    /// Waits until a step may be done, finds the way, and looks once more when nothing but the call itself is left to do.
    /// Until it was `announced` a member that leads by now goes behind the others. While nothing was sent it is tried again,
    /// where any voter will do.
    async fn ready(&mut self, plan: &Plan, steps: &mut [Step], i: usize, announced: bool) -> Ready<W::Way> {
        let deadline = self.world.clock() + self.limits.settle * 2;
        let mut reorders = 0;
        loop {
            let step = steps[i].clone();
            let gate = |cluster, view: &ClusterView| gates::before(cluster, &step.action, view);
            let mut way = None;
            for how in [Look::Status, how(&step.action)] {
                let asked = self.world.clock();
                let patience = Patience { limit: self.limits.settle, looks: 1, how };
                let view = match self.pass(plan, i, gate, patience).await {
                    Passed::Yes(view) => view,
                    Passed::No(why) => return Ready::No(why),
                    Passed::Cancelled(why) => return Ready::Cancelled(why),
                };
                if let Some(why) = leads_unconfirmed(&step, &view) {
                    return Ready::No(why);
                }
                if before_its_turn(&steps[i..], &view) {
                    break;
                }
                if let Some(way) = way.take() {
                    if self.world.clock().saturating_sub(asked) <= LOOK_IS_OLD {
                        // It may have been waited for: is it still the time for it?
                        return match self.late(plan, &step) {
                            Some(why) => Ready::Over(why),
                            None => Ready::Yes { way, view, asked },
                        };
                    }
                    // It was waited for: the way may be gone, and the look is not of now.
                    break;
                }
                // Before the last look: it takes as long as a connection, and the look must be of now.
                if let Err(why) = self.world.alone(&step.action).await {
                    return Ready::No(why);
                }
                match self.world.reach(&step.action).await {
                    Ok(found) => way = Some(found),
                    Err(fault) => {
                        let again = step.action.takes_any_voter() && fault.may_pass();
                        if !again || self.world.clock() >= deadline {
                            return Ready::Unreached(view, fault);
                        }
                        break;
                    }
                }
            }
            let view = self.world.look(Look::Status).await;
            if before_its_turn(&steps[i..], &view) {
                reorders += 1;
                if announced || reorders > REORDERS {
                    return Ready::No("its member leads by now, and its turn comes last".into());
                }
                leader_last(&mut steps[i..]);
                (self.tell)(OpEvent::Reordered(steps.to_vec()));
            } else if self.world.clock() >= deadline {
                let waited = crate::model::units::age(self.limits.settle * 2);
                return Ready::No(format!(
                    "no look was fresh when it was to be sent, for {waited}: is this machine asleep?"
                ));
            }
            self.pause(Look::Status).await;
        }
    }

    /// One step: what must hold before, announcement, call, outcome, what must hold after.
    async fn step(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        steps: &mut [Step],
        i: usize,
    ) -> Result<Stepped, End> {
        let ready = self.ready(plan, steps, i, false).await;
        let step = &steps[i].clone();
        if let Some(why) = self.stopped() {
            return Err(End::Cancelled(format!("{why}, before {}", step.title)));
        }
        let mut ready = match ready {
            Ready::Cancelled(why) => return Err(End::Cancelled(format!("{why}, before {}", step.title))),
            Ready::No(why) => return Ok(Stepped::Ended(self.skip(plan, i, step, &why).await?, None)),
            Ready::Over(why) => return Ok(Stepped::Over(why)),
            ready => ready,
        };
        if let Ready::Yes { view, .. } = &ready
            && let Some(end) = needless(plan, step, view, self.compacted.as_deref())
        {
            self.step_ended(plan, i, step, &end, &Figures::default()).await?;
            return Ok(Stepped::Ended(end, None));
        }
        let began = self.world.now();
        self.write(began, plan, Entry::StepBegins { step: i + 1, body: step }).await?;
        (self.tell)(OpEvent::Began { step: i, at: began });
        self.progress.send_replace(Progress::default());
        let (before, called) = loop {
            match ready {
                // What let it pass may be old by now: the journal's disk took its time, or this process was stopped.
                Ready::Yes { asked, .. } if self.world.clock().saturating_sub(asked) > LOOK_IS_OLD => {
                    ready = self.ready(plan, steps, i, true).await;
                }
                Ready::Yes { way, view, .. } => {
                    let called = self.call(way, permit, &step.action).await;
                    let again = step.action.takes_any_voter()
                        && matches!(&called.outcome, Err(fault) if fault.was_for_another());
                    if !again {
                        break (view, called);
                    }
                    self.pause(Look::Status).await;
                    ready = self.ready(plan, steps, i, true).await;
                }
                Ready::Unreached(view, fault) => {
                    break (view, Called { via: None, took: Duration::ZERO, outcome: Err(fault) });
                }
                Ready::No(why) => return Ok(Stepped::Ended(self.skip(plan, i, step, &why).await?, None)),
                Ready::Over(why) => return Ok(Stepped::Over(why)),
                Ready::Cancelled(why) => {
                    self.skip(plan, i, step, &why).await?;
                    return Err(End::Cancelled(format!("{why}, before {}", step.title)));
                }
            }
        };
        let cut = match &called.outcome {
            Err(Fault::Stopped { why }) => Some(why.clone()),
            _ => None,
        };
        let sent = self.world.clock().saturating_sub(called.took);
        let took_ms = Some(u64::try_from(called.took.as_millis()).unwrap_or(u64::MAX));
        let (end, took_ms, told) = match called.outcome {
            Ok(told) => (StepEnd::Done, took_ms, told),
            Err(fault) if fault.outcome_unknown() => {
                let lost = Lost::new(&step.action, called.via, fault, sent);
                // How long it took nobody said.
                (self.find_out(permit, i, step, &before, lost).await, None, Told::default())
            }
            Err(fault) => (StepEnd::Failed(fault.to_string()), took_ms, Told::default()),
        };
        let gone = self.world.clock().saturating_sub(sent);
        let answered = Entry::StepAnswered { step: i + 1, end: &end, took_ms };
        self.write(self.world.now(), plan, answered).await?;
        (self.tell)(OpEvent::Answered { step: i, end: end.clone(), took_ms });
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
        let figures =
            Figures { before: size(&before), after: size(&after), took_ms, note: told.note, file: told.file };
        self.step_ended(plan, i, step, &end, &figures).await?;
        if let Some(why) = cut {
            return Err(End::Cancelled(format!("{why}, in {}", step.title)));
        }
        match settled {
            Passed::Yes(_) => Ok(Stepped::Ended(end, Some(gone))),
            Passed::No(why) => Err(End::Stopped(format!("after {}: {why}", step.title))),
            Passed::Cancelled(why) => Err(End::Cancelled(format!("{why}, after {}", step.title))),
        }
    }

    /// Why it shall stop, if it shall.
    fn stopped(&self) -> Option<String> {
        self.stop.borrow().as_ref().map(|s| s.why.clone())
    }

    /// One call; one that changes nothing is left when somebody does not want it any more, any other only when nobody may
    /// wait for it.
    async fn call(&mut self, way: W::Way, permit: &Permit, action: &Action) -> Called {
        let mut stop = self.stop.clone();
        let began = self.world.clock();
        let call = self.world.act(way, permit, action, self.limits.call, &self.progress);
        let least = if action.changes() { Haste::Abandon } else { Haste::AtOnce };
        let why = tokio::select! {
            biased;
            called = call => return called,
            why = wanted(&mut stop, least) => why,
        };
        if action.changes() {
            let took = self.world.clock().saturating_sub(began);
            return Called { via: None, took, outcome: Err(Fault::Abandoned { why }) };
        }
        // What it had begun comes to its end first: only then is it true that nothing is left.
        let outcome = self.world.give_up().await.ok_or(Fault::Stopped { why });
        Called { via: None, took: self.world.clock().saturating_sub(began), outcome }
    }

    /// The gate after a step that was done.
    async fn settle(&mut self, plan: &Plan, i: usize, step: &Step, before: &ClusterView) -> Passed {
        // What changes nothing needs no proof that the cluster has taken it well.
        let looks = if step.action.changes() { self.limits.good_looks } else { 1 };
        if matches!(step.action, Action::Compact { .. }) {
            // The physical work takes its time on every member, and only metrics tell its end.
            let patience = Patience { limit: self.limits.call, looks: 1, how: Look::Closely };
            let passed = self.pass(plan, i, |_, view| gates::compacted(before, view), patience).await;
            return match passed {
                Passed::Yes(then) => self.told_in_use(plan, i, then).await,
                passed => passed,
            };
        }
        let patience = Patience { limit: self.limits.settle, looks, how: Look::Status };
        self.pass(plan, i, |cluster, view| gates::after(cluster, &step.action, view), patience).await
    }

    /// A rule may ask what is in use since the compaction that ended `then`: that is told when something is written.
    async fn told_in_use(&mut self, plan: &Plan, i: usize, then: Arc<ClusterView>) -> Passed {
        if rule(plan).is_none() {
            return Passed::Yes(then);
        }
        self.compacted = Some(Arc::clone(&then));
        let gate = |_, view: &ClusterView| gates::in_use_told(&then, view, |m| hinges_on_in_use(plan, m));
        let patience = Patience { limit: self.limits.settle, looks: 1, how: Look::Closely };
        match self.pass(plan, i, gate, patience).await {
            // Nothing is written: what the rule says then says so.
            Passed::No(_) => Passed::Yes(then),
            passed => passed,
        }
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
}

/// A leader is only rewritten in place where the plan that was confirmed says so: why not, if it does not.
fn leads_unconfirmed(step: &Step, view: &ClusterView) -> Option<String> {
    let Action::Defragment { member } = step.action else { return None };
    let name = view.name_of(member);
    (view.leader == Some(member) && !step.as_leader)
        .then(|| format!("{name} leads by now, and the plan does not say that a leader is rewritten"))
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
