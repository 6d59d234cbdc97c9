//! `etcdtop lab SCENARIO`: a scenario in the dashboard, with its coach.

use std::path::{Path, PathBuf};
use std::time::Duration;

use color_eyre::Result;

use super::args::Cli;
use super::dashboard::{self, Aside, Opening};
use super::exit::Exit;
use super::lab::Interrupts;
use super::lab_check::unknown;
use super::record::{self, Tee};
use crate::app::state::Access;
use crate::config::{Origin, Settings};
use crate::etcd::Dialer;
use crate::lab::scenario::{self, MYSTERY};
use crate::lab::session::{Drill, Session};
use crate::model::coach::{CoachView, Stand};
use crate::model::units::span;
use crate::poll;

/// Polls of a scenario are no further apart.
const CLOSELY: Duration = Duration::from_secs(1);
/// Nor scrapes of `/metrics`.
const METRICS: Duration = Duration::from_secs(5);

/// Runs it until it is left; begun anew, with the parts drawn anew, as often as somebody wants.
pub(super) fn run(
    cli: &Cli,
    settings: &Settings,
    name: &str,
    version: Option<&str>,
    launcher: &Path,
    seed: &mut dyn FnMut() -> u64,
) -> Result<Exit> {
    let mut settings = settings.clone();
    // A context or a file that forbids changes means a cluster elsewhere; a flag means this one.
    if !matches!(settings.read_only.origin, Origin::Flag(_) | Origin::Env(_)) {
        settings.read_only.value = false;
    }
    let settings = &settings;
    let mystery = name == MYSTERY;
    if !mystery && scenario::find(name).is_none() {
        return Err(unknown(name));
    }
    dashboard::need_terminal()?;
    let runtime = dashboard::runtime()?;
    let mut round = 0;
    loop {
        round += 1;
        let seed = seed();
        let scenario = if mystery {
            scenario::mystery(seed)
        } else {
            scenario::find(name).ok_or_else(|| unknown(name))?
        };
        let drill = Drill {
            scenario,
            mystery,
            seed,
            version: version.map(str::to_owned),
            launcher: Some(launcher.to_owned()),
        };
        // Before anything is started: it may not be possible.
        let file = record::wanted(cli).map(|file| numbered(&file, round));
        let tee = Tee::new(file.map(|file| record::create(&file, None)).transpose()?);
        let started = runtime.block_on(async {
            eprintln!("etcdtop: starting {} members of etcd ...", scenario.setting.members);
            let mut interrupted = Interrupts::new()?;
            tokio::select! {
                session = Session::start(&drill) => Ok::<_, color_eyre::Report>(Ok(session?)),
                number = interrupted.next() => Ok(Err(number)),
            }
        })?;
        let session = match started {
            Ok(session) => session,
            Err(signal) => return Ok(Exit::Signal(signal)),
        };
        let exit = open(&runtime, settings, &session, tee);
        let coach = session.coach().borrow().clone();
        let again = session.wants_anew();
        runtime.block_on(session.end());
        if exit.is_err() || !again {
            println!("{}", told(&coach));
            runtime.shutdown_background();
            return exit;
        }
    }
}

/// Each round has a recording of its own: `lab.etcdtop`, `lab-2.etcdtop`.
fn numbered(file: &Path, round: u32) -> PathBuf {
    if round == 1 {
        return file.to_owned();
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let extension = file.extension().map_or_else(String::new, |e| format!(".{}", e.to_string_lossy()));
    file.with_file_name(format!("{stem}-{round}{extension}"))
}

fn open(runtime: &tokio::runtime::Runtime, settings: &Settings, session: &Session, tee: Tee) -> Result<Exit> {
    let endpoints = session.endpoints();
    let options = poll::Options {
        dialer: Dialer::new(session.access().clone(), &endpoints)?,
        endpoints,
        interval: settings.interval.value.min(CLOSELY),
        // Goals are checked by what is seen: settings that are made for a cluster elsewhere must not hide it.
        metrics_every: Some(settings.metrics_interval.value.unwrap_or(METRICS).min(METRICS)),
        patience: poll::PATIENCE,
        known: Vec::new(),
    };
    let access = Access {
        name: "lab".into(),
        origin: format!("etcd {} on this machine", session.version()),
        read_only: settings.read_only.value.then(|| settings.read_only.origin.to_string()),
        lab: true,
        follower: false,
    };
    let folder = session.folder();
    let aside = Aside { session: Some(session), folder: Some(folder), ..Aside::with(tee.of_lab(folder)) };
    dashboard::open(runtime, settings, Opening::Ready(options), access, aside)
}

/// How it went, for the shell.
fn told(coach: &CoachView) -> String {
    let took = coach.began.zip(coach.ended).map_or_else(String::new, |(began, ended)| {
        format!(" in {}", span(ended.duration_since(began).unsigned_abs()))
    });
    match &coach.stand {
        Stand::Solved => format!("{}: solved{took}, {} points of 100", coach.scenario, coach.score),
        Stand::Lost(why) => format!("{}: lost{took}: {why}", coach.scenario),
        Stand::Prepares(_) | Stand::Runs => format!("{}: left before it was solved", coach.scenario),
    }
}
