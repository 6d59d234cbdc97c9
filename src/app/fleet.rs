//! Every context of the config file, a row each: which one is selected, and what can be done there. Only to be looked at
//! and opened: a change is made where the whole cluster is seen.

use jiff::Timestamp;

use super::keymap::ActionId;
use super::state::{Screen, State};
use super::update::{AGE_STEP, Effect};
use crate::model::VerdictKind;
use crate::model::fleet::{Row, Standing, Summary, worst_first};

/// The rows of all contexts.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The config file that they are in, safe to print.
    pub file: String,
    /// Worst first.
    rows: Vec<Row>,
    /// The context that is selected, wherever its row goes.
    selected: Option<String>,
}

/// Whether the fleet can be opened from the dashboard of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// A lab, or a recording.
    #[default]
    Elsewhere,
    /// The config file has no contexts.
    NoContexts,
    /// A flag or a variable names one cluster.
    OneCluster,
    /// It can.
    There,
    /// And this dashboard was opened from it: Esc goes back.
    Back,
}

impl Fleet {
    /// Of contexts that nobody has heard of yet.
    #[must_use]
    pub fn new(file: String, rows: Vec<Row>) -> Self {
        let mut fleet = Self { file, rows: Vec::new(), selected: None };
        fleet.take(rows);
        fleet
    }

    /// Takes what is known of some contexts now.
    fn take(&mut self, news: Vec<Row>) {
        for row in news {
            match self.rows.iter_mut().find(|r| r.context == row.context) {
                Some(known) => *known = row,
                None => self.rows.push(row),
            }
        }
        worst_first(&mut self.rows);
        // Until everybody was heard the first row is whoever is the worst so far; from then on the mark stays with its context.
        let connecting = |r: &Row| r.standing() == Standing::Judged(VerdictKind::Connecting);
        if self.selected.is_none() && !self.rows.iter().any(connecting) {
            self.selected = self.rows.first().map(|r| r.context.clone());
        }
    }

    /// Every row, worst first.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows that the filter lets through.
    #[must_use]
    pub fn shown(&self, filter: &str) -> Vec<&Row> {
        let needle = filter.to_lowercase();
        let matches = |row: &&Row| {
            let told = row.told.as_ref().ok();
            let leader = told.and_then(|t| t.leader.as_deref()).unwrap_or_default();
            let versions = told.map_or("", |t| t.versions.as_str());
            [&row.context, row.headline(), row.reason(), leader, versions]
                .iter()
                .any(|text| text.to_lowercase().contains(&needle))
        };
        self.rows.iter().filter(matches).collect()
    }

    /// Which of the rows that are shown is selected: the first, if none is or it is not among them.
    #[must_use]
    pub fn selected(&self, shown: &[&Row]) -> Option<usize> {
        let at = shown.iter().position(|r| Some(&r.context) == self.selected.as_ref());
        at.or_else(|| (!shown.is_empty()).then_some(0))
    }

    /// How all of them do.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(self.rows.iter().map(Row::standing))
    }
}

impl State {
    /// The selected row of the fleet.
    #[must_use]
    pub fn selected_context(&self) -> Option<&Row> {
        let fleet = self.fleet.as_ref()?;
        let shown = fleet.shown(self.filter.input.value());
        fleet.selected(&shown).map(|i| shown[i])
    }
}

/// What is known of some contexts now.
pub(super) fn on_rows(state: &mut State, rows: Vec<Row>) {
    if let Some(fleet) = &mut state.fleet {
        fleet.take(rows);
    }
}

/// Selects the context so many rows further down.
pub(super) fn move_by(state: &mut State, by: i16) {
    let Some(fleet) = &mut state.fleet else { return };
    let shown = fleet.shown(state.filter.input.value());
    let Some(at) = fleet.selected(&shown) else { return };
    let to = at.saturating_add_signed(by.into()).min(shown.len() - 1);
    fleet.selected = Some(shown[to].context.clone());
}

/// Opens the dashboard of the selected context.
pub(super) fn open(state: &mut State) -> Vec<Effect> {
    let Some(row) = state.selected_context().cloned() else { return Vec::new() };
    match row.told {
        Ok(_) => {
            if let Some(fleet) = &mut state.fleet {
                fleet.selected = Some(row.context.clone());
            }
            vec![Effect::OpenContext(row.context)]
        }
        Err(why) => {
            state.say(why, true);
            Vec::new()
        }
    }
}

/// The selected row as text.
pub(super) fn copied(state: &State) -> Option<String> {
    let row = state.selected_context()?;
    let parts = [&row.context, row.headline(), row.reason()];
    Some(parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" "))
}

/// When an age on screen counts on; none while every cluster answers.
pub(super) fn next_age(state: &State) -> Option<Timestamp> {
    let late = |r: &Row| r.told.as_ref().is_ok_and(|t| t.late(state.now).is_some());
    let counts = state.fleet.as_ref()?.rows.iter().any(late);
    counts.then(|| state.now.checked_add(AGE_STEP).ok()).flatten()
}

/// Why an action is not for the fleet, or why the fleet cannot be opened from here.
pub(super) fn unavailable(state: &State, id: ActionId) -> Option<&'static str> {
    use ActionId::{
        Back, Copy, Down, Explain, Faster, Filter, First, Help, Last, Mouse, Open, PageDown, PageUp, Palette,
        PollNow, Quit, Redraw, Show, Slower, Suspend, Theme, Up,
    };
    if state.fleet.is_some() {
        return match id {
            Show(Screen::Fleet) => Some("these are all of them: enter opens one"),
            Open | Copy if state.selected_context().is_none() => Some("nothing is selected"),
            Up | Down | PageUp | PageDown | First | Last | Open | Back | Filter | Palette | Help
            | Explain | PollNow | Slower | Faster | Copy | Mouse | Theme | Redraw | Suspend | Quit => None,
            _ => Some("this is about one cluster: enter opens the selected one"),
        };
    }
    if id != Show(Screen::Fleet) {
        return None;
    }
    match state.way {
        // What runs must neither be left alone nor be stopped by a look elsewhere.
        Way::There | Way::Back if state.changes.running().is_some() => {
            Some("an operation runs: stay until it has ended (x stops it at its next safe point)")
        }
        Way::There | Way::Back if state.recording.is_some() => {
            Some("this cluster is being recorded: w ends that first")
        }
        Way::There | Way::Back => None,
        Way::Elsewhere => Some("not from a lab or a replay: etcdtop --all-contexts shows every context"),
        Way::NoContexts => Some("the config file has no contexts (etcdtop config path tells where it is)"),
        Way::OneCluster => Some(
            "a flag or a variable names this one cluster: start etcdtop without it, or with --all-contexts",
        ),
    }
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
