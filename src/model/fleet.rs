//! Many clusters, a row each: what is worst comes first.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::cluster::ClusterView;
use super::ids::{Bytes, Revision};
use super::verdict::{Verdict, VerdictKind};

/// How a context does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its settings cannot be used, so its cluster was not asked.
    NotAsked,
    /// What is true of its cluster.
    Judged(VerdictKind),
}

impl Standing {
    /// The higher, the worse. A context that could not be asked about comes after everything that is known to be wrong, and
    /// before what is well.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Judged(VerdictKind::Healthy) => 0,
            Self::Judged(VerdictKind::Connecting) => 1,
            Self::NotAsked => 2,
            Self::Judged(VerdictKind::Warning) => 3,
            Self::Judged(VerdictKind::Degraded) => 4,
            Self::Judged(VerdictKind::ReadOnly) => 5,
            Self::Judged(VerdictKind::Corrupt) => 6,
            Self::Judged(VerdictKind::NoLeader) => 7,
            Self::Judged(VerdictKind::QuorumLost) => 8,
            Self::Judged(VerdictKind::Unreachable) => 9,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotAsked => "NOT ASKED",
            Self::Judged(kind) => kind.word(),
        }
    }
}

/// How many clusters there are and how they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All of them.
    pub total: usize,
    /// How many of each standing there are, worst first.
    pub counts: Vec<(Standing, usize)>,
}

impl Summary {
    /// Of so many.
    #[must_use]
    pub fn of(standings: impl Iterator<Item = Standing>) -> Self {
        let mut summary = Self::default();
        for standing in standings {
            summary.total += 1;
            match summary.counts.iter_mut().find(|(s, _)| *s == standing) {
                Some((_, n)) => *n += 1,
                None => summary.counts.push((standing, 1)),
            }
        }
        summary.counts.sort_by_key(|(s, _)| std::cmp::Reverse(s.rank()));
        summary
    }

    /// `12 clusters`.
    #[must_use]
    pub fn total_words(&self) -> String {
        format!("{} {}", self.total, if self.total == 1 { "cluster" } else { "clusters" })
    }
}

/// `2 degraded`.
#[must_use]
pub fn count_words(standing: Standing, n: usize) -> String {
    let word = match standing {
        Standing::Judged(VerdictKind::ReadOnly) => "READ-ONLY",
        other => other.word(),
    };
    format!("{n} {}", word.to_lowercase())
}

/// `12 clusters: 1 quorum lost, 2 degraded, 9 healthy`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.counts.iter().map(|(s, n)| count_words(*s, *n)).collect();
        write!(f, "{}: {}", self.total_words(), counts.join(", "))
    }
}

/// What a row tells of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// How it does, and why.
    pub verdict: Verdict,
    /// Members that serve.
    pub serving: usize,
    /// Members in its list; none while nobody told it.
    pub members: Option<usize>,
    /// How many more may fail.
    pub can_lose: Option<usize>,
    /// The leader's name.
    pub leader: Option<String>,
    /// The versions in use, safe to print; more than one in the middle of an upgrade.
    pub versions: String,
    /// The file that is the fullest, or where no quota is known the largest.
    pub db: Option<Bytes>,
    /// What is in use of it.
    pub in_use: Option<Bytes>,
    /// Its quota.
    pub quota: Option<Bytes>,
    /// The revision.
    pub revision: Option<Revision>,
    /// Revisions a second, over the last moments.
    pub rate: Option<f64>,
    /// When a member answered last.
    pub answered: Option<Timestamp>,
    /// How often they are asked.
    pub every: Duration,
}

impl Told {
    /// Of a view and what was concluded from it.
    #[must_use]
    pub fn of(view: &ClusterView, verdict: Verdict) -> Self {
        // Fullest by its quota; where no quota is known, the largest.
        let size = |m: &&super::MemberView| m.status.as_ref().and_then(|s| s.db_size);
        let fullest = view.members.iter().filter(|m| size(m).is_some()).max_by(|a, b| {
            let share = |m| size(m).zip(super::MemberView::quota(m)).map_or(0.0, |(s, q)| s.share_of(q.0));
            share(a).total_cmp(&share(b)).then_with(|| size(a).cmp(&size(b)))
        });
        let versions: Vec<_> = view.versions().iter().map(ToString::to_string).collect();
        Self {
            verdict,
            serving: view.serving(),
            members: Some(view.listed()).filter(|n| *n > 0),
            can_lose: view.can_lose(),
            leader: view.leader.map(|id| view.name_of(id)),
            versions: versions.join(", "),
            db: fullest.and_then(|m| size(&m)),
            in_use: fullest.and_then(|m| m.status.as_ref()?.db_size_in_use),
            quota: fullest.and_then(|m| Some(m.quota()?.0)),
            revision: view.revision,
            rate: None,
            answered: view.members.iter().filter_map(|m| m.status_at).max(),
            every: Duration::ZERO,
        }
    }
}

/// An answer that is older than this, and than two polls, is late.
const LATE: Duration = Duration::from_secs(3);

impl Told {
    /// How old the last answer is, if the next one should have come by now.
    #[must_use]
    pub fn late(&self, now: Timestamp) -> Option<Duration> {
        let old = Duration::try_from(now.duration_since(self.answered?)).unwrap_or_default();
        Some(old).filter(|old| *old > LATE.max(self.every * 2))
    }
}

/// A context and what is known of its cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The context's name, safe to print.
    pub context: String,
    /// What is known, or why its cluster cannot be asked.
    pub told: Result<Told, String>,
}

impl Row {
    /// How it does.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match &self.told {
            Ok(told) => Standing::Judged(told.verdict.kind),
            Err(_) => Standing::NotAsked,
        }
    }

    /// What stands for it in a table: `QUORUM LOST 1/3`.
    #[must_use]
    pub fn headline(&self) -> &str {
        match &self.told {
            Ok(told) => &told.verdict.headline,
            Err(_) => Standing::NotAsked.word(),
        }
    }

    /// Why; empty when all is well.
    #[must_use]
    pub fn reason(&self) -> &str {
        match &self.told {
            Ok(told) => &told.verdict.reason,
            Err(why) => why,
        }
    }
}

/// Worst first; of the same standing by name.
pub fn worst_first(rows: &mut [Row]) {
    rows.sort_by(|a, b| {
        b.standing().rank().cmp(&a.standing().rank()).then_with(|| a.context.cmp(&b.context))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MemberState;
    use crate::model::verdict::judge;
    use crate::testing::{healthy, with_state};

    fn row(context: &str, view: &ClusterView) -> Row {
        Row { context: context.into(), told: Ok(Told::of(view, judge(view, &[]))) }
    }

    #[test]
    fn the_worst_comes_first_and_names_decide_between_equals() {
        let hung = with_state(healthy(3), 1, MemberState::Hung, "accepts TCP");
        let gone = (0..3).fold(healthy(3), |v, i| with_state(v, i, MemberState::Refused, "nothing listens"));
        let lost = "cacert /no/such: no such file".to_owned();
        let mut rows = vec![
            row("c", &healthy(3)),
            row("a", &healthy(3)),
            Row { context: "d".into(), told: Err(lost) },
            row("e", &hung),
            row("b", &gone),
        ];
        worst_first(&mut rows);
        let order: String = rows.iter().map(|r| r.context.as_str()).collect();
        assert_eq!(order, "bedac");
        let summary = Summary::of(rows.iter().map(Row::standing));
        assert_eq!(summary.to_string(), "5 clusters: 1 unreachable, 1 degraded, 1 not asked, 2 healthy");
        let Ok(told) = &rows[1].told else { panic!("{rows:?}") };
        assert_eq!((told.serving, told.members, told.leader.as_deref()), (2, Some(3), Some("m1")));
        // The first member of the fixture has the largest file.
        assert_eq!((told.db, told.quota), (Some(Bytes(1_377_964_032)), Some(Bytes(2 << 30))));
    }
}
