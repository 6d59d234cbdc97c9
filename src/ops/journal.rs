//! The journal: every plan, confirmation, step and outcome of a cluster, a JSON document a line, on disk before what it
//! announces is done. It is the audit trail, the history on screen, and the memory after a crash.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::plan::{Action, Plan, PlanId, Step};
use crate::model::{Bytes, ClusterId, MemberId};

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

/// Figures of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The file before, bytes.
    pub before: Option<Bytes>,
    /// The file after, bytes.
    pub after: Option<Bytes>,
    /// How long the call took, milliseconds.
    pub took_ms: u64,
    /// What else there is to tell, such as a file's name.
    pub note: Option<String>,
}

/// One line.
#[derive(Debug, Serialize)]
struct Record<'a> {
    at: Timestamp,
    plan: &'a PlanId,
    #[serde(flatten)]
    entry: Entry<'a>,
}

/// What a line says.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry<'a> {
    /// A plan was confirmed.
    Confirmed {
        /// Who, and from where.
        by: &'a str,
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
    file: File,
    _lock: File,
}

/// The folder of all journals: `etcdtop` in the XDG state folder.
#[must_use]
pub fn folder(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("etcdtop"))
}

fn path_of(folder: &Path, cluster: ClusterId) -> PathBuf {
    folder.join(format!("{cluster}.jsonl"))
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
        let lock_path = folder.join(format!("{cluster}.lock"));
        let mut private = OpenOptions::new();
        private.create(true).mode(0o600);
        let mut lock = private.clone().read(true).write(true).truncate(false).open(&lock_path).map_err(io)?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = fs::read_to_string(&lock_path).unwrap_or_default();
            let holder = crate::model::text::printable(holder.trim()).into_owned();
            return Err(JournalError::Locked { holder });
        }
        // Who holds it, for those who find it held. The lock itself goes with the process.
        lock.set_len(0).and_then(|()| writeln!(lock, "process {}", std::process::id())).map_err(io)?;
        let file = private.append(true).open(&path).map_err(io)?;
        let journal = Self { path, file, _lock: lock };
        journal.mend()?;
        sync_folder(folder).map_err(|reason| JournalError::Io { path: journal.path.clone(), reason })?;
        Ok(journal)
    }

    /// A line that was cut by a crash or a full disk must not swallow the next one.
    fn mend(&self) -> Result<(), JournalError> {
        let io = |reason| JournalError::Io { path: self.path.clone(), reason };
        let text = fs::read(&self.path).map_err(io)?;
        if text.last().is_some_and(|b| *b != b'\n') {
            (&self.file).write_all(b"\n").map_err(io)?;
        }
        Ok(())
    }

    /// Writes a line; it is on disk when this returns.
    ///
    /// # Errors
    /// When it could not be written: then nothing of what it announces may be done.
    pub fn write(&mut self, at: Timestamp, plan: &PlanId, entry: Entry<'_>) -> Result<(), JournalError> {
        let io = |reason| JournalError::Io { path: self.path.clone(), reason };
        let mut line = serde_json::to_vec(&Record { at, plan, entry }).map_err(|e| io(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(io)?;
        self.file.sync_data().map_err(io)
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// An operation as the journal tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Its plan's name.
    pub plan: String,
    /// When it was confirmed.
    pub at: Option<Timestamp>,
    /// What it was.
    pub title: String,
    /// Who confirmed it.
    pub by: String,
    /// The titles of its steps.
    pub steps: Vec<String>,
    /// How those that began ended; none: it did not end.
    pub ends: Vec<Option<StepEnd>>,
    /// Figures of those that ended: before, after, milliseconds.
    pub figures: Vec<(Option<u64>, Option<u64>, u64)>,
    /// How it ended; none: it did not.
    pub end: Option<End>,
}

impl Past {
    /// Whether it began and never ended: its process was killed, or the host went down.
    #[must_use]
    pub const fn interrupted(&self) -> bool {
        self.end.is_none()
    }
}

/// What a cluster's journal tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Operations, the oldest first.
    pub operations: Vec<Past>,
    /// Bytes a second that each member rewrote in its last defragmentation.
    pub rates: BTreeMap<MemberId, f64>,
    /// When the last snapshot was saved.
    pub last_snapshot: Option<Timestamp>,
    /// Who holds the lock now: an operation without an end then runs, in that process.
    pub held_by: Option<String>,
}

/// Reads a cluster's journal. Lines that cannot be read (cut, or of a later version) are left out: an audit trail is read
/// as far as it can be.
#[must_use]
pub fn read(folder: &Path, cluster: ClusterId) -> History {
    let mut history = History::default();
    let Ok(file) = File::open(path_of(folder, cluster)) else { return history };
    history.held_by = holder(folder, cluster);
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
        if let Ok(record) = serde_json::from_slice::<Value>(&line) {
            take(&mut history, &record);
        }
    }
    history
}

/// Who holds the lock of a cluster; none when nobody does.
fn holder(folder: &Path, cluster: ClusterId) -> Option<String> {
    let path = folder.join(format!("{cluster}.lock"));
    let lock = File::open(&path).ok()?;
    // Shared, so that two who look do not take each other for somebody who works; given back at once.
    let free = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok();
    (!free).then(|| {
        crate::model::text::printable(fs::read_to_string(&path).unwrap_or_default().trim()).into_owned()
    })
}

fn take(history: &mut History, record: &Value) -> Option<()> {
    let plan = record.get("plan")?.as_str()?;
    let at: Option<Timestamp> = record.get("at").and_then(Value::as_str).and_then(|t| t.parse().ok());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if record.get("event")? == "confirmed" {
        let body = record.get("body")?;
        let titles = body.get("steps")?.as_array()?.iter().map(|s| text(&s["title"])).collect();
        history.operations.push(Past {
            plan: plan.to_owned(),
            at,
            title: text(&body["title"]),
            by: text(&record["by"]),
            steps: titles,
            ..Past::default()
        });
        return Some(());
    }
    let past = history.operations.iter_mut().rev().find(|p| p.plan == plan)?;
    match record.get("event")?.as_str()? {
        "step_begins" => {
            // What was done, which may be another step than the plan had in this place.
            if let (Some(title), Some(step)) = (record["body"]["title"].as_str(), record["step"].as_u64()) {
                let at = usize::try_from(step).unwrap_or(usize::MAX).saturating_sub(1);
                if let Some(slot) = past.steps.get_mut(at) {
                    title.clone_into(slot);
                }
            }
            past.ends.push(None);
            past.figures.push((None, None, 0));
        }
        "step_ended" => {
            let end: StepEnd = serde_json::from_value(record.get("end")?.clone()).ok()?;
            let figures = record.get("figures")?;
            let (before, after) = (figures["before"].as_u64(), figures["after"].as_u64());
            let took = figures["took_ms"].as_u64().unwrap_or_default();
            let done = end == StepEnd::Done;
            if past.ends.last().is_none_or(Option::is_some) {
                // Skipped: it ended without having begun.
                past.ends.push(None);
                past.figures.push((None, None, 0));
            }
            *past.ends.last_mut()? = Some(end);
            *past.figures.last_mut()? = (before, after, took);
            if done {
                learn(history, record, after, took, at);
            }
        }
        "ended" => past.end = serde_json::from_value(record.get("end")?.clone()).ok(),
        _ => {}
    }
    Some(())
}

/// What a done step teaches: how fast a member rewrites its file, and that there is a snapshot.
fn learn(history: &mut History, record: &Value, after: Option<u64>, took: u64, at: Option<Timestamp>) {
    let action = &record["action"];
    match action["do"].as_str() {
        Some("snapshot") => history.last_snapshot = at.or(history.last_snapshot),
        Some("defragment") => {
            let member = action["member"].as_str().and_then(|id| u64::from_str_radix(id, 16).ok());
            if let (Some(member), Some(after), 1..) = (member, after, took) {
                #[allow(clippy::cast_precision_loss)] // a rate for estimates
                history
                    .rates
                    .insert(MemberId(member), after as f64 / Duration::from_millis(took).as_secs_f64());
            }
        }
        _ => {}
    }
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
