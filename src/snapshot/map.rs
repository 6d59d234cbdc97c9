//! Where in a file its pages are in use: what fragmentation looks like.

use super::bolt::{Kind, PageId};

/// Slots that a file is cut into, at most: more than cells on a screen.
const SLOTS: u64 = 4096;

/// A file from its beginning to its end, in slots of as many pages each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageMap {
    slots: Vec<Slot>,
}

/// Pages that lie together, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Leaves: keys and values.
    pub leaf: u32,
    /// Branches above them.
    pub branch: u32,
    /// The two meta pages.
    pub meta: u32,
    /// Free.
    pub free: u32,
}

impl Slot {
    /// Pages in all.
    #[must_use]
    pub const fn pages(&self) -> u32 {
        self.leaf + self.branch + self.meta + self.free
    }

    fn take(&mut self, other: Self) {
        self.leaf += other.leaf;
        self.branch += other.branch;
        self.meta += other.meta;
        self.free += other.free;
    }
}

impl PageMap {
    /// Of a file of so many pages; `kind` says what is on a page, none for a free one.
    pub(super) fn of(pages: u64, kind: impl Fn(PageId) -> Option<Kind>) -> Self {
        let slots = pages.min(SLOTS);
        let mut map = Self { slots: vec![Slot::default(); usize::try_from(slots).unwrap_or_default()] };
        for page in 0..pages {
            // Slots differ by a page at most.
            let at = u128::from(page) * u128::from(slots) / u128::from(pages);
            let Some(slot) = usize::try_from(at).ok().and_then(|i| map.slots.get_mut(i)) else { continue };
            match kind(PageId(page)) {
                None => slot.free += 1,
                Some(Kind::Branch) => slot.branch += 1,
                Some(Kind::Meta) => slot.meta += 1,
                Some(_) => slot.leaf += 1,
            }
        }
        map
    }

    /// The same in at most `cells` slots.
    #[must_use]
    pub fn in_cells(&self, cells: usize) -> Vec<Slot> {
        let cells = cells.min(self.slots.len());
        let mut merged = vec![Slot::default(); cells];
        for (i, slot) in self.slots.iter().enumerate() {
            merged[i * cells / self.slots.len()].take(*slot);
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_in_one_slot_however_it_is_cut() {
        let kind = |p: PageId| match p.0 {
            0 | 1 => Some(Kind::Meta),
            n if n % 100 == 7 => Some(Kind::Branch),
            n if n % 3 == 0 => None,
            _ => Some(Kind::Leaf),
        };
        for pages in [2, 3, 100, SLOTS - 1, SLOTS, SLOTS + 1, 50_000] {
            let map = PageMap::of(pages, kind);
            for cells in [1, 7, 80, 1_000, 10_000] {
                let merged = map.in_cells(cells);
                assert_eq!(merged.len() as u64, pages.min(SLOTS).min(cells as u64));
                assert_eq!(merged.iter().map(|s| u64::from(s.pages())).sum::<u64>(), pages);
                let branches = merged.iter().map(|s| u64::from(s.branch)).sum::<u64>();
                assert_eq!(
                    branches,
                    (0..pages).filter(|p| kind(PageId(*p)) == Some(Kind::Branch)).count() as u64
                );
                let sizes = merged.iter().map(Slot::pages);
                let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
                assert!(most <= 2 * least.max(1), "{least} to {most} of {pages} in {cells}");
            }
        }
        assert!(PageMap::default().in_cells(10).is_empty());
    }
}
