//! A client that watches: it reads every change of the lab's keys, falls asleep, and goes on from where it was.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::etcd::Dialer;
use crate::etcd::lab_writer::{LabWatch, Watched};
use crate::model::Endpoint;
use crate::model::coach::WatcherView;

/// What it watches: the keys that the light load writes.
const PREFIX: &str = "lab/";

/// A watching client; it stops when dropped.
#[derive(Debug)]
pub(super) struct Consumer {
    awake: watch::Sender<bool>,
    view: watch::Receiver<WatcherView>,
    task: JoinHandle<()>,
}

impl Consumer {
    /// Begins to watch through a member, from a revision on.
    pub(super) fn start(dialer: Dialer, endpoint: Endpoint, from: i64) -> Self {
        let awake = watch::Sender::new(true);
        let told = watch::Sender::new(WatcherView { next_revision: from, paused: false, cancelled_at: None });
        let view = told.subscribe();
        let task = tokio::spawn(read(dialer, endpoint, awake.subscribe(), told));
        Self { awake, view, task }
    }

    /// Puts it to sleep, or wakes it: its connection is gone meanwhile.
    pub(super) fn wake(&self, awake: bool) {
        self.awake.send_replace(awake);
    }

    /// How far it is, from now on.
    pub(super) fn watch(&self) -> watch::Receiver<WatcherView> {
        self.view.clone()
    }

    /// How far it is now.
    pub(super) fn view(&self) -> WatcherView {
        self.view.borrow().clone()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(
    dialer: Dialer,
    endpoint: Endpoint,
    mut awake: watch::Receiver<bool>,
    told: watch::Sender<WatcherView>,
) {
    loop {
        told.send_modify(|v| v.paused = !*awake.borrow());
        if awake.wait_for(|awake| *awake).await.map(drop).is_err() {
            return;
        }
        told.send_modify(|v| v.paused = false);
        let next = told.borrow().next_revision;
        let Ok(mut watch) = LabWatch::from(&dialer, &endpoint, PREFIX, next).await else {
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        loop {
            tokio::select! {
                biased;
                _ = async { awake.wait_for(|awake| !*awake).await.map(drop) } => break,
                seen = watch.next() => match seen {
                    Watched::UpTo(revision) => {
                        told.send_modify(|v| v.next_revision = v.next_revision.max(revision + 1));
                    }
                    // It would have to read everything anew: what happened in between it never learns.
                    Watched::Compacted(at) => {
                        told.send_modify(|v| v.cancelled_at = Some(at));
                        return;
                    }
                    Watched::Ended => {
                        sleep(Duration::from_millis(200)).await;
                        break;
                    }
                }
            }
        }
    }
}
