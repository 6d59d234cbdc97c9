//! What clients feel: a put through each member every now and then, and how it went.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::load::permit;
use crate::etcd::Dialer;
use crate::etcd::lab_writer::LabWriter;
use crate::model::Endpoint;

/// How puts through one member went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Through {
    /// The last one was committed.
    pub works: bool,
    /// Since when that has been so, or has not.
    pub since: Option<Timestamp>,
    /// Why the last one failed.
    pub error: Option<String>,
    /// The longest that one took since the pulse was asked to forget.
    pub longest: Duration,
    /// Committed so far.
    pub committed: u64,
}

/// How puts went, by the member's name.
pub type Felt = BTreeMap<String, Through>;

/// A pause between two puts through one member.
const PAUSE: Duration = Duration::from_millis(250);

/// Clients that write; they stop when dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    felt: watch::Sender<Felt>,
    tasks: Vec<JoinHandle<()>>,
}

impl Pulse {
    /// Begins to write through each of these members.
    pub(super) fn start(dialer: &Dialer, members: &[(String, Endpoint)]) -> Self {
        let felt = watch::Sender::new(Felt::new());
        let tasks = members
            .iter()
            .map(|(name, endpoint)| {
                tokio::spawn(write_through(name.clone(), endpoint.clone(), dialer.clone(), felt.clone()))
            })
            .collect();
        Self { felt, tasks }
    }

    /// How it goes.
    pub(super) fn felt(&self) -> watch::Receiver<Felt> {
        self.felt.subscribe()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn write_through(name: String, endpoint: Endpoint, dialer: Dialer, felt: watch::Sender<Felt>) {
    let key = format!("lab/pulse/{name}");
    let permit = permit();
    let tell = |took: Duration, outcome: Result<(), String>| {
        felt.send_modify(|felt| {
            let it = felt.entry(name.clone()).or_default();
            if it.works != outcome.is_ok() || it.since.is_none() {
                it.since = Some(Timestamp::now());
            }
            it.works = outcome.is_ok();
            it.committed += u64::from(it.works);
            it.longest = it.longest.max(took);
            it.error = outcome.err();
        });
    };
    loop {
        let asked = Instant::now();
        let mut writer = match LabWriter::connect(&dialer, &endpoint).await {
            Ok(writer) => writer,
            Err(fault) => {
                tell(asked.elapsed(), Err(fault.to_string()));
                sleep(PAUSE).await;
                continue;
            }
        };
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = Instant::now();
            let outcome = writer.put(&permit, &key, b"pulse").await;
            let failed = outcome.is_err();
            tell(asked.elapsed(), outcome.map(drop).map_err(|fault| fault.to_string()));
            if failed {
                sleep(PAUSE).await;
                break;
            }
        }
    }
}
