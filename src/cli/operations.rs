//! The operation that runs beside the dashboard: started from a confirmed plan, told about in messages, and never left
//! half-done because a terminal went away.

use std::path::PathBuf;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::app::Msg;
use crate::app::operation::Operation;
use crate::config::{HangUp, Settings};
use crate::etcd::Dialer;
use crate::model::ClusterId;
use crate::ops::journal::{self, End, Journal, JournalError};
use crate::ops::past::{self, History};
use crate::ops::world::Live;
use crate::ops::{Confirmed, Engine, Limits, Mode, OpEvent, Plan, Progress, confirm, save};
use crate::poll::Poll;

/// Starts, watches and stops operations.
pub(super) struct Runner {
    mode: Mode,
    journals: Option<PathBuf>,
    on_hangup: HangUp,
    starting: Option<Starting>,
    running: Option<Running>,
    reading: Option<JoinHandle<History>>,
}

/// A confirmed plan that waits for its journal: the disk may take its time.
struct Starting {
    confirmed: Confirmed,
    world: Live,
    journal: JoinHandle<Result<Journal, JournalError>>,
}

struct Running {
    events: mpsc::UnboundedReceiver<OpEvent>,
    progress: watch::Receiver<Progress>,
    stop: watch::Sender<Option<String>>,
    task: JoinHandle<End>,
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Runner {
    pub(super) fn new(settings: &Settings) -> Self {
        let mode = if settings.read_only.value {
            Mode::ReadOnly(settings.read_only.origin.to_string())
        } else {
            Mode::ReadWrite
        };
        let on_hangup = settings.on_hangup.value;
        let journals = journal::folder(&env);
        Self { mode, journals, on_hangup, starting: None, running: None, reading: None }
    }

    /// Begins to start a plan; that it runs, or why it cannot, [`Self::next`] tells.
    pub(super) fn start(
        &mut self,
        plan: Plan,
        typed: &str,
        poll: &Poll,
        dialer: &Dialer,
    ) -> Result<(), String> {
        if self.starting.is_some() || self.running.is_some() {
            return Err("another operation runs: one at a time".into());
        }
        let cluster = plan.cluster;
        let confirmed = confirm(plan, &self.mode, typed).map_err(|e| e.to_string())?;
        let folder = self
            .journals
            .clone()
            .ok_or("there is no place for a journal: neither XDG_STATE_HOME nor HOME is set")?;
        let world = Live::new(dialer.clone(), cluster, poll.handle());
        let journal = spawn_blocking(move || Journal::open(&folder, cluster));
        self.starting = Some(Starting { confirmed, world, journal });
        Ok(())
    }

    /// Hands a plan to its engine.
    fn run(&mut self, confirmed: Confirmed, world: Live, journal: Journal) -> Operation {
        let shown = Operation::new(confirmed.plan().clone(), Timestamp::now());
        let (tell, events) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(None);
        let (progress_tx, progress) = watch::channel(Progress::default());
        let tell = move |event| {
            // The loop has ended: the journal still has it.
            let _ = tell.send(event);
        };
        let engine = Engine::new(world, journal, tell, Limits::default(), stopped, progress_tx);
        let by = journal::who(&env);
        let task = tokio::spawn(async move { Box::pin(engine.run(confirmed, &by)).await });
        self.running = Some(Running { events, progress, stop, task });
        shown
    }

    /// Whether an operation runs.
    pub(super) const fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Asks it to stop at its next safe point.
    pub(super) fn stop(&self, why: &str) {
        if let Some(running) = &self.running {
            running.stop.send_replace(Some(why.to_owned()));
        }
    }

    /// Reads the journal of a cluster, beside the loop.
    pub(super) fn read(&mut self, cluster: ClusterId) {
        let Some(folder) = self.journals.clone() else { return };
        self.reading = Some(spawn_blocking(move || {
            let mut history = past::read(&folder, cluster);
            history.swept = save::sweep(&history);
            history
        }));
    }

    /// What there is to tell next; never anything while nothing runs.
    pub(super) async fn next(&mut self) -> Msg {
        if let Some(reading) = &mut self.reading {
            let history = reading.await.unwrap_or_default();
            self.reading = None;
            return Msg::Journal(Box::new(history));
        }
        if let Some(starting) = &mut self.starting {
            let opened = (&mut starting.journal).await;
            let opened = opened.map_err(|e| e.to_string()).and_then(|j| j.map_err(|e| e.to_string()));
            return match (self.starting.take(), opened) {
                (Some(Starting { confirmed, world, .. }), Ok(journal)) => {
                    Msg::Started(Box::new(self.run(confirmed, world, journal)))
                }
                (_, Err(why)) => Msg::Refused(why),
                (None, Ok(_)) => Msg::Refused("it was not confirmed any more".into()),
            };
        }
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let event = tokio::select! {
            biased;
            event = running.events.recv() => event,
            Ok(()) = running.progress.changed() => {
                return Msg::Progress(*running.progress.borrow_and_update());
            }
        };
        let event = match event {
            Some(event) => event,
            // The engine is gone without a word: a defect of ours. What it did the members know.
            None => OpEvent::Ended(End::Unknown(match (&mut running.task).await {
                Ok(_) => "it ended without a word".to_owned(),
                Err(e) => format!("internal error: {e}"),
            })),
        };
        if matches!(event, OpEvent::Ended(_)) {
            self.running = None;
        }
        Msg::Operation(event)
    }

    /// After the terminal is gone, or somebody wants the program to end: the running step is always brought to its end,
    /// the whole plan only if that is what was asked for.
    pub(super) async fn finish(&mut self, why: &str) {
        if self.on_hangup == HangUp::Step {
            self.stop(why);
        }
        if let Some(running) = self.running.take() {
            // The journal has how it ended; nobody is left to be told.
            let _ = running.task.await;
        }
    }
}
