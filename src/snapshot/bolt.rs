//! bbolt's file format, read from bytes that may be anything: <https://github.com/etcd-io/bbolt>, `internal/common`.
//!
//! A file is pages of one size, that of its writer's machine. Pages 0 and 1 are meta pages; the one with a right checksum
//! and the higher transaction id counts. Every other page is a branch, a leaf or the free list, and may go on in the pages
//! behind it (`overflow`). All numbers are in the writer's byte order, which is little-endian on everything etcd supports.

use std::fmt;

/// The number of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {}", self.0)
    }
}

/// `id u64, flags u16, count u16, overflow u32`.
pub const HEADER: usize = 16;
/// A branch element: `pos u32, ksize u32, pgid u64`; a leaf element: `flags u32, pos u32, ksize u32, vsize u32`.
pub const ELEMENT: usize = 16;
/// The header of a bucket in a leaf: `root u64, sequence u64`; an inline bucket's page follows it.
pub const BUCKET: usize = 16;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// No free list in the file: its writer finds out what is free when it opens it (`NoFreelistSync`, which etcd sets: seen in
/// the files of 3.4 to 3.7).
const NO_FREELIST: u64 = u64::MAX;
/// A leaf element that is a bucket.
pub const BUCKET_FLAG: u32 = 1;

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Keys and the pages below them.
    Branch,
    /// Keys and values.
    Leaf,
    /// The root of everything, twice.
    Meta,
    /// Pages that are free.
    Freelist,
}

impl Kind {
    const fn of(flags: u16) -> Option<Self> {
        match flags {
            0x01 => Some(Self::Branch),
            0x02 => Some(Self::Leaf),
            0x04 => Some(Self::Meta),
            0x10 => Some(Self::Freelist),
            _ => None,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Leaf => "leaf",
            Self::Meta => "meta",
            Self::Freelist => "freelist",
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// The beginning of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number that it has of itself.
    pub id: PageId,
    /// Its flags as they are.
    pub flags: u16,
    /// Elements in it.
    pub count: u16,
    /// Pages behind it that belong to it.
    pub overflow: u32,
}

impl Header {
    /// Reads the first 16 bytes of a page.
    #[must_use]
    pub fn read(page: &[u8]) -> Option<Self> {
        Some(Self {
            id: PageId(u64_at(page, 0)?),
            flags: u16_at(page, 8)?,
            count: u16_at(page, 10)?,
            overflow: u32_at(page, 12)?,
        })
    }

    /// What it is; none: nothing that bbolt writes.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::of(self.flags)
    }
}

/// A meta page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes of a page.
    pub page_size: u32,
    /// The root of the bucket of buckets.
    pub root: PageId,
    /// The free list; none when the file has none.
    pub freelist: Option<PageId>,
    /// The first page that was never used.
    pub high_water: PageId,
    /// The transaction that wrote it.
    pub txid: u64,
}

/// Why a meta page does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMeta {
    /// Other bytes than bbolt's.
    Magic,
    /// A format that nobody writes yet.
    Version(u32),
    /// Its checksum is another.
    Checksum,
    /// It is not there at all.
    Cut,
}

impl fmt::Display for BadMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("no magic number of bbolt"),
            Self::Version(version) => write!(f, "format version {version}, known is {VERSION}"),
            Self::Checksum => f.write_str("its checksum does not match"),
            Self::Cut => f.write_str("the file ends before it"),
        }
    }
}

impl Meta {
    /// Bytes of it behind the page header: `magic, version, page size, flags u32 each; root bucket; freelist, pgid, txid,
    /// checksum u64 each`.
    pub const SIZE: usize = 64;

    /// Reads a meta page.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn read(page: &[u8]) -> Result<Self, BadMeta> {
        let m = page.get(HEADER..HEADER + Self::SIZE).ok_or(BadMeta::Cut)?;
        let (long, short) = (|at| u64_at(m, at).unwrap_or_default(), |at| u32_at(m, at).unwrap_or_default());
        if short(0) != MAGIC {
            return Err(BadMeta::Magic);
        }
        if short(4) != VERSION {
            return Err(BadMeta::Version(short(4)));
        }
        if long(56) != fnv_64a(&m[..56]) {
            return Err(BadMeta::Checksum);
        }
        Ok(Self {
            page_size: short(8),
            root: PageId(long(16)),
            freelist: Some(long(32)).filter(|id| *id != NO_FREELIST).map(PageId),
            high_water: PageId(long(40)),
            txid: long(48),
        })
    }
}

/// FNV-1a, 64 bits, as Go's `hash/fnv`.
pub(super) fn fnv_64a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// An element of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafElement<'a> {
    /// Whether its value is a bucket.
    pub is_bucket: bool,
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// Where the key begins, counted from the start of the page.
    pub at: usize,
}

/// An element of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchElement<'a> {
    /// The first key below it.
    pub key: &'a [u8],
    /// The page below it.
    pub child: PageId,
}

/// The element `index` of a leaf; none when it points outside of its page.
#[must_use]
pub fn leaf_element(page: &[u8], index: usize) -> Option<LeafElement<'_>> {
    let at = HEADER + index * ELEMENT;
    let flags = u32_at(page, at)?;
    let (pos, ksize, vsize) =
        (u32_at(page, at + 4)? as usize, u32_at(page, at + 8)? as usize, u32_at(page, at + 12)? as usize);
    let start = at.checked_add(pos)?;
    let (middle, end) = (start.checked_add(ksize)?, start.checked_add(ksize)?.checked_add(vsize)?);
    Some(LeafElement {
        is_bucket: flags & BUCKET_FLAG != 0,
        key: page.get(start..middle)?,
        value: page.get(middle..end)?,
        at: start,
    })
}

/// The element `index` of a branch; none when it points outside of its page.
#[must_use]
pub fn branch_element(page: &[u8], index: usize) -> Option<BranchElement<'_>> {
    let at = HEADER + index * ELEMENT;
    let (pos, ksize) = (u32_at(page, at)? as usize, u32_at(page, at + 4)? as usize);
    let start = at.checked_add(pos)?;
    Some(BranchElement {
        key: page.get(start..start.checked_add(ksize)?)?,
        child: PageId(u64_at(page, at + 8)?),
    })
}

/// The pages of a free list; none when it is cut. More than 65,534 have their count in the first place.
#[must_use]
pub fn free_pages(page: &[u8], header: Header) -> Option<impl Iterator<Item = PageId>> {
    let (first, count) = if header.count == u16::MAX {
        (1, usize::try_from(u64_at(page, HEADER)?).ok()?)
    } else {
        (0, usize::from(header.count))
    };
    let start = HEADER + first * 8;
    let ids = page.get(start..start.checked_add(count.checked_mul(8)?)?)?;
    Some(ids.chunks_exact(8).filter_map(|id| u64_at(id, 0)).map(PageId))
}

/// The root page of a bucket that is the value of a leaf element; 0 for one that is inline.
#[must_use]
pub fn bucket_root(value: &[u8]) -> Option<PageId> {
    (value.len() >= BUCKET).then(|| u64_at(value, 0)).flatten().map(PageId)
}
