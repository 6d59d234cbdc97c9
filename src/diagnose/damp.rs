//! Findings whose figures cross their thresholds back and forth do not come and go with them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Settles, rule, worst_first};
use crate::model::finding::FindingKey;
use crate::model::{ClusterView, Finding, Severity};

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
    /// What to show of what was `found` in a view, worst first.
    pub fn settle(&mut self, found: Vec<Finding>, view: &ClusterView) -> Vec<Finding> {
        let at = view.at;
        let settles = |f: &Finding| rule(f.key.rule).map_or(Settles::AtOnce, |r| r.settles);
        let (mut shown, damped): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|f| settles(f) == Settles::AtOnce);
        // A clock that was set back: what was held from its future would stay for ever.
        self.held.retain(|_, h| h.last <= at);
        for finding in damped {
            self.take(finding, at);
        }
        self.held.retain(|key, h| {
            let away = h.last.duration_since(at).unsigned_abs();
            // Of a member that is gone or silent nothing is known, neither that it goes on nor that it is over.
            let known = key.member.is_none_or(|id| view.member(id).is_some_and(|m| m.state.answers()));
            // What was never shown need not be kept for showing.
            let stays = h.shown && known && settles(&h.finding) == Settles::Slowly;
            away.is_zero() || stays && away < falls_after(h.finding.severity)
        });
        for h in self.held.values_mut() {
            h.shown |= at.duration_since(h.since).unsigned_abs() >= RISES_AFTER;
        }
        shown.extend(self.held.values().filter(|h| h.shown).map(|h| h.shown_at(at)));
        // A note for all is not told beside what is worse of the same kind.
        let worse: Vec<_> =
            shown.iter().filter(|f| f.severity > Severity::Note).map(|f| f.key.rule).collect();
        shown.retain(|f| {
            f.severity > Severity::Note || f.key.member.is_some() || !worse.contains(&f.key.rule)
        });
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
            let (seconds, goes) = (away.as_secs(), falls_after(finding.severity).as_secs());
            finding.evidence.push(format!("not seen for {seconds} s; it goes after {goes} s"));
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
        damper.settle(found, &ClusterView::empty(at(seconds))).iter().map(|f| f.severity).collect()
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
    fn a_critical_figure_at_its_threshold_stays_critical() {
        let mut damper = Damper::default();
        let slow = || slow_disk(Severity::Critical);
        shown(&mut damper, 0, slow());
        for s in (10..200).step_by(10) {
            assert_eq!(shown(&mut damper, s, slow()), [Severity::Critical], "{s}");
            assert_eq!(shown(&mut damper, s + 5, vec![]), [Severity::Critical], "{s}");
        }
    }

    #[test]
    fn what_must_last_goes_at_once_and_a_member_that_falls_silent_takes_its_findings_along() {
        let mut damper = Damper::default();
        let missing =
            || vec![Finding::new("metrics_missing", None, Severity::Note, "m1: none".into(), "", "")];
        assert_eq!(shown(&mut damper, 0, missing()), [], "one scrape that timed out is none");
        assert_eq!(shown(&mut damper, 10, missing()), [Severity::Note]);
        assert_eq!(shown(&mut damper, 11, vec![]), []);

        let mut view = crate::testing::healthy(3);
        let member = view.members[1].id;
        let slow = || vec![Finding::new("fsync_slow", member, Severity::Warning, "m2: slow".into(), "", "")];
        damper.settle(slow(), &view);
        view.at = at(10);
        assert_eq!(damper.settle(slow(), &view).len(), 1);
        view.at = at(12);
        assert_eq!(damper.settle(vec![], &view).len(), 1);
        view.members[1].state = crate::model::MemberState::Refused;
        assert_eq!(damper.settle(vec![], &view), []);
    }

    #[test]
    fn what_is_what_it_is_comes_and_goes_at_once() {
        let mut damper = Damper::default();
        let lost = || vec![Finding::new("quorum_lost", None, Severity::Critical, "lost".into(), "", "")];
        assert_eq!(shown(&mut damper, 0, lost()), [Severity::Critical]);
        assert_eq!(shown(&mut damper, 1, vec![]), []);
    }
}
