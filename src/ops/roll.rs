//! Planning a rolling defragmentation: whose turn comes when, what comes before and after, and what it costs whom.

use std::time::Duration;

use super::gates;
use super::plan::{Action, AfterFailure, Roll, Verdict};
use super::planner::{Draft, typeable};
use super::rule::Answer;
use crate::model::units::grouped;
use crate::model::{AlarmKind, Bytes, MemberId, MemberView, Revision, Role};

impl<'a> Draft<'a> {
    /// The voters that are to be defragmented, in order: followers first, the smallest file first, the leader last.
    pub(super) fn targets(&mut self, roll: &Roll) -> Vec<&'a MemberView> {
        let mut targets = Vec::new();
        // A compaction changes what the rule asks for: then it is asked when a member's turn comes.
        let rule = roll.rule.as_ref().filter(|_| !self.compacts());
        for m in self.s.view.members.iter().filter(|m| m.listed) {
            let Some(id) = m.id else { continue };
            if !roll.members.is_empty() && !roll.members.contains(&id) {
                continue;
            }
            if roll.without.contains(&id) {
                self.plan.skipped.push(format!("{}: excluded", m.label()));
            } else if m.role == Role::Unstarted {
                self.plan.skipped.push(format!("{}: was never started", m.label()));
            } else if m.learner {
                self.plan.skipped.push(format!("{}: a learner takes no defragmentation", m.label()));
            } else {
                match rule.map_or(Answer::True, |r| r.of(m, roll.quota)) {
                    Answer::True => targets.push(m),
                    Answer::False(why) => self.plan.skipped.push(format!("{}: {why}", m.label())),
                    // That it does not answer is said by another check.
                    Answer::Unknown(why) if !m.state.answers() => {
                        self.plan.skipped.push(format!("{}: {why}", m.label()));
                    }
                    // Nothing to do would be a guess: night after night, while the file grows.
                    Answer::Unknown(why) => {
                        self.check(false, "", Verdict::Block, format!("{}: {why}", m.label()));
                    }
                }
            }
        }
        let size = |m: &MemberView| m.status.as_ref().and_then(|s| s.db_size).unwrap_or_default();
        targets.sort_by_key(|m| (m.id == self.s.view.leader, size(m), m.label()));
        targets
    }

    /// Whether a compaction is among the steps.
    fn compacts(&self) -> bool {
        self.plan.steps.iter().any(|s| matches!(s.action, Action::Compact { .. }))
    }

    pub(super) fn defragment(&mut self, roll: &Roll) {
        if let Some(keep) = roll.compact {
            self.compact_first(keep);
        }
        let targets = self.targets(roll);
        self.plan.title = match targets.as_slice() {
            [one] if roll.members.len() == 1 => {
                let id = one.id.map_or_else(String::new, |id| id.to_string());
                self.plan.name_to_type = typeable(&one.label(), &id);
                format!("Defragmentation of {}", one.label())
            }
            _ => format!("Rolling defragmentation of {}", self.s.cluster_name),
        };
        self.defragment_steps(&targets, roll.move_leader);
        if roll.disarm {
            self.disarm_steps(AlarmKind::NoSpace);
        }
        if self.plan.terms.continue_on_error {
            self.plan.after_failure = AfterFailure::GoOn;
        }
        self.defragment_consequences(roll, targets.len());
        self.health_checks();
        self.defragment_warnings(roll, &targets);
    }

    pub(super) fn compact_first(&mut self, keep: u64) {
        match self.revision_to_keep(keep) {
            Some(revision) => self.compact_step(revision),
            None => self.plan.skipped.push(format!(
                "compaction: no more than {} revisions are there, and so many are kept",
                grouped(keep)
            )),
        }
    }

    /// Where history is to begin so that so many revisions are kept; none when no more are there.
    pub(super) fn revision_to_keep(&self, keep: u64) -> Option<Revision> {
        let head = self.s.view.revision.map_or(0, |r| r.0);
        let floor = self.s.view.compact_revision.map_or(0, |r| r.0);
        let revision = head.saturating_sub(i64::try_from(keep).unwrap_or(i64::MAX));
        (revision > floor.max(0) && revision >= 1).then_some(Revision(revision))
    }

    /// Bytes that it frees, and of how many.
    fn gain(&self) -> (u64, u64) {
        let frees = self.plan.steps.iter().filter_map(|s| Some(s.before?.minus(s.after?).0)).sum();
        let sizes = self.plan.steps.iter().filter_map(|s| Some(s.before?.0)).sum();
        (frees, sizes)
    }

    fn defragment_consequences(&mut self, roll: &Roll, targets: usize) {
        let (frees, sizes) = self.gain();
        if targets > 0 {
            let more = if self.compacts() { ", and what the compaction frees" } else { "" };
            self.say(format!("Frees about {} of {}{more}.", Bytes(frees), Bytes(sizes)));
            self.say("A member answers nothing while its file is rewritten: no reads, no writes, no Status; Raft goes on. It needs free disk for what is in use, beside the old file.");
        }
        if targets > 1 {
            self.say("Between members: it answers again, has caught up, every voter serves, one leader; otherwise it stops and says why.");
        }
        if let (Some(rule), true) = (&roll.rule, targets > 0) {
            self.say(format!("Each is left alone unless {rule} when its turn comes."));
        }
        if self.compacts() {
            self.say("The compaction drops history: watchers that ask for an older revision are cancelled.");
        }
    }

    fn defragment_warnings(&mut self, roll: &Roll, targets: &[&'a MemberView]) {
        let (frees, sizes) = self.gain();
        if sizes > 0 && frees < sizes / 50 && !self.compacts() {
            let line = format!("it gives back next to nothing: about {} of {}", Bytes(frees), Bytes(sizes));
            self.check(false, "", Verdict::Warn, line);
        }
        self.snapshot_check();
        if self.compacts() {
            self.plan.danger = Some("dropped history does not come back".into());
        }
        if targets.is_empty() {
            return;
        }
        let leader_in_place = !roll.move_leader && targets.iter().any(|m| m.id == self.s.view.leader);
        let voters = self.voters().len();
        if voters < 3 {
            let line = format!(
                "{voters} voter{}: clients have nobody else to turn to meanwhile",
                if voters == 1 { "" } else { "s" }
            );
            self.check(false, "", Verdict::Warn, line);
        } else if leader_in_place {
            self.plan.danger =
                Some("the leader is rewritten where it is: its clients wait until it is done".into());
        }
    }

    pub(super) fn defragment_steps(&mut self, targets: &[&'a MemberView], move_leader: bool) {
        let leader = self.s.view.leader;
        // A roll that was confirmed to rewrite the leader where it is may meet another leader by then.
        let alone = self.voters().len() < 2;
        let in_place = (!move_leader || alone) && targets.iter().any(|m| m.id.is_some() && m.id == leader);
        for m in targets {
            let Some(id) = m.id else { continue };
            if move_leader && Some(id) == leader {
                self.move_step(id, targets);
            }
            let (size, in_use) = m.status.as_ref().map_or((None, None), |s| (s.db_size, s.db_size_in_use));
            let estimate = self.estimate(id, in_use);
            let endpoint = self.endpoint(id);
            let title = format!("defragment {}", m.label());
            let etcdctl = format!("etcdctl defrag --endpoints={endpoint}");
            let step = self.step(Action::Defragment { member: id }, title, etcdctl);
            (step.before, step.after, step.estimate) = (size, in_use, estimate);
            step.as_leader = in_place;
        }
    }

    /// Seconds from what this member, or else any, rewrote in a second last time.
    fn estimate(&self, id: MemberId, in_use: Option<Bytes>) -> Option<Duration> {
        let rate =
            self.s.rates.get(&id).or_else(|| self.s.rates.values().next()).copied().filter(|r| *r > 0.0)?;
        #[allow(clippy::cast_precision_loss)] // an estimate
        Duration::try_from_secs_f64(in_use?.0 as f64 / rate).ok()
    }

    /// Leadership goes to the best other voter: defragmented by then, caught up, the nearest.
    fn move_step(&mut self, from: MemberId, targets: &[&'a MemberView]) {
        let done = |m: &MemberView| targets.iter().any(|t| t.id == m.id);
        let best = self
            .voters()
            .into_iter()
            .filter(|m| m.id != Some(from) && m.state.serves())
            .min_by_key(|m| (!done(m), m.lag.unwrap_or(u64::MAX) > gates::LAG_BOUND, m.latency));
        let Some((best, to)) = best.and_then(|m| Some((m, m.id?))) else {
            self.plan.skipped.push("moving the leader: there is no other voter to lead".into());
            return;
        };
        let (name, endpoint) = (self.name(from), self.endpoint(from));
        self.step(
            Action::MoveLeader { from, to },
            format!("move leader {name} to {}", best.label()),
            format!("etcdctl move-leader {to} --endpoints={endpoint}"),
        )
        .estimate = Some(Duration::from_secs(1));
    }
}
