//! One task per endpoint, merged into a latest-wins [`ClusterView`]; history rings.
//!
//! [`Poll::start`] spawns a supervisor. It gives all sources the same tick, so that the indices of the members
//! are read at about the same moment and lag means something, folds what they report into the [`Merger`], and
//! publishes one view a tick (at once when every member has answered, a moment later when one is silent).

pub mod compare;
mod conclude;
pub mod history;
pub mod merge;
pub mod pages;
pub mod scrapes;
mod source;
mod told;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::etcd::{Connection, Dialer, ListedMember};
use crate::model::{ClusterView, Endpoint};
use merge::{Merger, SourceId};
use source::{Calls, Pace, Report, SourceTask};

/// How long a view waits at least for members that have not answered in this tick.
const GATHER: Duration = Duration::from_millis(60);

/// What to poll, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// How to reach members.
    pub dialer: Dialer,
    /// The endpoints that were typed or found.
    pub endpoints: Vec<Endpoint>,
    /// The pause between two polls.
    pub interval: Duration,
    /// The pause between two scrapes of `/metrics`; none for no scrapes.
    pub metrics_every: Option<Duration>,
    /// How long [`Poll::settled`] waits for a member that accepts TCP and does not answer.
    pub patience: Duration,
    /// Members that somebody else has learned of: until a member tells its own list they are looked for, too.
    pub known: Vec<ListedMember>,
}

/// Longer than any member that is of use takes to answer, shorter than people wait.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A running poll. Dropping it stops every task of it.
#[derive(Debug)]
pub struct Poll {
    views: watch::Receiver<Arc<ClusterView>>,
    settled: watch::Receiver<bool>,
    commands: mpsc::UnboundedSender<Command>,
    open: Open,
    supervisor: JoinHandle<()>,
}

/// The connections over which members answer now, by their endpoints as they were written.
#[derive(Clone, Debug, Default)]
struct Open(Arc<Mutex<HashMap<String, Connection>>>);

impl Open {
    fn set(&self, endpoint: &Endpoint, connection: Option<Connection>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match connection {
            Some(connection) => open.insert(endpoint.raw().to_owned(), connection),
            None => open.remove(endpoint.raw()),
        };
    }

    fn get(&self, endpoint: &Endpoint) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(endpoint.raw()).cloned()
    }
}

/// A way to a running [`Poll`] for those who do not own it. When the poll has ended, the view stays what it was.
#[derive(Clone, Debug)]
pub struct Handle {
    views: watch::Receiver<Arc<ClusterView>>,
    commands: mpsc::UnboundedSender<Command>,
    open: Open,
}

impl Handle {
    /// A way to a poll that has ended, for tests.
    #[cfg(test)]
    pub(crate) fn still(view: ClusterView) -> Self {
        let (commands, _) = mpsc::unbounded_channel();
        Self { views: watch::channel(Arc::new(view)).1, commands, open: Open::default() }
    }

    /// The newest view.
    #[must_use]
    pub fn view(&self) -> Arc<ClusterView> {
        Arc::clone(&self.views.borrow())
    }

    /// Asks every member anew and waits until those that answer have: a view of which `fresh` is true, if one comes
    /// within `limit`. `closely`: their `/metrics` are asked for too.
    pub async fn look(
        &mut self,
        closely: bool,
        limit: Duration,
        fresh: impl FnMut(&Arc<ClusterView>) -> bool,
    ) -> Option<Arc<ClusterView>> {
        // Without a poll there is nobody to ask, and nothing fresh comes.
        let _ = self.commands.send(if closely { Command::LookClosely } else { Command::PollNow });
        let seen = tokio::time::timeout(limit, self.views.wait_for(fresh)).await;
        seen.ok()?.ok().map(|view| Arc::clone(&view))
    }

    /// The connection over which the member behind `endpoint` answers `Status`. With authentication on it holds a token,
    /// and without a quorum nobody gets a new one.
    #[must_use]
    pub fn connection(&self, endpoint: &Endpoint) -> Option<Connection> {
        self.open.get(endpoint)
    }
}

enum Command {
    PollNow,
    LookClosely,
    Interval(Duration),
}

impl Poll {
    /// Starts polling. Must be called inside a tokio runtime; returns at once, before anything is connected.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let all_tls = options.endpoints.iter().all(|e| options.dialer.uses_tls(e));
        let merger = Merger::new(&options.endpoints)
            .only_tls(all_tls && !options.endpoints.is_empty())
            .knowing(options.known.clone());
        let (views_tx, views) = watch::channel(Arc::new(merger.view(Timestamp::now())));
        let (settled_tx, settled) = watch::channel(false);
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let open = Open::default();
        let supervisor = Supervisor::new(options, merger, views_tx, settled_tx, open.clone());
        let supervisor = tokio::spawn(supervisor.run(commands_rx));
        Self { views, settled, commands, open, supervisor }
    }

    /// The views; the newest wins.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.views.clone()
    }

    /// Polls now instead of at the next tick.
    pub fn poll_now(&self) {
        // The supervisor lives as long as self.
        let _ = self.commands.send(Command::PollNow);
    }

    /// A way to it for others, as long as the poll runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { views: self.views.clone(), commands: self.commands.clone(), open: self.open.clone() }
    }

    /// Changes the pause between two polls.
    pub fn set_interval(&self, pause: Duration) {
        let _ = self.commands.send(Command::Interval(pause));
    }

    /// The first view in which every member has answered or has failed to, metrics included; the newest one
    /// if that takes longer than `limit`.
    pub async fn settled(&self, limit: Duration) -> Arc<ClusterView> {
        let mut settled = self.settled.clone();
        let _ = tokio::time::timeout(limit, settled.wait_for(|s| *s)).await;
        Arc::clone(&self.views.borrow())
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

struct Supervisor {
    options: Options,
    merger: Merger,
    tasks: HashMap<SourceId, SourceTask>,
    tick: watch::Sender<u64>,
    scrape: watch::Sender<u64>,
    open: Open,
    reports_tx: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,
    views: watch::Sender<Arc<ClusterView>>,
    settled: watch::Sender<bool>,
    publish_at: Option<Instant>,
}

impl Supervisor {
    fn new(
        options: Options,
        merger: Merger,
        views: watch::Sender<Arc<ClusterView>>,
        settled: watch::Sender<bool>,
        open: Open,
    ) -> Self {
        let (reports_tx, reports) = mpsc::channel(256);
        Self {
            options,
            merger,
            tasks: HashMap::new(),
            tick: watch::Sender::new(0),
            scrape: watch::Sender::new(0),
            open,
            reports_tx,
            reports,
            views,
            settled,
            publish_at: None,
        }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        self.reconcile();
        let mut ticks = ticker(self.options.interval);
        loop {
            let publish_at = self.publish_at;
            tokio::select! {
                _ = ticks.tick() => self.tick(),
                report = self.reports.recv() => match report {
                    Some(report) => self.take(report),
                    None => return,
                },
                () = sleep_until(publish_at.unwrap_or_else(Instant::now)), if publish_at.is_some() => self.publish(),
                command = commands.recv() => match command {
                    Some(Command::PollNow) => self.tick(),
                    Some(Command::LookClosely) => {
                        self.tick();
                        self.scrape.send_modify(|n| *n += 1);
                    }
                    Some(Command::Interval(pause)) => {
                        self.options.interval = pause;
                        ticks = ticker(pause);
                    }
                    None => return,
                },
            }
        }
    }

    fn tick(&mut self) {
        // A task that ended by a defect of ours must not leave its member's last figures standing as if they were new.
        let ended: Vec<_> = self.tasks.iter().filter(|(_, t)| t.has_ended()).map(|(id, _)| *id).collect();
        for id in ended {
            tracing::error!(source = ?id, "a polling task ended; it is started again");
            self.tasks.remove(&id);
            self.merger.forget_task(id);
        }
        self.reconcile();
        self.merger.begin_tick(Timestamp::now());
        self.tick.send_modify(|n| *n += 1);
    }

    fn take(&mut self, report: Report) {
        let quiet = report.is_background() && *self.settled.borrow();
        self.merger.apply(report);
        self.reconcile();
        if self.merger.tick_complete() && !quiet {
            self.publish();
        } else if !quiet {
            let wait = self.merger.gather_time(GATHER);
            self.publish_at.get_or_insert_with(|| Instant::now() + wait);
        }
    }

    fn publish(&mut self) {
        self.publish_at = None;
        let view = Arc::new(self.merger.view(Timestamp::now()));
        self.views.send_replace(view);
        let settled = self.merger.settled(self.options.metrics_every.is_some(), self.options.patience);
        self.settled.send_if_modified(|s| std::mem::replace(s, settled) != settled);
    }

    /// Starts a task for every source that the merger wants and stops those that it does not want any more.
    fn reconcile(&mut self) {
        for id in self.merger.adopt_wanted() {
            let Some(endpoint) = self.merger.endpoint(id) else { continue };
            let task = SourceTask::spawn(
                id,
                endpoint.clone(),
                self.options.dialer.clone(),
                self.options.metrics_every,
                Calls { tick: self.tick.subscribe(), scrape: self.scrape.subscribe() },
                self.open.clone(),
                self.reports_tx.clone(),
            );
            self.tasks.insert(id, task);
        }
        self.tasks.retain(|id, _| self.merger.endpoint(*id).is_some());
        let active = self.merger.active();
        for (id, task) in &self.tasks {
            task.set_pace(if active.contains(id) { Pace::EveryTick } else { Pace::Standby });
        }
    }
}

fn ticker(pause: Duration) -> tokio::time::Interval {
    let mut ticks = interval(pause.max(Duration::from_millis(50)));
    // After a suspended machine or a stopped process wakes up, one poll is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
