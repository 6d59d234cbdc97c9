//! A poll as the dashboard runs it, and waiting for what it sees.

use std::sync::Arc;
use std::time::Duration;

use etcdtop::etcd::{Access, Dialer};
use etcdtop::model::verdict::judge;
use etcdtop::model::{ClusterView, Endpoint, MemberState, VerdictKind};
use etcdtop::poll::{Options, Poll};

use super::PATIENCE;

/// A running poll.
pub struct Watch {
    poll: Poll,
}

impl Watch {
    pub fn start(access: &Access, endpoints: &[Endpoint]) -> Self {
        let dialer = Dialer::new(access.clone(), endpoints).unwrap();
        let options = Options {
            dialer,
            endpoints: endpoints.to_vec(),
            interval: Duration::from_secs(1),
            metrics_every: Some(Duration::from_secs(5)),
            patience: etcdtop::poll::PATIENCE,
            known: Vec::new(),
        };
        Self { poll: Poll::start(options) }
    }

    pub const fn poll(&self) -> &Poll {
        &self.poll
    }

    /// Waits until a view is as wanted.
    pub async fn until(&self, what: &str, check: impl Fn(&ClusterView) -> bool) -> Arc<ClusterView> {
        let mut views = self.poll.views();
        let seen = tokio::time::timeout(PATIENCE, views.wait_for(|v| check(v))).await;
        let Ok(view) = seen else { panic!("{what} was not seen; last: {:#?}", self.poll.views().borrow()) };
        Arc::clone(&view.unwrap())
    }

    /// The next views, one after the other.
    pub async fn next_views(&self, count: usize) -> Vec<Arc<ClusterView>> {
        let mut views = self.poll.views();
        views.mark_unchanged();
        let mut seen = Vec::new();
        while seen.len() < count {
            tokio::time::timeout(PATIENCE, views.changed()).await.unwrap().unwrap();
            seen.push(Arc::clone(&views.borrow_and_update()));
        }
        seen
    }

    pub async fn until_verdict(&self, kind: VerdictKind) -> Arc<ClusterView> {
        self.until(&format!("{kind:?}"), |v| judge(v, &[]).kind == kind).await
    }

    pub async fn until_state(&self, name: &str, state: MemberState) -> Arc<ClusterView> {
        let is = |v: &ClusterView| v.members.iter().any(|m| m.label() == name && m.state == state);
        self.until(&format!("{name} {state:?}"), is).await
    }
}
