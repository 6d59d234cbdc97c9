//! Whether there is something to go back to.

use std::time::Duration;

use super::Settles::AtOnce;
use super::{Backup, Case, Found, Rule};
use crate::model::Severity;
use crate::model::units::age;

pub(super) const RULES: &[Rule] = &[Rule {
    name: "no_backup",
    when: "the newest snapshot of this cluster that is known here is older than 24 h, was never verified, or there is none: note",
    source: "backup practice: every 1 to 24 h",
    from: "the folder of snapshots (--snapshot-dir)",
    meaning: "When a majority of the voters is gone for good, a snapshot is the only way back: what was written after it is lost. One that was never verified is a hope. Snapshots that others take elsewhere are not known here.",
    settles: AtOnce,
    find: no_backup,
}];

const OLD: Duration = Duration::from_secs(24 * 3600);

fn no_backup(case: &Case<'_>, found: &mut Found<'_>) {
    let (line, next, action) = match case.backup {
        Backup::None => ("no snapshot of this cluster is known here".to_owned(), "take one", "snapshot"),
        Backup::Taken { age: old, .. } if old > OLD => {
            (format!("the last snapshot known here is {} old", age(old)), "take one", "snapshot")
        }
        Backup::Taken { verified: false, .. } => {
            ("the last snapshot known here was never verified".to_owned(), "verify it in view 6", "snapshots")
        }
        Backup::Unknown | Backup::Taken { .. } => return,
    };
    found.add(Severity::Note, None, line, next).action = Some(action);
}
