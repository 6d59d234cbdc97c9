//! A real cluster of etcd processes on loopback, in a scratch folder: for training, for trying things, and as the
//! fixture of the tests. Never a configured cluster.

pub mod act;
pub mod binaries;
mod certs;
mod cluster;
pub mod coach;
mod consumer;
pub mod docs;
pub mod drill;
mod host;
mod janitor;
mod links;
pub mod load;
mod process;
pub mod pulse;
pub mod scenario;
mod scenarios;
mod scratch;
pub mod seen;
pub mod session;
mod writing;

pub use binaries::{Binaries, BinariesError};
pub use cluster::{Cluster, LabError, Member, Spec, Tls};
pub use janitor::janitor_main;
pub use load::{Load, LoadKind};
pub use process::member_main;
pub use scratch::{Owner, running};

/// The hidden first argument with which etcdtop runs itself as the parent-watching launcher of a member.
pub const MEMBER_ARGUMENT: &str = "__lab-member";

/// The hidden first argument with which etcdtop runs itself as what removes the lab's folder in the end.
pub const JANITOR_ARGUMENT: &str = "__lab-janitor";
