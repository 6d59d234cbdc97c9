//! Parts of screens.

pub(super) mod bar;
pub(super) mod chart;
pub(super) mod coach;
pub(super) mod findings;
pub(super) mod footer;
pub(super) mod header;
pub(super) mod heat;
pub(super) mod inspected;
pub(super) mod members;
pub(super) mod operation;
pub(super) mod replay;
pub(super) mod rows;
