//! `etcdtop diagnose`: the findings, worst first: once, as a monitoring plugin, or as they come and go.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::args::Cli;
use super::bundle;
use super::connect::{access, output, poll_options, print, print_json, run_to_end, settings, warn};
use super::exit::{Exit, Plugin};
use super::operate::snapshot_dir;
use super::status::{refuse_to_mix, settled};
use crate::app::Keymap;
use crate::config::{OutputFormat, Settings, parse_duration};
use crate::diagnose::{self, Backup, Case, Damper};
use crate::etcd::Access;
use crate::model::hashes::Comparison;
use crate::model::units::age;
use crate::model::verdict::judge;
use crate::model::{ClusterId, ClusterView, Finding, MemberId, Severity, Verdict, VerdictKind};
use crate::poll::compare::compare;
use crate::poll::history::History;
use crate::poll::{Options, Poll};

// The comments of fields are the help texts of flags.
#[allow(clippy::doc_markdown)]
/// What `diagnose` takes.
#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools)] // flags, each its own
pub struct DiagnoseArgs {
    /// How long to look: rates and latencies are what happened meanwhile; 0s tells only what one look tells
    #[arg(long = "for", value_name = "DURATION", default_value = "6s", value_parser = look)]
    pub look: Duration,
    /// Go on looking: a line whenever a finding comes, changes or goes
    #[arg(long, conflicts_with_all = ["bundle", "look"])]
    pub watch: bool,
    /// Compare the members' data, too (HashKV: writes through a member wait while it reads its keys)
    #[arg(long, conflicts_with = "watch")]
    pub hashkv: bool,
    /// What each finding rests on and means, too
    #[arg(long)]
    pub explain: bool,
    /// Write status, figures, findings and settings without secrets into this file, for a ticket
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Names, hosts, ids and paths in the bundle are replaced
    #[arg(long, requires = "bundle")]
    pub anonymise: bool,
}

/// Up to a day.
fn look(text: &str) -> Result<Duration, String> {
    let look = parse_duration(text)?;
    if look > Duration::from_secs(86_400) {
        return Err("must be at most 24h; --watch looks for ever".into());
    }
    Ok(look)
}

/// A finding, as in JSON.
#[derive(Serialize)]
pub(super) struct FindingJson<'a> {
    name: &'static str,
    severity: Severity,
    member_id: Option<MemberId>,
    member: Option<String>,
    subject: Option<&'a str>,
    line: &'a str,
    evidence: &'a [String],
    meaning: &'static str,
    next: &'a str,
    /// The key of the dashboard that does it.
    key: Option<String>,
}

/// `diagnose -o json`.
#[derive(Serialize)]
pub(super) struct DiagnosisJson<'a> {
    at: Timestamp,
    cluster_id: Option<ClusterId>,
    verdict: VerdictKind,
    reason: &'a str,
    /// Of the worst finding.
    severity: Option<Severity>,
    /// What was looked at, in seconds.
    looked_for: f64,
    /// Whether rates and latencies are among what was looked at.
    measured: bool,
    findings: Vec<FindingJson<'a>>,
    hashes: Option<&'a Comparison>,
    /// Why the members' data could not be compared.
    hashes_problem: Option<&'a str>,
}

/// A line of `diagnose --watch -o jsonl`.
#[derive(Serialize)]
struct ChangeJson<'a> {
    at: Timestamp,
    event: &'static str,
    finding: FindingJson<'a>,
}

/// What was found out.
pub(super) struct Diagnosis {
    pub(super) view: Arc<ClusterView>,
    pub(super) history: History,
    pub(super) verdict: Verdict,
    pub(super) findings: Vec<Finding>,
    /// The members' data compared, or why it could not be; none: it was not asked for.
    pub(super) hashes: Option<Result<Comparison, String>>,
}

pub(super) fn run(cli: &Cli, args: &DiagnoseArgs) -> Result<Exit> {
    let settings = settings(cli)?;
    let keys = keys(&settings)?;
    warn(&settings);
    if let Some(file) = &args.bundle {
        bundle::check(file)?;
    }
    if args.watch {
        return run_to_end(async {
            let options = poll_options(access(&settings)?, &settings).await?;
            watch(options, &settings, &keys).await
        });
    }
    let access = access(&settings)?;
    let diagnosis = run_to_end(look_at(&settings, access, args.look, args.hashkv))?;
    match output(&settings) {
        OutputFormat::Table => print(&human(&diagnosis, &keys, args.explain))?,
        OutputFormat::Json | OutputFormat::Jsonl => print_json(&diagnosis.json(&keys))?,
    }
    if let Some(file) = &args.bundle {
        bundle::write(file, &diagnosis, &settings, &keys, args.anonymise)?;
        eprintln!("etcdtop: written to {}", file.display());
    }
    Ok(diagnosis.exit())
}

/// Looks at a cluster for so long.
pub(super) async fn look_at(
    settings: &Settings,
    access: Access,
    look: Duration,
    hashkv: bool,
) -> Result<Diagnosis> {
    let mut options = poll_options(access, settings).await?;
    // Two scrapes must come within the time.
    options.metrics_every =
        options.metrics_every.map(|every| every.min(look.mul_f64(0.8)).max(Duration::from_millis(500)));
    let diagnosis = once(options, settings, look, hashkv).await;
    refuse_to_mix(&diagnosis.view)?;
    Ok(diagnosis)
}

/// The keys of the dashboard, as they are bound.
pub(super) fn keys(settings: &Settings) -> Result<Keymap> {
    let bindings = settings.keys.iter().map(|k| (k.action.as_str(), k.keys.as_slice(), k.line));
    Ok(Keymap::with(bindings)?)
}

/// What is known about snapshots of the cluster in the folder.
fn backup(settings: &Settings, view: &ClusterView) -> Backup {
    let Some(cluster) = view.cluster_id else { return Backup::Unknown };
    let listing = match crate::snapshot::list(&snapshot_dir(settings)) {
        Ok(listing) => listing,
        // Nothing was ever saved.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Backup::None,
        Err(_) => return Backup::Unknown,
    };
    let ours = |s: &&crate::snapshot::Saved| s.side.as_ref().and_then(|s| s.cluster_id) == Some(cluster);
    listing.saved.iter().find(ours).map_or(Backup::None, |newest| Backup::Taken {
        age: Duration::try_from(view.at.duration_since(newest.taken_at)).unwrap_or_default(),
        verified: newest.is_verified(),
    })
}

/// Looks for so long and says what is found.
async fn once(options: Options, settings: &Settings, look: Duration, hashkv: bool) -> Diagnosis {
    let dialer = options.dialer.clone();
    let limit = dialer.access().dial_timeout + dialer.access().command_timeout + Duration::from_secs(1);
    let poll = Poll::start(options);
    let mut view = poll.settled(limit).await;
    let mut history = History::default();
    history.push(&view);
    let mut views = poll.views();
    let end = Instant::now() + look;
    while let Ok(Ok(())) = timeout(end.saturating_duration_since(Instant::now()), views.changed()).await {
        view = Arc::clone(&views.borrow_and_update());
        history.push(&view);
    }
    let hashes = if hashkv { Some(compare(&view, &poll.handle(), &dialer).await) } else { None };
    let compared = hashes.as_ref().and_then(|h| h.as_ref().ok());
    let case = Case { view: &view, history: &history, backup: backup(settings, &view), hashes: compared };
    let findings = diagnose::findings(&case);
    let verdict = settled(&view, judge(&view, &findings));
    Diagnosis { view, history, verdict, findings, hashes }
}

impl Diagnosis {
    /// As JSON.
    pub(super) fn json<'a>(&'a self, keys: &Keymap) -> DiagnosisJson<'a> {
        DiagnosisJson {
            at: self.view.at,
            cluster_id: self.view.cluster_id,
            verdict: self.verdict.kind,
            reason: &self.verdict.reason,
            severity: self.findings.first().map(|f| f.severity),
            looked_for: (self.history.span().as_secs_f64() * 10.0).round() / 10.0,
            measured: self.measured(),
            findings: self.findings.iter().map(|f| finding_json(&self.view, f, keys)).collect(),
            hashes: self.compared(),
            hashes_problem: self.hashes.as_ref().and_then(|h| h.as_ref().err()).map(String::as_str),
        }
    }

    /// Whether two scrapes came of any member: rates and latencies are what lies between them.
    fn measured(&self) -> bool {
        let window = |m: &crate::model::MemberView| self.history.window(m.id?, Duration::from_secs(60));
        self.view.members.iter().any(|m| window(m).is_some())
    }

    fn compared(&self) -> Option<&Comparison> {
        self.hashes.as_ref()?.as_ref().ok()
    }

    /// A cluster that nobody reaches is down for whoever asks: critical, not unknown.
    pub(super) fn exit(&self) -> Exit {
        let mut worst = self.findings.first().map(|f| f.severity);
        // Whoever asks whether the data is the same must not take "nobody knows" for yes.
        if self.hashes.as_ref().is_some_and(|h| !h.as_ref().is_ok_and(Comparison::all_same)) {
            worst = worst.max(Some(Severity::Warning));
        }
        Exit::Plugin(match (worst, self.verdict.kind) {
            (Some(Severity::Critical), _) | (_, VerdictKind::Unreachable) => Plugin::Critical,
            // What was not told may be wrong.
            (Some(Severity::Warning), _) | (_, VerdictKind::Degraded | VerdictKind::Warning) => {
                Plugin::Warning
            }
            (_, VerdictKind::Connecting) => Plugin::Unknown,
            _ => Plugin::Ok,
        })
    }
}

fn finding_json<'a>(view: &ClusterView, f: &'a Finding, keys: &Keymap) -> FindingJson<'a> {
    FindingJson {
        name: f.key.rule,
        severity: f.severity,
        member_id: f.key.member,
        member: f.key.member.map(|id| view.name_of(id)),
        subject: f.key.subject.as_deref(),
        line: &f.line,
        evidence: &f.evidence,
        meaning: f.meaning,
        next: &f.next,
        key: f.action.and_then(|name| keys.of_name(name)),
    }
}

fn human(diagnosis: &Diagnosis, keys: &Keymap, explain: bool) -> String {
    let v = &diagnosis.verdict;
    let reason = if v.reason.is_empty() { String::new() } else { format!(": {}", v.reason) };
    let mut out = format!("{}{reason}\n", v.headline);
    match &diagnosis.hashes {
        Some(Ok(comparison)) => out.push_str(&format!("{}\n", comparison.words())),
        Some(Err(why)) => out.push_str(&format!("the members' data could not be compared: {why}\n")),
        None => {}
    }
    if diagnosis.findings.is_empty() {
        let looked = age(diagnosis.history.span());
        out.push_str(&format!("nothing found in {looked}: members, quorum, alarms, space, lag, versions"));
        out.push_str(if diagnosis.measured() { ", disks, network, requests\n" } else { "\n" });
    }
    if !diagnosis.measured() {
        out.push_str("not looked at: fsync, commit, round trips, requests (no two scrapes of /metrics)\n");
    }
    for f in &diagnosis.findings {
        out.push_str(&format!("\n{:<8}  {}\n", f.severity.word(), f.line));
        let key = f.action.and_then(|name| keys.of_name(name));
        let key = key.map_or_else(String::new, |key| format!(" ({key} in the dashboard)"));
        if !f.next.is_empty() {
            out.push_str(&format!("          next: {}{key}\n", f.next));
        }
        if explain {
            for line in f.evidence.iter().map(String::as_str).chain([f.meaning]) {
                out.push_str(&format!("          {line}\n"));
            }
            out.push_str(&format!("          name: {}\n", f.key.rule));
        }
    }
    out
}

/// Says what comes, changes and goes, until somebody ends it.
async fn watch(options: Options, settings: &Settings, keys: &Keymap) -> Result<Exit> {
    let dialer = options.dialer.clone();
    let limit = dialer.access().dial_timeout + dialer.access().command_timeout;
    let poll = Poll::start(options);
    let mut views = poll.views();
    poll.settled(limit).await;
    let (mut history, mut damper) = (History::default(), Damper::default());
    let mut shown: Vec<Finding> = Vec::new();
    let mut verdict: Option<VerdictKind> = None;
    let mut backed = (backup(settings, &views.borrow().clone()), Instant::now());
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        history.push(&view);
        // The folder is not read every second.
        if backed.1.elapsed() > Duration::from_secs(30) {
            backed = (backup(settings, &view), Instant::now());
        }
        let case = Case { backup: backed.0, ..Case::new(&view, &history) };
        let found = damper.settle(diagnose::findings(&case), &view);
        let judged = settled(&view, judge(&view, &found));
        if verdict.replace(judged.kind) != Some(judged.kind) && output(settings) == OutputFormat::Table {
            let reason =
                if judged.reason.is_empty() { String::new() } else { format!(": {}", judged.reason) };
            print(&format!("{}  {}{reason}\n", stamp(view.at), judged.headline))?;
        }
        for (event, finding) in changes(&shown, &found) {
            match output(settings) {
                OutputFormat::Table => {
                    let line = &finding.line;
                    let (at, severity) = (stamp(view.at), finding.severity.word());
                    let next = if event == "over" || finding.next.is_empty() {
                        String::new()
                    } else {
                        format!("  -> {}", finding.next)
                    };
                    print(&format!("{at}  {event:<7}  {severity:<8}  {line}{next}\n"))?;
                }
                OutputFormat::Json | OutputFormat::Jsonl => {
                    let finding = finding_json(&view, finding, keys);
                    print_json(&ChangeJson { at: view.at, event, finding })?;
                }
            }
        }
        shown = found;
        if views.changed().await.is_err() {
            return Err(eyre!("polling has ended by an internal error"));
        }
    }
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Of these the worst is told: one takes the place of another.
const OUTAGES: [&str; 3] = ["unreachable", "quorum_lost", "no_leader"];

/// What came, what is worse or better, and what is over. That a figure moved is no news.
fn changes<'a>(before: &'a [Finding], after: &'a [Finding]) -> Vec<(&'static str, &'a Finding)> {
    let find = |list: &'a [Finding], f: &Finding| list.iter().find(|other| other.key == f.key);
    let mut changes = Vec::new();
    for f in after {
        match find(before, f) {
            None => changes.push(("found", f)),
            Some(old) if old.severity < f.severity => changes.push(("worse", f)),
            Some(old) if old.severity > f.severity => changes.push(("better", f)),
            Some(_) => {}
        }
    }
    // A lost quorum is not over because nobody answers any more.
    let outage = |f: &Finding| OUTAGES.contains(&f.key.rule);
    let goes_on = after.iter().any(outage);
    let over = before.iter().filter(|f| find(after, f).is_none() && !(outage(f) && goes_on));
    changes.extend(over.map(|f| ("over", f)));
    changes
}
