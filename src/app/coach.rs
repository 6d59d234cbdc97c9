//! The coach of a lab's scenario: what it says is shown beside every view, and keys ask something of it.

use std::time::Duration;

use jiff::Timestamp;

use super::key::{Key, KeyCode};
use super::keymap::ActionId;
use super::state::{Overlay, State};
use super::update::Effect;
use crate::model::coach::{Choice, CoachView, Stand};
use crate::model::event::EventKind;
use crate::model::units::age;
use crate::model::{Event, Severity};

/// What is asked of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabWish {
    /// The next hint of this step.
    Hint,
    /// Do the choice with this number, from 0, of those that the coach told last.
    Act(usize),
    /// Begin the scenario anew.
    Restart,
}

/// The menu of what can be done to the lab, as it was when it was opened; beginning anew comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acts {
    /// The scenario.
    pub scenario: String,
    /// What the coach offered.
    pub choices: Vec<Choice>,
    /// The entry that Enter runs.
    pub chosen: usize,
}

impl Acts {
    /// Every entry: its title, and the command that it stands for.
    #[must_use]
    pub fn entries(&self) -> Vec<(&str, String)> {
        let anew = format!("etcdtop lab {}   (a new cluster)", self.scenario);
        let choices = self.choices.iter().map(|c| (c.title.as_str(), c.command.clone()));
        choices.chain([("begin the scenario anew", anew)]).collect()
    }
}

/// Whether the coach is only listened to: it speaks from a recording, or in the etcdtop that runs the lab.
fn only_listens(state: &State) -> bool {
    state.access.follower
}

/// Why the coach cannot be asked so now.
pub(super) fn unavailable(id: ActionId, state: &State) -> Option<&'static str> {
    let Some(coach) = &state.coach else { return Some("no lab scenario runs") };
    if id == ActionId::Coach {
        return None;
    }
    if only_listens(state) {
        return Some("the lab is not run from here: it can only be watched");
    }
    match &coach.stand {
        Stand::Prepares(_) => Some("the scenario is being prepared"),
        Stand::Solved | Stand::Lost(_) if id == ActionId::Hint => Some("the scenario is over"),
        Stand::Runs if id == ActionId::Hint && coach.hints_left == 0 => Some("this step has no further hint"),
        _ => None,
    }
}

/// For how long it has been the learner's turn, or was.
#[must_use]
pub fn elapsed(coach: &CoachView, clock: Timestamp) -> Option<Duration> {
    let began = coach.began?;
    Some(Duration::try_from(coach.ended.unwrap_or(clock).duration_since(began)).unwrap_or_default())
}

/// When the seconds on screen count on; none unless a scenario runs here: who only listens is told what time it is.
pub(super) fn next_second(state: &State) -> Option<Timestamp> {
    if only_listens(state) {
        return None;
    }
    let coach = state.coach.as_ref().filter(|c| c.stand == Stand::Runs && c.ended.is_none())?;
    let seconds = elapsed(coach, state.clock)?.as_secs() + 1;
    coach.began?.checked_add(Duration::from_secs(seconds)).ok()
}

/// What the coach says now: kept, and what is new of it is told.
pub(super) fn on_news(state: &mut State, says: Option<Box<CoachView>>) {
    let before = state.coach.take();
    if let Some(now) = &says {
        for (severity, line, toast) in told(before.as_deref(), now, state.clock) {
            if toast {
                state.say(line.clone(), severity > Severity::Note);
            }
            state.timeline.push_back(Event {
                at: state.clock,
                severity,
                kind: EventKind::Operation,
                member: None,
                line,
            });
        }
    }
    state.coach = says;
}

/// Changes that can have come at once.
const NEWEST: usize = 12;

/// What changed for the timeline, and whether it is said at the bottom, too.
fn told(before: Option<&CoachView>, now: &CoachView, clock: Timestamp) -> Vec<(Severity, String, bool)> {
    let same = before.filter(|b| b.scenario == now.scenario);
    let mut told = Vec::new();
    let turn = matches!(now.stand, Stand::Runs);
    if turn && same.is_none_or(|b| b.step != now.step || !matches!(b.stand, Stand::Runs)) {
        let line = format!("lab: step {} of {}: {}", now.step, now.of, now.task);
        told.push((Severity::Note, line, now.step > 1));
    }
    // What was done, and what was wrong with it: a recording tells it in its timeline, too.
    let before = same.map_or(&[][..], |b| b.changed.as_slice());
    let fresh = now.changed.iter().rev().take(NEWEST).rev().filter(|c| !before.contains(c));
    for change in fresh.filter(|c| ["you: ", "refused: "].iter().any(|mark| c.line.starts_with(mark))) {
        told.push((Severity::Note, format!("lab: {}", change.line), false));
    }
    for mistake in now.mistakes.iter().filter(|m| same.is_none_or(|b| !b.mistakes.contains(m))) {
        told.push((Severity::Warning, format!("lab: mistake: {mistake}"), true));
    }
    if same.is_none_or(|b| b.stand != now.stand) {
        let took = elapsed(now, clock).map_or_else(String::new, |t| format!(" in {}", age(t)));
        match &now.stand {
            Stand::Solved => {
                told.push((Severity::Note, format!("lab: solved{took}, {} points", now.score), true));
            }
            Stand::Lost(why) => told.push((Severity::Warning, format!("lab: lost: {why}"), true)),
            Stand::Prepares(_) | Stand::Runs => {}
        }
    }
    told
}

/// Opens the menu. The key that opened it runs nothing: Enter does.
pub(super) fn open_acts(state: &mut State) {
    let Some(coach) = &state.coach else { return };
    let over = matches!(coach.stand, Stand::Solved | Stand::Lost(_));
    let choices = if over { Vec::new() } else { coach.choices.clone() };
    let acts = Acts { scenario: coach.scenario.clone(), choices, chosen: 0 };
    state.overlay = Some(Overlay::Acts(acts));
}

/// A key while the menu is open.
pub(super) fn in_acts(state: &mut State, key: Key) -> Vec<Effect> {
    let act = state.keymap.action(key);
    let Some(Overlay::Acts(acts)) = &mut state.overlay else { return Vec::new() };
    let last = acts.choices.len();
    match (key.code, act) {
        (KeyCode::Enter, _) => return run(state),
        (KeyCode::Char(c), _) if c.is_ascii_digit() && c != '0' => {
            let to = c.to_digit(10).and_then(|n| usize::try_from(n).ok()).unwrap_or(1) - 1;
            if to <= last {
                acts.chosen = to;
            }
        }
        (_, Some(ActionId::Down)) => acts.chosen = (acts.chosen + 1).min(last),
        (_, Some(ActionId::Up)) => acts.chosen = acts.chosen.saturating_sub(1),
        (_, Some(ActionId::First)) => acts.chosen = 0,
        (_, Some(ActionId::Last)) => acts.chosen = last,
        (KeyCode::Esc, _) | (_, Some(ActionId::Back | ActionId::Quit | ActionId::Acts)) => {
            state.overlay = None;
        }
        _ => {}
    }
    Vec::new()
}

/// Runs the chosen entry: what was read is what is done, though the coach may offer other things by now.
fn run(state: &mut State) -> Vec<Effect> {
    if state.burst {
        state.say("that came as a paste: nothing is done; press enter", true);
        return Vec::new();
    }
    let Some(Overlay::Acts(acts)) = state.overlay.take() else { return Vec::new() };
    let Some(choice) = acts.choices.get(acts.chosen) else { return vec![Effect::Lab(LabWish::Restart)] };
    let coach = state.coach.as_ref().filter(|c| matches!(c.stand, Stand::Runs));
    let now = coach.and_then(|c| c.choices.iter().position(|offered| offered == choice));
    match (coach.and_then(|c| c.doing.clone()), now) {
        (Some(doing), _) => state.say(format!("not yet: {doing}"), true),
        (None, Some(i)) => return vec![Effect::Lab(LabWish::Act(i))],
        (None, None) => state.say(format!("that cannot be done any more: {}", choice.title), true),
    }
    Vec::new()
}

#[cfg(test)]
#[path = "coach_tests.rs"]
mod tests;
