//! A confirmed plan and the engine that carries it out, for the dashboard and for commands.

use std::path::PathBuf;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::Settings;
use crate::etcd::Dialer;
use crate::ops::journal::{self, End, Journal};
use crate::ops::lock::{self, LockError};
use crate::ops::world::Live;
use crate::ops::{Confirmed, Engine, Limits, Mode, OpEvent, Plan, Progress, Stop};
use crate::poll::Handle;

/// An operation that runs.
pub(super) struct Running {
    pub(super) events: mpsc::UnboundedReceiver<OpEvent>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) stop: watch::Sender<Option<Stop>>,
    pub(super) task: JoinHandle<End>,
}

/// A variable of the environment, if it is text.
pub(super) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether changes are allowed, and who forbids them.
pub(super) fn mode(settings: &Settings) -> Mode {
    if settings.read_only.value {
        Mode::ReadOnly(settings.read_only.origin.to_string())
    } else {
        Mode::ReadWrite
    }
}

/// The key of the lock in a cluster.
pub(super) fn lock_key(settings: &Settings) -> String {
    format!("{}lock", settings.proof_prefix.value)
}

/// The journal, and with it the right to be the only one who changes the cluster: nobody else on this host does, nor holds
/// the lock in the cluster.
pub(super) async fn only_one(
    plan: &Plan,
    folder: PathBuf,
    dialer: &Dialer,
    poll: &Handle,
    lock: &str,
) -> Result<Journal, String> {
    let cluster = plan.cluster;
    if plan.changes()
        && let Some(holder) = lock::holder(dialer, poll, cluster, lock).await
    {
        return Err(LockError::Held { holder, key: lock.to_owned() }.to_string());
    }
    let opened = spawn_blocking(move || Journal::open(&folder, cluster)).await;
    opened
        .map_err(|e| format!("internal error while the journal was opened: {e}"))?
        .map_err(|e| e.to_string())
}

/// Hands a plan to its engine.
pub(super) fn launch(confirmed: Confirmed, world: Live, journal: Journal, limits: Limits) -> Running {
    let (tell, events) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(None);
    let (progress_tx, progress) = watch::channel(Progress::default());
    let tell = move |event| {
        // Nobody listens any more: the journal still has it.
        let _ = tell.send(event);
    };
    let engine = Engine::new(world, journal, tell, limits, stopped, progress_tx);
    let by = journal::who(&env);
    let task = tokio::spawn(async move { Box::pin(engine.run(confirmed, &by)).await });
    Running { events, progress, stop, task }
}
