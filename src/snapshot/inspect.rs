//! What a snapshot holds: keys, revisions, who fills it, how full its pages are, and what a compaction and a
//! defragmentation would give back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use serde::Serialize;

use super::bolt::{Header, Kind, PageId};
use super::file::{Damage, Snapshot};
use super::map::PageMap;
use super::mvcc::{KeyValue, RevisionKey};
use super::packed::Packed;
use super::tree::{Leaf, Pages, Sink, Walk};
use crate::model::{Bytes, Revision};

/// Prefixes that are told apart; the rest is one: a database may have a million of them.
const PREFIXES: usize = 10_000;
/// Largest keys and most revised keys that are told.
const TOP: usize = 10;

/// What a file holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inspected {
    /// The newest revision.
    pub revision: Revision,
    /// Keys that are there at that revision.
    pub live_keys: u64,
    /// Entries of the bucket `key`: changes that were not compacted.
    pub changes: u64,
    /// Of those: deletes.
    pub tombstones: u64,
    /// Leases.
    pub leases: u64,
    /// Buckets, by name: entries and their bytes.
    pub buckets: Vec<BucketFigures>,
    /// Bytes of a page.
    pub page_size: u64,
    /// Pages in use, by kind.
    pub pages: Vec<PageFigures>,
    /// Pages that are free.
    pub free_pages: u64,
    /// The file, as far as it was ever used.
    pub size: Bytes,
    /// Of that, pages in use.
    pub in_use: Bytes,
    /// About what a defragmentation leaves.
    pub after_defragmentation: Bytes,
    /// About what a compaction at the newest revision and a defragmentation leave.
    pub after_compaction: Bytes,
    /// Who fills it, the largest first: a Kubernetes resource where the keys are `/registry/...`.
    pub prefixes: Vec<PrefixFigures>,
    /// The largest keys that are there.
    pub largest: Vec<KeyFigures>,
    /// The keys with most changes.
    pub most_revised: Vec<KeyFigures>,
    /// Where in the file its pages are in use.
    #[serde(skip)]
    pub map: PageMap,
}

/// A bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BucketFigures {
    /// Its name.
    pub name: String,
    /// Entries.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: Bytes,
}

/// Pages of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageFigures {
    /// `leaf`, `branch`.
    pub kind: &'static str,
    /// How many, those that belong to a larger one counted.
    pub pages: u64,
    /// Bytes of them that hold something.
    pub used: Bytes,
}

/// Keys with a beginning in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PrefixFigures {
    /// The beginning, or the Kubernetes resource.
    pub prefix: String,
    /// Keys that are there.
    pub live_keys: u64,
    /// Their bytes.
    pub live_bytes: Bytes,
    /// Changes, compacted ones not counted.
    pub changes: u64,
    /// Their bytes.
    pub bytes: Bytes,
}

/// A key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyFigures {
    /// The key; what is no text is escaped.
    pub key: String,
    /// Changes of it.
    pub changes: u64,
    /// Bytes of its newest value.
    pub bytes: Bytes,
}

/// What is known of a key from the first pass.
#[derive(Clone, Copy, Default)]
pub(super) struct Newest {
    main: i64,
    sub: i64,
    changes: u32,
    tombstone: bool,
}

/// The newest change of each key, by the key's hash.
pub(super) type Keys = HashMap<u64, Newest>;

impl Newest {
    /// Whether it is this one.
    pub(super) fn is(&self, revision: RevisionKey) -> bool {
        (self.main, self.sub) == (revision.main, revision.sub)
    }
}

/// Reads the bucket `key` once.
pub(super) fn newest_changes(snapshot: &Snapshot, hasher: &RandomState) -> Keys {
    let mut keys = Keys::new();
    let walk = Walk::over(snapshot, false);
    for bucket in walk.buckets().iter().filter(|b| b.name == b"key") {
        walk.fold(bucket, || Changes { hasher, keys: Keys::new() }, |part| part.join(&mut keys));
    }
    keys
}

/// Reads a file twice: which change of each key is the newest is known only at the end.
///
/// # Errors
/// The first damage: figures of a file that cannot be read whole are figures of another file.
pub fn inspect(snapshot: &Snapshot) -> Result<Inspected, Damage> {
    let hasher = RandomState::new();
    let keys = newest_changes(snapshot, &hasher);
    let walk = Walk::over(snapshot, false);
    let branches = Pages::of(snapshot.pages());
    let mut found = Inspected {
        size: snapshot.used_size(),
        page_size: snapshot.meta().page_size.into(),
        ..Inspected::default()
    };
    let page_size = usize::try_from(snapshot.meta().page_size).unwrap_or(usize::MAX);
    // The two meta pages and the root.
    let (mut defragmented, mut compacted) = (3, 3);
    let mut prefixes: HashMap<String, PrefixFigures> = HashMap::new();
    let mut pages: HashMap<&'static str, (u64, u64)> = HashMap::new();
    for bucket in walk.buckets() {
        let of_keys = bucket.name == b"key";
        let mut figures = BucketFigures {
            name: String::from_utf8_lossy(&bucket.name).into_owned(),
            ..BucketFigures::default()
        };
        let make = || Contents {
            hasher: &hasher,
            branches: &branches,
            keys: of_keys.then_some(&keys),
            found: Inspected::default(),
            bytes: 0,
            entries: 0,
            pages: HashMap::new(),
            prefixes: HashMap::new(),
            defragmented: Packed::new(page_size),
            compacted: Packed::new(page_size),
        };
        let (mut as_it_is, mut newest) = (Packed::new(page_size), Packed::new(page_size));
        walk.fold(&bucket, make, |part| {
            figures.entries += part.entries;
            figures.bytes.0 += part.bytes;
            found.take(&part.found);
            for (kind, (count, used)) in part.pages {
                let sum = pages.entry(kind).or_default();
                *sum = (sum.0 + count, sum.1 + used);
            }
            for (name, p) in part.prefixes {
                add(&mut prefixes, name, &p);
            }
            as_it_is.join(&part.defragmented);
            newest.join(&part.compacted);
        });
        defragmented += as_it_is.whole();
        compacted += newest.whole();
        if bucket.name == b"lease" {
            found.leases = figures.entries;
        }
        found.buckets.push(figures);
    }
    let used = (0..snapshot.pages()).filter(|p| walk.reached.has(PageId(*p))).count() as u64;
    found.map = PageMap::of(snapshot.pages(), |p| match (walk.reached.has(p), branches.has(p)) {
        (false, _) => None,
        (true, true) => Some(Kind::Branch),
        (true, false) => Some(if p.0 < 2 { Kind::Meta } else { Kind::Leaf }),
    });
    found.free_pages = snapshot.pages() - used;
    let bytes_of = |pages: u64| Bytes(pages.saturating_mul(page_size as u64));
    found.in_use = bytes_of(used);
    found.after_defragmentation = bytes_of(defragmented);
    found.after_compaction = bytes_of(compacted);
    found.pages = pages
        .into_iter()
        .map(|(kind, (pages, used))| PageFigures { kind, pages, used: Bytes(used) })
        .collect();
    found.pages.sort_by_key(|p| std::cmp::Reverse(p.pages));
    found.prefixes = prefixes.into_values().collect();
    found.prefixes.sort_by(|a, b| (b.bytes, &a.prefix).cmp(&(a.bytes, &b.prefix)));
    match walk.damages().into_iter().next() {
        Some(damage) => Err(damage),
        None => Ok(found),
    }
}

/// The Kubernetes resource of a key (`pods`, `leases.coordination.k8s.io`), or the first part of its path.
fn prefix_of(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let mut parts = text.split('/').filter(|p| !p.is_empty());
    let first = parts.next().unwrap_or_default();
    if first == "registry" && text.starts_with('/') {
        return match (parts.next(), parts.next()) {
            // A group has a dot in its name, a resource has none.
            (Some(group), Some(resource)) if group.contains('.') => format!("{resource}.{group}"),
            (Some(resource), _) => resource.to_owned(),
            (None, _) => "/registry".to_owned(),
        };
    }
    let slash = if text.starts_with('/') { "/" } else { "" };
    let more = if parts.next().is_some() { "/" } else { "" };
    format!("{slash}{first}{more}")
}

fn shown(key: &[u8]) -> String {
    crate::model::text::printable(&String::from_utf8_lossy(key)).into_owned()
}

fn add(into: &mut HashMap<String, PrefixFigures>, name: String, more: &PrefixFigures) {
    let name = if into.len() >= PREFIXES && !into.contains_key(&name) { "(other)".to_owned() } else { name };
    let sum = match into.entry(name) {
        Entry::Occupied(there) => there.into_mut(),
        Entry::Vacant(free) => {
            let prefix = free.key().clone();
            free.insert(PrefixFigures { prefix, ..PrefixFigures::default() })
        }
    };
    sum.live_keys += more.live_keys;
    sum.live_bytes.0 += more.live_bytes.0;
    sum.changes += more.changes;
    sum.bytes.0 += more.bytes.0;
}

/// Keeps the first of a list in order.
fn keep_top(top: &mut Vec<KeyFigures>, new: KeyFigures, by: fn(&KeyFigures) -> u64) {
    let at = top.partition_point(|k| by(k) >= by(&new));
    if at < TOP {
        top.insert(at, new);
        top.truncate(TOP);
    }
}

impl Inspected {
    fn take(&mut self, part: &Self) {
        self.revision = self.revision.max(part.revision);
        self.live_keys += part.live_keys;
        self.changes += part.changes;
        self.tombstones += part.tombstones;
        for key in &part.largest {
            keep_top(&mut self.largest, key.clone(), |k| k.bytes.0);
        }
        for key in &part.most_revised {
            keep_top(&mut self.most_revised, key.clone(), |k| k.changes);
        }
    }
}

/// First pass: the newest change of each key.
struct Changes<'a> {
    hasher: &'a RandomState,
    keys: Keys,
}

impl Changes<'_> {
    fn join(self, all: &mut Keys) {
        for (key, newest) in self.keys {
            let known = all.entry(key).or_default();
            let changes = known.changes.saturating_add(newest.changes);
            *known = Newest { changes, ..newest };
        }
    }
}

impl Sink for Changes<'_> {
    fn leaf(&mut self, leaf: &Leaf<'_>) {
        for e in leaf.elements().flatten() {
            let Some((revision, kv)) = RevisionKey::read(e.key).zip(KeyValue::read(e.value)) else {
                continue;
            };
            let known = self.keys.entry(self.hasher.hash_one(kv.key)).or_default();
            let changes = known.changes.saturating_add(1);
            *known =
                Newest { main: revision.main, sub: revision.sub, changes, tombstone: revision.tombstone };
        }
    }
}

/// Second pass: a part of a bucket.
struct Contents<'a> {
    hasher: &'a RandomState,
    /// Takes the branches that are met.
    branches: &'a Pages,
    /// The newest changes, in the bucket `key`.
    keys: Option<&'a Keys>,
    found: Inspected,
    bytes: u64,
    entries: u64,
    pages: HashMap<&'static str, (u64, u64)>,
    prefixes: HashMap<String, PrefixFigures>,
    defragmented: Packed,
    compacted: Packed,
}

impl Sink for Contents<'_> {
    fn page(&mut self, header: &Header, used: usize) {
        let sum = self.pages.entry(header.kind().map_or("unknown", Kind::word)).or_default();
        *sum = (sum.0 + 1 + u64::from(header.overflow), sum.1 + used as u64);
        if header.kind() == Some(Kind::Branch) {
            for page in header.id.0..=header.id.0 + u64::from(header.overflow) {
                self.branches.put(PageId(page));
            }
        }
    }

    fn leaf(&mut self, leaf: &Leaf<'_>) {
        for e in leaf.elements().flatten() {
            let size = e.key.len() + e.value.len();
            self.entries += 1;
            self.bytes += size as u64;
            self.defragmented.put(e.key.len(), e.value.len());
            let stays = match self.keys {
                Some(keys) => self.change(keys, e.key, e.value),
                None => true,
            };
            if stays {
                self.compacted.put(e.key.len(), e.value.len());
            }
        }
    }
}

impl Contents<'_> {
    /// Takes a change; whether a compaction at the newest revision leaves it.
    fn change(&mut self, keys: &Keys, key: &[u8], value: &[u8]) -> bool {
        let Some((revision, kv)) = RevisionKey::read(key).zip(KeyValue::read(value)) else { return true };
        let size = (key.len() + value.len()) as u64;
        let known = keys.get(&self.hasher.hash_one(kv.key)).copied().unwrap_or_default();
        let newest = known.is(revision);
        let live = newest && !known.tombstone;
        self.found.revision = self.found.revision.max(Revision(revision.main));
        self.found.changes += 1;
        self.found.tombstones += u64::from(revision.tombstone);
        self.found.live_keys += u64::from(live);
        let figures = PrefixFigures {
            prefix: String::new(),
            live_keys: u64::from(live),
            live_bytes: Bytes(if live { size } else { 0 }),
            changes: 1,
            bytes: Bytes(size),
        };
        add(&mut self.prefixes, prefix_of(kv.key), &figures);
        if newest {
            let key = || KeyFigures {
                key: shown(kv.key),
                changes: known.changes.into(),
                bytes: Bytes(kv.value_len as u64),
            };
            let worth = |top: &[KeyFigures], by: fn(&KeyFigures) -> u64, n: u64| {
                top.len() < TOP || top.last().is_some_and(|k| by(k) < n)
            };
            if live && worth(&self.found.largest, |k| k.bytes.0, kv.value_len as u64) {
                keep_top(&mut self.found.largest, key(), |k| k.bytes.0);
            }
            if known.changes > 1 && worth(&self.found.most_revised, |k| k.changes, known.changes.into()) {
                keep_top(&mut self.found.most_revised, key(), |k| k.changes);
            }
        }
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_put_under_their_resource() {
        for (key, prefix) in [
            ("/registry/pods/default/web-1", "pods"),
            ("/registry/leases/kube-node-lease/n1", "leases"),
            ("/registry/apiregistration.k8s.io/apiservices/v1.", "apiservices.apiregistration.k8s.io"),
            ("/registry/health", "health"),
            ("/app/config/a", "/app/"),
            ("config/a", "config/"),
            ("lonely", "lonely"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(prefix_of(key.as_bytes()), prefix, "{key}");
        }
    }
}
