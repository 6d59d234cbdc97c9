//! A real snapshot of etcd 3.6 (`tests/data`: 300 puts in three revisions, three deletes, a large value, compacted at 3), as
//! it is and damaged in every way.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::bolt::{self, ELEMENT, HEADER, Header, Kind, Meta, PageId};
use super::*;

const FILE: &[u8] = include_bytes!("../../tests/data/snapshot-3.6.db");
const PAGE: usize = 4096;

/// Writes bytes to a file that lives as long as the folder.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot.db");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Everything that is wrong with these bytes, in words.
fn wrong(bytes: &[u8]) -> Vec<String> {
    let (_folder, path) = file(bytes);
    match Snapshot::open(&path).and_then(|s| examine(&s, Depth::Verify)) {
        Ok(found) => found.damages.iter().map(ToString::to_string).collect(),
        Err(SnapshotError::Damaged { damage, .. }) => vec![damage.to_string()],
        Err(other) => panic!("{other}"),
    }
}

/// Without its checksum: only what the pages themselves give away is caught.
fn raw() -> Vec<u8> {
    FILE[..FILE.len() - TRAILER].to_vec()
}

fn pages() -> impl Iterator<Item = (usize, Header)> {
    (0..FILE.len() / PAGE).filter_map(|i| Some((i * PAGE, Header::read(&FILE[i * PAGE..])?)))
}

/// The meta page that counts, and where it lies.
fn meta() -> (usize, Meta) {
    let both = [0, PAGE].map(|at| (at, Meta::read(&FILE[at..]).unwrap()));
    both.into_iter().max_by_key(|(_, m)| m.txid).unwrap()
}

struct Nothing;

impl tree::Sink for Nothing {
    fn leaf(&mut self, _: &tree::Leaf<'_>) {}
}

/// Pages that are in use.
fn used() -> Vec<u64> {
    let (_folder, path) = file(FILE);
    let snapshot = Snapshot::open(&path).unwrap();
    let walk = tree::Walk::over(&snapshot, false);
    for bucket in walk.buckets() {
        walk.fold(&bucket, || Nothing, drop);
    }
    (0..snapshot.pages()).filter(|p| walk.reached.has(PageId(*p))).collect()
}

/// The first page of a kind that is in use.
fn page_of(kind: Kind) -> usize {
    let used = used();
    pages().find(|(_, h)| h.kind() == Some(kind) && used.contains(&h.id.0) && h.count > 2).unwrap().0
}

/// The same file with a free list, as others than etcd write it: on a page that is free, with the others that are; and
/// where that lies.
fn with_free_list() -> (Vec<u8>, usize) {
    let used = used();
    let mut free = (2..(FILE.len() / PAGE) as u64).filter(|p| !used.contains(p));
    let own = free.next().unwrap();
    let rest: Vec<_> = free.collect();
    let mut bytes = raw();
    let at = usize::try_from(own).unwrap() * PAGE;
    let mut page = own.to_le_bytes().to_vec();
    page.extend(0x10_u16.to_le_bytes());
    page.extend(u16::try_from(rest.len()).unwrap().to_le_bytes());
    page.extend(0_u32.to_le_bytes());
    page.extend(rest.iter().flat_map(|id| id.to_le_bytes()));
    bytes[at..at + page.len()].copy_from_slice(&page);
    let m = meta().0 + HEADER;
    bytes[m + 32..m + 40].copy_from_slice(&own.to_le_bytes());
    let sum = bolt::fnv_64a(&bytes[m..m + 56]);
    bytes[m + 56..m + 64].copy_from_slice(&sum.to_le_bytes());
    (bytes, at)
}

#[test]
fn a_whole_snapshot_is_what_etcdutl_says() {
    let (_folder, path) = file(FILE);
    let snapshot = Snapshot::open(&path).unwrap();
    for depth in [Depth::Status, Depth::Verify] {
        let found = examine(&snapshot, depth).unwrap();
        assert_eq!(found.damages, []);
        assert_eq!(
            serde_json::to_string(&found.status).unwrap(),
            r#"{"hash":4023032377,"revision":8,"totalKey":98,"totalEntries":213,"totalSize":81920,"version":"3.6.0"}"#
        );
        assert_eq!(found.sha256.is_some(), depth == Depth::Verify);
    }
    assert_eq!(wrong(&raw()), [] as [String; 0], "a raw db file is accepted");
}

#[test]
fn any_flipped_bit_is_caught_by_the_checksum() {
    for at in (0..FILE.len()).step_by(97) {
        let mut bytes = FILE.to_vec();
        bytes[at] ^= 1 << (at % 8);
        assert!(!wrong(&bytes).is_empty(), "byte {at}");
    }
}

#[test]
fn every_place_to_cut_it_is_caught() {
    for page in 0..=FILE.len() / PAGE {
        for off in [0, 1, 31, 32, 33, 511, 512, 544] {
            for length in [page * PAGE + off, (page * PAGE).saturating_sub(off)] {
                let whole = [FILE.len(), FILE.len() - TRAILER];
                if length < FILE.len() && !whole.contains(&length) {
                    assert!(!wrong(&FILE[..length]).is_empty(), "cut at {length}");
                }
            }
        }
    }
    assert_eq!(wrong(b""), ["size: the file is empty"]);
    assert_eq!(wrong(&[0; 8192]), ["meta: not a bbolt file: neither an etcd snapshot nor a member/snap/db"]);
}

/// One damage each to the structure of a file without a checksum, and the words that name it.
#[test]
fn damage_to_pages_is_named_without_a_checksum_too() {
    let (leaf, branch) = (page_of(Kind::Leaf), page_of(Kind::Branch));
    let (listed, list) = with_free_list();
    assert_eq!(wrong(&listed), [] as [String; 0]);
    let page = |at: usize| format!("page {}: ", at / PAGE);
    let mut cases: Vec<(&str, Vec<u8>, String)> = Vec::new();
    let mut case = |what: &'static str, named: String, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = raw();
        change(&mut bytes);
        cases.push((what, bytes, named));
    };
    case("a page's own number", format!("{}says of itself to be", page(leaf)), &|b| b[leaf] ^= 1);
    case("a page's kind", format!("{}of no kind", page(leaf)), &|b| b[leaf + 8] = 0x40);
    case("a leaf that says it is free", format!("{}a freelist page in a tree", page(leaf)), &|b| {
        b[leaf + 8] = 0x10;
    });
    case("more elements than there are", page(leaf), &|b| b[leaf + 11] = 0xff);
    case("a page without end", "goes on for".into(), &|b| b[leaf + 15] = 0x7f);
    case("an element outside", format!("{}an element points outside", page(leaf)), &|b| {
        b[leaf + HEADER + 7] = 0x7f;
    });
    case("a key too long", page(leaf), &|b| b[leaf + HEADER + 10] = 1);
    case("a value cut", "value: ".into(), &|b| b[leaf + HEADER + 12] -= 3);
    case("a branch to nowhere", "outside of the file".into(), &|b| b[branch + HEADER + 13] = 1);
    case("two branches to one page", "reached twice".into(), &|b| {
        let first = b[branch + HEADER + 8..branch + HEADER + 16].to_vec();
        b[branch + HEADER + ELEMENT + 8..branch + HEADER + ELEMENT + 16].copy_from_slice(&first);
    });
    case("swapped pages", "says of itself to be".into(), &|b| {
        let (one, other) = (leaf, page_of(Kind::Branch));
        let kept = b[one..one + PAGE].to_vec();
        b.copy_within(other..other + PAGE, one);
        b[other..other + PAGE].copy_from_slice(&kept);
    });
    case("keys out of order", "order: ".into(), &|b| {
        // The data of two keys of one length, swapped.
        let key = |b: &[u8], i| {
            let e = bolt::leaf_element(&b[leaf..leaf + PAGE], i).unwrap();
            (leaf + e.at, e.key.len())
        };
        let ((a, n), (c, _)) = (key(b, 0), key(b, 1));
        let kept = b[a..a + n].to_vec();
        b.copy_within(c..c + n, a);
        b[c..c + n].copy_from_slice(&kept);
    });
    case("a meta page", "meta: page ".into(), &|b| b[HEADER + 20] ^= 4);
    case("both meta pages", "meta page 0: its checksum does not match; meta page 1".into(), &|b| {
        b[HEADER + 20] ^= 4;
        b[PAGE + HEADER + 20] ^= 4;
    });
    let mut with_list = |what: &'static str, named: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = listed.clone();
        change(&mut bytes);
        cases.push((what, bytes, named.to_owned()));
    };
    with_list("a free page that is used", "free and in use", &|b| {
        b[list + HEADER..list + HEADER + 8].copy_from_slice(&((leaf / PAGE) as u64).to_le_bytes());
    });
    with_list("a page that nobody has", "neither in use nor free", &|b| b[list + 10] -= 1);
    with_list("a free page that is none", "is no page", &|b| b[list + HEADER + 6] = 1);
    with_list("a free list without end", "it is cut", &|b| b[list + 11] = 0x40);
    with_list("a free list that is a leaf", "not the free list", &|b| b[list + 8] = 2);
    for (what, bytes, named) in cases {
        let found = wrong(&bytes);
        assert!(found.iter().any(|line| line.contains(&named)), "{what}: {named:?} is not in {found:#?}");
    }
}

#[test]
fn no_file_is_waited_for_or_taken_for_another() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Snapshot::open(folder.path()), Err(SnapshotError::NotAFile { .. })));
    assert!(matches!(Snapshot::open(&folder.path().join("none")), Err(SnapshotError::Io { .. })));
}

#[test]
fn pages_are_read_in_any_order() {
    let (_folder, path) = file(FILE);
    let snapshot = Snapshot::open(&path).unwrap();
    let mut reader = snapshot.reader();
    let ids: Vec<_> = pages().map(|(_, h)| h.id).filter(|id| id.0 > 1).collect();
    let mut read = 0;
    for id in ids.iter().chain(ids.iter().rev()).chain([&PageId(7), &PageId(2)]) {
        if let Ok((header, page)) = reader.page(*id) {
            let at = usize::try_from(id.0).unwrap() * PAGE;
            assert_eq!((header.id, page), (*id, &FILE[at..at + page.len()]));
            read += 1;
        }
    }
    // Two pages are the rest of a larger one, and no page by themselves.
    assert_eq!(read, 2 * 16 + 2);
    assert!(reader.page(PageId(20)).is_err() && reader.page(PageId(u64::MAX)).is_err());
}

/// Elements that share their bytes would be copied and hashed once for each of them: 65,535 times three megabytes.
#[test]
fn elements_that_overlap_are_not_read() {
    for (kind, length_at) in [(Kind::Branch, 4), (Kind::Leaf, 8)] {
        let (page, mut bytes) = (page_of(kind), raw());
        let header = Header::read(&bytes[page..]).unwrap();
        let (count, size) = (usize::from(header.count), (header.overflow as usize + 1) * PAGE);
        for i in 0..count {
            let element = page + HEADER + i * ELEMENT;
            // All of them lie where the last one's table ends, and are as long as the page allows.
            let at = u32::try_from((count - i) * ELEMENT).unwrap();
            let long = u32::try_from(size - HEADER - count * ELEMENT).unwrap();
            let pos = if kind == Kind::Branch { 0 } else { 4 };
            bytes[element + pos..][..4].copy_from_slice(&at.to_le_bytes());
            bytes[element + length_at..][..4].copy_from_slice(&long.to_le_bytes());
            if kind == Kind::Leaf {
                bytes[element + 12..][..4].fill(0);
            }
        }
        let named = wrong(&bytes);
        let words = format!("page: page {}: its elements overlap", page / PAGE);
        assert!(named.contains(&words), "{kind:?}: {named:?}");
    }
}

/// The same data, written by bbolt with the pages of other machines.
#[test]
fn pages_of_any_size_are_read() {
    let (_folder, path) = file(FILE);
    let usual = examine(&Snapshot::open(&path).unwrap(), Depth::Status).unwrap().status;
    for (bytes, page_size) in [
        (include_bytes!("../../tests/data/pages-1k.db").as_slice(), 1 << 10),
        (include_bytes!("../../tests/data/pages-64k.db").as_slice(), 1 << 16),
    ] {
        assert_eq!(wrong(bytes), Vec::<String>::new());
        let (_folder, path) = file(bytes);
        for snapshot in
            [Snapshot::open(&path).unwrap(), Snapshot::open_past_cache(&path, Arc::default()).unwrap()]
        {
            assert_eq!(snapshot.meta().page_size, page_size);
            let status = examine(&snapshot, Depth::Status).unwrap().status;
            assert_eq!(Status { total_size: usual.total_size, ..status }, usual);
            assert_eq!((skim(&snapshot).revision, skim(&snapshot).damages), (usual.revision, Vec::new()));
            assert_eq!(inspect(&snapshot).unwrap().live_keys, usual.total_key);
        }
        // Without the first meta page the other one is found, wherever pages of this size put it.
        let mut half = bytes.to_vec();
        half[HEADER..HEADER + Meta::SIZE].fill(0);
        let named = wrong(&half);
        assert!(named.len() == 1 && named[0].starts_with("meta: page 0"), "{named:?}");
        // Cut between any two pages.
        let size = usize::try_from(page_size).unwrap();
        for pages in 0..bytes.len() / size {
            assert!(!wrong(&bytes[..pages * size]).is_empty(), "{pages} pages of {page_size}");
        }
    }
}

#[test]
fn past_the_cache_it_is_the_same_file() {
    let (_folder, path) = file(FILE);
    let status = |s: &Snapshot| examine(s, Depth::Verify).unwrap();
    let (through, past) =
        (Snapshot::open(&path).unwrap(), Snapshot::open_past_cache(&path, Arc::default()).unwrap());
    let (through, past) = (status(&through), status(&past));
    assert_eq!((through.status, through.sha256), (past.status, past.sha256));
    assert!(past.damages.is_empty(), "{:?}", past.damages);
}

/// What a skim says of these bytes.
fn skimmed(bytes: &[u8]) -> Vec<String> {
    let (_folder, path) = file(bytes);
    let seen = skim(&Snapshot::open(&path).unwrap());
    seen.damages.iter().map(ToString::to_string).collect()
}

#[test]
fn a_skim_sees_the_branches_and_the_newest_revision() {
    let (_folder, path) = file(FILE);
    let snapshot = Snapshot::open(&path).unwrap();
    let (seen, whole) = (skim(&snapshot), examine(&snapshot, Depth::Status).unwrap().status);
    assert_eq!((seen.revision, seen.version, seen.damages), (whole.revision, whole.version, Vec::new()));
    // A branch that leads out of the file, and one that leads to the same leaf twice.
    let branch = page_of(Kind::Branch);
    let first = bolt::branch_element(&FILE[branch..branch + PAGE], 0).unwrap().child.0;
    for child in [1 << 40, first] {
        let mut bytes = raw();
        // The second element's child: behind its position and its key's length.
        bytes[branch + HEADER + ELEMENT + 8..][..8].copy_from_slice(&child.to_le_bytes());
        let named = skimmed(&bytes);
        assert!(!named.is_empty(), "child {child}");
    }
    // What lies in a leaf that is not the last is none of its business, but full's.
    let mut bytes = raw();
    let element = usize::try_from(first).unwrap() * PAGE + HEADER;
    bytes[element + 4..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(!wrong(&bytes).is_empty());
    assert!(skimmed(&bytes).is_empty(), "{:?}", skimmed(&bytes));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Any bytes anywhere: it ends, and says something or nothing, but does not panic.
    #[test]
    fn no_damage_panics_or_goes_on_for_ever(
        changes in prop::collection::vec((0..FILE.len(), any::<u8>()), 1..12),
        cut in prop_oneof![Just(FILE.len()), Just(FILE.len() - TRAILER), 0..FILE.len()],
    ) {
        let mut bytes = FILE.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut);
        let _ = wrong(&bytes);
    }

    /// The same where it hurts: headers, element tables and meta pages, with numbers that are large.
    #[test]
    fn no_hostile_number_panics(
        changes in prop::collection::vec((0..FILE.len() / PAGE, 0..64_usize, prop_oneof![Just(0xff_u8), Just(0x7f), Just(0), any::<u8>()]), 1..24),
    ) {
        let mut bytes = raw();
        for (page, at, byte) in changes {
            bytes[page * PAGE + at] = byte;
        }
        // So that it is read at all.
        bytes[..2 * PAGE].copy_from_slice(&FILE[..2 * PAGE]);
        let _ = wrong(&bytes);
        let _ = skimmed(&bytes);
    }
}
