//! The fleet against stored screens.

use super::*;
use crate::app::fleet::{Fleet, Way};
use crate::app::state::Screen;
use crate::model::fleet::Row;
use crate::testing::{context, contexts, well};

fn fleet(rows: Vec<Row>) -> State {
    let mut s = state(&[]);
    s.access = Access::default();
    s.fleet = Some(Box::new(Fleet::new("/home/ops/.config/etcdtop/config.toml".into(), rows)));
    s.screen = Screen::Fleet;
    s
}

#[test]
fn fleets() {
    for (name, keys) in
        [("fleet", "j"), ("fleet_filter", "/ e u enter"), ("fleet_palette", ": o p"), ("fleet_explain", "e")]
    {
        for (width, height) in [(80, 24), (120, 40)] {
            let mut s = fleet(contexts());
            s.size = (width, height);
            press(&mut s, keys);
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), text(&mut s, width, height));
        }
    }
    let mut s = fleet(contexts());
    s.look.ascii = true;
    insta::assert_snapshot!("fleet_ascii_80x24", text(&mut s, 80, 24));
    // Answers that did not come for a while, and more clusters than rows.
    let many =
        (0..100).map(|i| context(&format!("cluster-{i:03}"), &if i % 20 == 7 { hung() } else { well(3) }));
    let mut s = fleet(many.collect());
    s.now = crate::testing::noon().checked_add(Duration::from_secs(47)).unwrap();
    s.size = (80, 24);
    press(&mut s, "pgdn pgdn");
    insta::assert_snapshot!("fleet_many_80x24", text(&mut s, 80, 24));
}

/// Name, verdict and reason of every cluster are there at 80 columns.
#[test]
fn nothing_that_matters_is_cut_at_80_columns() {
    let mut s = fleet(contexts());
    let shown = text(&mut s, 80, 60);
    for row in s.fleet.as_ref().unwrap().rows() {
        let line = shown.lines().find(|l| l.contains(&row.context[..row.context.len().min(12)]));
        let line = line.unwrap_or_else(|| panic!("{}:\n{shown}", row.context));
        assert!(line.contains(row.headline()), "{}: {line}", row.context);
        let start: String = row.reason().chars().take(40).collect();
        assert!(shown.contains(&start), "{start}:\n{shown}");
    }
}

#[test]
fn ascii_is_ascii_and_mono_has_no_colour() {
    let mut s = fleet(contexts());
    s.look.ascii = true;
    for keys in ["j", "?", "esc :", "esc e", "esc / x"] {
        press(&mut s, keys);
        let shown = text(&mut s, 120, 40);
        assert!(shown.is_ascii(), "{keys}:\n{shown}");
    }
    let mut s = fleet(contexts());
    s.look.theme = ThemeName::Mono;
    s.size = (120, 40);
    let buffer = buffer(&s, 120, 40);
    assert!(buffer.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset));
}

#[test]
fn a_cluster_opened_from_the_fleet_says_the_way_back() {
    let mut s = state(&[healthy(3)]);
    assert!(!text(&mut s, 120, 40).contains("esc fleet"));
    s.way = Way::Back;
    assert!(text(&mut s, 120, 40).contains("esc fleet"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Any size, any keys: no panic, and nothing outside.
    #[test]
    fn no_size_of_a_fleet_panics(width in 0_u16..260, height in 0_u16..80, keys in "[jkG/e:?pgm]{0,6}", ascii: bool) {
        let mut s = fleet(contexts());
        s.look.ascii = ascii;
        s.size = (width, height);
        for key in keys.chars() {
            update(&mut s, Msg::Key(Key::parse(&key.to_string()).unwrap()));
        }
        prop_assert_eq!(drawn_outside(&s), None);
    }
}
