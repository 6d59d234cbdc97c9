//! `etcdtop lab --check`: every scenario on real etcd without a screen, with the answer that solves it and with one that
//! does not. What the dashboard's keys would do goes through the same planner, guard and engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::exit::Exit;
use super::launch::launch;
use super::table::table;
use crate::etcd::Dialer;
use crate::lab::act::{Act, Who};
use crate::lab::scenario::{self, Move, Scenario, TABLE};
use crate::lab::session::{Drill, Session, snapshots, state};
use crate::model::coach::{CoachView, Stand};
use crate::model::{ClusterView, MemberView};
use crate::ops::journal::{End, Journal};
use crate::ops::plan::{Keep, Plan, Request, Roll, Verdict, Verify};
use crate::ops::planner::{self, Situation};
use crate::ops::world::Live;
use crate::ops::{Limits, Mode, confirm};
use crate::poll::compare::compare;
use crate::poll::{self, Poll};
use crate::snapshot;

/// How long a goal may take once everything was done for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// For so long it is watched that a wrong answer does not solve it after all.
const WATCHED: Duration = Duration::from_secs(7);
/// For so long a plan that is refused is planned anew.
const SECOND_THOUGHTS: Duration = Duration::from_secs(5);
/// Between two polls: many of them, so that little time goes by waiting.
const INTERVAL: Duration = Duration::from_millis(250);

/// How one answer to one scenario went.
#[derive(Debug, Serialize)]
struct Checked {
    scenario: &'static str,
    etcd: String,
    answer: &'static str,
    ok: bool,
    /// Repeats the same drawing of parts.
    seed: u64,
    /// What the coach said in the end, or why it is not as it should be.
    told: String,
    score: u32,
    seconds: f64,
}

/// What to check.
pub(super) struct Wanted<'a> {
    /// Only this one.
    pub(super) scenario: Option<&'a str>,
    /// `3.6`; none: the newest on this machine.
    pub(super) version: Option<String>,
    /// How many at the same time.
    pub(super) jobs: usize,
    /// JSON instead of a table.
    pub(super) json: bool,
    /// Who plays which part.
    pub(super) seed: u64,
    /// This program.
    pub(super) launcher: PathBuf,
}

pub(super) async fn run(wanted: &Wanted<'_>) -> Result<Exit> {
    let chosen: Vec<(&'static Scenario, bool)> = match wanted.scenario {
        Some(scenario::MYSTERY) => vec![(scenario::mystery(wanted.seed), true)],
        Some(name) => vec![(scenario::find(name).ok_or_else(|| unknown(name))?, false)],
        None => TABLE.iter().map(|s| (*s, false)).chain([(scenario::mystery(wanted.seed), true)]).collect(),
    };
    let runs = chosen
        .into_iter()
        .flat_map(|(scenario, mystery)| [true, false].map(|right| (scenario, mystery, right)));
    let mut checks = futures_util::stream::iter(runs)
        .map(|(scenario, mystery, right)| {
            let drill = Drill {
                scenario,
                mystery,
                seed: wanted.seed,
                version: wanted.version.clone(),
                launcher: Some(wanted.launcher.clone()),
            };
            Box::pin(check(drill, right))
        })
        .buffered(wanted.jobs.max(1));
    let mut all = Vec::new();
    while let Some(checked) = checks.next().await {
        eprintln!(
            "{} {} {} on {}, --seed {}: {}",
            if checked.ok { "ok    " } else { "FAILED" },
            checked.scenario,
            checked.answer,
            checked.etcd,
            checked.seed,
            checked.told
        );
        all.push(checked);
    }
    if wanted.json {
        println!("{}", serde_json::to_string(&all)?);
    } else {
        let row = |c: &Checked| {
            let result = if c.ok { "as it should" } else { "FAILED" };
            let (score, seconds) = (c.score.to_string(), format!("{:.0}", c.seconds));
            vec![c.scenario.into(), c.etcd.clone(), c.answer.into(), result.into(), score, seconds]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        print!("{}", table(&["SCENARIO", "ETCD", "ANSWER", "RESULT", "SCORE", "SECONDS"], &rows, &[4, 5]));
    }
    Ok(if all.iter().all(|c| c.ok) { Exit::Done } else { Exit::Failed })
}

/// There is none of this name.
pub(super) fn unknown(name: &str) -> color_eyre::Report {
    let nearest = TABLE
        .iter()
        .map(|s| s.name)
        .max_by(|a, b| strsim::jaro(name, a).total_cmp(&strsim::jaro(name, b)))
        .unwrap_or_default();
    eyre!("no scenario {name:?}: did you mean {nearest}? etcdtop lab --list tells all of them")
}

async fn check(drill: Drill, right: bool) -> Checked {
    let began = Instant::now();
    let name = if drill.mystery { scenario::MYSTERY } else { drill.scenario.name };
    let mut checked = Checked {
        scenario: name,
        etcd: drill.version.clone().unwrap_or_default(),
        answer: if right { "right" } else { "wrong" },
        ok: false,
        seed: drill.seed,
        told: String::new(),
        score: 0,
        seconds: 0.0,
    };
    let outcome = match Player::start(&drill).await {
        Err(why) => Err(why),
        Ok(mut player) => {
            player.session.version().clone_into(&mut checked.etcd);
            let outcome = if right { player.right(drill.scenario).await } else { player.wrong(&drill).await };
            checked.score = player.coach.borrow().score;
            player.session.end().await;
            outcome
        }
    };
    checked.ok = outcome.is_ok();
    checked.told = outcome.unwrap_or_else(|why| why);
    checked.seconds = began.elapsed().as_secs_f64();
    checked
}

/// Somebody who plays an answer.
struct Player {
    session: Session,
    coach: watch::Receiver<CoachView>,
    poll: Poll,
    dialer: Dialer,
    /// Steps whose goals were waited for.
    steps: usize,
}

impl Player {
    async fn start(drill: &Drill) -> Result<Self, String> {
        let session = Session::start(drill).await.map_err(|e| e.to_string())?;
        let endpoints = session.endpoints();
        let dialer = Dialer::new(session.access().clone(), &endpoints).map_err(|e| e.to_string())?;
        let poll = Poll::start(poll::Options {
            dialer: dialer.clone(),
            endpoints,
            interval: INTERVAL,
            metrics_every: Some(Duration::from_secs(1)),
            patience: poll::PATIENCE,
            known: Vec::new(),
        });
        session.follow(poll.views());
        let coach = session.coach();
        let mut this = Self { session, coach, poll, dialer, steps: 0 };
        this.until("the symptom shows", |c| !matches!(c.stand, Stand::Prepares(_))).await?;
        Ok(this)
    }

    /// Waits until the coach says so.
    async fn until(&mut self, what: &str, said: impl FnMut(&CoachView) -> bool) -> Result<CoachView, String> {
        let waited = timeout(PATIENCE, self.coach.wait_for(said)).await.map(|said| said.map(|c| c.clone()));
        match waited {
            Ok(Ok(coach)) => Ok(coach),
            Ok(Err(_)) => Err("the coach is gone".into()),
            Err(_) => Err(format!("waited in vain until {what}: {}", telling(&self.coach.borrow()))),
        }
    }

    /// Must be solved by its answer.
    async fn right(&mut self, scenario: &Scenario) -> Result<String, String> {
        for step in scenario.right {
            self.play(*step).await.map_err(|why| format!("{step:?}: {why}"))?;
        }
        let coach = self.until("it is solved", |c| matches!(c.stand, Stand::Solved | Stand::Lost(_))).await?;
        match coach.stand {
            Stand::Solved if coach.mistakes.is_empty() => Ok(format!("solved, {} points", coach.score)),
            _ => Err(telling(&coach)),
        }
    }

    /// Must not be solved by it, and the coach must say why.
    async fn wrong(&mut self, drill: &Drill) -> Result<String, String> {
        let wrong = drill.scenario.wrong;
        for (i, step) in wrong.moves.iter().enumerate() {
            let refused = wrong.refused && i + 1 == wrong.moves.len();
            match self.play(*step).await {
                Err(why) if !refused => return Err(format!("{step:?}: {why}")),
                Ok(()) if refused => return Err(format!("{step:?} was to be refused")),
                Ok(()) | Err(_) => {}
            }
        }
        // In a mystery it does not say what is missing.
        let expected = if drill.mystery { "" } else { wrong.told };
        let solved_after_all =
            timeout(WATCHED, self.coach.wait_for(|c| c.stand == Stand::Solved)).await.is_ok();
        let coach = self
            .until(&format!("the coach says {expected:?}"), |c| {
                c.stand == Stand::Solved || telling(c).contains(expected)
            })
            .await?;
        if solved_after_all || coach.stand == Stand::Solved {
            return Err("the wrong answer solved it".into());
        }
        Ok(telling(&coach))
    }

    async fn play(&mut self, step: Move) -> Result<(), String> {
        let cast = self.session.cast().clone();
        let view = self.poll.handle().view();
        let id = |who: Who| cast.id(who, &view).ok_or_else(|| format!("{} is no member", cast.name(who)));
        let request = match step {
            Move::Reach => {
                self.steps += 1;
                let (steps, mut reached) = (self.steps, self.session.reached());
                let waited = timeout(PATIENCE, reached.wait_for(|n| *n >= steps)).await.is_ok();
                let why =
                    || format!("the goal of step {steps} is not reached: {}", telling(&self.coach.borrow()));
                return if waited { Ok(()) } else { Err(why()) };
            }
            Move::Act(act) => {
                let choice =
                    self.session.acts().iter().position(|a| *a == act).ok_or("it cannot be chosen")?;
                let mut done = self.session.done();
                let before = done.borrow().count;
                self.session.act(choice);
                let over = timeout(PATIENCE, done.wait_for(|done| done.count > before)).await;
                let over = over.map(|over| over.map(|done| done.refused.clone()));
                return match over {
                    // Somebody looks before the next move.
                    Ok(Ok(None)) if matches!(act, Act::End(_)) => self.sees_away(act).await,
                    Ok(Ok(None)) => Ok(()),
                    Ok(Ok(Some(why))) => Err(format!("refused: {why}")),
                    Ok(Err(_)) => Err("the coach is gone".into()),
                    Err(_) => Err("it takes too long".into()),
                };
            }
            Move::CompareData => {
                let compared = compare(&view, &self.poll.handle(), &self.dialer).await?;
                self.session.compared(compared);
                return Ok(());
            }
            Move::Compact(keep) => Request::Compact(Keep::Last(keep)),
            Move::Defragment(who) => Request::Defragment(Roll { members: vec![id(who)?], ..Roll::default() }),
            Move::Roll { move_leader } => Request::Defragment(Roll { move_leader, ..Roll::default() }),
            Move::Snapshot => Request::Snapshot {
                member: None,
                folder: snapshots(self.session.folder()),
                name: None,
                verify: Verify::Full,
            },
            Move::Disarm => Request::Disarm,
            Move::MoveLeader(who) => Request::MoveLeader { to: id(who)? },
            Move::Recover => {
                Request::RecoverNoSpace { folder: Some(snapshots(self.session.folder())), keep: 1_000 }
            }
        };
        self.carry_out(&request).await
    }

    /// Waits until the member that was ended is seen to be away.
    async fn sees_away(&self, act: Act) -> Result<(), String> {
        let Act::End(who) = act else { return Ok(()) };
        let name = self.session.cast().name(who);
        let away =
            |view: &Arc<ClusterView>| view.members.iter().any(|m| m.name.raw() == name && !m.state.answers());
        let seen = self.poll.handle().look(false, Duration::from_secs(10), away).await;
        seen.map(drop).ok_or_else(|| format!("{name} was ended and still answers"))
    }

    /// As the dashboard does it when a plan is confirmed.
    async fn carry_out(&mut self, request: &Request) -> Result<(), String> {
        let deadline = Instant::now() + SECOND_THOUGHTS;
        let plan = loop {
            match self.plan(request).await {
                // On a busy machine a member may be silent for a moment: whoever sits there tries again.
                Err(_) if Instant::now() < deadline => {}
                outcome => break outcome?,
            }
        };
        let (cluster, typed) = (plan.cluster, plan.name_to_type.clone());
        let confirmed = confirm(plan, &Mode::ReadWrite, &typed).map_err(|e| e.to_string())?;
        let journal = Journal::open(&state(self.session.folder()), cluster).map_err(|e| e.to_string())?;
        let running = launch(
            confirmed,
            Live::new(self.dialer.clone(), cluster, self.poll.handle()),
            journal,
            Limits::default(),
        );
        // Whoever sends the wish to stop is here until it ended.
        let (_events, _progress, _stop) = (running.events, running.progress, running.stop);
        match running.task.await {
            Ok(End::Done) => Ok(()),
            Ok(end) => Err(end.to_string()),
            Err(e) => Err(format!("internal error: {e}")),
        }
    }
}

impl Player {
    /// Plans from a view in which everybody who answers at all has answered since.
    async fn plan(&self, request: &Request) -> Result<Plan, String> {
        let mut handle = self.poll.handle();
        let asked = Timestamp::now();
        let fresh = |view: &Arc<ClusterView>| {
            let told = |m: &MemberView| !m.state.answers() || m.status_asked > Some(asked);
            view.at > asked && view.members.iter().all(told)
        };
        let view = handle.look(true, Duration::from_secs(3), fresh).await;
        let view = view.unwrap_or_else(|| handle.view());
        let folder = snapshots(self.session.folder());
        let place = tokio::task::spawn_blocking(move || snapshot::place(&folder)).await.ok();
        let situation = Situation {
            view: &view,
            cluster_name: "lab",
            rates: &BTreeMap::new(),
            last_snapshot: None,
            snapshot_first: None,
            place: place.as_ref(),
            busy: None,
            proof_key: "lab/proof",
            terms: None,
        };
        let plan = planner::plan(request, situation).map_err(|e| e.to_string())?;
        // A plan with a check that blocks can be looked at, and not confirmed.
        match plan.checks.iter().find(|c| c.verdict == Verdict::Block) {
            Some(block) => Err(block.line.clone()),
            None => Ok(plan),
        }
    }
}

/// Everything that the coach says of how it stands.
fn telling(coach: &CoachView) -> String {
    let stand = match &coach.stand {
        Stand::Prepares(what) => format!("preparing: {what}"),
        Stand::Runs => format!("step {} of {}", coach.step, coach.of),
        Stand::Solved => "solved".into(),
        Stand::Lost(why) => format!("lost: {why}"),
    };
    let recent: Vec<_> = coach.changed.iter().rev().take(8).rev().map(|c| c.line.as_str()).collect();
    let last = (!recent.is_empty()).then(|| recent.join(", then "));
    let missing = coach.missing.as_ref().map(|m| format!("missing: {m}"));
    let mistakes = coach.mistakes.iter().map(|m| format!("mistake: {m}"));
    let parts: Vec<_> = [stand]
        .into_iter()
        .chain(missing)
        .chain(mistakes)
        .chain(last.map(|l| format!("last: {l}")))
        .collect();
    parts.join("; ")
}
