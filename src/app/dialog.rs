//! The dialog of a plan: what is going to be done, and its confirmation. What it is about is frozen when it opens: the
//! row under the cursor may change meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tui_input::{Input, InputRequest};

use super::key::{Key, KeyCode};
use crate::model::{ClusterView, MemberId, MemberView};
use crate::ops::plan::{Action, Keep, Plan, PlanId, Request, Verify};
use crate::ops::planner::{self, NoPlan, Situation};
use crate::ops::terms::Terms;
use crate::snapshot::Place;

/// Where the keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The button that it opens on.
    Cancel,
    /// How many revisions a compaction keeps.
    Keep,
    /// The member that a snapshot is taken of.
    Source,
    /// How closely a snapshot is looked at.
    Verify,
    /// Whether leadership moves first.
    MoveLeader,
    /// Whether a snapshot comes first.
    SnapshotFirst,
    /// The name that must be typed.
    Name,
    /// The button that starts it.
    Run,
}

/// What a key in a dialog led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing but a change in the dialog.
    Open,
    /// It is closed, nothing is done.
    Close,
    /// It was confirmed.
    Confirmed,
    /// Run was pressed and is not possible: why.
    Refused(String),
}

/// What was known when the dialog opened.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The cluster.
    pub view: Arc<ClusterView>,
    /// What people call it.
    pub cluster_name: String,
    /// How fast members rewrite their files.
    pub rates: BTreeMap<MemberId, f64>,
    /// When the last snapshot was saved.
    pub last_snapshot: Option<Timestamp>,
    /// Where snapshots go, or why they cannot.
    pub place: Option<Result<Place, String>>,
    /// What runs already.
    pub busy: Option<String>,
    /// Where snapshots go.
    pub snapshots: PathBuf,
    /// The key that proves a write.
    pub proof_key: String,
    /// The operation that it goes on with, and under what terms that was to be carried out.
    pub continues: Option<(PlanId, Terms)>,
}

/// An open dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// What was asked for.
    pub request: Request,
    /// The plan that is shown, and run if it is confirmed.
    pub plan: Plan,
    /// Where the keys go.
    pub focus: Focus,
    /// What was typed as the name.
    pub typed: Input,
    /// What was typed as the revisions to keep.
    pub keep: Option<Input>,
    /// A snapshot comes first.
    pub snapshot_first: bool,
    /// First line shown.
    pub scroll: u16,
    frozen: Frozen,
}

impl Dialog {
    /// Opens on a request.
    ///
    /// # Errors
    /// Why there is nothing to plan.
    pub fn open(request: Request, frozen: Frozen) -> Result<Self, String> {
        let keep = match &request {
            Request::Compact(Keep::Last(n)) | Request::RecoverNoSpace { keep: n, .. } => {
                Some(Input::new(n.to_string()))
            }
            _ => None,
        };
        let plan = make(&request, &frozen, false).map_err(|e| e.to_string())?;
        Ok(Self {
            request,
            plan,
            focus: Focus::Cancel,
            typed: Input::default(),
            keep,
            snapshot_first: false,
            scroll: 0,
            frozen,
        })
    }

    /// What can be reached with Tab, in order.
    #[must_use]
    pub fn fields(&self) -> Vec<Focus> {
        let mut fields = vec![Focus::Cancel];
        if self.keep.is_some() {
            fields.push(Focus::Keep);
        }
        if matches!(self.request, Request::Snapshot { .. }) {
            fields.extend([Focus::Source, Focus::Verify]);
        }
        if matches!(self.request, Request::Defragment(_)) {
            fields.push(Focus::MoveLeader);
        }
        if matches!(self.request, Request::Defragment(_) | Request::Compact(_)) {
            fields.push(Focus::SnapshotFirst);
        }
        if self.asks_for().is_some() {
            fields.push(Focus::Name);
        }
        fields.push(Focus::Run);
        fields
    }

    /// Whether letters are text.
    #[must_use]
    pub const fn types(&self) -> bool {
        matches!(self.focus, Focus::Name | Focus::Keep)
    }

    /// When what it shows was seen.
    #[must_use]
    pub fn seen_at(&self) -> Timestamp {
        self.frozen.view.at
    }

    /// Takes a key. `in_burst`: it came with others, as fast as a paste does where the terminal does not mark it.
    pub fn key(&mut self, key: Key, in_burst: bool) -> Answer {
        if in_burst && key.code == KeyCode::Enter && self.focus == Focus::Run {
            return Answer::Refused("that came as fast as a paste: press enter again".into());
        }
        match key.code {
            KeyCode::Esc => return Answer::Close,
            KeyCode::Tab | KeyCode::Down => self.step(1),
            KeyCode::BackTab | KeyCode::Up => self.step(-1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(5),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(5),
            KeyCode::Enter => return self.enter(),
            KeyCode::Char(' ') if self.toggle() => {}
            // Between the buttons of one line.
            KeyCode::Left if matches!(self.focus, Focus::Run) => self.focus = Focus::Cancel,
            KeyCode::Right if matches!(self.focus, Focus::Cancel) => self.focus = Focus::Run,
            _ => self.edit(key),
        }
        Answer::Open
    }

    /// Takes pasted text: text, never keys, and never a confirmation.
    pub fn paste(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()).take(200) {
            self.insert(InputRequest::InsertChar(c));
        }
    }

    fn step(&mut self, by: isize) {
        let fields = self.fields();
        let at = fields.iter().position(|f| *f == self.focus).unwrap_or(0);
        let to = (at.cast_signed() + by).rem_euclid(fields.len().cast_signed());
        self.focus = fields[to.unsigned_abs()];
    }

    fn enter(&mut self) -> Answer {
        match self.focus {
            Focus::Cancel => Answer::Close,
            Focus::Keep | Focus::Name => {
                self.step(1);
                Answer::Open
            }
            Focus::MoveLeader | Focus::SnapshotFirst | Focus::Source | Focus::Verify => {
                self.toggle();
                Answer::Open
            }
            Focus::Run => match self.not_yet() {
                Some(why) => Answer::Refused(why),
                None => Answer::Confirmed,
            },
        }
    }

    /// The name that must be typed; none is asked for where typing it would not help.
    #[must_use]
    pub fn asks_for(&self) -> Option<&str> {
        self.plan.typed_name().filter(|_| self.plan.blocks().next().is_none())
    }

    /// Why it cannot be run as it stands.
    #[must_use]
    pub fn not_yet(&self) -> Option<String> {
        if self.keep.as_ref().is_some_and(|k| k.value().parse::<u64>().is_err()) {
            return Some("how many revisions are to be kept?".into());
        }
        if let Some(block) = self.plan.blocks().next() {
            return Some(block.to_owned());
        }
        if self.plan.steps.is_empty() {
            return Some(format!("there is nothing to do: {}", self.plan.skipped.join("; ")));
        }
        let name = self.asks_for()?;
        match self.typed.value().trim() {
            typed if typed == name => None,
            "" => Some(format!("type {name} first")),
            _ => Some(format!("that is not {name}")),
        }
    }

    fn toggle(&mut self) -> bool {
        match (self.focus, &mut self.request) {
            (Focus::MoveLeader, Request::Defragment(roll)) => roll.move_leader = !roll.move_leader,
            (Focus::SnapshotFirst, _) => self.snapshot_first = !self.snapshot_first,
            (Focus::Verify, Request::Snapshot { verify, .. }) => {
                *verify = if *verify == Verify::Full { Verify::Fast } else { Verify::Full };
            }
            (Focus::Source, _) => return self.next_source(),
            _ => return false,
        }
        self.typed = Input::default();
        self.plan_anew();
        true
    }

    /// The member that a snapshot is taken of.
    #[must_use]
    pub fn source(&self) -> Option<&MemberView> {
        let source = self.plan.steps.iter().find_map(|s| match s.action {
            Action::Snapshot { member, .. } => Some(member),
            _ => None,
        });
        self.frozen.view.member(source?)
    }

    /// Takes the snapshot of the next member that answers.
    fn next_source(&mut self) -> bool {
        let now = self.source().and_then(|m| m.id);
        let view = &self.frozen.view;
        let answering: Vec<_> =
            view.members.iter().filter(|m| m.listed && m.state.answers()).filter_map(|m| m.id).collect();
        let at = answering.iter().position(|id| Some(*id) == now).map_or(0, |at| at + 1);
        let next = answering.get(at).or(answering.first()).copied();
        if let Request::Snapshot { member, .. } = &mut self.request {
            *member = next;
        }
        self.plan_anew();
        true
    }

    fn edit(&mut self, key: Key) {
        if let Some(request) = super::overlay::edit(key) {
            self.insert(request);
        }
    }

    fn insert(&mut self, request: InputRequest) {
        match self.focus {
            Focus::Name => {
                self.typed.handle(request);
            }
            Focus::Keep => {
                if matches!(request, InputRequest::InsertChar(c) if !c.is_ascii_digit()) {
                    return;
                }
                if let Some(keep) = &mut self.keep {
                    keep.handle(request);
                    // What is no number keeps everything: nothing is dropped by a slip. See `not_yet`.
                    let n = keep.value().parse().unwrap_or(u64::MAX);
                    // What was typed confirmed another plan.
                    self.typed = Input::default();
                    match &mut self.request {
                        Request::Compact(k) => *k = Keep::Last(n),
                        Request::RecoverNoSpace { keep, .. } => *keep = n,
                        _ => {}
                    }
                    self.plan_anew();
                }
            }
            _ => {}
        }
    }

    /// The same moment, other wishes.
    fn plan_anew(&mut self) {
        if let Ok(plan) = make(&self.request, &self.frozen, self.snapshot_first) {
            self.plan = plan;
        }
    }
}

fn make(request: &Request, frozen: &Frozen, snapshot_first: bool) -> Result<Plan, NoPlan> {
    let plan = planner::plan(
        request,
        Situation {
            view: &frozen.view,
            cluster_name: &frozen.cluster_name,
            rates: &frozen.rates,
            last_snapshot: frozen.last_snapshot,
            snapshot_first: snapshot_first.then_some(frozen.snapshots.as_path()),
            place: frozen.place.as_ref(),
            busy: frozen.busy.as_deref(),
            proof_key: &frozen.proof_key,
            terms: frozen.continues.as_ref().map(|(_, terms)| terms),
        },
    )?;
    let mut plan = Plan { continues: frozen.continues.as_ref().map(|(plan, _)| plan.clone()), ..plan };
    if plan.continues.is_some() {
        plan.consequences
            .insert(0, "Goes on with what is left of the operation that was interrupted.".into());
    }
    Ok(plan)
}
