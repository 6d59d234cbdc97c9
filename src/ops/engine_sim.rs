//! A simulated cluster for the engine: any mishap at any moment, and what is true of it at each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::super::*;
use crate::model::{Alarm, AlarmKind, MemberId, MemberState, Role};
use crate::ops::guard::{Mode, confirm};
use crate::ops::journal::JournalError;
use crate::ops::plan::{PlanId, Request, Roll};
use crate::ops::planner::{self, Situation};
use crate::ops::terms::Terms;
use crate::testing::{healthy, noon};

/// What goes wrong, or comes back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mishap {
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
    /// The next call is not answered: its member is away for so many seconds, and reads the call some more after that.
    ReadsLate(u64, u64),
    /// The next call is not answered, because its member died before it began.
    DiesInCall,
    /// The next call is refused.
    Refused,
    /// The disk of the journal is full from now on.
    JournalFull,
    /// Somebody wants it to stop.
    Asked(Haste),
    /// The next call is never answered, and nobody may wait for it.
    NeverEnds,
}

#[derive(Default)]
pub(super) struct Truth {
    pub(super) defragmented: Vec<usize>,
    /// What was wrong when a call was made, by what the last look showed.
    pub(super) sins: Vec<String>,
    pub(super) journal: Vec<String>,
    pub(super) calls: Vec<usize>,
}

struct Sim {
    view: ClusterView,
    mishaps: BTreeMap<u32, Mishap>,
    moment: u32,
    clock: Duration,
    /// A rewrite that goes on behind a call that was lost: whose, from when, and until when.
    behind: Option<(usize, Duration, Duration)>,
    /// Who wakes up, and when.
    wakes: Option<(usize, Duration)>,
    next_call: Option<Mishap>,
    targets: Vec<MemberId>,
    truth: Arc<Mutex<Truth>>,
    stop: watch::Sender<Option<Stop>>,
}

impl Sim {
    /// Time goes by, and what runs behind a lost call with it.
    fn pass_time(&mut self, time: Duration) {
        self.clock += time;
        if let Some((i, _)) = self.wakes.filter(|(_, at)| self.clock >= *at) {
            self.wakes = None;
            self.view.members[i].state = MemberState::Ok;
        }
        let Some((i, from, until)) = self.behind else { return };
        let m = &mut self.view.members[i];
        if self.clock < from {
            // It has not read the call yet.
        } else if m.state == MemberState::Refused {
            // Its process died, and the rewrite with it.
            self.behind = None;
        } else if self.clock >= until {
            self.behind = None;
            m.metrics_mut().defrag_inflight = Some(false);
            if m.state == MemberState::Defragmenting {
                m.state = MemberState::Ok;
            }
            let member = m.id.unwrap();
            self.defragment(member);
        } else {
            m.state = MemberState::Defragmenting;
            m.metrics_mut().defrag_inflight = Some(true);
        }
    }

    fn ask(&self, haste: Haste) {
        self.stop.send_replace(Some(Stop { why: "somebody asked".into(), haste }));
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
            // Who is away for a time comes back at its end: how late a call is read depends on that.
            Mishap::Returns(i) if self.wakes.is_some_and(|(who, _)| who == i % n) => {}
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
            Mishap::Asked(haste) => self.ask(haste),
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
        let metrics = m.metrics_mut();
        metrics.defragmentations = Some(metrics.defragmentations.unwrap_or_default() + 1);
    }
}

impl World for Sim {
    type Way = ();

    /// The way there takes time, and anything may happen meanwhile.
    async fn reach(&mut self, action: &Action) -> Result<(), Fault> {
        self.moment();
        self.pass_time(Duration::from_millis(20));
        match action {
            Action::Defragment { member } if !self.view.members[self.index(*member)].state.answers() => {
                let fault = Box::new(Fault::Hung { after: Duration::from_secs(2) });
                Err(Fault::NotSent { fault })
            }
            _ => Ok(()),
        }
    }

    async fn look(&mut self, _: Look) -> Arc<ClusterView> {
        self.moment();
        self.pass_time(Duration::from_millis(60));
        self.view.at = self.now();
        let now = Some(self.view.at);
        for m in self.view.members.iter_mut().filter(|m| m.state.answers()) {
            (m.status_asked, m.status_at, m.metrics_asked, m.scrape_asked) = (now, now, now, now);
        }
        Arc::new(self.view.clone())
    }

    async fn act(
        &mut self,
        (): (),
        permit: &Permit,
        action: &Action,
        _: Duration,
        _: &watch::Sender<Progress>,
    ) -> Called {
        assert!(permit.covers(self.view.cluster_id.unwrap()));
        if let Action::Defragment { member } = action {
            let i = self.index(*member);
            // The truth at this moment, not what was seen of it.
            let seen = &self.view;
            let others = seen.members.iter().filter(|m| m.is_voter() && m.id != Some(*member));
            let mut truth = self.truth.lock().unwrap();
            if let Some(bad) = others.clone().find(|m| !m.state.serves()) {
                truth.sins.push(format!("m{} while {} was {:?}", i + 1, bad.label(), bad.state));
            }
            // One whose turn is over without a call, because it was away then, is left for another time.
            let over = |t: &MemberId| {
                let id = format!("{t:?}");
                truth.journal.iter().any(|l| l.starts_with("ended") && l.contains(&id))
            };
            let left = self.targets.iter().any(|t| {
                t != member
                    && !over(t)
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
            Action::MoveLeader { .. } => self.view.leader,
            other => other.member(),
        };
        if let Some(Mishap::NeverEnds) = self.next_call {
            self.ask(Haste::Abandon);
            std::future::pending::<()>().await;
        }
        let outcome = match (self.next_call.take(), action) {
            (Some(Mishap::AnswerLost), Action::Defragment { member }) => {
                self.defragment(*member);
                deadline
            }
            (Some(Mishap::GoesOnBehind(seconds)), Action::Defragment { member }) => {
                let i = self.index(*member);
                self.behind = Some((i, self.clock, self.clock + Duration::from_secs(seconds)));
                self.pass_time(Duration::ZERO);
                deadline
            }
            (Some(Mishap::ReadsLate(away, later)), Action::Defragment { member }) => {
                let i = self.index(*member);
                let back = self.clock + Duration::from_secs(away);
                self.view.members[i].state = MemberState::Hung;
                self.wakes = Some((i, back));
                // TCP sends it once more within as long as it was away.
                let from = back + Duration::from_secs(later.min(away).max(1));
                self.behind = Some((i, from, from + Duration::from_secs(3)));
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
                    Ok(Told::default())
                } else {
                    deadline
                }
            }
            (_, Action::MoveLeader { to, .. }) => {
                let i = self.index(*to);
                if self.view.members[i].state.serves() {
                    self.lead(Some(i));
                }
                Ok(Told::default())
            }
            (_, Action::Disarm { .. }) => {
                self.view.alarms.clear();
                Ok(Told::default())
            }
            _ => Ok(Told::default()),
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
            Entry::StepAnswered { step, end, .. } => format!("answered {step} {end:?}"),
            Entry::StepEnded { step, end, action, .. } => format!("ended {step} {action:?} {end:?}"),
            Entry::Ended { end } => format!("over {end:?}"),
        });
        Ok(())
    }
}

/// Runs a rolling defragmentation through mishaps.
pub(super) fn roll(
    members: usize,
    move_leader: bool,
    mishaps: Vec<(u32, Mishap)>,
) -> (End, Truth, Vec<OpEvent>) {
    carry_out(&Request::Defragment(Roll { move_leader, ..Roll::default() }), healthy(members), mishaps)
}

pub(super) fn carry_out(
    request: &Request,
    view: ClusterView,
    mishaps: Vec<(u32, Mishap)>,
) -> (End, Truth, Vec<OpEvent>) {
    carry_out_under(&Terms::default(), None, request, view, mishaps)
}

/// The same, under terms, and within a time.
pub(super) fn carry_out_under(
    terms: &Terms,
    all: Option<Duration>,
    request: &Request,
    mut view: ClusterView,
    mishaps: Vec<(u32, Mishap)>,
) -> (End, Truth, Vec<OpEvent>) {
    for m in &mut view.members {
        m.metrics_mut().defragmentations = Some(0);
    }
    // A file of 1 GiB takes a second.
    let rates = view.members.iter().filter_map(|m| Some((m.id?, f64::from(1 << 30)))).collect();
    let situation = Situation {
        view: &view,
        cluster_name: "prod",
        rates: &rates,
        last_snapshot: Some(noon()),
        snapshot_first: None,
        place: None,
        busy: None,
        proof_key: "k",
        terms: Some(terms),
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
    let (asks, stop) = watch::channel(None);
    let sim = Sim {
        view,
        mishaps: mishaps.into_iter().filter(|(_, m)| !matches!(m, Mishap::JournalFull)).collect(),
        moment: 0,
        clock: Duration::ZERO,
        behind: None,
        wakes: None,
        next_call: None,
        targets,
        truth: Arc::clone(&truth),
        stop: asks,
    };
    let mut events = Vec::new();
    let engine = Engine::new(
        sim,
        Paper(Arc::clone(&truth), full),
        |e| events.push(e),
        Limits { all, ..Limits::default() },
        stop,
        watch::Sender::new(Progress::default()),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let end = runtime.block_on(engine.run(confirmed, "me"));
    let truth = std::mem::take(&mut *truth.lock().unwrap());
    (end, truth, events)
}
