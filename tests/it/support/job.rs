//! The program as cron runs it: no terminal, an environment of its own, a journal of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::clean_environment;
use super::cluster::program;
use crate::cli::Output;

/// Who is not there any more.
#[derive(Clone, Copy, Debug)]
pub enum Gone {
    /// The disk that both streams are written to is full.
    FullDisk,
    /// Both streams are a pipe that nobody reads.
    Closed,
}

/// One whose both streams are a full pipe that nobody reads yet.
pub struct Unread {
    pub child: Child,
    pub reader: std::io::PipeReader,
    /// What of it was not said by the child.
    pub filled: usize,
}

/// A host on which etcdtop runs.
pub struct Job {
    folder: TempDir,
    endpoints: String,
}

impl Job {
    pub fn on(endpoints: impl Into<String>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), endpoints: endpoints.into() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        for (name, value) in clean_environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .args(args)
            .env("XDG_STATE_HOME", self.folder().join("state"))
            .env("XDG_DATA_HOME", self.folder().join("data"))
            // A terminal that could do everything, were there one.
            .env("TERM", "xterm-256color")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if !self.endpoints.is_empty() && !args.contains(&"--endpoints") {
            command.args(["--endpoints", &self.endpoints]);
        }
        command
    }

    /// Runs to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or(-1);
        let output = Output { code, out: text(output.stdout), err: text(output.stderr) };
        for stream in [&output.out, &output.err] {
            assert!(!stream.contains(['\x1b', '\r']), "no terminal, no escapes: {}", output.all());
        }
        output
    }

    /// Runs to its end, which must be this; what it printed.
    pub async fn ends(&self, code: i32, args: &[&str]) -> Output {
        let output = self.run(args).await;
        assert_eq!(output.code, code, "etcdtop {args:?}: {}", output.all());
        output
    }

    /// Runs to its end with nobody to hear of it: the exit code, and how the journal says that it ended.
    pub async fn unheard(&self, args: &[&str], gone: Gone) -> (i32, String) {
        let mut command = self.command(args);
        let before = self.journal().len();
        let mut reader = None;
        match gone {
            Gone::FullDisk => {
                let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
                command.stdout(full()).stderr(full());
            }
            Gone::Closed => {
                let (out, end) = std::io::pipe().unwrap();
                command.stdout(end.try_clone().unwrap()).stderr(end);
                reader = Some(out);
            }
        }
        let mut child = command.spawn().unwrap();
        drop(command);
        drop(reader);
        let code = child.wait().await.unwrap().code().unwrap_or(-1);
        assert!(self.journal().len() > before, "nothing was journaled");
        (code, self.last_end())
    }

    /// Begins to run, and nobody reads what it says.
    pub fn unread(&self, args: &[&str]) -> Unread {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let blocks = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, blocks | rustix::fs::OFlags::NONBLOCK).unwrap();
        let mut filled = 0;
        while let Ok(more) = std::io::Write::write(&mut writer, &[b' '; 1024]) {
            filled += more;
        }
        rustix::fs::fcntl_setfl(&writer, blocks).unwrap();
        let mut command = self.command(args);
        let child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        Unread { child, reader, filled }
    }

    /// How many operations have ended, by the journal.
    pub fn ended(&self) -> usize {
        self.journal().iter().filter(|e| e["event"] == "ended").count()
    }

    /// Begins to run, its events a line each.
    pub fn begin(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).args(["-o", "jsonl"]).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, events }
    }

    /// Every line of every journal.
    pub fn journal(&self) -> Vec<Value> {
        let folder = self.folder().join("state/etcdtop");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        let journals: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
        let texts = journals.iter().map(|p| std::fs::read_to_string(p).unwrap());
        // The last line may be being written.
        let whole: String = texts.map(|t| t[..t.rfind('\n').map_or(0, |end| end + 1)].to_owned()).collect();
        whole.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// How the operation that was journaled last ended.
    pub fn last_end(&self) -> String {
        let journal = self.journal();
        let last = journal.last().unwrap();
        assert_eq!(last["event"], "ended", "{last}");
        last["end"].to_string()
    }
}

/// One that runs.
pub struct Running {
    pub child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Waits for an event; panics with what it said when it ends before.
    pub async fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = tokio::time::timeout(super::PATIENCE, self.events.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{what} did not come about")).unwrap();
            let Some(line) = line else { panic!("it ended before {what}") };
            let event: Value = serde_json::from_str(&line).unwrap();
            if is(&event) {
                return event;
            }
        }
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        self.child.id().unwrap().cast_signed()
    }

    /// Waits for its end: the exit code, and the last event.
    pub async fn end(mut self) -> (i32, Value, String) {
        let mut last = Value::Null;
        while let Some(line) = self.events.next_line().await.unwrap() {
            last = serde_json::from_str(&line).unwrap();
        }
        let output = self.child.wait_with_output().await.unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap_or(-1), last, err)
    }
}
