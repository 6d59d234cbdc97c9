//! The snapshot file, read by itself: no network, no screen. Memory does not grow with the file, but by some bytes for each
//! of its distinct keys.
//!
//! [`Snapshot::open`] finds its size, its trailer and the meta page that counts. [`examine`] reads it all: what
//! `etcdutl snapshot status` tells, and, on demand, everything that can be wrong with it.

pub mod bolt;
mod examine;
mod file;
mod folder;
mod hash;
mod inspect;
mod map;
pub mod mvcc;
mod packed;
pub mod past_cache;
mod reader;
mod restore;
mod side;
mod skim;
mod tree;

pub use examine::{Depth, Examined, Status, examine};
pub use file::{Check, Damage, Snapshot, SnapshotError, TRAILER};
pub use folder::{
    DRILL_FAILED, Fate, Keep, Listing, Place, Removal, Saved, Stamp, YOUNG_PART, list, place, prune,
    remove_part, retain,
};
pub use hash::{compact_revision, hash_kv};
pub use inspect::{BucketFigures, Inspected, KeyFigures, PageFigures, PrefixFigures, inspect};
pub use map::{PageMap, Slot};
pub use reader::Reader;
pub use restore::{RestoreLine, RestorePlan, Wishes, plan as restore_plan};
pub use side::{Side, SideMember, besides};
pub use skim::{Skimmed, skim};

/// Bytes in hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"))
}

#[cfg(test)]
mod tests;
