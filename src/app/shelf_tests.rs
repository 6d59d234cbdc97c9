//! Keys and news of the folder of snapshots against the state.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::app::key::Key;
use crate::app::keymap::Keymap;
use crate::app::state::Access;
use crate::app::update::{Msg, update};
use crate::config::ThemeName;
use crate::testing::{healthy, listing};

fn state() -> State {
    let look = crate::app::state::Look { theme: ThemeName::Dark, ascii: false };
    let view = Arc::new(healthy(3));
    let mut s = State::new(view, Access::default(), look, Keymap::default(), Duration::from_secs(1));
    s.size = (120, 40);
    update(&mut s, Msg::Shelf(News::Listed(Ok(listing()), Ok(Place { free: Bytes(1 << 40) }))));
    s
}

fn press(s: &mut State, keys: &str) -> Vec<Effect> {
    keys.split(' ').flat_map(|k| update(s, Msg::Key(Key::parse(k).unwrap()))).collect()
}

fn removed(effects: &[Effect]) -> Option<(usize, usize)> {
    effects.iter().find_map(|e| match e {
        Effect::Shelf(Work::Remove { fates, parts }) => {
            Some((fates.iter().filter(|(_, why)| why.is_none()).count(), parts.len()))
        }
        _ => None,
    })
}

#[test]
fn the_selection_stays_with_the_file() {
    let mut s = state();
    press(&mut s, "6 j");
    let chosen = s.shelf.saved()[1].path.clone();
    assert_eq!(s.shelf.selected.as_ref(), Some(&chosen));
    let mut grown = listing();
    let mut new = grown.saved[0].clone();
    new.path = "/var/lib/etcdtop/newer.db".into();
    grown.saved.insert(0, new);
    update(&mut s, Msg::Shelf(News::Listed(Ok(grown), Err("full".into()))));
    assert_eq!(s.shelf.saved()[s.selected_snapshot().unwrap()].path, chosen);
    // The member that was selected is another matter.
    assert_eq!(s.selected_row(), Some(0));
}

#[test]
fn what_was_closed_does_not_open_again() {
    let mut s = state();
    let effects = press(&mut s, "6 enter");
    let Some(Effect::Shelf(Work::Inspect(path))) = effects.last().cloned() else { panic!("{effects:?}") };
    press(&mut s, "esc");
    assert_eq!(s.screen, Screen::Snapshots, "the first esc closes the file alone");
    update(&mut s, Msg::Shelf(News::Inspected(path, Err("late".into()))));
    assert!(s.shelf.opened.is_none());
    press(&mut s, "esc");
    assert_eq!(s.screen, Screen::Overview);
}

#[test]
fn one_is_verified_at_a_time_and_only_what_was_verified_counts() {
    let mut s = state();
    assert_eq!(press(&mut s, "v"), [], "no snapshot is selected in the overview");
    let effects = press(&mut s, "6 G v");
    assert!(matches!(effects.last(), Some(Effect::Shelf(Work::Verify(_)))), "{effects:?}");
    assert_eq!(press(&mut s, "v"), []);
    let never = s.shelf.saved()[3].clone();
    assert!(!s.shelf.trusted(&never));
    update(&mut s, Msg::Shelf(News::Verified(never.path.clone(), Vec::new())));
    assert!(s.shelf.trusted(&never) && s.shelf.verifying.is_none());
    // It has become another file since.
    let other = Saved { size: Bytes(1), ..never };
    assert!(!s.shelf.trusted(&other));
    let newest = s.shelf.saved()[0].clone();
    update(&mut s, Msg::Shelf(News::Verified(newest.path.clone(), vec!["trailer".into()])));
    assert!(
        newest.is_verified() && !s.shelf.trusted(&newest),
        "what was found now outweighs what was found then"
    );
}

#[test]
fn nothing_is_removed_unless_somebody_means_it() {
    // Cancel is focused, escape cancels, a burst is a paste, nothing kept is refused.
    for keys in ["P enter", "P esc", "P tab backspace 0 tab tab backspace 0 tab backspace 0 tab enter"] {
        let mut s = state();
        press(&mut s, "6");
        assert_eq!(removed(&press(&mut s, keys)), None, "{keys}");
    }
    let mut s = state();
    press(&mut s, "6 P shift-tab");
    s.burst = true;
    assert_eq!(removed(&press(&mut s, "enter")), None);
    s.burst = false;
    assert_eq!(removed(&press(&mut s, "enter")), Some((0, 1)), "the part alone: the usual keeps all four");
    let mut s = state();
    // Keep the last of each cluster and nothing else.
    let effects = press(&mut s, "6 P tab backspace 1 tab tab backspace 0 tab backspace 0 tab enter");
    assert_eq!(removed(&effects), Some((1, 1)));
    s.access.read_only = Some("--read-only".into());
    press(&mut s, "P");
    assert!(s.overlay.is_none(), "read-only removes nothing");
}

#[test]
fn the_dialog_is_about_what_was_there_when_it_opened() {
    let mut s = state();
    press(&mut s, "6 P tab backspace 1 tab tab backspace 0 tab backspace 0 tab");
    let mut other = listing();
    other.saved.remove(1);
    update(&mut s, Msg::Shelf(News::Listed(Ok(other), Err("full".into()))));
    let effects = press(&mut s, "enter");
    let Some(Effect::Shelf(Work::Remove { fates, .. })) = effects.last() else { panic!("{effects:?}") };
    let going: Vec<_> = fates.iter().filter(|(_, why)| why.is_none()).map(|(s, _)| &s.path).collect();
    assert_eq!(going, [&listing().saved[1].path]);
}

#[test]
fn what_was_found_damaged_here_keeps_nobody_else_out() {
    let mut s = state();
    press(&mut s, "6");
    let newest = s.shelf.saved()[0].path.clone();
    update(&mut s, Msg::Shelf(News::Verified(newest.clone(), vec!["trailer: another".into()])));
    let effects = press(&mut s, "P tab backspace 1 tab tab backspace 0 tab backspace 0 tab enter");
    let Some(Effect::Shelf(Work::Remove { fates, .. })) = effects.last() else { panic!("{effects:?}") };
    let older = fates.iter().find(|(s, _)| s.path == listing().saved[1].path).unwrap();
    assert_eq!(older.1.as_deref(), Some("newest verified, last"));
    assert!(fates.iter().any(|(s, why)| s.path == newest && why.is_none()));
}
