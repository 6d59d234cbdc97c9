//! One task per member, merged into a latest-wins `ClusterView`; history rings.

pub mod history;
