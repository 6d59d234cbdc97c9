//! `snapshot save --all-contexts`: one of each cluster, two at a time. Each is saved by an etcdtop of its own: it says,
//! journals and locks what it would alone, and one that fails, or is killed, takes no other along.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use futures_util::stream::{self, StreamExt};
use rustix::process::{Pid, Signal as Number, kill_process};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{Context, Contexts, gather, warn};
use crate::cli::args::Cli;
use crate::cli::connect::{access_unasked, output, print, print_json, run_to_end};
use crate::cli::exit::Exit;
use crate::cli::operate::args::BoundArgs;
use crate::cli::table::table;
use crate::cli::voice;
use crate::config::OutputFormat;
use crate::model::text::printable;
use crate::model::units::grouped;
use crate::snapshot::Side;
use crate::term::{Signal, Signals};

/// Snapshots that are saved at the same time: each is as fast as a disk and a network are.
const AT_ONCE: usize = 2;

/// What came of a context.
#[derive(Serialize)]
struct Saved {
    context: String,
    /// The file.
    path: Option<PathBuf>,
    /// What is known of it, as for one cluster alone.
    snapshot: Option<Side>,
    error: Option<String>,
    exit: u8,
    #[serde(skip)]
    ended: Exit,
}

/// All of them as one document, worst first.
#[derive(Serialize)]
struct All<'a> {
    contexts: &'a [Saved],
}

impl Saved {
    fn not(context: String, ended: Exit, error: String) -> Self {
        Self { context, path: None, snapshot: None, error: Some(error), exit: ended.number(), ended }
    }

    const fn word(&self) -> &'static str {
        match self.ended {
            Exit::Done => "saved",
            Exit::Refused => "refused",
            Exit::Unreachable => "unreachable",
            Exit::Unknown => "unknown",
            Exit::Usage => "not asked",
            Exit::Signal(_) => "interrupted",
            Exit::Failed | Exit::Plugin(_) => "failed",
        }
    }

    fn row(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let side = self.snapshot.as_ref();
        vec![
            printable(&self.context).into_owned(),
            self.word().to_owned(),
            side.map_or_else(dash, |s| s.size.to_string()),
            side.and_then(|s| u64::try_from(s.revision.0).ok()).map_or_else(dash, grouped),
            side.map_or_else(dash, |s| printable(&s.verified).into_owned()),
            match (&self.error, &self.path) {
                (Some(why), _) => printable(why).into_owned(),
                (None, Some(path)) => printable(&path.display().to_string()).into_owned(),
                (None, None) => dash(),
            },
        ]
    }
}

pub(super) fn run(
    cli: &Cli,
    path: Option<&Path>,
    member: Option<&str>,
    verify: &str,
    bounds: &BoundArgs,
) -> Result<Exit> {
    if member.is_some() {
        return Err(eyre!(
            "--all-contexts and --member: a member is of one cluster; without it each cluster's healthiest follower is taken"
        ));
    }
    if let Some(file) = path.filter(|p| !p.is_dir() && !p.as_os_str().as_encoded_bytes().ends_with(b"/")) {
        return Err(eyre!(
            "--all-contexts saves a snapshot for each context, and {} names one file: name a folder that is there, or one to make with a / at its end",
            file.display()
        ));
    }
    if bounds.metrics_file.is_some() {
        return Err(eyre!(
            "--all-contexts and --metrics-file: a file tells of one run; save each context by itself, with a file for each"
        ));
    }
    if bounds.dry_run {
        return Err(eyre!("--all-contexts and --dry-run: a plan is of one cluster: name it with --context"));
    }
    // Each has its limit, and when all have ended there is no more to wait for than a reader.
    voice::begin(bounds.timeout.map(|_| Instant::now()));
    let contexts = gather(cli)?;
    warn(&contexts.each);
    let format = output(&contexts.common);
    let arguments = arguments(cli, path, verify, bounds);
    let mut saved = run_to_end(save_all(contexts, &arguments, password(cli), format))?;
    saved.sort_by(|a, b| b.ended.rank().cmp(&a.ended.rank()).then_with(|| a.context.cmp(&b.context)));
    match format {
        OutputFormat::Table => {
            let rows: Vec<_> = saved.iter().map(Saved::row).collect();
            let head = ["CONTEXT", "RESULT", "SIZE", "REVISION", "VERIFIED", "FILE OR REASON"];
            print(&table(&head, &rows, &[2, 3]))?;
        }
        OutputFormat::Json => print_json(&All { contexts: &saved })?,
        OutputFormat::Jsonl => {}
    }
    Ok(Exit::worst(saved.iter().map(|s| s.ended)))
}

/// The password that was given as a flag: arguments are seen by everybody on the host, the environment is not.
fn password(cli: &Cli) -> Option<String> {
    let of_user = || cli.global.user.as_ref()?.split_once(':').map(|(_, password)| password.to_owned());
    cli.global.password.clone().or_else(of_user)
}

/// What every etcdtop gets besides the name of its context.
fn arguments(cli: &Cli, path: Option<&Path>, verify: &str, bounds: &BoundArgs) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = Vec::new();
    for (name, value) in cli.global.flags() {
        let value = match name {
            "output" | "password" => continue,
            "user" => value.split(':').next().unwrap_or_default().to_owned(),
            _ => value,
        };
        arguments.push(format!("--{}={value}", name.replace('_', "-")).into());
    }
    if let Some(config) = &cli.global.config {
        arguments.extend(["--config".into(), config.into()]);
    }
    // The file's name alone stands on its standard output: the rest is beside the file.
    let rest = ["--output=table", "snapshot", "save", &format!("--verify={verify}")].map(Into::into);
    arguments.extend(rest);
    if let Some(timeout) = bounds.timeout {
        // Of each, from its own beginning.
        arguments.push(format!("--timeout={}ms", timeout.as_millis()).into());
    }
    if let Some(path) = path {
        arguments.extend(["--".into(), path.into()]);
    }
    arguments
}

/// The processes that run, and the signal that is to end them all.
#[derive(Default)]
struct Running {
    pids: RefCell<BTreeSet<u32>>,
    ended_by: Cell<Option<u8>>,
}

impl Running {
    /// Hands a signal on: each stops at a safe point, and none is begun any more.
    fn end(&self, number: u8) {
        self.ended_by.set(Some(number));
        let signal = Number::from_named_raw(number.into()).unwrap_or(Number::TERM);
        for pid in self.pids.borrow().iter().filter_map(|p| Pid::from_raw(i32::try_from(*p).ok()?)) {
            // One that has just ended needs it no more.
            let _ = kill_process(pid, signal);
        }
    }
}

async fn save_all(
    contexts: Contexts,
    arguments: &[std::ffi::OsString],
    password: Option<String>,
    format: OutputFormat,
) -> Result<Vec<Saved>> {
    let program = std::env::current_exe()?;
    let mut signals = Signals::listen()?;
    let running = Running::default();
    let saving = contexts
        .each
        .into_iter()
        .map(|context| save(&program, context, arguments, password.as_deref(), &running));
    let mut coming = std::pin::pin!(stream::iter(saving).buffer_unordered(AT_ONCE));
    let mut saved = Vec::new();
    loop {
        tokio::select! {
            next = coming.next() => match next {
                Some(one) => {
                    if format == OutputFormat::Jsonl {
                        print_json(&one)?;
                    }
                    saved.push(one);
                }
                None => break,
            },
            signal = signals.next() => match signal {
                Signal::End(number) => running.end(number),
                // What they do goes on meanwhile.
                Signal::Suspend => crate::term::signals::stop_job()?,
                Signal::Continue => {}
            },
        }
    }
    voice::listens(signals, running.ended_by.get().is_some());
    Ok(saved)
}

async fn save(
    program: &Path,
    context: Context,
    arguments: &[std::ffi::OsString],
    password: Option<&str>,
    running: &Running,
) -> Saved {
    let Context { name, settings } = context;
    if let Some(number) = running.ended_by.get() {
        return Saved::not(name, Exit::Signal(number), "not begun: it was ended by a signal".into());
    }
    let usable = settings.and_then(|s| access_unasked(&s).map(|_| ()).map_err(|e| e.to_string()));
    if let Err(why) = usable {
        return Saved::not(name, Exit::Usage, why);
    }
    let child = Command::new(program)
        .arg(format!("--context={name}"))
        .args(arguments)
        .envs(password.map(|password| ("ETCDTOP_PASSWORD", password)))
        // A signal from the terminal comes to us alone, and we hand it on.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Ok(child) => follow(name, child, running).await,
        Err(e) => Saved::not(name, Exit::Failed, format!("{} cannot be started: {e}", program.display())),
    }
}

/// Passes on what it says, with the context's name before each line, until it has ended.
async fn follow(name: String, mut child: Child, running: &Running) -> Saved {
    let pid = child.id();
    running.pids.borrow_mut().extend(pid);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let shown = printable(&name).into_owned();
    let said = async {
        let mut why = None;
        let mut lines = err.map(|err| BufReader::new(err).lines());
        while let Some(Ok(Some(line))) = async { Some(lines.as_mut()?.next_line().await) }.await {
            tell!("{shown}: {line}");
            let error = line.strip_prefix("etcdtop: ").filter(|l| !l.starts_with("warning:"));
            why = error.map(str::to_owned).or(why);
        }
        why
    };
    let printed = async {
        let mut text = String::new();
        if let Some(mut out) = out {
            // What is no text names no file of ours.
            let _ = out.read_to_string(&mut text).await;
        }
        text
    };
    let (why, printed) = futures_util::future::join(said, printed).await;
    let status = child.wait().await;
    if let Some(pid) = pid {
        running.pids.borrow_mut().remove(&pid);
    }
    let ended = match status.as_ref().ok().and_then(std::process::ExitStatus::code) {
        Some(0) => Exit::Done,
        Some(2) => Exit::Usage,
        Some(3) => Exit::Refused,
        Some(4) => Exit::Unreachable,
        Some(1) => Exit::Failed,
        Some(code @ 129..) => Exit::Signal(u8::try_from(code - 128).unwrap_or(1)),
        // Killed, or nothing that an etcdtop ends with: what it has done nobody knows.
        _ => Exit::Unknown,
    };
    // One that was refused prints its plan.
    let path = printed.lines().last().map(PathBuf::from).filter(|path| path.is_file());
    let error = (ended != Exit::Done).then(|| why.unwrap_or_else(|| "it ended without a word".into()));
    let snapshot = path.as_deref().and_then(Side::known);
    Saved { context: name, path, snapshot, error, exit: ended.number(), ended }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn no_argument_of_a_child_holds_a_password() {
        for given in [&["--user", "root:s3cret"][..], &["--user=root", "--password=s3cret"]] {
            let line = ["etcdtop", "snapshot", "save"].iter().chain(given);
            let matches = Cli::grammar().try_get_matches_from(line).unwrap();
            let cli = Cli::from_arg_matches(&matches).unwrap();
            let arguments = arguments(&cli, None, "full", &BoundArgs::default());
            let text = format!("{arguments:?}");
            assert!(text.contains("--user=root\"") && !text.contains("s3cret"), "{text}");
            assert_eq!(password(&cli).as_deref(), Some("s3cret"));
        }
    }
}
