//! Plain data and pure functions: what a cluster is and what can be concluded from it. No I/O.

pub mod cluster;
pub mod coach;
pub mod endpoint;
pub mod event;
pub mod finding;
pub mod fleet;
pub mod glossary;
pub mod hashes;
pub mod ids;
pub mod member;
pub mod metrics;
mod nanos;
pub mod revisions;
pub mod status;
pub mod text;
pub mod units;
pub mod verdict;

pub use cluster::{ClusterView, Conflict, Outage};
pub use endpoint::Endpoint;
pub use event::{Event, EventKind};
pub use finding::{Finding, Severity};
pub use ids::{Bytes, ClusterId, MemberId, RaftIndex, Revision, Term};
pub use member::{MemberState, MemberView, Role};
pub use metrics::MetricsSample;
pub use status::{Alarm, AlarmKind, MemberStatus};
pub use text::ForeignText;
pub use verdict::{Verdict, VerdictKind};
