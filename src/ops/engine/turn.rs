//! Whose turn it is, whether that still comes, and what a member that was missed means for the others.

use std::time::Duration;

use super::super::event::OpEvent;
use super::super::gates;
use super::super::journal::{End, StepEnd};
use super::super::plan::{Action, AfterFailure, Plan, Request, Step};
use super::super::rule::{Answer, Rule};
use super::super::seam::{Record, World};
use super::Engine;
use crate::model::units::lasting;
use crate::model::{Bytes, ClusterView, MemberId, MemberView};

/// How a sweep over the members stands.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// A member was rewritten, or leadership moved.
    pub(super) moved: bool,
    /// Nothing more that stalls members is begun; what takes an alarm back still is.
    pub(super) is_over: bool,
    /// The worst that happened.
    pub(super) worst: Option<End>,
}

impl Sweep {
    /// Nothing more of it is begun.
    pub(super) fn over(&mut self, end: End) {
        self.is_over = true;
        self.worst.get_or_insert(end);
    }

    /// The first of these steps was not done: how the operation ends with that, if it does.
    pub(super) fn missed(&mut self, end: End, plan: &Plan, steps: &[Step]) -> Option<End> {
        let (missed, ahead) = steps.split_first()?;
        // Without the snapshot, the compaction or the alarm's end the plan is not the one that was confirmed.
        if !missed.action.rolls() {
            return Some(match self.worst.take() {
                Some(worst @ End::Failed(_)) => worst,
                _ => end,
            });
        }
        // A failure weighs more than what was only left out.
        if self.worst.is_none() || matches!(end, End::Failed(_)) {
            self.worst = Some(end);
        }
        if plan.after_failure == AfterFailure::GoOn {
            return None;
        }
        // One missed member does not keep the alarm up: what takes it back has its own checks.
        self.is_over = true;
        let disarms = ahead.iter().any(|s| matches!(s.action, Action::Disarm { .. }));
        if disarms { None } else { self.worst.take() }
    }
}

/// Whether a step's turn comes.
pub(super) enum Turn {
    /// It does.
    Comes,
    /// It does not, nor does that of any other that stalls members.
    Over(String),
    /// Somebody does not want it any more.
    Cancelled(String),
}

impl<W: World, R: Record, T: FnMut(OpEvent) + Send> Engine<W, R, T> {
    /// Waits as long as was asked for, and looks at the clock.
    pub(super) async fn turn(&mut self, plan: &Plan, step: &Step, i: usize, sweep: &Sweep) -> Turn {
        if !step.action.stalls() {
            return Turn::Comes;
        }
        if sweep.is_over {
            return Turn::Over("nothing more is rewritten".into());
        }
        if let Some(wait) = plan.terms.wait.filter(|_| sweep.moved && step.action.rolls()) {
            (self.tell)(OpEvent::Waiting { step: i, why: format!("{} of pause, as asked", lasting(wait)) });
            let until = self.world.clock() + wait;
            while self.world.clock() < until {
                if let Some(why) = self.stopped() {
                    return Turn::Cancelled(why);
                }
                let left = until.saturating_sub(self.world.clock());
                self.world.pause(left.min(self.limits.pause)).await;
            }
        }
        self.late(plan, step).map_or(Turn::Comes, Turn::Over)
    }

    /// Why it is too late for a step that stalls members, if it is.
    pub(super) fn late(&self, plan: &Plan, step: &Step) -> Option<String> {
        if !step.action.stalls() {
            return None;
        }
        if let Some(window) = plan.terms.window.filter(|w| !w.is_open(self.world.now())) {
            return Some(format!("the time for it, {window}, is over"));
        }
        let spent = self.world.clock().saturating_sub(self.began);
        let (estimate, all) = step.estimate.zip(self.limits.all)?;
        let left = all.saturating_sub(spent);
        (estimate > left)
            .then(|| format!("it takes about {}, and {} are left", lasting(estimate), lasting(left)))
    }
}

/// That a member was gone for too long, if it was.
pub(super) fn stalled(plan: &Plan, step: &Step, took: Duration) -> Option<String> {
    let most = plan.terms.max_stall?;
    (defragments(step).is_some() && took > most).then(|| {
        format!(
            "after {}: the member was gone for {}, longer than {}",
            step.title,
            lasting(took),
            lasting(most)
        )
    })
}

/// The rule that a member is rewritten by, if there is one, and the quota of members that do not tell theirs.
pub(super) fn rule(plan: &Plan) -> Option<(&Rule, Option<Bytes>)> {
    let Request::Defragment(roll) = &plan.request else { return None };
    Some((roll.rule.as_ref()?, roll.quota))
}

/// Whether the plan's rule says something else of a member when less of its file is in use: asked for every hundredth of it.
pub(super) fn hinges_on_in_use(plan: &Plan, m: &MemberView) -> bool {
    let Some((rule, quota)) = rule(plan) else { return false };
    let holds = |m: &MemberView| matches!(rule.of(m, quota), Answer::True);
    let now = holds(m);
    let Some(in_use) = m.status.as_ref().and_then(|s| s.db_size_in_use) else { return false };
    let mut less = m.clone();
    (0..100).any(|share| {
        if let Some(status) = &mut less.status {
            status.db_size_in_use = Some(Bytes(in_use.0 / 100 * share));
        }
        holds(&less) != now
    })
}

/// How a member's turn ends without a call, if a rule says so now, or cannot be asked. `compacted` is the end of a compaction
/// before it.
pub(super) fn needless(
    plan: &Plan,
    step: &Step,
    view: &ClusterView,
    compacted: Option<&ClusterView>,
) -> Option<StepEnd> {
    let (rule, quota) = rule(plan)?;
    let id = defragments(step)?;
    let m = view.member(id)?;
    let old = compacted.and_then(|then| then.member(id)).is_some_and(|then| !gates::tells_in_use(then, m))
        && hinges_on_in_use(plan, m);
    match rule.of(m, quota) {
        Answer::True => None,
        Answer::False(why) if old => Some(StepEnd::Needless(format!(
            "{why}, what was compacted among it: too little was written since for etcd to count it anew"
        ))),
        Answer::False(why) => Some(StepEnd::Needless(why)),
        Answer::Unknown(why) => Some(StepEnd::Skipped(format!("not done: {why}"))),
    }
}

fn defragments(step: &Step) -> Option<MemberId> {
    match step.action {
        Action::Defragment { member } => Some(member),
        _ => None,
    }
}

/// Whether the first of these steps is about the leader while others are still to be defragmented.
pub(super) fn before_its_turn(steps: &[Step], view: &ClusterView) -> bool {
    let Some((first, rest)) = steps.split_first() else { return false };
    defragments(first).is_some_and(|m| Some(m) == view.leader)
        && rest.iter().any(|s| defragments(s).is_some())
}

/// Puts the first of these steps behind the last of the others that defragment.
pub(super) fn leader_last(steps: &mut [Step]) {
    if let Some(last) = steps.iter().rposition(|s| defragments(s).is_some()) {
        steps[..=last].rotate_left(1);
    }
}
