//! The calls that change a cluster or a member. Each takes a [`Permit`], a time limit, and makes sure first that the one
//! who answers is the member that was meant: behind an address there may be another one by now.

use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, CompactionOptions, Compare, CompareOp, Txn, TxnOp, TxnOpResponse,
};

use super::connection::Connection;
use super::fault::Fault;
use super::permit::Permit;
use super::stream::Dialer;
use crate::model::{AlarmKind, Bytes, ClusterId, Endpoint, MemberId, Revision};

/// The value of the key that proves a write.
const PROOF: &str = "etcdtop: proof that the cluster takes writes";

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
        let limit = WHO.min(self.access().command_timeout.max(Duration::from_secs(1)));
        self.connect(endpoint).await?.of(cluster, member, limit).await
    }
}

impl Connection {
    /// A call that changes something, if the permit is for the cluster that answers here.
    pub(super) async fn change<T>(
        &self,
        permit: &Permit,
        limit: Duration,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Fault> {
        self.allows(permit)?;
        self.call(limit, call).await
    }

    /// `KV.Compact`, physically: returns when the old revisions are gone from this member's file.
    ///
    /// # Errors
    /// The fault; after [`Fault::Deadline`] and [`Fault::Lost`] it may have been carried out all the same.
    pub async fn compact(&self, permit: &Permit, revision: Revision, limit: Duration) -> Result<(), Fault> {
        let mut kv = self.kv();
        let options = CompactionOptions::new().with_physical();
        self.change(permit, limit, async move { kv.compact(revision.0, Some(options)).await }).await.map(drop)
    }

    /// `Maintenance.Defragment`: this member rewrites its file and answers nothing else meanwhile.
    ///
    /// # Errors
    /// The fault; after [`Fault::Deadline`] and [`Fault::Lost`] it goes on all the same.
    pub async fn defragment(&self, permit: &Permit, limit: Duration) -> Result<(), Fault> {
        let mut maintenance = self.maintenance();
        self.change(permit, limit, async move { maintenance.defragment().await }).await.map(drop)
    }

    /// `Maintenance.MoveLeader`; this must be the leader. etcd has no time limit of its own for it.
    ///
    /// # Errors
    /// The fault, such as not being the leader.
    pub async fn move_leader(&self, permit: &Permit, to: MemberId, limit: Duration) -> Result<(), Fault> {
        let mut maintenance = self.maintenance();
        self.change(permit, limit, async move { maintenance.move_leader(to.0).await }).await.map(drop)
    }

    /// `Maintenance.Alarm DEACTIVATE` for one alarm of one member. Goes through Raft.
    ///
    /// # Errors
    /// The fault.
    pub async fn disarm(
        &self,
        permit: &Permit,
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
        let call = async move { maintenance.alarm(AlarmAction::Deactivate, alarm, Some(options)).await };
        self.change(permit, limit, call).await.map(drop)
    }

    /// Puts a key that is not there yet and deletes it: proof that the cluster takes writes. Its value tells that it is ours,
    /// so that this can be done again when the outcome is not known, or when an earlier one was left behind.
    ///
    /// # Errors
    /// The fault; [`Fault::Rpc`] with `AlreadyExists` when the key is somebody's: then it is left alone. A key that could be
    /// put and not deleted stays, and the fault says so.
    pub async fn prove_write(&self, permit: &Permit, key: &str, limit: Duration) -> Result<(), Fault> {
        let mut kv = self.kv();
        let absent = Compare::create_revision(key, CompareOp::Equal, 0);
        let put = Txn::new()
            .when([absent])
            .and_then([TxnOp::put(key, PROOF, None)])
            .or_else([TxnOp::get(key, None)]);
        let reply = self.change(permit, limit, async move { kv.txn(put).await }).await?;
        let ours = |r: &TxnOpResponse| match r {
            TxnOpResponse::Get(got) => got.kvs().iter().any(|kv| kv.value() == PROOF.as_bytes()),
            _ => false,
        };
        if !reply.succeeded() {
            if !reply.op_responses().iter().any(ours) {
                let message = format!("the key {key} exists: choose another --proof-prefix");
                return Err(Fault::Rpc { code: tonic::Code::AlreadyExists, message });
            }
            // Left behind by an earlier one, and no proof: this one is.
            let mut kv = self.kv();
            let put = Txn::new()
                .when([Compare::value(key, CompareOp::Equal, PROOF)])
                .and_then([TxnOp::put(key, PROOF, None)]);
            self.change(permit, limit, async move { kv.txn(put).await }).await?;
        }
        let mut kv = self.kv();
        let delete = Txn::new()
            .when([Compare::value(key, CompareOp::Equal, PROOF)])
            .and_then([TxnOp::delete(key, None)]);
        let deleted = self.change(permit, limit, async move { kv.txn(delete).await }).await;
        deleted.map(drop).map_err(|fault| match fault {
            Fault::Rpc { code, message } => {
                Fault::Rpc { code, message: format!("{message}; the key {key} is left behind") }
            }
            other => other,
        })
    }

    /// `Maintenance.Snapshot`: changes nothing, so it takes no permit.
    ///
    /// # Errors
    /// The fault that kept the stream from beginning.
    pub async fn snapshot(&self, limit: Duration) -> Result<SnapshotStream, Fault> {
        let mut maintenance = self.maintenance();
        let stream = self.call(limit, async move { maintenance.snapshot().await }).await?;
        Ok(SnapshotStream { stream, from: self.clone() })
    }
}

/// The messages of a snapshot.
#[derive(Debug)]
pub struct SnapshotStream {
    stream: etcd_client::SnapshotStreaming,
    from: Connection,
}

/// One message of a snapshot.
#[derive(Debug)]
pub struct SnapshotPart(etcd_client::SnapshotResponse);

impl SnapshotPart {
    /// The next bytes.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        self.0.blob()
    }

    /// So many come after them, as the member thinks.
    #[must_use]
    pub fn remaining(&self) -> Bytes {
        Bytes(self.0.remaining_bytes())
    }
}

impl SnapshotStream {
    /// The next message; none after the last one.
    ///
    /// # Errors
    /// The fault that broke the stream off, or kept the message from coming within `limit`.
    pub async fn next(&mut self, limit: Duration) -> Result<Option<SnapshotPart>, Fault> {
        Ok(self.from.call(limit, self.stream.message()).await?.map(SnapshotPart))
    }
}
