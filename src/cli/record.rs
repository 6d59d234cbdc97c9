//! Recording: what comes to the dashboard goes into a file, too; and `etcdtop record`, which does so without a screen.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::args::{Cli, Command};
use super::connect::{access, poll_options, settings, warn};
use super::dashboard::runtime;
use super::exit::Exit;
use super::launch::env;
use super::operate::snapshot_dir;
use crate::app::recording::News;
use crate::app::{Effect, Msg, State, replay};
use crate::config::{Settings, parse_duration};
use crate::model::Bytes;
use crate::ops::journal;
use crate::poll::Poll;
use crate::recording::hidden::host_of;
use crate::recording::recorder::{RecordError, Written};
use crate::recording::{Entry, Hidden, Meta, Recorder, file_name};
use crate::term::{Signal, Signals};

/// What `record` takes.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// The file; one that is there is never overwritten
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How long; without it until Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub time: Option<Duration>,
    /// Names, hosts, addresses, ids, paths, keys and checksums are replaced
    #[arg(long)]
    pub anonymise: bool,
}

/// The recording in the folder of a lab.
pub(super) const IN_LAB: &str = "recording";

fn begin(recorder: &mut Recorder, state: &State) {
    recorder.take(state.clock, Entry::Meta(Box::new(meta(state))));
    for entry in replay::standing(state) {
        recorder.take(entry.at().unwrap_or(state.clock), entry);
    }
}

/// What the settings name, and what stands for it when it must not be readable.
pub(super) fn names(settings: &Settings) -> Vec<(String, String)> {
    let mut names = Vec::new();
    let mut put = |name: String, stands: &str| names.push((name, stands.to_owned()));
    put(settings.cluster_name(), "cluster-name");
    put(settings.context.as_ref().map(|c| c.value.clone()).unwrap_or_default(), "context");
    put(settings.user.as_ref().map(|u| u.value.clone()).unwrap_or_default(), "user");
    let elsewhere =
        [&settings.server_name, &settings.metrics_url, &settings.discovery_srv, &settings.discovery_srv_name];
    for setting in elsewhere.into_iter().flatten() {
        put(host_of(&setting.value), "named-host");
        put(setting.value.clone(), "named-host");
    }
    for (i, endpoint) in (1..).zip(&settings.endpoints.value) {
        put(endpoint.host().to_owned(), &format!("endpoint-{i}"));
    }
    names
}

/// Where recordings go whose file nobody named.
fn folder() -> Result<PathBuf, String> {
    let state = journal::folder(&env).ok_or(
        "there is no place for recordings: neither XDG_STATE_HOME nor HOME is set; use --record FILE",
    )?;
    let folder = state.join("recordings");
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700).create(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// What goes into a recording besides to the dashboard. Waits for no disk.
pub(super) struct Tee {
    recorder: Option<Recorder>,
    /// Of a lab, so that it can be followed; nobody asked for it, and nobody is told when it fails.
    lab: Option<Recorder>,
    starting: Option<JoinHandle<Result<Recorder, String>>>,
    ending: Option<(PathBuf, JoinHandle<Result<Written, String>>)>,
}

impl Tee {
    /// With a recording that was begun already, or none.
    pub(super) const fn new(recorder: Option<Recorder>) -> Self {
        Self { recorder, lab: None, starting: None, ending: None }
    }

    /// The same, and one in the folder of a lab.
    pub(super) fn of_lab(mut self, folder: &Path) -> Self {
        let lab = Recorder::create(&folder.join(IN_LAB), None);
        self.lab = lab.inspect_err(|e| tracing::warn!("nobody can follow this lab: {e}")).ok();
        self
    }

    fn write(&mut self, at: Timestamp, entry: Entry) {
        match (&mut self.recorder, &mut self.lab) {
            (Some(recorder), Some(lab)) => {
                recorder.take(at, entry.clone());
                lab.take(at, entry);
            }
            (Some(only), None) | (None, Some(only)) => only.take(at, entry),
            (None, None) => {}
        }
    }

    const fn writes(&self) -> bool {
        self.recorder.is_some() || self.lab.is_some()
    }

    /// Whether a recording is about to begin, or to end.
    pub(super) const fn busy(&self) -> bool {
        self.starting.is_some() || self.ending.is_some()
    }

    /// The file that is written.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.recorder.as_ref().map(|r| r.path().to_owned())
    }

    /// Takes what goes to the dashboard next.
    pub(super) fn take(&mut self, state: &State, msg: &Msg) {
        if let Some(entry) = self.writes().then(|| replay::entry(msg)).flatten() {
            self.write(entry.at().unwrap_or(state.clock), entry);
        }
    }

    /// Takes what somebody did.
    pub(super) fn take_deed(&mut self, state: &State, effect: &Effect) {
        if let Some(entry) = self.writes().then(|| replay::deed(effect)).flatten() {
            self.write(state.clock, entry);
        }
    }

    /// Begins a recording, or ends it; [`Self::next`] tells what came of it.
    pub(super) fn toggle(&mut self, state: &State) {
        if let Some(recorder) = self.recorder.take() {
            let at = state.clock;
            self.ending = Some((recorder.path().to_owned(), spawn_blocking(move || recorder.end(at))));
        } else if self.starting.is_none() && self.ending.is_none() {
            let name = file_name(&state.access.name, state.clock, &state.zone);
            self.starting = Some(spawn_blocking(move || {
                Recorder::create(&folder()?.join(name), None).map_err(|e| e.to_string())
            }));
        }
    }

    /// Writes what is there already into those that were begun before.
    pub(super) fn begin(&mut self, state: &State) {
        for recorder in [&mut self.recorder, &mut self.lab].into_iter().flatten() {
            begin(recorder, state);
        }
    }

    /// What there is to tell next; never anything while all goes well.
    pub(super) async fn next(&mut self, state: &State) -> Msg {
        let news = tokio::select! {
            why = async { Some(self.recorder.as_mut()?.failed().await) }, if self.recorder.is_some() => {
                let path = self.recorder.as_ref().map(|r| r.path().to_owned()).unwrap_or_default();
                // Its thread has ended, or hangs in a disk: nobody waits for that.
                if let Some(recorder) = self.recorder.take() {
                    spawn_blocking(move || drop(recorder));
                }
                News::Failed(path, why.unwrap_or_default())
            }
            begun = async { Some(self.starting.as_mut()?.await) }, if self.starting.is_some() => {
                self.starting = None;
                match begun {
                    Some(Ok(Ok(mut recorder))) => {
                        let path = recorder.path().to_owned();
                        begin(&mut recorder, state);
                        self.recorder = Some(recorder);
                        News::Began(path)
                    }
                    Some(Ok(Err(why))) => News::Refused(why),
                    _ => News::Refused("internal error".into()),
                }
            }
            ended = async { Some((&mut self.ending.as_mut()?.1).await) }, if self.ending.is_some() => {
                let path = self.ending.take().map(|(path, _)| path).unwrap_or_default();
                match ended {
                    Some(Ok(Ok(written))) => News::Ended(path, written.views, Bytes(written.bytes)),
                    Some(Ok(Err(why))) => News::Failed(path, why),
                    _ => News::Failed(path, "internal error".into()),
                }
            }
            else => std::future::pending().await,
        };
        Msg::Recording(news)
    }

    /// The end: what waits is written. What to say about it.
    pub(super) fn end(self, at: Timestamp) -> Option<String> {
        if let Some(lab) = self.lab {
            // Whoever follows sees that it has ended.
            let _ = lab.end(at);
        }
        let recorder = self.recorder?;
        let path = recorder.path().to_owned();
        Some(match recorder.end(at) {
            Ok(written) => told(&path, written),
            Err(why) => format!("the recording ended: {} cannot be written: {why}", path.display()),
        })
    }
}

pub(super) fn told(path: &Path, written: Written) -> String {
    if written.views == 0 {
        return format!("nothing was recorded before it ended: {} was not kept", path.display());
    }
    format!("recorded {} views, {}: etcdtop replay {}", written.views, Bytes(written.bytes), path.display())
}

fn meta(state: &State) -> Meta {
    Meta {
        etcdtop: env!("CARGO_PKG_VERSION").into(),
        name: state.access.name.clone(),
        origin: state.access.origin.clone(),
        read_only: state.access.read_only.clone(),
        lab: state.access.lab,
        interval_ms: u64::try_from(state.interval.as_millis()).unwrap_or(u64::MAX),
        notices: state.notices.iter().map(|n| n.line.clone()).collect(),
        snapshots: state.changes.snapshots.clone(),
        proof_key: state.changes.proof_key.clone(),
        ..Meta::default()
    }
}

/// The file that a dashboard is to record into: `--record`, or `ETCDTOP_RECORD`.
pub(super) fn wanted(cli: &Cli) -> Option<PathBuf> {
    cli.global.record.clone().or_else(|| env("ETCDTOP_RECORD").filter(|f| !f.is_empty()).map(Into::into))
}

/// `--record` is for what has a screen.
pub(super) fn only_with_a_screen(cli: &Cli) -> Result<()> {
    let (Some(file), Some(command)) = (&cli.global.record, &cli.command) else { return Ok(()) };
    match command {
        Command::Lab(_) => Ok(()),
        _ => Err(eyre!(
            "--record {} is for the dashboard and for a lab; without a screen: etcdtop record {}",
            file.display(),
            file.display()
        )),
    }
}

/// Begins a recording, before anything is shown.
pub(super) fn create(file: &Path, hidden: Option<Hidden>) -> Result<Recorder> {
    let recorder = Recorder::create(file, hidden);
    recorder.map_err(|e| match e {
        RecordError::Io { .. } if file.parent().is_some_and(|p| !p.as_os_str().is_empty() && !p.is_dir()) => {
            eyre!("{e}: make the folder first")
        }
        _ => eyre!(e),
    })
}

/// `etcdtop record`: polls and writes, without a screen.
pub(super) fn run(cli: &Cli, args: &RecordArgs) -> Result<Exit> {
    let settings = settings(cli)?;
    warn(&settings);
    let access_to = access(&settings)?;
    let hidden = args.anonymise.then(|| Hidden::for_recording(names(&settings)));
    let mut recorder = create(&args.file, hidden)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let options = tokio::select! {
            options = poll_options(access_to, &settings) => options?,
            Signal::End(_) = signals.next() => return Ok(()),
        };
        recorder.take(Timestamp::now(), Entry::Meta(Box::new(headless_meta(&settings))));
        let poll = Poll::start(options);
        let mut views = poll.views();
        let until = args.time.map(|time| Instant::now() + time);
        let mut told = Instant::now();
        eprintln!("etcdtop: records into {}; Ctrl-C ends it", args.file.display());
        loop {
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    Signal::End(_) => return Ok(()),
                    Signal::Suspend => crate::term::signals::stop_job()?,
                    Signal::Continue => {}
                },
                why = recorder.failed() => {
                    return Err(eyre!("the recording ended: {} cannot be written: {why}", args.file.display()));
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => return Ok(()),
                changed = views.changed() => {
                    if changed.is_err() {
                        return Err(eyre!("polling has ended by an internal error"));
                    }
                    let view = views.borrow_and_update().clone();
                    if told.elapsed() >= STATUS_EVERY {
                        told = Instant::now();
                        let verdict = crate::model::verdict::judge(&view, &[]);
                        let written = recorder.written();
                        eprintln!("etcdtop: {} views, {}: {}", written.views, Bytes(written.bytes), verdict.headline);
                    }
                    recorder.take(view.at, Entry::View(view));
                }
            }
        }
    });
    runtime.shutdown_background();
    outcome?;
    let written = recorder
        .end(Timestamp::now())
        .map_err(|why| eyre!("the recording ended: {} cannot be written: {why}", args.file.display()))?;
    eprintln!("etcdtop: {}", told(&args.file, written));
    Ok(Exit::Done)
}

/// How often it is said that it goes on.
const STATUS_EVERY: Duration = Duration::from_secs(60);

fn headless_meta(settings: &Settings) -> Meta {
    Meta {
        etcdtop: env!("CARGO_PKG_VERSION").into(),
        name: settings.cluster_name(),
        origin: settings.access_line(),
        read_only: settings.read_only.value.then(|| settings.read_only.origin.to_string()),
        interval_ms: u64::try_from(settings.interval.value.as_millis()).unwrap_or(u64::MAX),
        notices: settings.warnings.clone(),
        snapshots: snapshot_dir(settings),
        proof_key: format!("{}proof", settings.proof_prefix.value),
        ..Meta::default()
    }
}
