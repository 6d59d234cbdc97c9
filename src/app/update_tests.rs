//! Keys, pastes and views against the state, as cases and as anything at all.

use proptest::prelude::*;

use super::*;
use crate::app::keymap::{ACTIONS, Keymap};
use crate::app::state::{Access, Look};
use crate::model::event::EventKind;
use crate::model::{Endpoint, MemberState};
use crate::testing::{coached, healthy, solved, with_state};

fn state() -> State {
    let look = Look { theme: ThemeName::Dark, ascii: false };
    let mut state = State::new(
        Arc::new(ClusterView::empty(Timestamp::UNIX_EPOCH)),
        Access::default(),
        look,
        Keymap::default(),
        Duration::from_secs(1),
    );
    state.size = (120, 40);
    state
}

fn press(state: &mut State, keys: &str) -> Vec<Effect> {
    keys.split(' ').flat_map(|k| update(state, Msg::Key(Key::parse(k).unwrap()))).collect()
}

fn seen(view: ClusterView) -> State {
    let mut s = state();
    update(&mut s, Msg::View(Arc::new(view)));
    s
}

#[test]
fn selection_follows_the_member_not_the_row() {
    let mut s = seen(healthy(3));
    press(&mut s, "j");
    let chosen = s.view.members[s.selected_row().unwrap()].id;
    // Another member comes first from now on.
    let mut view = healthy(3);
    let mut new = view.members[0].clone();
    new.id = Some(crate::model::MemberId(99));
    new.name = "a0".into();
    view.members.insert(0, new);
    update(&mut s, Msg::View(Arc::new(view)));
    assert_eq!(s.view.members[s.selected_row().unwrap()].id, chosen);
}

#[test]
fn the_selection_survives_a_member_that_goes() {
    let mut s = seen(healthy(3));
    press(&mut s, "G");
    update(&mut s, Msg::View(Arc::new(healthy(2))));
    assert_eq!(s.selected_row(), Some(0));
}

#[test]
fn a_paste_is_text_and_never_a_command() {
    let mut s = seen(healthy(3));
    assert!(update(&mut s, Msg::Paste("q\n:quit\n".into())).is_empty());
    assert!(s.overlay.is_none());
    press(&mut s, ":");
    update(&mut s, Msg::Paste("quit\n".into()));
    match &s.overlay {
        Some(Overlay::Palette { input, .. }) => assert_eq!(input.value(), "quit"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_palette_runs_what_is_chosen() {
    let mut s = seen(healthy(3));
    press(&mut s, ": r a f t enter");
    assert_eq!((s.screen, s.overlay.is_none()), (Screen::Raft, true));
    assert_eq!(press(&mut s, ": q u i t enter"), [Effect::Quit]);
}

#[test]
fn q_is_a_letter_while_typing_and_ctrl_c_always_leaves() {
    let mut s = seen(healthy(3));
    assert!(press(&mut s, "/ q").is_empty());
    assert_eq!(s.filter.input.value(), "q");
    assert_eq!(press(&mut s, "ctrl-c"), [Effect::Quit]);
}

#[test]
fn the_filter_hides_rows_and_esc_brings_them_back() {
    let mut s = seen(healthy(3));
    press(&mut s, "/ m 2 enter");
    assert_eq!(s.rows().len(), 1);
    press(&mut s, "esc");
    assert_eq!(s.rows().len(), 3);
}

#[test]
fn frozen_means_the_picture_stands_and_the_story_goes_on() {
    let mut s = seen(healthy(3));
    press(&mut s, "p");
    let mut down = with_state(healthy(3), 1, MemberState::Refused, "nothing listens on port 2379");
    down.at = down.at.checked_add(Duration::from_secs(1)).unwrap();
    update(&mut s, Msg::View(Arc::new(down.clone())));
    assert!(s.frozen());
    assert_eq!(s.unseen(), 2, "the verdict and the member");
    assert_eq!(s.view.members[1].state, MemberState::Ok);
    assert!(s.timeline.iter().any(|e| e.line.contains("m2 refused")), "{:?}", s.timeline);
    assert!(!s.entries().any(|e| e.line.contains("m2 refused")), "one moment on screen");
    update(&mut s, Msg::View(Arc::new(down)));
    assert_eq!(s.timeline.iter().filter(|e| e.line.contains("m2 refused")).count(), 1);
    press(&mut s, "p");
    assert_eq!(s.view.members[1].state, MemberState::Refused);
}

#[test]
fn the_timeline_tells_the_story_once() {
    let mut s = seen(healthy(3));
    update(
        &mut s,
        Msg::View(Arc::new(with_state(healthy(3), 2, MemberState::Hung, "accepts TCP, no answer for 2 s"))),
    );
    update(
        &mut s,
        Msg::View(Arc::new(with_state(healthy(3), 2, MemberState::Hung, "accepts TCP, no answer for 3 s"))),
    );
    update(&mut s, Msg::View(Arc::new(healthy(3))));
    let lines: Vec<_> = s.timeline.iter().map(|e| e.line.as_str()).collect();
    assert_eq!(lines.iter().filter(|l| l.contains("m3 hung")).count(), 1, "{lines:?}");
    assert!(lines.iter().any(|l| l.contains("m3 ok (was hung)")), "{lines:?}");
}

#[test]
fn intervals_step_and_say_where_they_end() {
    let mut s = seen(healthy(1));
    assert_eq!(press(&mut s, "+"), [Effect::SetInterval(Duration::from_millis(500))]);
    press(&mut s, "+");
    assert!(press(&mut s, "+").is_empty());
    assert!(s.toast.as_ref().is_some_and(|t| t.is_error && t.text.contains("250 ms")), "{:?}", s.toast);
}

#[test]
fn a_ping_moves_on_screen_only_when_it_really_moved() {
    let mut s = seen(healthy(1));
    let mut second = 0;
    let mut feed = |s: &mut State, count: i64, micros: u64| {
        for _ in 0..count {
            second += 1;
            let mut view = healthy(1);
            view.at = view.at.checked_add(jiff::SignedDuration::from_secs(second)).unwrap();
            view.members[0].status_at = Some(view.at);
            view.members[0].latency = Some(Duration::from_micros(micros));
            update(s, Msg::View(Arc::new(view)));
        }
    };
    feed(&mut s, 9, 1_200);
    let shown = s.ping(&s.view.members[0]);
    feed(&mut s, 9, 1_400);
    assert_eq!(s.ping(&s.view.members[0]), shown, "noise");
    feed(&mut s, 2, 40_000);
    assert_eq!(s.ping(&s.view.members[0]), shown, "two slow answers");
    feed(&mut s, 9, 40_000);
    assert_eq!(s.ping(&s.view.members[0]), Some(Duration::from_millis(40)), "news");
    feed(&mut s, 9, 300);
    assert_eq!(s.ping(&s.view.members[0]), Some(Duration::from_micros(300)), "and back, however small");
}

/// A finding that comes and goes at its threshold is told once.
#[test]
fn findings_that_come_and_go_are_in_the_timeline() {
    let mut s = seen(healthy(3));
    let at = |s: &mut State, second: i64, lag: u64| {
        let mut view = healthy(3);
        view.at = view.at.checked_add(jiff::SignedDuration::from_secs(second)).unwrap();
        view.members[1].lag = Some(lag);
        update(s, Msg::View(Arc::new(view)));
        s.timeline.iter().filter(|e| e.kind == EventKind::Finding).map(|e| e.line.clone()).collect::<Vec<_>>()
    };
    assert!(at(&mut s, 1, 0).is_empty(), "what was there from the start did not come");
    assert!(at(&mut s, 2, 5_000).is_empty(), "it may be over in a moment");
    assert_eq!(at(&mut s, 12, 5_000), ["m2 is 5,000 entries behind the leader"]);
    at(&mut s, 13, 0);
    at(&mut s, 14, 6_000);
    assert_eq!(at(&mut s, 60, 0).len(), 1, "at the threshold");
    assert_eq!(at(&mut s, 75, 0).last().unwrap(), "over: m2 is 6,000 entries behind the leader");
}

#[test]
fn below_the_least_size_only_quit_works() {
    let mut s = seen(healthy(3));
    update(&mut s, Msg::Resize(30, 8));
    assert!(press(&mut s, "? : /").is_empty() && s.overlay.is_none() && !s.filter.editing);
    assert_eq!(press(&mut s, "q"), [Effect::Quit]);
}

fn any_msg() -> impl Strategy<Value = Msg> {
    let keys: Vec<Key> = ACTIONS.iter().flat_map(|a| a.keys).map(|k| Key::parse(k).unwrap()).collect();
    prop_oneof![
        proptest::sample::select(keys).prop_map(Msg::Key),
        any::<char>().prop_map(|c| Msg::Key(Key::plain(KeyCode::Char(c)))),
        ".{0,9}".prop_map(Msg::Paste),
        (0_u16..300, 0_u16..90).prop_map(|(w, h)| Msg::Resize(w, h)),
        (0_usize..6).prop_map(|n| Msg::View(Arc::new(healthy(n)))),
        any::<i16>().prop_map(Msg::Wheel),
        proptest::sample::select(vec![None, Some(coached()), Some(solved())])
            .prop_map(|says| Msg::Coach(says.map(Box::new))),
    ]
}

proptest! {
    #[test]
    fn no_story_of_keys_and_views_panics(story in proptest::collection::vec(any_msg(), 0..60)) {
        let mut s = state();
        for msg in story {
            update(&mut s, msg);
            if let Some(row) = s.selected_row() {
                prop_assert!(row < s.view.members.len());
            }
        }
        s.size = (80, 24);
        press(&mut s, "esc esc esc esc");
        prop_assert!(s.overlay.is_none() && !s.filter.editing);
        prop_assert_eq!(s.screen, Screen::Overview);
    }
}

#[test]
fn an_endpoint_without_member_can_be_selected() {
    let mut view = healthy(1);
    view.members[0].id = None;
    view.members[0].endpoint = Endpoint::parse("a:1").ok();
    let mut s = seen(view);
    press(&mut s, "j");
    assert!(matches!(s.selected, Some(RowKey::Endpoint(_))));
}

/// Dialogs: what is shown is what is run, whatever happens around it.
#[test]
fn a_plan_is_frozen_when_its_dialog_opens() {
    let mut s = seen(healthy(3));
    s.access.name = "prod".into();
    press(&mut s, "j d");
    let planned = |s: &State| match &s.overlay {
        Some(Overlay::Plan(d)) => d.plan.clone(),
        other => panic!("{other:?}"),
    };
    let before = planned(&s);
    assert_eq!(before.title, "Defragmentation of m2");
    // Another leader, another order, another selected row, a wheel: the plan stands.
    let mut view = healthy(3);
    view.members.swap(0, 2);
    view.at = view.at.checked_add(Duration::from_secs(5)).unwrap();
    update(&mut s, Msg::View(Arc::new(view)));
    update(&mut s, Msg::Wheel(1));
    assert_eq!(planned(&s), before);
    // A warning is open (no snapshot is known): m2 must be typed. Enter on Cancel does nothing.
    press(&mut s, "enter");
    assert!(s.overlay.is_none());
    press(&mut s, "d shift-tab enter");
    assert!(
        s.toast.as_ref().is_some_and(|t| t.is_error && t.text.contains("type m2 first")),
        "{:?}",
        s.toast
    );
    press(&mut s, "shift-tab m 2 tab");
    let effects = press(&mut s, "enter");
    assert!(
        matches!(&effects[..], [Effect::Start(plan, typed)] if plan.title == "Defragmentation of m2" && typed == "m2"),
        "{effects:?}"
    );
}

#[test]
fn what_a_dialog_was_told_makes_another_plan_of_the_same_moment() {
    let mut s = seen(healthy(3));
    s.access.name = "prod".into();
    press(&mut s, "c tab backspace backspace backspace backspace 5 0 0");
    let plan = match &s.overlay {
        Some(Overlay::Plan(d)) => d.plan.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(plan.steps[0].title, "compact to revision 1,284,523");
    press(&mut s, "esc D tab space tab space");
    let plan = match &s.overlay {
        Some(Overlay::Plan(d)) => d.plan.clone(),
        other => panic!("{other:?}"),
    };
    let titles: Vec<_> = plan.steps.iter().map(|s| s.title.as_str()).collect();
    assert_eq!(
        titles,
        ["save a snapshot of m2", "defragment m3", "defragment m2", "move leader m1 to m2", "defragment m1"]
    );
    assert_eq!(plan.typed_name(), None, "the warning is answered by the snapshot: {:?}", plan.checks);
}

#[test]
fn leaving_while_something_runs_asks_and_an_interrupted_one_is_told() {
    use crate::app::operation::Operation;
    use crate::ops::journal::{End, StepEnd};
    use crate::ops::past::{History, Past, PastStep};
    use crate::ops::plan::{Action, Request, Roll};
    let mut s = seen(healthy(3));
    s.access.name = "prod".into();
    press(&mut s, "D");
    let Some(Overlay::Plan(dialog)) = s.overlay.take() else { panic!("no dialog") };
    let operation = Operation::new(dialog.plan.clone(), s.clock);
    update(&mut s, Msg::Started(Box::new(operation)));
    assert!(press(&mut s, "q").is_empty() && matches!(s.overlay, Some(Overlay::Leave)), "it asks");
    assert!(press(&mut s, "q").is_empty() && s.overlay.is_none(), "the same key again stays");
    press(&mut s, "D");
    assert!(s.toast.as_ref().is_some_and(|t| t.text.contains("one at a time")), "{:?}", s.toast);
    press(&mut s, "q");
    assert_eq!(press(&mut s, "x"), [Effect::StopOperation]);
    let effects = update(&mut s, Msg::Operation(crate::ops::OpEvent::Ended(End::Cancelled("x".into()))));
    assert_eq!(effects, [Effect::Quit], "it leaves when that ends");
    // The next start reads a journal without an end.
    let mut s = seen(healthy(3));
    let step = |i: usize, end| PastStep {
        title: format!("defragment m{}", i + 1),
        action: Some(Action::Defragment { member: s.view.members[i].id.unwrap() }),
        began: true,
        end,
    };
    let past = Past {
        title: "Rolling defragmentation of prod".into(),
        request: Some(Request::Defragment(Roll::default())),
        steps: vec![step(0, Some(StepEnd::Done)), step(1, None)],
        ..Past::default()
    };
    update(&mut s, Msg::Journal(Box::new(History { operations: vec![past], ..History::default() })));
    let finding = s.findings.iter().find(|f| f.key.rule == "interrupted").unwrap();
    assert!(finding.line.contains("was interrupted in step 2 of 2, defragment m2"), "{}", finding.line);
    update(&mut s, Msg::View(Arc::new(healthy(3))));
    assert!(s.findings.iter().any(|f| f.key.rule == "interrupted"), "it stays until the next operation");
    // Its key opens what is left of it, and says what it goes on with.
    press(&mut s, "o");
    let Some(Overlay::Plan(dialog)) = s.overlay.take() else { panic!("no dialog: {:?}", s.toast) };
    let titles: Vec<_> = dialog.plan.steps.iter().map(|s| s.title.as_str()).collect();
    assert_eq!((titles, dialog.plan.continues.is_some()), (vec!["defragment m2"], true));
    // The same journal while somebody holds the lock: it runs, and nobody is told to begin anew.
    let running = History { held_by: Some("process 7".into()), ..s.changes.past.clone() };
    update(&mut s, Msg::Journal(Box::new(running)));
    let told: Vec<_> =
        s.findings.iter().filter(|f| f.key.rule == "interrupted").map(|f| f.line.as_str()).collect();
    assert_eq!(told, ["Rolling defragmentation of prod runs in another etcdtop (process 7)"]);
}
