//! Recordings: everything that was polled and every event of an operation, in one file that grows at its end; no values,
//! no passwords. A replay feeds the same entries to the same screens. The format is written down in `docs/recording.md`.

pub mod delta;
pub mod entry;
pub mod frame;
pub mod hidden;
pub mod player;
pub mod recorder;
mod syncer;
pub mod tape;
pub mod writer;

#[cfg(test)]
mod hidden_tests;
#[cfg(test)]
mod tests;

pub use entry::{Did, Entry, Meta};
pub use hidden::Hidden;
pub use player::Player;
pub use recorder::Recorder;
pub use tape::{Cursor, Tape, TapeError};

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The name of a new recording in a folder: `prod-eu1-20261121-140211.etcdtop`, by the clock of the zone.
#[must_use]
pub fn file_name(name: &str, at: Timestamp, zone: &TimeZone) -> PathBuf {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().map(safe).take(60).collect();
    let name = name.trim_matches(['-', '.']);
    let name = if name.is_empty() { "etcd" } else { name };
    format!("{name}-{}.etcdtop", at.to_zoned(zone.clone()).strftime("%Y%m%d-%H%M%S")).into()
}
