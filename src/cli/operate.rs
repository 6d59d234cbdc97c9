//! Carries a plan out without a screen: the same planner, guard, engine and journal as on the dashboard.

pub(super) mod args;
mod consent;
pub(super) mod metrics;
mod prepare;
pub(super) mod report;
mod teller;

use std::path::PathBuf;
use std::time::Duration;

use color_eyre::Result;
use jiff::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

use self::args::{BoundArgs, ChangeArgs};
use self::report::{EventJson, EventKind, Report};
use self::teller::{Ending, Teller};
use super::connect::{output, print, print_json, warn};
use super::exit::Exit;
use super::launch::{Running, launch};
use super::voice;
use crate::config::{OutputFormat, Settings};
use crate::etcd::Dialer;
use crate::model::units::lasting;
use crate::model::{ClusterId, ClusterView};
use crate::ops::journal::{End, Journal};
use crate::ops::lock::ClusterLock;
use crate::ops::plan::{Plan, Request};
use crate::ops::standing::Operation;
use crate::ops::terms::Terms;
use crate::ops::world::{Live, Lock};
use crate::ops::{Confirmed, Limits};
use crate::poll::Poll;
use crate::term::Signals;

/// What a command was told about its run.
#[derive(Clone, Debug)]
pub(super) struct Order<'a> {
    /// `defrag`, `snapshot save`.
    pub(super) command: &'static str,
    /// Under what terms.
    pub(super) terms: Terms,
    /// What bounds it.
    pub(super) bounds: &'a BoundArgs,
    /// What lets it change the cluster; none for what changes nothing.
    pub(super) change: Option<&'a ChangeArgs>,
}

impl<'a> Order<'a> {
    /// Of a command that changes something.
    pub(super) fn change(command: &'static str, change: &'a ChangeArgs, terms: Terms) -> Self {
        Self { command, terms, bounds: &change.bounds, change: Some(change) }
    }

    /// Of one that does not.
    pub(super) fn read(command: &'static str, bounds: &'a BoundArgs) -> Self {
        Self { command, terms: Terms::default(), bounds, change: None }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Outcome {
    command: &'static str,
    cluster: String,
    cluster_id: Option<ClusterId>,
    began_at: Timestamp,
    /// When it began.
    pub(super) began: Instant,
    result: report::Result,
    reason: Option<String>,
    /// The exit code.
    pub(super) exit: Exit,
    plan: Option<Plan>,
    /// The plan was shown already, when it was asked for consent.
    asked: bool,
    /// What was done, step by step.
    pub(super) operation: Option<Operation>,
}

impl Outcome {
    fn new(command: &'static str, settings: &Settings) -> Self {
        Self {
            command,
            cluster: settings.cluster_name(),
            cluster_id: None,
            began_at: Timestamp::now(),
            began: Instant::now(),
            result: report::Result::Failed,
            reason: None,
            exit: Exit::Failed,
            plan: None,
            asked: false,
            operation: None,
        }
    }

    /// How it ended.
    pub(super) fn ends(&mut self, exit: Exit, result: report::Result, reason: impl Into<String>) {
        let reason = reason.into();
        (self.exit, self.result) = (exit, result);
        self.reason = (!reason.is_empty()).then_some(reason);
    }

    /// Says why it did not begin, and ends: nothing is left to launch.
    fn refused(&mut self, why: impl Into<String>) -> Option<Ready> {
        let why = why.into();
        tell!("etcdtop: {why}");
        self.ends(Exit::Refused, report::Result::Refused, why);
        None
    }

    fn nothing_to_do(&mut self, why: impl Into<String>) -> Option<Ready> {
        let why = why.into();
        tell!("etcdtop: nothing to do: {why}");
        self.ends(Exit::Done, report::Result::NothingToDo, why);
        None
    }

    /// As a document.
    pub(super) fn report(&self) -> Report<'_> {
        let steps = match (&self.operation, &self.plan) {
            (Some(operation), _) => report::standing(operation),
            (None, Some(plan)) => report::planned(plan),
            (None, None) => Vec::new(),
        };
        let plan = self.plan.as_ref().or(self.operation.as_ref().map(|o| &o.plan));
        Report {
            command: self.command,
            result: self.result,
            reason: self.reason.as_deref(),
            exit: self.exit.number(),
            cluster_id: self.cluster_id,
            cluster: &self.cluster,
            plan: plan.map(|p| &p.id),
            title: plan.map(|p| p.title.as_str()),
            began_at: self.began_at,
            ended_at: Timestamp::now(),
            seconds: (self.began.elapsed().as_secs_f64() * 1e3).round() / 1e3,
            reclaimed_bytes: self.operation.as_ref().map_or(0, report::reclaimed),
            steps,
            skipped: plan.map_or(&[], |p| p.skipped.as_slice()),
            checks: plan.map_or(&[], |p| p.checks.as_slice()),
        }
    }
}

impl Outcome {
    /// For people.
    pub(super) fn table(&self) -> String {
        consent::table_of(self)
    }

    /// The last line of a stream.
    pub(super) fn print_end(&self) -> Result<()> {
        let report = self.report();
        print_json(&EventJson { at: report.ended_at, what: EventKind::Ended(&report) })
    }
}

/// Runs a command that changes something, from its flags to its report.
pub(super) fn run(
    settings: &Settings,
    order: &Order<'_>,
    request: impl FnOnce(&ClusterView) -> Result<Request>,
) -> Result<Exit> {
    order.bounds.speak();
    warn(settings);
    if let Some(file) = &order.bounds.metrics_file {
        metrics::check(file)?;
    }
    let outcome = in_runtime(carry_out(settings, order, request))?;
    printed(match output(settings) {
        OutputFormat::Table => print(&outcome.table()),
        OutputFormat::Json => print_json(&outcome.report()),
        OutputFormat::Jsonl => outcome.print_end(),
    });
    if let Some(file) = &order.bounds.metrics_file {
        metrics::write(file, &outcome.report(), None);
    }
    Ok(outcome.exit)
}

/// What was done is done, and its exit code says so, whether or not somebody reads the report.
pub(super) fn printed(report: Result<()>) {
    if let Err(e) = report {
        tell!("etcdtop: warning: standard output cannot be written: {e:#}");
    }
}

/// Runs what needs threads of its own: the journal and the poll go on while a snapshot is verified.
pub(super) fn in_runtime<T>(calls: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(calls);
    runtime.shutdown_background();
    outcome
}

/// Plans what is asked for from what the cluster is, and carries it out once it was confirmed.
pub(super) async fn carry_out(
    settings: &Settings,
    order: &Order<'_>,
    request: impl FnOnce(&ClusterView) -> Result<Request>,
) -> Result<Outcome> {
    let mut outcome = Outcome::new(order.command, settings);
    let until = order.bounds.timeout.map(|all| (outcome.began + all, all));
    let prepared = Box::pin(prepare::prepare(settings, order, request, &mut outcome));
    let ready = match until {
        None => prepared.await?,
        Some((at, all)) => match timeout_at(at, prepared).await {
            Ok(ready) => ready?,
            Err(_) => {
                // A disk that hangs, nobody at the prompt: nothing was begun.
                outcome.refused(format!("--timeout of {} was over before anything was begun", lasting(all)))
            }
        },
    };
    match ready {
        Some(ready) => Box::pin(finish(settings, outcome, ready, until)).await,
        None => Ok(outcome),
    }
}

/// What runs as soon as it is launched.
struct Ready {
    confirmed: Confirmed,
    journal: Journal,
    dialer: Dialer,
    /// Polling ends with this.
    poll: Poll,
    lock: Option<ClusterLock>,
    /// The key of the lock in the cluster.
    key: String,
}

/// Launches it, and tells what happens until it has ended.
async fn finish(
    settings: &Settings,
    mut outcome: Outcome,
    ready: Ready,
    until: Option<(Instant, Duration)>,
) -> Result<Outcome> {
    let Ready { confirmed, journal, dialer, poll, lock, key } = ready;
    let operation = Operation::new(confirmed.plan().clone(), Timestamp::now());
    let alone = lock.as_ref().map_or(Lock::Respected(key), |lock| Lock::Ours(lock.held()));
    let world = Live::new(dialer, confirmed.plan().cluster, poll.handle()).with_lock(alone);
    let all = until.map(|(at, _)| at.saturating_duration_since(Instant::now()));
    // From here on no signal ends the program on the spot.
    let mut signals = Signals::listen()?;
    let Running { events, progress, stop, mut task } =
        launch(confirmed, world, journal, Limits { all, ..Limits::default() });
    let (format, ascii) = (output(settings), settings.ascii.value);
    let mut teller = Teller::new(operation, format, ascii, settings.on_hangup.value, until);
    let watched = async {
        match &lock {
            Some(lock) => lock.lost().await,
            None => std::future::pending().await,
        }
    };
    let ending = teller.listen(&mut signals, events, progress, &stop, watched).await;
    let end = match ending {
        Ending::Deaf => {
            task.abort();
            End::Unknown("it did not end when it was told to; the journal says how far it came".into())
        }
        _ => timeout(Duration::from_secs(10), &mut task)
            .await
            .map_or_else(|e| Err(e.to_string()), |ended| ended.map_err(|e| e.to_string()))
            .unwrap_or_else(|e| End::Unknown(format!("internal error: {e}"))),
    };
    give_back(lock, &end).await;
    let untouched = !teller.began;
    let signal = if let Ending::Signal(number) = ending { Some(number) } else { None };
    voice::listens(signals, teller.heard);
    let (exit, result) = match (&end, signal) {
        (End::Done, _) => (Exit::Done, report::Result::Done),
        (End::Unknown(_), _) => (Exit::Unknown, report::Result::Unknown),
        (End::Cancelled(_), Some(number)) => (Exit::Signal(number), report::Result::Stopped),
        // What had to hold before the first step did not, or not in time: nothing was done.
        _ if untouched => (Exit::Refused, report::Result::Refused),
        (End::Cancelled(_), None) => (Exit::Failed, report::Result::Stopped),
        (End::Stopped(_) | End::Failed(_), _) => (Exit::Failed, report::Result::Failed),
    };
    let reason = if end == End::Done { String::new() } else { end.to_string() };
    if !reason.is_empty() {
        tell!("etcdtop: {reason}");
    }
    outcome.operation = Some(teller.operation);
    outcome.plan = None;
    outcome.ends(exit, result, reason);
    Ok(outcome)
}

/// Gives the lock back; but not while what was sent may begin yet: then it goes when its time is over.
async fn give_back(lock: Option<ClusterLock>, end: &End) {
    let Some(lock) = lock else { return };
    if matches!(end, End::Unknown(_)) {
        lock.leave();
        tell!("etcdtop: the lock in the cluster stays for up to two minutes: what was sent may begin yet");
        return;
    }
    let failed = match timeout(Duration::from_secs(10), Box::pin(lock.release())).await {
        Ok(Ok(())) => return,
        Ok(Err(fault)) => fault.to_string(),
        Err(_) => "no answer".into(),
    };
    tell!("etcdtop: warning: the lock could not be given back, and goes within two minutes: {failed}");
}

/// Where snapshots go: as set, else in the XDG data folder.
pub(super) fn snapshot_dir(settings: &Settings) -> PathBuf {
    if let Some(dir) = &settings.snapshot_dir {
        return dir.value.clone();
    }
    let env = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = env("XDG_DATA_HOME").or_else(|| Some(env("HOME")?.join(".local/share")));
    data.unwrap_or_default().join("etcdtop/snapshots")
}
