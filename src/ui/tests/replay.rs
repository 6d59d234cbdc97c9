//! Replays: the same screens as live, whichever way one comes to a moment; the bar, and the keys.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{buffer, press, text};
use crate::app::keymap::ACTIONS;
use crate::app::reel::Reel;
use crate::app::replay::{self, News, Replay};
use crate::app::state::{Access, Look};
use crate::app::{Effect, Keymap, Msg, State, update};
use crate::config::ThemeName;
use crate::model::ClusterView;
use crate::recording::writer::Encoder;
use crate::recording::{Cursor, Did, Entry, Player, Tape};
use crate::testing::{noon, story};

fn blank() -> State {
    let access = Access {
        name: "prod-eu1".into(),
        origin: "context prod-eu1".into(),
        read_only: None,
        lab: false,
        follower: false,
    };
    let look = Look { theme: ThemeName::Dark, ascii: false };
    let first = Arc::new(ClusterView::empty(noon()));
    let mut s = State::new(first, access, look, Keymap::default(), Duration::from_secs(1));
    s.zone = jiff::tz::TimeZone::UTC;
    s
}

fn tape() -> Tape {
    Tape::of_bytes("story", Encoder::new(None).file(&story()).unwrap()).unwrap()
}

/// The dashboard as it was when that happened.
fn live(state: &mut State, at: Timestamp, entry: Entry) {
    update(state, Msg::Tick(at));
    match entry {
        Entry::View(view) => drop(update(state, Msg::View(view))),
        Entry::Started(o) => drop(update(state, Msg::Started(o))),
        Entry::Operation(e) => drop(update(state, Msg::Operation(e))),
        Entry::Progress(p) => drop(update(state, Msg::Progress(p))),
        Entry::Refused(why) => drop(update(state, Msg::Refused(why))),
        Entry::Journal(past) => drop(update(state, Msg::Journal(past))),
        Entry::Listed(l, p) => drop(update(state, Msg::Shelf(crate::app::shelf::News::Listed(l, p)))),
        // By keys.
        Entry::Did(Did::Stop) => press(state, "x"),
        Entry::Did(Did::Pace(_)) => press(state, "- -"),
        Entry::Did(Did::Compare) => press(state, "H"),
        Entry::Did(Did::Verify(path)) => {
            press(state, "6 v 1");
            assert_eq!(state.shelf.verifying.as_ref().map(|(path, _)| path), Some(&path));
        }
        Entry::Verified(path, damages) => {
            drop(update(state, Msg::Shelf(crate::app::shelf::News::Verified(path, damages))));
        }
        Entry::Compared(outcome) => drop(update(state, Msg::Compared(outcome))),
        Entry::Coach(view) => drop(update(state, Msg::Coach(Some(view)))),
        // What it is of, and its end.
        Entry::Meta(_) | Entry::End => {}
    }
    state.toast = None;
}

/// What is on the views, cell by cell, without what only a replay has.
fn screens(state: &mut State) -> Vec<ratatui::buffer::Buffer> {
    let (replay, toast) = (state.replay.take(), state.toast.take());
    let mut shown = Vec::new();
    for (width, height) in [(80, 24), (140, 45)] {
        state.size = (width, height);
        for keys in ["2", "3", "4", "5", "6", "7", "8", "9", "1"] {
            press(state, keys);
            shown.push(buffer(state, width, height));
        }
    }
    (state.replay, state.toast) = (replay, toast);
    shown
}

/// A replay at the beginning.
fn opened(tape: &Tape) -> State {
    let mut s = blank();
    replay::begin(&mut s, tape.meta(), tape.notices());
    s.replay = Some(Box::new(Replay {
        name: "story".into(),
        length: tape.length(),
        player: Player::default(),
        clock: tape.from(),
        marks: Vec::new(),
        gaps: Vec::new(),
        read: Duration::ZERO,
        seeking: None,
        follows: false,
    }));
    s
}

#[test]
fn a_replay_shows_cell_by_cell_what_was_seen() {
    let tape = tape();
    let (mut seen, mut replayed, mut cursor) = (blank(), opened(&tape), Cursor::default());
    for (i, (at, entry)) in story().into_iter().enumerate() {
        let seldom = !matches!(entry, Entry::View(_));
        live(&mut seen, at, entry);
        let (record, entry) = cursor.next(&tape).unwrap();
        update(&mut replayed, Msg::Replay(News::Entry(record.at, Box::new(entry))));
        // A recording tells of moments at which something happened.
        update(&mut seen, Msg::Tick(record.at));
        update(&mut replayed, Msg::Replay(News::Time(record.from_start, record.at)));
        if seldom || i % 9 == 0 || (30..50).contains(&i) {
            assert!(
                screens(&mut seen) == screens(&mut replayed),
                "after entry {i}:\n{}\n{}",
                text(&mut seen, 140, 45),
                text(&mut replayed, 140, 45)
            );
        }
    }
    assert_eq!(replayed.interval, Duration::from_secs(5));
    assert!(seen.timeline.len() > 4, "{:?}", seen.timeline);
}

#[test]
fn going_to_a_moment_shows_what_playing_to_it_shows() {
    let tape = tape();
    let mut reel = Reel::new(&tape, blank);
    let mut marks = Vec::new();
    while let Some(more) = reel.step(&tape) {
        marks.extend(more);
    }
    let lines: Vec<_> = marks.iter().map(|m| (m.at.as_secs(), m.line.as_str())).collect();
    assert!(lines.iter().any(|(at, line)| *at == 60 && line.contains("m2 hung")), "{lines:?}");
    assert!(lines.iter().any(|(at, line)| *at == 30 && line.ends_with("begins")), "{lines:?}");
    assert!(lines.iter().any(|(at, line)| *at == 100 && line.contains("m3 leads, term 8")), "{lines:?}");
    assert!(marks.is_sorted_by_key(|m| m.at));
    let mut user = opened(&tape);
    press(&mut user, "j");
    for at in [150, 3, 61, 179, 35, 0, 36, 100, 99] {
        let at = Duration::from_secs(at);
        let (found, next) = reel.seen(&tape, at, || true).unwrap();
        let clock = tape.clock(at);
        update(&mut user, Msg::Replay(News::There(Box::new(found), at, clock)));
        let mut straight = opened(&tape);
        press(&mut straight, "j");
        let mut cursor = Cursor::default();
        while let Some((record, entry)) = cursor.next_before(&tape, next) {
            update(&mut straight, Msg::Replay(News::Entry(record.at, Box::new(entry))));
        }
        update(&mut straight, Msg::Replay(News::Time(at, clock)));
        assert_eq!(cursor.at(), next);
        straight.selected.clone_from(&user.selected);
        assert!(
            screens(&mut user) == screens(&mut straight),
            "at {at:?}:\n{}\n{}",
            text(&mut user, 140, 45),
            text(&mut straight, 140, 45)
        );
    }
}

#[test]
fn what_was_not_read_yet_is_waited_for_and_what_nobody_wants_is_given_up() {
    let tape = tape();
    let mut reel = Reel::new(&tape, blank);
    assert!(reel.seen(&tape, Duration::from_secs(60), || true).is_none());
    while reel.at() < tape.due(Duration::from_secs(60)) {
        reel.step(&tape);
    }
    assert!(reel.seen(&tape, Duration::from_secs(60), || true).is_some());
    while reel.step(&tape).is_some() {}
    assert!(reel.seen(&tape, Duration::from_secs(95), || false).is_none(), "somebody wants something else");
    assert!(reel.seen(&tape, Duration::from_secs(95), || true).is_some());
}

/// A replay that was read whole and stands somewhere.
fn at(second: u64) -> State {
    let tape = tape();
    let mut reel = Reel::new(&tape, blank);
    let mut marks = Vec::new();
    while let Some(more) = reel.step(&tape) {
        marks.extend(more);
    }
    let mut s = opened(&tape);
    update(&mut s, Msg::Replay(News::Read(tape.length(), marks)));
    let at = Duration::from_secs(second);
    let (seen, _) = reel.seen(&tape, at, || true).unwrap();
    update(&mut s, Msg::Replay(News::There(Box::new(seen), at, tape.clock(at))));
    s
}

#[test]
fn bars() {
    for (width, height) in [(80, 24), (120, 40), (200, 50)] {
        let mut s = at(64);
        insta::assert_snapshot!(format!("replay_{width}x{height}"), text(&mut s, width, height));
    }
    let mut s = at(34);
    s.look.ascii = true;
    press(&mut s, "space");
    let shown = text(&mut s, 80, 24);
    assert!(shown.is_ascii(), "{shown}");
    insta::assert_snapshot!("replay_ascii_80x24", shown);
    press(&mut s, "T + 5 m");
    insta::assert_snapshot!("replay_time_80x24", text(&mut s, 80, 24));
}

fn goes(s: &mut State, keys: &str) -> Option<u64> {
    let mut to = None;
    for key in keys.split(' ') {
        for effect in update(s, Msg::Key(crate::app::Key::parse(key).unwrap())) {
            if let Effect::Seek(at) = effect {
                to = Some(at.as_secs());
            }
        }
    }
    if let Some(replay) = &mut s.replay {
        replay.seeking = None;
    }
    to
}

#[test]
fn keys_move_it() {
    for (keys, to) in [
        (".", Some(74)),
        (",", Some(54)),
        (">", Some(124)),
        ("<", Some(4)),
        ("T + 1 m enter", Some(124)),
        ("T - 3 0 s enter", Some(34)),
        ("T 5 0 % enter", Some(90)),
        ("T 0 8 : 0 1 : 3 0 enter", Some(90)),
        ("T 1 0 0 % enter", Some(181)),
        // Longer than any time that can be counted.
        ("T + 1 8 4 4 6 7 4 4 0 7 3 7 0 9 5 5 1 6 1 5 enter", Some(181)),
        ("T - 1 8 4 4 6 7 4 4 0 7 3 7 0 9 5 5 1 6 1 5 enter", Some(0)),
        // The recording has no such moment; what cannot be read; nothing.
        ("T 0 7 : 5 9 enter", None),
        ("T n o o n enter", None),
        ("T 5 0 % esc", None),
        // Events: m2 was hung from 60 on, and came back at 80.
        ("]", Some(80)),
        ("space [", Some(60)),
        ("space [ [", Some(40)),
        ("+", None),
    ] {
        let mut s = at(64);
        assert_eq!(goes(&mut s, keys), to, "{keys}");
    }
    // Held down, each goes on from where the one before goes to.
    let mut s = at(64);
    let mut to = Vec::new();
    for _ in 0..3 {
        to.extend(update(&mut s, Msg::Key(crate::app::Key::parse(".").unwrap())));
    }
    assert_eq!(to.last(), Some(&Effect::Seek(Duration::from_secs(94))));
    let mut s = at(64);
    assert_eq!(s.replay.as_ref().unwrap().player.speed_shown(), "x1");
    press(&mut s, "+ + -");
    assert_eq!(s.replay.as_ref().unwrap().player.speed_shown(), "x2");
    assert_eq!(s.interval, Duration::from_secs(1), "the pause between polls was what it was");
}

#[test]
fn at_the_end_it_stands_and_play_begins_anew() {
    let mut s = at(64);
    let length = s.replay.as_ref().unwrap().length;
    let end = s.replay.as_ref().unwrap().clock;
    update(&mut s, Msg::Replay(News::Time(length, end)));
    assert!(!s.replay.as_ref().unwrap().player.playing);
    assert!(s.toast.as_ref().unwrap().text.contains("the end of the recording"));
    // It goes by the real clock: the recorded one stands still.
    let later = s.wall.checked_add(Duration::from_secs(5)).unwrap();
    let (now, clock) = (s.now, s.clock);
    update(&mut s, Msg::Tick(later));
    assert_eq!((s.toast.is_none(), s.now, s.clock), (true, now, clock));
    assert_eq!(goes(&mut s, "space"), Some(0));
}

#[test]
fn what_asks_or_changes_a_cluster_says_that_this_is_a_recording() {
    let mut s = at(64);
    for action in ACTIONS {
        let why = action.unavailable(&s).unwrap_or_default();
        let asks = [
            "compact",
            "defrag",
            "rolling_defrag",
            "snapshot",
            "alarms",
            "move_leader",
            "recover",
            "go_on",
            "stop",
            "compare_data",
            "verify",
            "prune",
            "poll_now",
            "freeze",
            "record",
        ];
        assert_eq!(asks.contains(&action.name), why.contains("recording"), "{}: {why}", action.name);
    }
    press(&mut s, "D");
    assert!(s.overlay.is_none() && s.toast.as_ref().unwrap().is_error);
    // An operation of then keeps nobody from leaving now.
    let mut s = at(34);
    assert!(s.changes.running().is_some());
    assert_eq!(update(&mut s, Msg::Key(crate::app::Key::parse("q").unwrap())), [Effect::Quit]);
    // And the other way round: a cluster has no other moment.
    let mut s = super::state(&[crate::testing::healthy(3)]);
    for keys in ["space", ",", ".", "<", ">", "[", "]", "T"] {
        press(&mut s, keys);
        assert!(s.toast.take().unwrap().text.contains("only in a replay"), "{keys}");
    }
}

#[test]
fn badges_tell_a_recording_from_a_cluster() {
    let mut s = super::state(&[crate::testing::healthy(3)]);
    assert!(!text(&mut s, 80, 24).contains("REC"));
    update(&mut s, Msg::Recording(crate::app::recording::News::Began("/var/lib/x.etcdtop".into())));
    assert!(text(&mut s, 80, 24).contains(" REC "), "{}", text(&mut s, 80, 24));
    let why = "No space left on device".to_owned();
    update(&mut s, Msg::Recording(crate::app::recording::News::Failed("/var/lib/x.etcdtop".into(), why)));
    s.toast = None;
    let shown = text(&mut s, 120, 40);
    assert!(!shown.contains(" REC ") && shown.contains("the recording ended"), "{shown}");
    assert!(text(&mut at(64), 80, 24).lines().next().unwrap().contains(" REPLAY "));
}
