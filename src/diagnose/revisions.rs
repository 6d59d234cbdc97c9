//! Old revisions that nobody drops.

use std::time::Duration;

use super::Settles::AtOnce;
use super::{Case, Found, Rule};
use crate::model::units::{age, grouped};
use crate::model::{Revision, Severity};

pub(super) const RULES: &[Rule] = &[Rule {
    name: "revisions_pile_up",
    when: "more than 100,000 revisions are kept, and nothing was compacted for 10 min: warning; while that is not known yet: note",
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
    let floors = case.view.members.iter().filter_map(|m| case.fresh(m)?.compact_revision);
    let floor = floors.max()?;
    Some((u64::try_from(head.0.saturating_sub(floor.0)).unwrap_or_default(), floor))
}

fn pile_up(case: &Case<'_>, found: &mut Found<'_>) {
    let many = |kept: u64| i64::try_from(kept).is_ok_and(|k| k > MANY);
    let Some((kept, floor)) = kept(case).filter(|(kept, _)| many(*kept)) else { return };
    let quiet = quiet(case, floor);
    // Who compacts every few minutes keeps as many when much is written: that is well.
    if quiet == Quiet::Compacted {
        return;
    }
    let (severity, words) = match quiet {
        Quiet::For(d) if d >= LONG => (Severity::Warning, format!(", nothing compacted for {}", age(d))),
        _ => (Severity::Note, ", and when they were compacted last is not known yet".to_owned()),
    };
    let line = format!("{} revisions are kept{words}", grouped(kept));
    let f = found.add(severity, None, line, "compact; let somebody do it every 5 min");
    f.action = Some("compact");
    f.evidence.push(format!("compacted up to {}", floor.0));
    if let Some((age_of, exact)) = case.history.age_of(Revision(floor.0.saturating_add(1))) {
        let at_least = if exact { "" } else { "at least " };
        f.evidence.push(format!("the oldest was written {at_least}{} ago", age(age_of)));
    }
    f.evidence.push("note above 100,000, warning when nothing was compacted for 10 min".into());
}

/// What is known of the last compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quiet {
    /// One was seen within [`LONG`].
    Compacted,
    /// Nothing was compacted for so long, at least.
    For(Duration),
}

/// As long as the floor was seen to stand, up to the last scrape; or since the start of a member that has compacted nothing
/// since. A member that was started just now knows nothing of what was before: the longest that any of them tells.
fn quiet(case: &Case<'_>, floor: Revision) -> Quiet {
    let mut moved = false;
    let mut longest = Duration::ZERO;
    for m in &case.view.members {
        let (Some(metrics), Some(scraped)) = (case.fresh(m), m.metrics_at) else { continue };
        let since = |at: jiff::Timestamp| Duration::try_from(scraped.duration_since(at)).unwrap_or_default();
        if let Some(seen) =
            m.id.and_then(|id| case.history.scrapes(id)?.floor()).filter(|f| f.revision == floor)
        {
            longest = longest.max(since(seen.since));
            moved |= seen.moved && since(seen.since) < LONG;
        }
        if metrics.compactions == Some(0)
            && let Some(started) = metrics.started_at
        {
            longest = longest.max(since(started));
        }
    }
    if moved { Quiet::Compacted } else { Quiet::For(longest) }
}
