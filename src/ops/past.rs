//! What the journal of a cluster tells: the operations that there were, what was interrupted and how it goes on, and what
//! they taught.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::journal::{End, StepEnd, lock_of, path_of};
use super::plan::{Action, Keep, PlanId, Request, Roll};
use super::terms::Terms;
use crate::model::text::printable;
use crate::model::units::grouped;
use crate::model::{AlarmKind, ClusterId, ClusterView, MemberId};

/// Why an operation is stopped when the program has to end.
pub const PROGRAM_ENDS: &str = "the program ends";

/// An operation as the journal tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    /// Its plan's name.
    pub plan: PlanId,
    /// When it was confirmed.
    pub at: Option<Timestamp>,
    /// What it was.
    pub title: String,
    /// Who confirmed it.
    pub by: String,
    /// The host on which it ran, until that was started anew.
    pub host: String,
    /// What was asked for; none if a later version wrote it in another way.
    pub request: Option<Request>,
    /// Under what terms.
    pub terms: Terms,
    /// The operation that it went on with.
    pub continues: Option<PlanId>,
    /// Its steps, in the order in which they were done.
    pub steps: Vec<PastStep>,
    /// How it ended; none: it did not.
    pub end: Option<End>,
}

/// A step as the journal tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PastStep {
    /// What it was.
    pub title: String,
    /// The same, for the program.
    pub action: Option<Action>,
    /// Whether it was announced.
    pub began: bool,
    /// How it ended; none: it did not, or nobody got round to it.
    pub end: Option<StepEnd>,
}

impl Past {
    /// Whether it never ended: its process was killed, or the host went down.
    #[must_use]
    pub const fn interrupted(&self) -> bool {
        self.end.is_none()
    }

    /// The step that was announced last and has no end: its number from 1.
    #[must_use]
    pub fn cut_in(&self) -> Option<(usize, &PastStep)> {
        let at = self.steps.iter().rposition(|s| s.began && s.end.is_none())?;
        Some((at + 1, &self.steps[at]))
    }

    /// `in step 2 of 3, defragment m2`, or `after step 1 of 3`.
    #[must_use]
    pub fn where_it_was(&self) -> String {
        if let Some((number, step)) = self.cut_in() {
            let title = if step.title.is_empty() { "a step" } else { &step.title };
            return format!("in step {number} of {}, {title}", self.steps.len());
        }
        let ended = self.steps.iter().filter(|s| s.end.is_some()).count();
        format!("after step {ended} of {}", self.steps.len())
    }

    fn done(&self, is: impl Fn(&Action) -> bool) -> bool {
        self.steps.iter().any(|s| s.end == Some(StepEnd::Done) && s.action.as_ref().is_some_and(&is))
    }

    /// Whether nobody decided that it ends: it was interrupted, or ended because its terminal or host went away.
    #[must_use]
    pub fn broken_off(&self) -> bool {
        self.interrupted() || matches!(&self.end, Some(End::Cancelled(why)) if why.starts_with(PROGRAM_ENDS))
    }

    /// Members that it was to defragment and did not.
    fn undefragmented(&self) -> impl Iterator<Item = MemberId> {
        let open = |s: &&PastStep| !matches!(s.end, Some(StepEnd::Done | StepEnd::Needless(_)));
        self.steps.iter().filter(open).filter_map(|s| match s.action {
            Some(Action::Defragment { member }) => Some(member),
            _ => None,
        })
    }

    /// What is left of it in the cluster as it is now, when these members were defragmented since.
    fn rest(&self, view: &ClusterView, since: &BTreeSet<MemberId>) -> Result<Request, String> {
        let request = self.request.clone().ok_or("its journal entry does not tell what was asked for")?;
        match request {
            Request::Defragment(roll) => {
                let left: Vec<_> = self
                    .undefragmented()
                    .filter(|id| view.member(*id).is_some() && !since.contains(id))
                    .collect();
                if left.is_empty() && roll.disarm && !view.raisers(AlarmKind::NoSpace).is_empty() {
                    return Ok(Request::Disarm);
                }
                if left.is_empty() {
                    return Err("every member of it was defragmented".into());
                }
                let compacted = self.done(|a| matches!(a, Action::Compact { .. }));
                let compact = roll.compact.filter(|_| !compacted);
                Ok(Request::Defragment(Roll { members: left, compact, ..roll }))
            }
            Request::Compact(_) => {
                let revision = self.steps.iter().find_map(|s| match s.action {
                    Some(Action::Compact { revision }) => Some(revision),
                    _ => None,
                });
                let revision = revision.ok_or("it had no compaction in it")?;
                if view.compact_revision.is_some_and(|floor| floor >= revision) {
                    let shown = grouped(u64::try_from(revision.0).unwrap_or_default());
                    return Err(format!("the history below revision {shown} is gone"));
                }
                Ok(Request::Compact(Keep::From(revision)))
            }
            Request::MoveLeader { to } if view.leader == Some(to) => {
                Err(format!("{} leads", view.name_of(to)))
            }
            Request::Disarm if view.alarms.is_empty() => Err("no alarm is raised any more".into()),
            Request::RecoverNoSpace { .. } if view.raisers(AlarmKind::NoSpace).is_empty() => {
                Err("no NOSPACE alarm is raised any more".into())
            }
            Request::RecoverNoSpace { folder, keep } => {
                let saved = self.done(|a| matches!(a, Action::Snapshot { .. }));
                Ok(Request::RecoverNoSpace { folder: folder.filter(|_| !saved), keep })
            }
            Request::Snapshot { .. } if self.done(|a| matches!(a, Action::Snapshot { .. })) => {
                Err("the snapshot was saved".into())
            }
            other => Ok(other),
        }
    }
}

/// What a cluster's journal tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Operations, the oldest first.
    pub operations: Vec<Past>,
    /// Bytes a second that each member rewrote in its last defragmentation.
    pub rates: BTreeMap<MemberId, f64>,
    /// When the last snapshot was saved.
    pub last_snapshot: Option<Timestamp>,
    /// Who holds the lock now: the last operation then runs, in that process.
    pub held_by: Option<String>,
    /// Parts of snapshots that an interrupted operation had left, and that are removed now.
    pub swept: Vec<String>,
}

impl History {
    /// The operation that was broken off last and is still open: killed, or ended because its terminal went away. It is not
    /// any more when later ones did what was left, or when somebody went on with it and then wanted no more.
    #[must_use]
    pub fn open(&self) -> Option<&Past> {
        let at = self
            .operations
            .iter()
            .enumerate()
            .rposition(|(at, past)| past.broken_off() && !self.left_alone(at) && !self.covered(at))?;
        self.operations.get(at)
    }

    /// What is left of an open operation in the cluster as it is now.
    ///
    /// # Errors
    /// Why nothing is left to do.
    pub fn rest(&self, past: &Past, view: &ClusterView) -> Result<Request, String> {
        let at = self.operations.iter().position(|p| p.plan == past.plan).unwrap_or_default();
        past.rest(view, &self.defragmented_after(at))
    }

    /// Members that later operations defragmented.
    fn defragmented_after(&self, at: usize) -> BTreeSet<MemberId> {
        let later = self.operations.iter().skip(at + 1).flat_map(|p| &p.steps);
        let done = later.filter(|s| s.end == Some(StepEnd::Done));
        done.filter_map(|s| match s.action {
            Some(Action::Defragment { member }) => Some(member),
            _ => None,
        })
        .collect()
    }

    /// Whether later operations did what was left.
    fn covered(&self, at: usize) -> bool {
        let Some(past) = self.operations.get(at) else { return true };
        if let Some(Request::Defragment(_)) = &past.request {
            let done = self.defragmented_after(at);
            return past.undefragmented().all(|m| done.contains(&m));
        }
        let kind = |p: &Past| p.request.as_ref().map(std::mem::discriminant);
        self.operations.iter().skip(at + 1).any(|l| l.end == Some(End::Done) && kind(l) == kind(past))
    }

    /// Whether somebody went on with it and then stopped that.
    fn left_alone(&self, at: usize) -> bool {
        let Some(past) = self.operations.get(at) else { return true };
        let mut later = self.operations.iter().skip(at + 1);
        later.any(|l| {
            l.continues.as_ref() == Some(&past.plan)
                && (l.broken_off() || matches!(l.end, Some(End::Cancelled(_))))
        })
    }

    /// The operation that another process carries out now.
    #[must_use]
    pub fn running_elsewhere(&self) -> Option<(&Past, &str)> {
        let holder = self.held_by.as_deref()?;
        Some((self.operations.last().filter(|p| p.interrupted())?, holder))
    }
}

/// Reads a cluster's journal. Lines that cannot be read (cut, or of a later version) are left out: an audit trail is read
/// as far as it can be.
#[must_use]
pub fn read(folder: &Path, cluster: ClusterId) -> History {
    let mut history = History::default();
    let Ok(file) = File::open(path_of(folder, cluster)) else { return history };
    history.held_by = holder(folder, cluster);
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        if let Ok(record) = serde_json::from_slice::<Value>(&line) {
            take(&mut history, &record);
        }
    }
    history
}

/// What tells whether a journal has changed: its length, and who holds its lock.
pub type State = (u64, Option<String>);

/// The state of a cluster's journal.
#[must_use]
pub fn state(folder: &Path, cluster: ClusterId) -> State {
    let length = fs::metadata(path_of(folder, cluster)).map_or(0, |m| m.len());
    (length, holder(folder, cluster))
}

/// Who holds the lock of a cluster; none when nobody does.
fn holder(folder: &Path, cluster: ClusterId) -> Option<String> {
    let path = lock_of(folder, cluster);
    let lock = File::open(&path).ok()?;
    // Shared, so that two who look do not take each other for somebody who works; given back at once.
    let free = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok();
    (!free).then(|| printable(fs::read_to_string(&path).unwrap_or_default().trim()).into_owned())
}

fn read_as<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn step_of(body: &Value) -> PastStep {
    PastStep { title: text(&body["title"]), action: read_as(&body["action"]), ..PastStep::default() }
}

fn take(history: &mut History, record: &Value) -> Option<()> {
    let plan = PlanId(record.get("plan")?.as_str()?.to_owned());
    let at: Option<Timestamp> = record.get("at").and_then(Value::as_str).and_then(|t| t.parse().ok());
    if record.get("event")? == "confirmed" {
        let body = record.get("body")?;
        history.operations.push(Past {
            plan,
            at,
            title: text(&body["title"]),
            by: text(&record["by"]),
            host: text(&record["host"]),
            request: read_as(&body["request"]),
            terms: read_as(&body["terms"]).unwrap_or_default(),
            continues: read_as(&body["continues"]),
            steps: body.get("steps")?.as_array()?.iter().map(step_of).collect(),
            end: None,
        });
        return Some(());
    }
    let past = history.operations.iter_mut().rev().find(|p| p.plan == plan)?;
    let number = || usize::try_from(record.get("step")?.as_u64()?.checked_sub(1)?).ok();
    match record.get("event")?.as_str()? {
        "step_begins" => {
            // What was done, which may be another step than the plan had in this place: the one that came instead takes
            // that one's.
            let (at, body) = (number()?, record.get("body")?);
            let step = PastStep { began: true, ..step_of(body) };
            if step.action.is_some()
                && let Some(planned) = past.steps.iter().position(|s| s.action == step.action)
                && planned > at
            {
                past.steps[at..=planned].rotate_right(1);
            }
            *past.steps.get_mut(at)? = step;
        }
        "step_answered" => {
            let step = past.steps.get_mut(number()?)?;
            step.end = read_as(record.get("end")?);
        }
        "step_ended" => {
            let step = past.steps.get_mut(number()?)?;
            step.end = read_as(record.get("end")?);
            if step.end == Some(StepEnd::Done) {
                learn(history, record, at);
            }
        }
        "ended" => past.end = read_as(record.get("end")?),
        _ => {}
    }
    Some(())
}

/// What a done step teaches: how fast a member rewrites its file, and that there is a snapshot.
fn learn(history: &mut History, record: &Value, at: Option<Timestamp>) {
    match read_as(&record["action"]) {
        Some(Action::Snapshot { .. }) => history.last_snapshot = at.or(history.last_snapshot),
        Some(Action::Defragment { member }) => {
            let figures = &record["figures"];
            if let (Some(after), Some(took @ 1..)) = (figures["after"].as_u64(), figures["took_ms"].as_u64())
            {
                #[allow(clippy::cast_precision_loss)] // a rate for estimates
                let rate = after as f64 / Duration::from_millis(took).as_secs_f64();
                history.rates.insert(member, rate);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::plan::Permille;
    use crate::testing::healthy;

    fn lines(view: &ClusterView, lines: &[String]) -> History {
        let folder = tempfile::tempdir().unwrap();
        let cluster = view.cluster_id.unwrap();
        fs::write(path_of(folder.path(), cluster), lines.join("\n")).unwrap();
        read(folder.path(), cluster)
    }

    /// A roll over three members that went in another order than planned and was killed in its second step.
    fn killed(view: &ClusterView) -> Vec<String> {
        let [a, b, c] = [0, 1, 2].map(|i| view.members[i].id.unwrap());
        let step =
            |id| format!(r#"{{"title":"defragment {id}","action":{{"do":"defragment","member":"{id}"}}}}"#);
        let event = |rest: String| format!(r#"{{"at":"2026-11-21T08:00:00Z","plan":"p1",{rest}}}"#);
        vec![
            event(format!(
                r#""event":"confirmed","by":"me","body":{{"title":"Roll","request":{{"defragment":{{"members":[],"move_leader":true,"rule":null}}}},"steps":[{},{},{}]}}"#,
                step(a),
                step(b),
                step(c)
            )),
            event(format!(r#""event":"step_begins","step":1,"body":{}"#, step(b))),
            event(format!(
                r#""event":"step_ended","step":1,"action":{{"do":"defragment","member":"{b}"}},"end":"done","figures":{{"before":9,"after":4000,"took_ms":2000,"note":null}}"#
            )),
            event(format!(r#""event":"step_begins","step":2,"body":{}"#, step(c))),
        ]
    }

    #[test]
    fn what_was_interrupted_goes_on_with_what_is_left() {
        let view = healthy(3);
        let history = lines(&view, &killed(&view));
        let open = history.open().unwrap();
        let (number, step) = open.cut_in().unwrap();
        assert_eq!((number, &step.title), (2, &format!("defragment {}", view.members[2].id.unwrap())));
        let Ok(Request::Defragment(Roll { members, move_leader: true, .. })) = history.rest(open, &view)
        else {
            panic!("{open:?}")
        };
        assert_eq!(members, [view.members[2].id.unwrap(), view.members[0].id.unwrap()]);
        assert_eq!(history.rates.values().collect::<Vec<_>>(), [&2000.0]);
    }

    #[test]
    fn it_is_open_until_something_went_on_with_it_or_did_the_same() {
        let view = healthy(3);
        let later = |request: &str, continues: &str, steps: &str, ended: bool| {
            let mut all = killed(&view);
            all.push(format!(
                r#"{{"at":"2026-11-21T09:00:00Z","plan":"p2","event":"confirmed","by":"me","body":{{"title":"x","continues":{continues},"request":{request},"steps":[{steps}]}}}}"#
            ));
            if ended {
                all.push(r#"{"at":"2026-11-21T09:00:01Z","plan":"p2","event":"ended","end":"done"}"#.into());
            }
            lines(&view, &all).open().map(|p| p.plan.0.clone())
        };
        let roll = r#"{"defragment":{"members":[],"move_leader":false,"rule":null}}"#;
        let left = format!(
            r#"{{"title":"x","action":{{"do":"defragment","member":"{}"}}}}"#,
            view.members[0].id.unwrap()
        );
        let snapshot = r#"{"snapshot":{"member":null,"folder":"/x"}}"#;
        assert_eq!(
            later(snapshot, "null", "", true).as_deref(),
            Some("p1"),
            "a snapshot does not mend a roll"
        );
        // A roll over none is no roll over those that are left; one member done is not two.
        assert_eq!(later(roll, "null", "", true).as_deref(), Some("p1"));
        let [a, c] = [0, 2].map(|i| view.members[i].id.unwrap());
        let ended = |n: usize, id| {
            format!(
                r#"{{"at":"2026-11-21T09:00:00Z","plan":"p2","event":"step_ended","step":{n},"action":{{"do":"defragment","member":"{id}"}},"end":"done","figures":{{}}}}"#
            )
        };
        let step = |id| format!(r#"{{"title":"x","action":{{"do":"defragment","member":"{id}"}}}}"#);
        let mut all = killed(&view);
        all.push(format!(
            r#"{{"at":"2026-11-21T09:00:00Z","plan":"p2","event":"confirmed","by":"me","body":{{"title":"x","request":{roll},"steps":[{},{}]}}}}"#,
            step(a),
            step(c)
        ));
        all.push(ended(1, a));
        let history = lines(&view, &all);
        let open = history.open().unwrap();
        let Ok(Request::Defragment(Roll { members, .. })) = history.rest(open, &view) else { panic!() };
        assert_eq!((open.plan.0.as_str(), members), ("p2", vec![c]), "what went on was killed, too");
        all.push(ended(2, c));
        assert_eq!(lines(&view, &all).open(), None, "together they did it all");
        assert_eq!(
            later(roll, "\"p1\"", &left, false).as_deref(),
            Some("p2"),
            "what went on was interrupted, too"
        );
    }

    #[test]
    fn what_is_so_already_is_not_done_again() {
        let mut view = healthy(3);
        let to = view.members[1].id.unwrap();
        let past = |request, action| Past {
            request: Some(request),
            steps: vec![PastStep { action: Some(action), began: true, ..PastStep::default() }],
            ..Past::default()
        };
        let moved = past(Request::MoveLeader { to }, Action::MoveLeader { from: to, to });
        assert!(moved.rest(&view, &BTreeSet::new()).is_ok());
        view.leader = Some(to);
        assert_eq!(moved.rest(&view, &BTreeSet::new()), Err("m2 leads".into()));
        let revision = view.compact_revision.unwrap();
        let compacted = past(Request::Compact(Keep::Last(5)), Action::Compact { revision });
        assert!(compacted.rest(&view, &BTreeSet::new()).unwrap_err().contains("is gone"));
        view.compact_revision = None;
        assert_eq!(compacted.rest(&view, &BTreeSet::new()), Ok(Request::Compact(Keep::From(revision))));
        let disarm = past(
            Request::Disarm,
            Action::Disarm { member: None, alarm: AlarmKind::NoSpace, below: Permille::default() },
        );
        assert!(disarm.rest(&view, &BTreeSet::new()).is_err());
    }
}
