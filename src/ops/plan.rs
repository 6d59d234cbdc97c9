//! A plan: what is going to be done, frozen when its dialog opens. Plain data; the planners make it, the guard lets it
//! pass, the engine carries it out, the journal keeps it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rule::Rule;
use super::terms::Terms;
use crate::model::{AlarmKind, Bytes, ClusterId, MemberId, Revision};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Drop revisions.
    Compact(Keep),
    /// Defragment members one after the other.
    Defragment(Roll),
    /// Let another member lead.
    MoveLeader {
        /// Who.
        to: MemberId,
    },
    /// Take an alarm back.
    Disarm,
    /// Save a snapshot of one member.
    Snapshot {
        /// Whose; none: the healthiest follower.
        member: Option<MemberId>,
        /// The folder.
        folder: PathBuf,
        /// The file in it; none: one with the cluster, the time and the revision in its name.
        #[serde(default)]
        name: Option<String>,
        /// How closely it is looked at before it gets its name.
        #[serde(default)]
        verify: Verify,
    },
    /// The way out of NOSPACE: snapshot, compact, defragment, disarm, prove a write.
    RecoverNoSpace {
        /// Where the snapshot goes; none: no snapshot.
        folder: Option<PathBuf>,
        /// Revisions kept.
        keep: u64,
    },
}

/// Which members are defragmented, and what comes before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Roll {
    /// Which ones; empty: every voter.
    pub members: Vec<MemberId>,
    /// Not these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<MemberId>,
    /// Move leadership away before the leader's turn.
    pub move_leader: bool,
    /// Only members of which this is true when their turn comes.
    pub rule: Option<Rule>,
    /// For the rule: the quota of members that do not tell theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Bytes>,
    /// A compaction comes first; so many revisions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compact: Option<u64>,
    /// NOSPACE is taken back afterwards, if it is raised.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disarm: bool,
}

/// What a compaction keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The last so many revisions.
    Last(u64),
    /// Everything from this revision on.
    From(Revision),
}

/// How closely a snapshot is looked at before it gets its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// The checksum of the stream, and every page is read.
    Fast,
    /// And everything that can be checked in the file.
    #[default]
    Full,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// `KV.Compact`, physically.
    Compact {
        /// Revisions below this go.
        revision: Revision,
    },
    /// `Maintenance.Defragment` on one member.
    Defragment {
        /// Which.
        member: MemberId,
    },
    /// `Maintenance.MoveLeader`.
    MoveLeader {
        /// The leader when the plan was made; whoever leads when it is done is asked.
        from: MemberId,
        /// Who leads afterwards.
        to: MemberId,
    },
    /// `Maintenance.Alarm DEACTIVATE`.
    Disarm {
        /// The member that raised it; none: whoever raises it when its turn comes, as etcdctl does it. A NOSPACE that comes
        /// while files are rewritten is the same one; a CORRUPT that nobody saw must not be taken back unseen.
        member: Option<MemberId>,
        /// Which alarm.
        alarm: AlarmKind,
        /// NOSPACE: every file must be below this share of its quota, or the alarm only comes again.
        #[serde(default)]
        below: Permille,
    },
    /// `Maintenance.Snapshot` into a file.
    Snapshot {
        /// Whose.
        member: MemberId,
        /// The file.
        file: PathBuf,
        /// The revision that it holds is put into its name when that is known: `x.db` becomes `x-rev1285023.db`.
        #[serde(default)]
        numbered: bool,
        /// How closely it is looked at before it gets its name.
        #[serde(default)]
        verify: Verify,
    },
    /// A put and a delete of a key of our own.
    ProveWrite {
        /// The key.
        key: String,
    },
}

impl Action {
    /// The member whose row shows it.
    #[must_use]
    pub const fn member(&self) -> Option<MemberId> {
        match self {
            Self::Defragment { member } | Self::Snapshot { member, .. } => Some(*member),
            Self::Disarm { member, .. } => *member,
            Self::MoveLeader { to, .. } => Some(*to),
            Self::Compact { .. } | Self::ProveWrite { .. } => None,
        }
    }
}

impl Action {
    /// Whether it changes the cluster; a snapshot does not.
    #[must_use]
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::Snapshot { .. })
    }

    /// Whether it is part of a sweep over the members.
    #[must_use]
    pub const fn rolls(&self) -> bool {
        matches!(self, Self::Defragment { .. } | Self::MoveLeader { .. })
    }

    /// Whether members or writers wait for it: what is done in quiet hours.
    #[must_use]
    pub const fn stalls(&self) -> bool {
        matches!(self, Self::Defragment { .. } | Self::Compact { .. } | Self::MoveLeader { .. })
    }

    /// Whether whoever serves, or leads, can be asked to carry it out: it goes through Raft.
    #[must_use]
    pub const fn takes_any_voter(&self) -> bool {
        !matches!(self, Self::Defragment { .. } | Self::Snapshot { .. })
    }
}

/// A share in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permille(pub u16);

impl Default for Permille {
    /// What etcd-defrag and its users take back NOSPACE below.
    fn default() -> Self {
        Self(900)
    }
}

impl Permille {
    /// As a share of one.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The step in words: `defragment m1`.
    pub title: String,
    /// How long it takes, where that can be told.
    pub estimate: Option<Duration>,
    /// The file's size when the plan was made.
    pub before: Option<Bytes>,
    /// What the file shrinks to, about.
    pub after: Option<Bytes>,
    /// A defragmentation: whether the member may lead when its turn comes.
    pub as_leader: bool,
    /// The same with etcdctl.
    pub etcdctl: String,
}

/// How a check of the preflight came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Not as it should be; a person may decide to go on.
    Warn,
    /// Nobody may go on.
    Block,
}

/// One check of the preflight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// How it came out.
    pub verdict: Verdict,
    /// What was checked and why it came out so, in one line.
    pub line: String,
}

impl Check {
    /// A check that passes if `holds`, and has another line and verdict otherwise.
    #[must_use]
    pub fn that(holds: bool, pass: impl Into<String>, otherwise: Verdict, line: impl Into<String>) -> Self {
        if holds {
            Self { verdict: Verdict::Pass, line: pass.into() }
        } else {
            Self { verdict: otherwise, line: line.into() }
        }
    }
}

/// What to do about the rest when a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterFailure {
    /// Nothing more is done.
    Stop,
    /// The rest goes on where its own checks allow: the cluster cannot write, and each step brings that nearer.
    GoOn,
}

/// Names a plan, in journal and log: its moment, and some chance.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(pub String);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is going to be done. Nothing in it changes after it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name.
    pub id: PlanId,
    /// What was asked for.
    pub request: Request,
    /// The plan that was interrupted and goes on with this one.
    pub continues: Option<PlanId>,
    /// When it was made.
    pub made_at: Timestamp,
    /// The cluster that it is for.
    pub cluster: ClusterId,
    /// What people call that.
    pub cluster_name: String,
    /// `Rolling defragmentation of prod-eu1`.
    pub title: String,
    /// What it does to the cluster, a sentence each.
    pub consequences: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Members that are left out, and why.
    pub skipped: Vec<String>,
    /// The preflight.
    pub checks: Vec<Check>,
    /// Why a name must be typed, if so even without a warning.
    pub danger: Option<String>,
    /// What must be typed then.
    pub name_to_type: String,
    /// When a step fails.
    pub after_failure: AfterFailure,
    /// Under what terms it is carried out.
    #[serde(default)]
    pub terms: Terms,
}

impl Plan {
    /// Why it cannot be carried out at all, a line for each check that blocks.
    pub fn blocks(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().filter(|c| c.verdict == Verdict::Block).map(|c| c.line.as_str())
    }

    /// The name that must be typed to confirm it; none if a key is enough.
    #[must_use]
    pub fn typed_name(&self) -> Option<&str> {
        let warned = || self.checks.iter().any(|c| c.verdict == Verdict::Warn);
        // What changes nothing needs no more than the key.
        let open = self.changes() && (self.danger.is_some() || warned());
        open.then_some(self.name_to_type.as_str())
    }

    /// Whether it changes the cluster; a snapshot alone does not.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.steps.iter().any(|s| s.action.changes())
    }

    /// All its steps together, where each can be told.
    #[must_use]
    pub fn estimate(&self) -> Option<Duration> {
        self.steps.iter().map(|s| s.estimate).sum()
    }
}
