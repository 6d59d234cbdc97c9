//! What `etcdutl snapshot status` tells of a file, and whether the file is what it says: in one pass over its pages.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use super::bolt::{self, Kind, PageId};
use super::file::{Check, Damage, Snapshot, SnapshotError};
use super::mvcc::{KeyValue, RevisionKey};
use super::tree::{Bucket, Leaf, Sink, Walk};
use crate::model::{Bytes, Revision};

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every page of every bucket is read, as etcdutl does it.
    Status,
    /// And everything that can be checked is.
    Verify,
}

/// `etcdutl snapshot status`, of all versions at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// CRC-32C over the names of buckets, and keys and values in them.
    pub hash: u32,
    /// The newest revision.
    pub revision: Revision,
    /// Keys that are there at that revision: `totalKey` of etcdutl 3.6 and later.
    #[serde(rename = "totalKey")]
    pub total_key: u64,
    /// Entries of all buckets: `totalKey` of etcdutl up to 3.5.
    #[serde(rename = "totalEntries")]
    pub total_entries: u64,
    /// Pages that were ever used, in bytes.
    #[serde(rename = "totalSize")]
    pub total_size: Bytes,
    /// The storage version, which 3.6 and later write down; empty before that, as etcdutl tells it.
    pub version: String,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Its figures, as far as the file could be read.
    pub status: Status,
    /// What is wrong with it, in the order of pages; empty: nothing that was looked for.
    pub damages: Vec<Damage>,
    /// Its SHA-256, if it was checked against the trailer.
    pub sha256: Option<[u8; 32]>,
}

/// Reads a whole file.
///
/// # Errors
/// When it is damaged already where it begins.
pub fn examine(snapshot: &Snapshot, depth: Depth) -> Result<Examined, SnapshotError> {
    let strict = depth == Depth::Verify;
    let walk = Walk::over(snapshot, strict);
    let (status, sha256) = std::thread::scope(|scope| {
        // The checksum wants all bytes in their order, the tree its pages in theirs: two threads, one file in the cache.
        let sum = strict.then(|| scope.spawn(|| trailer(&walk)));
        let status = status(&walk, strict);
        (status, sum.and_then(|s| s.join().ok().flatten()))
    });
    if strict {
        other_meta(&walk);
        freelist(&walk);
    }
    Ok(Examined { status, damages: walk.damages(), sha256 })
}

fn status(walk: &Walk<'_>, strict: bool) -> Status {
    let hasher = RandomState::new();
    let mut total = Part::new(walk, &hasher, false, strict);
    let mut version = String::new();
    let buckets = walk.buckets();
    for bucket in &buckets {
        let keys = bucket.name == b"key";
        total.take(&bucket.name);
        walk.fold(bucket, || Part::new(walk, &hasher, keys, strict), |part| total.follow(part));
        if bucket.name == b"meta" {
            version = storage_version(walk, bucket);
        }
    }
    if strict {
        expect_buckets(walk, &buckets);
    }
    Status {
        hash: total.crc,
        revision: Revision(total.revision),
        total_key: total.keys.values().filter(|alive| **alive).count() as u64,
        total_entries: total.entries,
        total_size: walk.snapshot.used_size(),
        version,
    }
}

/// The buckets that every member has.
pub(super) fn expect_buckets(walk: &Walk<'_>, buckets: &[Bucket]) {
    let has = |name: &str| buckets.iter().any(|b| b.name == name.as_bytes());
    for name in ["key", "meta", "members", "cluster"].into_iter().filter(|name| !has(name)) {
        let what = format!("no bucket {name:?}: not the file of an etcd member");
        walk.found(Damage::of(Check::Buckets, what));
    }
}

/// `storageVersion` in the bucket `meta`.
pub(super) fn storage_version(walk: &Walk<'_>, meta: &Bucket) -> String {
    struct Version(String);
    impl Sink for Version {
        fn leaf(&mut self, leaf: &Leaf<'_>) {
            let mut elements = leaf.elements().flatten();
            if let Some(e) = elements.find(|e| e.key == b"storageVersion") {
                self.0 = String::from_utf8_lossy(e.value).into_owned();
            }
        }
    }
    // The pages were counted when the bucket was read: a walk of its own.
    let again = Walk::over(walk.snapshot, false);
    let mut found = String::new();
    again.fold(meta, || Version(String::new()), |v| found.push_str(&v.0));
    found
}

/// The figures of a part of a file.
struct Part<'w, 'a> {
    walk: &'w Walk<'a>,
    hasher: &'w RandomState,
    /// Whether this is of the bucket `key`.
    of_keys: bool,
    strict: bool,
    crc: u32,
    length: usize,
    entries: u64,
    revision: i64,
    /// The last word on each key, by its hash: whether it is there.
    keys: HashMap<u64, bool>,
}

impl<'w, 'a> Part<'w, 'a> {
    fn new(walk: &'w Walk<'a>, hasher: &'w RandomState, of_keys: bool, strict: bool) -> Self {
        let keys = HashMap::new();
        Self { walk, hasher, of_keys, strict, crc: 0, length: 0, entries: 0, revision: 0, keys }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.length += bytes.len();
    }

    /// Puts the next part behind this one.
    fn follow(&mut self, next: Self) {
        self.crc = crc32c::crc32c_combine(self.crc, next.crc, next.length);
        self.length += next.length;
        self.entries += next.entries;
        self.revision = self.revision.max(next.revision);
        self.keys.extend(next.keys);
    }

    fn change(&mut self, at: PageId, key: &[u8], value: &[u8]) {
        let Some(revision) = RevisionKey::read(key) else {
            self.walk.found(Damage::at(Check::Revision, at, "a key that is no revision"));
            return;
        };
        self.revision = revision.main;
        let Some(kv) = KeyValue::read(value) else {
            self.walk.found(Damage::at(
                Check::Value,
                at,
                format!("the value of revision {} is no key-value pair", revision.main),
            ));
            return;
        };
        if self.strict {
            // A tombstone holds its key alone.
            let told = u64::try_from(revision.main).unwrap_or_default();
            let right = if revision.tombstone { kv.mod_revision == 0 } else { kv.mod_revision == told };
            if kv.key.is_empty() || !right {
                self.walk.found(Damage::at(
                    Check::Value,
                    at,
                    format!("the value of revision {} is of another one, or of no key", revision.main),
                ));
            }
        }
        self.keys.insert(self.hasher.hash_one(kv.key), !revision.tombstone);
    }
}

impl Sink for Part<'_, '_> {
    fn leaf(&mut self, leaf: &Leaf<'_>) {
        // Elements lie one behind the other: they are hashed in one go.
        let mut run = 0..0;
        for e in leaf.elements().flatten() {
            let value = if e.is_bucket { &[][..] } else { e.value };
            let end = e.at + e.key.len() + value.len();
            if e.at == run.end {
                run.end = end;
            } else {
                self.take(&leaf.page[run]);
                run = e.at..end;
            }
            self.entries += 1;
            if self.of_keys {
                self.change(leaf.header.id, e.key, value);
            }
        }
        self.take(&leaf.page[run]);
    }
}

/// The SHA-256 of the file, if it matches its trailer.
fn trailer(walk: &Walk<'_>) -> Option<[u8; 32]> {
    let wanted = walk.snapshot.trailer()?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    if let Err(damage) = walk.snapshot.stream(|bytes| context.update(bytes)) {
        walk.found(damage);
        return None;
    }
    let sum = context.finish();
    if sum.as_ref() != wanted {
        walk.found(Damage::of(
            Check::Trailer,
            "the SHA-256 at the end is not that of the file: a byte is another",
        ));
        return None;
    }
    Some(*wanted)
}

/// The meta page that does not count is an older one, or the same.
pub(super) fn other_meta(walk: &Walk<'_>) {
    let meta = walk.snapshot.meta();
    let place = PageId(1 - meta.txid % 2);
    match walk.snapshot.other_meta() {
        Ok(other) if other.page_size == meta.page_size && other.txid.abs_diff(meta.txid) <= 1 => {}
        Ok(other) => {
            let what =
                format!("the other meta page is of transaction {}, this one of {}", other.txid, meta.txid);
            walk.found(Damage::at(Check::Meta, place, what));
        }
        Err(bad) => walk.found(Damage::at(Check::Meta, place, bad.to_string())),
    }
}

/// Every page is used or free, and not both.
fn freelist(walk: &Walk<'_>) {
    let snapshot = walk.snapshot;
    let Some(id) = snapshot.meta().freelist else { return };
    let mut reader = snapshot.reader();
    let (header, page) = match reader.page(id) {
        Ok(read) => read,
        Err(damage) => return walk.found(damage),
    };
    if header.kind() != Some(Kind::Freelist) {
        return walk.found(Damage::at(Check::Freelist, id, "not the free list that the meta page promises"));
    }
    for own in 0..=u64::from(header.overflow) {
        if !walk.reached.put(PageId(id.0 + own)) {
            walk.found(Damage::at(
                Check::Freelist,
                PageId(id.0 + own),
                "the free list lies over a page in use",
            ));
        }
    }
    let Some(free) = bolt::free_pages(page, header) else {
        return walk.found(Damage::at(Check::Freelist, id, "it is cut"));
    };
    for page in free {
        if page.0 < 2 || page.0 >= snapshot.pages() {
            walk.found(Damage::at(Check::Freelist, id, format!("{page} is said to be free, and is no page")));
        } else if !walk.reached.put(page) {
            walk.found(Damage::at(Check::Freelist, page, "free and in use, or free twice"));
        }
    }
    let lost = (2..snapshot.pages()).map(PageId).filter(|p| !walk.reached.has(*p));
    for page in lost.take(10) {
        walk.found(Damage::at(Check::Freelist, page, "neither in use nor free"));
    }
}
