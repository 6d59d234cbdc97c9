//! Rules from history to findings. No I/O: each rule is a pure function of a [`Case`].
//!
//! A new rule is one entry in the table of its family's file; what it says of itself there is also what `e` explains on
//! the dashboard and what `docs/findings.md` is made from.

mod backup;
mod damp;
mod disk;
pub mod docs;
pub mod forecast;
mod hashes;
mod membership;
mod metrics;
mod network;
mod outage;
mod process;
mod raft;
mod requests;
mod revisions;
mod space;
mod versions;

pub use damp::Damper;
pub use revisions::kept;

use std::time::Duration;

use crate::model::hashes::Comparison;
use crate::model::metrics::Spread;
use crate::model::units::latency;
use crate::model::{ClusterView, Finding, MemberId, MemberView, MetricsSample, Severity};
use crate::poll::history::History;
use crate::poll::scrapes::{LEAST_STANDS, Scrapes};

/// What is known about snapshots of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backup {
    /// Nobody looked.
    #[default]
    Unknown,
    /// The folder that was looked into holds none of this cluster.
    None,
    /// The newest one.
    Taken {
        /// How old it is.
        age: Duration,
        /// Whether it was verified.
        verified: bool,
    },
}

/// What a diagnosis is made from.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The cluster now.
    pub view: &'a ClusterView,
    /// What was seen over time, the view included.
    pub history: &'a History,
    /// The newest snapshot.
    pub backup: Backup,
    /// The last comparison of the members' data, if one was made.
    pub hashes: Option<&'a Comparison>,
}

impl<'a> Case<'a> {
    /// Of a view and its history alone.
    #[must_use]
    pub const fn new(view: &'a ClusterView, history: &'a History) -> Self {
        Self { view, history, backup: Backup::Unknown, hashes: None }
    }

    /// The metrics of a member, if they are of now: what was scraped last stays for the screens when scrapes end.
    fn fresh(&self, m: &'a MemberView) -> Option<&'a MetricsSample> {
        let stands = m.id.and_then(|id| self.history.scrapes(id)).map_or(LEAST_STANDS, Scrapes::stands);
        let age = self.view.at.duration_since(m.metrics_at?).unsigned_abs();
        m.metrics.as_deref().filter(|_| m.state.answers() && age <= stands)
    }
}

/// When a finding is shown and when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settles {
    /// It is what it is: shown and gone at once.
    AtOnce,
    /// A single moment of it is none: shown when it lasted, gone at once.
    WhenItLasts,
    /// Its figure may cross the threshold back and forth: shown when it lasted, gone when it stayed away (see
    /// [`Damper`]).
    Slowly,
}

/// One rule, and what it says of itself.
#[derive(Debug)]
pub struct Rule {
    /// The name of its findings, as in JSON.
    pub name: &'static str,
    /// When it finds something, and how bad that is.
    pub when: &'static str,
    /// Whose threshold that is.
    pub source: &'static str,
    /// The RPC or metric that it looks at.
    pub from: &'static str,
    /// What it means, and what etcd does inside.
    pub meaning: &'static str,
    /// When it is shown and when it goes.
    pub settles: Settles,
    find: fn(&Case<'_>, &mut Found<'_>),
}

/// Takes the findings of one rule.
struct Found<'a> {
    rule: &'static Rule,
    list: &'a mut Vec<Finding>,
}

impl Found<'_> {
    /// One more; what is left open of it is the caller's to fill in.
    fn add(
        &mut self,
        severity: Severity,
        member: Option<MemberId>,
        line: String,
        next: &str,
    ) -> &mut Finding {
        let finding = Finding::new(self.rule.name, member, severity, line, next, self.rule.meaning);
        self.list.push(finding);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}

/// The rules of a kind.
#[derive(Debug)]
pub struct Family {
    /// Its heading.
    pub title: &'static str,
    /// Its rules.
    pub rules: &'static [Rule],
}

/// Every rule. Of findings of the same severity those of the first rule come first.
pub static FAMILIES: &[Family] = &[
    Family { title: "Outage", rules: outage::RULES },
    Family { title: "Data that differs", rules: hashes::RULES },
    Family { title: "Alarms and space", rules: space::RULES },
    Family { title: "Membership", rules: membership::RULES },
    Family { title: "Raft", rules: raft::RULES },
    Family { title: "Disk", rules: disk::RULES },
    Family { title: "Network and clocks", rules: network::RULES },
    Family { title: "Requests", rules: requests::RULES },
    Family { title: "Process", rules: process::RULES },
    Family { title: "Revisions", rules: revisions::RULES },
    Family { title: "Versions", rules: versions::RULES },
    Family { title: "Backup", rules: backup::RULES },
    Family { title: "Metrics", rules: metrics::RULES },
];

/// The rule of this name.
#[must_use]
pub fn rule(name: &str) -> Option<&'static Rule> {
    FAMILIES.iter().flat_map(|f| f.rules).find(|r| r.name == name)
}

/// The findings of all rules, worst first; of the same severity in the order of the rules.
#[must_use]
pub fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut list = Vec::new();
    for rule in FAMILIES.iter().flat_map(|f| f.rules) {
        (rule.find)(case, &mut Found { rule, list: &mut list });
    }
    worst_first(&mut list);
    list
}

fn worst_first(list: &mut [Finding]) {
    list.sort_by_key(|f| std::cmp::Reverse(f.severity));
}

/// Thresholds of a latency.
struct Slow {
    note: Duration,
    warning: Duration,
    critical: Duration,
}

impl Slow {
    /// How bad it is; none when all is well. More than a note is said only of what is known well: for a minute, or by a
    /// hundred observations, because the p99 of fewer is just the slowest one.
    fn severity(&self, spread: &Spread) -> Option<Severity> {
        let known_well = spread.count >= 100 || spread.span >= Duration::from_secs(60) && spread.count >= 2;
        let severity = match spread.p99 {
            p99 if p99 > self.critical => Severity::Critical,
            p99 if p99 > self.warning => Severity::Warning,
            p99 if p99 > self.note => Severity::Note,
            _ => return None,
        };
        Some(if known_well { severity } else { Severity::Note })
    }

    fn words(&self) -> String {
        let critical = if self.critical == Duration::MAX {
            String::new()
        } else {
            format!(", critical above {}", latency(self.critical))
        };
        format!("note above {}, warning above {}{critical}", latency(self.note), latency(self.warning))
    }
}

/// `; m2, m3 too` after the line about the worst one.
fn others<T>(over: &[T], label: impl Fn(&T) -> String) -> String {
    match over.iter().skip(1).map(label).collect::<Vec<_>>() {
        names if names.is_empty() => String::new(),
        names if names.len() > 3 => format!("; {} members more too", names.len()),
        names => format!("; {} too", names.join(", ")),
    }
}

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod tests;
