//! What is asked of the lab, what is refused and why, and what the timeline tells.

use std::sync::Arc;

use super::*;
use crate::app::state::{Access, Look, Screen};
use crate::app::update::next_deadline;
use crate::app::{Keymap, Msg, update};
use crate::config::ThemeName;
use crate::model::coach::Change;
use crate::testing::{coached, healthy, noon, solved};

fn state(coach: Option<CoachView>) -> State {
    let look = Look { theme: ThemeName::Dark, ascii: false };
    let view = Arc::new(crate::model::ClusterView::empty(noon()));
    let mut s = State::new(view, Access::default(), look, Keymap::default(), Duration::from_secs(1));
    s.size = (120, 40);
    update(&mut s, Msg::View(Arc::new(healthy(3))));
    s.timeline.clear();
    update(&mut s, Msg::Coach(coach.map(Box::new)));
    s
}

fn press(s: &mut State, keys: &str) -> Vec<Effect> {
    keys.split(' ').flat_map(|k| update(s, Msg::Key(Key::parse(k).unwrap()))).collect()
}

fn refused(s: &mut State, key: &str) -> String {
    assert_eq!(press(s, key), [], "{key}");
    assert!(s.overlay.is_none(), "{key}");
    s.toast.take().filter(|t| t.is_error).map(|t| t.text).unwrap_or_default()
}

#[test]
fn keys_say_why_they_do_nothing() {
    let mut s = state(None);
    for key in ["i", "A", "C"] {
        assert_eq!(refused(&mut s, key), "no lab scenario runs", "{key}");
    }
    let mut s = state(Some(CoachView { stand: Stand::Prepares("starts m1".into()), ..coached() }));
    for key in ["i", "A"] {
        assert_eq!(refused(&mut s, key), "the scenario is being prepared", "{key}");
    }
    let mut s = state(Some(CoachView { hints_left: 0, ..coached() }));
    assert_eq!(refused(&mut s, "i"), "this step has no further hint");
    let mut s = state(Some(solved()));
    assert_eq!(refused(&mut s, "i"), "the scenario is over");
    // Who only follows may read all of it, and change nothing.
    let mut s = state(Some(coached()));
    s.access.follower = true;
    for key in ["i", "A"] {
        assert_eq!(refused(&mut s, key), "the lab is not run from here: it can only be watched", "{key}");
    }
    press(&mut s, "C");
    assert!(matches!(s.overlay, Some(Overlay::Coach { .. })));
}

#[test]
fn what_is_chosen_is_done_by_enter_alone() {
    let mut s = state(Some(coached()));
    assert_eq!(press(&mut s, "i"), [Effect::Lab(LabWish::Hint)]);
    assert_eq!(press(&mut s, "A"), []);
    assert_eq!(press(&mut s, "A"), [], "the key that opened it closes it");
    assert!(s.overlay.is_none());
    assert_eq!(press(&mut s, "A enter"), [Effect::Lab(LabWish::Act(0))]);
    assert!(s.overlay.is_none());
    assert_eq!(press(&mut s, "A j enter"), [Effect::Lab(LabWish::Act(1))]);
    assert_eq!(press(&mut s, "A 2"), [], "a digit chooses");
    assert_eq!(press(&mut s, "enter"), [Effect::Lab(LabWish::Act(1))]);
    assert_eq!(press(&mut s, "A 9 enter"), [Effect::Lab(LabWish::Act(0))], "there is no ninth");
    assert_eq!(press(&mut s, "A G enter"), [Effect::Lab(LabWish::Restart)]);
    assert_eq!(press(&mut s, "A j esc"), []);
    assert!(s.overlay.is_none());
    s.burst = true;
    assert_eq!(press(&mut s, "A enter"), [], "a paste does nothing");
}

/// What was read is what is done, however the coach went on meanwhile.
#[test]
fn the_menu_stands_while_the_coach_goes_on() {
    let mut s = state(Some(coached()));
    press(&mut s, "A 2");
    let mut now = coached();
    now.choices.remove(0);
    update(&mut s, Msg::Coach(Some(Box::new(now.clone()))));
    assert_eq!(press(&mut s, "enter"), [Effect::Lab(LabWish::Act(0))], "it has another number now");
    press(&mut s, "A");
    now.choices.clear();
    update(&mut s, Msg::Coach(Some(Box::new(now))));
    assert_eq!(press(&mut s, "enter"), []);
    assert!(s.toast.as_ref().is_some_and(|t| t.text.contains("start m2 again")), "{:?}", s.toast);
    let mut s = state(Some(CoachView { doing: Some("starts m2".into()), ..coached() }));
    assert_eq!(press(&mut s, "A enter"), []);
    assert!(s.toast.as_ref().is_some_and(|t| t.text == "not yet: starts m2"), "{:?}", s.toast);
    // After the end there is only beginning anew, and a scenario that went away can do nothing.
    let mut s = state(Some(solved()));
    assert_eq!(press(&mut s, "A enter"), [Effect::Lab(LabWish::Restart)]);
}

#[test]
fn the_timeline_tells_steps_and_the_end_once() {
    let mut s = state(Some(CoachView { stand: Stand::Prepares("stops m2".into()), ..coached() }));
    let mut feed = |says: CoachView| update(&mut s, Msg::Coach(Some(Box::new(says))));
    feed(coached());
    feed(CoachView { score: 95, ..coached() });
    let second = CoachView { step: 2, task: "Bring it back.".into(), ..coached() };
    feed(second.clone());
    let mut acted = second.clone();
    acted.changed.push(Change { at: noon(), line: "you: start m2 again".into() });
    acted.changed.push(Change { at: noon(), line: "m2 ok (was hung)".into() });
    feed(acted.clone());
    feed(acted);
    feed(solved());
    feed(solved());
    let lines: Vec<_> = s.timeline.iter().map(|e| e.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "lab: step 1 of 3: Find the member that accepts connections and answers nothing, and select it.",
            "lab: step 2 of 3: Bring it back.",
            "lab: you: start m2 again",
            "lab: mistake: m3 was restarted, which was well: the cluster stood without quorum for 2 s",
            "lab: solved in 4 min, 85 points"
        ]
    );
    assert!(s.overlay.is_none() && s.screen == Screen::Overview, "it opens nothing by itself");
    assert!(s.toast.as_ref().is_some_and(|t| t.text.starts_with("lab: solved")));
    update(&mut s, Msg::Coach(Some(Box::new(coached()))));
    assert!(s.timeline.back().unwrap().line.starts_with("lab: step 1"), "begun anew");
    let lost = CoachView { stand: Stand::Lost("m2's data is gone".into()), ..coached() };
    update(&mut s, Msg::Coach(Some(Box::new(lost))));
    assert_eq!(s.timeline.back().unwrap().line, "lab: lost: m2's data is gone");
    assert!(s.toast.as_ref().is_some_and(|t| t.is_error));
}

#[test]
fn seconds_count_while_it_is_the_learners_turn_alone() {
    let deadline = |coach: CoachView| {
        let mut s = state(Some(coach));
        s.toast = None;
        next_deadline(&s)
    };
    let second = noon().checked_add(Duration::from_secs(1)).ok();
    assert_eq!(deadline(coached()), second);
    let mut listens = state(Some(coached()));
    (listens.toast, listens.access.follower) = (None, true);
    assert_eq!(next_deadline(&listens), None, "a recording's clock is not this one");
    assert_eq!(deadline(solved()), None);
    assert_eq!(deadline(CoachView { began: None, ..coached() }), None);
    let prepares = Stand::Prepares("starts m1".into());
    assert_eq!(deadline(CoachView { stand: prepares, ..coached() }), None);
}

#[test]
fn everything_it_says_scrolls_and_closes() {
    let mut s = state(Some(coached()));
    for keys in ["C", "C", "C", "esc"] {
        press(&mut s, keys);
    }
    assert!(s.overlay.is_none());
    press(&mut s, "C j j k");
    assert!(matches!(s.overlay, Some(Overlay::Coach { scroll: 1 })), "{:?}", s.overlay);
}
