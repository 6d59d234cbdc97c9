//! The task behind one endpoint: connect, ask, tell a silent member from a dead one, back off.

use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::Open;
use super::merge::SourceId;
use crate::etcd::http::HttpConnection;
use crate::etcd::{Connection, Dialer, Fault, ListedMember, metrics};
use crate::model::member::{HUNG_AFTER, PeerCertificate, SLOW_AFTER};
use crate::model::{Endpoint, MemberStatus, MetricsSample};

/// The longest pause between two attempts to connect.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// How often the member list is asked for, at least.
const MEMBERS_EVERY: Duration = Duration::from_secs(5);
/// How often an endpoint that is not needed right now (a second way to the same member) is asked.
const STANDBY_EVERY: Duration = Duration::from_secs(10);

/// What tells all sources to ask.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    /// `Status`, at each change.
    pub(super) tick: watch::Receiver<u64>,
    /// A scrape out of turn, at each change.
    pub(super) scrape: watch::Receiver<u64>,
}

/// How often a source polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    EveryTick,
    Standby,
}

/// Something that one source has to say.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) source: SourceId,
    /// When the question left: what was answered later may have been true earlier.
    pub(super) asked: Timestamp,
    pub(super) at: Timestamp,
    /// Somebody waits for it: it is worth a view of its own.
    pub(super) awaited: bool,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// `Status` came, after so long.
    Status(Box<MemberStatus>, Duration),
    /// It did not.
    Failed(Fault),
    /// The member list, as this member knows it, or why it does not tell.
    Members(Result<Vec<ListedMember>, Fault>),
    /// What the server showed in the TLS handshake.
    Certificate(PeerCertificate),
    /// A scrape, or why there is none.
    Metrics(Result<Box<MetricsSample>, String>),
    /// What time it is there, in whole seconds.
    Date(Timestamp),
}

impl Report {
    /// Whether the view can wait for the next tick.
    pub(super) const fn is_background(&self) -> bool {
        !self.awaited
            && matches!(self.body, Body::Members(_) | Body::Certificate(_) | Body::Metrics(_) | Body::Date(_))
    }
}

/// A running source; stops when dropped.
#[derive(Debug)]
pub(super) struct SourceTask {
    tasks: Vec<JoinHandle<()>>,
    pace: watch::Sender<Pace>,
    endpoint: Endpoint,
    open: Open,
}

impl SourceTask {
    pub(super) fn spawn(
        id: SourceId,
        endpoint: Endpoint,
        dialer: Dialer,
        metrics_every: Option<Duration>,
        calls: Calls,
        open: Open,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let pace = watch::Sender::new(Pace::EveryTick);
        let pulse = watch::Sender::new(Pulse::Gone);
        let mut tasks = Vec::with_capacity(2);
        let voice = Voice { id, reports };
        if let Some(every) = metrics_every
            && let Some(metrics) = metrics_endpoint(&endpoint, dialer.access().metrics_url.as_deref())
        {
            let elsewhere = (dialer.access().metrics_url.is_none()).then(|| kubeadm(&endpoint)).flatten();
            let scraper = Scraper {
                endpoint: metrics,
                elsewhere,
                dialer: dialer.clone(),
                voice: voice.clone(),
                pulse: pulse.subscribe(),
                pace: pace.subscribe(),
                demand: calls.scrape,
                every,
            };
            tasks.push(tokio::spawn(scraper.run()));
        } else if metrics_every.is_some() {
            let reason = "--metrics-url does not go with this endpoint".to_owned();
            let now = Timestamp::now();
            let body = Body::Metrics(Err(reason));
            let report = Report { source: id, asked: now, at: now, awaited: false, body };
            // Full only when the supervisor is far behind, and then it is told by what is missing.
            let _ = voice.reports.try_send(report);
        }
        let (address, shared) = (endpoint.clone(), open.clone());
        let poller = Poller {
            endpoint,
            dialer,
            voice,
            pace: pace.subscribe(),
            pulse,
            open,
            connection: None,
            retry: Retry::default(),
            members_asked: None,
            last_seen: None,
            silent_since: None,
            took: Duration::ZERO,
            explained: None,
        };
        tasks.push(tokio::spawn(poller.run(calls.tick)));
        Self { tasks, pace, endpoint: address, open: shared }
    }

    /// Whether one of its tasks is no more, which only a panic brings about while the poll runs.
    pub(super) fn has_ended(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    pub(super) fn set_pace(&self, pace: Pace) {
        self.pace.send_if_modified(|p| std::mem::replace(p, pace) != pace);
    }
}

impl Drop for SourceTask {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.open.set(&self.endpoint, None);
    }
}

#[derive(Clone)]
struct Voice {
    id: SourceId,
    reports: mpsc::Sender<Report>,
}

impl Voice {
    /// What needs no question, or was asked just now.
    async fn say(&self, body: Body) {
        self.answer(Timestamp::now(), false, body).await;
    }

    async fn answer(&self, asked: Timestamp, awaited: bool, body: Body) {
        let report = Report { source: self.id, asked, at: Timestamp::now(), awaited, body };
        // Nobody listens any more: the poll was dropped, and this task with it.
        let _ = self.reports.send(report).await;
    }
}

/// When to try again. Grows from a quarter second to [`MAX_BACKOFF`]; a key press does not reset it.
#[derive(Debug, Default)]
struct Retry {
    failures: u32,
    not_before: Option<Instant>,
}

impl Retry {
    fn failed(&mut self) {
        let pause = Duration::from_millis(250).saturating_mul(1 << self.failures.min(5)).min(MAX_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    fn is_due(&self) -> bool {
        self.not_before.is_none_or(|t| Instant::now() >= t)
    }
}

/// What the scraper has to know of the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulse {
    /// It cannot be reached, or is no etcd.
    Gone,
    /// It accepts TCP and does not answer `Status`: stopped, or it defragments, which its `/metrics` tell.
    Silent,
    /// It answers.
    Answers,
}

struct Poller {
    endpoint: Endpoint,
    dialer: Dialer,
    voice: Voice,
    pace: watch::Receiver<Pace>,
    pulse: watch::Sender<Pulse>,
    /// Where the connection can be found by others.
    open: Open,
    connection: Option<Connection>,
    retry: Retry,
    members_asked: Option<Instant>,
    /// Leader and term of the last answer: when they change, the member list may have.
    last_seen: Option<(Option<crate::model::MemberId>, crate::model::Term)>,
    silent_since: Option<Instant>,
    /// How long the last answer took.
    took: Duration,
    /// The last fault that was looked into, and what it turned out to be.
    explained: Option<(Fault, Fault)>,
}

impl Poller {
    async fn run(mut self, mut tick: watch::Receiver<u64>) {
        let mut last = Instant::now();
        // The first tick may have come before this task began to listen.
        let mut due = *tick.borrow_and_update() > 0;
        loop {
            if !due && tick.changed().await.is_err() {
                return;
            }
            due = false;
            let standby = *self.pace.borrow() == Pace::Standby;
            if standby && self.connection.is_some() && last.elapsed() < STANDBY_EVERY {
                continue;
            }
            last = Instant::now();
            self.poll().await;
        }
    }

    async fn poll(&mut self) {
        let had_connection = self.connection.is_some();
        if !had_connection {
            let connected = self.retry.is_due() && self.connect().await;
            if !connected {
                return;
            }
        }
        if self.ask(had_connection).await {
            return;
        }
        // A connection that broke says nothing about the member: it may have restarted. Ask again at once.
        if had_connection && self.connection.is_none() && self.connect().await {
            self.ask(false).await;
        }
    }

    fn keep(&mut self, connection: Option<Connection>) {
        self.open.set(&self.endpoint, connection.clone());
        self.connection = connection;
    }

    /// Whether there is a connection now; reports why not.
    async fn connect(&mut self) -> bool {
        match self.dialer.connect(&self.endpoint).await {
            Ok(connection) => {
                if let Some(certificate) = connection.certificate() {
                    self.voice.say(Body::Certificate(certificate.clone())).await;
                }
                self.keep(Some(connection));
                true
            }
            Err(Fault::Hung { after }) => {
                let since = *self.silent_since.get_or_insert_with(|| Instant::now() - after);
                // Each attempt is a connection that etcd complains of when it wakes up.
                self.retry.failed();
                self.fail(Fault::Hung { after: since.elapsed() }).await;
                false
            }
            Err(fault) => {
                let fault = self.explain(fault).await;
                self.fail(fault).await;
                false
            }
        }
    }

    /// A better reason for a fault, looked for once: each look is a connection that shows up in etcd's log.
    async fn explain(&mut self, fault: Fault) -> Fault {
        if let Some((_, known)) = self.explained.as_ref().filter(|(seen, _)| *seen == fault) {
            return known.clone();
        }
        let better = self.dialer.explain(&self.endpoint, fault.clone()).await;
        self.explained = Some((fault, better.clone()));
        better
    }

    async fn fail(&mut self, fault: Fault) {
        if fault.breaks_connection() && !matches!(fault, Fault::Hung { .. } | Fault::Deadline { .. }) {
            self.keep(None);
            self.retry.failed();
        }
        self.beat(if matches!(fault, Fault::Hung { .. }) { Pulse::Silent } else { Pulse::Gone });
        self.voice.say(Body::Failed(fault)).await;
    }

    fn beat(&self, pulse: Pulse) {
        self.pulse.send_if_modified(|p| std::mem::replace(p, pulse) != pulse);
    }

    /// One `Status`, and the member list when it is due. False when the connection broke; that of a connection that
    /// `served` before is not reported: its outcome on the next one is.
    async fn ask(&mut self, served: bool) -> bool {
        let Some(connection) = self.connection.clone() else { return false };
        let (asked, started) = (Timestamp::now(), Instant::now());
        let result = self.status(&connection, started).await;
        match result {
            Ok(status) => {
                self.retry.succeeded();
                self.silent_since = None;
                self.explained = None;
                let seen = (status.leader, status.raft_term);
                let changed = self.last_seen.replace(seen) != Some(seen);
                self.took = started.elapsed();
                // At first the list comes before the rest: until it is known, one member looks like a whole cluster.
                let first = self.members_asked.is_none();
                if first {
                    self.ask_for_members(&connection).await;
                }
                self.voice.answer(asked, false, Body::Status(Box::new(status), self.took)).await;
                self.beat(Pulse::Answers);
                if !first && (changed || self.members_asked.is_none_or(|t| t.elapsed() >= MEMBERS_EVERY)) {
                    self.ask_for_members(&connection).await;
                }
                true
            }
            Err(Fault::Deadline { .. }) => true, // already reported as hung, with its age
            Err(fault) => {
                let broke = fault.breaks_connection();
                if served && matches!(fault, Fault::Lost { .. }) {
                    self.keep(None);
                    return false;
                }
                let fault = self.explain(fault).await;
                self.fail(fault).await;
                !broke
            }
        }
    }

    async fn ask_for_members(&mut self, connection: &Connection) {
        self.members_asked = Some(Instant::now());
        // A member that answers Status but not this keeps the last list; Status tells its state.
        let list = connection.members(self.patience(Duration::from_secs(1))).await;
        self.voice.say(Body::Members(list)).await;
    }

    /// At least this, and longer for a member that is known to take long: over a slow path it is slow, not hung by turns.
    fn patience(&self, least: Duration) -> Duration {
        (self.took * 2).min(self.dialer.access().command_timeout).max(least)
    }

    /// Waits for `Status`, and says so while it does not come.
    async fn status(&mut self, connection: &Connection, started: Instant) -> Result<MemberStatus, Fault> {
        let mut call = pin!(connection.status(self.dialer.access().command_timeout.max(HUNG_AFTER * 2)));
        tokio::select! {
            result = &mut call => return result,
            () = sleep_until(started + self.patience(SLOW_AFTER)) => {}
        }
        // Silent so far. Does the host still accept connections? A stopped process does: the kernel answers.
        let probe = self.dialer.accepts(&self.endpoint, HUNG_AFTER.saturating_sub(SLOW_AFTER));
        let accepts = tokio::select! {
            result = &mut call => return result,
            accepts = probe => accepts,
        };
        tokio::select! {
            result = &mut call => return result,
            () = sleep_until(started + self.patience(HUNG_AFTER)) => {}
        }
        let since = *self.silent_since.get_or_insert(started);
        loop {
            let after = since.elapsed();
            if let Err(fault) = accepts {
                // Packets vanish: this connection would take minutes to notice that they come through again. Any other
                // fault tells what became of the member.
                let vanished = matches!(fault, Fault::ConnectTimeout { .. });
                self.fail(if vanished { Fault::Silent { after } } else { fault }).await;
                return Err(Fault::Deadline { after });
            }
            self.fail(Fault::Hung { after }).await;
            tokio::select! {
                result = &mut call => return result,
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}

/// The pause between scrapes of a member that does not answer `Status`.
const WHILE_SILENT: Duration = Duration::from_secs(1);

/// So much earlier comes each scrape than its pace says: at another fraction of a second every time, because the clock
/// of a member is told in whole seconds (see `ClockOffset`).
const PHASE: Duration = Duration::from_millis(61);

/// Scrapes `/metrics` at its own pace while the member answers, and faster while it is silent.
struct Scraper {
    endpoint: Endpoint,
    /// Where they may be if they are not there.
    elsewhere: Option<Endpoint>,
    dialer: Dialer,
    voice: Voice,
    pulse: watch::Receiver<Pulse>,
    pace: watch::Receiver<Pace>,
    demand: watch::Receiver<u64>,
    every: Duration,
}

impl Scraper {
    async fn run(mut self) {
        let mut http = HttpConnection::default();
        let mut last: Option<Instant> = None;
        loop {
            let Ok(pulse) = self.pulse.wait_for(|p| *p != Pulse::Gone).await.map(|p| *p) else { return };
            let every = if pulse == Pulse::Silent { WHILE_SILENT } else { self.every.saturating_sub(PHASE) };
            let mut awaited = false;
            tokio::select! {
                () = sleep_until(last.map_or_else(Instant::now, |at| at + every)) => {}
                Ok(()) = self.demand.changed() => awaited = true,
                changed = self.pulse.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
            last = Some(Instant::now());
            let asked = Timestamp::now();
            if *self.pace.borrow() == Pace::Standby {
                continue;
            }
            let limit = self.dialer.access().command_timeout;
            let limit = if pulse == Pulse::Silent { limit.min(WHILE_SILENT * 2) } else { limit };
            let (mut result, mut date) = scrape(&mut http, &self.dialer, &self.endpoint, limit).await;
            if result.is_err()
                && pulse == Pulse::Answers
                && let Some(elsewhere) = self.elsewhere.take()
            {
                // Looked for once: a port that refuses would be knocked at every five seconds.
                let mut other = HttpConnection::default();
                if let (Ok(sample), told) = scrape(&mut other, &self.dialer, &elsewhere, limit).await {
                    tracing::info!(endpoint = %self.endpoint, at = %elsewhere, "/metrics are found elsewhere");
                    (result, date) = (Ok(sample), told);
                    (self.endpoint, http) = (elsewhere, other);
                }
            }
            if let Some(date) = date {
                self.voice.answer(asked, false, Body::Date(date)).await;
            }
            self.voice.answer(asked, awaited, Body::Metrics(result)).await;
        }
    }
}

type Scraped = (Result<Box<MetricsSample>, String>, Option<Timestamp>);

async fn scrape(http: &mut HttpConnection, dialer: &Dialer, at: &Endpoint, limit: Duration) -> Scraped {
    match http.get(dialer, at, "/metrics", limit).await {
        Ok(reply) if reply.status.is_success() => {
            (metrics::parse(&reply.body).map(Box::new).map_err(|e| e.to_string()), reply.date)
        }
        Ok(reply) => (Err(format!("/metrics answers with status {}", reply.status)), reply.date),
        Err(fault) => (Err(fault.to_string()), None),
    }
}

/// Where kubeadm has etcd serve `/metrics` besides the client url: plain, on a port of its own.
fn kubeadm(endpoint: &Endpoint) -> Option<Endpoint> {
    metrics_endpoint(endpoint, Some("http://*:2381"))
}

/// The endpoint that serves `/metrics`: the client url, or `--metrics-url` with `*` for the member's own host.
fn metrics_endpoint(endpoint: &Endpoint, metrics_url: Option<&str>) -> Option<Endpoint> {
    let Some(url) = metrics_url else { return Some(endpoint.clone()) };
    let host = endpoint.host();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Endpoint::parse(&url.replace('*', &host)).ok()
}
