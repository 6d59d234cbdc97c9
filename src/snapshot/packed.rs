//! How many pages a bucket takes when a defragmentation writes it anew.

use super::bolt::{ELEMENT, HEADER};

/// How many pages bbolt needs for elements that it writes in their order, as etcd's defragmentation does it: leaves are
/// filled to nine tenths, with two elements at least, and a branch above counts their first keys.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    page_size: usize,
    /// Of the leaf that is being filled.
    size: usize,
    elements: usize,
    leaves: u64,
    /// Pages of leaves, those that belong to larger ones counted.
    pages: u64,
    branch_bytes: u64,
    /// Of leaves that parts had begun to fill.
    open_bytes: u64,
}

impl Packed {
    pub(super) const fn new(page_size: usize) -> Self {
        Self { page_size, size: HEADER, elements: 0, leaves: 0, pages: 0, branch_bytes: 0, open_bytes: 0 }
    }

    pub(super) fn put(&mut self, key: usize, value: usize) {
        let element = ELEMENT + key + value;
        // bbolt: two elements at least, then as many as fit in nine tenths.
        if self.elements >= 2 && self.size + element > self.page_size / 10 * 9 {
            self.close();
        }
        if self.elements == 0 {
            self.branch_bytes += (ELEMENT + key) as u64;
        }
        self.size += element;
        self.elements += 1;
    }

    fn close(&mut self) {
        if self.elements > 0 {
            self.leaves += 1;
            self.pages += self.size.div_ceil(self.page_size) as u64;
        }
        (self.size, self.elements) = (HEADER, 0);
    }

    /// Puts a part behind this one. What it had begun to fill is filled by what comes next.
    pub(super) fn join(&mut self, part: &Self) {
        self.leaves += part.leaves;
        self.pages += part.pages;
        self.branch_bytes += part.branch_bytes;
        self.open_bytes += part.open_bytes + (part.size - HEADER) as u64;
    }

    /// The pages of a bucket, with its branches. A small one lies in the element of its name.
    pub(super) fn whole(&self) -> u64 {
        let room = (self.page_size / 10 * 9) as u64;
        let open = self.open_bytes + (self.size - HEADER) as u64;
        if self.leaves == 0 && open <= (self.page_size / 4) as u64 {
            return 0;
        }
        self.pages + open.div_ceil(room.max(1)) + self.branch_bytes.div_ceil(room.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_filled_as_bbolt_fills_them() {
        let mut packed = Packed::new(4096);
        // 36 elements of 100 bytes with their headers are nine tenths of a page, less its own header.
        for _ in 0..36 * 10 {
            packed.put(20, 64);
        }
        let one = packed.clone();
        packed.close();
        assert_eq!((packed.leaves, one.elements), (10, 36));
        // Two large values share a page that goes on.
        let mut large = Packed::new(4096);
        (0..4).for_each(|_| large.put(18, 9_000));
        large.close();
        assert_eq!((large.leaves, large.pages), (2, 10));
    }
}
