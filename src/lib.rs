//! etcdtop: the terminal cockpit for etcd.
//!
//! The rooms of the house and who may know whom are in CONTRIBUTING.md; `tests/house.rs` checks it.

pub mod app;
pub mod cli;
pub mod config;
pub mod diagnose;
pub mod etcd;
pub mod lab;
pub mod model;
pub mod ops;
pub mod poll;
pub mod recording;
pub mod snapshot;
pub mod term;
#[cfg(test)]
pub(crate) mod testing;
pub mod ui;
