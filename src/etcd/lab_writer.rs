//! Writes for the lab's load, and only for it: there is no way from here to a configured cluster but by naming it to
//! the lab, which starts its own.

use etcd_client::{CompactionOptions, KvClient};
use std::time::Duration;
use tokio::time::timeout;

use super::connection::fault_of;
use super::fault::Fault;
use super::permit::Permit;
use super::stream::{Dialer, LastFault};
use crate::model::Endpoint;

const LIMIT: Duration = Duration::from_secs(2);

/// A writer to one member of a lab cluster.
pub(crate) struct LabWriter {
    kv: KvClient,
}

impl LabWriter {
    pub(crate) async fn connect(dialer: &Dialer, endpoint: &Endpoint) -> Result<Self, Fault> {
        let connection = dialer.connect(endpoint).await?;
        Ok(Self { kv: connection.kv() })
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
}

async fn within<T>(call: impl Future<Output = Result<T, etcd_client::Error>>) -> Result<T, Fault> {
    match timeout(LIMIT, call).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(e)) => Err(fault_of(e, &LastFault::default())),
        Err(_) => Err(Fault::Deadline { after: LIMIT }),
    }
}
