//! `HashKV` of a member that has just what a snapshot holds: the hash that etcd compares between members, to find the odd
//! one out.

use std::hash::{BuildHasher, RandomState};

use super::file::{Damage, Snapshot};
use super::inspect::{Keys, newest_changes};
use super::mvcc::{KeyValue, RevisionKey};
use super::tree::{Leaf, Sink, Walk};
use crate::model::Revision;

/// `HashKV` at the newest revision (`server/storage/mvcc/hash.go`): CRC-32C over the name of the bucket `key`, and each key
/// and value in it; of what is at or below the compact revision only the newest change of a key that is there.
///
/// # Errors
/// The first damage.
pub fn hash_kv(snapshot: &Snapshot) -> Result<u32, Damage> {
    let hasher = RandomState::new();
    let keys = newest_changes(snapshot, &hasher);
    let walk = Walk::over(snapshot, false);
    let compacted = compact_revision(snapshot).0;
    let mut sum = (0, 0);
    let buckets = walk.buckets();
    for bucket in buckets.iter().filter(|b| b.name == b"key") {
        sum = (crc32c::crc32c(&bucket.name), bucket.name.len());
        let make = || Part { hasher: &hasher, keys: &keys, compacted, crc: 0, length: 0 };
        walk.fold(bucket, make, |part| {
            sum = (crc32c::crc32c_combine(sum.0, part.crc, part.length), sum.1 + part.length);
        });
    }
    match walk.damages().into_iter().next() {
        Some(damage) => Err(damage),
        None => Ok(sum.0),
    }
}

/// The compact revision; 0 when nothing was compacted.
#[must_use]
pub fn compact_revision(snapshot: &Snapshot) -> Revision {
    let walk = Walk::over(snapshot, false);
    let mut compacted = 0;
    for meta in walk.buckets().iter().filter(|b| b.name == b"meta") {
        walk.fold(meta, || Compacted(0), |found| compacted = found.0.max(compacted));
    }
    Revision(compacted)
}

/// The revision of the last compaction, done or to be done when the member starts: `finishedCompactRev` and
/// `scheduledCompactRev` in the bucket `meta`.
struct Compacted(i64);

impl Sink for Compacted {
    fn leaf(&mut self, leaf: &Leaf<'_>) {
        let of_compaction = |key: &[u8]| matches!(key, b"finishedCompactRev" | b"scheduledCompactRev");
        let found = leaf.elements().flatten().filter(|e| of_compaction(e.key));
        self.0 = found.filter_map(|e| RevisionKey::read(e.value)).map(|r| r.main).max().unwrap_or_default();
    }
}

struct Part<'a> {
    hasher: &'a RandomState,
    keys: &'a Keys,
    compacted: i64,
    crc: u32,
    length: usize,
}

impl Sink for Part<'_> {
    fn leaf(&mut self, leaf: &Leaf<'_>) {
        for e in leaf.elements().flatten() {
            let Some(revision) = RevisionKey::read(e.key) else { continue };
            if revision.main <= self.compacted {
                let newest =
                    KeyValue::read(e.value).and_then(|kv| self.keys.get(&self.hasher.hash_one(kv.key)));
                if !newest.is_some_and(|n| n.is(revision) && !revision.tombstone) {
                    continue;
                }
            }
            self.crc = crc32c::crc32c_append(crc32c::crc32c_append(self.crc, e.key), e.value);
            self.length += e.key.len() + e.value.len();
        }
    }
}
