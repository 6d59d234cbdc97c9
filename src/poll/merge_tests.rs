//! Cases of the merge: what several endpoints say becomes one cluster, never two.

use proptest::prelude::*;

use super::*;
use crate::etcd::Fault;
use crate::model::MetricsSample;
use crate::model::verdict::judge;
use crate::model::{Bytes, MemberStatus, RaftIndex, Revision, Role, Term, VerdictKind};
use crate::poll::source::Body;

const T0: i64 = 1_800_000_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(T0 * 1000 + ms).unwrap()
}

fn endpoint(text: &str) -> Endpoint {
    Endpoint::parse(text).unwrap()
}

fn status(member: u64, leader: u64) -> MemberStatus {
    MemberStatus {
        member_id: MemberId(member),
        cluster_id: ClusterId(0xc1),
        version: "3.6.5".into(),
        storage_version: None,
        db_size: Some(Bytes(1 << 20)),
        db_size_in_use: Some(Bytes(1 << 19)),
        db_quota: None,
        leader: MemberId::known(leader),
        raft_term: Term(3),
        raft_index: RaftIndex(100),
        raft_applied_index: RaftIndex(100),
        revision: Revision(50),
        is_learner: false,
        errors: Vec::new(),
        downgrade_target: None,
    }
}

fn listed(id: u64, name: &str, url: &str) -> ListedMember {
    ListedMember {
        id: MemberId(id),
        name: name.into(),
        peer_urls: vec![],
        client_urls: if url.is_empty() { vec![] } else { vec![url.into()] },
        learner: false,
    }
}

fn three() -> Vec<ListedMember> {
    vec![
        listed(1, "m1", "http://10.0.0.1:2379"),
        listed(2, "m2", "http://10.0.0.2:2379"),
        listed(3, "m3", "http://10.0.0.3:2379"),
    ]
}

struct World(Merger, i64);

impl World {
    fn typed(endpoints: &[&str]) -> Self {
        let mut merger = Merger::new(&endpoints.iter().map(|e| endpoint(e)).collect::<Vec<_>>());
        let _ = merger.adopt_wanted();
        Self(merger, 0)
    }

    fn source(&self, text: &str) -> SourceId {
        *self.0.sources.iter().find(|(_, s)| s.endpoint.raw() == text).unwrap().0
    }

    fn say(&mut self, source: &str, body: Body) -> &mut Self {
        self.1 += 1;
        let now = at(self.1);
        let report = Report { source: self.source(source), asked: now, at: now, awaited: false, body };
        self.0.apply(report);
        let _ = self.0.adopt_wanted();
        self
    }

    fn answers(&mut self, source: &str, status: MemberStatus) -> &mut Self {
        self.say(source, Body::Status(Box::new(status), Duration::from_millis(1)))
    }

    fn lists(&mut self, source: &str, list: Vec<ListedMember>) -> &mut Self {
        self.say(source, Body::Members(Ok(list)))
    }

    fn view(&self) -> ClusterView {
        self.0.view(at(self.1))
    }
}

const PATIENCE: Duration = Duration::from_secs(2);

fn refused() -> Fault {
    Fault::Refused { address: ([10, 0, 0, 2], 2379).into() }
}

#[test]
fn one_typed_endpoint_finds_the_other_members() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    w.answers("http://10.0.0.1:2379", status(1, 1)).lists("http://10.0.0.1:2379", three());
    assert_eq!(w.0.sources.len(), 3, "{:?}", w.0);
    assert!(!w.0.settled(false, PATIENCE), "two members have not been heard");
    w.answers("http://10.0.0.2:2379", status(2, 1)).answers("http://10.0.0.3:2379", status(3, 1));
    let view = w.view();
    assert!(w.0.settled(false, PATIENCE));
    assert_eq!(view.members.iter().map(|m| m.name.raw()).collect::<Vec<_>>(), ["m1", "m2", "m3"]);
    assert_eq!(view.leader, Some(MemberId(1)));
    assert_eq!((view.healthy_voters(), view.can_lose()), (3, Some(1)));
    assert_eq!(judge(&view, &[]).kind, VerdictKind::Healthy);
}

#[test]
fn members_that_were_known_are_looked_for_until_one_tells_its_list() {
    let typed = [endpoint("http://10.0.0.1:2379")];
    let mut w = World(Merger::new(&typed).knowing(three()), 0);
    let _ = w.0.adopt_wanted();
    // The one that was typed hangs; the others tell what is so.
    w.say("http://10.0.0.1:2379", Body::Failed(Fault::ConnectTimeout { after: Duration::from_secs(2) }));
    w.answers("http://10.0.0.2:2379", status(2, 2)).answers("http://10.0.0.3:2379", status(3, 2));
    let view = w.view();
    assert_eq!(view.members.iter().map(|m| m.name.raw()).collect::<Vec<_>>(), ["m1", "m2", "m3"]);
    assert_eq!(judge(&view, &[]).kind, VerdictKind::Degraded);
    // A list that is told counts alone.
    w.lists("http://10.0.0.2:2379", three()[1..].to_vec());
    let view = w.view();
    let listed = view.members.iter().filter(|m| m.listed).map(|m| m.name.raw());
    assert_eq!(listed.collect::<Vec<_>>(), ["m2", "m3"]);
}

#[test]
fn a_tunnel_keeps_what_was_typed() {
    // The advertised urls lead nowhere from here; each member is reached through a local port.
    let mut w = World::typed(&["localhost:1", "localhost:2", "localhost:3"]);
    for (port, id) in [("localhost:1", 1), ("localhost:2", 2), ("localhost:3", 3)] {
        w.answers(port, status(id, 1)).lists(port, three());
    }
    assert_eq!(w.0.sources.len(), 3, "no advertised url is tried while the typed one answers");
    let view = w.view();
    assert_eq!(view.members.len(), 3);
    assert_eq!(view.members[1].endpoint, Some(endpoint("localhost:2")));
    // When a typed one stops answering the advertised one is tried beside it, and fails as well: still one row.
    w.say("localhost:2", Body::Failed(refused()));
    assert_eq!(w.0.sources.len(), 4);
    w.say("http://10.0.0.2:2379", Body::Failed(Fault::ConnectTimeout { after: Duration::from_secs(2) }));
    let view = w.view();
    assert_eq!(view.members.len(), 3);
    assert_eq!(view.members[1].state, MemberState::Refused, "the typed endpoint tells the story");
    assert!(view.members[1].status.is_some(), "its last figures are kept");
}

#[test]
fn two_ways_to_one_member_are_one_row() {
    let mut w = World::typed(&["10.0.0.1:2379", "m1.example:2379"]);
    w.answers("10.0.0.1:2379", status(1, 1)).answers("m1.example:2379", status(1, 1));
    w.lists("10.0.0.1:2379", vec![listed(1, "m1", "http://10.0.0.1:2379")]);
    let view = w.view();
    assert_eq!(view.members.len(), 1);
    assert_eq!(view.members[0].also_at, [endpoint("m1.example:2379")]);
    assert_eq!(w.0.active().len(), 1, "the second way is on standby");
}

#[test]
fn another_cluster_is_named_and_left_out() {
    let mut w = World::typed(&["a:1", "b:2"]);
    let mut other = status(9, 9);
    other.cluster_id = ClusterId(0xc2);
    w.answers("a:1", status(1, 1)).answers("b:2", other.clone());
    w.lists("a:1", vec![listed(1, "m1", "http://a:1")]).lists("b:2", vec![listed(9, "x", "http://b:2")]);
    let view = w.view();
    assert_eq!(view.members.len(), 1);
    assert_eq!(
        view.conflicts,
        [Conflict::OtherCluster { endpoint: endpoint("b:2"), cluster_id: ClusterId(0xc2) }]
    );
    assert_eq!(judge(&view, &[]).kind, VerdictKind::Degraded);
}

#[test]
fn another_member_list_is_a_conflict_only_when_it_lasts() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    w.answers("http://10.0.0.1:2379", status(1, 1)).lists("http://10.0.0.1:2379", three());
    w.answers("http://10.0.0.2:2379", status(2, 1)).lists("http://10.0.0.2:2379", three());
    let mut grown = three();
    grown.push(listed(4, "m4", "http://10.0.0.4:2379"));
    let mut ahead = status(1, 1);
    ahead.raft_applied_index = RaftIndex(200);
    w.answers("http://10.0.0.1:2379", ahead).lists("http://10.0.0.1:2379", grown);
    assert_eq!(w.view().listed(), 4, "the member that has applied more knows better");
    assert_eq!(w.view().conflicts, [], "the other has not been asked again yet");
    w.1 += 15_000;
    w.lists("http://10.0.0.2:2379", three());
    assert_eq!(w.view().conflicts, [Conflict::MemberListsDiffer { member: MemberId(2) }]);
}

#[test]
fn quorum_is_lost_only_when_nobody_has_a_leader() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    w.answers("http://10.0.0.1:2379", status(1, 3)).lists("http://10.0.0.1:2379", three());
    for dead in ["http://10.0.0.2:2379", "http://10.0.0.3:2379"] {
        w.say(dead, Body::Failed(refused()));
    }
    assert_eq!(
        judge(&w.view(), &[]).kind,
        VerdictKind::Degraded,
        "m1 still follows m3: it may live, unseen from here"
    );
    w.answers("http://10.0.0.1:2379", status(1, 0));
    let verdict = judge(&w.view(), &[]);
    assert_eq!((verdict.kind, verdict.headline.as_str()), (VerdictKind::QuorumLost, "QUORUM LOST 1/3"));
    assert!(verdict.reason.contains("m2 refused"), "{}", verdict.reason);
}

#[test]
fn a_quorum_without_leader_is_no_leader() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    w.answers("http://10.0.0.1:2379", status(1, 0)).lists("http://10.0.0.1:2379", three());
    w.answers("http://10.0.0.2:2379", status(2, 0));
    w.say("http://10.0.0.3:2379", Body::Failed(Fault::Hung { after: Duration::from_secs(3) }));
    assert_eq!(judge(&w.view(), &[]).kind, VerdictKind::NoLeader);
}

#[test]
fn learners_have_no_vote_and_unstarted_members_do() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    let mut list = three();
    list[2] = listed(3, "", "");
    list.push(ListedMember { learner: true, ..listed(4, "l4", "http://10.0.0.4:2379") });
    let mut learner = status(4, 1);
    learner.is_learner = true;
    w.answers("http://10.0.0.1:2379", status(1, 1)).lists("http://10.0.0.1:2379", list);
    w.answers("http://10.0.0.2:2379", status(2, 1)).answers("http://10.0.0.4:2379", learner);
    let view = w.view();
    assert_eq!((view.voters(), view.listed(), view.quorum(), view.can_lose()), (3, 4, Some(2), Some(0)));
    let roles: Vec<_> = view.members.iter().map(|m| m.role).collect();
    assert!(roles.contains(&Role::Unstarted) && roles.contains(&Role::Learner), "{roles:?}");
}

#[test]
fn an_alarm_is_one_alarm_however_many_tell_of_it() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    let mut full = status(1, 1);
    full.errors = vec!["memberID:2 alarm:NOSPACE ".into()];
    let mut told = full.clone();
    told.member_id = MemberId(2);
    w.answers("http://10.0.0.1:2379", full).lists("http://10.0.0.1:2379", three());
    w.answers("http://10.0.0.2:2379", told).answers("http://10.0.0.3:2379", status(3, 1));
    let view = w.view();
    assert_eq!(view.alarms.len(), 1);
    assert_eq!(judge(&view, &[]).kind, VerdictKind::ReadOnly);
    assert!(judge(&view, &[]).reason.contains("raised by m2"), "{}", judge(&view, &[]).reason);
    // A member that stopped keeps its last figures, but its word on alarms does not outlive the alarm.
    w.answers("http://10.0.0.1:2379", status(1, 1));
    w.say("http://10.0.0.2:2379", Body::Failed(refused()));
    assert!(w.view().alarms.is_empty());
}

#[test]
fn lag_is_told_only_of_figures_of_one_moment() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    let mut behind = status(2, 1);
    behind.raft_applied_index = RaftIndex(60);
    w.answers("http://10.0.0.1:2379", status(1, 1)).lists("http://10.0.0.1:2379", three());
    w.answers("http://10.0.0.2:2379", behind.clone());
    assert_eq!(w.view().members[1].lag, Some(40));
    w.1 += 5_000;
    w.answers("http://10.0.0.2:2379", behind);
    assert_eq!(w.view().members[1].lag, None, "the leader was read five seconds earlier");
}

#[test]
fn members_that_advertise_one_url_are_told_apart() {
    // The mistake of copied unit files: everybody advertises localhost.
    let mut w = World::typed(&["http://localhost:2379"]);
    let list = vec![
        listed(1, "m1", "http://localhost:2379"),
        listed(2, "m2", "http://localhost:2379"),
        listed(3, "", ""),
    ];
    w.answers("http://localhost:2379", status(1, 1)).lists("http://localhost:2379", list);
    let view = w.view();
    let labels: Vec<_> = view.members.iter().map(|m| (m.label(), m.state)).collect();
    assert_eq!(labels[0], ("m1".into(), MemberState::Ok));
    assert_eq!(labels[1], ("m2".into(), MemberState::Unreachable));
    assert_eq!(labels[2].1, MemberState::Unstarted, "those without a name come last");
    let detail = view.members[1].detail.as_ref().unwrap();
    assert!(detail.raw().contains("leads to member 1"), "{detail}");
    assert!(w.0.settled(false, PATIENCE), "there is nothing to wait for");
}

#[test]
fn a_member_that_somebody_defragments_is_not_hung() {
    let mut w = World::typed(&["localhost:1"]);
    w.answers("localhost:1", status(1, 1)).lists("localhost:1", vec![listed(1, "m1", "localhost:1")]);
    w.say("localhost:1", Body::Failed(Fault::Hung { after: Duration::from_millis(1_200) }));
    let scrape = |inflight, id| {
        let sample = MetricsSample {
            defrag_inflight: Some(inflight),
            server_id: Some(MemberId(id)),
            ..MetricsSample::default()
        };
        Body::Metrics(Ok(Box::new(sample)))
    };
    w.say("localhost:1", scrape(false, 1));
    assert_eq!(w.view().members[0].state, MemberState::Hung);
    w.say("localhost:1", scrape(true, 2));
    assert_eq!(w.view().members[0].state, MemberState::Hung, "that was told of another member");
    w.say("localhost:1", scrape(true, 1));
    let view = w.view();
    assert_eq!(view.members[0].state, MemberState::Defragmenting);
    assert!(judge(&view, &[]).reason.is_empty(), "{:?}", judge(&view, &[]));
    w.answers("localhost:1", status(1, 1));
    assert_eq!(w.view().members[0].state, MemberState::Ok);
}

#[test]
fn a_restored_cluster_replaces_the_one_that_is_gone() {
    let mut w = World::typed(&["localhost:1", "localhost:2"]);
    w.answers("localhost:1", status(1, 1)).lists("localhost:1", three());
    w.say("localhost:1", Body::Failed(refused()));
    let mut restored = status(2, 2);
    restored.cluster_id = ClusterId(0xbee);
    w.answers("localhost:2", restored).lists("localhost:2", vec![listed(2, "m2", "localhost:2")]);
    let view = w.view();
    assert_eq!(view.cluster_id, Some(ClusterId(0xbee)));
    assert!(view.conflicts.is_empty(), "{:?}", view.conflicts);
    let names: Vec<_> = view.members.iter().map(MemberView::label).collect();
    assert_eq!(names, ["m2", "localhost:1"], "{view:#?}");
    assert_eq!(view.leader, Some(MemberId(2)));
}

#[test]
fn what_is_typed_with_tls_never_leads_to_a_url_without() {
    let mut w = World(Merger::new(&[endpoint("https://m1:2379")]).only_tls(true), 0);
    let mut list = three();
    list[1].client_urls = vec!["https://10.0.0.2:2379".into()];
    w.answers("https://m1:2379", status(1, 1)).lists("https://m1:2379", list);
    let started: Vec<_> = w.0.sources.values().map(|s| s.endpoint.to_string()).collect();
    assert!(started.contains(&"https://10.0.0.2:2379".into()), "{started:?}");
    assert!(!started.iter().any(|e| e.starts_with("http://")), "{started:?}");
    let view = w.view();
    let m3 = view.members.iter().find(|m| m.label() == "m3").unwrap();
    assert!(m3.detail.as_ref().unwrap().raw().contains("without TLS"), "{m3:?}");
}

#[test]
fn a_learner_alone_elects_nobody() {
    let mut w = World::typed(&["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"]);
    let mut list = three();
    list[2].learner = true;
    w.answers("http://10.0.0.1:2379", status(1, 0)).lists("http://10.0.0.1:2379", list);
    w.say("http://10.0.0.2:2379", Body::Failed(refused()));
    let mut learner = status(3, 1);
    learner.is_learner = true;
    w.answers("http://10.0.0.3:2379", learner);
    let view = w.view();
    assert_eq!((view.leader, judge(&view, &[]).headline), (None, "QUORUM LOST 1/2".into()), "{view:#?}");
}

#[test]
fn a_voter_whose_certificate_is_wrong_may_be_well() {
    let mut w = World::typed(&["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"]);
    w.answers("http://10.0.0.1:2379", status(1, 0)).lists("http://10.0.0.1:2379", three());
    w.say("http://10.0.0.2:2379", Body::Failed(Fault::Tls { reason: "expired".into() }));
    w.say("http://10.0.0.3:2379", Body::Failed(refused()));
    assert_eq!(judge(&w.view(), &[]).kind, VerdictKind::NoLeader);
}

#[test]
fn a_member_that_is_cut_off_does_not_raise_the_clusters_term() {
    let mut w = World::typed(&["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"]);
    w.answers("http://10.0.0.1:2379", status(1, 1)).lists("http://10.0.0.1:2379", three());
    w.answers("http://10.0.0.2:2379", status(2, 1));
    let mut cut_off = status(3, 0);
    cut_off.raft_term = Term(99);
    w.answers("http://10.0.0.3:2379", cut_off);
    let view = w.view();
    assert_eq!((view.leader, view.term), (Some(MemberId(1)), Some(status(1, 1).raft_term)));
    assert_eq!(judge(&view, &[]).kind, VerdictKind::Degraded);
}

#[test]
fn a_member_that_wakes_up_does_not_bring_its_old_leader_back() {
    let mut w = World::typed(&["http://10.0.0.1:2379", "http://10.0.0.2:2379"]);
    w.answers("http://10.0.0.1:2379", status(1, 0)).lists("http://10.0.0.1:2379", three());
    w.answers("http://10.0.0.2:2379", status(2, 1));
    assert_eq!(w.view().leader, None, "m1 itself says that nobody leads");
}

#[test]
fn who_refuses_the_member_list_is_told_why() {
    let mut w = World::typed(&["localhost:1"]);
    w.answers("localhost:1", status(1, 1)).say("localhost:1", Body::Members(Err(Fault::Learner)));
    let verdict = judge(&w.view(), &[]);
    assert!(verdict.reason.contains("name a voter"), "{verdict:?}");
}

#[test]
fn a_silent_member_is_waited_for_with_patience() {
    let mut w = World::typed(&["localhost:1"]);
    w.say("localhost:1", Body::Failed(Fault::Hung { after: Duration::from_millis(1_200) }));
    assert!(!w.0.settled(false, PATIENCE), "it may be slow");
    w.say("localhost:1", Body::Failed(Fault::Hung { after: Duration::from_millis(2_200) }));
    assert!(w.0.settled(false, PATIENCE), "it hangs");
    w.answers("localhost:1", status(1, 1)).lists("localhost:1", vec![listed(1, "m1", "localhost:1")]);
    assert!(w.0.settled(false, PATIENCE), "it answered after all");
}

#[test]
fn a_removed_member_loses_its_source() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    w.answers("http://10.0.0.1:2379", status(1, 1)).lists("http://10.0.0.1:2379", three());
    assert_eq!(w.0.sources.len(), 3);
    w.lists("http://10.0.0.1:2379", three()[..2].to_vec());
    assert_eq!(w.0.sources.len(), 2);
}

proptest! {
    /// Whatever is reported in whatever order: no panic, every listed member exactly once, ids unique, never more
    /// healthy voters than voters, and never a member of another cluster.
    #[test]
    fn any_story_gives_a_view_that_adds_up(
        story in proptest::collection::vec((0_usize..4, 0_u8..6, 1_u64..5, 0_u64..5, 0_u64..2), 0..40)
    ) {
        let mut w = World::typed(&["http://10.0.0.1:2379", "b:2", "c:3"]);
        for (source, what, member, leader, cluster) in story {
            let ids: Vec<_> = w.0.sources.keys().copied().collect();
            let id = ids[source % ids.len()];
            let body = match what {
                0 => Body::Failed(Fault::NoLeader),
                1 => Body::Failed(refused()),
                2 => Body::Members(Ok(three())),
                3 => Body::Members(Ok(three()[..2].to_vec())),
                _ => {
                    let mut s = status(member, leader);
                    s.cluster_id = ClusterId(0xc1 + cluster);
                    Body::Status(Box::new(s), Duration::from_millis(700 * leader))
                }
            };
            w.0.apply(Report { source: id, asked: at(0), at: at(0), awaited: false, body });
            let _ = w.0.adopt_wanted();
            let view = w.view();
            let mut seen = BTreeSet::new();
            for m in view.members.iter().filter_map(|m| m.id) {
                prop_assert!(seen.insert(m), "member {m} twice in {view:?}");
            }
            prop_assert!(view.healthy_voters() <= view.voters());
            prop_assert!(view.members.iter().filter(|m| m.role == Role::Leader).count() <= 1);
            for m in &view.members {
                if let Some(s) = &m.status {
                    prop_assert_eq!(Some(s.cluster_id), view.cluster_id);
                }
            }
            let _ = judge(&view, &[]);
        }
    }
}

/// The list is asked for before the first `Status` is told, so that one member does not look like a whole cluster.
#[test]
fn a_list_that_comes_first_is_kept() {
    let mut w = World::typed(&["http://10.0.0.1:2379"]);
    w.lists("http://10.0.0.1:2379", three()).answers("http://10.0.0.1:2379", status(1, 1));
    assert_eq!(w.view().listed(), 3);
}
