//! The journal: every plan, confirmation, step and outcome of a cluster, a JSON document a line, on disk before what it
//! announces is done. It is the audit trail, the history on screen, and the memory after a crash.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::{Action, Plan, PlanId, Step};
use crate::model::units::latency;
use crate::model::{Bytes, ClusterId};

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// It was done.
    Done,
    /// It was not done, or only in part; the text says which.
    Failed(String),
    /// It may have been done; watching did not tell.
    Unknown(String),
    /// It was left out; nothing was sent.
    Skipped(String),
    /// When its turn came it was not wanted any more: a rule was false of the member.
    Needless(String),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Every step was done.
    Done,
    /// Somebody stopped it between two steps.
    Cancelled(String),
    /// A check before or after a step did not hold.
    Stopped(String),
    /// A step failed.
    Failed(String),
    /// The outcome of a step is not known.
    Unknown(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Cancelled(why) => write!(f, "stopped on demand: {why}"),
            Self::Stopped(why) => write!(f, "stopped: {why}"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Unknown(why) => write!(f, "outcome unknown: {why}"),
        }
    }
}

/// How a step ended, in a line: `defragment m1: done, 1.28 GiB to 281 MiB, 2.1 s`.
#[must_use]
pub fn step_line(step: &Step, end: &StepEnd, figures: &Figures) -> String {
    let took = figures.took_ms.map(|ms| latency(Duration::from_millis(ms)));
    let after = took.as_ref().map_or_else(String::new, |t| format!(" after {t}"));
    match end {
        StepEnd::Done => {
            let sizes = match (figures.before, figures.after) {
                (Some(a), Some(b)) if matches!(step.action, Action::Defragment { .. }) => {
                    format!("{a} to {b}, ")
                }
                _ => String::new(),
            };
            let took = took.unwrap_or_else(|| "found out by watching".into());
            let note = figures.note.as_ref().map_or_else(String::new, |n| format!(": {n}"));
            format!("{}: done, {sizes}{took}{note}", step.title)
        }
        StepEnd::Failed(why) => format!("{}: failed{after}: {why}", step.title),
        StepEnd::Unknown(why) => format!("{}: outcome unknown: {why}", step.title),
        StepEnd::Skipped(why) | StepEnd::Needless(why) => format!("{}: {why}", step.title),
    }
}

/// Figures of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// The file before, bytes.
    pub before: Option<Bytes>,
    /// The file after, bytes.
    pub after: Option<Bytes>,
    /// How long the call took, milliseconds; none when its answer was lost.
    pub took_ms: Option<u64>,
    /// What else there is to tell, such as a file's name.
    pub note: Option<String>,
    /// The file that it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// One line.
#[derive(Debug, Serialize)]
struct Record<'a> {
    at: Timestamp,
    plan: &'a PlanId,
    #[serde(flatten)]
    entry: &'a Entry<'a>,
}

/// What a line says.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry<'a> {
    /// A plan was confirmed.
    Confirmed {
        /// Who, and from where.
        by: &'a str,
        /// The host on which it runs, see [`host`].
        host: String,
        /// What.
        body: &'a Plan,
    },
    /// A step is about to begin.
    StepBegins {
        /// From 1.
        step: usize,
        /// What.
        body: &'a Step,
    },
    /// The call of a step is over; what must hold after it is still waited for.
    StepAnswered {
        /// From 1.
        step: usize,
        /// How.
        end: &'a StepEnd,
        /// How long it took, milliseconds; none when its answer was lost.
        took_ms: Option<u64>,
    },
    /// A step ended.
    StepEnded {
        /// From 1.
        step: usize,
        /// What.
        action: &'a Action,
        /// How.
        end: &'a StepEnd,
        /// Its figures.
        figures: &'a Figures,
    },
    /// The operation ended.
    Ended {
        /// How.
        end: &'a End,
    },
}

/// Why the journal cannot be used. Nothing is done without it.
#[derive(Debug, Error)]
pub enum JournalError {
    /// It cannot be opened or written.
    #[error("the journal {} cannot be written: {reason}; nothing is done that it does not announce", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// Another process changes the cluster.
    #[error(
        "another etcdtop on this host changes this cluster now ({holder}); wait for it, or look at it there"
    )]
    Locked {
        /// Who.
        holder: String,
    },
}

/// The journal of one cluster, and the lock that only one process at a time holds to change it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Arc<File>,
    _lock: File,
}

/// The folder of all journals: `etcdtop` in the XDG state folder.
#[must_use]
pub fn folder(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("etcdtop"))
}

pub(super) fn path_of(folder: &Path, cluster: ClusterId) -> PathBuf {
    folder.join(format!("{cluster}.jsonl"))
}

pub(super) fn lock_of(folder: &Path, cluster: ClusterId) -> PathBuf {
    folder.join(format!("{cluster}.lock"))
}

impl Journal {
    /// Opens the journal of a cluster for an operation, and takes the lock.
    ///
    /// # Errors
    /// When it cannot be written, or another process holds the lock.
    pub fn open(folder: &Path, cluster: ClusterId) -> Result<Self, JournalError> {
        let path = path_of(folder, cluster);
        let io = |reason| JournalError::Io { path: path.clone(), reason };
        fs::create_dir_all(folder).map_err(io)?;
        let lock_path = lock_of(folder, cluster);
        let mut private = OpenOptions::new();
        private.create(true).mode(0o600);
        let mut lock = private.clone().read(true).write(true).truncate(false).open(&lock_path).map_err(io)?;
        if !lock_now(&lock).map_err(io)? {
            let holder = fs::read_to_string(&lock_path).unwrap_or_default();
            let holder = crate::model::text::printable(holder.trim()).into_owned();
            return Err(JournalError::Locked { holder });
        }
        // Who holds it, for those who find it held. The lock itself goes with the process.
        lock.set_len(0)
            .and_then(|()| {
                writeln!(
                    lock,
                    "process {} on {}",
                    std::process::id(),
                    rustix::system::uname().nodename().to_string_lossy()
                )
            })
            .map_err(io)?;
        let file = private.read(true).append(true).open(&path).map_err(io)?;
        mend(&file).map_err(|reason| JournalError::Io { path: path.clone(), reason })?;
        let journal = Self { path, file: Arc::new(file), _lock: lock };
        sync_folder(folder).map_err(|reason| JournalError::Io { path: journal.path.clone(), reason })?;
        Ok(journal)
    }

    /// Writes a line; it is on disk when this is done. The disk is waited for beside the runtime: one that hangs must not
    /// keep the members from being polled.
    ///
    /// # Errors
    /// When it could not be written: then nothing of what it announces may be done.
    pub fn write(
        &self,
        at: Timestamp,
        plan: &PlanId,
        entry: &Entry<'_>,
    ) -> impl Future<Output = Result<(), JournalError>> + Send + use<> {
        let line = serde_json::to_vec(&Record { at, plan, entry });
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        async move {
            let io = |reason| JournalError::Io { path, reason };
            let mut line = match line {
                Ok(line) => line,
                Err(e) => return Err(io(e.into())),
            };
            line.push(b'\n');
            let written = tokio::task::spawn_blocking(move || {
                let whole = file.metadata()?.len();
                (&*file).write_all(&line).inspect_err(|_| {
                    // Half a line must not swallow the next one when there is room again.
                    let _ = file.set_len(whole);
                })?;
                file.sync_data()
            });
            written.await.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(io)
        }
    }
}

/// Takes the lock; false when somebody else has it. One who only looks whether it is free holds it for a
/// moment, and so does a process that was just forked, until it is another program.
fn lock_now(lock: &File) -> io::Result<bool> {
    for _ in 0..10 {
        match rustix::fs::flock(lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(50)),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(false)
}

/// The host that this is, until it is started anew: a lock holds there and nowhere else.
#[must_use]
pub fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{name} {}", boot.trim()).trim().to_owned()
}

/// A line that was cut by a crash or a full disk must not swallow the next one.
fn mend(mut file: &File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Who sits there: the user, and where from when over SSH.
#[must_use]
pub fn who(env: &dyn Fn(&str) -> Option<String>) -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|n| env(n).filter(|v| !v.is_empty()));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    match env("SSH_CONNECTION").and_then(|c| c.split(' ').next().map(str::to_owned)) {
        Some(from) => format!("{user} from {from}"),
        None => user,
    }
}
