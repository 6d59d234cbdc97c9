//! From what was asked for to what can be launched: the cluster is looked at, planned for, consent given, journal and locks
//! taken. Nothing in it changes the cluster but the lock.

use std::sync::Arc;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::consent::{self, Consent};
use super::report::{self, EventJson, EventKind};
use super::{Order, Outcome, Ready, printed};
use crate::cli::connect::{access, output, poll_options, print_json};
use crate::cli::exit::Exit;
use crate::cli::launch::{env, lock_key, mode, only_one};
use crate::cli::status::refuse_to_mix;
use crate::config::{OutputFormat, Settings};
use crate::model::ClusterView;
use crate::ops::guard::refusal;
use crate::ops::journal;
use crate::ops::lock::{ClusterLock, Times};
use crate::ops::plan::{Plan, Request, Verdict};
use crate::ops::planner::{self, NoPlan, Situation};
use crate::ops::{Refusal, confirm, past, save};
use crate::poll::Poll;
use crate::snapshot;

/// Prepares a run; none when it has ended already: the outcome says how.
pub(super) async fn prepare(
    settings: &Settings,
    order: &Order<'_>,
    request: impl FnOnce(&ClusterView) -> Result<Request>,
    outcome: &mut Outcome,
) -> Result<Option<Ready>> {
    let options = poll_options(access(settings)?, settings).await?;
    let dialer = options.dialer.clone();
    let limit = dialer.access().dial_timeout + dialer.access().command_timeout;
    let poll = Poll::start(options);
    let view = poll.settled(limit).await;
    refuse_to_mix(&view)?;
    outcome.cluster_id = view.cluster_id;
    if !view.members.iter().any(|m| m.state.answers()) {
        let why = view.members.iter().map(|m| {
            let detail = m.detail.as_ref().map_or_else(String::new, |d| format!(": {d}"));
            format!("{} is {}{detail}", m.label(), m.state.shown())
        });
        let why = format!("no member answers: {}", why.collect::<Vec<_>>().join("; "));
        tell!("etcdtop: {why}");
        outcome.ends(Exit::Unreachable, report::Result::Unreachable, why);
        return Ok(None);
    }
    let request = request(&view)?;
    let folder = journal::folder(&env)
        .ok_or_else(|| eyre!("there is no place for a journal: neither XDG_STATE_HOME nor HOME is set"))?;
    let (plan, known) = match plan(settings, order, &view, &request, &folder).await {
        Ok(planned) => planned,
        Err(NoPlan::NothingToDo(why)) => return Ok(outcome.nothing_to_do(why)),
        Err(NoPlan::Impossible(why)) => return Ok(outcome.refused(why)),
    };
    if let Some(open) = known.open().filter(|_| known.held_by.is_none()) {
        tell!(
            "etcdtop: warning: {} was interrupted {}; the dashboard goes on with it (o)",
            open.title,
            open.where_it_was()
        );
    }
    if output(settings) == OutputFormat::Jsonl {
        printed(planned(&plan));
    }
    outcome.plan = Some(plan.clone());
    let mode = mode(settings);
    match refusal(&plan, &mode) {
        Some(Refusal::NothingToDo(why)) => return Ok(outcome.nothing_to_do(why)),
        Some(refusal) => return Ok(outcome.refused(refusal.to_string())),
        None => {}
    }
    for check in outcome.plan.iter().flat_map(|p| &p.checks).filter(|c| c.verdict == Verdict::Warn) {
        tell!("etcdtop: warning: {}", check.line);
    }
    if order.bounds.dry_run {
        outcome.ends(Exit::Done, report::Result::Planned, "--dry-run: nothing was done");
        return Ok(None);
    }
    let typed = match consent::given(&plan, Consent::of(order.change), &mut outcome.asked).await {
        Ok(typed) => typed,
        Err(why) => return Ok(outcome.refused(why)),
    };
    let confirmed = match confirm(plan, &mode, &typed) {
        Ok(confirmed) => confirmed,
        Err(refusal) => return Ok(outcome.refused(refusal.to_string())),
    };
    let key = lock_key(settings);
    let handle = poll.handle();
    let journal = match Box::pin(only_one(confirmed.plan(), folder, &dialer, &handle, &key)).await {
        Ok(journal) => journal,
        Err(why) => return Ok(outcome.refused(why)),
    };
    // Nobody else runs: what an interrupted one left is nobody's any more.
    for part in spawn_blocking(move || save::sweep(&known)).await.unwrap_or_default() {
        tell!("etcdtop: removed {part}, which an interrupted snapshot had left");
    }
    let lock = if order.change.is_some_and(|c| c.lock) {
        let holder = holder(order);
        let times = Times::default();
        match ClusterLock::take(dialer.clone(), poll.handle(), &confirmed, &key, &holder, times).await {
            Ok(lock) => Some(lock),
            Err(e) => return Ok(outcome.refused(e.to_string())),
        }
    } else {
        None
    };
    Ok(Some(Ready { confirmed, journal, dialer, poll, lock, key }))
}

/// Who holds the lock, for those who find it held.
fn holder(order: &Order<'_>) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let by = journal::who(&env);
    let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    format!("{by} on {host}, process {}, etcdtop {} since {at}", std::process::id(), order.command)
}

/// The first line of a stream: what is going to be done.
fn planned(plan: &Plan) -> Result<()> {
    print_json(&EventJson {
        at: Timestamp::now(),
        what: EventKind::Planned {
            cluster_id: plan.cluster,
            plan: &plan.id,
            title: &plan.title,
            steps: report::planned(plan),
            skipped: &plan.skipped,
            checks: &plan.checks,
        },
    })
}

async fn plan(
    settings: &Settings,
    order: &Order<'_>,
    view: &Arc<ClusterView>,
    request: &Request,
    folder: &std::path::Path,
) -> Result<(Plan, past::History), NoPlan> {
    let name = settings.cluster_name();
    let known = match view.cluster_id {
        Some(cluster) => {
            let folder = folder.to_owned();
            spawn_blocking(move || past::read(&folder, cluster)).await.unwrap_or_default()
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
    let busy = known.held_by.as_ref().map(|holder| format!("another etcdtop on this host ({holder})"));
    let situation = Situation {
        view,
        cluster_name: &name,
        rates: &known.rates,
        last_snapshot: known.last_snapshot,
        snapshot_first: None,
        place: place.as_ref(),
        busy: busy.as_deref(),
        proof_key: &proof_key,
        terms: Some(&order.terms),
    };
    let plan = planner::plan(request, situation)?;
    Ok((plan, known))
}
