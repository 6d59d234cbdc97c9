//! What is written to bring a symptom about.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::load::permit;
use crate::etcd::Fault;
use crate::etcd::lab_writer::LabWriter;
use crate::model::Bytes;

/// Bytes of a large value: well below etcd's limit of 1.5 MiB for a request.
const LARGE: usize = 256 << 10;

/// Puts after which a quota of a lab must be full.
const MANY: usize = 2_000;

/// How often what fails for a moment is tried again.
const TRIES: u32 = 12;

/// Revisions that a compaction keeps unless somebody says otherwise, and some more.
const MORE_THAN_KEPT: usize = 1_100;

/// Writes history until the quota is full: large values of few keys, then so many small ones that what the dashboard keeps
/// by default does not hold the large ones, then large ones again.
pub(super) async fn fill_with_history(to: &mut LabWriter) -> Result<(), String> {
    for i in 0..44 {
        put(to, &format!("lab/state/{}", i % 4), LARGE).await?;
    }
    for i in 0..MORE_THAN_KEPT {
        put(to, &format!("lab/counter/{}", i % 10), 40).await?;
    }
    fill(to, |i| format!("lab/state/{}", i % 4)).await
}

/// Writes new keys until the quota is full.
pub(super) async fn fill_with_keys(to: &mut LabWriter) -> Result<(), String> {
    fill(to, |i| format!("lab/reports/{i:04}")).await
}

/// With large values first, then with small ones: a file must not stay just below the quota.
async fn fill(to: &mut LabWriter, key: impl Fn(usize) -> String) -> Result<(), String> {
    let permit = permit();
    let mut failures = 0;
    for size in [LARGE, LARGE / 8, LARGE / 64, 512] {
        let mut full = false;
        for i in 0..MANY {
            match to.put(&permit, &key(i), &vec![b'x'; size]).await {
                Ok(_) => {}
                Err(fault) if is_no_space(&fault) => {
                    full = true;
                    break;
                }
                Err(fault) if failures == TRIES => return Err(fault.to_string()),
                Err(_) => {
                    failures += 1;
                    sleep(Duration::from_millis(300)).await;
                }
            }
        }
        if !full {
            return Err("the quota does not get full".into());
        }
    }
    Ok(())
}

fn is_no_space(fault: &Fault) -> bool {
    fault.to_string().contains("space exceeded")
}

/// Writes so many bytes that stay and as many that go: the latter are free inside the files afterwards.
pub(super) async fn fragment(to: &mut LabWriter, live: u64, free: u64) -> Result<(), String> {
    let permit = permit();
    let keys = |bytes: u64| usize::try_from(bytes).unwrap_or_default() / LARGE;
    // In turns, as things are in a file that has been in use for long.
    for i in 0..keys(live).max(keys(free)) {
        if i < keys(live) {
            put(to, &format!("lab/kept/{i:04}"), LARGE).await?;
        }
        if i < keys(free) {
            put(to, &format!("lab/gone/{i:04}"), LARGE).await?;
        }
    }
    let mut head = 0;
    for i in 0..keys(free) {
        let deleted = to.delete(&permit, &format!("lab/gone/{i:04}")).await;
        head = deleted.map_err(|fault| fault.to_string())?;
    }
    to.compact(&permit, head).await.map_err(|fault| fault.to_string())
}

/// Writes a few small keys, over and over.
pub(super) async fn seed(to: &mut LabWriter, puts: usize) -> Result<(), String> {
    for i in 0..puts {
        put(to, &format!("lab/orders/{}", i % 25), 200).await?;
    }
    Ok(())
}

async fn put(to: &mut LabWriter, key: &str, bytes: usize) -> Result<(), String> {
    let (permit, value) = (permit(), vec![b'x'; bytes]);
    let mut why = String::new();
    // An election, or a machine that is busy.
    for _ in 0..TRIES {
        match to.put(&permit, key, &value).await {
            Ok(_) => return Ok(()),
            Err(fault) if is_no_space(&fault) => return Err(fault.to_string()),
            Err(fault) => why = fault.to_string(),
        }
        sleep(Duration::from_millis(300)).await;
    }
    Err(why)
}

/// A service that goes on writing; it ends when dropped.
#[derive(Debug)]
pub(super) struct Service {
    task: JoinHandle<()>,
}

impl Service {
    /// Writes values of `size` so many times a second, whatever becomes of them.
    pub(super) fn start(mut to: LabWriter, size: Bytes, per_second: u32) -> Self {
        let value = vec![b'x'; usize::try_from(size.0).unwrap_or_default()];
        let task = tokio::spawn(async move {
            let permit = permit();
            let mut ticks = interval(Duration::from_secs(1) / per_second.max(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for i in 0_u64.. {
                ticks.tick().await;
                if to.put(&permit, &format!("lab/service/{}", i % 10), &value).await.is_err() {
                    sleep(Duration::from_millis(500)).await;
                }
            }
        });
        Self { task }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}
