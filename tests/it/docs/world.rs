//! A cluster in a state, and what the commands of the pages find there in the place of what they name.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use etcdtop::lab::binaries::cache_folder;
use rustix::process::Signal;
use tempfile::TempDir;

use super::blocks::{self, Block};
use crate::cli::Output;
use crate::support::clean_environment;
use crate::support::cluster::{TestCluster, program};
use crate::support::process::send;
use crate::support::pty::Pty;

/// The states that a page may ask for.
pub const STATES: &[&str] = &[
    "healthy",
    "member-hung",
    "member-down",
    "no-quorum",
    "snapshot-folder",
    "nospace",
    "nospace-full",
    "auth",
    "tls",
    "tunnel",
];

/// A host with etcdtop on it, beside a cluster.
pub struct World {
    folder: TempDir,
    programs: PathBuf,
    env: Vec<(String, String)>,
    places: Vec<(String, String)>,
    /// What a page exported, until the next page.
    exported: Vec<(String, String)>,
    page: String,
    /// Commands that were run.
    pub ran: usize,
}

impl World {
    pub fn beside(cluster: &TestCluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let programs = cluster.binaries().etcdctl.parent().unwrap().to_owned();
        let mut env: Vec<(String, String)> = [
            ("XDG_STATE_HOME", path("state")),
            ("XDG_DATA_HOME", path("data")),
            ("XDG_CONFIG_HOME", path("config")),
            ("HOME", path("home")),
            // A drill starts an etcd of the tests.
            ("ETCDTOP_CACHE", cache_folder().display().to_string()),
            // Of a cluster without a context the name of files is made from its first endpoint.
            ("ETCDCTL_ENDPOINTS", cluster.endpoints_text()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let tls = &cluster.access().tls;
        for (name, file) in [("CACERT", &tls.cacert), ("CERT", &tls.cert), ("KEY", &tls.key)] {
            env.extend(file.as_ref().map(|f| (format!("ETCDCTL_{name}"), f.display().to_string())));
        }
        let mut places = Vec::new();
        for (i, member) in (1..).zip(cluster.members()) {
            let (_, address) = member.client.raw().split_once("://").unwrap();
            places.push((format!("10.0.0.{i}:2379"), address.to_owned()));
        }
        for (named, name) in [
            ("/var/backups/etcd", "backups"),
            ("/var/lib/prometheus/node-exporter", "node-exporter"),
            ("/var/tmp", "tmp"),
        ] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            places.push((named.to_owned(), path(name)));
        }
        for name in ["etc", "home"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in ["restored", "bumped"] {
            places.push((format!("/var/lib/etcd-{name}"), path(name)));
        }
        places.push(("/etc/etcdtop".to_owned(), path("etc")));
        // An hour that is not over at once.
        let hour = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour();
        places.push(("02:00-04:00Z".to_owned(), format!("{hour:02}:00-{:02}:00Z", (hour + 2) % 24)));
        Self { folder, programs, env, places, exported: Vec::new(), page: String::new(), ran: 0 }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Something stands for something else from now on.
    pub fn place(&mut self, named: impl Into<String>, is: impl Into<String>) {
        self.places.insert(0, (named.into(), is.into()));
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.to_owned(), value.into()));
    }

    pub fn unset(&mut self, name: &str) {
        self.env.retain(|(n, _)| n != name);
    }

    /// Runs every block of a state.
    pub fn run_all(&mut self, state: &str) {
        for block in blocks::of(state) {
            self.run(&block);
        }
    }

    /// Runs a block; panics when it does not come to what the page says.
    pub fn run(&mut self, block: &Block) {
        let mut said = String::new();
        let page = block.at.split(':').next().unwrap();
        if self.page != page {
            page.clone_into(&mut self.page);
            self.exported.clear();
        }
        for (i, words) in block.commands.iter().enumerate() {
            let words: Vec<String> = words.iter().map(|w| self.placed(w)).collect();
            if words[0] == "export" {
                let set = words[1..].iter().map(|w| w.split_once('=').unwrap());
                self.exported.extend(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
                continue;
            }
            let last = i + 1 == block.commands.len();
            self.ran += 1;
            let began = Instant::now();
            if let (true, Some(text)) = (last, &block.screen) {
                said += &self.on_a_terminal(&words, text);
                continue;
            }
            let output = if last && block.interrupted { self.interrupt(&words) } else { self.output(&words) };
            assert_eq!(output.code, block.exit, "docs/{}: {words:?}: {}", block.at, output.all());
            said += &output.all();
            eprintln!("{:>6} ms  {}: {}", began.elapsed().as_millis(), block.at, words.join(" "));
        }
        for text in &block.says {
            assert!(said.contains(text), "docs/{}: nobody says {text:?}: {said}", block.at);
        }
    }

    fn placed(&self, word: &str) -> String {
        let mut word = word.to_owned();
        for (named, is) in &self.places {
            if word.contains(named.as_str()) {
                word = word.replace(named.as_str(), is);
            }
        }
        word
    }

    fn command(&self, words: &[String]) -> Command {
        let path = match words[0].as_str() {
            "etcdtop" => program(),
            name => self.programs.join(name),
        };
        let mut command = Command::new(path);
        for (name, value) in clean_environment() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .args(&words[1..])
            .envs(self.env.iter().chain(&self.exported).map(|(n, v)| (n, v)))
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn output(&self, words: &[String]) -> Output {
        ended(self.command(words).output().unwrap())
    }

    /// The same of etcdtop, from its arguments as a page writes them.
    pub fn etcdtop(&self, args: &[&str]) -> Output {
        let words: Vec<_> =
            std::iter::once("etcdtop").chain(args.iter().copied()).map(|w| self.placed(w)).collect();
        self.output(&words)
    }

    /// The first line that it prints; then it is ended by Ctrl-C.
    pub fn first_line(&self, words: &[String]) -> String {
        let output = self.interrupt(words);
        output.out.lines().next().unwrap_or_else(|| panic!("{}", output.all())).to_owned()
    }

    /// Ends it by Ctrl-C once it has printed a line.
    fn interrupt(&self, words: &[String]) -> Output {
        let mut child = self.command(words).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut out = String::new();
        lines.read_line(&mut out).unwrap();
        send(child.id().cast_signed(), Signal::INT);
        lines.read_to_string(&mut out).unwrap();
        let mut output = ended(child.wait_with_output().unwrap());
        output.out = out;
        output
    }

    fn on_a_terminal(&self, words: &[String], text: &str) -> String {
        let env: Vec<_> =
            self.env.iter().chain(&self.exported).map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let args: Vec<_> = words[1..].iter().map(String::as_str).collect();
        let mut pty = Pty::with_env(120, 40, &args, &env);
        let screen = pty.wait(text);
        pty.keys("q");
        assert!(pty.exit().success(), "{words:?}:\n{}", pty.screen());
        screen
    }
}

fn ended(output: std::process::Output) -> Output {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    // As a shell tells it.
    let code = output.status.code().or(output.status.signal().map(|s| 128 + s)).unwrap();
    Output { code, out: text(output.stdout), err: text(output.stderr) }
}
