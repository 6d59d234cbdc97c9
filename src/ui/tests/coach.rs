//! The coach beside every view, its window and its menu.

use super::{hung, press, state, text};
use crate::app::{Msg, State, update};
use crate::model::coach::{CoachView, Stand};
use crate::testing::{coached, healthy, noon, solved};

fn with(coach: CoachView) -> State {
    let mut s = state(&[healthy(3), hung()]);
    update(&mut s, Msg::Coach(Some(Box::new(coach))));
    update(&mut s, Msg::Tick(noon().checked_add(std::time::Duration::from_secs(70)).unwrap()));
    s.toast = None;
    s
}

fn hinted() -> CoachView {
    CoachView {
        step: 2,
        task: "Bring m2 back without losing what it holds.".into(),
        missing: Some("m2 does not answer yet".into()),
        hints: vec![
            "A stopped process still accepts TCP: the kernel does that for it.".into(),
            "A asks for what one would do on the host.".into(),
        ],
        hints_left: 0,
        score: 80,
        ..coached()
    }
}

/// A scenario that fills the pane: many changes, mistakes, a long task.
fn long() -> CoachView {
    let mut coach = hinted();
    coach.task = coached().symptom.repeat(2);
    coach.mistakes = (0..3).flat_map(|_| solved().mistakes).collect();
    coach.changed = (0..20).flat_map(|_| coached().changed).collect();
    coach
}

fn cases() -> Vec<(&'static str, CoachView)> {
    vec![
        ("first_step", coached()),
        ("hints", hinted()),
        ("doing", CoachView { doing: Some("continues m2".into()), ..hinted() }),
        ("solved", solved()),
        ("lost", CoachView { stand: Stand::Lost("m2's data was removed".into()), ..solved() }),
        ("prepares", CoachView { stand: Stand::Prepares("stops m2".into()), began: None, ..coached() }),
        ("mystery", CoachView { scenario: "mystery".into(), title: "The hung member".into(), ..coached() }),
        ("long", long()),
    ]
}

#[test]
fn the_coach_stands_beside_the_view() {
    for (name, coach) in cases() {
        let mut s = with(coach);
        for (width, height) in [(80, 24), (120, 40)] {
            insta::assert_snapshot!(format!("coach_{name}_{width}x{height}"), text(&mut s, width, height));
        }
    }
    let mut s = with(coached());
    insta::assert_snapshot!("coach_first_step_200x50", text(&mut s, 200, 50));
    s.look.ascii = true;
    for (width, height) in [(80, 24), (120, 40)] {
        let shown = text(&mut s, width, height);
        assert!(shown.is_ascii(), "{shown}");
        insta::assert_snapshot!(format!("coach_ascii_{width}x{height}"), shown);
    }
}

/// Every view is whole in what the coach leaves of the screen.
#[test]
fn views_beside_the_coach() {
    for (name, key) in [
        ("member", "2"),
        ("storage", "3"),
        ("raft", "4"),
        ("operations", "5"),
        ("timeline", "7"),
        ("latency", "8"),
        ("internals", "9"),
    ] {
        for (width, height) in [(80, 24), (120, 40)] {
            let mut s = with(coached());
            press(&mut s, key);
            insta::assert_snapshot!(format!("coach_{name}_{width}x{height}"), text(&mut s, width, height));
        }
    }
}

#[test]
fn the_mystery_keeps_its_name() {
    let mut s = with(CoachView { scenario: "mystery".into(), title: "The hung member".into(), ..coached() });
    for keys in ["", "C", "esc A"] {
        press(&mut s, keys);
        let shown = text(&mut s, 120, 40);
        assert!(shown.contains("ystery") && !shown.contains("The hung member"), "{shown}");
    }
}

#[test]
fn its_window_and_its_menu() {
    for (width, height) in [(80, 24), (120, 40)] {
        for (name, coach) in [("runs", hinted()), ("solved", solved()), ("long", long())] {
            let mut s = with(coach);
            s.size = (width, height);
            press(&mut s, "C");
            insta::assert_snapshot!(
                format!("coach_all_{name}_{width}x{height}"),
                text(&mut s, width, height)
            );
            press(&mut s, "G");
            s.keep_scroll(crate::ui::most_scroll(&s));
            let end = text(&mut s, width, height);
            assert!(end.contains("m1 leads, term 8 (was m2)"), "it can be read to its end:\n{end}");
        }
        let mut s = with(coached());
        press(&mut s, "A j");
        insta::assert_snapshot!(format!("coach_acts_{width}x{height}"), text(&mut s, width, height));
        let mut s = with(solved());
        press(&mut s, "A");
        insta::assert_snapshot!(format!("coach_acts_over_{width}x{height}"), text(&mut s, width, height));
    }
}

/// What counts is on screen at every size at which the dashboard works well.
#[test]
fn the_task_and_what_is_missing_are_always_there() {
    for (name, coach) in cases().into_iter().filter(|(_, c)| c.stand == Stand::Runs) {
        let mut s = with(coach.clone());
        for (width, height) in [(80, 24), (100, 30), (110, 24), (120, 40), (200, 50)] {
            let shown = text(&mut s, width, height);
            let task: String = coach.task.chars().take(20).collect();
            assert!(shown.contains(&task), "{name} {width}x{height}:\n{shown}");
            assert!(shown.contains("still missing: "), "{name} {width}x{height}:\n{shown}");
            assert!(shown.contains("act (2)") && shown.contains("C all of it"), "{name} {width}:\n{shown}");
            assert!(shown.contains("1:10"), "{name} {width}x{height}:\n{shown}");
        }
    }
}
