//! What is known of one endpoint: what it said last, and what became of it. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::source::Body;
use crate::etcd::{Fault, ListedMember};
use crate::model::member::{ClockOffset, PeerCertificate, SLOW_AFTER};
use crate::model::units::age;
use crate::model::{
    ClusterId, Endpoint, ForeignText, MemberId, MemberState, MemberStatus, MetricsSample, RaftIndex,
};

/// One endpoint and what came from it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) endpoint: Endpoint,
    /// Typed by the user or found on the host; false for a url of the member list.
    pub(super) typed: bool,
    pub(super) state: MemberState,
    pub(super) detail: Option<ForeignText>,
    pub(super) since: Timestamp,
    /// How long the call that is not answered yet has been waiting.
    pub(super) silent_for: Option<Duration>,
    pub(super) latency: Option<Duration>,
    pub(super) status: Option<(MemberStatus, Times)>,
    /// The member list as it knows it.
    pub(super) list: Option<ToldList>,
    /// Why it did not tell one.
    pub(super) list_refused: Option<ForeignText>,
    /// Since when that names other members than the list that is shown.
    pub(super) list_differs_since: Option<Timestamp>,
    pub(super) certificate: Option<PeerCertificate>,
    pub(super) metrics: Option<(Arc<MetricsSample>, Times)>,
    /// How far its clock is ahead of ours.
    pub(super) clock: Option<ClockOffset>,
    pub(super) metrics_error: Option<ForeignText>,
    /// When a scrape was asked for last that came, or failed.
    pub(super) scrape_asked: Option<Timestamp>,
    /// Has reported since the tick began.
    pub(super) reported: bool,
}

/// When something was asked and when the answer came: it was true in between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) asked: Timestamp,
    pub(super) at: Timestamp,
}

/// A member list, and how much its teller had applied when it was asked: a change of membership is an entry of the log.
#[derive(Debug)]
pub(super) struct ToldList {
    pub(super) members: Vec<ListedMember>,
    pub(super) applied: RaftIndex,
    pub(super) at: Timestamp,
}

impl Source {
    pub(super) fn new(endpoint: Endpoint, typed: bool, now: Timestamp) -> Self {
        Self {
            endpoint,
            typed,
            state: MemberState::Connecting,
            detail: None,
            since: now,
            silent_for: None,
            latency: None,
            status: None,
            list: None,
            list_refused: None,
            list_differs_since: None,
            certificate: None,
            metrics: None,
            clock: None,
            metrics_error: None,
            scrape_asked: None,
            reported: false,
        }
    }

    /// Takes what it has to say.
    pub(super) fn take(&mut self, body: Body, times: Times) {
        let at = times.at;
        if matches!(body, Body::Metrics(_)) {
            self.scrape_asked = Some(times.asked);
        }
        match body {
            Body::Status(status, latency) => {
                self.reported = true;
                self.silent_for = None;
                self.latency = Some(latency);
                let state = match status.leader {
                    None => MemberState::NoLeader,
                    Some(_) if latency > SLOW_AFTER => MemberState::Slow,
                    Some(_) => MemberState::Ok,
                };
                let detail = (state == MemberState::Slow).then(|| {
                    let took = crate::model::units::latency(latency);
                    ForeignText::new(format!("Status took {took}"))
                });
                self.enter(state, detail, at);
                if self.is_not(Some(status.member_id)) {
                    // A load balancer, or another member behind the same address: nothing else is known of it.
                    self.forget();
                }
                self.status = Some((*status, times));
            }
            Body::Failed(fault) => {
                self.reported = true;
                self.silent_for = match fault {
                    Fault::Hung { after } => Some(after),
                    _ => None,
                };
                self.enter(fault.state(), Some(ForeignText::new(fault.to_string())), at);
            }
            Body::Members(Ok(members)) => {
                let applied = self.status.as_ref().map_or(RaftIndex(0), |(s, _)| s.raft_applied_index);
                self.list = Some(ToldList { members, applied, at });
                self.list_refused = None;
            }
            Body::Members(Err(fault)) => self.list_refused = Some(ForeignText::new(fault.to_string())),
            Body::Certificate(certificate) => self.certificate = Some(certificate),
            Body::Metrics(Ok(sample)) if self.is_not(sample.server_id) => {
                let other = sample.server_id.map_or_else(String::new, |id| id.to_string());
                self.metrics_error = Some(ForeignText::new(format!(
                    "its /metrics are those of member {other}: with --metrics-url, write * for the host"
                )));
            }
            Body::Metrics(Ok(sample)) => {
                self.metrics_error = None;
                self.metrics = Some((Arc::from(sample), times));
            }
            Body::Date(date) => {
                let told = ClockOffset::told(date, times.asked, times.at);
                self.clock = Some(self.clock.map_or(told, |known| known.narrowed(told)));
            }
            Body::Metrics(Err(reason)) => self.metrics_error = Some(ForeignText::new(reason)),
        }
    }

    pub(super) fn forget(&mut self) {
        self.status = None;
        self.list = None;
        self.list_differs_since = None;
        self.metrics = None;
        self.clock = None;
    }

    pub(super) fn member(&self) -> Option<MemberId> {
        self.status.as_ref().map(|(s, _)| s.member_id)
    }

    /// Whether figures of the member `id` are those of somebody else.
    pub(super) fn is_not(&self, id: Option<MemberId>) -> bool {
        self.member().is_some_and(|ours| id.is_some_and(|id| id != ours))
    }

    pub(super) fn cluster(&self) -> Option<ClusterId> {
        self.status.as_ref().map(|(s, _)| s.cluster_id)
    }

    /// The state; but a member that says in its `/metrics` that it rewrites its file is not hung.
    pub(super) fn told_state(&self) -> (MemberState, Option<ForeignText>) {
        let inflight =
            |(m, t): &(Arc<MetricsSample>, Times)| t.at >= self.since && m.defrag_inflight == Some(true);
        match self.silent_for {
            Some(silent)
                if self.state == MemberState::Hung && self.metrics.as_ref().is_some_and(inflight) =>
            {
                let text = format!(
                    "a defragmentation runs there for {}; it answers again when that ends",
                    age(silent)
                );
                (MemberState::Defragmenting, Some(ForeignText::new(text)))
            }
            _ => (self.state, self.detail.clone()),
        }
    }

    pub(super) fn enter(&mut self, state: MemberState, detail: Option<ForeignText>, at: Timestamp) {
        if self.state != state {
            let reason = detail.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::info!(endpoint = %self.endpoint, state = state.word(), was = self.state.word(), reason);
            self.state = state;
            self.since = at;
        }
        self.detail = detail;
    }
}
