//! A real cluster of etcd processes on loopback, in a scratch folder: for training, for trying things, and as the
//! fixture of the tests. Never a configured cluster.

pub mod binaries;
mod cluster;
pub mod drill;
pub mod load;
mod process;
mod scratch;

pub use binaries::{Binaries, BinariesError};
pub use cluster::{Cluster, LabError, Member, Spec, Tls};
pub use load::{Load, LoadKind};
pub use process::member_main;
pub use scratch::running;

/// The hidden first argument with which etcdtop runs itself as the parent-watching launcher of a member.
pub const MEMBER_ARGUMENT: &str = "__lab-member";
