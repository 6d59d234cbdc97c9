//! A diagnosis that goes on, as the dashboard makes it, and waiting for what it finds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etcdtop::diagnose::{Case, Damper, findings};
use etcdtop::etcd::{Access, Dialer};
use etcdtop::model::{ClusterView, Endpoint, Finding};
use etcdtop::poll::history::History;
use etcdtop::poll::{Options, Poll};
use tokio::sync::watch::Receiver;

/// Round trips are observed every 30 s, and three of them are waited for.
const PATIENCE: Duration = Duration::from_secs(150);

/// A poll, its history and what is found in it.
pub struct Doctor {
    poll: Poll,
    views: Receiver<Arc<ClusterView>>,
    history: History,
    damper: Damper,
    /// What was found in the last view.
    pub found: Vec<Finding>,
}

impl Doctor {
    /// Begins; scrapes come every second, so that windows fill faster than in real life.
    pub fn visit(access: &Access, endpoints: &[Endpoint]) -> Self {
        let poll = Poll::start(Options {
            dialer: Dialer::new(access.clone(), endpoints).unwrap(),
            endpoints: endpoints.to_vec(),
            interval: Duration::from_secs(1),
            metrics_every: Some(Duration::from_secs(1)),
            patience: etcdtop::poll::PATIENCE,
            known: Vec::new(),
        });
        let views = poll.views();
        let (history, damper) = (History::default(), Damper::default());
        Self { poll, views, history, damper, found: Vec::new() }
    }

    pub const fn poll(&self) -> &Poll {
        &self.poll
    }

    /// Takes the next view.
    pub async fn look(&mut self) -> Arc<ClusterView> {
        tokio::time::timeout(super::PATIENCE, self.views.changed()).await.unwrap().unwrap();
        let view = Arc::clone(&self.views.borrow_and_update());
        self.history.push(&view);
        self.found = self.damper.settle(findings(&Case::new(&view, &self.history)), &view);
        view
    }

    /// Looks until a rule finds something that is as wanted.
    pub async fn until(&mut self, rule: &str, wanted: impl Fn(&Finding) -> bool) -> Finding {
        assert!(etcdtop::diagnose::rule(rule).is_some(), "no rule {rule}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.look().await;
            if let Some(f) = self.found.iter().find(|f| f.key.rule == rule && wanted(f)) {
                return f.clone();
            }
            assert!(Instant::now() < deadline, "{rule} was not found; last: {:#?}", self.found);
        }
    }

    /// Looks until a rule finds nothing any more.
    pub async fn until_over(&mut self, rule: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.found.iter().any(|f| f.key.rule == rule) {
            self.look().await;
            assert!(Instant::now() < deadline, "{rule} is not over: {:#?}", self.found);
        }
    }

    /// Looks until every member serves.
    pub async fn until_whole(&mut self) -> Arc<ClusterView> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = self.look().await;
            let serves = |m: &etcdtop::model::MemberView| m.state.serves() && m.metrics.is_some();
            if view.listed() > 0 && view.leader.is_some() && view.members.iter().all(serves) {
                return view;
            }
            assert!(Instant::now() < deadline, "not whole: {view:#?}");
        }
    }
}
