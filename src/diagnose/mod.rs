//! Rules from history to findings. No I/O: each rule is a pure function, and a new one is one line in [`RULES`].

mod members;
mod storage;

use crate::model::{ClusterView, Finding};
use crate::poll::history::History;

/// One rule: adds what it finds.
type Rule = fn(&ClusterView, &History, &mut Vec<Finding>);

const RULES: &[Rule] = &[
    members::outage,
    members::not_serving,
    members::stray_endpoints,
    members::even_voters,
    members::single_voter,
    members::learners,
    members::versions,
    members::conflicts,
    members::leader_changes,
    members::certificates,
    storage::alarms,
    storage::contradiction,
    storage::metrics,
    storage::quota,
    storage::fragmentation,
    storage::sizes_differ,
    storage::lag,
];

/// The findings of all rules, worst first; of the same severity in the order of the rules.
#[must_use]
pub fn findings(view: &ClusterView, history: &History) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in RULES {
        rule(view, history, &mut found);
    }
    found.sort_by_key(|f| std::cmp::Reverse(f.severity));
    found
}

#[cfg(test)]
mod tests;
