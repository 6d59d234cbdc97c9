//! A diagnosed problem: what is wrong, where, how one knows, and what to do next.

use serde::Serialize;

use super::ids::MemberId;

/// How bad it is. Ordered: the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; the cluster is healthy with it.
    Note,
    /// Will become a problem.
    Warning,
    /// Is one.
    Critical,
}

impl Severity {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a finding is about, stable across polls: the same rule on the same member is the same finding,
/// however its figures change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FindingKey {
    /// The rule's name, such as `quota_nearly_full`.
    pub rule: &'static str,
    /// The member, unless it is about the whole cluster.
    pub member: Option<MemberId>,
    /// What it is about besides: an endpoint, a version, an alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

impl Finding {
    /// A finding without further evidence.
    #[must_use]
    pub fn new(
        rule: &'static str,
        member: Option<MemberId>,
        severity: Severity,
        line: String,
        next: &str,
        meaning: &'static str,
    ) -> Self {
        Self {
            key: FindingKey { rule, member, subject: None },
            severity,
            line,
            next: next.to_owned(),
            action: None,
            evidence: Vec::new(),
            meaning,
        }
    }
}

impl Finding {
    /// What of ours does the next step: the name of an action.
    #[must_use]
    pub const fn done_by(mut self, action: &'static str) -> Self {
        self.action = Some(action);
        self
    }

    /// The same rule, the same member, but about something of its own.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.key.subject = Some(subject.into());
        self
    }
}

/// One problem. All texts are safe to print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub key: FindingKey,
    /// How bad.
    pub severity: Severity,
    /// One line: the problem with its figures.
    pub line: String,
    /// What to do next, in a few words; empty when there is nothing to do but to watch.
    pub next: String,
    /// The dashboard's action that does it, by its name in the table of keys; none: nothing of ours does.
    pub action: Option<&'static str>,
    /// The evidence: figures and thresholds, a line each.
    pub evidence: Vec<String>,
    /// What it means and whose threshold it is.
    pub meaning: &'static str,
}
