//! Writers that give the lab something to show.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::cluster::Cluster;
use crate::etcd::lab_writer::LabWriter;
use crate::etcd::{Dialer, Permit};

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadKind {
    /// Nothing.
    #[default]
    None,
    /// A put a second.
    Light,
    /// Like a small Kubernetes control plane: pods and config that are rewritten, leases that are renewed, events
    /// that come and go, and a compaction now and then.
    Kubernetes,
}

/// Running writers; they stop when dropped.
#[derive(Debug)]
pub struct Load {
    task: Option<JoinHandle<()>>,
}

/// The API server compacts every five minutes; here so often that one sees it.
const COMPACT_EVERY: Duration = Duration::from_secs(30);

/// After a failure, before the next member is tried.
const PAUSE: Duration = Duration::from_millis(500);

impl Load {
    /// Starts writing to a lab cluster. Survives stopped members and a lost quorum.
    #[must_use]
    pub fn start(cluster: &Cluster, kind: LoadKind) -> Self {
        let per_second = match kind {
            LoadKind::None => return Self { task: None },
            LoadKind::Light => 1,
            LoadKind::Kubernetes => 30,
        };
        let endpoints = cluster.endpoints();
        let Ok(dialer) = Dialer::new(cluster.access().clone(), &endpoints) else {
            return Self { task: None };
        };
        let task = tokio::spawn(async move {
            let mut source = Source::new(kind);
            let mut turn = 0_usize;
            let mut compacted = Instant::now();
            let mut last_round = 0_i64;
            loop {
                // Whichever member answers; the next one after a failure.
                let endpoint = &endpoints[turn % endpoints.len()];
                turn += 1;
                let Ok(mut writer) = LabWriter::connect(&dialer, endpoint).await else {
                    sleep(PAUSE).await;
                    continue;
                };
                let mut ticks = interval(Duration::from_secs(1) / per_second);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let Ok(revision) = source.write(&mut writer).await else {
                        // Out of space, or no quorum: hundreds of refused puts a second are no load of anybody's.
                        sleep(PAUSE).await;
                        break;
                    };
                    if kind == LoadKind::Kubernetes && compacted.elapsed() > COMPACT_EVERY {
                        compacted = Instant::now();
                        // What was the head a round ago, as the API server does.
                        let floor = std::mem::replace(&mut last_round, revision);
                        if floor > 0 && writer.compact(&source.permit, floor).await.is_err() {
                            break;
                        }
                    }
                }
            }
        });
        Self { task: Some(task) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The right to change the lab's own cluster, and no other: there is no way from here to one that somebody configured.
pub(super) const fn permit() -> Permit {
    Permit::of_a_lab()
}

/// Keys and values in an endless, repeatable order.
struct Source {
    kind: LoadKind,
    random: u64,
    step: u64,
    permit: Permit,
}

impl Source {
    const fn new(kind: LoadKind) -> Self {
        Self { kind, random: 0x9e37_79b9_7f4a_7c15, step: 0, permit: permit() }
    }

    /// xorshift64: good enough to spread keys and sizes, and the same in every run.
    const fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    async fn write(&mut self, writer: &mut LabWriter) -> Result<i64, crate::etcd::Fault> {
        self.step += 1;
        let step = self.step;
        if self.kind == LoadKind::Light {
            let value = self.value(200);
            return writer.put(&self.permit, &format!("lab/{}", step % 100), &value).await;
        }
        match self.random(10) {
            0..4 => {
                let node = self.random(20);
                let value = self.value(330);
                writer
                    .put(&self.permit, &format!("/registry/leases/kube-node-lease/node-{node:02}"), &value)
                    .await
            }
            4..7 => {
                let (namespace, pod, size) = (self.random(8), self.random(40), 1_500 + self.random(5_000));
                let value = self.value(size);
                writer
                    .put(&self.permit, &format!("/registry/pods/team-{namespace}/app-{pod:03}"), &value)
                    .await
            }
            7..9 => {
                let value = self.value(900);
                let revision = writer
                    .put(&self.permit, &format!("/registry/events/team-{}/event-{step:08}", step % 8), &value)
                    .await?;
                // Events live for a while and go.
                if step > 2_000 {
                    let old = step - 2_000;
                    return writer
                        .delete(&self.permit, &format!("/registry/events/team-{}/event-{old:08}", old % 8))
                        .await;
                }
                Ok(revision)
            }
            _ => {
                let (name, size) = (self.random(30), 300 + self.random(8_000));
                let value = self.value(size);
                writer
                    .put(&self.permit, &format!("/registry/configmaps/kube-system/config-{name:02}"), &value)
                    .await
            }
        }
    }

    fn value(&mut self, size: u64) -> Vec<u8> {
        let mut value = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 8);
        while (value.len() as u64) < size {
            let word = self.random(u64::MAX);
            value.extend_from_slice(&word.to_le_bytes());
        }
        value
    }
}
