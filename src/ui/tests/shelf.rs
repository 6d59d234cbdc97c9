//! The view of snapshots, at every size.

use super::*;
use crate::app::Effect;
use crate::app::shelf::{News, Work};
use crate::snapshot::{Snapshot, inspect};

/// A folder with what such folders hold.
pub(super) fn fill(s: &mut State) {
    s.changes.snapshots = "/var/lib/etcdtop".into();
    let place = crate::snapshot::Place { free: Bytes(60 << 30) };
    update(s, Msg::Shelf(News::Listed(Ok(crate::testing::listing()), Ok(place))));
}

/// The selected snapshot is opened, and holds what a real one of etcd 3.6 does.
fn open(s: &mut State) {
    let effects = update(s, Msg::Key(Key::parse("enter").unwrap()));
    let [Effect::Shelf(Work::Inspect(path))] = effects.as_slice() else { panic!("{effects:?}") };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/snapshot-3.6.db");
    let found = inspect(&Snapshot::open(file.as_ref()).unwrap()).unwrap();
    update(s, Msg::Shelf(News::Inspected(path.clone(), Ok(Box::new(found)))));
}

#[test]
fn the_folder_and_what_one_holds() {
    for (width, height) in [(80, 24), (120, 40), (200, 50)] {
        let mut s = state(&[healthy(3), healthy(3)]);
        s.size = (width, height);
        fill(&mut s);
        press(&mut s, "6");
        insta::assert_snapshot!(format!("folder_{width}x{height}"), text(&mut s, width, height));
        open(&mut s);
        insta::assert_snapshot!(format!("opened_{width}x{height}"), text(&mut s, width, height));
        press(&mut s, "G");
        s.keep_scroll(crate::ui::most_scroll(&s));
        let end = text(&mut s, width, height);
        assert!(end.contains("Most changed keys"), "{end}");
        press(&mut s, "esc P");
        insta::assert_snapshot!(format!("prune_{width}x{height}"), text(&mut s, width, height));
    }
}

#[test]
fn what_is_wrong_with_one_can_be_read() {
    for (width, height) in [(80, 24), (120, 40)] {
        let mut s = state(&[healthy(3), healthy(3)]);
        s.size = (width, height);
        fill(&mut s);
        press(&mut s, "6 v");
        assert!(text(&mut s, width, height).contains("verifies"));
        let path = s.shelf.saved()[0].path.clone();
        let damage = "value: page 118,204: the value of revision 1,100,313 is no key-value pair".to_owned();
        update(&mut s, Msg::Shelf(News::Verified(path, vec![damage.clone()])));
        let shown = text(&mut s, width, height);
        assert!(shown.contains("damaged") && shown.contains("page 118,204"), "{shown}");
        // The header counts on it no more.
        let header = shown.lines().take(3).collect::<String>();
        assert!(width < 100 || header.contains("not verified"), "{header}");
    }
    let mut s = state(&[healthy(3)]);
    fill(&mut s);
    update(
        &mut s,
        Msg::Shelf(News::Listed(Err("/var/lib/etcdtop: Permission denied".into()), Err("full".into()))),
    );
    press(&mut s, "6");
    assert!(text(&mut s, 80, 24).contains("Permission denied"));
}

#[test]
fn ascii_and_mono_show_it_too() {
    let mut s = state(&[healthy(3), healthy(3)]);
    s.look.ascii = true;
    s.look.theme = ThemeName::Mono;
    s.size = (120, 40);
    fill(&mut s);
    for keys in ["6", "P", "esc"] {
        press(&mut s, keys);
        let shown = text(&mut s, 120, 40);
        assert!(shown.is_ascii(), "{shown}");
        let cells = buffer(&s, 120, 40).content;
        assert!(cells.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset));
    }
    open(&mut s);
    let shown = text(&mut s, 120, 40);
    assert!(shown.is_ascii(), "{shown}");
}
