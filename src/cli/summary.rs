//! `etcdtop replay FILE --summary`: what happened in a recording, for a postmortem: Markdown, or JSON with `-o json`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use color_eyre::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::connect::{output, print, print_json};
use super::exit::Exit;
use crate::app::operation::{Operation, Standing};
use crate::app::reel::Reel;
use crate::app::replay::{Mark, access, begin};
use crate::app::state::Look;
use crate::app::{Keymap, State};
use crate::config::{OutputFormat, Settings, ThemeName};
use crate::model::units::{latency, percent, span};
use crate::model::{Bytes, ClusterId, ClusterView, MemberId, Severity, VerdictKind};
use crate::ops::journal::{End, StepEnd};
use crate::ops::plan::PlanId;
use crate::recording::{Entry, Tape};

/// What happened.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    cluster_id: Option<ClusterId>,
    lab: bool,
    anonymised: bool,
    /// The version of etcdtop that recorded it.
    etcdtop: String,
    from: Timestamp,
    to: Timestamp,
    seconds: f64,
    views: usize,
    members: Vec<MemberSummary>,
    /// How long the cluster was in each state, the longest first.
    verdicts: Vec<VerdictSummary>,
    /// Before the first answer, behind the last one, and in gaps.
    seconds_unknown: f64,
    events: Vec<EventSummary>,
    operations: Vec<OperationSummary>,
    findings_at_the_end: Vec<FindingSummary>,
    gaps: Vec<Gap>,
    notices: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MemberSummary {
    id: MemberId,
    name: String,
    endpoint: Option<String>,
    versions: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
struct VerdictSummary {
    verdict: VerdictKind,
    seconds: f64,
    share: f64,
}

#[derive(Debug, Serialize)]
struct EventSummary {
    at: Timestamp,
    severity: Severity,
    line: String,
}

#[derive(Debug, Serialize)]
struct OperationSummary {
    title: String,
    began: Timestamp,
    ended: Option<Timestamp>,
    result: Option<End>,
    /// The result in words.
    told: String,
    steps: Vec<StepSummary>,
}

#[derive(Debug, Serialize)]
struct StepSummary {
    title: String,
    result: Option<StepEnd>,
    /// The result in words.
    told: String,
    before: Option<Bytes>,
    after: Option<Bytes>,
    took_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct FindingSummary {
    severity: Severity,
    line: String,
    next: String,
}

#[derive(Debug, Serialize)]
struct Gap {
    from: Timestamp,
    seconds: f64,
}

pub(super) fn run(tape: &Tape, settings: &Settings) -> Result<Exit> {
    let summary = summary(tape);
    match output(settings) {
        OutputFormat::Json | OutputFormat::Jsonl => print_json(&summary)?,
        OutputFormat::Table => print(&markdown(&summary))?,
    }
    Ok(Exit::Done)
}

/// What is put together while the recording goes by.
#[derive(Default)]
struct Watched {
    marks: Vec<Mark>,
    views: usize,
    members: BTreeMap<MemberId, MemberSummary>,
    verdicts: BTreeMap<VerdictKind, Duration>,
    operations: Vec<(PlanId, Operation, Timestamp)>,
}

fn summary(tape: &Tape) -> Summary {
    let meta = tape.meta();
    let blank = || {
        let look = Look { theme: ThemeName::Mono, ascii: true };
        let view = Arc::new(ClusterView::empty(tape.from()));
        let mut state = State::new(view, access(meta), look, Keymap::default(), meta.interval());
        begin(&mut state, meta, Vec::new());
        state
    };
    let mut reel = Reel::new(tape, blank);
    let mut watched = Watched::default();
    let gaps: Vec<_> = tape.gaps().collect();
    let mut since: Option<(Duration, VerdictKind)> = None;
    let (mut at, mut clock) = (Duration::ZERO, tape.from());
    loop {
        let mut is_view = false;
        let marks = reel.step_with(tape, |record, entry| {
            is_view = matches!(entry, Entry::View(_));
            (at, clock) = (record.from_start, record.at);
        });
        let Some(marks) = marks else { break };
        watched.marks.extend(marks);
        watch_operation(&mut watched, reel.state(), clock);
        if !is_view {
            continue;
        }
        watched.views += 1;
        if let Some((from, verdict)) = since {
            // Of a gap nobody knows.
            if !gaps.iter().any(|(gap, _)| *gap == from) {
                *watched.verdicts.entry(verdict).or_default() += at.saturating_sub(from);
            }
        }
        since = Some((at, reel.state().verdict.kind));
        watch_members(&mut watched, &reel.state().view);
    }
    let clock_of = |m: &Mark| tape.clock(m.at);
    let known: Duration = watched.verdicts.values().sum();
    let mut verdicts: Vec<_> = watched
        .verdicts
        .iter()
        .map(|(verdict, time)| VerdictSummary {
            verdict: *verdict,
            seconds: time.as_secs_f64(),
            share: time.as_secs_f64() / tape.length().as_secs_f64().max(1e-9),
        })
        .collect();
    verdicts.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let state = reel.state();
    Summary {
        name: meta.name.clone(),
        cluster_id: state.view.cluster_id,
        lab: meta.lab,
        anonymised: meta.anonymised,
        etcdtop: meta.etcdtop.clone(),
        from: tape.from(),
        to: tape.clock(tape.length()),
        seconds: tape.length().as_secs_f64(),
        views: watched.views,
        members: by_name(watched.members),
        verdicts,
        seconds_unknown: tape.length().saturating_sub(known).as_secs_f64(),
        events: watched
            .marks
            .iter()
            .map(|m| EventSummary { at: clock_of(m), severity: m.severity, line: m.line.clone() })
            .collect(),
        operations: watched.operations.iter().map(|(_, o, began)| operation(o, *began)).collect(),
        findings_at_the_end: state
            .findings
            .iter()
            .map(|f| FindingSummary { severity: f.severity, line: f.line.clone(), next: f.next.clone() })
            .collect(),
        gaps: gaps
            .iter()
            .map(|(at, long)| Gap { from: tape.clock(*at), seconds: long.as_secs_f64() })
            .collect(),
        notices: tape.notices(),
    }
}

fn watch_operation(watched: &mut Watched, state: &State, clock: Timestamp) {
    let Some(now) = &state.changes.operation else { return };
    if let Some((_, known, _)) = watched.operations.iter_mut().find(|(id, _, _)| *id == now.plan.id) {
        known.clone_from(now);
        return;
    }
    let began = now.log.first().map_or(clock, |(at, _)| *at);
    watched.operations.push((now.plan.id.clone(), now.clone(), began));
}

fn by_name(members: BTreeMap<MemberId, MemberSummary>) -> Vec<MemberSummary> {
    let mut members: Vec<_> = members.into_values().collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

fn watch_members(watched: &mut Watched, view: &ClusterView) {
    for m in &view.members {
        let Some(id) = m.id else { continue };
        let known = watched.members.entry(id).or_insert_with(|| MemberSummary {
            id,
            name: m.label(),
            endpoint: None,
            versions: BTreeSet::new(),
        });
        known.name = m.label();
        known.endpoint = m.endpoint.as_ref().map(ToString::to_string).or_else(|| known.endpoint.take());
        known.versions.extend(m.status.as_ref().map(|s| s.version.to_string()));
    }
}

fn operation(o: &Operation, began: Timestamp) -> OperationSummary {
    let step = |(step, standing): &(crate::ops::plan::Step, Standing)| {
        let (result, figures) = match standing {
            Standing::Ended(end, figures) => (Some(end.clone()), figures.clone()),
            _ => (None, crate::ops::journal::Figures::default()),
        };
        let told = match (&result, standing) {
            (Some(StepEnd::Done), _) => {
                let note = figures.note.as_ref().map_or_else(String::new, |n| format!(": {n}"));
                format!("done{note}")
            }
            (Some(StepEnd::Failed(why)), _) => format!("failed: {why}"),
            (Some(StepEnd::Unknown(why)), _) => format!("outcome unknown: {why}"),
            (Some(StepEnd::Skipped(why) | StepEnd::Needless(why)), _) => why.clone(),
            (None, Standing::Ahead) => "not begun".into(),
            (None, _) => "not ended in the recording".into(),
        };
        let title = step.title.clone();
        StepSummary {
            title,
            result,
            told,
            before: figures.before,
            after: figures.after,
            took_ms: figures.took_ms,
        }
    };
    let end = o.end.as_ref();
    OperationSummary {
        title: o.plan.title.clone(),
        began,
        ended: end.map(|(_, at)| *at),
        result: end.map(|(end, _)| end.clone()),
        told: end.map_or_else(|| "it ran on when the recording ended".into(), |(end, _)| end.to_string()),
        steps: o.steps.iter().map(step).collect(),
    }
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn size(bytes: Option<Bytes>) -> String {
    bytes.map_or_else(String::new, |b| b.to_string())
}

fn markdown(s: &Summary) -> String {
    let time = |seconds: f64| span(Duration::from_secs_f64(seconds.max(0.0).round()));
    let id = s.cluster_id.map_or_else(|| "unknown".into(), |id| id.to_string());
    let lab = if s.lab { ", a lab" } else { "" };
    let mut out = format!("# What happened in {}\n\n", cell(&s.name));
    out += &format!(
        "- cluster {id}{lab}\n- from {} to {} UTC, {}, {} polls\n",
        utc(s.from),
        utc(s.to),
        time(s.seconds),
        s.views
    );
    for m in &s.members {
        let versions: Vec<_> = m.versions.iter().map(String::as_str).collect();
        let at = m.endpoint.as_ref().map_or_else(String::new, |e| format!(" at {e}"));
        out += &format!("- member {} ({}){at}: etcd {}\n", m.name, m.id, versions.join(", then "));
    }
    out +=
        &format!("- recorded by etcdtop {}{}\n", s.etcdtop, if s.anonymised { ", anonymised" } else { "" });
    out += "\n## How the cluster was\n\n| verdict | for | share |\n|---|---:|---:|\n";
    for v in &s.verdicts {
        out += &format!("| {} | {} | {} |\n", v.verdict.word(), time(v.seconds), percent(v.share));
    }
    if s.seconds_unknown >= 0.5 {
        let share = percent(s.seconds_unknown / s.seconds.max(1e-9));
        out += &format!("| not known | {} | {share} |\n", time(s.seconds_unknown));
    }
    out += "\n## Events, in UTC\n\n| when | | what |\n|---|---|---|\n";
    for e in &s.events {
        out += &format!("| {} | {} | {} |\n", utc(e.at), e.severity.word(), cell(&e.line));
    }
    if !s.operations.is_empty() {
        out += "\n## Operations\n";
    }
    for o in &s.operations {
        let until = o.ended.map_or_else(String::new, |at| format!(" to {}", utc(at)));
        out += &format!("\n### {}\n\n{}{until} UTC: {}\n\n", o.title, utc(o.began), o.told);
        out += "| step | result | before | after | took |\n|---|---|---:|---:|---:|\n";
        for step in &o.steps {
            let took = step.took_ms.map_or_else(String::new, |ms| latency(Duration::from_millis(ms)));
            let (before, after) = (size(step.before), size(step.after));
            out +=
                &format!("| {} | {} | {before} | {after} | {took} |\n", cell(&step.title), cell(&step.told));
        }
    }
    out += "\n## Findings at the end\n\n";
    if s.findings_at_the_end.is_empty() {
        out += "None.\n";
    }
    for f in &s.findings_at_the_end {
        out += &format!("- {}: {} (next: {})\n", f.severity.word(), f.line, f.next);
    }
    if !s.gaps.is_empty() || !s.notices.is_empty() {
        out += "\n## What is missing\n\n";
    }
    for gap in &s.gaps {
        out += &format!("- nothing was recorded for {} from {} UTC on\n", time(gap.seconds), utc(gap.from));
    }
    for notice in &s.notices {
        out += &format!("- {notice}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::text::is_dangerous;
    use crate::recording::writer::Encoder;
    use crate::testing::story;

    #[test]
    fn no_text_of_a_recording_can_do_anything_to_a_terminal() {
        const EVIL: &str = "\x1b]52;c;ZXZpbA==\x07\u{9b}2J\u{202e}\r\n# Evil";
        let mut told = story();
        for (_, entry) in &mut told {
            match entry {
                Entry::Meta(meta) => {
                    meta.lost = vec![format!("lost {EVIL}")];
                    for text in [&mut meta.name, &mut meta.etcdtop, &mut meta.origin] {
                        text.push_str(EVIL);
                    }
                    meta.notices = vec![format!("notice {EVIL}")];
                }
                Entry::Started(operation) => {
                    operation.plan.title.push_str(EVIL);
                    for (step, _) in &mut operation.steps {
                        step.title.push_str(EVIL);
                    }
                }
                Entry::Operation(crate::ops::OpEvent::StepEnded { end, .. }) => {
                    *end = StepEnd::Failed(format!("failed {EVIL}"));
                }
                Entry::Operation(crate::ops::OpEvent::Ended(end)) => {
                    *end = End::Failed(format!("ended {EVIL}"));
                }
                Entry::View(view) => {
                    let view = Arc::make_mut(view);
                    view.members[0].name = format!("m1{EVIL}").into();
                    if let Some(status) = &mut view.members[0].status {
                        status.version = format!("3.6.5{EVIL}").into();
                    }
                    view.members[1].detail =
                        view.members[1].detail.as_ref().map(|d| format!("{}{EVIL}", d.raw()).into());
                }
                _ => {}
            }
        }
        let tape = Tape::of_bytes("evil", Encoder::new(None).file(&told).unwrap()).unwrap();
        let text = markdown(&summary(&tape));
        let bad: Vec<_> = text.chars().filter(|c| *c != '\n' && is_dangerous(*c)).collect();
        assert!(bad.is_empty() && !text.contains("\n# Evil"), "{bad:?} {text}");
        for told in ["lost ", "notice ", "failed ", "ended ", "prod-eu1", "m1", "3.6.5"] {
            assert!(text.contains(&format!("{told}\\x1b]52;c;")), "{told}: {text}");
        }
    }
}
