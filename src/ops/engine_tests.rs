//! The engine on simulated clusters: any size, any failure at any moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::model::{Alarm, AlarmKind, MemberState, Role};
use crate::ops::guard::{Mode, confirm};
use crate::ops::journal::JournalError;
use crate::ops::plan::{PlanId, Request};
use crate::ops::planner::{self, Situation};
use crate::testing::{healthy, noon};

/// What goes wrong, or comes back.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Dies(usize),
    Stops(usize),
    Returns(usize),
    FallsBehind(usize),
    CatchesUp(usize),
    Leads(usize),
    Corrupt,
    /// The next call is not answered, and is carried out all the same.
    AnswerLost,
    /// The next call is not answered, and is carried out so many seconds later: a defragmentation goes on when its client
    /// is gone, and a stopped process reads its socket when it wakes up.
    GoesOnBehind(u64),
    /// The next call is not answered, because its member died before it began.
    DiesInCall,
    /// The next call is refused.
    Refused,
    /// The disk of the journal is full from now on.
    JournalFull,
}

#[derive(Default)]
struct Truth {
    defragmented: Vec<usize>,
    /// What was wrong when a call was made, by what the last look showed.
    sins: Vec<String>,
    journal: Vec<String>,
    calls: Vec<usize>,
}

struct Sim {
    view: ClusterView,
    looked: ClusterView,
    mishaps: BTreeMap<u32, Mishap>,
    moment: u32,
    clock: Duration,
    /// A rewrite that goes on behind a call that was lost: whose, and until when.
    behind: Option<(usize, Duration)>,
    next_call: Option<Mishap>,
    targets: Vec<MemberId>,
    truth: Arc<Mutex<Truth>>,
}

impl Sim {
    /// Time goes by, and what runs behind a lost call with it.
    fn pass_time(&mut self, time: Duration) {
        self.clock += time;
        let Some((i, until)) = self.behind else { return };
        let m = &mut self.view.members[i];
        if m.state == MemberState::Refused {
            // Its process died, and the rewrite with it.
            self.behind = None;
        } else if self.clock >= until {
            self.behind = None;
            m.metrics.get_or_insert_default().defrag_inflight = Some(false);
            if m.state == MemberState::Defragmenting {
                m.state = MemberState::Ok;
            }
            let member = m.id.unwrap();
            self.defragment(member);
        } else {
            m.state = MemberState::Defragmenting;
            m.metrics.get_or_insert_default().defrag_inflight = Some(true);
        }
    }

    fn moment(&mut self) {
        self.moment += 1;
        let Some(mishap) = self.mishaps.remove(&self.moment) else { return };
        let n = self.view.members.len();
        let leads = |view: &ClusterView, i: usize| view.leader == view.members[i].id;
        match mishap {
            Mishap::Dies(i) | Mishap::Stops(i) => {
                let state =
                    if matches!(mishap, Mishap::Dies(_)) { MemberState::Refused } else { MemberState::Hung };
                let was_leader = leads(&self.view, i % n);
                self.view.members[i % n].state = state;
                if was_leader {
                    // The others elect another if there are enough of them.
                    let heir = self.view.members.iter().position(|m| m.state.serves());
                    let quorum = self.view.healthy_voters() >= self.view.quorum().unwrap();
                    self.lead(heir.filter(|_| quorum));
                }
            }
            Mishap::Returns(i) => {
                self.view.members[i % n].state = MemberState::Ok;
                if self.view.leader.is_none() && self.view.healthy_voters() >= self.view.quorum().unwrap() {
                    self.lead(Some(i % n));
                }
            }
            Mishap::FallsBehind(i) => self.view.members[i % n].lag = Some(9_999),
            Mishap::CatchesUp(i) => self.view.members[i % n].lag = Some(0),
            Mishap::Leads(i) if self.view.members[i % n].state.serves() => self.lead(Some(i % n)),
            Mishap::Leads(_) => {}
            Mishap::Corrupt => {
                let member = self.view.members[0].id.unwrap();
                self.view.alarms = vec![Alarm { member, kind: AlarmKind::Corrupt }];
            }
            call => self.next_call = Some(call),
        }
    }

    fn lead(&mut self, who: Option<usize>) {
        self.view.leader = who.and_then(|i| self.view.members[i].id);
        let leader = self.view.leader;
        for m in &mut self.view.members {
            m.role = if m.id == leader { Role::Leader } else { Role::Follower };
            if let Some(s) = &mut m.status {
                s.leader = leader;
            }
            if m.state.answers() {
                m.state = if leader.is_some() { MemberState::Ok } else { MemberState::NoLeader };
            }
        }
    }

    fn index(&self, id: MemberId) -> usize {
        self.view.members.iter().position(|m| m.id == Some(id)).unwrap()
    }

    fn defragment(&mut self, member: MemberId) {
        let i = self.index(member);
        self.truth.lock().unwrap().defragmented.push(i);
        let m = &mut self.view.members[i];
        if let Some(s) = &mut m.status {
            s.db_size = s.db_size_in_use;
        }
        let metrics = m.metrics.get_or_insert_default();
        metrics.defragmentations = Some(metrics.defragmentations.unwrap_or_default() + 1);
    }
}

impl World for Sim {
    async fn look(&mut self, _: Look) -> Arc<ClusterView> {
        self.moment();
        self.pass_time(Duration::from_millis(60));
        self.view.at = self.now();
        let now = Some(self.view.at);
        for m in self.view.members.iter_mut().filter(|m| m.state.answers()) {
            (m.status_asked, m.status_at, m.metrics_asked) = (now, now, now);
        }
        self.looked = self.view.clone();
        Arc::new(self.view.clone())
    }

    async fn act(
        &mut self,
        permit: &Permit,
        action: &Action,
        _: Duration,
        _: &watch::Sender<Progress>,
    ) -> Called {
        assert!(permit.covers(self.view.cluster_id.unwrap()));
        if let Action::Defragment { member } = action {
            let i = self.index(*member);
            let seen = &self.looked;
            let others = seen.members.iter().filter(|m| m.is_voter() && m.id != Some(*member));
            let mut truth = self.truth.lock().unwrap();
            if let Some(bad) = others.clone().find(|m| !m.state.serves()) {
                truth.sins.push(format!("m{} while {} was {:?}", i + 1, bad.label(), bad.state));
            }
            let left = self.targets.iter().any(|t| {
                t != member
                    && !truth.calls.contains(&(seen.members.iter().position(|m| m.id == Some(*t)).unwrap()))
            });
            if seen.leader == Some(*member) && left {
                truth.sins.push(format!("the leader m{} before others", i + 1));
            }
            if self.behind.is_some() {
                truth.sins.push(format!("m{} while another is still rewritten", i + 1));
            }
            if truth.calls.contains(&i) {
                truth.sins.push(format!("m{} twice", i + 1));
            }
            truth.calls.push(i);
            let announced = truth.journal.last().is_some_and(|l| l.starts_with("begins"));
            if !announced {
                truth.sins.push(format!("m{} without the journal", i + 1));
            }
        }
        self.moment();
        self.pass_time(Duration::from_secs(2));
        let deadline = Err(Fault::Deadline { after: Duration::from_secs(600) });
        let via = match action {
            Action::MoveLeader { .. } => self.looked.leader,
            other => other.member(),
        };
        let outcome = match (self.next_call.take(), action) {
            (Some(Mishap::AnswerLost), Action::Defragment { member }) => {
                self.defragment(*member);
                deadline
            }
            (Some(Mishap::GoesOnBehind(seconds)), Action::Defragment { member }) => {
                let i = self.index(*member);
                self.behind = Some((i, self.clock + Duration::from_secs(seconds)));
                self.pass_time(Duration::ZERO);
                deadline
            }
            (Some(Mishap::DiesInCall), Action::Defragment { member }) => {
                let i = self.index(*member);
                self.view.members[i].state = MemberState::Refused;
                deadline
            }
            (Some(Mishap::Refused), _) => {
                Err(Fault::Rpc { code: tonic::Code::Internal, message: "no".into() })
            }
            (_, Action::Defragment { member }) => {
                let i = self.index(*member);
                if self.view.members[i].state.answers() {
                    self.defragment(*member);
                    Ok(None)
                } else {
                    deadline
                }
            }
            (_, Action::MoveLeader { to, .. }) => {
                let i = self.index(*to);
                if self.view.members[i].state.serves() {
                    self.lead(Some(i));
                }
                Ok(None)
            }
            (_, Action::Disarm { .. }) => {
                self.view.alarms.clear();
                Ok(None)
            }
            _ => Ok(None),
        };
        Called { via, took: Duration::from_secs(2), outcome }
    }

    async fn pause(&mut self, time: Duration) {
        self.pass_time(time);
    }

    fn now(&self) -> Timestamp {
        noon().checked_add(self.clock).unwrap()
    }

    fn clock(&self) -> Duration {
        self.clock
    }
}

struct Paper(Arc<Mutex<Truth>>, Option<usize>);

impl Record for Paper {
    async fn write(&mut self, _: Timestamp, _: &PlanId, entry: Entry<'_>) -> Result<(), JournalError> {
        let mut truth = self.0.lock().unwrap();
        if self.1.is_some_and(|room| truth.journal.len() >= room) {
            let reason = std::io::Error::other("no space left");
            return Err(JournalError::Io { path: "/journal".into(), reason });
        }
        truth.journal.push(match entry {
            Entry::Confirmed { .. } => "confirmed".into(),
            Entry::StepBegins { step, .. } => format!("begins {step}"),
            Entry::StepEnded { step, end, action, .. } => format!("ended {step} {action:?} {end:?}"),
            Entry::Ended { end } => format!("over {end:?}"),
        });
        Ok(())
    }
}

/// Runs a rolling defragmentation through mishaps.
fn roll(members: usize, move_leader: bool, mishaps: Vec<(u32, Mishap)>) -> (End, Truth, Vec<OpEvent>) {
    carry_out(
        &Request::Defragment { members: Vec::new(), move_leader, rule: None },
        healthy(members),
        mishaps,
    )
}

fn carry_out(
    request: &Request,
    mut view: ClusterView,
    mishaps: Vec<(u32, Mishap)>,
) -> (End, Truth, Vec<OpEvent>) {
    for m in &mut view.members {
        m.metrics = Some(crate::model::MetricsSample { defragmentations: Some(0), ..Default::default() });
    }
    let rates = BTreeMap::new();
    let situation = Situation {
        view: &view,
        cluster_name: "prod",
        rates: &rates,
        last_snapshot: Some(noon()),
        snapshot_first: None,
        busy: None,
        proof_key: "k",
    };
    let plan = planner::plan(request, situation).unwrap();
    let targets: Vec<_> = plan
        .steps
        .iter()
        .filter(|s| matches!(s.action, Action::Defragment { .. }))
        .filter_map(|s| s.action.member())
        .collect();
    let confirmed = {
        let name = plan.name_to_type.clone();
        confirm(plan, &Mode::ReadWrite, &name).unwrap()
    };
    let truth = Arc::new(Mutex::new(Truth::default()));
    let full = mishaps.iter().find(|(_, m)| matches!(m, Mishap::JournalFull)).map(|(at, _)| *at as usize);
    let sim = Sim {
        looked: view.clone(),
        view,
        mishaps: mishaps.into_iter().filter(|(_, m)| !matches!(m, Mishap::JournalFull)).collect(),
        moment: 0,
        clock: Duration::ZERO,
        behind: None,
        next_call: None,
        targets,
        truth: Arc::clone(&truth),
    };
    let mut events = Vec::new();
    let (_stop, stop) = watch::channel(None);
    let engine = Engine::new(
        sim,
        Paper(Arc::clone(&truth), full),
        |e| events.push(e),
        Limits::default(),
        stop,
        watch::Sender::new(Progress::default()),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let end = runtime.block_on(engine.run(confirmed, "me"));
    let truth = std::mem::take(&mut *truth.lock().unwrap());
    (end, truth, events)
}

fn mishap() -> impl Strategy<Value = Mishap> {
    let i = 0_usize..9;
    prop_oneof![
        i.clone().prop_map(Mishap::Dies),
        i.clone().prop_map(Mishap::Stops),
        i.clone().prop_map(Mishap::Returns),
        i.clone().prop_map(Mishap::FallsBehind),
        i.clone().prop_map(Mishap::CatchesUp),
        i.prop_map(Mishap::Leads),
        Just(Mishap::Corrupt),
        Just(Mishap::AnswerLost),
        (1_u64..2_000).prop_map(Mishap::GoesOnBehind),
        Just(Mishap::DiesInCall),
        Just(Mishap::Refused),
        Just(Mishap::JournalFull),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// Any cluster of one to nine members, any failures at any moment: never two at once, never while another voter is
    /// gone, the leader last, it always ends, and the journal tells the truth.
    #[test]
    fn no_failure_leads_into_sin(
        members in 1_usize..10,
        move_leader: bool,
        mishaps in prop::collection::vec((1_u32..60, mishap()), 0..6),
    ) {
        let (end, truth, events) = roll(members, move_leader, mishaps);
        prop_assert!(truth.sins.is_empty(), "{:?}\n{:?}", truth.sins, truth.journal);
        prop_assert_eq!(events.last(), Some(&OpEvent::Ended(end.clone())));
        // What is said to be done is done, and what is said to be not done is not.
        for line in truth.journal.iter().filter(|l| l.contains("Defragment")) {
            let step = |i: &usize| line.contains(&format!("{:x}", 0x8e9e_05c5_2164_694c_u64 + 1 + *i as u64));
            let really = truth.defragmented.iter().any(step);
            prop_assert!(!line.ends_with(" Done") || really, "{}", line);
            prop_assert!(!line.contains(" Failed(") || !really, "{}", line);
        }
        if end == End::Done {
            prop_assert_eq!(truth.defragmented.len(), members);
        }
    }
}

#[test]
fn a_healthy_cluster_is_rolled_followers_first() {
    for move_leader in [false, true] {
        let (end, truth, events) = roll(3, move_leader, Vec::new());
        assert_eq!(end, End::Done);
        // m3 is the smallest, m1 leads.
        assert_eq!(truth.defragmented, [2, 1, 0]);
        let began = events.iter().filter(|e| matches!(e, OpEvent::Began { .. })).count();
        assert_eq!(began, if move_leader { 4 } else { 3 });
    }
}

#[test]
fn an_answer_that_was_lost_is_found_out() {
    let (end, truth, _) = roll(3, false, vec![(4, Mishap::AnswerLost)]);
    assert_eq!(end, End::Done, "{:?}", truth.journal);
    let (end, truth, _) = roll(3, false, vec![(2, Mishap::DiesInCall)]);
    // Whether the member is gone or only the way to it: nobody can tell from here.
    assert!(matches!(&end, End::Unknown(why) if why.contains("watched for")), "{end:?} {:?}", truth.journal);
    assert_eq!(truth.calls.len(), 1, "the others are left alone");
}

/// The call is given up, the rewrite goes on for a quarter of an hour: nobody else is touched before it has ended.
#[test]
fn what_goes_on_behind_a_lost_call_is_waited_for() {
    let (end, truth, events) = roll(3, false, vec![(2, Mishap::GoesOnBehind(900))]);
    assert_eq!(end, End::Done, "{:?}", truth.journal);
    assert!(truth.sins.is_empty(), "{:?}", truth.sins);
    assert_eq!(truth.defragmented.len(), 3);
    let watched = |e: &OpEvent| matches!(e, OpEvent::Waiting { why, .. } if why.contains("is watched"));
    assert!(events.iter().any(watched), "{events:?}");
}

#[test]
fn a_new_leader_goes_to_the_end() {
    // m2 leads from the first look on: it was second, and goes behind m1.
    let (end, truth, events) = roll(3, false, vec![(1, Mishap::Leads(1))]);
    assert_eq!((end, truth.defragmented), (End::Done, vec![2, 0, 1]));
    assert!(events.iter().any(|e| matches!(e, OpEvent::Reordered(_))), "{events:?}");
}

#[test]
fn another_member_that_is_gone_stops_the_roll() {
    let (end, truth, events) = roll(3, false, vec![(3, Mishap::Stops(0))]);
    assert!(matches!(&end, End::Stopped(why) if why.contains("m1 is hung")), "{end:?}");
    assert_eq!(truth.calls.len(), 1, "{:?}", truth.journal);
    assert!(events.iter().any(|e| matches!(e, OpEvent::Waiting { .. })), "it waited first");
}

#[test]
fn nothing_is_done_that_the_journal_cannot_announce() {
    let (end, truth, _) = roll(3, false, vec![(1, Mishap::JournalFull)]);
    assert!(matches!(&end, End::Stopped(why) if why.contains("journal")), "{end:?}");
    assert!(truth.calls.is_empty());
}

/// Out of space, with history to drop.
fn full() -> ClusterView {
    let mut view = healthy(3);
    view.alarms = vec![Alarm { member: view.members[0].id.unwrap(), kind: AlarmKind::NoSpace }];
    view
}

/// What was confirmed had a snapshot first: without it nothing of the rest is that plan any more.
#[test]
fn a_recovery_without_its_snapshot_drops_nothing() {
    let request = Request::RecoverNoSpace { folder: Some("/nowhere".into()), keep: 1_000 };
    let (end, truth, _) = carry_out(&request, full(), vec![(2, Mishap::Refused)]);
    assert!(matches!(&end, End::Failed(why) if why.starts_with("save a snapshot")), "{end:?}");
    assert!(truth.calls.is_empty(), "{:?}", truth.journal);
    assert_eq!(truth.journal.iter().filter(|l| l.starts_with("begins")).count(), 1, "{:?}", truth.journal);
}

/// One member that could not be defragmented does not keep the others from it: the cluster cannot write.
#[test]
fn a_recovery_goes_on_after_one_member_failed() {
    let request = Request::RecoverNoSpace { folder: None, keep: 1_000 };
    // Look, compact, looks; then the first member's call.
    let (end, truth, _) = carry_out(&request, full(), vec![(6, Mishap::Refused)]);
    assert!(matches!(&end, End::Failed(why) if why.starts_with("defragment")), "{end:?} {:?}", truth.journal);
    assert_eq!(truth.calls.len(), 3, "all three were tried: {:?}", truth.journal);
}

#[test]
fn who_leads_by_then_is_not_rewritten_where_it_is_unless_that_was_confirmed() {
    // One follower alone was asked for, and leads before its turn.
    let view = healthy(3);
    let member = view.members[1].id.unwrap();
    let request = Request::Defragment { members: vec![member], move_leader: false, rule: None };
    let (end, truth, _) = carry_out(&request, view, vec![(1, Mishap::Leads(1))]);
    assert!(matches!(&end, End::Stopped(why) if why.contains("leads by now")), "{end:?}");
    assert!(truth.calls.is_empty());
}
