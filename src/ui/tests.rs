//! Screens against stored ones, and what no stored screen can say.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::draw;
use crate::app::state::{Access, Look};
use crate::app::{Key, Keymap, Msg, State, update};
use crate::config::ThemeName;
use crate::model::{
    Alarm, AlarmKind, Bytes, ClusterId, ClusterView, Conflict, Endpoint, MemberId, MemberState, Role,
};
use crate::testing::{healthy, with_state};

mod coach;
mod fleet;
mod internals;
mod latency;
mod replay;
mod shelf;

fn state(views: &[ClusterView]) -> State {
    let access = Access { name: "prod-eu1".into(), origin: "context prod-eu1".into(), ..Access::default() };
    let look = Look { theme: ThemeName::Dark, ascii: false };
    let first = ClusterView::empty(crate::testing::noon());
    let mut s = State::new(Arc::new(first), access, look, Keymap::default(), Duration::from_secs(1));
    s.zone = jiff::tz::TimeZone::UTC;
    for (i, view) in (0..).zip(views) {
        let mut view = view.clone();
        let later = Duration::from_secs(i);
        view.at = view.at.checked_add(later).unwrap();
        for m in view.members.iter_mut().filter(|m| m.state.answers()) {
            m.status_at = m.status_at.map(|t| t.checked_add(later).unwrap());
        }
        update(&mut s, Msg::View(Arc::new(view)));
    }
    s
}

fn press(s: &mut State, keys: &str) {
    for key in keys.split(' ').filter(|k| !k.is_empty()) {
        update(s, Msg::Key(Key::parse(key).unwrap()));
    }
}

fn buffer(s: &State, width: u16, height: u16) -> Buffer {
    let mut s_buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw(s, s_buffer.area, &mut s_buffer);
    s_buffer
}

fn text(s: &mut State, width: u16, height: u16) -> String {
    s.size = (width, height);
    let buffer = buffer(s, width, height);
    let rows = buffer.content.chunks(usize::from(width));
    // The cell after a wide character belongs to it.
    let line = |row: &[ratatui::buffer::Cell]| {
        let (mut line, mut skip) = (String::new(), 0);
        for cell in row {
            if skip == 0 {
                line.push_str(cell.symbol());
                skip = unicode_width::UnicodeWidthStr::width(cell.symbol()).max(1);
            }
            skip -= 1;
        }
        line.trim_end().to_owned() + "\n"
    };
    rows.map(line).collect()
}

fn hung() -> ClusterView {
    with_state(healthy(3), 1, MemberState::Hung, "accepts TCP, no answer for 4 s")
}

fn quorum_lost() -> ClusterView {
    let mut view = with_state(healthy(3), 1, MemberState::Refused, "nothing listens on 10.0.0.2:2379");
    view = with_state(view, 2, MemberState::Hung, "accepts TCP, no answer for 6 s");
    let m1 = &mut view.members[0];
    m1.state = MemberState::NoLeader;
    m1.role = Role::Follower;
    if let Some(s) = &mut m1.status {
        s.leader = None;
    }
    view.leader = None;
    view
}

fn no_space() -> ClusterView {
    let mut view = healthy(3);
    for m in &mut view.members {
        if let Some(s) = &mut m.status {
            s.db_quota = Some(Bytes(16 << 20));
            s.db_size = Some(Bytes(18_210_816));
            s.db_size_in_use = Some(Bytes(17 << 20));
        }
    }
    view.alarms = vec![Alarm { member: view.members[1].id.unwrap(), kind: AlarmKind::NoSpace }];
    view.members[1].alarms = vec![AlarmKind::NoSpace];
    view
}

fn connecting() -> ClusterView {
    let mut view = healthy(2);
    for m in &mut view.members {
        (m.id, m.status, m.status_at, m.latency, m.lag) = (None, None, None, None, None);
        (m.name, m.role, m.state, m.listed) = ("".into(), Role::Unknown, MemberState::Connecting, false);
    }
    ClusterView { members: view.members, ..ClusterView::empty(view.at) }
}

fn unreachable() -> ClusterView {
    let view = with_state(
        connecting(),
        0,
        MemberState::Unreachable,
        "no answer to a TCP connect within 2.0 s: host down, or packets dropped",
    );
    with_state(view, 1, MemberState::Tls, "the server's certificate expired on 2026-11-01: renew it")
}

/// A learner, a member that was never started, and an endpoint of another cluster.
fn odd() -> ClusterView {
    let mut view = healthy(5);
    view.members[3].learner = true;
    view.members[3].role = Role::Learner;
    view.members[3].name = "learner-4".into();
    let m = &mut view.members[4];
    (m.name, m.role, m.state) = ("".into(), Role::Unstarted, MemberState::Unstarted);
    (m.endpoint, m.status, m.status_at, m.latency, m.lag) = (None, None, None, None, None);
    view.conflicts = vec![Conflict::OtherCluster {
        endpoint: Endpoint::parse("https://10.9.9.9:2379").unwrap(),
        cluster_id: ClusterId(0xbad),
    }];
    view
}

fn hostile() -> ClusterView {
    let mut view = healthy(3);
    view.members[0].name = "m1\u{1b}[2J\u{202e}evil".into();
    view.members[1].name = "日本のメンバー二号".into();
    view.members[2].detail = Some("\r\n\u{9b}31mred".into());
    view.members[2].state = MemberState::Failing;
    // In use above the size, no quota, a size of everything.
    if let Some(s) = &mut view.members[1].status {
        s.db_size = Some(Bytes(5));
        s.db_size_in_use = Some(Bytes(u64::MAX));
        s.db_quota = None;
    }
    if let Some(s) = &mut view.members[2].status {
        s.db_size = None;
        s.raft_index = crate::model::RaftIndex(u64::MAX);
        s.revision = crate::model::Revision(-1);
    }
    view.members[0].id = Some(MemberId(u64::MAX));
    view
}

type Fixture = (&'static str, fn() -> Vec<ClusterView>);

const FIXTURES: &[Fixture] = &[
    ("healthy", || vec![healthy(3)]),
    ("hung", || vec![healthy(3), hung(), hung(), hung(), hung(), hung()]),
    ("quorum_lost", || vec![healthy(3), quorum_lost()]),
    ("no_space", || vec![healthy(3), no_space()]),
    ("connecting", || vec![connecting()]),
    ("unreachable", || vec![unreachable()]),
    ("odd", || vec![odd()]),
    ("hostile", || vec![hostile()]),
    ("nine", || vec![healthy(9)]),
];

#[test]
fn overviews() {
    for (name, views) in FIXTURES {
        let mut s = state(&views());
        for (width, height) in [(80, 24), (120, 40), (200, 50)] {
            insta::assert_snapshot!(format!("overview_{name}_{width}x{height}"), text(&mut s, width, height));
        }
    }
}

#[test]
fn views_and_overlays() {
    for (name, keys) in [
        ("member", "j 2"),
        ("storage", "3"),
        ("raft", "4"),
        ("timeline", "7"),
        ("help", "?"),
        ("palette", ": r a"),
        ("palette_nothing", ": x y z z y"),
        ("explain", "e"),
        ("filter", "/ m 2"),
        ("frozen", "p"),
        ("interval", "- -"),
    ] {
        for (width, height) in [(80, 24), (120, 40)] {
            let mut s = state(&[healthy(3), hung()]);
            s.size = (width, height);
            press(&mut s, keys);
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), text(&mut s, width, height));
        }
    }
}

/// Dialogs, and an operation on its way, at both sizes.
#[test]
fn operations() {
    use crate::app::operation::Operation;
    use crate::ops::OpEvent;
    use crate::ops::journal::{Figures, StepEnd};
    for (name, keys) in [("roll", "D"), ("compact", "c"), ("recover", "R"), ("move_leader", "j L")] {
        for (width, height) in [(80, 24), (120, 40)] {
            let mut s = state(&[healthy(3), if name == "recover" { no_space() } else { healthy(3) }]);
            s.size = (width, height);
            s.changes.snapshots = "/var/lib/etcdtop".into();
            press(&mut s, keys);
            insta::assert_snapshot!(format!("dialog_{name}_{width}x{height}"), text(&mut s, width, height));
        }
    }
    let mut s = state(&[healthy(3), healthy(3)]);
    press(&mut s, "D");
    let Some(crate::app::state::Overlay::Plan(dialog)) = s.overlay.take() else { panic!("no dialog") };
    let clock = s.clock;
    update(&mut s, Msg::Started(Box::new(Operation::new(dialog.plan.clone(), clock))));
    let figures = Figures {
        before: Some(Bytes(438 << 20)),
        after: Some(Bytes(281 << 20)),
        took_ms: Some(2_100),
        ..Figures::default()
    };
    for event in [
        OpEvent::Began { step: 0, at: clock },
        OpEvent::StepEnded { step: 0, end: StepEnd::Done, figures },
        OpEvent::Began { step: 1, at: clock },
    ] {
        update(&mut s, Msg::Operation(event));
    }
    update(&mut s, Msg::Tick(clock.checked_add(Duration::from_secs(4)).unwrap()));
    for (width, height) in [(80, 24), (120, 40)] {
        for (screen, keys) in [("overview", "1"), ("operations", "5")] {
            press(&mut s, keys);
            insta::assert_snapshot!(
                format!("running_{screen}_{width}x{height}"),
                text(&mut s, width, height)
            );
        }
        press(&mut s, "q");
        insta::assert_snapshot!(format!("running_leave_{width}x{height}"), text(&mut s, width, height));
        press(&mut s, "esc");
    }
}

#[test]
fn frozen_shows_one_moment() {
    let mut s = state(&[healthy(3), healthy(3)]);
    press(&mut s, "p");
    for keys in ["1", "2", "3", "4", "7", "9"] {
        press(&mut s, keys);
        let before = text(&mut s, 120, 40);
        for second in 10..30 {
            let mut view = with_state(healthy(3), 1, MemberState::Hung, "accepts TCP");
            view.at = view.at.checked_add(Duration::from_secs(second)).unwrap();
            view.revision = Some(crate::model::Revision(2_000_000));
            for m in &mut view.members {
                (m.status_at, m.latency) = (Some(view.at), Some(Duration::from_millis(second)));
            }
            update(&mut s, Msg::View(Arc::new(view)));
            update(
                &mut s,
                Msg::Tick(crate::testing::noon().checked_add(Duration::from_secs(second)).unwrap()),
            );
        }
        let body = |t: &str| t.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let after = text(&mut s, 120, 40);
        assert_eq!(body(&before), body(&after), "{keys}");
        assert!(after.lines().next().unwrap().contains("FROZEN, 2 new"), "{after}");
    }
}

#[test]
fn ascii_looks_the_same_in_ascii() {
    for (name, views) in FIXTURES.iter().filter(|(name, _)| *name != "hostile") {
        let mut s = state(&views());
        s.look.ascii = true;
        for keys in ["1", "2", "3", "4", "7", "9", "?", "esc :", "esc e"] {
            press(&mut s, keys);
            let shown = text(&mut s, 120, 40);
            assert!(shown.is_ascii(), "{name}, {keys}:\n{shown}");
        }
    }
    let mut s = state(&[healthy(3), hung()]);
    s.look.ascii = true;
    insta::assert_snapshot!("ascii_80x24", text(&mut s, 80, 24));
}

#[test]
fn mono_uses_no_colour() {
    for (_, views) in FIXTURES {
        let mut s = state(&views());
        s.look.theme = ThemeName::Mono;
        for keys in ["1", "2", "3", "4", "7", "9", "?", "esc :", "esc e"] {
            press(&mut s, keys);
            s.size = (120, 40);
            let buffer = buffer(&s, 120, 40);
            assert!(buffer.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset));
        }
    }
}

#[test]
fn every_member_has_its_state_as_a_word_even_at_80x24() {
    for (name, views) in FIXTURES {
        let mut s = state(&views());
        let shown = text(&mut s, 80, 24);
        for m in &s.view.members {
            let label = m.label();
            let start: String = label.chars().take(5).collect();
            let is_row =
                |line: &&str| line.contains(&start) && line.contains(&format!(" {}", m.state.shown()));
            assert!(shown.lines().any(|l| is_row(&l)), "{name}: {label} {}\n{shown}", m.state.shown());
        }
        assert!(shown.contains(&s.verdict.headline), "{name}:\n{shown}");
    }
}

#[test]
fn nothing_from_a_cluster_moves_the_cursor() {
    let mut s = state(&[hostile()]);
    for keys in ["1", "2", "3", "4", "7", "9"] {
        press(&mut s, keys);
        for (width, height) in [(80, 24), (200, 50)] {
            let shown = text(&mut s, width, height);
            let bad = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!shown.chars().any(bad), "{keys}: {shown:?}");
            if keys != "7" {
                // Escaped, not dropped by whoever draws: one must be able to see that a name is hostile.
                assert!(shown.contains("\\x1b[2J"), "{keys}: {shown}");
            }
        }
    }
}

/// Somebody who goes to the end sees the end, and one step back is one step back.
#[test]
fn scrolling_ends_where_the_text_ends() {
    for (keys, last) in [("?", "leave"), ("e", "endpoint status"), ("2", "up ")] {
        let mut s = state(&[healthy(3), hung()]);
        s.size = (80, 24);
        press(&mut s, keys);
        press(&mut s, "G");
        s.keep_scroll(super::most_scroll(&s));
        let end = text(&mut s, 80, 24);
        assert!(end.contains(last), "{keys}:\n{end}");
        press(&mut s, "k");
        s.keep_scroll(super::most_scroll(&s));
        assert_ne!(text(&mut s, 80, 24), end, "{keys}: one step up moves the text");
    }
}

#[test]
fn too_small_says_so() {
    let mut s = state(&[healthy(3)]);
    assert_eq!(text(&mut s, 39, 12).trim(), "39x12: needs 40x12; q quits");
    assert!(text(&mut s, 10, 3).starts_with("10x3: nee"), "{}", text(&mut s, 10, 3));
}

#[test]
fn a_rebound_key_shows_in_footer_and_help() {
    let mut s = state(&[healthy(3)]);
    let keys = ["f".to_owned()];
    s.keymap = Arc::new(Keymap::with([("rolling_defrag", &keys[..], 1)]).unwrap());
    assert!(text(&mut s, 120, 40).contains("f rolling"), "{}", text(&mut s, 120, 40));
}

/// Draws into the middle of a larger buffer; the first cell outside that is touched, and with what.
fn drawn_outside(s: &State) -> Option<(u16, u16, String)> {
    let (width, height) = s.size;
    let area = Rect::new(3, 2, width, height);
    let mut larger = Buffer::filled(Rect::new(0, 0, width + 6, height + 4), ratatui::buffer::Cell::new("~"));
    draw(s, area, &mut larger);
    let touched = larger.content.iter().enumerate().map(|(i, cell)| (larger.pos_of(i), cell.symbol()));
    let mut outside = touched.filter(|((x, y), symbol)| !area.contains((*x, *y).into()) && *symbol != "~");
    outside.next().map(|((x, y), symbol)| (x, y, symbol.to_owned()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Any size, any view, any fixture: no panic, and nothing outside.
    #[test]
    fn no_size_panics(width in 0_u16..260, height in 0_u16..80, fixture in 0..FIXTURES.len(), keys in "[1234679?:e/pjkGPAC]{0,6}", ascii: bool, coached: bool) {
        let mut s = state(&FIXTURES[fixture].1());
        s.look.ascii = ascii;
        s.size = (width, height);
        if ascii {
            shelf::fill(&mut s);
        }
        if coached {
            update(&mut s, Msg::Coach(Some(Box::new(crate::testing::coached()))));
        }
        for key in keys.chars() {
            update(&mut s, Msg::Key(Key::parse(&key.to_string()).unwrap()));
        }
        prop_assert_eq!(drawn_outside(&s), None);
    }
}
