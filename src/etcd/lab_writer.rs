//! Writes for the lab's load, and only for it: there is no way from here to a configured cluster but by naming it to
//! the lab, which starts its own.

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, CompactionOptions, KvClient, MaintenanceClient, WatchClient,
    WatchOptions, WatchStream,
};
use std::time::Duration;
use tokio::time::timeout;

use super::connection::fault_of;
use super::fault::Fault;
use super::permit::Permit;
use super::stream::{Dialer, LastFault};
use crate::model::{AlarmKind, Endpoint, MemberId};

const LIMIT: Duration = Duration::from_secs(2);

/// A writer to one member of a lab cluster.
pub(crate) struct LabWriter {
    kv: KvClient,
    maintenance: MaintenanceClient,
}

impl LabWriter {
    pub(crate) async fn connect(dialer: &Dialer, endpoint: &Endpoint) -> Result<Self, Fault> {
        let connection = dialer.connect(endpoint).await?;
        Ok(Self { kv: connection.kv(), maintenance: connection.maintenance() })
    }

    /// Puts a key; the revision after it.
    pub(crate) async fn put(&mut self, _: &Permit, key: &str, value: &[u8]) -> Result<i64, Fault> {
        let reply = within(self.kv.put(key, value, None)).await?;
        Ok(reply.header().map_or(0, etcd_client::ResponseHeader::revision))
    }

    /// Deletes a key; the revision after it.
    pub(crate) async fn delete(&mut self, _: &Permit, key: &str) -> Result<i64, Fault> {
        let reply = within(self.kv.delete(key, None)).await?;
        Ok(reply.header().map_or(0, etcd_client::ResponseHeader::revision))
    }

    /// Compacts at a revision, physically.
    pub(crate) async fn compact(&mut self, _: &Permit, revision: i64) -> Result<(), Fault> {
        within(self.kv.compact(revision, Some(CompactionOptions::new().with_physical()))).await.map(drop)
    }

    /// Raises an alarm in the name of a member, as etcd itself does when it finds damage: a drill, and taken back by a
    /// disarm like any other.
    pub(crate) async fn alarm(&mut self, _: &Permit, member: MemberId, kind: AlarmKind) -> Result<(), Fault> {
        let kind = match kind {
            AlarmKind::NoSpace => AlarmType::Nospace,
            AlarmKind::Corrupt => AlarmType::Corrupt,
        };
        let mut options = AlarmOptions::new();
        options.with_member(member.0);
        within(self.maintenance.alarm(AlarmAction::Activate, kind, Some(options))).await.map(drop)
    }
}

/// What a watch brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// It has seen everything up to this revision.
    UpTo(i64),
    /// etcd cancelled it: what it asked for is below this compact revision.
    Compacted(i64),
    /// It is over for another reason.
    Ended,
}

/// A watch of all keys below a prefix.
pub(crate) struct LabWatch {
    // Kept: a watch ends when the client that asked for it goes.
    _client: WatchClient,
    stream: WatchStream,
}

impl LabWatch {
    /// Asks for every change from a revision on.
    pub(crate) async fn from(
        dialer: &Dialer,
        endpoint: &Endpoint,
        prefix: &str,
        revision: i64,
    ) -> Result<Self, Fault> {
        let mut client = dialer.connect(endpoint).await?.watch();
        let options = WatchOptions::new().with_prefix().with_start_revision(revision);
        let stream = within(client.watch(prefix, Some(options))).await?;
        Ok(Self { _client: client, stream })
    }

    /// Waits for what comes next.
    pub(crate) async fn next(&mut self) -> Watched {
        match self.stream.message().await {
            Ok(Some(reply)) if reply.compact_revision() > 0 => Watched::Compacted(reply.compact_revision()),
            Ok(Some(reply)) if !reply.canceled() => Watched::UpTo(
                reply.events().iter().filter_map(|e| Some(e.kv()?.mod_revision())).max().unwrap_or_default(),
            ),
            _ => Watched::Ended,
        }
    }
}

async fn within<T>(call: impl Future<Output = Result<T, etcd_client::Error>>) -> Result<T, Fault> {
    match timeout(LIMIT, call).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(e)) => Err(fault_of(e, &LastFault::default())),
        Err(_) => Err(Fault::Deadline { after: LIMIT }),
    }
}
