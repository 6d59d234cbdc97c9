//! What clients feel: a put through each member every now and then, and how it went.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

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
    /// The last ones that are over, oldest first: when each was asked for, and how long it took.
    pub recent: VecDeque<(Timestamp, Duration)>,
}

/// Puts that are remembered: those of a minute or so.
const RECENT: usize = 600;

impl Through {
    /// The longest that a put took which was on its way between these moments; none while one that may have been is not over
    /// yet.
    #[must_use]
    pub fn longest(&self, from: Timestamp, until: Timestamp) -> Option<Duration> {
        // One after the other: when a later one is over, so are all before.
        self.recent.back().filter(|(asked, _)| *asked > until)?;
        let over = |(asked, took): &&(Timestamp, Duration)| {
            *asked <= until && asked.checked_add(*took).is_ok_and(|end| end >= from)
        };
        Some(self.recent.iter().filter(over).map(|(_, took)| *took).max().unwrap_or_default())
    }
}

/// How puts went, by the member's name.
pub type Felt = BTreeMap<String, Through>;

/// A pause between two puts through one member.
const PAUSE: Duration = Duration::from_millis(100);

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
    let tell = |asked: Timestamp, outcome: Result<(), String>| {
        felt.send_modify(|felt| {
            let it = felt.entry(name.clone()).or_default();
            if it.works != outcome.is_ok() || it.since.is_none() {
                it.since = Some(Timestamp::now());
            }
            it.works = outcome.is_ok();
            it.error = outcome.err();
            it.recent.push_back((asked, Timestamp::now().duration_since(asked).unsigned_abs()));
            if it.recent.len() > RECENT {
                it.recent.pop_front();
            }
        });
    };
    loop {
        let asked = Timestamp::now();
        let mut writer = match LabWriter::connect(&dialer, &endpoint).await {
            Ok(writer) => writer,
            Err(fault) => {
                tell(asked, Err(fault.to_string()));
                sleep(PAUSE).await;
                continue;
            }
        };
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = Timestamp::now();
            let outcome = writer.put(&permit, &key, b"pulse").await;
            let failed = outcome.is_err();
            tell(asked, outcome.map(drop).map_err(|fault| fault.to_string()));
            if failed {
                sleep(PAUSE).await;
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn what_a_put_waited_for_is_told_when_it_is_over_and_not_before() {
        let at = |ms: i64| Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(ms)).unwrap();
        let ms = Duration::from_millis;
        let mut through = Through::default();
        through.recent.extend([(at(0), ms(900)), (at(1_000), ms(5)), (at(2_000), ms(300))]);
        // The rewrite went from 1.5 s to 2.2 s: the put of 2.0 s may not be all that there is to come.
        assert_eq!(through.longest(at(1_500), at(2_200)), None);
        through.recent.push_back((at(2_400), ms(4)));
        assert_eq!(through.longest(at(1_500), at(2_200)), Some(ms(300)), "not the 900 ms of before");
    }
}
