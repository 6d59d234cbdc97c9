//! The snapshot file, read by itself: no network, no screen, and memory that does not grow with the file.
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
pub use folder::{Fate, Keep, Listing, Saved, YOUNG_PART, free_space, list, remove, remove_part, retain};
pub use hash::{compact_revision, hash_kv};
pub use inspect::{BucketFigures, Inspected, KeyFigures, PageFigures, PrefixFigures, inspect};
pub use map::{PageMap, Slot};
pub use reader::Reader;
pub use restore::{RestoreLine, RestorePlan, Wishes, plan as restore_plan};
pub use side::{Side, SideMember};
pub use skim::{Skimmed, skim};

#[cfg(test)]
mod tests;
