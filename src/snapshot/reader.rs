//! The pages of a snapshot, through a few windows that fit themselves to how the pages lie.

use super::bolt::{Header, PageId};
use super::file::{Check, Damage, Snapshot};
use super::past_cache::Block;
use crate::model::Bytes;

/// A page and what belongs to it, at most: a value of etcd has 1.5 MiB unless somebody raised that.
const LARGEST: u64 = 64 << 20;
/// What is read at a time: more where pages that belong together lie together.
const SMALLEST_WINDOW: usize = 16 << 10;
pub(super) const LARGEST_WINDOW: usize = 512 << 10;
/// Leaves follow one another in a few places at once, branches lie between them.
const WINDOWS: usize = 4;

/// Reads pages; one for each thread.
#[derive(Debug)]
pub struct Reader<'a> {
    of: &'a Snapshot,
    /// The one that was used last comes first.
    windows: Vec<Window>,
    /// How much is read next time.
    ahead: usize,
}

/// A piece of the file.
#[derive(Debug)]
struct Window {
    block: Block,
    /// Where it begins in the file.
    start: u64,
    /// Bytes of it that somebody wanted.
    used: usize,
}

impl Window {
    fn holds(&self, offset: u64, length: u64) -> bool {
        self.start <= offset && offset + length <= self.start + self.block.bytes().len() as u64
    }
}

impl<'a> Reader<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        Self { of: snapshot, windows: Vec::with_capacity(WINDOWS), ahead: 4 * SMALLEST_WINDOW }
    }

    /// A page with all that belongs to it.
    ///
    /// # Errors
    /// When it lies outside of the file, cannot be read, or is not what its place says.
    pub fn page(&mut self, id: PageId) -> Result<(Header, &[u8]), Damage> {
        let page_size = u64::from(self.of.meta().page_size);
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
        let page = self.bytes(id, offset, whole)?;
        Ok((header, page))
    }

    /// So many bytes at an offset, from a window or a new one.
    fn bytes(&mut self, id: PageId, offset: u64, length: u64) -> Result<&[u8], Damage> {
        let too_long = |_| Damage::at(Check::Page, id, "longer than memory");
        let length = usize::try_from(length).map_err(too_long)?;
        match self.windows.iter().position(|w| w.holds(offset, length as u64)) {
            Some(0) => {}
            Some(i) => self.windows[..=i].rotate_right(1),
            None => self
                .fill(offset, length)
                .map_err(|e| Damage::at(Check::Page, id, format!("cannot be read: {e}")))?,
        }
        let window = &mut self.windows[0];
        window.used += length;
        let from = usize::try_from(offset - window.start).map_err(too_long)?;
        let bytes = window.block.bytes().get(from..from.saturating_add(length));
        bytes.ok_or_else(|| Damage::at(Check::Page, id, "past the end of the file"))
    }

    /// Reads what lies there and around it into the window that was not used for longest, and puts that first.
    fn fill(&mut self, offset: u64, length: usize) -> std::io::Result<()> {
        let mut window = if self.windows.len() < WINDOWS {
            Window { block: Block::with_room(self.ahead), start: 0, used: 0 }
        } else {
            self.windows.remove(WINDOWS - 1)
        };
        let held = window.block.bytes().len();
        if window.used > held / 2 {
            self.ahead = (self.ahead * 2).min(LARGEST_WINDOW);
        } else if window.used < held / 8 {
            self.ahead = (self.ahead / 2).max(SMALLEST_WINDOW);
        }
        window.start = offset - offset % self.ahead as u64;
        window.used = 0;
        let within = usize::try_from(offset - window.start).unwrap_or_default();
        let room = self.ahead.max(length.saturating_add(within));
        if window.block.room() > 2 * LARGEST_WINDOW && room <= LARGEST_WINDOW {
            // One page with a large value must not be held for the rest of the file.
            window.block = Block::with_room(room);
        }
        let read = self.of.source().read(&mut window.block, window.start, room, room == SMALLEST_WINDOW);
        self.windows.insert(0, window);
        read
    }
}
