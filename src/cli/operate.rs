//! Carries a plan out without a screen: the same planner, guard, engine and journal as on the dashboard.

pub(super) mod args;
mod consent;
pub(super) mod metrics;
pub(super) mod report;
mod teller;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use self::args::{BoundArgs, ChangeArgs};
use self::consent::Consent;
use self::report::{EventJson, EventKind, Report};
use self::teller::{Ending, Teller};
use super::connect::{access, output, poll_options, print, print_json, warn};
use super::exit::Exit;
use super::launch::{Running, env, launch, lock_key, mode, only_one};
use super::status::refuse_to_mix;
use crate::config::{OutputFormat, Settings};
use crate::etcd::{Dialer, Fault};
use crate::model::units::span;
use crate::model::{ClusterId, ClusterView};
use crate::ops::guard::refusal;
use crate::ops::journal::{self, End, Journal};
use crate::ops::lock::ClusterLock;
use crate::ops::plan::{Plan, Request, Verdict};
use crate::ops::planner::{self, NoPlan, Situation};
use crate::ops::standing::Operation;
use crate::ops::terms::Terms;
use crate::ops::world::Live;
use crate::ops::{Confirmed, Limits, Refusal, confirm, past, save};
use crate::poll::{Handle, Poll};
use crate::snapshot;
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
    began: Instant,
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

    fn ends(mut self, exit: Exit, result: report::Result, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        (self.exit, self.result) = (exit, result);
        self.reason = (!reason.is_empty()).then_some(reason);
        self
    }

    /// Says why it did not begin, and ends.
    fn refused(self, why: impl Into<String>) -> Self {
        let why = why.into();
        tell!("etcdtop: {why}");
        self.ends(Exit::Refused, report::Result::Refused, why)
    }

    fn nothing_to_do(self, why: impl Into<String>) -> Self {
        let why = why.into();
        tell!("etcdtop: nothing to do: {why}");
        self.ends(Exit::Done, report::Result::NothingToDo, why)
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
    let options = poll_options(access(settings)?, settings).await?;
    let dialer = options.dialer.clone();
    let mut limit = dialer.access().dial_timeout + dialer.access().command_timeout;
    if let Some(all) = order.bounds.timeout {
        limit = limit.min(all);
    }
    let poll = Poll::start(options);
    let view = poll.settled(limit).await;
    refuse_to_mix(&view)?;
    outcome.cluster_id = view.cluster_id;
    if !view.members.iter().any(|m| m.state.answers()) {
        let why = view.members.iter().map(|m| {
            let detail = m.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
            format!("{} is {}{detail}", m.label(), m.state.shown())
        });
        let mut why = format!("no member answers: {}", why.collect::<Vec<_>>().join("; "));
        if let Some((_, all)) = until.filter(|(at, _)| *at <= Instant::now()) {
            why = format!("--timeout of {} was over before anybody had answered: {why}", span(all));
        }
        tell!("etcdtop: {why}");
        return Ok(outcome.ends(Exit::Unreachable, report::Result::Unreachable, why));
    }
    let request = request(&view)?;
    let folder = journal::folder(&env)
        .ok_or_else(|| eyre!("there is no place for a journal: neither XDG_STATE_HOME nor HOME is set"))?;
    let plan = match plan(settings, order, &view, &request, &folder).await {
        Ok(plan) => plan,
        Err(NoPlan::NothingToDo(why)) => return Ok(outcome.nothing_to_do(why)),
        Err(NoPlan::Impossible(why)) => return Ok(outcome.refused(why)),
    };
    for check in plan.checks.iter().filter(|c| c.verdict == Verdict::Warn) {
        tell!("etcdtop: warning: {}", check.line);
    }
    if output(settings) == OutputFormat::Jsonl {
        printed(planned(&plan));
    }
    outcome.plan = Some(plan.clone());
    let mode = mode(settings);
    match refusal(&plan, &mode) {
        Some(Refusal::NothingToDo(why)) => return Ok(outcome.nothing_to_do(why)),
        Some(refusal) => return Ok(outcome.refused(refusal.to_string())),
        None if order.bounds.dry_run => {
            return Ok(outcome.ends(Exit::Done, report::Result::Planned, "--dry-run: nothing was done"));
        }
        None => {}
    }
    let typed = match consent::given(&plan, Consent::of(order.change), &mut outcome.asked).await {
        Ok(typed) => typed,
        Err(why) => return Ok(outcome.refused(why)),
    };
    let confirmed = match confirm(plan, &mode, &typed) {
        Ok(confirmed) => confirmed,
        Err(refusal) => return Ok(outcome.refused(refusal.to_string())),
    };
    let key = lock_key(settings);
    let handle = poll.handle();
    let journal = match Box::pin(only_one(confirmed.plan(), folder, &dialer, &handle, &key)).await {
        Ok(journal) => journal,
        Err(why) => return Ok(outcome.refused(why)),
    };
    let lock = if order.change.is_some_and(|c| c.lock) {
        let holder = holder(order);
        match ClusterLock::take(dialer.clone(), poll.handle(), &confirmed, &key, &holder).await {
            Ok(lock) => Some(lock),
            Err(e) => return Ok(outcome.refused(e.to_string())),
        }
    } else {
        None
    };
    let ready = Ready { confirmed, journal, dialer, poll: poll.handle(), until, lock };
    Box::pin(finish(settings, outcome, ready)).await
}

/// What runs as soon as it is launched.
struct Ready {
    confirmed: Confirmed,
    journal: Journal,
    dialer: Dialer,
    poll: Handle,
    until: Option<(Instant, Duration)>,
    lock: Option<ClusterLock>,
}

/// Who holds the lock, for those who find it held.
fn holder(order: &Order<'_>) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let by = journal::who(&env);
    let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("{by} on {host}, process {}, etcdtop {} since {at}", std::process::id(), order.command)
}

/// Launches it, and tells what happens until it has ended.
async fn finish(settings: &Settings, mut outcome: Outcome, ready: Ready) -> Result<Outcome> {
    let Ready { confirmed, journal, dialer, poll, until, lock } = ready;
    let operation = Operation::new(confirmed.plan().clone(), Timestamp::now());
    let world = Live::new(dialer, confirmed.plan().cluster, poll);
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
    if let Some(Err(e)) = release(lock).await {
        tell!("etcdtop: warning: the lock could not be given back, and goes within two minutes: {e}");
    }
    let (exit, result) = match &end {
        End::Done => (Exit::Done, report::Result::Done),
        End::Unknown(_) => (Exit::Unknown, report::Result::Unknown),
        End::Cancelled(_) => (
            if let Ending::Signal(number) = ending { Exit::Signal(number) } else { Exit::Failed },
            report::Result::Stopped,
        ),
        End::Stopped(_) | End::Failed(_) => (Exit::Failed, report::Result::Failed),
    };
    let reason = if end == End::Done { String::new() } else { end.to_string() };
    if !reason.is_empty() {
        tell!("etcdtop: {reason}");
    }
    outcome.operation = Some(teller.operation);
    outcome.plan = None;
    Ok(outcome.ends(exit, result, reason))
}

async fn release(lock: Option<ClusterLock>) -> Option<Result<(), Fault>> {
    Some(lock?.release().await)
}

/// The first line of a stream: what is going to be done.
fn planned(plan: &Plan) -> Result<()> {
    print_json(&EventJson {
        at: Timestamp::now(),
        what: EventKind::Planned {
            cluster_id: plan.cluster,
            plan: &plan.id,
            title: &plan.title,
            steps: report::planned(plan),
            skipped: &plan.skipped,
            checks: &plan.checks,
        },
    })
}

async fn plan(
    settings: &Settings,
    order: &Order<'_>,
    view: &Arc<ClusterView>,
    request: &Request,
    folder: &std::path::Path,
) -> Result<Plan, NoPlan> {
    let name = settings.cluster_name();
    let known = match view.cluster_id {
        Some(cluster) => {
            let folder = folder.to_owned();
            let read = move || {
                let known = past::read(&folder, cluster);
                (save::sweep(&known), known)
            };
            let (swept, known) = spawn_blocking(read).await.unwrap_or_default();
            for part in swept {
                tell!("etcdtop: removed {part}, which an interrupted snapshot had left");
            }
            known
        }
        None => past::History::default(),
    };
    let proof_key = format!("{}proof", settings.proof_prefix.value);
    let place = match request {
        Request::Snapshot { folder, .. } | Request::RecoverNoSpace { folder: Some(folder), .. } => {
            let folder = folder.clone();
            spawn_blocking(move || snapshot::place(&folder)).await.ok()
        }
        _ => None,
    };
    let situation = Situation {
        view,
        cluster_name: &name,
        rates: &known.rates,
        last_snapshot: known.last_snapshot,
        snapshot_first: None,
        place: place.as_ref(),
        busy: None,
        proof_key: &proof_key,
        terms: Some(&order.terms),
    };
    planner::plan(request, situation)
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
