//! One gRPC connection to one member, and the calls that read from it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::Uri;
use etcd_client::{Channel, Client, ConnectOptions, GetOptions};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Endpoint as TonicEndpoint;
use tower_service::Service;

use super::fault::Fault;
use super::permit::Permit;
use super::stream::{Dialer, LastFault, Protocol, Stream};
use crate::model::member::PeerCertificate;
use crate::model::{
    Bytes, ClusterId, Endpoint, ForeignText, MemberId, MemberStatus, MemberView, RaftIndex, Revision, Term,
};

/// One entry of the member list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMember {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it was started.
    pub name: ForeignText,
    /// Where it says that peers find it.
    pub peer_urls: Vec<ForeignText>,
    /// Where it says that clients find it; empty until it was started.
    pub client_urls: Vec<ForeignText>,
    /// Whether it is a learner.
    pub learner: bool,
}

impl ListedMember {
    /// As it stands in a view, if that has it from a member list.
    #[must_use]
    pub fn of(m: &MemberView) -> Option<Self> {
        let id = m.id.filter(|_| m.listed)?;
        let (peer_urls, client_urls) = (m.peer_urls.clone(), m.client_urls.clone());
        Some(Self { id, name: m.name.clone(), peer_urls, client_urls, learner: m.learner })
    }

    /// Whether it was added but never started.
    #[must_use]
    pub fn unstarted(&self) -> bool {
        self.name.is_empty() && self.client_urls.is_empty()
    }
}

/// What `HashKV` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHash {
    /// Who answered.
    pub member: MemberId,
    /// CRC-32C over keys and values.
    pub hash: u32,
    /// The compact revision when it began: hashes of different ones are of different things.
    pub compact_revision: Revision,
}

/// A connection to one member. Calls take `&self` and their own time limit; a call that is dropped is
/// cancelled.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    fault: LastFault,
    certificate: Option<PeerCertificate>,
    /// Whose it is, once that was made sure.
    cluster: Option<ClusterId>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Bytes that a member may send before it hears that they were taken.
const WINDOW: u32 = 4 << 20;

impl Dialer {
    /// Connects to the member behind `endpoint` and authenticates if a user is set.
    ///
    /// # Errors
    /// The [`Fault`] that kept it from connecting within the dial timeout, or from authenticating within the
    /// command timeout (authentication goes through Raft: it needs a quorum).
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, Fault> {
        let stream = self.stream(endpoint, Protocol::Http2).await?;
        let certificate = stream.certificate.clone();
        let fault = stream.fault.clone();
        let scheme = if self.uses_tls(endpoint) { "https" } else { "http" };
        let uri = format!("{scheme}://{}", authority(endpoint));
        let access = self.access();
        let settings = TonicEndpoint::from_shared(uri)
            .map_err(|e| Fault::Unreachable { reason: e.to_string() })?
            .http2_keep_alive_interval(access.keepalive_time.max(super::access::MIN_KEEPALIVE))
            .keep_alive_timeout(access.keepalive_timeout)
            .keep_alive_while_idle(false)
            // A snapshot must not wait for a round trip after every 64 KiB.
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let channel = settings.connect_with_connector(Once(Some(stream)));
        let channel = match timeout(access.dial_timeout, channel).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(e)) => return Err(fault.take().unwrap_or_else(|| Fault::Lost { reason: root_cause(&e) })),
            Err(_) => return Err(Fault::Hung { after: access.dial_timeout }),
        };
        let mut options = ConnectOptions::new();
        if let Some(user) = &access.user {
            options =
                options.with_user(user.name.clone(), user.password.clone()).with_auto_token_refresh(true);
        }
        let connecting = Client::from_channel(Channel::Tonic(channel), Some(options));
        let client = match timeout(access.command_timeout, connecting).await {
            Ok(Ok(client)) => client,
            Ok(Err(e)) => return Err(fault_of(e, &fault)),
            Err(_) => return Err(Fault::AuthSilent { after: access.command_timeout }),
        };
        Ok(Connection { client, fault, certificate, cluster: None })
    }
}

impl Connection {
    /// The certificate that the server showed.
    #[must_use]
    pub const fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.as_ref()
    }

    /// `Maintenance.Status`: the member's own view, answered without Raft.
    ///
    /// # Errors
    /// The fault that kept it from answering within `limit`.
    pub async fn status(&self, limit: Duration) -> Result<MemberStatus, Fault> {
        let mut client = self.client.maintenance_client();
        let reply = self.call(limit, async move { client.status().await }).await?;
        let header = reply
            .header()
            .ok_or_else(|| Fault::NotEtcd { reason: "a Status reply without header".into() })?;
        let text = |s: &str| Some(ForeignText::from(s)).filter(|t| !t.is_empty());
        Ok(MemberStatus {
            member_id: MemberId(header.member_id()),
            cluster_id: ClusterId(header.cluster_id()),
            version: ForeignText::from(reply.version()),
            storage_version: text(reply.storage_version()),
            db_size: Bytes::known(reply.db_size()),
            db_size_in_use: Bytes::known(reply.raft_used_db_size()),
            db_quota: Bytes::known(reply.db_size_quota()),
            leader: MemberId::known(reply.leader()),
            raft_term: Term(reply.raft_term()),
            raft_index: RaftIndex(reply.raft_index()),
            raft_applied_index: RaftIndex(reply.raft_applied_index()),
            revision: Revision(header.revision()),
            is_learner: reply.is_learner(),
            errors: reply.errors().iter().map(|e| ForeignText::from(e.trim_end())).collect(),
            downgrade_target: reply
                .downgrade_info()
                .filter(|d| d.enabled())
                .and_then(|d| text(d.target_version())),
        })
    }

    /// `Cluster.MemberList`, from this member's own copy (not linearizable): it answers without a quorum.
    ///
    /// # Errors
    /// The fault that kept it from answering within `limit`.
    pub async fn members(&self, limit: Duration) -> Result<Vec<ListedMember>, Fault> {
        let mut client = self.client.cluster_client();
        let reply = self.call(limit, async move { client.member_list().await }).await?;
        let texts = |urls: &[String]| urls.iter().map(|u| ForeignText::from(u.as_str())).collect();
        Ok(reply
            .members()
            .iter()
            .map(|m| ListedMember {
                id: MemberId(m.id()),
                name: ForeignText::from(m.name()),
                peer_urls: texts(m.peer_urls()),
                client_urls: texts(m.client_urls()),
                learner: m.is_learner(),
            })
            .collect())
    }

    /// A read of one key that does not exist, through this member; how long it took. Linearizable reads
    /// go through the leader and a quorum, as the health check of etcdctl does.
    ///
    /// # Errors
    /// The fault that kept it from answering within `limit`. A user without permission for the key counts
    /// as an answer: the read reached the store.
    pub async fn read(&self, linearizable: bool, limit: Duration) -> Result<Duration, Fault> {
        let client = self.client.kv_client();
        let mut options = GetOptions::new().with_keys_only().with_limit(1);
        if !linearizable {
            options = options.with_serializable();
        }
        let started = Instant::now();
        loop {
            let left = limit.saturating_sub(started.elapsed());
            let (mut kv, options) = (client.clone(), options.clone());
            match self.call(left, async move { kv.get("health", Some(options)).await }).await {
                Ok(_) => return Ok(started.elapsed()),
                Err(Fault::Auth { reason }) if reason.contains("permission denied") => {
                    return Ok(started.elapsed());
                }
                // An election in between: a read can be asked again, and the answer is worth the wait.
                Err(Fault::Rpc { message, .. })
                    if message.contains("leader changed") && started.elapsed() < limit =>
                {
                    sleep(Duration::from_millis(100)).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// How many keys there are, by a linearizable range that counts.
    ///
    /// # Errors
    /// The fault that kept it from answering within `limit`.
    pub async fn count_keys(&self, limit: Duration) -> Result<u64, Fault> {
        let mut kv = self.client.kv_client();
        let options = GetOptions::new().with_all_keys().with_count_only();
        let reply = self.call(limit, async move { kv.get([0_u8], Some(options)).await }).await?;
        Ok(u64::try_from(reply.count()).unwrap_or_default())
    }

    /// `Maintenance.HashKV` up to `revision`, 0 for the newest: the member reads all of its keys for it.
    ///
    /// # Errors
    /// The fault that kept it from answering within `limit`.
    pub async fn hash_kv(&self, revision: Revision, limit: Duration) -> Result<KvHash, Fault> {
        let mut maintenance = self.client.maintenance_client();
        let reply = self.call(limit, async move { maintenance.hash_kv(revision.0).await }).await?;
        let member = reply.header().map_or(MemberId(0), |h| MemberId(h.member_id()));
        Ok(KvHash { member, hash: reply.hash(), compact_revision: Revision(reply.compact_version().max(0)) })
    }

    /// Makes sure that `member` of `cluster` answers here and no other: behind an address there may be another one by now.
    ///
    /// # Errors
    /// [`Fault::WrongMember`], or the fault that kept it from answering within `limit`.
    pub async fn of(mut self, cluster: ClusterId, member: MemberId, limit: Duration) -> Result<Self, Fault> {
        let status = self.status(limit).await?;
        if (status.cluster_id, status.member_id) != (cluster, member) {
            return Err(Fault::WrongMember { found: status.member_id, cluster: status.cluster_id });
        }
        self.cluster = Some(cluster);
        Ok(self)
    }

    /// Whether a permit holds for the cluster that answers here.
    pub(super) fn allows(&self, permit: &Permit) -> Result<(), Fault> {
        if self.cluster.is_some_and(|cluster| permit.covers(cluster)) {
            return Ok(());
        }
        let reason = "the right to change a cluster is for another one".to_owned();
        Err(Fault::NotSent { fault: Box::new(Fault::Unreachable { reason }) })
    }

    pub(super) fn kv(&self) -> etcd_client::KvClient {
        self.client.kv_client()
    }

    pub(super) fn leases(&self) -> etcd_client::LeaseClient {
        self.client.lease_client()
    }

    pub(super) fn watch(&self) -> etcd_client::WatchClient {
        self.client.watch_client()
    }

    pub(super) fn maintenance(&self) -> etcd_client::MaintenanceClient {
        self.client.maintenance_client()
    }

    pub(super) async fn call<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Fault> {
        match timeout(limit, call).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(fault_of(error, &self.fault)),
            Err(_) => Err(Fault::Deadline { after: limit }),
        }
    }
}

pub(super) fn authority(endpoint: &Endpoint) -> String {
    match endpoint.address() {
        crate::model::endpoint::Address::Tcp { host, port } if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        crate::model::endpoint::Address::Tcp { host, port } => format!("{host}:{port}"),
        crate::model::endpoint::Address::Unix(_) => "localhost".into(),
    }
}

/// What an error of etcd-client means; a transport error that the stream explained better is that.
pub(super) fn fault_of(error: etcd_client::Error, stream: &LastFault) -> Fault {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            // tonic reports a broken transport as Unknown or Unavailable with the cause as source; a status
            // that the server sent has none.
            if std::error::Error::source(&status).is_some() {
                return stream.take().unwrap_or_else(|| Fault::Lost { reason: root_cause(&status) });
            }
            if let Some(http) =
                status.message().strip_prefix("grpc-status header missing, mapped from HTTP status code ")
            {
                return Fault::NotEtcd {
                    reason: format!("an HTTP server that is no etcd answers with status {http}"),
                };
            }
            Fault::from_grpc(status.code(), status.message())
        }
        etcd_client::Error::TransportError(e) => {
            stream.take().unwrap_or_else(|| Fault::Lost { reason: root_cause(&e) })
        }
        other => Fault::Lost { reason: other.to_string() },
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A connector that gives the one stream that was made for it. A channel that loses its connection cannot
/// make another behind our back: the caller decides when to dial again, and learns why it has to.
struct Once(Option<Stream>);

impl Service<Uri> for Once {
    type Response = TokioIo<Stream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.take();
        Box::pin(async move {
            stream.map(TokioIo::new).ok_or_else(|| std::io::Error::other("the connection was closed"))
        })
    }
}
