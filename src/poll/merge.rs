//! Many endpoints, each with its own story, become one view of one cluster. Pure: no clock, no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::conclude::conclude;
use super::source::Report;
use super::told::{Source, Times};
use crate::etcd::ListedMember;
use crate::model::endpoint::Transport;
use crate::model::member::SLOW_AFTER;
use crate::model::{
    ClusterId, ClusterView, Conflict, Endpoint, ForeignText, MemberId, MemberState, MemberView,
};

/// Two lists that differ for longer than two refreshes differ for good.
const SETTLING: Duration = Duration::from_secs(12);
/// Members that name different leaders for longer than this are not just in the middle of an election.
const ELECTION: Duration = Duration::from_secs(3);
/// Sources for advertised urls: no etcd cluster has so many members, but a reply may claim it.
const MAX_SOURCES: usize = 64;
/// Advertised urls of one member that are tried.
const MAX_ADVERTISED: usize = 2;

/// Names a source: the endpoints that were typed come first, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(usize);

/// Folds reports into views.
#[derive(Debug)]
pub struct Merger {
    sources: BTreeMap<SourceId, Source>,
    next: usize,
    started: BTreeSet<SourceId>,
    /// Since when members name different leaders.
    leaders_differ_since: Option<Timestamp>,
    /// What was known before any member told its list.
    known: Vec<ListedMember>,
    /// Advertised urls without TLS are not used: what was typed is reached over TLS.
    only_tls: bool,
}

impl Merger {
    /// For the endpoints that were typed. The same address twice is one.
    #[must_use]
    pub fn new(endpoints: &[Endpoint]) -> Self {
        let mut merger = Self {
            sources: BTreeMap::new(),
            next: 0,
            started: BTreeSet::new(),
            leaders_differ_since: None,
            known: Vec::new(),
            only_tls: false,
        };
        for endpoint in endpoints {
            if !merger.sources.values().any(|s| s.endpoint.same_address(endpoint)) {
                merger.add(endpoint.clone(), true);
            }
        }
        merger
    }

    /// Keeps to TLS: an advertised `http://` url must not make us send a password in the clear.
    #[must_use]
    pub const fn only_tls(mut self, only_tls: bool) -> Self {
        self.only_tls = only_tls;
        self
    }

    /// Starts from this list, until a member tells its own.
    #[must_use]
    pub fn knowing(mut self, known: Vec<ListedMember>) -> Self {
        self.known = known;
        self
    }

    fn may_use(&self, url: &Endpoint) -> bool {
        !self.only_tls || url.transport() != Transport::Plain
    }

    fn add(&mut self, endpoint: Endpoint, typed: bool) {
        self.sources.insert(SourceId(self.next), Source::new(endpoint, typed, Timestamp::now()));
        self.next += 1;
    }

    /// The endpoint of a source that is still wanted.
    #[must_use]
    pub fn endpoint(&self, id: SourceId) -> Option<&Endpoint> {
        self.sources.get(&id).map(|s| &s.endpoint)
    }

    /// Adds sources for members of the list that no other source leads to, drops those of members that are
    /// gone, and returns the sources that have no task yet.
    #[must_use]
    pub fn adopt_wanted(&mut self) -> Vec<SourceId> {
        let wanted = self.wanted_urls();
        let gone: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, s)| !s.typed && !wanted.iter().any(|w| w.same_address(&s.endpoint)))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.sources.remove(&id);
            self.started.remove(&id);
        }
        for endpoint in wanted {
            if !self.sources.values().any(|s| s.endpoint.same_address(&endpoint)) {
                self.add(endpoint, false);
            }
        }
        let fresh: Vec<_> = self.sources.keys().filter(|id| !self.started.contains(id)).copied().collect();
        self.started.extend(&fresh);
        fresh
    }

    /// The task of a source is gone: it needs a new one, and what it said last may not be true any more.
    pub fn forget_task(&mut self, id: SourceId) {
        self.started.remove(&id);
        if let Some(source) = self.sources.get_mut(&id) {
            let detail = "a polling task of etcdtop failed and was started again; --log-file tells why";
            source.enter(MemberState::Connecting, Some(ForeignText::from(detail)), Timestamp::now());
        }
    }

    /// The advertised urls that are needed: those of members to which no typed endpoint leads and answers.
    /// What the user typed wins, for behind a tunnel the advertised urls lead nowhere.
    fn wanted_urls(&self) -> Vec<Endpoint> {
        let mut wanted = Vec::new();
        for member in self.list().into_iter().flatten() {
            let urls: Vec<_> =
                member.client_urls.iter().filter_map(|u| Endpoint::parse(u.raw()).ok()).collect();
            let mut typed = self.sources.values().filter(|s| s.typed && leads_to(s, member.id, &urls));
            let served_by_typed = typed.any(|s| s.state.answers() || s.state == MemberState::Connecting);
            if !served_by_typed {
                wanted.extend(urls.into_iter().filter(|u| self.may_use(u)).take(MAX_ADVERTISED));
            }
        }
        wanted.truncate(MAX_SOURCES);
        wanted
    }

    /// Marks the start of a tick: every source is expected to report.
    pub fn begin_tick(&mut self, now: Timestamp) {
        let differ = self.raw_view(now).conflicts.iter().any(|c| matches!(c, Conflict::LeadersDiffer { .. }));
        self.leaders_differ_since = differ.then(|| self.leaders_differ_since.unwrap_or(now));
        for source in self.sources.values_mut() {
            source.reported = false;
        }
    }

    /// How long to wait in a tick for members that take long: until the slowest of the last tick has answered, or
    /// their figures would be of two moments and no lag could be told.
    #[must_use]
    pub fn gather_time(&self, least: Duration) -> Duration {
        let active = self.active();
        let answering = self.sources.iter().filter(|(id, s)| active.contains(id) && s.state.answers());
        let slowest = answering.filter_map(|(_, s)| s.latency).max().unwrap_or_default();
        (slowest * 3 / 2).clamp(least, SLOW_AFTER.max(least))
    }

    /// Whether every source that answered last time has reported in this tick.
    #[must_use]
    pub fn tick_complete(&self) -> bool {
        let active = self.active();
        self.sources
            .iter()
            .filter(|(id, s)| active.contains(id) && s.state.answers())
            .all(|(_, s)| s.reported)
            && !self.sources.values().any(|s| s.state == MemberState::Connecting)
    }

    /// Takes what a source has to say.
    pub(super) fn apply(&mut self, report: Report) {
        let Some(source) = self.sources.get_mut(&report.source) else { return };
        source.take(report.body, Times { asked: report.asked, at: report.at });
        self.forget_former_cluster();
        self.compare_lists(report.at);
    }

    /// The cluster that is shown: that of the first endpoint that ever answered, as long as any endpoint of it
    /// answers or no other does. Members that were restored from a snapshot come back as another cluster.
    fn cluster_id(&self) -> Option<ClusterId> {
        let first = self.sources.values().find_map(Source::cluster);
        let answering = || self.sources.values().filter(|s| s.state.answers()).filter_map(Source::cluster);
        if answering().any(|c| Some(c) == first) {
            return first;
        }
        answering().next().or(first)
    }

    fn in_cluster(&self, source: &Source) -> bool {
        source.cluster().is_none_or(|c| Some(c) == self.cluster_id())
    }

    /// What a silent endpoint said when it was of another cluster than the one shown is of no more use: who comes back
    /// there is open.
    fn forget_former_cluster(&mut self) {
        let shown = self.cluster_id();
        for source in self.sources.values_mut() {
            if !source.state.answers() && source.cluster().is_some_and(|c| Some(c) != shown) {
                source.forget();
            }
        }
    }

    /// The list that was told by the member that had applied most when it told it, of those that answer and have a
    /// leader if there are any; of equals the latest. Before anybody told one: what was known.
    fn list(&self) -> Option<&[ListedMember]> {
        let ours = self.sources.values().filter(|s| self.in_cluster(s));
        ours.filter_map(|s| Some((s, s.list.as_ref()?)))
            .max_by_key(|(s, list)| (s.state.serves(), s.state.answers(), list.applied, list.at))
            .map(|(_, list)| list.members.as_slice())
            .or_else(|| Some(self.known.as_slice()).filter(|known| !known.is_empty()))
    }

    /// The sources that rows are made from; the others are second ways to the same member.
    #[must_use]
    pub fn active(&self) -> BTreeSet<SourceId> {
        let mut seen = BTreeMap::new();
        let mut active = BTreeSet::new();
        for (id, source) in &self.sources {
            match source.member() {
                None => {
                    active.insert(*id);
                }
                Some(member) => {
                    let best = seen.entry(member).or_insert(*id);
                    if preference(source) > self.sources.get(best).map_or((false, false), preference) {
                        *best = *id;
                    }
                }
            }
        }
        active.extend(seen.into_values());
        active
    }

    /// Whether every source has answered or failed to, and, if wanted, metrics came from those that answer. A source
    /// that accepts TCP and is silent has failed only after `patience`: a slow one answers later.
    #[must_use]
    pub fn settled(&self, with_metrics: bool, patience: Duration) -> bool {
        let active = self.active();
        let all_told = self.sources.iter().all(|(id, s)| {
            self.started.contains(id)
                && s.state != MemberState::Connecting
                && s.silent_for.is_none_or(|silent| silent >= patience)
                && (!with_metrics
                    || !s.state.answers()
                    || !active.contains(id)
                    || s.metrics.is_some()
                    || s.metrics_error.is_some())
        });
        let list_known = self.list().is_some() || !self.sources.values().any(|s| s.state.answers());
        !self.sources.is_empty() && all_told && list_known
    }

    /// The view at `now`.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> ClusterView {
        let mut view = self.raw_view(now);
        let lasts =
            self.leaders_differ_since.is_some_and(|t| now.duration_since(t).unsigned_abs() >= ELECTION);
        view.conflicts.retain(|c| lasts || !matches!(c, Conflict::LeadersDiffer { .. }));
        view
    }

    fn raw_view(&self, now: Timestamp) -> ClusterView {
        let list = self.list();
        let mut used = BTreeSet::new();
        let mut members = Vec::new();
        for listed in list.into_iter().flatten() {
            members.push(self.listed_row(listed, now, &mut used));
        }
        // Endpoints that no listed member accounts for: silent so far, or of a member that was removed, or,
        // before any list is known, of a member each.
        let mut rest: BTreeMap<Option<MemberId>, Vec<SourceId>> = BTreeMap::new();
        let mut silent = Vec::new();
        for (id, source) in self.sources.iter().filter(|(id, s)| !used.contains(*id) && self.in_cluster(s)) {
            match source.member() {
                Some(member) => rest.entry(Some(member)).or_default().push(*id),
                None => silent.push(*id),
            }
        }
        for (member, ids) in rest {
            members.extend(self.row(&ids).map(|row| MemberView { id: member, ..row }));
        }
        members.extend(silent.iter().filter_map(|id| self.row(&[*id])));
        let rank = |m: &MemberView| (!m.listed, m.name.is_empty(), m.name.clone(), m.id);
        members.sort_by_cached_key(rank);
        let mut ours = self.sources.values().filter(|s| s.state.answers() && self.in_cluster(s));
        let list_refused = ours.find_map(|s| s.list_refused.clone()).filter(|_| list.is_none());
        ClusterView { list_refused, ..conclude(members, self.cluster_id(), self.conflicts(now), now) }
    }

    fn listed_row(&self, listed: &ListedMember, now: Timestamp, used: &mut BTreeSet<SourceId>) -> MemberView {
        let urls: Vec<_> = listed.client_urls.iter().filter_map(|u| Endpoint::parse(u.raw()).ok()).collect();
        let ids: Vec<_> = self
            .sources
            .iter()
            .filter(|(_, s)| self.in_cluster(s) && leads_to(s, listed.id, &urls))
            .map(|(id, _)| *id)
            .collect();
        used.extend(&ids);
        let mut row = self.row(&ids).unwrap_or_else(|| {
            let mut row = MemberView::unknown(now);
            // Nobody was asked, so nothing is known of since when.
            if listed.unstarted() {
                row.state = MemberState::Unstarted;
            } else {
                row.state = MemberState::Unreachable;
                row.detail = Some(ForeignText::new(self.no_way_to(&urls)));
            }
            row
        });
        row.id = Some(listed.id);
        row.name = listed.name.clone();
        row.client_urls.clone_from(&listed.client_urls);
        row.peer_urls.clone_from(&listed.peer_urls);
        row.learner = listed.learner;
        row.listed = true;
        let only_advertised = !ids.iter().any(|id| self.sources.get(id).is_some_and(|s| s.typed));
        if only_advertised && row.state == MemberState::Unreachable {
            let said = row.detail.as_ref().map_or_else(String::new, ToString::to_string);
            row.detail = Some(ForeignText::new(format!(
                "{said} (its advertised url; behind a tunnel, name one with --endpoints)"
            )));
        }
        row
    }

    /// Why no endpoint leads to a member that was started: a mistake in its `--advertise-client-urls`.
    fn no_way_to(&self, urls: &[Endpoint]) -> String {
        let taken = urls.iter().find_map(|u| {
            let source = self.sources.values().find(|s| s.endpoint.same_address(u))?;
            Some((u, source.member()?))
        });
        match taken {
            None if urls.iter().any(|u| !self.may_use(u)) => {
                "it advertises a url without TLS, and what you typed has TLS: not used, so that nothing goes out in the clear".into()
            }
            Some((url, member)) => {
                format!("its advertised url {url} leads to member {member}: each member needs its own")
            }
            None => "it advertises no client url that can be used".into(),
        }
    }

    /// A row from the best of several sources that lead to the same member. None for no source.
    fn row(&self, ids: &[SourceId]) -> Option<MemberView> {
        let candidates = ids.iter().filter_map(|id| self.sources.get(id));
        let best = candidates.clone().rev().max_by_key(|s| preference(s))?;
        // Figures of another way to the same member are better than none.
        let figures = candidates.clone().filter_map(|s| s.status.as_ref()).max_by_key(|(_, t)| t.at);
        let metrics = candidates
            .clone()
            .filter(|s| s.metrics.is_some())
            .max_by_key(|s| s.metrics.as_ref().map(|(_, t)| t.at));
        let (state, detail) = best.told_state();
        Some(MemberView {
            id: best.member(),
            endpoint: Some(best.endpoint.clone()),
            also_at: candidates
                .filter(|s| s.typed && s.endpoint != best.endpoint)
                .map(|s| s.endpoint.clone())
                .collect(),
            learner: figures.is_some_and(|(s, _)| s.is_learner),
            state,
            detail,
            since: best.since,
            latency: best.latency.filter(|_| best.state.answers()),
            status: figures.map(|(s, _)| s.clone()),
            status_at: figures.map(|(_, t)| t.at),
            status_asked: figures.map(|(_, t)| t.asked),
            metrics: metrics.and_then(|s| s.metrics.as_ref().map(|(m, _)| Arc::clone(m))),
            metrics_at: metrics.and_then(|s| s.metrics.as_ref().map(|(_, t)| t.at)),
            metrics_asked: metrics.and_then(|s| s.metrics.as_ref().map(|(_, t)| t.asked)),
            scrape_asked: metrics.or(Some(best)).and_then(|s| s.scrape_asked),
            metrics_error: best.metrics_error.clone(),
            clock: metrics.and_then(|s| s.clock),
            certificate: best.certificate.clone(),
            ..MemberView::unknown(best.since)
        })
    }

    /// What endpoints say that cannot all be true of one healthy cluster.
    fn conflicts(&self, now: Timestamp) -> Vec<Conflict> {
        let others = self.sources.values().filter(|s| !self.in_cluster(s)).filter_map(|s| {
            Some(Conflict::OtherCluster { endpoint: s.endpoint.clone(), cluster_id: s.cluster()? })
        });
        // A change of membership reaches the members, and us, one after the other.
        let lasting = |since: Timestamp| now.duration_since(since).unsigned_abs() > SETTLING;
        let lists = self.sources.values().filter(|s| s.state.answers() && self.in_cluster(s));
        let lists = lists.filter(|s| s.list_differs_since.is_some_and(lasting));
        others
            .chain(lists.filter_map(|s| Some(Conflict::MemberListsDiffer { member: s.member()? })))
            .collect()
    }

    /// Notes which members have another list than the one that is shown.
    fn compare_lists(&mut self, at: Timestamp) {
        let ids = |list: &[ListedMember]| list.iter().map(|m| m.id).collect::<BTreeSet<_>>();
        let Some(shown) = self.list().map(ids) else { return };
        for source in self.sources.values_mut() {
            let differs = source.list.as_ref().is_some_and(|list| ids(&list.members) != shown);
            source.list_differs_since = differs.then(|| source.list_differs_since.unwrap_or(at));
        }
    }
}

/// Answers, then typed: what a row is made from, the greatest first.
fn preference(source: &Source) -> (bool, bool) {
    (source.state.answers(), source.typed)
}

/// Whether a source leads to the member: it answered as that member, or it is one of its urls and has never
/// answered as anybody.
fn leads_to(source: &Source, member: MemberId, urls: &[Endpoint]) -> bool {
    match source.member() {
        Some(id) => id == member,
        None => urls.iter().any(|u| u.same_address(&source.endpoint)),
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
