//! Looking and waiting: until a gate says go, and until it is known what became of a call.

use std::sync::Arc;

use tokio::sync::watch;

use super::super::event::{Haste, OpEvent, Stop};
use super::super::gates::Gate;
use super::super::journal::StepEnd;
use super::super::outcome::Lost;
use super::super::plan::{Action, Plan, Step};
use super::super::seam::{Look, Record, World};
use super::{Engine, Passed, Patience};
use crate::etcd::{Fault, Permit};
use crate::model::{ClusterId, ClusterView};

/// Waits until somebody wants it to stop, at least so soon; why.
pub(super) async fn wanted(stop: &mut watch::Receiver<Option<Stop>>, least: Haste) -> String {
    let soon = |s: &Option<Stop>| s.as_ref().is_some_and(|s| s.haste >= least);
    let why = stop.wait_for(soon).await.ok().and_then(|s| s.as_ref().map(|s| s.why.clone()));
    match why {
        Some(why) => why,
        // Nobody is left who could want it.
        None => std::future::pending().await,
    }
}

impl<W: World, R: Record, T: FnMut(OpEvent) + Send> Engine<W, R, T> {
    /// A look, unless nobody may wait for it: why then.
    async fn glance(&mut self, how: Look) -> Result<Arc<ClusterView>, String> {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            why = wanted(&mut stop, Haste::Abandon) => Err(why),
            view = self.world.look(how) => Ok(view),
        }
    }

    /// Looks until the gate says go so many times in a row, or stop, or for too long.
    pub(super) async fn pass(
        &mut self,
        plan: &Plan,
        step: usize,
        gate: impl Fn(ClusterId, &ClusterView) -> Gate + Send,
        patience: Patience,
    ) -> Passed {
        let deadline = self.world.clock() + patience.limit;
        let (mut good, mut told) = (0, String::new());
        loop {
            let view = match self.glance(patience.how).await {
                Ok(view) => view,
                Err(why) => return Passed::Cancelled(why),
            };
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
                    if let Some(stop) = self.stopped() {
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
    pub(super) async fn pause(&mut self, how: Look) {
        let times = if how == Look::Closely { 5 } else { 1 };
        self.world.pause(self.limits.pause * times).await;
    }

    /// A call that was not answered may have been carried out, and may still be going on: the members tell.
    pub(super) async fn find_out(
        &mut self,
        permit: &Permit,
        i: usize,
        step: &Step,
        before: &ClusterView,
        mut lost: Lost,
    ) -> StepEnd {
        let deadline = self.world.clock() + self.limits.watch;
        if let Fault::Abandoned { .. } = lost.fault {
            return StepEnd::Unknown(lost.fault.to_string());
        }
        let whom =
            lost.via.map_or_else(|| "the members are".to_owned(), |id| format!("{} is", before.name_of(id)));
        let why = format!("{}; {whom} watched to find out what became of it", lost.fault);
        (self.tell)(OpEvent::Waiting { step: i, why });
        loop {
            let view = match self.glance(Look::Closely).await {
                Ok(view) => view,
                Err(why) => return StepEnd::Unknown(Fault::Abandoned { why }.to_string()),
            };
            let at = self.world.clock();
            lost.look(&view, at);
            if let Some(end) = lost.tells(&step.action, before, &view, at) {
                return end;
            }
            // A proof can be tried again: its key is known to be ours.
            if matches!(step.action, Action::ProveWrite { .. })
                && lost.is_over(at)
                && let Ok(way) = self.world.reach(&step.action).await
            {
                let called = self.call(way, permit, &step.action).await;
                match called.outcome {
                    Ok(_) => return StepEnd::Done,
                    Err(fault) if fault.outcome_unknown() => {
                        lost = Lost::new(&step.action, called.via, fault, at);
                    }
                    Err(Fault::NotSent { .. } | Fault::NoLeader) => {}
                    Err(fault) => return StepEnd::Failed(fault.to_string()),
                }
            }
            let at = self.world.clock();
            let left = match &step.action {
                Action::ProveWrite { key } => format!("; the key {key} may have been left behind"),
                _ => String::new(),
            };
            if let Some(why) = self.stopped().filter(|_| lost.had_its_chance(at)) {
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
