//! Findings whose figures cross their thresholds back and forth do not come and go with them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Settles, rule, worst_first};
use crate::model::finding::FindingKey;
use crate::model::{Finding, Severity};

/// A finding of a rule that settles slowly is shown when it has been there for so long: two scrapes.
pub const RISES_AFTER: Duration = Duration::from_secs(10);
/// And goes, or becomes less bad, when it has been so for this long.
pub const FALLS_AFTER: Duration = Duration::from_secs(60);
/// A note goes later: what is just above what is good is so again and again, and does no harm on the screen.
pub const NOTE_FALLS_AFTER: Duration = Duration::from_secs(5 * 60);

const fn falls_after(severity: Severity) -> Duration {
    match severity {
        Severity::Note => NOTE_FALLS_AFTER,
        Severity::Warning | Severity::Critical => FALLS_AFTER,
    }
}

#[derive(Clone, Debug)]
struct Held {
    /// Since when it is there, without a gap.
    since: Timestamp,
    /// When it was there last.
    last: Timestamp,
    /// When it was as bad as it is shown.
    worst: Timestamp,
    shown: bool,
    finding: Finding,
}

/// Remembers what was found before.
#[derive(Clone, Debug, Default)]
pub struct Damper {
    held: BTreeMap<FindingKey, Held>,
}

impl Damper {
    /// What to show of what was `found` at this moment, worst first.
    pub fn settle(&mut self, found: Vec<Finding>, at: Timestamp) -> Vec<Finding> {
        let slowly = |f: &Finding| rule(f.key.rule).is_some_and(|r| r.settles == Settles::Slowly);
        let (damped, mut shown): (Vec<_>, Vec<_>) = found.into_iter().partition(slowly);
        // A clock that was set back: what was held from its future would stay for ever.
        self.held.retain(|_, h| h.last <= at);
        for finding in damped {
            self.take(finding, at);
        }
        self.held.retain(|_, h| {
            let away = h.last.duration_since(at).unsigned_abs();
            // What was never shown need not be kept for showing.
            if h.shown { away < falls_after(h.finding.severity) } else { away.is_zero() }
        });
        for h in self.held.values_mut() {
            h.shown |= at.duration_since(h.since).unsigned_abs() >= RISES_AFTER;
        }
        shown.extend(self.held.values().filter(|h| h.shown).map(|h| h.shown_at(at)));
        worst_first(&mut shown);
        shown
    }

    fn take(&mut self, finding: Finding, at: Timestamp) {
        let Some(held) = self.held.get_mut(&finding.key) else {
            let held = Held { since: at, last: at, worst: at, shown: false, finding: finding.clone() };
            self.held.insert(finding.key.clone(), held);
            return;
        };
        held.last = at;
        let milder = finding.severity < held.finding.severity;
        if milder && at.duration_since(held.worst).unsigned_abs() < FALLS_AFTER {
            let severity = held.finding.severity;
            held.finding = Finding { severity, ..finding };
            return;
        }
        held.worst = at;
        held.finding = finding;
    }
}

impl Held {
    fn shown_at(&self, at: Timestamp) -> Finding {
        let mut finding = self.finding.clone();
        let away = at.duration_since(self.last).unsigned_abs();
        if !away.is_zero() {
            let seconds = away.as_secs();
            let goes = falls_after(finding.severity).as_secs();
            finding.evidence.push(format!("below the threshold for {seconds} s; it goes after {goes} s"));
            // What is over by now is no more than worth knowing.
            finding.severity = finding.severity.min(Severity::Warning);
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    fn at(seconds: i64) -> Timestamp {
        noon().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap()
    }

    fn slow_disk(severity: Severity) -> Vec<Finding> {
        vec![Finding::new("fsync_slow", None, severity, "m1: slow".into(), "look", "meaning")]
    }

    fn shown(damper: &mut Damper, seconds: i64, found: Vec<Finding>) -> Vec<Severity> {
        damper.settle(found, at(seconds)).iter().map(|f| f.severity).collect()
    }

    #[test]
    fn what_comes_and_goes_is_shown_when_it_lasts_and_goes_when_it_stays_away() {
        let mut damper = Damper::default();
        let slow = || slow_disk(Severity::Warning);
        assert_eq!(shown(&mut damper, 0, slow()), []);
        assert_eq!(shown(&mut damper, 5, vec![]), [], "a single moment is none");
        assert_eq!(shown(&mut damper, 6, slow()), []);
        assert_eq!(shown(&mut damper, 16, slow()), [Severity::Warning]);
        // It flaps every five seconds: it stands.
        for s in (20..200).step_by(10) {
            assert_eq!(shown(&mut damper, s, vec![]), [Severity::Warning], "{s}");
            assert_eq!(shown(&mut damper, s + 5, slow()), [Severity::Warning], "{s}");
        }
        assert_eq!(shown(&mut damper, 250, vec![]), [Severity::Warning]);
        assert_eq!(shown(&mut damper, 260, vec![]), []);
    }

    #[test]
    fn a_note_stays_longer() {
        let mut damper = Damper::default();
        shown(&mut damper, 0, slow_disk(Severity::Note));
        shown(&mut damper, 10, slow_disk(Severity::Note));
        assert_eq!(shown(&mut damper, 309, vec![]), [Severity::Note]);
        assert_eq!(shown(&mut damper, 310, vec![]), []);
    }

    #[test]
    fn it_becomes_worse_at_once_and_better_slowly() {
        let mut damper = Damper::default();
        shown(&mut damper, 0, slow_disk(Severity::Warning));
        assert_eq!(shown(&mut damper, 10, slow_disk(Severity::Warning)), [Severity::Warning]);
        assert_eq!(shown(&mut damper, 11, slow_disk(Severity::Critical)), [Severity::Critical]);
        assert_eq!(shown(&mut damper, 40, slow_disk(Severity::Warning)), [Severity::Critical]);
        assert_eq!(shown(&mut damper, 71, slow_disk(Severity::Warning)), [Severity::Warning]);
    }

    #[test]
    fn what_is_what_it_is_comes_and_goes_at_once() {
        let mut damper = Damper::default();
        let lost = || vec![Finding::new("quorum_lost", None, Severity::Critical, "lost".into(), "", "")];
        assert_eq!(shown(&mut damper, 0, lost()), [Severity::Critical]);
        assert_eq!(shown(&mut damper, 1, vec![]), []);
    }
}
