//! What was observed of a lab since the learner's turn began: what goals are checked by. Nothing in here is known from the
//! inside: it comes from the members' own answers, from clients that write and watch, and from the folder of snapshots.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::act::{Act, Cast, Who};
use super::pulse::{Felt, Through};
use super::scenario::Goal;
use crate::model::coach::WatcherView;
use crate::model::hashes::{Agreement, Comparison};
use crate::model::{AlarmKind, Bytes, ClusterView, MemberId, MemberState, MemberView, Outage, Revision};

/// A file that was rewritten, as two views in a row show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Whose.
    pub member: MemberId,
    /// It led before and after.
    pub led: bool,
    /// Bytes allocated before.
    pub before: Bytes,
    /// And after.
    pub after: Bytes,
    /// When it was seen last as it was before, and first as it was after.
    pub between: (Timestamp, Timestamp),
}

/// A member that was away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Who.
    pub member: MemberId,
    /// Since when.
    pub since: Timestamp,
    /// The cluster's revision then.
    pub revision: Option<Revision>,
    /// It answers again.
    pub over: bool,
}

/// A snapshot that lies in the lab's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The revision that it holds.
    pub revision: Revision,
    /// It was verified.
    pub verified: bool,
}

/// What happened since the learner's turn began.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Every member serves, one leads, since then.
    whole_since: Option<Timestamp>,
    /// No alarm is raised, since then.
    quiet_since: Option<Timestamp>,
    /// The quorum was lost at some moment.
    pub lost_quorum: bool,
    /// The most voters that were away at one moment: in two views in a row, because an election is over sooner.
    pub most_away: usize,
    /// Members that were away.
    pub absences: Vec<Absence>,
    /// Files that were rewritten.
    pub rewrites: Vec<Rewrite>,
    /// Every comparison of the members' data: whether all hold the same.
    pub compared: Vec<bool>,
    /// Every alarm of CORRUPT was taken back before anybody compared data.
    pub disarmed_unseen: bool,
    /// What was done besides the dashboard's keys, why it was refused if it was, and when that was known.
    pub acts: Vec<(Act, Option<String>, Timestamp)>,
    /// The revision when the disks were lost.
    pub lost_at: Option<Revision>,
    /// The newest snapshot when they were lost.
    pub kept_then: Option<Kept>,
    before: Option<ClusterView>,
    away: BTreeSet<MemberId>,
}

impl Ledger {
    /// The learner's turn begins: what happened before is none of theirs.
    pub fn begin(&mut self) {
        let before = std::mem::take(self);
        self.whole_since = before.whole_since;
        self.quiet_since = before.quiet_since;
        self.before = before.before;
    }

    /// Takes what was seen.
    pub fn view(&mut self, view: &ClusterView) {
        let listed = || view.members.iter().filter(|m| m.listed);
        let whole = view.leader.is_some() && listed().count() > 0 && listed().all(|m| m.state.serves());
        self.whole_since = whole.then(|| self.whole_since.unwrap_or(view.at));
        let alarmed = !view.alarms.is_empty();
        let corrupt = |v: &ClusterView| v.alarms.iter().any(|a| a.kind == AlarmKind::Corrupt);
        if self.before.as_ref().is_some_and(corrupt) && !corrupt(view) && view.outage().is_none() {
            self.disarmed_unseen |= self.compared.is_empty();
        }
        self.quiet_since = (!alarmed).then(|| self.quiet_since.unwrap_or(view.at));
        self.lost_quorum |= matches!(view.outage(), Some(Outage::QuorumLost { .. }));
        let away: BTreeSet<_> =
            listed().filter(|m| !m.learner && is_away(m.state)).filter_map(|m| m.id).collect();
        self.most_away = self.most_away.max(away.intersection(&self.away).count());
        for member in away.difference(&self.away) {
            let (since, revision) = (view.at, view.revision);
            self.absences.push(Absence { member: *member, since, revision, over: false });
        }
        self.away = away;
        for absence in self.absences.iter_mut().filter(|a| !a.over) {
            absence.over = view.member(absence.member).is_some_and(|m| m.state.serves());
        }
        if let Some(before) = &self.before {
            for m in &view.members {
                self.rewrites.extend(rewritten(before, view, m));
            }
        }
        // What a member said before it fell silent is what it is compared with when it speaks again.
        let mut kept = view.clone();
        if let Some(before) = self.before.take() {
            for m in kept.members.iter_mut().filter(|m| !m.state.answers()) {
                if let Some(old) = before.members.iter().find(|old| old.id == m.id) {
                    m.role = old.role;
                }
            }
            if kept.leader.is_none() {
                kept.leader = before.leader;
            }
        }
        self.before = Some(kept);
    }

    /// Takes a comparison of the members' data.
    pub fn comparison(&mut self, comparison: &Comparison) {
        match comparison.agreement() {
            Agreement::Same { .. } => self.compared.push(true),
            Agreement::Differ { .. } => self.compared.push(false),
            Agreement::TooFew => {}
        }
    }
}

/// Smaller than by a fifth, and by a megabyte: no write makes a file smaller, only a rewrite does.
fn rewritten(before: &ClusterView, view: &ClusterView, m: &MemberView) -> Option<Rewrite> {
    let size = |m: &MemberView| m.status.as_ref()?.db_size;
    let (member, after) = (m.id?, size(m).filter(|_| m.state.answers())?);
    let old = before.member(member)?;
    let was = size(old)?;
    if was.minus(after).0 < (1 << 20).max(was.0 / 5) {
        return None;
    }
    let led = before.leader == Some(member) && view.leader == Some(member);
    let between = (old.status_at.unwrap_or(before.at), m.status_at.unwrap_or(view.at));
    Some(Rewrite { member, led, before: was, after, between })
}

/// Whether it does not answer: in an election, in which nobody has a leader, all do.
const fn is_away(state: MemberState) -> bool {
    !state.answers()
}

/// Everything that a goal may look at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// When the learner's turn began.
    pub start: &'a ClusterView,
    /// When this step began.
    pub step: &'a ClusterView,
    /// Which one that is, from 1.
    pub step_number: usize,
    /// Rewrites that there had been by then.
    pub step_rewrites: usize,
    /// Now.
    pub now: &'a ClusterView,
    /// What happened in between.
    pub ledger: &'a Ledger,
    /// What clients feel.
    pub felt: &'a Felt,
    /// The consumer, if there is one.
    pub consumer: Option<&'a WatcherView>,
    /// Snapshots of this cluster in the lab's folder, taken since the learner's turn began.
    pub kept: &'a [Kept],
    /// Who plays which part.
    pub cast: &'a Cast,
}

impl<'a> Seen<'a> {
    /// The row of a member.
    #[must_use]
    pub fn member(&self, who: Who) -> Option<&'a MemberView> {
        self.now.member(self.cast.id(who, self.now)?)
    }

    /// How that member does now.
    #[must_use]
    pub fn state(&self, who: Who) -> Option<MemberState> {
        self.member(who).map(|m| m.state)
    }

    /// Whether a member led when the step began, and leads now.
    #[must_use]
    pub fn leads(&self, who: Who) -> bool {
        self.now.leader.is_some() && self.now.leader == self.cast.id(who, self.now)
    }

    fn lasts(&self, since: Option<Timestamp>, span: Duration) -> bool {
        since.is_some_and(|since| {
            Duration::try_from(self.now.at.duration_since(since)).unwrap_or_default() >= span
        })
    }

    /// Reached when every listed member has served for so long, and one leads.
    ///
    /// # Errors
    /// Who does not.
    pub fn whole_for(&self, span: Duration) -> Goal {
        if self.lasts(self.ledger.whole_since, span) {
            return Ok(());
        }
        let away: Vec<_> = self
            .now
            .members
            .iter()
            .filter(|m| m.listed && !m.state.serves())
            .map(|m| match m.state {
                MemberState::NoLeader => format!("{} has no leader", m.label()),
                state => format!("{} is {}", m.label(), state.shown()),
            })
            .collect();
        Err(if let Some(outage) = self.now.outage() {
            outage.to_string()
        } else if away.is_empty() {
            "every member serves, but not for long yet".into()
        } else {
            away.join(", ")
        })
    }

    /// Reached when no alarm has been raised for so long.
    ///
    /// # Errors
    /// Which one is.
    pub fn quiet_for(&self, span: Duration) -> Goal {
        if self.lasts(self.ledger.quiet_since, span) {
            return Ok(());
        }
        let kinds: Vec<_> = self.now.alarms.iter().map(|a| a.kind.to_string()).collect();
        Err(if kinds.is_empty() {
            "no alarm is raised, but not for long yet".into()
        } else {
            format!("the alarm {} is raised", kinds[0])
        })
    }

    /// Reached when clients have written through every member for so long.
    ///
    /// # Errors
    /// Through whom they cannot.
    pub fn writes_for(&self, span: Duration) -> Goal {
        let fails = |(name, through): (&String, &Through)| {
            (!through.works).then(|| {
                let why = through.error.as_deref().unwrap_or("no answer");
                format!("writes through {name} fail: {why}")
            })
        };
        if let Some(why) = self.felt.iter().find_map(fails) {
            return Err(why);
        }
        let lasting = !self.felt.is_empty() && self.felt.values().all(|t| self.lasts(t.since, span));
        if lasting { Ok(()) } else { Err("clients write again, but not for long yet".into()) }
    }

    /// Files that were rewritten since the step began.
    #[must_use]
    pub fn rewrites(&self) -> &'a [Rewrite] {
        self.ledger.rewrites.get(self.step_rewrites..).unwrap_or_default()
    }

    /// Whether this was done, and worked.
    #[must_use]
    pub fn did(&self, is: impl Fn(&Act) -> bool) -> bool {
        self.ledger.acts.iter().any(|(act, refused, _)| refused.is_none() && is(act))
    }

    /// The same, and what is seen now is of at least a second later.
    #[must_use]
    pub fn did_before(&self, is: impl Fn(&Act) -> bool) -> bool {
        let later = |at: Timestamp| self.now.at.duration_since(at).as_secs() >= 1;
        self.ledger.acts.iter().any(|(act, refused, at)| refused.is_none() && is(act) && later(*at))
    }

    /// Whether this was tried, and refused for a reason with these words.
    #[must_use]
    pub fn refused(&self, is: impl Fn(&Act) -> bool, words: &str) -> bool {
        let refused = |why: &Option<String>| why.as_ref().is_some_and(|why| why.contains(words));
        self.ledger.acts.iter().any(|(act, why, _)| is(act) && refused(why))
    }

    /// Members that were away since the step began and are back.
    pub fn came_back(&self) -> impl Iterator<Item = &'a Absence> {
        let since = self.step.at;
        self.ledger.absences.iter().filter(move |a| a.over && a.since >= since)
    }

    /// A member that led or followed when the turn began, and is in the list no more.
    #[must_use]
    pub fn gone(&self, who: Who) -> bool {
        self.cast.id(who, self.start).is_some_and(|id| !self.now.member(id).is_some_and(|m| m.listed))
    }
}
