//! Views for tests: healthy ones, and what can be broken about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::diagnose::{Case, findings};
use crate::model::coach::{Change, Choice, CoachView, Stand, WatcherView};
use crate::model::fleet::{Row, Told};
use crate::model::hashes::{Comparison, HashAnswer};
use crate::model::metrics::Histogram;
use crate::model::verdict::judge;
use crate::model::{
    Alarm, AlarmKind, Bytes, ClusterId, ClusterView, Endpoint, MemberId, MemberState, MemberStatus,
    MemberView, MetricsSample, RaftIndex, Revision, Role, Term,
};
use crate::ops::journal::{End, Figures, StepEnd};
use crate::ops::plan::Roll;
use crate::ops::planner::{self, Situation};
use crate::ops::standing::Operation;
use crate::ops::{OpEvent, Plan, Progress, Request};
use crate::poll::history::History;
use crate::recording::{Did, Entry, Meta};
use crate::snapshot::{Listing, Place, Saved, Side, SideMember};

/// The moment of all test views: 2027-01-15 08:00 UTC.
pub(crate) fn noon() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// A healthy cluster of `n` members, `m1` leading.
pub(crate) fn healthy(n: usize) -> ClusterView {
    let at = noon();
    let members: Vec<_> = (1..=n as u64).map(|i| member(i, at)).collect();
    ClusterView {
        cluster_id: members.first().map(|_| ClusterId(0xcdf8_1819_4e3a_8c32)),
        leader: members.first().and_then(|m| m.id),
        term: Some(Term(7)),
        revision: Some(Revision(1_285_023)),
        compact_revision: Some(Revision(1_280_000)),
        members,
        ..ClusterView::empty(at)
    }
}

fn member(i: u64, at: Timestamp) -> MemberView {
    let url = format!("https://10.0.0.{i}:2379");
    let id = MemberId(0x8e9e_05c5_2164_694c + i);
    MemberView {
        id: Some(id),
        name: format!("m{i}").into(),
        endpoint: Endpoint::parse(&url).ok(),
        client_urls: vec![url.as_str().into()],
        peer_urls: vec![format!("https://10.0.0.{i}:2380").into()],
        listed: true,
        role: if i == 1 { Role::Leader } else { Role::Follower },
        state: MemberState::Ok,
        latency: Some(Duration::from_micros(800 + 200 * i)),
        status: Some(MemberStatus {
            member_id: id,
            cluster_id: ClusterId(0xcdf8_1819_4e3a_8c32),
            version: "3.6.5".into(),
            storage_version: Some("3.6.0".into()),
            db_size: Some(Bytes(1_377_964_032 / i)),
            db_size_in_use: Some(Bytes((281 << 20).min(1_377_964_032 / i))),
            db_quota: Some(Bytes(2 << 30)),
            leader: Some(MemberId(0x8e9e_05c5_2164_694d)),
            raft_term: Term(7),
            raft_index: RaftIndex(17_793),
            raft_applied_index: RaftIndex(17_793),
            revision: Revision(1_285_023),
            is_learner: false,
            errors: Vec::new(),
            downgrade_target: None,
        }),
        status_at: Some(at),
        status_asked: Some(at),
        lag: Some(0),
        ..MemberView::unknown(at)
    }
}

/// The same, but one member is in another state.
pub(crate) fn with_state(
    mut view: ClusterView,
    index: usize,
    state: MemberState,
    detail: &str,
) -> ClusterView {
    let m = &mut view.members[index];
    m.state = state;
    m.detail = Some(detail.into());
    if !state.answers() {
        m.latency = None;
        m.lag = None;
    }
    view
}

/// What is known of a context whose cluster looks like this.
pub(crate) fn context(name: &str, view: &ClusterView) -> Row {
    let verdict = judge(view, &findings(&Case::new(view, &History::default())));
    Row { context: name.into(), told: Ok(Told { rate: Some(42.0), ..Told::of(view, verdict) }) }
}

/// A healthy cluster in which no rule finds anything.
pub(crate) fn well(n: usize) -> ClusterView {
    let mut view = healthy(n);
    for status in view.members.iter_mut().filter_map(|m| m.status.as_mut()) {
        (status.db_size, status.db_size_in_use) = (Some(Bytes(438 << 20)), Some(Bytes(400 << 20)));
    }
    view
}

/// A fleet with one of everything that can be the matter.
pub(crate) fn contexts() -> Vec<Row> {
    let gone = |view: ClusterView| {
        let count = view.members.len();
        (0..count).fold(view, |view, i| {
            with_state(
                view,
                i,
                MemberState::Refused,
                "nothing listens on 10.0.0.2:2379: is etcd running there?",
            )
        })
    };
    let mut lost = with_state(healthy(3), 1, MemberState::Refused, "nothing listens on 10.0.0.2:2379");
    lost = with_state(lost, 2, MemberState::Hung, "accepts TCP, no answer for 6 s");
    (lost.members[0].state, lost.members[0].role, lost.leader) =
        (MemberState::NoLeader, Role::Follower, None);
    let mut full = healthy(3);
    full.alarms = vec![Alarm { member: full.members[1].id.unwrap(), kind: AlarmKind::NoSpace }];
    for status in full.members.iter_mut().filter_map(|m| m.status.as_mut()) {
        (status.db_size, status.db_quota) = (Some(Bytes(18_210_816)), Some(Bytes(16 << 20)));
    }
    // Before 3.6, and nobody scrapes: the quota is not known.
    let mut old = well(3);
    for (i, status) in (0_u32..).zip(old.members.iter_mut().filter_map(|m| m.status.as_mut())) {
        (status.db_quota, status.storage_version) = (None, None);
        status.version = if i == 0 { "3.5.16".into() } else { "3.5.17".into() };
    }
    let password = "user root (context payments-eu2, line 31 of the config file) has no password: set password_file in the context (nobody is asked for those of many clusters)";
    let hung = with_state(healthy(3), 1, MemberState::Hung, "accepts TCP, no answer for 4 s");
    vec![
        context("prod-eu1", &well(3)),
        context(
            "prod-us1",
            &with_state(healthy(5), 3, MemberState::Refused, "nothing listens on 10.0.0.4:2379"),
        ),
        context("staging", &hung),
        context("k8s-frankfurt-control-plane-03", &lost),
        context("edge-17", &gone(healthy(1))),
        context("monitoring", &full),
        context("legacy", &old),
        Row { context: "payments-eu2".into(), told: Err(password.into()) },
        Row {
            context: "just-begun".into(),
            told: Ok(Told::of(&ClusterView::empty(noon()), judge(&ClusterView::empty(noon()), &[]))),
        },
    ]
}

/// A folder of snapshots: two of the healthy cluster, one of another, one that nobody knows, and one that is not whole.
pub(crate) fn listing() -> Listing {
    let hours = |n: u64| noon().checked_sub(Duration::from_secs(n * 3_600)).unwrap();
    let saved = |name: &str, old: u64, cluster: Option<u64>, verified: &str| {
        let side = cluster.map(|cluster| Side {
            file: name.to_owned(),
            sha256: "5f2b8c0e9d".repeat(7)[..64].to_owned(),
            file_sha256: None,
            size: Bytes(294_912_000),
            cluster_id: Some(ClusterId(cluster)),
            taken_from: MemberId(0x8e9e_05c5_2164_694d),
            taken_at: hours(old),
            etcd_version: Some("3.6.5".into()),
            members: (1..=3)
                .map(|i| SideMember {
                    id: Some(MemberId(0x8e9e_05c5_2164_694c + i)),
                    name: format!("m{i}"),
                    peer_urls: vec![format!("https://10.0.0.{i}:2380")],
                    client_urls: vec![format!("https://10.0.0.{i}:2379")],
                    learner: false,
                })
                .collect(),
            revision: Revision(1_285_000 - i64::try_from(old).unwrap()),
            status: None,
            verified: verified.to_owned(),
        });
        let problem = side.is_none().then(|| "never verified here: it has no side file".to_owned());
        let path = format!("/var/lib/etcdtop/{name}").into();
        Saved { path, size: Bytes(294_912_032), taken_at: hours(old), side, problem, stamp: (0, 0, 0) }
    };
    Listing {
        saved: vec![
            saved("prod-eu1-20270115T020000Z-rev1284994.db", 6, Some(0xcdf8_1819_4e3a_8c32), "full"),
            saved("prod-eu1-20270114T020000Z-rev1284970.db", 30, Some(0xcdf8_1819_4e3a_8c32), "fast"),
            saved("staging-20270113T020000Z-rev1284946.db", 54, Some(0xacc8_406e_adb4_4fbd), "full"),
            saved("before-the-upgrade.db", 700, None, ""),
        ],
        parts: vec!["/var/lib/etcdtop/prod-eu1-20270112T020000Z.db.part".into()],
    }
}

/// What a coach says in the first step of a scenario, a minute and ten seconds in.
pub(crate) fn coached() -> CoachView {
    let second = |s: u64| noon().checked_add(Duration::from_secs(s)).unwrap();
    CoachView {
        scenario: "hung-member".into(),
        title: "A member that says nothing".into(),
        symptom:
            "Pager: writes through one of three API servers time out since 07:58. The other two are fine."
                .into(),
        step: 1,
        of: 3,
        task: "Find the member that accepts connections and answers nothing, and select it.".into(),
        look: "1 Overview: the state of each member; 7 Timeline: since when".into(),
        missing: Some("no member is selected that is hung".into()),
        hints: Vec::new(),
        hints_left: 2,
        changed: vec![
            Change { at: second(2), line: "m2 hung: accepts TCP, no answer for 2 s".into() },
            Change { at: second(5), line: "m1 leads, term 8 (was m2)".into() },
        ],
        choices: vec![
            Choice { title: "continue m2".into(), command: "kill -CONT $(pidof etcd)   (on m2)".into() },
            Choice { title: "start m2 again".into(), command: "systemctl restart etcd   (on m2)".into() },
        ],
        doing: None,
        mistakes: Vec::new(),
        stand: Stand::Runs,
        score: 100,
        began: Some(second(0)),
        ended: None,
        debrief: Vec::new(),
        watcher: None,
    }
}

/// The same scenario, solved after four minutes.
pub(crate) fn solved() -> CoachView {
    CoachView {
        step: 3,
        stand: Stand::Solved,
        missing: None,
        score: 85,
        hints: vec!["A stopped process still accepts TCP: the kernel does that for it.".into()],
        mistakes: vec!["m3 was restarted, which was well: the cluster stood without quorum for 2 s".into()],
        ended: noon().checked_add(Duration::from_secs(240)).ok(),
        debrief: vec![
            "The process of m2 was stopped. Its kernel went on accepting connections, so nothing but a deadline tells it from a slow one. The other two missed its heartbeats and elected m1 in term 8.".into(),
            "When it was continued it learned of the new term with the next heartbeat, became a follower, and read on from the entry where it had stopped.".into(),
        ],
        ..coached()
    }
}

/// Three minutes of a cluster, as a recording holds them: figures that grow, a member that hangs, an operation, a folder
/// that is listed, a journal, and what somebody did.
pub(crate) fn story() -> Vec<(Timestamp, Entry)> {
    let at = |s: u64| noon().checked_add(Duration::from_secs(s)).unwrap();
    let meta = Meta {
        name: "prod-eu1".into(),
        origin: "context prod-eu1".into(),
        interval_ms: 1_000,
        ..Meta::default()
    };
    let listed = Entry::Listed(Ok(listing()), Ok(Place { free: Bytes(9 << 30) }));
    let mut told = vec![(at(0), Entry::Meta(Box::new(meta))), (at(0), listed)];
    for s in 0..180 {
        let view = second(s);
        if s == 30 {
            let plan = roll(&view);
            told.push((at(s), Entry::Started(Box::new(Operation::new(plan, at(s))))));
            told.push((at(s), Entry::Operation(OpEvent::Began { step: 0, at: at(s) })));
        }
        if s == 34 {
            told.push((at(s), Entry::Progress(Progress::Verifies)));
            told.push((at(s), Entry::Did(Did::Stop)));
        }
        if s == 40 {
            let figures = Figures {
                before: Some(Bytes(438 << 20)),
                after: Some(Bytes(281 << 20)),
                took_ms: Some(9_800),
                ..Figures::default()
            };
            told.push((at(s), Entry::Operation(OpEvent::StepEnded { step: 0, end: StepEnd::Done, figures })));
            told.push((at(s), Entry::Operation(OpEvent::Ended(End::Done))));
            told.push((at(s), Entry::Journal(Box::default())));
        }
        if s == 90 {
            told.push((at(s), Entry::Did(Did::Pace(5_000))));
            told.push((at(s), Entry::Refused("no quorum".into())));
        }
        told.extend(asked(s, &view).into_iter().map(|entry| (at(s), entry)));
        told.push((view.at, Entry::View(Arc::new(view))));
    }
    told.push((at(181), Entry::End));
    told
}

/// What came in that story because somebody asked for it: two comparisons, two snapshots that were read, and a coach.
fn asked(s: u64, view: &ClusterView) -> Vec<Entry> {
    let path = listing().saved[0].path.clone();
    let compared = |hashes: [Option<u32>; 3]| {
        let answer = |(m, hash): (&MemberView, Option<u32>)| HashAnswer {
            member: m.id.unwrap(),
            name: m.label(),
            hash,
            compact_revision: view.compact_revision,
            problem: hash.is_none().then(|| "no answer within 5 s".to_owned()),
        };
        let answers = view.members.iter().zip(hashes).map(answer).collect();
        Entry::Compared(Ok(Comparison { revision: Revision(1_285_023), at: view.at, answers }))
    };
    let coach = |coach: CoachView| {
        let watcher = Some(WatcherView { next_revision: 1_285_100, paused: true, cancelled_at: None });
        Entry::Coach(Box::new(CoachView { watcher, ..coach }))
    };
    match s {
        82 => vec![Entry::Did(Did::Compare), Entry::Did(Did::Verify(path))],
        84 => vec![compared([Some(7), Some(7), Some(9)])],
        86 => vec![Entry::Verified(path, vec!["page 7: its key is not in order".into()])],
        110 => vec![coach(coached())],
        130 | 140 => vec![Entry::Did(Did::Compare)],
        132 => vec![Entry::Compared(Err("no quorum".into()))],
        141 => vec![compared([Some(7), None, Some(7)])],
        150 => vec![coach(solved())],
        _ => Vec::new(),
    }
}

/// The cluster of that story, after so many seconds: `m2` hangs from 60 to 80, `m3` leads from 100 on.
fn second(s: u64) -> ClusterView {
    let mut view = healthy(3);
    view.at = noon().checked_add(Duration::from_millis(s * 1_000 + 7 * (s % 13))).unwrap();
    view.revision = Some(Revision(1_285_023 + i64::try_from(s * 9).unwrap()));
    for (i, m) in (0..).zip(&mut view.members) {
        m.status_at = Some(view.at);
        m.status_asked = Some(view.at.checked_sub(Duration::from_micros(900 + 31 * s)).unwrap());
        m.latency = Some(Duration::from_nanos(812_345 + 97_003 * ((s + i) % 11)));
        if let Some(status) = &mut m.status {
            status.raft_index = RaftIndex(17_793 + s * 11);
            status.raft_applied_index = RaftIndex(17_793 + s * 11 - (s + i) % 2);
            status.revision = Revision(1_285_023 + i64::try_from(s * 9).unwrap());
            status.db_size = status.db_size.map(|b| Bytes(b.0 + s * 4_096));
        }
        let scrape = s / 5;
        m.metrics_at = Some(noon().checked_add(Duration::from_secs(scrape * 5)).unwrap());
        let buckets = vec![(0.001, scrape * 40), (0.002, scrape * 50 + 3), (f64::INFINITY, scrape * 51 + 3)];
        m.metrics = Some(Arc::new(MetricsSample {
            quota: Some(Bytes(2 << 30)),
            wal_fsync: Some(Histogram {
                buckets,
                sum: 0.1 + 0.012_345_678_9 * f64::from(u32::try_from(scrape).unwrap()),
            }),
            proposals_committed: Some(scrape * 55),
            ..MetricsSample::default()
        }));
    }
    if (60..80).contains(&s) {
        view = with_state(view, 1, MemberState::Hung, "accepts TCP, no answer for a while");
    }
    if s >= 100 {
        view.leader = view.members[2].id;
        view.term = Some(Term(8));
        for (i, m) in view.members.iter_mut().enumerate() {
            m.role = if i == 2 { Role::Leader } else { Role::Follower };
        }
    }
    view
}

/// A rolling defragmentation of three members that begins now.
pub(crate) fn rolling() -> Operation {
    Operation::new(roll(&healthy(3)), noon())
}

fn roll(view: &ClusterView) -> Plan {
    let request = Request::Defragment(Roll::default());
    let (rates, place) = (BTreeMap::new(), Ok(Place { free: Bytes(9 << 30) }));
    let situation = Situation {
        view,
        cluster_name: "prod-eu1",
        rates: &rates,
        last_snapshot: None,
        snapshot_first: None,
        place: Some(&place),
        busy: None,
        proof_key: "etcdtop/proof",
        terms: None,
    };
    planner::plan(&request, situation).unwrap()
}
