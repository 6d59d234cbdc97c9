//! A snapshot file, opened: its size, its trailer, the meta page that counts; and its pages, a window at a time.
//!
//! Read with `pread`, not mapped: a file that shrinks or a disk that fails gives an error here, where a mapping would end
//! the program, and what it takes in memory is a window for each thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::bolt::{BadMeta, HEADER, Header, Meta, PageId};
use crate::model::Bytes;

/// Bytes of the SHA-256 at the end of a snapshot that etcd streamed.
pub const TRAILER: usize = 32;
const TRAILER_LENGTH: u64 = TRAILER as u64;
/// A page and what belongs to it, at most: no etcd takes a request of a tenth of that.
const LARGEST: u64 = 256 << 20;
/// Windows grow from the one to the other while pages are read one after the other.
const SMALLEST_WINDOW: usize = 16 << 10;
const LARGEST_WINDOW: usize = 1 << 20;
/// Page sizes of the machines that there are, and some more: bbolt itself looks for these.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 10..=17;

/// What was looked at when something was found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The size of the file.
    Size,
    /// The SHA-256 at its end.
    Trailer,
    /// The two meta pages.
    Meta,
    /// The header of a page, and where its elements lie.
    Page,
    /// Every page is reached once.
    Tree,
    /// Keys ascend, within a page and from page to page.
    Order,
    /// The free list: every page is used or free, and not both.
    Freelist,
    /// The keys of the bucket `key` are revisions.
    Revision,
    /// The values of the bucket `key` are key-value pairs.
    Value,
    /// Buckets that every etcd has.
    Buckets,
}

impl Check {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Trailer => "trailer",
            Self::Meta => "meta",
            Self::Page => "page",
            Self::Tree => "tree",
            Self::Order => "order",
            Self::Freelist => "freelist",
            Self::Revision => "revision",
            Self::Value => "value",
            Self::Buckets => "buckets",
        }
    }
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// Which check failed.
    pub check: Check,
    /// At which page.
    pub page: Option<PageId>,
    /// How.
    pub what: String,
}

impl Damage {
    pub(super) fn at(check: Check, page: PageId, what: impl Into<String>) -> Self {
        Self { check, page: Some(page), what: what.into() }
    }

    pub(super) fn of(check: Check, what: impl Into<String>) -> Self {
        Self { check, page: None, what: what.into() }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.check.word())?;
        if let Some(page) = self.page {
            write!(f, "{page}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// Why a file cannot be read as a snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It cannot be opened or read.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// It is a folder, a device, a socket.
    #[error("{}: not a file", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("{}: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        damage: Damage,
    },
}

/// An opened snapshot.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    file: File,
    size: u64,
    trailer: Option<[u8; TRAILER]>,
    meta: Meta,
    other_meta: Result<Meta, BadMeta>,
}

impl Snapshot {
    /// Opens a snapshot of a stream, or a raw `member/snap/db`, and finds its meta page.
    ///
    /// # Errors
    /// Why it cannot be read, or is no bbolt file at all.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let io = |reason| SnapshotError::Io { path: path.to_owned(), reason };
        let damaged = |damage| SnapshotError::Damaged { path: path.to_owned(), damage };
        // A named pipe would be waited for until somebody writes to it.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(SnapshotError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length == 0 {
            return Err(damaged(Damage::of(Check::Size, "the file is empty")));
        }
        let (size, trailer) = match length % 512 {
            0 => (length, None),
            TRAILER_LENGTH => {
                let mut sum = [0; TRAILER];
                file.read_exact_at(&mut sum, length - TRAILER_LENGTH).map_err(io)?;
                (length - TRAILER_LENGTH, Some(sum))
            }
            _ => {
                let what =
                    format!("{length} bytes are neither whole pages nor those and a checksum: it was cut");
                return Err(damaged(Damage::of(Check::Size, what)));
            }
        };
        let (meta, other_meta) = metas(&file, size).map_err(io)?.map_err(damaged)?;
        let wanted = meta.high_water.0.checked_mul(u64::from(meta.page_size));
        if wanted.is_none_or(|wanted| wanted > size) {
            let what = format!(
                "it ends after {} of {} pages: it was cut",
                size / u64::from(meta.page_size),
                meta.high_water.0
            );
            return Err(damaged(Damage::of(Check::Size, what)));
        }
        Ok(Self { path: path.to_owned(), file, size, trailer, meta, other_meta })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes without the trailer.
    #[must_use]
    pub const fn size(&self) -> Bytes {
        Bytes(self.size)
    }

    /// The SHA-256 at its end; none for a raw `member/snap/db`.
    #[must_use]
    pub const fn trailer(&self) -> Option<&[u8; TRAILER]> {
        self.trailer.as_ref()
    }

    /// The meta page that counts.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The other one, or why it would not count.
    ///
    /// # Errors
    /// That reason.
    pub const fn other_meta(&self) -> Result<Meta, BadMeta> {
        self.other_meta
    }

    /// Pages that were ever used: etcd's "db size" in pages.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.meta.high_water.0
    }

    /// `TotalSize` of etcdutl: the pages that were ever used, in bytes.
    #[must_use]
    pub const fn used_size(&self) -> Bytes {
        Bytes(self.meta.high_water.0 * self.meta.page_size as u64)
    }

    /// A reader for one thread.
    #[must_use]
    pub const fn reader(&self) -> Reader<'_> {
        Reader { of: self, window: Vec::new(), start: 0, ahead: SMALLEST_WINDOW }
    }

    /// Calls `take` with all bytes that the trailer is the checksum of, in order.
    pub(super) fn stream(&self, mut take: impl FnMut(&[u8])) -> Result<(), Damage> {
        let mut buffer = vec![0; LARGEST_WINDOW];
        let mut at = 0;
        while at < self.size {
            let n = usize::try_from(self.size - at).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.file.read_exact_at(&mut buffer[..n], at);
            read.map_err(|e| Damage::of(Check::Size, format!("cannot be read at byte {at}: {e}")))?;
            take(&buffer[..n]);
            at += n as u64;
        }
        Ok(())
    }
}

type Metas = (Meta, Result<Meta, BadMeta>);

/// The meta page with the higher transaction id, and the other one.
fn metas(file: &File, size: u64) -> io::Result<Result<Metas, Damage>> {
    let at = |offset: u64| {
        let mut page = [0; HEADER + Meta::SIZE];
        if offset + page.len() as u64 > size {
            return Ok(Err(BadMeta::Cut));
        }
        file.read_exact_at(&mut page, offset)?;
        Ok::<_, io::Error>(Meta::read(&page))
    };
    let first = at(0)?;
    let sensible = |m: &Meta| m.page_size.is_power_of_two() && PAGE_SIZES.contains(&m.page_size.ilog2());
    let second = match first {
        Ok(meta) if sensible(&meta) => at(u64::from(meta.page_size))?,
        // Without the first one the page size is not known: the second lies at one of these.
        _ => {
            let mut found = Err(BadMeta::Magic);
            for bits in PAGE_SIZES {
                let there = at(1 << bits)?;
                if there.is_ok_and(|m| m.page_size == 1 << bits) {
                    found = there;
                }
            }
            found
        }
    };
    Ok(match (first, second) {
        (Ok(a), Ok(b)) if b.txid > a.txid && sensible(&b) => Ok((b, Ok(a))),
        (Ok(a), b) if sensible(&a) => Ok((a, b)),
        (a, Ok(b)) if sensible(&b) => Ok((b, a)),
        (Ok(a), _) => Err(Damage::of(Check::Meta, format!("pages of {} bytes", a.page_size))),
        (Err(BadMeta::Magic), Err(_)) => {
            Err(Damage::of(Check::Meta, "not a bbolt file: neither an etcd snapshot nor a member/snap/db"))
        }
        (Err(a), Err(b)) => Err(Damage::of(Check::Meta, format!("meta page 0: {a}; meta page 1: {b}"))),
        (Err(_), Ok(b)) => Err(Damage::of(Check::Meta, format!("pages of {} bytes", b.page_size))),
    })
}

/// Reads pages; one for each thread.
#[derive(Debug)]
pub struct Reader<'a> {
    of: &'a Snapshot,
    window: Vec<u8>,
    /// Where the window begins in the file.
    start: u64,
    /// How far it reads next time.
    ahead: usize,
}

impl Reader<'_> {
    /// A page with all that belongs to it.
    ///
    /// # Errors
    /// When it lies outside of the file, cannot be read, or is not what its place says.
    pub fn page(&mut self, id: PageId) -> Result<(Header, &[u8]), Damage> {
        let page_size = u64::from(self.of.meta.page_size);
        let pages = self.of.pages();
        if id.0 >= pages {
            return Err(Damage::at(Check::Page, id, format!("outside of the file, which has {pages} pages")));
        }
        let offset = id.0 * page_size;
        let header = self.bytes(id, offset, page_size)?;
        let header =
            Header::read(header).ok_or_else(|| Damage::at(Check::Page, id, "shorter than its header"))?;
        if header.id != id {
            return Err(Damage::at(Check::Page, id, format!("says of itself to be {}", header.id)));
        }
        if header.kind().is_none() {
            return Err(Damage::at(
                Check::Page,
                id,
                format!("of no kind that there is: {:#x}", header.flags),
            ));
        }
        let whole = (u64::from(header.overflow) + 1) * page_size;
        if id.0 + u64::from(header.overflow) >= pages {
            let what = format!("goes on for {} pages, past the end of the file", header.overflow);
            return Err(Damage::at(Check::Page, id, what));
        }
        if whole > LARGEST {
            return Err(Damage::at(
                Check::Page,
                id,
                format!("goes on for {}: no etcd writes that", Bytes(whole)),
            ));
        }
        Ok((header, self.bytes(id, offset, whole)?))
    }

    /// So many bytes at an offset, from the window or a new one.
    fn bytes(&mut self, id: PageId, offset: u64, length: u64) -> Result<&[u8], Damage> {
        let too_long = |_| Damage::at(Check::Page, id, "longer than memory");
        let length = usize::try_from(length).map_err(too_long)?;
        let end = self.start + self.window.len() as u64;
        if offset < self.start || offset + length as u64 > end {
            // Pages that come one after the other are read ahead, others one at a time.
            let follows = offset >= self.start && offset <= end;
            self.ahead = if follows { (self.ahead * 2).min(LARGEST_WINDOW) } else { SMALLEST_WINDOW };
            let left = usize::try_from(self.of.size - offset).unwrap_or(usize::MAX);
            let n = self.ahead.max(length).min(left);
            if self.window.capacity() > 2 * LARGEST_WINDOW && n <= LARGEST_WINDOW {
                // One page with a large value must not be held for the rest of the file.
                self.window = Vec::new();
            }
            self.window.resize(n, 0);
            self.start = offset;
            if let Err(e) = self.of.file.read_exact_at(&mut self.window, offset) {
                self.window.clear();
                return Err(Damage::at(Check::Page, id, format!("cannot be read: {e}")));
            }
        }
        let from = usize::try_from(offset - self.start).map_err(too_long)?;
        self.window
            .get(from..from + length)
            .ok_or_else(|| Damage::at(Check::Page, id, "past the end of the file"))
    }
}
