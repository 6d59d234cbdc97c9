//! The only user of etcd-client: one connection per member, TLS, deadlines, typed errors, `/metrics`.
//!
//! [`Dialer`] holds how to reach a cluster (certificates, user, timeouts). [`Dialer::connect`] gives a
//! [`Connection`] to exactly one member; every call on it takes its own time limit. What goes wrong is
//! a [`Fault`], which knows the member state it means and says the reason in words.

pub mod access;
pub mod connection;
pub mod discovery;
pub mod fault;
pub mod http;
pub(crate) mod lab_writer;
pub mod lease;
pub mod metrics;
pub mod mutate;
pub mod permit;
pub mod probe;
mod stream;
mod tls;

pub use access::{Access, Credentials, TlsFiles};
pub use connection::{Connection, ListedMember};
pub use fault::Fault;
pub use lease::{Lease, Locked};
pub use permit::Permit;
pub use stream::Dialer;
pub use tls::TlsSetupError;
