//! A snapshot file, opened: its size, its trailer, the meta page that counts.
//!
//! Read with `pread`, not mapped: a file that shrinks or a disk that fails gives an error here, where a mapping would end
//! the program, and what it takes in memory is a window for each thread.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};

use thiserror::Error;

use super::bolt::{BadMeta, HEADER, Meta, PageId};
use super::past_cache::{Block, Source};
use super::reader::{LARGEST_WINDOW, Reader};
use crate::model::Bytes;

/// Bytes of the SHA-256 at the end of a snapshot that etcd streamed.
pub const TRAILER: usize = 32;
const TRAILER_LENGTH: u64 = TRAILER as u64;
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
    /// The side file is of this file.
    Side,
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
            Self::Side => "side",
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
    source: Source,
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
        Self::open_as(path, false, Arc::default())
    }

    /// The same for one that was written just now past the page cache ([`super::past_cache`]): most of what is read is
    /// what the disk has, not what the cache remembers. Once `given_up` is set, whatever reads it comes to an end.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_past_cache(path: &Path, given_up: Arc<AtomicBool>) -> Result<Self, SnapshotError> {
        Self::open_as(path, true, given_up)
    }

    fn open_as(path: &Path, past_cache: bool, given_up: Arc<AtomicBool>) -> Result<Self, SnapshotError> {
        let io = |reason| SnapshotError::Io { path: path.to_owned(), reason };
        let damaged = |damage| SnapshotError::Damaged { path: path.to_owned(), damage };
        // A named pipe would be waited for until somebody writes to it.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(SnapshotError::NotAFile { path: path.to_owned() });
        }
        let source = Source::open(path, past_cache, given_up).map_err(io)?;
        let length = source.length();
        if length == 0 {
            return Err(damaged(Damage::of(Check::Size, "the file is empty")));
        }
        let (size, trailer) = match length % 512 {
            0 => (length, None),
            TRAILER_LENGTH => {
                let mut sum = [0; TRAILER];
                source.exactly(&mut sum, length - TRAILER_LENGTH).map_err(io)?;
                (length - TRAILER_LENGTH, Some(sum))
            }
            _ => {
                let is_bolt = metas(&source, length).map_err(io)?.is_ok();
                let what = if is_bolt {
                    format!("{length} bytes are neither whole pages nor those and a checksum: it was cut")
                } else {
                    "not a bbolt file: neither an etcd snapshot nor a member/snap/db".to_owned()
                };
                return Err(damaged(Damage::of(if is_bolt { Check::Size } else { Check::Meta }, what)));
            }
        };
        let (meta, other_meta) = metas(&source, size).map_err(io)?.map_err(damaged)?;
        let wanted = meta.high_water.0.checked_mul(u64::from(meta.page_size));
        if wanted.is_none_or(|wanted| wanted > size) {
            let what = format!(
                "it ends after {} of {} pages: it was cut",
                size / u64::from(meta.page_size),
                meta.high_water.0
            );
            return Err(damaged(Damage::of(Check::Size, what)));
        }
        Ok(Self { path: path.to_owned(), source, size, trailer, meta, other_meta })
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
    pub fn reader(&self) -> Reader<'_> {
        Reader::of(self)
    }

    pub(super) const fn source(&self) -> &Source {
        &self.source
    }

    /// Calls `take` with all bytes that the trailer is the checksum of, in order. They are read while the ones before are
    /// taken.
    pub(super) fn stream(&self, mut take: impl FnMut(&[u8])) -> Result<(), Damage> {
        let (full, read) = mpsc::sync_channel::<Block>(1);
        let (give_back, empty) = mpsc::channel();
        for _ in 0..3 {
            let _ = give_back.send(Block::with_room(LARGEST_WINDOW));
        }
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut at = 0;
                while at < self.size {
                    // The other side ends after this one.
                    let Ok(mut block) = empty.recv() else { break };
                    let read = self.source.read(&mut block, at, LARGEST_WINDOW, false);
                    read.map_err(|e| Damage::of(Check::Size, format!("cannot be read at byte {at}: {e}")))?;
                    at += block.bytes().len() as u64;
                    let _ = full.send(block);
                }
                Ok(())
            });
            let mut left = self.size;
            for block in read {
                let bytes = block.bytes();
                let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
                take(bytes);
                left -= bytes.len() as u64;
                let _ = give_back.send(block);
            }
            let ended = reading.join();
            ended.unwrap_or_else(|_| Err(Damage::of(Check::Size, "internal error: the reading thread ended")))
        })
    }
}

type Metas = (Meta, Result<Meta, BadMeta>);

/// The meta page with the higher transaction id, and the other one.
fn metas(source: &Source, size: u64) -> io::Result<Result<Metas, Damage>> {
    let at = |offset: u64| {
        let mut page = [0; HEADER + Meta::SIZE];
        if offset + page.len() as u64 > size {
            return Ok(Err(BadMeta::Cut));
        }
        source.exactly(&mut page, offset)?;
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
