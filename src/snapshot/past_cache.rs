//! Files of gigabytes beside a database that lives from the page cache: what is written and read here goes past it where
//! the file system can do that. A snapshot that was written through the cache pushes the members' own files out of it,
//! and what piles up in it is written in one go when somebody calls `fsync`: on most hosts that is etcd, with its log.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::OFlags;

/// What direct I/O wants addresses, offsets and lengths to be multiples of, on any disk.
pub const ALIGN: usize = 4096;
/// Reads of a few pages here and there, after which a file is taken into memory in one go: on a disk that seeks, a million
/// of them take hours where reading it from its beginning to its end takes minutes.
const SCATTERED: u32 = 500;
/// What is read at a time when a file is taken into memory.
const STRIDE: usize = 1 << 20;

/// Memory that direct I/O takes.
#[derive(Debug)]
pub struct Block {
    memory: Vec<u8>,
    skip: usize,
    filled: usize,
}

impl Block {
    /// Empty, with room for `room` bytes.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        let memory = vec![0; room.next_multiple_of(ALIGN) + ALIGN];
        let skip = memory.as_ptr().align_offset(ALIGN);
        Self { memory, skip, filled: 0 }
    }

    /// How many bytes fit in all.
    #[must_use]
    pub fn room(&self) -> usize {
        self.memory.len() - ALIGN
    }

    /// What it holds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.skip..self.skip + self.filled]
    }

    /// Takes as many of `bytes` as fit; the rest.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let n = bytes.len().min(self.room() - self.filled);
        let at = self.skip + self.filled;
        self.memory[at..at + n].copy_from_slice(&bytes[..n]);
        self.filled += n;
        &bytes[n..]
    }

    /// Forgets what it holds.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// The memory for `room` bytes, to be read into.
    fn space(&mut self, room: usize) -> &mut [u8] {
        if room > self.room() {
            *self = Self::with_room(room);
        }
        &mut self.memory[self.skip..self.skip + room]
    }
}

/// Makes a file's writes go past the cache from now on, or through it; whether the file system can.
#[must_use]
pub fn go_past(file: &File, past: bool) -> bool {
    let set = |flags: OFlags| rustix::fs::fcntl_setfl(file, flags);
    let Ok(flags) = rustix::fs::fcntl_getfl(file) else { return false };
    let wanted = if past { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT };
    set(wanted).is_ok()
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    /// The same file, past the cache.
    direct: Option<File>,
    length: u64,
    /// Reads of a few pages here and there.
    jumps: AtomicU32,
    warmed: OnceLock<()>,
    /// Set when nobody wants to know any more.
    given_up: Arc<AtomicBool>,
}

impl Source {
    /// `past_cache`: it was written past it, so there is nothing of it in memory; and what is read is what the disk has.
    pub(super) fn open(path: &Path, past_cache: bool, given_up: Arc<AtomicBool>) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let direct = if past_cache { Some(File::open(path)?).filter(|d| go_past(d, true)) } else { None };
        Ok(Self { file, direct, length, jumps: AtomicU32::new(0), warmed: OnceLock::new(), given_up })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// A few bytes.
    pub(super) fn exactly(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    /// Reads into `block` what lies at `at`, a multiple of [`ALIGN`]: `room` bytes, or up to the end of the file.
    /// `scattered`: what is wanted does not lie together.
    pub(super) fn read(&self, block: &mut Block, at: u64, room: usize, scattered: bool) -> io::Result<()> {
        let room = room.next_multiple_of(ALIGN);
        let wanted = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX).min(room);
        block.clear();
        if self.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody wants to know any more"));
        }
        let space = block.space(room);
        if scattered {
            self.jumps.fetch_add(1, Ordering::Relaxed);
        }
        let direct = self.direct.as_ref().filter(|_| self.jumps.load(Ordering::Relaxed) < SCATTERED);
        let there = match direct.map(|direct| direct.read_at(space, at)) {
            Some(Ok(there)) => there,
            // Not every file system says at once that it cannot do it.
            Some(Err(e)) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Interrupted) => 0,
            Some(Err(e)) => return Err(e),
            None => {
                self.warmed.get_or_init(|| self.warm());
                0
            }
        };
        if there < wanted {
            // What a short read leaves comes through the cache.
            self.file.read_exact_at(&mut space[there..wanted], at + there as u64)?;
        }
        block.filled = wanted;
        Ok(())
    }

    /// Takes a file that was written past the cache into it, if it fits into the memory that nobody uses.
    fn warm(&self) {
        let memory = rustix::system::sysinfo();
        let free = u64::from(memory.mem_unit).saturating_mul(memory.freeram.saturating_add(memory.bufferram));
        if self.direct.is_none() || self.length > free / 2 {
            return;
        }
        let mut space = vec![0; STRIDE];
        let mut at = 0;
        // What cannot be read now is told by who needs it.
        while !self.given_up.load(Ordering::Relaxed)
            && let Ok(n @ 1..) = self.file.read_at(&mut space, at)
        {
            at += n as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_past_the_cache_and_through_it_is_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // Its end is on no boundary.
        let bytes: Vec<u8> =
            (0..5_000_032_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        for past_cache in [false, true] {
            let source = Source::open(&path, past_cache, Arc::default()).unwrap();
            let mut block = Block::with_room(0);
            // So many that it is taken into memory in between.
            for i in 0..2 * u64::from(SCATTERED) {
                let at = i * 7_919 % (source.length() / ALIGN as u64 + 1) * ALIGN as u64;
                let room = [1, 4096, 10_000, 70_000][usize::try_from(i % 4).unwrap()];
                source.read(&mut block, at, room, true).unwrap();
                let from = usize::try_from(at).unwrap();
                let to = (from + room.next_multiple_of(ALIGN)).min(bytes.len());
                assert!(
                    block.bytes() == &bytes[from..to],
                    "{room} bytes at {at}, past the cache: {past_cache}"
                );
            }
            assert!(source.warmed.get().is_some());
        }
    }

    #[test]
    fn a_file_that_has_become_shorter_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![1; 3 * ALIGN]).unwrap();
        for past_cache in [false, true] {
            std::fs::write(&path, vec![1; 3 * ALIGN]).unwrap();
            let source = Source::open(&path, past_cache, Arc::default()).unwrap();
            std::fs::write(&path, vec![1; ALIGN]).unwrap();
            let mut block = Block::with_room(0);
            let read = source.read(&mut block, ALIGN as u64, ALIGN, false);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(block.bytes(), b"");
        }
    }

    #[test]
    fn a_block_is_where_direct_io_wants_it() {
        for room in [0, 1, ALIGN, 1 << 20] {
            let mut block = Block::with_room(room);
            assert_eq!(block.bytes().as_ptr().align_offset(ALIGN), 0);
            let more = vec![7; block.room() + 3];
            assert_eq!(block.take(&more), &[7; 3]);
            assert!(block.bytes() == &more[3..]);
        }
    }
}
