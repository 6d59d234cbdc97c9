//! Old revisions that nobody drops.

use std::time::Duration;

use super::Settles::AtOnce;
use super::{Case, Found, Rule};
use crate::model::units::{age, grouped};
use crate::model::{Revision, Severity};

pub(super) const RULES: &[Rule] = &[Rule {
    name: "revisions_pile_up",
    when: "more than 100,000 revisions are kept: note; and nothing was compacted for 10 min: warning",
    source: "runbooks; the Kubernetes API server compacts every 5 min",
    from: "header.revision, etcd_debugging_mvcc_compact_revision",
    meaning: "Every change of a key is kept until a compaction drops it: the file grows with every write, and so does the time to start. Nobody compacts here: no API server, and no --auto-compaction-retention.",
    settles: AtOnce,
    find: pile_up,
}];

/// More revisions than this are many.
const MANY: i64 = 100_000;
/// Who compacts at all does it more often than this.
const LONG: Duration = Duration::from_secs(10 * 60);

/// Revisions above the floor, as far as a member tells it.
#[must_use]
pub fn kept(case: &Case<'_>) -> Option<(u64, Revision)> {
    let head = case.view.revision?;
    let floors = case.view.members.iter().filter_map(|m| m.metrics.as_ref()?.compact_revision);
    let floor = floors.max()?;
    Some((u64::try_from(head.0.saturating_sub(floor.0)).unwrap_or_default(), floor))
}

fn pile_up(case: &Case<'_>, found: &mut Found<'_>) {
    let Some((kept, floor)) = kept(case).filter(|(kept, _)| i64::try_from(*kept).is_ok_and(|k| k > MANY))
    else {
        return;
    };
    let since = quiet(case, floor);
    let long = since.is_some_and(|d| d >= LONG);
    let severity = if long { Severity::Warning } else { Severity::Note };
    let quiet =
        since.filter(|_| long).map_or_else(String::new, |d| format!(", nothing compacted for {}", age(d)));
    let line = format!("{} revisions are kept{quiet}", grouped(kept));
    let f = found.add(severity, None, line, "compact; let somebody do it every 5 min");
    f.action = Some("compact");
    f.evidence.push(format!("compacted up to {}", floor.0));
    if let Some((age_of, exact)) = case.history.age_of(Revision(floor.0.saturating_add(1))) {
        let at_least = if exact { "" } else { "at least " };
        f.evidence.push(format!("the oldest was written {at_least}{} ago", age(age_of)));
    }
    f.evidence.push("note above 100,000, warning when nothing was compacted for 10 min".into());
}

/// For how long nothing was compacted, at least: as long as the floor was seen to stand, or since the start of a member
/// that has compacted nothing since.
fn quiet(case: &Case<'_>, floor: Revision) -> Option<Duration> {
    let stands = case.view.members.iter().filter_map(|m| {
        let (known, since) = case.history.scrapes(m.id?)?.floor()?;
        (known == floor).then(|| case.view.at.duration_since(since).unsigned_abs())
    });
    let started = case.view.members.iter().filter_map(|m| {
        let metrics = m.metrics.as_ref().filter(|x| x.compactions == Some(0))?;
        Duration::try_from(case.view.at.duration_since(metrics.started_at?)).ok()
    });
    // A member that was started just now knows nothing of what was before: the longest that any of them tells.
    stands.chain(started).max()
}
