//! Scenarios of the lab: every answer on real clusters, in the dashboard, without root, and what is left behind.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use etcdtop::lab::Binaries;
use rustix::process::Signal;

use crate::support::process::{alive, members, send};
use crate::support::pty::Pty;
use crate::support::{clean_environment, wait_for};

/// How many scenarios run at the same time: most of their time they wait.
const JOBS: &str = "3";

fn lab(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcdtop"));
    command.arg("lab").args(args).stdin(Stdio::null());
    for (name, value) in clean_environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Every scenario is solved by its right answer, without a mistake, and not by its wrong one.
fn every_answer(version: &str) {
    let output = lab(&["--check", "--etcd-version", version, "--jobs", JOBS, "-o", "json"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = told.as_array().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    for scenario in etcdtop::lab::scenario::TABLE {
        for answer in ["right", "wrong"] {
            let played =
                all.iter().find(|c| c["scenario"] == scenario.name && c["answer"] == answer).unwrap();
            assert_eq!(played["ok"], true, "{version}: {played}\n{errors}");
            assert!(played["etcd"].as_str().unwrap().starts_with(version), "{played}");
        }
    }
    assert_eq!(all.iter().filter(|c| c["scenario"] == "mystery").count(), 2);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn every_answer_on_3_5() {
    every_answer("3.5");
}

#[test]
fn every_answer_on_3_7() {
    every_answer("3.7");
}

/// A lab that was begun, with what it holds: processes, ports, folders.
struct Begun {
    lab: Child,
    members: Vec<i32>,
    ports: Vec<String>,
    folders: Vec<PathBuf>,
}

impl Begun {
    fn check(scenario: &str) -> Self {
        let lab = lab(&[scenario, "--check", "--jobs", "2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(lab.id()).unwrap();
        // Both answers are being played, each on a cluster of its own.
        let members = wait_for("two clusters", || Some(members(pid)).filter(|m| m.len() == 6));
        let ports = members.iter().flat_map(|m| ports(*m)).collect();
        let folders = folders(pid);
        assert!(folders.len() >= 2, "{folders:?}");
        Self { lab, members, ports, folders }
    }

    fn nothing_is_left(mut self) {
        self.lab.wait().unwrap();
        wait_for("the members' end", || self.members.iter().all(|m| !alive(*m)).then_some(()));
        wait_for("the folders' end", || self.folders.iter().all(|f| !f.exists()).then_some(()));
        wait_for("the end of all that belongs to them", || of_lab(&self.folders).is_empty().then_some(()));
        for port in &self.ports {
            assert!(TcpStream::connect(port).is_err(), "{port} is still served");
        }
    }
}

/// Where a member listens for clients and peers.
fn ports(pid: i32) -> Vec<String> {
    let args = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    args.split('\0')
        .filter(|a| a.starts_with("--listen-"))
        .filter_map(|a| a.split_once("://").map(|(_, address)| address.to_owned()))
        .collect()
}

/// Processes that name one of these folders: members, and those that look after them.
fn of_lab(folders: &[PathBuf]) -> Vec<String> {
    let named = |args: &String| folders.iter().any(|f| args.contains(&f.display().to_string()));
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|p| std::fs::read_to_string(p.path().join("cmdline")).ok()).filter(named).collect()
}

/// The scratch folders of a process.
fn folders(pid: i32) -> Vec<PathBuf> {
    let owned = |path: &PathBuf| {
        std::fs::read_to_string(path.join("owner")).is_ok_and(|o| o.starts_with(&format!("{pid} ")))
    };
    std::fs::read_dir(std::env::temp_dir()).unwrap().flatten().map(|e| e.path()).filter(owned).collect()
}

#[test]
fn a_scenario_that_is_killed_leaves_nothing() {
    // With certificates: those lie in a folder of their own.
    let mut begun = Begun::check("certificate");
    begun.lab.kill().unwrap();
    begun.nothing_is_left();
}

/// Killed in the dashboard while the symptom is being brought about: 48 MiB are written then.
#[test]
fn a_scenario_that_is_killed_while_it_is_prepared_leaves_nothing() {
    let mut p = Pty::etcdtop(120, 40, &["lab", "fragmentation"]);
    p.wait("preparing");
    let pid = p.pid();
    let (members, folders) = (members(pid), folders(pid));
    assert_eq!((members.len(), folders.len()), (3, 1));
    send(pid, Signal::KILL);
    p.exit();
    wait_for("the members' end", || members.iter().all(|m| !alive(*m)).then_some(()));
    wait_for("the folder's end", || (!folders[0].exists()).then_some(()));
    wait_for("the end of all that belongs to it", || of_lab(&folders).is_empty().then_some(()));
}

#[test]
fn a_scenario_that_is_told_to_end_leaves_nothing() {
    let begun = Begun::check("partition");
    send(i32::try_from(begun.lab.id()).unwrap(), Signal::TERM);
    begun.nothing_is_left();
}

/// In the dashboard, as somebody would do it: hint, act, solved, debrief; and what it took is free afterwards.
#[test]
fn a_scenario_in_the_dashboard() {
    let mut p = Pty::etcdtop(120, 40, &["lab", "leader-crash", "--seed", "0"]);
    p.wait("Coach: The leader is gone");
    // The learner's turn. Seed 0: m1 plays the leader that crashes.
    p.wait("hint (3)");
    p.wait_words("still missing: m1 is refused");
    let pid = p.pid();
    assert_eq!(members(pid).len(), 2);
    p.keys("i");
    p.wait_words("nothing listens");
    p.keys("A");
    p.wait("Act on the lab");
    p.wait("start m1");
    p.keys("\r");
    p.wait("m1 was started");
    p.wait("SOLVED");
    p.keys("C");
    p.wait_words("Followers hear from the leader every 100 ms");
    let (members, folders) = (members(pid), folders(pid));
    assert_eq!((members.len(), folders.len()), (3, 1));
    p.keys("\x1b");
    p.wait_until("the overlay is closed", |s| !s.contains("Followers hear"));
    p.keys("q");
    assert!(p.exit().success());
    let screen = p.screen();
    assert!(screen.contains("leader-crash: solved in") && screen.contains("90 points of 100"), "{screen}");
    assert!(members.iter().all(|m| !alive(*m)) && folders.iter().all(|f| !f.exists()));
    assert!(of_lab(&folders).is_empty(), "{:?}", of_lab(&folders));
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// As a user that may do nothing special.
#[test]
fn a_scenario_needs_no_root() {
    /// `nobody` on every Linux.
    const NOBODY: u32 = 65_534;
    let home = tempfile::tempdir().unwrap();
    let place = |name: &str| home.path().join(name);
    let found = Binaries::find(Some("3.5")).unwrap();
    let etcds = place("cache/etcd/3.5");
    std::fs::create_dir_all(&etcds).unwrap();
    std::fs::create_dir(place("tmp")).unwrap();
    for folder in [home.path(), &place("tmp")] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    copy(Path::new(env!("CARGO_BIN_EXE_etcdtop")), &place("etcdtop"));
    let etcdutl = found.etcdutl.unwrap();
    for (from, name) in [(&found.etcd, "etcd"), (&found.etcdctl, "etcdctl"), (&etcdutl, "etcdutl")] {
        copy(from, &etcds.join(name));
    }
    // Proxies, certificates, and every disk lost and restored.
    for scenario in ["partition", "certificate", "restore"] {
        let mut command = Command::new(place("etcdtop"));
        command.args(["lab", scenario, "--check", "--etcd-version", "3.5", "-o", "table"]);
        command.env_clear().env("HOME", home.path());
        command.env("TMPDIR", place("tmp")).env("ETCDTOP_CACHE", place("cache"));
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.current_dir(home.path()).output().unwrap();
        assert!(output.status.success(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let left: Vec<_> = std::fs::read_dir(place("tmp")).unwrap().flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The last entry of the menu: another cluster, the parts drawn anew, and nothing of the first one left.
#[test]
fn a_scenario_begins_anew() {
    let mut p = Pty::etcdtop(120, 40, &["lab", "tour"]);
    p.wait("hint (2)");
    let (first, before) = (members(p.pid()), folders(p.pid()));
    p.keys("A");
    p.wait("begin the scenario anew");
    // From the first entry up to the last one.
    p.keys("G\r");
    wait_for("the end of the first cluster", || (!before[0].exists()).then_some(()));
    p.wait("hint (2)");
    let again = members(p.pid());
    assert!(again.len() == 3 && first.iter().all(|m| !alive(*m)), "{first:?} {again:?}");
    p.keys("q");
    assert!(p.exit().success());
    assert!(p.screen().contains("tour: left before it was solved"), "{}", p.screen());
}

#[test]
fn flags_that_do_not_fit_together_are_refused() {
    for args in [
        &["nospace", "--follow"][..],
        &["--check", "--follow"],
        &["--check", "--members", "5"],
        &["nospace", "--quota", "1GiB"],
        &["--list", "--check"],
    ] {
        let output = lab(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn wrong_names_are_told_what_was_meant() {
    for args in [&["nospce"][..], &["nospce", "--check"]] {
        let output = lab(args).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("did you mean nospace?") && told.contains("--list"), "{told}");
    }
    let listed = lab(&["--list"]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout);
    for scenario in etcdtop::lab::scenario::TABLE {
        assert!(listed.contains(scenario.name) && listed.contains(scenario.teaches), "{listed}");
    }
}
