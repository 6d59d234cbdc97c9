//! The table of keys is whole, and binding anew says what is wrong.

use std::collections::BTreeMap;

use super::*;
use crate::app::Key;

#[test]
fn the_table_binds_every_action_without_conflict() {
    let keymap = Keymap::build(BTreeMap::new()).unwrap();
    for action in ACTIONS {
        assert!(!keymap.keys(action.id).is_empty(), "{} has no key", action.name);
        assert_eq!(
            keymap.keys(action.id).len(),
            action.keys.len(),
            "{}: a key that does not parse",
            action.name
        );
    }
    let mut names: Vec<_> = ACTIONS.iter().map(|a| a.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ACTIONS.len());
}

#[test]
fn findings_offer_what_there_is() {
    // `diagnose` knows the names alone: here they are checked against the table.
    for name in ["snapshot", "compact", "rolling_defrag", "alarms", "recover", "move_leader"] {
        assert!(ACTIONS.iter().any(|a| a.name == name && a.group == Group::Change), "{name}");
    }
}

#[test]
fn rebinding_replaces_and_conflicts_name_both() {
    let f = ["f".to_owned()];
    let keymap = Keymap::with([("freeze", &f[..], 3)]).unwrap();
    assert_eq!(keymap.action(Key::parse("f").unwrap()), Some(ActionId::Freeze));
    assert_eq!(keymap.action(Key::parse("p").unwrap()), None);
    let q = ["q".to_owned()];
    let error = Keymap::with([("freeze", &q[..], 3)]).unwrap_err().to_string();
    assert!(error.contains("freeze") && error.contains("quit") && error.contains('q'), "{error}");
    let error = Keymap::with([("freze", &f[..], 9)]).unwrap_err().to_string();
    assert!(error.contains("line 9") && error.contains("\"freeze\""), "{error}");
    assert!(Keymap::with([("quit", &[][..], 1)]).is_err(), "one must be able to leave");
}
