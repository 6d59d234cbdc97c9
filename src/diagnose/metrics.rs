//! `/metrics` that cannot be had.

use super::Settles::WhenItLasts;
use super::{Case, Found, Rule, others};
use crate::model::{MemberView, Severity};

pub(super) const RULES: &[Rule] = &[Rule {
    name: "metrics_missing",
    when: "a member that answers serves no /metrics, or a body that is none: note",
    source: "",
    from: "GET /metrics on the client url, or where --metrics-url says",
    meaning: "fsync, commit, proposals, round trips, requests, the compaction floor, and before 3.6 the quota, come from /metrics alone: what needs them is not diagnosed.",
    settles: WhenItLasts,
    find: missing,
}];

fn missing(case: &Case<'_>, found: &mut Found<'_>) {
    let view = case.view;
    let without: Vec<&MemberView> =
        view.members.iter().filter(|m| m.state.answers() && m.metrics_error.is_some()).collect();
    let Some(m) = without.first() else { return };
    let reason = m.metrics_error.as_ref().map(ToString::to_string).unwrap_or_default();
    let quota = if without.iter().any(|m| m.quota().is_none()) { "; its quota is not known" } else { "" };
    let line = format!("{}: no /metrics: {reason}{}{quota}", m.label(), others(&without, |m| m.label()));
    // Something else answers there: they are elsewhere. Who does not answer is not found by another url.
    let elsewhere = reason.contains("status") || reason.contains("no etcd metric");
    let next =
        if elsewhere { "name them with --metrics-url http://*:PORT" } else { "try it: curl URL/metrics" };
    let f = found.add(Severity::Note, None, line, next);
    for m in &without {
        f.evidence.extend(m.metrics_error.as_ref().map(|e| format!("{}: {e}", m.label())));
    }
}
