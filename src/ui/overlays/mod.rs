//! What lies over a view.

pub(super) mod coach;
pub(super) mod explain;
pub(super) mod help;
pub(super) mod palette;
pub(super) mod plan;
pub(super) mod prune;
pub(super) mod time;
