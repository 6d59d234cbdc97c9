//! Tests against real etcd clusters, through a fault proxy, and of the program itself in a pseudo terminal.
//! One crate: each further test program links the world again.

mod broken;
mod cli;
mod dashboard;
mod fake;
mod house;
mod matrix;
mod support;
