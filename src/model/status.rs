//! What one member said of itself in one `Status` reply.

use serde::{Deserialize, Serialize};

use super::ids::{Bytes, ClusterId, MemberId, RaftIndex, Revision, Term};
use super::text::ForeignText;

/// An alarm that is raised. Alarms are cluster-wide state: every member lists those of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alarm {
    /// The member that raised it.
    pub member: MemberId,
    /// Which one.
    pub kind: AlarmKind,
}

/// The kinds of alarm that etcd has (3.4 to 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AlarmKind {
    /// The database outgrew its quota: puts fail, the rest works.
    NoSpace,
    /// Members disagree about data: writes fail.
    Corrupt,
}

impl std::fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
        })
    }
}

impl Alarm {
    /// Reads an alarm from a line of `Status.errors`: `memberID:<decimal> alarm:NOSPACE`. This is how
    /// alarms are known when the quorum is lost and `Alarm GET` times out. Other lines give `None`.
    #[must_use]
    pub fn from_status_error(line: &str) -> Option<Self> {
        let (mut member, mut kind) = (None, None);
        for word in line.split_whitespace() {
            if let Some(id) = word.strip_prefix("memberID:") {
                member = id.parse().ok().map(MemberId);
            } else if let Some(name) = word.strip_prefix("alarm:") {
                kind = match name {
                    "NOSPACE" => Some(AlarmKind::NoSpace),
                    "CORRUPT" => Some(AlarmKind::Corrupt),
                    _ => None,
                };
            }
        }
        Some(Self { member: member?, kind: kind? })
    }
}

/// One `Status` reply: the member's own view of itself and of its leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The member that answered (`header.member_id`).
    pub member_id: MemberId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// The server's version, such as `3.6.5`.
    pub version: ForeignText,
    /// The schema of its file; 3.6 and later.
    pub storage_version: Option<ForeignText>,
    /// Bytes allocated by the file.
    pub db_size: Option<Bytes>,
    /// Bytes of it in use; 3.4 and later. May be absurd (above `db_size`): shown as it came.
    pub db_size_in_use: Option<Bytes>,
    /// The quota in force; 3.6 and later.
    pub db_quota: Option<Bytes>,
    /// The leader that it believes in; none is `leader 0`.
    pub leader: Option<MemberId>,
    /// Its term.
    pub raft_term: Term,
    /// Its commit index.
    pub raft_index: RaftIndex,
    /// What it has applied of that. 3.4 and later.
    pub raft_applied_index: RaftIndex,
    /// Its revision (`header.revision`).
    pub revision: Revision,
    /// Whether it is a learner.
    #[serde(default)]
    pub is_learner: bool,
    /// `Status.errors`, as text.
    #[serde(default)]
    pub errors: Vec<ForeignText>,
    /// The target of a downgrade in progress; 3.6 and later.
    pub downgrade_target: Option<ForeignText>,
}

impl MemberStatus {
    /// The alarms named in `errors`.
    pub fn alarms(&self) -> impl Iterator<Item = Alarm> + '_ {
        self.errors.iter().filter_map(|line| Alarm::from_status_error(line.raw()))
    }

    /// Free space inside the file, which a defragmentation gives back. None when a size is unknown.
    #[must_use]
    pub fn reclaimable(&self) -> Option<Bytes> {
        Some(self.db_size?.minus(self.db_size_in_use?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_read_from_status_errors() {
        let a = Alarm::from_status_error("memberID:10276657743932975437 alarm:NOSPACE ").unwrap();
        assert_eq!(a, Alarm { member: MemberId(0x8e9e_05c5_2164_694d), kind: AlarmKind::NoSpace });
        for other in [
            "etcdserver: no leader",
            "memberID:x alarm:NOSPACE",
            "memberID:1 alarm:NONE",
            "alarm:CORRUPT",
            "",
        ] {
            assert_eq!(Alarm::from_status_error(other), None, "{other}");
        }
    }
}
