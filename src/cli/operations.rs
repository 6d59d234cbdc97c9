//! The operation that runs beside the dashboard: started from a confirmed plan, told about in messages, and never left
//! half-done because a terminal went away.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};

use super::launch::{Running, env, launch, lock_key, mode, only_one};
use crate::app::Msg;
use crate::app::operation::Operation;
use crate::config::{HangUp, Settings};
use crate::etcd::Dialer;
use crate::lab::session;
use crate::model::ClusterId;
use crate::ops::journal::{self, End, Journal};
use crate::ops::past::{self, History, PROGRAM_ENDS};
use crate::ops::world::{Live, Lock};
use crate::ops::{Confirmed, Haste, Limits, Mode, OpEvent, Plan, Stop, confirm, save};
use crate::poll::Poll;
use crate::term::{Signal, Signals};

/// Starts, watches and stops operations.
pub(super) struct Runner {
    mode: Mode,
    /// The key of the lock in the cluster.
    lock: String,
    journals: Option<PathBuf>,
    on_hangup: HangUp,
    starting: Option<Starting>,
    running: Option<Running>,
    reading: Option<JoinHandle<Option<(past::State, History)>>>,
    /// What the journal was when it was read last.
    known: Option<past::State>,
    /// It was asked for while it was being read: that may have been too early.
    again: Option<ClusterId>,
}

/// A confirmed plan that waits for its journal: the disk may take its time.
struct Starting {
    confirmed: Confirmed,
    world: Live,
    journal: JoinHandle<Result<Journal, String>>,
}

impl Runner {
    /// `lab`: the folder of a lab, whose journal goes with it.
    pub(super) fn new(settings: &Settings, lab: Option<&Path>) -> Self {
        let on_hangup = settings.on_hangup.value;
        let journals = lab.map(session::state).or_else(|| journal::folder(&env));
        Self {
            mode: mode(settings),
            lock: lock_key(settings),
            journals,
            on_hangup,
            starting: None,
            running: None,
            reading: None,
            known: None,
            again: None,
        }
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
        let confirmed = confirm(plan, &self.mode, typed).map_err(|e| e.to_string())?;
        let folder = self
            .journals
            .clone()
            .ok_or("there is no place for a journal: neither XDG_STATE_HOME nor HOME is set")?;
        let plan = confirmed.plan().clone();
        let lock = Lock::Respected(self.lock.clone());
        let world = Live::new(dialer.clone(), plan.cluster, poll.handle()).with_lock(lock);
        let (dialer, handle, lock) = (dialer.clone(), poll.handle(), self.lock.clone());
        let journal =
            tokio::spawn(async move { Box::pin(only_one(&plan, folder, &dialer, &handle, &lock)).await });
        self.starting = Some(Starting { confirmed, world, journal });
        Ok(())
    }

    /// Whether one runs or is about to.
    pub(super) const fn busy(&self) -> bool {
        self.running.is_some() || self.starting.is_some()
    }

    /// Whether an operation runs.
    pub(super) const fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Asks it to stop.
    pub(super) fn stop(&self, why: &str, haste: Haste) {
        if let Some(running) = &self.running {
            running.stop.send_replace(Some(Stop { why: why.to_owned(), haste }));
        }
    }

    /// Reads the journal of a cluster, beside the loop.
    pub(super) fn read(&mut self, cluster: ClusterId) {
        self.known = None;
        self.again = self.reading.is_some().then_some(cluster);
        self.read_if_changed(cluster);
    }

    /// The same, but tells nothing when it is as it was when it was read last.
    pub(super) fn read_if_changed(&mut self, cluster: ClusterId) {
        // While an operation of our own runs, its end reads it; a folder that hangs is waited for once.
        let (Some(folder), None) = (self.journals.clone(), &self.reading) else { return };
        let known = self.known.clone();
        self.reading = Some(spawn_blocking(move || {
            let state = past::state(&folder, cluster);
            if known.as_ref() == Some(&state) {
                return None;
            }
            let mut history = past::read(&folder, cluster);
            history.swept = save::sweep(&history);
            Some((state, history))
        }));
    }

    /// What there is to tell next; never anything while nothing runs.
    pub(super) async fn next(&mut self) -> Msg {
        loop {
            // A folder that hangs, where the journal or a part is looked for, keeps nothing else from being told.
            tokio::select! {
                biased;
                msg = next_of(&mut self.running) => return msg,
                opened = async { (&mut self.starting.as_mut()?.journal).await.ok() }, if self.starting.is_some() => {
                    return self.started(opened);
                }
                Some(read) = async { Some(self.reading.as_mut()?.await) }, if self.reading.is_some() => {
                    self.reading = None;
                    if let Some(cluster) = self.again.take() {
                        self.read(cluster);
                        continue;
                    }
                    if let Ok(Some((state, history))) = read {
                        self.known = Some(state);
                        return Msg::Journal(Box::new(history));
                    }
                }
            }
        }
    }

    /// The journal of a plan that was to be started is open, or not.
    fn started(&mut self, opened: Option<Result<Journal, String>>) -> Msg {
        let Some(Starting { confirmed, world, .. }) = self.starting.take() else {
            return Msg::Refused("nothing was to be started".into());
        };
        match opened {
            Some(Ok(journal)) => {
                let shown = Operation::new(confirmed.plan().clone(), Timestamp::now());
                self.running = Some(launch(confirmed, world, journal, Limits::default()));
                Msg::Started(Box::new(shown))
            }
            Some(Err(why)) => Msg::Refused(why),
            None => Msg::Refused("internal error while the journal was opened".into()),
        }
    }

    /// After the terminal is gone, or somebody wants the program to end: the running step is always brought to its end,
    /// the whole plan only if that is what was asked for. Another signal leaves a snapshot, which changes nothing.
    pub(super) async fn finish(&mut self, signals: &mut Signals) {
        if self.on_hangup == HangUp::Step {
            self.stop(PROGRAM_ENDS, Haste::SafePoint);
        }
        let Some(Running { mut task, stop, .. }) = self.running.take() else { return };
        // The terminal may be gone: then nobody reads it.
        let _ = writeln!(
            std::io::stderr(),
            "etcdtop: an operation runs: {}; a second signal leaves a snapshot",
            if self.on_hangup == HangUp::Step {
                "its step is brought to its end and written down first"
            } else {
                "on_hangup = \"finish\": it is carried out to its end first"
            }
        );
        loop {
            tokio::select! {
                // The journal has how it ended; nobody is left to be told.
                _ = &mut task => return,
                signal = signals.next() => if matches!(signal, Signal::End(_)) {
                    stop.send_replace(Some(Stop { why: PROGRAM_ENDS.to_owned(), haste: Haste::AtOnce }));
                }
            }
        }
    }
}

/// What a running operation tells next; never anything while none runs.
async fn next_of(running: &mut Option<Running>) -> Msg {
    let Some(it) = running else { return std::future::pending().await };
    let event = tokio::select! {
        biased;
        event = it.events.recv() => event,
        Ok(()) = it.progress.changed() => return Msg::Progress(*it.progress.borrow_and_update()),
    };
    let event = match event {
        Some(event) => event,
        // The engine is gone without a word: a defect of ours. What it did the members know.
        None => OpEvent::Ended(End::Unknown(match (&mut it.task).await {
            Ok(_) => "it ended without a word".to_owned(),
            Err(e) => format!("internal error: {e}"),
        })),
    };
    if matches!(event, OpEvent::Ended(_)) {
        *running = None;
    }
    Msg::Operation(event)
}
