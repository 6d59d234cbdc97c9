//! The view of internals: every zone of the line of revisions, what happens to pages, and the race of the log.

use std::sync::Arc;
use std::time::Duration;

use super::{buffer, press, state, text};
use crate::app::{Msg, State, update};
use crate::config::ThemeName;
use crate::model::coach::{CoachView, WatcherView};
use crate::model::{Bytes, ClusterView, MemberState, RaftIndex, Revision, Role};
use crate::testing::{coached, healthy, noon};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 50)];
const MIB: u64 = 1 << 20;

/// A minute and a half of writes; `change` says what is special at each second.
fn fed(members: usize, seconds: u64, change: impl Fn(u64, &mut ClusterView)) -> State {
    let mut s = state(&[]);
    for second in 0..seconds {
        let mut view = healthy(members);
        view.at = noon().checked_add(Duration::from_secs(second)).unwrap();
        view.revision = Some(Revision(1_284_000 + i64::try_from(second * 12).unwrap()));
        for m in &mut view.members {
            (m.status_at, m.metrics_at) = (Some(view.at), Some(view.at));
            if let Some(status) = &mut m.status {
                status.raft_index = RaftIndex(17_000 + second * 9);
                status.raft_applied_index = status.raft_index;
                status.revision = view.revision.unwrap();
                status.db_size = Some(Bytes(60 * MIB));
                status.db_size_in_use = Some(Bytes(20 * MIB + second * MIB / 6));
                status.db_quota = Some(Bytes(96 * MIB));
            }
            m.metrics_mut().compactions = Some(4);
        }
        change(second, &mut view);
        update(&mut s, Msg::View(Arc::new(view)));
    }
    s
}

/// A compaction after a minute, and a defragmentation of the second member after that.
fn busy() -> State {
    fed(3, 90, |second, view| {
        if second < 60 {
            view.compact_revision = Some(Revision(1_270_000));
            return;
        }
        for (i, m) in (0..).zip(&mut view.members) {
            m.metrics_mut().compactions = Some(5);
            m.metrics_mut().defragmentations = Some(u64::from(i == 1 && second >= 75));
            let status = m.status.as_mut().unwrap();
            status.db_size_in_use = Some(Bytes(12 * MIB));
            if i == 1 && second >= 75 {
                status.db_size = Some(Bytes(13 * MIB));
            }
        }
    })
}

/// The third member stopped half a minute ago.
fn fallen_behind() -> State {
    fed(3, 90, |second, view| {
        if second >= 60 {
            let m = &mut view.members[2];
            (m.state, m.lag, m.latency) = (MemberState::Hung, None, None);
            m.detail = Some("accepts TCP, no answer for 30 s".into());
            m.status_at = noon().checked_add(Duration::from_secs(59)).ok();
            let status = m.status.as_mut().unwrap();
            status.raft_index = RaftIndex(17_000 + 59 * 9);
            status.raft_applied_index = RaftIndex(17_000 + 57 * 9);
        }
    })
}

fn learner() -> State {
    fed(4, 90, |second, view| {
        let m = &mut view.members[3];
        (m.name, m.learner, m.role) = ("learner-4".into(), true, Role::Learner);
        m.lag = Some(400 - second);
        let status = m.status.as_mut().unwrap();
        status.is_learner = true;
        status.raft_applied_index = RaftIndex(status.raft_index.0 - 400 + second);
    })
}

fn no_metrics() -> State {
    fed(3, 30, |_, view| {
        view.compact_revision = None;
        for m in &mut view.members {
            m.metrics = None;
            if let Some(status) = &mut m.status {
                (status.db_quota, status.db_size_in_use) = (None, None);
            }
        }
    })
}

fn shows(name: &str, s: &mut State) {
    press(s, "9");
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("internals_{name}_{width}x{height}"), text(s, width, height));
    }
}

#[test]
fn internals() {
    shows("busy", &mut busy());
    shows("hung", &mut fallen_behind());
    shows("learner", &mut learner());
    shows("no_metrics", &mut no_metrics());
    shows(
        "nothing_compacted",
        &mut fed(3, 30, |_, view| {
            view.compact_revision = None;
            view.members[0].metrics_mut().compact_revision = Some(Revision(0));
        }),
    );
    shows("one", &mut fed(1, 30, |_, _| {}));
    shows("nine", &mut fed(9, 30, |_, _| {}));
    shows("connecting", &mut state(&[super::connecting()]));
}

/// Each zone of the line, and each edge of it.
#[test]
fn r_says_what_a_watcher_and_a_read_would_get() {
    let mut s = busy();
    press(&mut s, "9");
    let said = |s: &mut State| {
        let shown = text(s, 120, 40);
        let from = shown.find(" R 1").unwrap();
        shown[from..].lines().take(2).map(str::trim).collect::<Vec<_>>().join("; ")
    };
    assert!(said(&mut s).starts_with("R 1,285,068: a watcher from it gets the events of 1 revision,"));
    press(&mut s, "j");
    insta::assert_snapshot!("internals_r_to_come", text(&mut s, 80, 24));
    assert!(said(&mut s).contains("waits: nothing until that is written"), "{}", said(&mut s));
    assert!(said(&mut s).contains("is a future revision"));
    press(&mut s, "k pgup pgup");
    insta::assert_snapshot!("internals_r_readable", text(&mut s, 80, 24));
    assert!(said(&mut s).contains("gets the keys as they were then"), "{}", said(&mut s));
    press(&mut s, "pgup pgup pgup pgup pgup");
    assert!(said(&mut s).starts_with("R 1,280,000: a watcher from it gets the events"), "{}", said(&mut s));
    press(&mut s, "k");
    insta::assert_snapshot!("internals_r_gone", text(&mut s, 80, 24));
    assert!(said(&mut s).contains("is cancelled: compact_revision 1,280,000"), "{}", said(&mut s));
    press(&mut s, "g");
    assert!(said(&mut s).starts_with("R 1: a watcher from it is cancelled"), "{}", said(&mut s));
    // It stands at its revision while the head runs on; at the head it runs with it.
    let before = s.mark;
    let mut view = healthy(3);
    view.revision = Some(Revision(1_300_000));
    update(&mut s, Msg::View(Arc::new(view)));
    assert_eq!((s.mark, before), (Some(Revision(1)), Some(Revision(1))));
    press(&mut s, "G pgup");
    assert_eq!(s.mark, None, "a page back from the end stops at the head");
    assert!(said(&mut s).starts_with("R 1,300,000:"), "{}", said(&mut s));
}

#[test]
fn a_watcher_of_the_lab_is_on_the_line() {
    let watcher = |next, paused, cancelled_at| WatcherView { next_revision: next, paused, cancelled_at };
    for (name, watcher) in [
        ("live", watcher(1_285_069, false, None)),
        ("paused", watcher(1_281_500, true, None)),
        ("cancelled", watcher(1_275_000, false, Some(1_280_000))),
    ] {
        let mut s = busy();
        let coach = CoachView { watcher: Some(watcher), ..coached() };
        update(&mut s, Msg::Coach(Some(Box::new(coach))));
        press(&mut s, "9 k k k");
        insta::assert_snapshot!(format!("internals_watcher_{name}_120x40"), text(&mut s, 120, 40));
        insta::assert_snapshot!(format!("internals_watcher_{name}_80x24"), text(&mut s, 80, 24));
    }
}

#[test]
fn nothing_changes_on_screen_while_nothing_happens() {
    let quiet = |seconds| {
        let mut s = fed(3, seconds, |_, view| {
            for m in &mut view.members {
                m.status.clone_from(&healthy(1).members[0].status);
            }
            view.revision = Some(Revision(1_285_023));
        });
        press(&mut s, "9");
        text(&mut s, 120, 40).lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let first = quiet(25);
    assert!(first.iter().any(|l| l.contains("no change above 6.6 MiB seen yet")), "{first:#?}");
    for seconds in [26, 31, 40, 55] {
        assert_eq!(quiet(seconds), first, "{seconds}");
    }
}

#[test]
fn ascii_and_mono_have_the_same_view() {
    for (name, mut s) in [("busy", busy()), ("hung", fallen_behind())] {
        let coach = CoachView {
            watcher: Some(WatcherView { next_revision: 1_281_500, paused: true, cancelled_at: None }),
            ..coached()
        };
        update(&mut s, Msg::Coach(Some(Box::new(coach))));
        s.look.ascii = true;
        s.look.theme = ThemeName::Mono;
        press(&mut s, "9 k k");
        for (width, height) in [(80, 24), (120, 40)] {
            let shown = text(&mut s, width, height);
            assert!(shown.is_ascii(), "{shown}");
            insta::assert_snapshot!(format!("internals_ascii_{name}_{width}x{height}"), shown);
            let buffer = buffer(&s, width, height);
            let plain = ratatui::style::Color::Reset;
            assert!(buffer.content.iter().all(|c| c.fg == plain && c.bg == plain));
        }
    }
}

#[test]
fn every_figure_of_the_view_is_explained() {
    let mut s = busy();
    s.findings.clear();
    press(&mut s, "9 e");
    let shown = text(&mut s, 120, 200);
    for term in
        ["line of revisions", "pages: what happened", "the log on each member", "quota", "role: leader"]
    {
        assert!(shown.contains(term), "{term}:\n{shown}");
    }
}
