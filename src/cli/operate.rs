//! Carries a plan out without a screen: the same planner, guard, engine and journal as on the dashboard.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use super::connect::{access, poll_options};
use super::exit::Exit;
use super::launch::{Running, env, launch, mode};
use super::status::refuse_to_mix;
use crate::config::Settings;
use crate::model::ClusterView;
use crate::ops::journal::{self, End, Figures, Journal};
use crate::ops::plan::{Plan, Request, Step, Verdict};
use crate::ops::planner::{self, Situation};
use crate::ops::world::Live;
use crate::ops::{OpEvent, Progress, Stop, confirm, past, save};
use crate::poll::Poll;
use crate::snapshot;
use crate::term::{Signal, Signals};

/// The number of SIGINT.
const INTERRUPT: u8 = 2;

/// How a plan ended.
pub(super) struct Outcome {
    /// The exit code.
    pub(super) exit: Exit,
    /// The steps that were done, and their figures.
    pub(super) done: Vec<(Step, Figures)>,
}

/// Plans what is asked for from what the cluster is, and carries it out. What changes the cluster must have been confirmed
/// by `yes`.
pub(super) async fn carry_out(
    settings: &Settings,
    request: impl FnOnce(&ClusterView) -> Result<Request>,
    yes: bool,
) -> Result<Outcome> {
    let ended = |exit| Ok(Outcome { exit, done: Vec::new() });
    let options = poll_options(access(settings)?, settings).await?;
    let dialer = options.dialer.clone();
    let limit = dialer.access().dial_timeout + dialer.access().command_timeout;
    let poll = Poll::start(options);
    let view = poll.settled(limit).await;
    refuse_to_mix(&view)?;
    if !view.members.iter().any(|m| m.state.answers()) {
        let why = view.members.iter().map(|m| {
            let detail = m.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
            format!("{} is {}{detail}", m.label(), m.state.shown())
        });
        eprintln!("etcdtop: no member answers: {}", why.collect::<Vec<_>>().join("; "));
        return ended(Exit::Unreachable);
    }
    let request = request(&view)?;
    let folder = journal::folder(&env)
        .ok_or_else(|| eyre!("there is no place for a journal: neither XDG_STATE_HOME nor HOME is set"))?;
    let plan = match plan(settings, &view, &request, &folder).await {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("etcdtop: {why}");
            return ended(Exit::Refused);
        }
    };
    for check in plan.checks.iter().filter(|c| c.verdict == Verdict::Warn) {
        eprintln!("etcdtop: warning: {}", check.line);
    }
    let typed = if yes { plan.name_to_type.clone() } else { String::new() };
    let cluster = plan.cluster;
    let confirmed = match confirm(plan, &mode(settings), &typed) {
        Ok(confirmed) => confirmed,
        Err(refusal) => {
            eprintln!("etcdtop: {refusal}");
            return ended(Exit::Refused);
        }
    };
    let opened = spawn_blocking(move || Journal::open(&folder, cluster)).await?;
    let journal = match opened {
        Ok(journal) => journal,
        Err(e) => {
            eprintln!("etcdtop: {e}");
            return ended(Exit::Refused);
        }
    };
    let steps = confirmed.plan().steps.clone();
    let world = Live::new(dialer, cluster, poll.handle());
    let Running { events, progress, stop, task } = launch(confirmed, world, journal);
    let mut teller =
        Teller { steps, done: Vec::new(), on_terminal: std::io::stderr().is_terminal(), shown: false };
    let interrupted = teller.listen(events, progress, &stop).await?;
    let end = task.await.unwrap_or_else(|e| End::Unknown(format!("internal error: {e}")));
    let exit = match &end {
        End::Done => Exit::Done,
        End::Unknown(_) => Exit::Unknown,
        End::Cancelled(_) => interrupted.map_or(Exit::Failed, Exit::Signal),
        End::Stopped(_) | End::Failed(_) => Exit::Failed,
    };
    if end != End::Done {
        eprintln!("etcdtop: {end}");
    }
    Ok(Outcome { exit, done: teller.done })
}

async fn plan(
    settings: &Settings,
    view: &Arc<ClusterView>,
    request: &Request,
    folder: &std::path::Path,
) -> Result<Plan, String> {
    let name = settings.cluster_name();
    let known = match view.cluster_id {
        Some(cluster) => {
            let folder = folder.to_owned();
            let read = move || {
                let known = past::read(&folder, cluster);
                (save::sweep(&known), known)
            };
            let (swept, known) = spawn_blocking(read).await.unwrap_or_default();
            for part in swept {
                eprintln!("etcdtop: removed {part}, which an interrupted snapshot had left");
            }
            known
        }
        None => past::History::default(),
    };
    let proof_key = format!("{}proof", settings.proof_prefix.value);
    let place = match request {
        Request::Snapshot { folder, .. } | Request::RecoverNoSpace { folder: Some(folder), .. } => {
            let folder = folder.clone();
            spawn_blocking(move || snapshot::place(&folder)).await.ok()
        }
        _ => None,
    };
    let situation = Situation {
        view,
        cluster_name: &name,
        rates: &known.rates,
        last_snapshot: known.last_snapshot,
        snapshot_first: None,
        place: place.as_ref(),
        busy: None,
        proof_key: &proof_key,
    };
    planner::plan(request, situation)
}

/// Tells on standard error what happens: a line that is rewritten on a terminal, a line an event elsewhere.
struct Teller {
    steps: Vec<Step>,
    done: Vec<(Step, Figures)>,
    on_terminal: bool,
    shown: bool,
}

impl Teller {
    /// Until the operation has ended; the signal that stopped it.
    async fn listen(
        &mut self,
        mut events: mpsc::UnboundedReceiver<OpEvent>,
        mut progress: watch::Receiver<Progress>,
        stop: &watch::Sender<Option<Stop>>,
    ) -> Result<Option<u8>> {
        let mut signals = Signals::listen()?;
        let mut interrupted = None;
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => self.event(event),
                    None => return Ok(interrupted),
                },
                signal = signals.next() => if let Signal::End(number) = signal {
                    interrupted = Some(number);
                    // Who presses Ctrl-C wants no more of it; what ends for another reason may go on later.
                    let why = if number == INTERRUPT { "ctrl-c was pressed" } else { past::PROGRAM_ENDS };
                    stop.send_replace(Some(Stop { why: why.to_owned(), at_once: true }));
                },
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    self.progress(now);
                }
            }
        }
    }

    fn progress(&mut self, progress: Progress) {
        if !self.on_terminal || progress == Progress::Unknown {
            return;
        }
        // The rest of a longer line before it is cleared.
        eprint!("\r{progress}\x1b[K");
        let _ = std::io::stderr().flush();
        self.shown = true;
    }

    fn line(&mut self, text: &str) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
        eprintln!("{} {text}", Timestamp::now().strftime("%H:%M:%SZ"));
    }

    fn event(&mut self, event: OpEvent) {
        match event {
            OpEvent::Waiting { why, .. } => self.line(&format!("waits: {why}")),
            OpEvent::Began { step, .. } => {
                let title = self.steps.get(step).map(|s| s.title.clone()).unwrap_or_default();
                self.line(&title);
            }
            OpEvent::Reordered(steps) => self.steps = steps,
            OpEvent::StepEnded { step, end, figures } => {
                let Some(step) = self.steps.get(step).cloned() else { return };
                self.line(&journal::step_line(&step, &end, &figures));
                if end == journal::StepEnd::Done {
                    self.done.push((step, figures));
                }
            }
            OpEvent::Answered { .. } | OpEvent::Ended(_) => {}
        }
    }
}

/// Where snapshots go: as set, else in the XDG data folder.
pub(super) fn snapshot_dir(settings: &Settings) -> PathBuf {
    if let Some(dir) = &settings.snapshot_dir {
        return dir.value.clone();
    }
    let env = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = env("XDG_DATA_HOME").or_else(|| Some(env("HOME")?.join(".local/share")));
    data.unwrap_or_default().join("etcdtop/snapshots")
}
