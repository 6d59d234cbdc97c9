//! Walks the pages of a file: buckets, and each bucket's tree in the order of its keys, by several threads where it is worth
//! it. Whatever the bytes say, it ends: no page is entered twice.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::bolt::{self, ELEMENT, HEADER, Header, Kind, LeafElement, PageId};
use super::file::{Check, Damage, Snapshot};
use super::reader::Reader;

/// Groups of parts that a large tree is cut into, so that each thread has its share however uneven they are.
const PARTS: usize = 64;
/// Threads, at most: it is the disk that is read.
const THREADS: usize = 4;
/// Damages that are told: the first ones name the place.
const TOLD: usize = 100;

/// A set of pages.
#[derive(Debug)]
pub(super) struct Pages(Vec<AtomicU64>);

impl Pages {
    pub(super) fn of(count: u64) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn place(&self, id: PageId) -> Option<(&AtomicU64, u64)> {
        Some((self.0.get(usize::try_from(id.0 / 64).ok()?)?, 1 << (id.0 % 64)))
    }

    /// Puts a page in; whether it was not there before.
    pub(super) fn put(&self, id: PageId) -> bool {
        self.place(id).is_some_and(|(word, bit)| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }

    pub(super) fn has(&self, id: PageId) -> bool {
        self.place(id).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }
}

/// Takes what is found in a part of a tree.
pub(super) trait Sink: Send {
    /// A page of the tree; `used` bytes of it hold something.
    fn page(&mut self, _: &Header, _used: usize) {}
    /// A leaf, after [`Self::page`].
    fn leaf(&mut self, leaf: &Leaf<'_>);
}

/// A leaf.
#[derive(Clone, Copy)]
pub(super) struct Leaf<'a> {
    pub(super) page: &'a [u8],
    pub(super) header: Header,
}

impl<'a> Leaf<'a> {
    /// Its elements; where one points outside, none in its place.
    pub(super) fn elements(&self) -> impl Iterator<Item = Option<LeafElement<'a>>> + use<'a> {
        let page = self.page;
        (0..usize::from(self.header.count)).map(move |i| bolt::leaf_element(page, i))
    }
}

/// A bucket of the top.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) name: Vec<u8>,
    pub(super) place: Place,
}

/// Where the elements of a bucket are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In a tree.
    Tree(PageId),
    /// In this page, which lies in the value of the bucket's own element.
    Inline(Vec<u8>),
}

/// A tree below a page, with the bounds of its keys.
#[derive(Clone, Debug)]
struct Subtree {
    page: PageId,
    low: Vec<u8>,
    high: Option<Vec<u8>>,
}

/// A walk over a file.
pub(super) struct Walk<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// Whether keys are looked at for their order.
    strict: bool,
    pub(super) reached: Pages,
    damages: Mutex<Vec<Damage>>,
}

impl<'a> Walk<'a> {
    pub(super) fn over(snapshot: &'a Snapshot, strict: bool) -> Self {
        let reached = Pages::of(snapshot.pages());
        // The meta pages.
        reached.put(PageId(0));
        reached.put(PageId(1));
        Self { snapshot, strict, reached, damages: Mutex::default() }
    }

    pub(super) fn found(&self, damage: Damage) {
        let mut damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        if damages.len() < TOLD {
            damages.push(damage);
        }
    }

    /// What was found wrong, in the order of pages.
    pub(super) fn damages(self) -> Vec<Damage> {
        let mut damages = self.damages.into_inner().unwrap_or_else(PoisonError::into_inner);
        damages.sort_by(|a, b| (a.page, a).cmp(&(b.page, b)));
        damages.dedup();
        damages
    }

    /// The buckets, in the order of their names.
    pub(super) fn buckets(&self) -> Vec<Bucket> {
        struct Names<'w, 'a> {
            walk: &'w Walk<'a>,
            found: Vec<Bucket>,
        }
        impl Sink for Names<'_, '_> {
            fn leaf(&mut self, leaf: &Leaf<'_>) {
                for element in leaf.elements().flatten() {
                    let at = leaf.header.id;
                    let name = String::from_utf8_lossy(element.key).into_owned();
                    let place = match bolt::bucket_root(element.value) {
                        _ if !element.is_bucket => None,
                        Some(PageId(0)) => Some(Place::Inline(element.value[bolt::BUCKET..].to_vec())),
                        root => root.map(Place::Tree),
                    };
                    match place {
                        Some(place) => self.found.push(Bucket { name: element.key.to_vec(), place }),
                        None => {
                            self.walk.found(Damage::at(Check::Buckets, at, format!("{name:?} is no bucket")));
                        }
                    }
                }
            }
        }
        let mut names = Names { walk: self, found: Vec::new() };
        let root = Subtree { page: self.snapshot.meta().root, low: Vec::new(), high: None };
        self.in_order(&mut self.snapshot.reader(), root, &mut names);
        names.found
    }

    /// Gives the leaves of a bucket to sinks, each a part, and the sinks to `follow` in the order of keys.
    pub(super) fn fold<S: Sink>(
        &self,
        bucket: &Bucket,
        make: impl Fn() -> S + Sync,
        mut follow: impl FnMut(S) + Send,
    ) {
        let root = match &bucket.place {
            Place::Inline(page) => {
                let mut sink = make();
                self.inline(page, &bucket.name, &mut sink);
                return follow(sink);
            }
            Place::Tree(root) => *root,
        };
        let mut top = make();
        let parts = self.cut(Subtree { page: root, low: Vec::new(), high: None }, &mut top);
        // Neighbours lie together in the file: one thread reads them.
        let groups: Vec<_> = parts.chunks(parts.len().div_ceil(PARTS).max(1)).collect();
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
        follow(top);
        let next = AtomicUsize::new(0);
        // Groups that ended before one that comes before them.
        let waiting: Mutex<(usize, BTreeMap<usize, S>, _)> = Mutex::new((0, BTreeMap::new(), follow));
        let work = || {
            let mut reader = self.snapshot.reader();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(group) = groups.get(i) else { return };
                let mut sink = make();
                for part in *group {
                    self.in_order(&mut reader, part.clone(), &mut sink);
                }
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let (turn, ended, follow) = &mut *waiting;
                ended.insert(i, sink);
                while let Some(sink) = ended.remove(turn) {
                    follow(sink);
                    *turn += 1;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(groups.len()) {
                scope.spawn(work);
            }
            work();
        });
    }

    /// Reads the branches of a bucket and its last leaf, which is given to the sink. Of the other leaves nothing is looked
    /// at but that each lies in the file, and once.
    pub(super) fn skim(&self, bucket: &Bucket, sink: &mut impl Sink) {
        let root = match &bucket.place {
            Place::Inline(page) => return self.inline(page, &bucket.name, sink),
            Place::Tree(root) => *root,
        };
        let mut reader = self.snapshot.reader();
        let depth = depth(&mut reader, root);
        let mut last = Subtree { page: root, low: Vec::new(), high: None };
        let mut ahead = if depth == 0 { Vec::new() } else { vec![(depth, last.clone())] };
        let mut leaves = 0_u64;
        while let Some((above, part)) = ahead.pop() {
            if !self.enter(part.page) {
                continue;
            }
            let children = self.children(&mut reader, &part, sink);
            if above > 1 {
                ahead.extend(children.into_iter().rev().map(|c| (above - 1, c)));
                continue;
            }
            for leaf in children {
                let before = std::mem::replace(&mut last, leaf);
                // The last one is entered when it is read.
                if leaves > 0 {
                    self.inside(before.page);
                }
                leaves += 1;
            }
        }
        self.in_order(&mut reader, last, sink);
    }

    /// A page that is not read.
    fn inside(&self, id: PageId) {
        if id.0 >= self.snapshot.pages() {
            let pages = self.snapshot.pages();
            self.found(Damage::at(Check::Page, id, format!("outside of the file, which has {pages} pages")));
        }
        self.enter(id);
    }

    /// Cuts a tree into parts below its first levels. The branches above are given to `top`.
    fn cut(&self, root: Subtree, top: &mut impl Sink) -> Vec<Subtree> {
        let mut reader = self.snapshot.reader();
        let mut parts = vec![root];
        loop {
            let mut below = Vec::new();
            let mut grew = false;
            for part in parts {
                let is_branch = reader.page(part.page).is_ok_and(|(h, _)| h.kind() == Some(Kind::Branch));
                if is_branch && self.enter(part.page) {
                    grew = true;
                    below.extend(self.children(&mut reader, &part, top));
                } else {
                    below.push(part);
                }
            }
            parts = below;
            if !grew || parts.len() >= PARTS {
                return parts;
            }
        }
    }

    /// Whether a page may be entered: once.
    fn enter(&self, id: PageId) -> bool {
        let first = id.0 >= self.snapshot.pages() || self.reached.put(id);
        if !first {
            self.found(Damage::at(Check::Tree, id, "reached twice"));
        }
        first
    }

    /// Gives all leaves below a page to the sink.
    fn in_order(&self, reader: &mut Reader<'_>, root: Subtree, sink: &mut impl Sink) {
        let mut ahead = vec![root];
        while let Some(part) = ahead.pop() {
            if !self.enter(part.page) {
                continue;
            }
            let (header, page) = match reader.page(part.page) {
                Ok(read) => read,
                Err(damage) => {
                    self.found(damage);
                    continue;
                }
            };
            match header.kind() {
                Some(Kind::Leaf) => {
                    for more in 1..=u64::from(header.overflow) {
                        self.enter(PageId(part.page.0 + more));
                    }
                    self.leaf(Leaf { page, header }, &part, sink);
                }
                Some(Kind::Branch) => {
                    let mut children = self.children(reader, &part, sink);
                    children.reverse();
                    ahead.append(&mut children);
                }
                kind => {
                    let word = kind.map_or("unknown", Kind::word);
                    self.found(Damage::at(Check::Tree, part.page, format!("a {word} page in a tree")));
                }
            }
        }
    }

    fn leaf(&self, leaf: Leaf<'_>, part: &Subtree, sink: &mut impl Sink) {
        let id = leaf.header.id;
        let mut used = HEADER + usize::from(leaf.header.count) * ELEMENT;
        let table = used;
        let mut before: Option<&[u8]> = None;
        for element in leaf.elements() {
            let Some(e) = element else {
                self.found(Damage::at(Check::Page, id, "an element points outside of its page"));
                continue;
            };
            used += e.key.len() + e.value.len();
            if e.at < table && !(e.key.is_empty() && e.value.is_empty()) {
                self.found(Damage::at(Check::Page, id, "an element lies over the table of elements"));
            }
            if self.strict {
                let ascends = before.is_none_or(|b| b < e.key)
                    && part.low.as_slice() <= e.key
                    && part.high.as_ref().is_none_or(|high| e.key < high.as_slice());
                if !ascends {
                    self.found(Damage::at(Check::Order, id, "keys do not ascend"));
                }
                before = Some(e.key);
            }
        }
        // What overlaps would be read many times over.
        if used > leaf.page.len() {
            self.found(Damage::at(Check::Page, id, "its elements overlap"));
            return;
        }
        sink.page(&leaf.header, used);
        sink.leaf(&leaf);
    }

    /// The subtrees of a branch page that was entered.
    fn children(&self, reader: &mut Reader<'_>, part: &Subtree, sink: &mut impl Sink) -> Vec<Subtree> {
        let (header, page) = match reader.page(part.page) {
            Ok(read) => read,
            Err(damage) => {
                self.found(damage);
                return Vec::new();
            }
        };
        if header.kind() != Some(Kind::Branch) {
            let word = header.kind().map_or("unknown", Kind::word);
            self.found(Damage::at(Check::Tree, part.page, format!("a {word} page among branches")));
            return Vec::new();
        }
        for more in 1..=u64::from(header.overflow) {
            self.enter(PageId(part.page.0 + more));
        }
        // Keys that overlap would be copied many times over.
        let keys = (0..usize::from(header.count)).filter_map(|i| bolt::branch_element(page, i));
        let used = keys.map(|e| ELEMENT + e.key.len()).sum::<usize>() + HEADER;
        if used > page.len() {
            self.found(Damage::at(Check::Page, part.page, "its elements overlap"));
            return Vec::new();
        }
        let mut children: Vec<Subtree> = Vec::with_capacity(header.count.into());
        for i in 0..usize::from(header.count) {
            let Some(element) = bolt::branch_element(page, i) else {
                self.found(Damage::at(Check::Page, part.page, "an element points outside of its page"));
                continue;
            };
            if let Some(last) = children.last_mut() {
                if self.strict && last.low.as_slice() >= element.key {
                    self.found(Damage::at(Check::Order, part.page, "keys do not ascend"));
                }
                last.high = Some(element.key.to_vec());
            }
            let high = part.high.clone();
            children.push(Subtree { page: element.child, low: element.key.to_vec(), high });
        }
        if children.is_empty() {
            self.found(Damage::at(Check::Page, part.page, "a branch without branches"));
        }
        sink.page(&header, used);
        children
    }

    /// A bucket that lies in the element of its name.
    fn inline(&self, page: &[u8], name: &[u8], sink: &mut impl Sink) {
        let name = String::from_utf8_lossy(name).into_owned();
        let header = Header::read(page).filter(|h| h.kind() == Some(Kind::Leaf));
        let Some(header) = header else {
            self.found(Damage::of(Check::Page, format!("the inline bucket {name:?} is no leaf")));
            return;
        };
        let leaf = Leaf { page, header };
        if leaf.elements().any(|e| e.is_none()) {
            let what = format!("an element of the inline bucket {name:?} points outside of it");
            self.found(Damage::of(Check::Page, what));
        }
        sink.leaf(&leaf);
    }
}

/// Branches above the leaves of a tree: as many above each.
fn depth(reader: &mut Reader<'_>, root: PageId) -> usize {
    let (mut depth, mut id) = (0, root);
    // Two children in each branch: no tree that fits in a file is deeper.
    while depth < 64 {
        let Ok((header, page)) = reader.page(id) else { break };
        if header.kind() != Some(Kind::Branch) {
            break;
        }
        depth += 1;
        let Some(first) = bolt::branch_element(page, 0) else { break };
        id = first.child;
    }
    depth
}
