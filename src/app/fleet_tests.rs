//! The fleet: what is selected stays, what is opened is what was selected, and what is not for it says so.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::app::state::{Access, Look, Overlay};
use crate::app::{Key, Keymap, Msg, update};
use crate::config::ThemeName;
use crate::model::{ClusterView, MemberState};
use crate::testing::{context, contexts, noon, well, with_state};

fn blank() -> State {
    let look = Look { theme: ThemeName::Dark, ascii: false };
    let view = Arc::new(ClusterView::empty(noon()));
    State::new(view, Access::default(), look, Keymap::default(), Duration::from_secs(1))
}

fn fleet(rows: Vec<Row>) -> State {
    let mut state = blank();
    state.fleet = Some(Box::new(Fleet::new("/c/config.toml".into(), rows)));
    state.screen = Screen::Fleet;
    state
}

fn press(state: &mut State, keys: &str) -> Vec<Effect> {
    keys.split(' ').flat_map(|key| update(state, Msg::Key(Key::parse(key).unwrap()))).collect()
}

fn selected(state: &State) -> &str {
    state.selected_context().map_or("", |r| r.context.as_str())
}

#[test]
fn the_selection_follows_the_context_not_the_row() {
    let mut s = fleet(vec![context("a", &well(3)), context("b", &well(3)), context("c", &well(3))]);
    press(&mut s, "j");
    assert_eq!(selected(&s), "b");
    let hung = with_state(well(3), 1, MemberState::Hung, "accepts TCP");
    update(&mut s, Msg::Fleet(vec![context("c", &hung)]));
    let order: Vec<_> = s.fleet.as_ref().unwrap().rows().iter().map(|r| r.context.clone()).collect();
    assert_eq!((order.join(" ").as_str(), selected(&s)), ("c a b", "b"));
    assert_eq!(press(&mut s, "enter"), [Effect::OpenContext("b".into())]);
    press(&mut s, "g");
    assert_eq!(selected(&s), "c");
    press(&mut s, "G k");
    assert_eq!(selected(&s), "a");
}

#[test]
fn nobody_is_selected_before_everybody_was_heard() {
    let mut s = fleet(vec![context("a", &ClusterView::empty(noon())), context("b", &well(3))]);
    assert_eq!(selected(&s), "a");
    let hung = with_state(well(3), 1, MemberState::Hung, "accepts TCP");
    update(&mut s, Msg::Fleet(vec![context("b", &hung)]));
    assert_eq!(selected(&s), "b", "the worst so far");
    update(&mut s, Msg::Fleet(vec![context("a", &well(3))]));
    let gone = with_state(well(1), 0, MemberState::Refused, "nothing listens");
    update(&mut s, Msg::Fleet(vec![context("a", &gone)]));
    assert_eq!(selected(&s), "b", "the mark does not move under the hand");
}

#[test]
fn the_filter_looks_at_names_verdicts_and_reasons() {
    let mut s = fleet(contexts());
    for (typed, found) in [("staging", "staging"), ("no answer for 4", "staging"), ("3.5.17", "legacy")] {
        press(&mut s, "/");
        update(&mut s, Msg::Paste(typed.into()));
        press(&mut s, "enter");
        assert_eq!(selected(&s), found, "{typed}");
        assert_eq!(s.fleet.as_ref().unwrap().shown(s.filter.input.value()).len(), 1, "{typed}");
        press(&mut s, "esc");
        assert!(s.filter.input.value().is_empty());
    }
    // Nothing matches: nothing is opened.
    press(&mut s, "/ z z z enter");
    assert!(press(&mut s, "enter").is_empty());
    assert!(s.toast.as_ref().unwrap().text.contains("nothing is selected"));
}

#[test]
fn a_context_that_cannot_be_asked_says_why_instead_of_opening() {
    let mut s = fleet(vec![Row { context: "a".into(), told: Err("cacert /x: no such file".into()) }]);
    assert!(press(&mut s, "enter").is_empty());
    assert!(s.toast.as_ref().unwrap().text.contains("no such file"));
}

#[test]
fn nothing_is_changed_from_the_fleet() {
    let mut s = fleet(contexts());
    for key in "c d D s a L R o x H P v w p n 1 2 9 tab A i".split(' ') {
        assert!(press(&mut s, key).is_empty(), "{key}");
        assert!(s.overlay.is_none() && s.screen == Screen::Fleet, "{key}");
        assert!(s.toast.take().is_some_and(|t| t.is_error), "{key} says why");
    }
    assert_eq!(press(&mut s, "r")[0], Effect::PollNow);
    assert_eq!(press(&mut s, "-"), [Effect::SetInterval(Duration::from_secs(2))]);
    assert!(
        matches!(press(&mut s, "y").as_slice(), [Effect::Copy(text)] if text.starts_with("edge-17 UNREACHABLE"))
    );
    press(&mut s, "?");
    assert!(matches!(s.overlay, Some(Overlay::Help { .. })));
    press(&mut s, "esc");
    assert_eq!(press(&mut s, "q"), [Effect::Quit]);
}

#[test]
fn the_way_from_a_cluster_says_why_it_is_closed() {
    let mut s = blank();
    for (way, words) in [
        (Way::Elsewhere, "--all-contexts"),
        (Way::NoContexts, "no contexts"),
        (Way::OneCluster, "names this one cluster"),
    ] {
        s.way = way;
        assert!(press(&mut s, "0").is_empty());
        assert!(s.toast.as_ref().unwrap().text.contains(words), "{:?}", s.toast);
        // Esc does not even try.
        assert!(press(&mut s, "esc").is_empty());
    }
    s.way = Way::There;
    assert_eq!(press(&mut s, "0"), [Effect::Fleet]);
    assert_eq!(press(&mut s, ": f l e e t enter"), [Effect::Fleet]);
    assert!(press(&mut s, "esc").is_empty(), "it was not opened from there");
    s.way = Way::Back;
    assert_eq!(press(&mut s, "esc"), [Effect::Fleet]);
    // One step at a time: a filter first, then the overview, then the fleet.
    press(&mut s, "3 / x enter");
    assert!(press(&mut s, "esc esc").is_empty() && s.screen == Screen::Overview);
    assert_eq!(press(&mut s, "esc"), [Effect::Fleet]);
}

#[test]
fn nobody_leaves_an_operation_or_a_recording_alone() {
    let mut s = blank();
    s.way = Way::Back;
    s.recording = Some("/r".into());
    assert!(press(&mut s, "0 esc").is_empty());
    assert!(s.toast.as_ref().unwrap().text.contains("w ends that first"));
    s.recording = None;
    update(&mut s, Msg::View(Arc::new(well(3))));
    press(&mut s, "D");
    let Some(Overlay::Plan(dialog)) = s.overlay.take() else { panic!("no dialog") };
    let clock = s.clock;
    let operation = crate::app::operation::Operation::new(dialog.plan.clone(), clock);
    update(&mut s, Msg::Started(Box::new(operation)));
    assert!(press(&mut s, "0 esc").is_empty());
    assert!(s.toast.as_ref().unwrap().text.contains("an operation runs"));
}

#[test]
fn ages_count_only_where_an_answer_is_late() {
    let mut s = fleet(vec![context("a", &well(3))]);
    assert_eq!(crate::app::update::next_deadline(&s), None, "an answer that came just now");
    update(&mut s, Msg::Tick(noon().checked_add(Duration::from_secs(9)).unwrap()));
    assert!(crate::app::update::next_deadline(&s).is_some());
}
