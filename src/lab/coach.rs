//! The coach: from what is observed to what is said. No I/O, and nothing known from the inside.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::act::{Act, Cast};
use super::pulse::Felt;
use super::scenario::{MYSTERY, Scenario};
use super::seen::{Kept, Ledger, Seen};
use crate::model::coach::{Change, CoachView, Stand, WatcherView};
use crate::model::event::between;
use crate::model::hashes::Comparison;
use crate::model::text::printable;
use crate::model::units::span;
use crate::model::verdict::judge;
use crate::model::{ClusterView, Outage};

/// What a hint costs, of 100 points.
const HINT: u32 = 10;
/// What a mistake costs.
const MISTAKE: u32 = 15;
/// What may be lost by taking long, at most.
const SLOWEST: u32 = 30;
/// One point for each of these over par.
const LATE: Duration = Duration::from_secs(10);

/// How long the symptom may take to show.
const SHOWS_WITHIN: Duration = Duration::from_secs(60);

/// Changes that are kept.
const CHANGES: usize = 200;

/// What was observed beside the members' answers.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// What clients feel.
    pub felt: Felt,
    /// The consumer, if there is one.
    pub consumer: Option<WatcherView>,
    /// The snapshots in the lab's folder.
    pub kept: Vec<Kept>,
}

/// The coach of one run of a scenario.
#[derive(Debug)]
pub struct Coach {
    scenario: Scenario,
    mystery: bool,
    cast: Cast,
    stand: Stand,
    /// When everything was done that brings the symptom about.
    caused: Option<Timestamp>,
    step: usize,
    hints: Vec<usize>,
    mistakes: Vec<String>,
    changed: Vec<Change>,
    doing: Option<String>,
    missing: Option<String>,
    around: Around,
    ledger: Ledger,
    /// When the learner's turn began, and when the step began.
    start: Option<Arc<ClusterView>>,
    step_start: Option<Arc<ClusterView>>,
    step_rewrites: usize,
    rewrites_told: usize,
    now: Option<Arc<ClusterView>>,
    ended: Option<Timestamp>,
}

impl Coach {
    /// One that has seen nothing yet. `mystery`: it does not tell which scenario it is.
    #[must_use]
    pub fn new(scenario: &Scenario, cast: Cast, mystery: bool) -> Self {
        Self {
            scenario: if mystery { scenario.as_mystery() } else { *scenario },
            mystery,
            cast,
            stand: Stand::Prepares("the symptom is brought about".into()),
            caused: None,
            step: 0,
            hints: vec![0; scenario.steps.len()],
            mistakes: Vec::new(),
            changed: Vec::new(),
            doing: None,
            missing: None,
            around: Around::default(),
            ledger: Ledger::default(),
            start: None,
            step_start: None,
            step_rewrites: 0,
            rewrites_told: 0,
            now: None,
            ended: None,
        }
    }

    /// Everything that brings the symptom about was done: it has to show.
    pub fn caused(&mut self, at: Timestamp) {
        self.caused = Some(at);
        self.stand = Stand::Prepares("the symptom has to show".into());
    }

    /// The symptom could not be brought about.
    pub fn failed(&mut self, why: &str) {
        self.stand = Stand::Lost(printable(&format!("the lab itself failed: {why}")).into_owned());
    }

    /// What can be done besides the dashboard's keys.
    #[must_use]
    pub fn acts(&self) -> Vec<Act> {
        self.scenario.acts(&self.cast)
    }

    /// Steps whose goals were reached.
    #[must_use]
    pub const fn reached(&self) -> usize {
        self.step
    }

    /// Whether it is the learner's turn.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.stand == Stand::Runs
    }

    /// Another hint for this step.
    pub fn hint(&mut self) {
        let all = self.scenario.steps.get(self.step).map_or(0, |s| s.hints.len());
        if self.runs()
            && let Some(shown) = self.hints.get_mut(self.step)
        {
            *shown = (*shown + 1).min(all);
        }
    }

    /// The learner chose something.
    pub fn begins(&mut self, act: Act, at: Timestamp) {
        let title = act.choice(&self.cast).title;
        self.change(at, format!("you: {title}"));
        self.doing = Some(title);
    }

    /// It is done, or was refused.
    pub fn done(&mut self, act: Act, outcome: Result<String, String>, at: Timestamp) {
        self.doing = None;
        self.ledger.acts.push((act, outcome.as_ref().err().cloned(), at));
        if act == Act::LoseEverything && outcome.is_ok() {
            self.ledger.lost_at = self.now.as_ref().and_then(|v| v.revision);
            self.ledger.kept_then = self.around.kept.first().copied();
        }
        let line = outcome.unwrap_or_else(|why| format!("refused: {why}"));
        self.change(at, printable(&line).into_owned());
    }

    /// The members' data was compared.
    pub fn compared(&mut self, comparison: &Comparison) {
        self.ledger.comparison(comparison);
    }

    fn change(&mut self, at: Timestamp, line: String) {
        self.changed.push(Change { at, line });
        if self.changed.len() > CHANGES {
            self.changed.remove(0);
        }
    }

    /// Takes what was seen. One step at most is reached by one view.
    pub fn view(&mut self, view: &Arc<ClusterView>, around: Around) {
        self.tell_changes(view, &around);
        self.around = around;
        self.now = Some(Arc::clone(view));
        match self.stand {
            Stand::Prepares(_) => self.begin(view),
            Stand::Runs => self.judge(view),
            Stand::Solved | Stand::Lost(_) => {}
        }
    }

    /// The learner's turn begins when the symptom shows.
    fn begin(&mut self, view: &Arc<ClusterView>) {
        let Some(caused) = self.caused else { return };
        self.ledger.view(view);
        let Some(seen) = self.seen(view, view) else { return };
        match (self.scenario.shows)(&seen) {
            Ok(()) => {
                self.stand = Stand::Runs;
                self.ledger.begin();
                self.start = Some(Arc::clone(view));
                self.step_start = Some(Arc::clone(view));
                self.missing = None;
                // What led to the symptom is for the learner to find out.
                self.changed.clear();
            }
            Err(missing) => {
                let missing = self.cast.tell(&missing);
                if view.at.duration_since(caused).unsigned_abs() > SHOWS_WITHIN {
                    self.failed(&format!("the symptom does not show: {missing}"));
                }
                self.missing = Some(missing);
            }
        }
    }

    fn judge(&mut self, view: &Arc<ClusterView>) {
        self.ledger.view(view);
        self.tell_rewrites(view);
        let (Some(start), Some(step)) = (self.start.clone(), self.step_start.clone()) else { return };
        let Some(seen) = self.seen(&start, &step) else { return };
        let mut mistakes = (self.scenario.mistakes)(&seen);
        if self.ledger.lost_quorum && !matches!(start.outage(), Some(Outage::QuorumLost { .. })) {
            mistakes.push("the quorum was lost: for a while nothing could be committed".into());
        }
        let lost = (self.scenario.lost)(&seen);
        let goal = self.scenario.steps.get(self.step).map_or(Ok(()), |s| (s.goal)(&seen));
        for mistake in mistakes {
            let mistake = self.cast.tell(&mistake);
            if !self.mistakes.contains(&mistake) {
                self.mistakes.push(mistake);
            }
        }
        if let Some(why) = lost {
            self.stand = Stand::Lost(self.cast.tell(&why));
            self.ended = Some(view.at);
            return;
        }
        if let Err(missing) = goal {
            self.missing = Some(printable(&self.cast.tell(&missing)).into_owned());
            return;
        }
        self.missing = None;
        self.step += 1;
        self.step_start = Some(Arc::clone(view));
        self.step_rewrites = self.ledger.rewrites.len();
        if self.step == self.scenario.steps.len() {
            self.stand = Stand::Solved;
            self.ended = Some(view.at);
        }
    }

    /// What was rewritten, once it is known how long clients waited: a put may still be on its way.
    fn tell_rewrites(&mut self, view: &ClusterView) {
        while let Some(r) = self.ledger.rewrites.get(self.rewrites_told).copied() {
            let through = self.around.felt.get(&view.name_of(r.member));
            let waited = through.and_then(|t| t.longest(r.between.0, r.between.1));
            let patient = view.at.duration_since(r.between.1).as_secs() < 3;
            if through.is_some() && waited.is_none() && patient {
                return;
            }
            let led = if r.led { " while it led" } else { "" };
            let waited = waited.map_or_else(String::new, |waited| match waited.as_millis() {
                0 => "; no put through it was on its way meanwhile".into(),
                ms => format!("; puts through it took up to {ms} ms meanwhile"),
            });
            let name = view.name_of(r.member);
            self.change(view.at, format!("{name} rewritten, {} -> {}{led}{waited}", r.before, r.after));
            self.rewrites_told += 1;
        }
    }

    fn seen<'a>(&'a self, start: &'a ClusterView, step: &'a ClusterView) -> Option<Seen<'a>> {
        Some(Seen {
            start,
            step,
            step_number: self.step + 1,
            step_rewrites: self.step_rewrites,
            now: self.now.as_deref()?,
            ledger: &self.ledger,
            felt: &self.around.felt,
            consumer: self.around.consumer.as_ref(),
            kept: &self.around.kept,
            cast: &self.cast,
        })
    }

    /// What is different from the view before, as the timeline tells it, and what clients feel of it.
    fn tell_changes(&mut self, view: &Arc<ClusterView>, around: &Around) {
        let Some(before) = self.now.clone() else { return };
        let verdicts = (judge(&before, &[]), judge(view, &[]));
        let mut lines: Vec<_> =
            between(&before, view, (&verdicts.0, &verdicts.1)).into_iter().map(|e| e.line).collect();
        for (name, now) in &around.felt {
            let worked = self.around.felt.get(name).is_none_or(|was| was.works);
            if worked != now.works {
                let word = if now.works { "work again" } else { "fail" };
                lines.push(format!("writes through {name} {word}"));
            }
        }
        if let (Some(was), Some(now)) = (&self.around.consumer, &around.consumer)
            && let (None, Some(floor)) = (was.cancelled_at, now.cancelled_at)
        {
            lines.push(format!(
                "the consumer asked for {} on and was cancelled: compacted at {floor}",
                now.next_revision
            ));
        }
        for line in lines {
            self.change(view.at, line);
        }
    }

    /// How long it has been the learner's turn.
    fn elapsed(&self) -> Option<Duration> {
        let until = self.ended.or(self.now.as_ref().map(|v| v.at))?;
        Duration::try_from(until.duration_since(self.start.as_ref()?.at)).ok()
    }

    /// Points of 100.
    #[must_use]
    pub fn score(&self) -> u32 {
        if matches!(self.stand, Stand::Lost(_)) {
            return 0;
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let hints = count(self.hints.iter().sum()).saturating_mul(HINT);
        let mistakes = count(self.mistakes.len()).saturating_mul(MISTAKE);
        let over = self.elapsed().unwrap_or_default().saturating_sub(self.scenario.par);
        let late = u32::try_from(over.as_secs() / LATE.as_secs()).unwrap_or(SLOWEST).min(SLOWEST);
        100_u32.saturating_sub(hints).saturating_sub(mistakes).saturating_sub(late)
    }

    /// What is to be said now.
    #[must_use]
    pub fn told(&self) -> CoachView {
        let s = &self.scenario;
        let over = matches!(self.stand, Stand::Solved | Stand::Lost(_));
        let hidden = self.mystery && !over;
        let step = s.steps.get(self.step.min(s.steps.len() - 1));
        let shown = self.hints.get(self.step).copied().unwrap_or_default();
        let text = |t: &str| self.cast.tell(t);
        let hints = step.map_or(&[][..], |s| s.hints);
        CoachView {
            scenario: if hidden { MYSTERY } else { s.name }.to_owned(),
            title: if hidden { "Mystery drill".into() } else { text(s.title) },
            symptom: if hidden { "Something is wrong with this cluster.".into() } else { text(s.symptom) },
            step: if hidden { 1 } else { (self.step + 1).min(s.steps.len()) },
            of: if hidden { 1 } else { s.steps.len() },
            task: if hidden {
                "Find out what is wrong, and mend it: every member serves, writes work, nothing is lost."
                    .into()
            } else {
                step.map_or_else(String::new, |s| text(s.task))
            },
            look: if hidden {
                "1 Overview; e explains".into()
            } else {
                step.map_or_else(String::new, |s| text(s.look))
            },
            missing: if hidden {
                self.missing.as_ref().map(|_| "it is not mended yet".into())
            } else {
                self.missing.clone()
            },
            hints: hints.iter().take(shown).map(|h| text(h)).collect(),
            hints_left: if self.runs() { hints.len().saturating_sub(shown) } else { 0 },
            changed: self.changed.clone(),
            choices: self.acts().into_iter().map(|act| act.choice(&self.cast)).collect(),
            doing: self.doing.clone(),
            mistakes: self.mistakes.clone(),
            stand: self.stand.clone(),
            score: self.score(),
            began: self.start.as_ref().map(|v| v.at),
            ended: self.ended,
            debrief: if over { self.debrief() } else { Vec::new() },
            watcher: self.around.consumer.clone(),
        }
    }

    fn debrief(&self) -> Vec<String> {
        let solved = self.stand == Stand::Solved;
        let took = self.elapsed().filter(|_| solved).map_or_else(String::new, |t| {
            format!(
                "It took {}; somebody who knows the answer takes about {}.",
                span(t),
                span(self.scenario.par)
            )
        });
        self.scenario
            .debrief
            .iter()
            .map(|t| self.cast.tell(t))
            .chain([took])
            .filter(|t| !t.is_empty())
            .collect()
    }
}

#[cfg(test)]
#[path = "coach_tests.rs"]
mod tests;
