//! The calls that change a cluster or a member. Each takes a [`Permit`], a time limit, and makes sure first that the one
//! who answers is the member that was meant: behind an address there may be another one by now.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, CompactionOptions, Compare, CompareOp, Txn, TxnOp};

use super::connection::Connection;
use super::fault::Fault;
use super::permit::Permit;
use super::stream::Dialer;
use crate::model::{AlarmKind, ClusterId, Endpoint, MemberId, Revision};

/// How long the question who answers may take.
const WHO: Duration = Duration::from_secs(5);

impl Dialer {
    /// Connects to a member and makes sure that it is `member` of `cluster` and no other.
    ///
    /// # Errors
    /// The fault that kept it from connecting, or [`Fault::WrongMember`].
    pub async fn connect_to(
        &self,
        endpoint: &Endpoint,
        cluster: ClusterId,
        member: MemberId,
    ) -> Result<Connection, Fault> {
        let connection = self.connect(endpoint).await?;
        let status =
            connection.status(WHO.min(self.access().command_timeout.max(Duration::from_secs(1)))).await?;
        if (status.cluster_id, status.member_id) == (cluster, member) {
            Ok(connection)
        } else {
            Err(Fault::WrongMember { found: status.member_id, cluster: status.cluster_id })
        }
    }
}

impl Connection {
    /// `KV.Compact`, physically: returns when the old revisions are gone from this member's file.
    ///
    /// # Errors
    /// The fault; after [`Fault::Deadline`] and [`Fault::Lost`] it may have been carried out all the same.
    pub async fn compact(&self, _: &Permit, revision: Revision, limit: Duration) -> Result<(), Fault> {
        let mut kv = self.kv();
        let options = CompactionOptions::new().with_physical();
        self.call(limit, async move { kv.compact(revision.0, Some(options)).await }).await.map(drop)
    }

    /// `Maintenance.Defragment`: this member rewrites its file and answers nothing else meanwhile.
    ///
    /// # Errors
    /// The fault; after [`Fault::Deadline`] and [`Fault::Lost`] it goes on all the same.
    pub async fn defragment(&self, _: &Permit, limit: Duration) -> Result<(), Fault> {
        let mut maintenance = self.maintenance();
        self.call(limit, async move { maintenance.defragment().await }).await.map(drop)
    }

    /// `Maintenance.MoveLeader`; this must be the leader. etcd has no time limit of its own for it.
    ///
    /// # Errors
    /// The fault, such as not being the leader.
    pub async fn move_leader(&self, _: &Permit, to: MemberId, limit: Duration) -> Result<(), Fault> {
        let mut maintenance = self.maintenance();
        self.call(limit, async move { maintenance.move_leader(to.0).await }).await.map(drop)
    }

    /// `Maintenance.Alarm DEACTIVATE` for one alarm of one member. Goes through Raft.
    ///
    /// # Errors
    /// The fault.
    pub async fn disarm(
        &self,
        _: &Permit,
        of: MemberId,
        kind: AlarmKind,
        limit: Duration,
    ) -> Result<(), Fault> {
        let mut maintenance = self.maintenance();
        let alarm = match kind {
            AlarmKind::NoSpace => AlarmType::Nospace,
            AlarmKind::Corrupt => AlarmType::Corrupt,
        };
        let mut options = AlarmOptions::new();
        options.with_member(of.0);
        self.call(
            limit,
            async move { maintenance.alarm(AlarmAction::Deactivate, alarm, Some(options)).await },
        )
        .await
        .map(drop)
    }

    /// Puts a key that is not there yet and deletes it: proof that the cluster takes writes.
    ///
    /// # Errors
    /// The fault; [`Fault::Rpc`] with `AlreadyExists` when the key is somebody's: then it is left alone. A key that could be
    /// put and not deleted stays.
    pub async fn prove_write(&self, _: &Permit, key: &str, limit: Duration) -> Result<(), Fault> {
        let (mut put, mut delete) = (self.kv(), self.kv());
        let absent = Compare::create_revision(key, CompareOp::Equal, 0);
        let txn = Txn::new().when([absent]).and_then([TxnOp::put(key, "etcdtop", None)]);
        let reply = self.call(limit, async move { put.txn(txn).await }).await?;
        if !reply.succeeded() {
            let message = format!("the key {key} exists: choose another --proof-prefix");
            return Err(Fault::Rpc { code: tonic::Code::AlreadyExists, message });
        }
        let for_delete = key.to_owned();
        self.call(limit, async move { delete.delete(for_delete, None).await }).await.map(drop)
    }

    /// `Maintenance.Snapshot`: changes nothing, so it takes no permit.
    ///
    /// # Errors
    /// The fault that kept the stream from beginning.
    pub async fn snapshot(&self, limit: Duration) -> Result<etcd_client::SnapshotStreaming, Fault> {
        let mut maintenance = self.maintenance();
        self.call(limit, async move { maintenance.snapshot().await }).await
    }
}
