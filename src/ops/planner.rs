//! From what was asked for to a plan: pure, from one view.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use super::gates::{self, Gate};
use super::plan::{Action, AfterFailure, Check, Keep, Plan, PlanId, Request, Step, Verdict};
use super::terms::Terms;
use crate::model::units::grouped;
use crate::model::{AlarmKind, ClusterId, ClusterView, MemberId, MemberView, Revision};
use crate::snapshot::Place;

/// What a planner goes by.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The cluster now.
    pub view: &'a ClusterView,
    /// What people call it: what must be typed to confirm a dangerous plan.
    pub cluster_name: &'a str,
    /// Bytes that a member rewrote in a second in its last defragmentation.
    pub rates: &'a BTreeMap<MemberId, f64>,
    /// When the last snapshot of this cluster was saved, as far as is known here.
    pub last_snapshot: Option<Timestamp>,
    /// A snapshot comes first, into this folder.
    pub snapshot_first: Option<&'a Path>,
    /// Where snapshots go, or why they cannot; none when that is not known.
    pub place: Option<&'a Result<Place, String>>,
    /// The operation that runs already, if one does.
    pub busy: Option<&'a str>,
    /// The key that proves a write.
    pub proof_key: &'a str,
    /// Under what terms it is to be carried out; none: without any.
    pub terms: Option<&'a Terms>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoPlan {
    /// What was asked for is so already.
    #[error("{0}")]
    NothingToDo(String),
    /// It cannot be planned.
    #[error("{0}")]
    Impossible(String),
}

impl From<String> for NoPlan {
    fn from(why: String) -> Self {
        Self::Impossible(why)
    }
}

impl From<&str> for NoPlan {
    fn from(why: &str) -> Self {
        Self::Impossible(why.to_owned())
    }
}

/// The longest name that has room in a dialog, twice: to be read and to be typed.
const LONGEST_NAME: usize = 32;

/// What must be typed to confirm: the name, or the id of what has a name that nobody can type.
pub(super) fn typeable(name: &str, id: &str) -> String {
    let typed = |c: char| c.is_ascii_graphic() || c == ' ';
    let can_be = name.chars().all(typed) && name.trim() == name && (1..=LONGEST_NAME).contains(&name.len());
    if can_be { name.to_owned() } else { id.to_owned() }
}

/// Makes the plan for a request.
///
/// # Errors
/// Why there is nothing to plan, such as no cluster that answers.
pub fn plan(request: &Request, s: Situation<'_>) -> Result<Plan, NoPlan> {
    let cluster = s.view.cluster_id.ok_or("nobody has answered yet: there is no cluster to plan for")?;
    if s.view.listed() == 0 {
        return Err("the member list is not known yet".into());
    }
    let mut draft = Draft::new(s, cluster, request);
    match request {
        Request::Compact(keep) => draft.compact(*keep)?,
        Request::Defragment(roll) => draft.defragment(roll),
        Request::MoveLeader { to } => draft.move_leader(*to),
        Request::Disarm => draft.disarm()?,
        Request::Snapshot { member, folder, name, verify } => {
            draft.snapshot(*member, folder, name.as_deref(), *verify)?;
        }
        Request::RecoverNoSpace { folder, keep } => draft.recover(folder.as_deref(), *keep)?,
    }
    Ok(draft.finish())
}

pub(super) struct Draft<'a> {
    pub(super) s: Situation<'a>,
    pub(super) plan: Plan,
}

impl<'a> Draft<'a> {
    fn new(s: Situation<'a>, cluster: ClusterId, request: &Request) -> Self {
        let at = s.view.at;
        let plan = Plan {
            id: PlanId(format!(
                "{}.{:09}-{:x}",
                at.strftime("%Y%m%dT%H%M%S"),
                jiff::Timestamp::now().subsec_nanosecond(),
                std::process::id()
            )),
            request: request.clone(),
            continues: None,
            made_at: at,
            cluster,
            cluster_name: s.cluster_name.to_owned(),
            title: String::new(),
            consequences: Vec::new(),
            steps: Vec::new(),
            skipped: Vec::new(),
            checks: Vec::new(),
            danger: None,
            name_to_type: typeable(s.cluster_name, &cluster.to_string()),
            after_failure: AfterFailure::Stop,
            terms: s.terms.cloned().unwrap_or_default(),
        };
        Self { s, plan }
    }

    fn finish(mut self) -> Plan {
        let stalls = self.plan.steps.iter().any(|s| s.action.stalls());
        if let Some(window) = self.plan.terms.window.filter(|_| stalls) {
            let now = self.s.view.at;
            self.check(
                window.is_open(now),
                format!("within {window}"),
                Verdict::Block,
                format!("it is {}, and what stalls members is begun within {window} alone", clock(now)),
            );
        }
        let busy = self.s.busy;
        self.check(
            busy.is_none(),
            "no other operation runs",
            Verdict::Block,
            busy.map_or_else(String::new, |what| format!("another operation runs: {what}")),
        );
        self.plan
    }

    pub(super) fn check(
        &mut self,
        holds: bool,
        pass: impl Into<String>,
        otherwise: Verdict,
        line: impl Into<String>,
    ) {
        self.plan.checks.push(Check::that(holds, pass, otherwise, line));
    }

    /// The gate that the engine asks right before the step, as a check.
    pub(super) fn gate_check(&mut self, action: &Action, pass: impl Into<String>) {
        let (holds, line) = match gates::before(self.plan.cluster, action, self.s.view) {
            Gate::Go => (true, String::new()),
            Gate::Wait(why) | Gate::Stop(why) => (false, why),
        };
        self.check(holds, pass, Verdict::Block, line);
    }

    pub(super) fn say(&mut self, consequence: impl Into<String>) {
        self.plan.consequences.push(consequence.into());
    }

    pub(super) fn step(&mut self, action: Action, title: String, etcdctl: String) -> &mut Step {
        self.plan.steps.push(Step {
            action,
            title,
            estimate: None,
            before: None,
            after: None,
            as_leader: false,
            etcdctl,
        });
        let last = self.plan.steps.len() - 1;
        &mut self.plan.steps[last]
    }

    pub(super) fn name(&self, id: MemberId) -> String {
        self.s.view.name_of(id)
    }

    pub(super) fn endpoint(&self, id: MemberId) -> String {
        let endpoint = self.s.view.member(id).and_then(|m| m.endpoint.as_ref());
        endpoint.map_or_else(|| "ENDPOINT".to_owned(), ToString::to_string)
    }

    pub(super) fn voters(&self) -> Vec<&'a MemberView> {
        self.s.view.members.iter().filter(|m| m.is_voter()).collect()
    }

    /// Members that answer, one leader, caught up, not corrupt.
    pub(super) fn health_checks(&mut self) {
        let view = self.s.view;
        let voters = self.voters();
        let serving = voters.iter().filter(|m| m.state.serves()).count();
        let silent: Vec<_> = voters.iter().filter(|m| !m.state.serves()).map(|m| m.label()).collect();
        self.check(
            silent.is_empty(),
            format!("{serving} of {} voters serve", voters.len()),
            Verdict::Block,
            format!(
                "{} of {} voters serve, not {}: one that is gone must not be joined by another",
                serving,
                voters.len(),
                silent.join(", ")
            ),
        );
        let leader = view.leader.map(|id| self.name(id));
        let term = view.term.map_or_else(String::new, |t| format!(", term {}", t.0));
        let split = view.conflicts.iter().any(|c| matches!(c, crate::model::Conflict::LeadersDiffer { .. }));
        self.check(
            leader.is_some() && !split,
            format!("one leader, {}{term}", leader.unwrap_or_default()),
            Verdict::Block,
            if split { "members name different leaders" } else { "nobody leads" },
        );
        let unknown: Vec<_> = voters.iter().filter(|m| m.lag.is_none()).map(|m| m.label()).collect();
        let lag = voters.iter().filter_map(|m| m.lag).max().filter(|_| unknown.is_empty());
        self.check(
            lag.is_some_and(|l| l <= gates::LAG_BOUND),
            format!("lag {}", lag.unwrap_or_default()),
            if lag.is_some() { Verdict::Block } else { Verdict::Warn },
            lag.map_or_else(
                || format!("the lag of {} is not known", unknown.join(", ")),
                |l| format!("a voter is {} entries behind", grouped(l)),
            ),
        );
        let corrupt = view.raisers(AlarmKind::Corrupt);
        self.check(
            corrupt.is_empty(),
            "no CORRUPT alarm",
            Verdict::Block,
            format!("CORRUPT raised by {corrupt}: find the odd member first, a rewrite would hide it"),
        );
    }

    fn compact(&mut self, keep: Keep) -> Result<(), NoPlan> {
        let head = self.s.view.revision.ok_or("the revision is not known yet")?;
        let revision = match keep {
            Keep::From(revision) => revision,
            Keep::Last(n) => Revision(head.0.saturating_sub(i64::try_from(n).unwrap_or(i64::MAX))),
        };
        self.plan.title = format!("Compaction of {}", self.s.cluster_name);
        let compacted = self.s.view.compact_revision.map_or(0, |r| r.0);
        let shown = |r: i64| grouped(u64::try_from(r).unwrap_or_default());
        let there = head.0.saturating_sub(compacted);
        if revision.0 <= compacted.max(0) {
            match keep {
                Keep::Last(n) => self.plan.skipped.push(format!(
                    "{} revisions are there, and {} are to be kept; keep fewer",
                    shown(there),
                    grouped(n)
                )),
                Keep::From(_) => {
                    let line = format!(
                        "revision {} is compacted already: the compact revision is {}",
                        shown(revision.0),
                        shown(compacted)
                    );
                    self.check(false, "", Verdict::Block, line);
                }
            }
            return Ok(());
        }
        let dropped = revision.0.saturating_sub(compacted.max(1)).min(there);
        self.say(format!(
            "Drops the history below revision {}: about {} of {} revisions. Every key keeps its newest value.",
            shown(revision.0),
            shown(dropped),
            shown(there)
        ));
        self.say("Watchers that ask for an older revision are cancelled. It frees pages inside the files; only a defragmentation makes the files smaller.");
        self.say("Where Kubernetes uses this cluster, its API server compacts every five minutes by itself.");
        self.plan.danger = Some("dropped history does not come back".into());
        self.compact_step(revision);
        let pass = format!("revision {} can be compacted", shown(revision.0));
        self.gate_check(&Action::Compact { revision }, pass);
        let voters = self.voters();
        let silent: Vec<_> = voters.iter().filter(|m| !m.state.answers()).map(|m| m.label()).collect();
        self.check(
            silent.is_empty(),
            "every voter answers",
            Verdict::Warn,
            format!(
                "{} does not answer: it drops its history when it is back, nobody waits for it",
                silent.join(", ")
            ),
        );
        self.snapshot_check();
        Ok(())
    }

    pub(super) fn compact_step(&mut self, revision: Revision) {
        self.step(
            Action::Compact { revision },
            format!("compact to revision {}", grouped(u64::try_from(revision.0).unwrap_or_default())),
            format!("etcdctl compact {} --physical", revision.0),
        );
    }

    fn move_leader(&mut self, to: MemberId) {
        let name = self.name(to);
        self.plan.title = format!("Leadership to {name}");
        self.say("An election with a chosen winner: writes wait for some ten to some hundred milliseconds.");
        let Some(from) = self.s.view.leader else {
            self.check(false, "", Verdict::Block, "nobody leads: there is nothing to move");
            return;
        };
        if from == to {
            self.plan.skipped.push(format!("{name} leads already"));
            return;
        }
        let endpoint = self.endpoint(from);
        let title = format!("move leader {} to {name}", self.name(from));
        let etcdctl = format!("etcdctl move-leader {to} --endpoints={endpoint}");
        self.step(Action::MoveLeader { from, to }, title, etcdctl);
        self.check(true, format!("{name} follows"), Verdict::Block, "");
        self.gate_check(&Action::MoveLeader { from, to }, format!("{name} is a voter and has caught up"));
    }
}

/// The time of day, and where that is told.
fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%H:%M %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_typed_can_be() {
        assert_eq!(typeable("prod-eu1", "c1"), "prod-eu1");
        for name in ["", " a", "früh", "\u{202e}x", &"n".repeat(33)] {
            assert_eq!(typeable(name, "c1"), "c1", "{name:?}");
        }
    }
}
