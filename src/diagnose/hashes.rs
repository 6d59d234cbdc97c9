//! Whether the members hold the same data, when somebody asked.

use super::Settles::AtOnce;
use super::{Case, Found, Rule};
use crate::model::Severity;
use crate::model::hashes::Agreement;

pub(super) const RULES: &[Rule] = &[Rule {
    name: "hash_differs",
    when: "HashKV of members differs at one revision and one compact revision: critical; the odd one out is named by a majority, nobody without one",
    source: "etcd's own corruption check: a majority of all members",
    from: "Maintenance.HashKV of each member, on demand",
    meaning: "Members that applied the same entries hold the same data. When they do not, each serves its own truth: reads depend on whom a client asks. The log does not mend it; the odd member has to be replaced: removed, its data deleted, added anew.",
    settles: AtOnce,
    find: differ,
}];

fn differ(case: &Case<'_>, found: &mut Found<'_>) {
    let Some(comparison) = case.hashes else { return };
    let Agreement::Differ { odd } = comparison.agreement() else { return };
    // Members that were replaced since took what they held with them.
    let gone = |id: &crate::model::MemberId| case.view.member(*id).is_none();
    if !odd.is_empty() && odd.iter().all(gone) {
        return;
    }
    let next = if odd.is_empty() {
        "stop writers; save a snapshot of each member, then find out which one is right"
    } else {
        "save a snapshot; then replace it: remove, delete its data, add anew"
    };
    let f = found.add(
        Severity::Critical,
        odd.first().copied().filter(|_| odd.len() == 1),
        comparison.words(),
        next,
    );
    f.action = Some("snapshot");
    for answer in &comparison.answers {
        let told = match (answer.hash, answer.compact_revision, &answer.problem) {
            (Some(hash), Some(floor), _) => format!("hash {hash:08x}, compacted up to {}", floor.0),
            (_, _, Some(problem)) => problem.clone(),
            _ => "no answer".to_owned(),
        };
        f.evidence.push(format!("{}: {told}", answer.name));
    }
    f.evidence.push(format!("compared on {}", comparison.at));
}
