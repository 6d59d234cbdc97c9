//! The dashboard's state and how it changes. No I/O, no widgets.

mod bindings;
pub mod coach;
pub mod dialog;
pub mod fleet;
mod interrupted;
pub mod key;
pub mod keymap;
mod news;
pub mod operation;
mod overlay;
pub mod palette;
pub mod prune;
pub mod recording;
pub mod reel;
pub mod replay;
pub mod seen;
pub mod shelf;
pub mod state;
pub mod update;

use std::time::Duration;

pub use key::{Key, KeyCode};
pub use keymap::{ActionId, Keymap};
pub use state::State;
pub use update::{Effect, Msg, update};

/// The pauses between two polls that `+` and `-` step through.
pub const INTERVALS: [Duration; 8] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
