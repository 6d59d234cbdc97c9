//! The right to change a cluster. Every call that changes one takes a [`Permit`], and there are two ways to one: a plan
//! that was confirmed (`ops::guard`), and a lab of our own. A test of the house checks that nobody else makes one.

use crate::model::ClusterId;

/// The right to change one cluster. It cannot be copied or made outside this crate.
#[derive(Debug)]
pub struct Permit {
    cluster: Option<ClusterId>,
}

impl Permit {
    /// For a confirmed plan of this cluster. Only `ops::guard` calls it.
    pub(crate) const fn granted(cluster: ClusterId) -> Self {
        Self { cluster: Some(cluster) }
    }

    /// For the cluster that a lab started itself. Only the lab's load calls it.
    pub(crate) const fn of_a_lab() -> Self {
        Self { cluster: None }
    }

    /// Whether it holds for this cluster.
    #[must_use]
    pub fn covers(&self, cluster: ClusterId) -> bool {
        self.cluster.is_none_or(|c| c == cluster)
    }
}
