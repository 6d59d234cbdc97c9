//! Tests against real etcd clusters, through a fault proxy, and of the program itself in a pseudo terminal.
//! One crate: each further test program links the world again.

#![allow(clippy::unwrap_used)] // a test that unwraps fails with the line

mod broken;
mod cli;
mod dashboard;
mod diagnose;
mod diagnosis;
mod docs;
mod edges;
mod etcd_defrag;
mod fake;
mod faults;
mod fleet;
mod follow;
mod headless;
mod house;
mod lab;
mod lock;
mod matrix;
mod mixin;
mod operating;
mod ops;
mod packaging;
mod replay;
mod scrape;
mod shelf;
mod shipped;
mod snapshot;
mod support;
mod unread;
