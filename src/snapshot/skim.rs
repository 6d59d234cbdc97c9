//! A look at a file that takes no longer for a large one: its ends, its branches, its newest revision.

use super::examine::{expect_buckets, other_meta, storage_version};
use super::file::{Check, Damage, Snapshot};
use super::mvcc::RevisionKey;
use super::tree::{Leaf, Sink, Walk};
use crate::model::Revision;

/// What was seen.
#[derive(Clone, Debug)]
pub struct Skimmed {
    /// The newest revision.
    pub revision: Revision,
    /// The storage version, which 3.6 and later write down; empty before that.
    pub version: String,
    /// What is wrong with it, in the order of pages.
    pub damages: Vec<Damage>,
}

/// Looks at both meta pages, the buckets, every branch and the newest revision: about one page in a hundred. What the
/// leaves hold is not looked at: for a file whose SHA-256 was checked while it was written, this shows that the disk has
/// it, and that what the member sent hangs together.
#[must_use]
pub fn skim(snapshot: &Snapshot) -> Skimmed {
    let walk = Walk::over(snapshot, true);
    let buckets = walk.buckets();
    let (mut revision, mut version) = (Revision(0), String::new());
    for bucket in &buckets {
        let mut last = Last(None);
        walk.skim(bucket, &mut last);
        match bucket.name.as_slice() {
            b"key" => match last.0.as_deref().map(RevisionKey::read) {
                Some(Some(newest)) => revision = Revision(newest.main),
                // A bucket that nothing was ever written to.
                None => {}
                Some(None) => {
                    walk.found(Damage::of(
                        Check::Revision,
                        "the last key of the bucket \"key\" is no revision",
                    ));
                }
            },
            b"meta" => version = storage_version(&walk, bucket),
            _ => {}
        }
    }
    expect_buckets(&walk, &buckets);
    other_meta(&walk);
    Skimmed { revision, version, damages: walk.damages() }
}

/// The last key of all.
struct Last(Option<Vec<u8>>);

impl Sink for Last {
    fn leaf(&mut self, leaf: &Leaf<'_>) {
        self.0 = leaf.elements().flatten().last().map(|e| e.key.to_vec());
    }
}
