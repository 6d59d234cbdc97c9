//! An etcd that says what it is told to say: what a real one rarely does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbClusterServer, PbClusterService, PbDefragmentRequest,
    PbDefragmentResponse, PbDowngradeRequest, PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse,
    PbHashRequest, PbHashResponse, PbMaintenanceServer, PbMaintenanceService, PbMemberAddRequest,
    PbMemberAddResponse, PbMemberListRequest, PbMemberListResponse, PbMemberPromoteRequest,
    PbMemberPromoteResponse, PbMemberRemoveRequest, PbMemberRemoveResponse, PbMemberUpdateRequest,
    PbMemberUpdateResponse, PbMoveLeaderRequest, PbMoveLeaderResponse, PbResponseHeader, PbSnapshotRequest,
    PbSnapshotResponse, PbStatusRequest, PbStatusResponse,
};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What it says to `Status` and `MemberList`.
#[derive(Clone, Default)]
pub struct Script {
    pub status: Option<Result<PbStatusResponse, Status>>,
    pub members: Option<Result<PbMemberListResponse, Status>>,
    /// Before each answer.
    pub pause: Duration,
    /// The messages of a snapshot.
    pub snapshot: Vec<Vec<u8>>,
    /// After those it says nothing more, and does not end.
    pub snapshot_stalls: bool,
    /// Revision and index grow by so many a second since that moment, as under writes.
    pub grows: Option<(Instant, f64)>,
}

/// A header that every reply carries.
pub fn header(member_id: u64, cluster_id: u64) -> PbResponseHeader {
    PbResponseHeader { cluster_id, member_id, revision: 7, raft_term: 2 }
}

/// A running fake; stops when dropped.
pub struct Fake {
    pub address: String,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub async fn start(script: Script) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    /// The same on an address that others were told before.
    pub fn on(listener: TcpListener, script: Script) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let service = Service(Arc::new(script));
        let task = tokio::spawn(async move {
            Server::builder()
                .add_service(PbMaintenanceServer::new(service.clone()))
                .add_service(PbClusterServer::new(service))
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        Self { address, task }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Service(Arc<Script>);

type Reply<T> = Result<Response<T>, Status>;

fn not_scripted<T>() -> Reply<T> {
    Err(Status::unimplemented("not scripted"))
}

async fn say<T: Clone>(pause: Duration, said: Option<&Result<T, Status>>) -> Reply<T> {
    tokio::time::sleep(pause).await;
    match said {
        // Nothing to say: never.
        None => std::future::pending().await,
        Some(said) => said.clone().map(Response::new),
    }
}

#[tonic::async_trait]
impl PbMaintenanceService for Service {
    async fn status(&self, _: Request<PbStatusRequest>) -> Reply<PbStatusResponse> {
        let mut said = say(self.0.pause, self.0.status.as_ref()).await?;
        if let Some((since, rate)) = self.0.grows {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a test is not that long
            let more = (since.elapsed().as_secs_f64() * rate) as u32;
            let status = said.get_mut();
            status.raft_index += u64::from(more);
            status.raft_applied_index += u64::from(more);
            if let Some(header) = &mut status.header {
                header.revision += i64::from(more);
            }
        }
        Ok(said)
    }
    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Reply<PbAlarmResponse> {
        not_scripted()
    }
    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Reply<PbDefragmentResponse> {
        not_scripted()
    }
    async fn hash(&self, _: Request<PbHashRequest>) -> Reply<PbHashResponse> {
        not_scripted()
    }
    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Reply<PbHashKvResponse> {
        not_scripted()
    }
    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<PbSnapshotResponse, Status>> + Send>>;
    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Reply<Self::SnapshotStream> {
        let message = |blob| Ok(PbSnapshotResponse { blob, ..PbSnapshotResponse::default() });
        let said = tokio_stream::iter(self.0.snapshot.clone()).map(message);
        Ok(Response::new(if self.0.snapshot_stalls {
            Box::pin(said.chain(tokio_stream::pending()))
        } else {
            Box::pin(said)
        }))
    }
    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Reply<PbMoveLeaderResponse> {
        not_scripted()
    }
    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Reply<PbDowngradeResponse> {
        not_scripted()
    }
}

#[tonic::async_trait]
impl PbClusterService for Service {
    async fn member_list(&self, _: Request<PbMemberListRequest>) -> Reply<PbMemberListResponse> {
        say(self.0.pause, self.0.members.as_ref()).await
    }
    async fn member_add(&self, _: Request<PbMemberAddRequest>) -> Reply<PbMemberAddResponse> {
        not_scripted()
    }
    async fn member_remove(&self, _: Request<PbMemberRemoveRequest>) -> Reply<PbMemberRemoveResponse> {
        not_scripted()
    }
    async fn member_update(&self, _: Request<PbMemberUpdateRequest>) -> Reply<PbMemberUpdateResponse> {
        not_scripted()
    }
    async fn member_promote(&self, _: Request<PbMemberPromoteRequest>) -> Reply<PbMemberPromoteResponse> {
        not_scripted()
    }
}
