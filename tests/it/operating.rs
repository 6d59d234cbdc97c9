//! Operations from the dashboard, in a pseudo terminal: confirmed on purpose alone, and never half-done and unknown whatever
//! becomes of the terminal, of etcdtop or of the disk.

use std::path::PathBuf;
use std::time::Duration;

use etcdtop::lab::Spec;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::cluster::TestCluster;
use crate::support::operate::fill;
use crate::support::process::{alive, children, send};
use crate::support::proxy::{Fault, Proxy};
use crate::support::pty::Pty;
use crate::support::wait_for;

/// A place for the journal and for snapshots, and a cluster to work on.
pub struct Desk {
    home: TempDir,
    pub cluster: TestCluster,
    pub endpoints: String,
    proxy: Option<Proxy>,
    // Last: what runs on it is dropped before.
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    fn of(spec: Spec) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let cluster = runtime.block_on(TestCluster::start(spec));
        let endpoints = cluster.endpoints_text();
        Self { home: tempfile::tempdir().unwrap(), cluster, endpoints, proxy: None, runtime }
    }

    /// Three members of a version.
    pub fn with(version: &str) -> Self {
        Self::of(Spec { version: Some(version.into()), ..Spec::default() })
    }

    /// One member, behind a proxy.
    pub fn behind_a_proxy(version: &str) -> Self {
        let mut this = Self::of(Spec { members: 1, version: Some(version.into()), ..Spec::default() });
        let to = this.cluster.members()[0].client.raw().trim_start_matches("http://").to_owned();
        let proxy = this.runtime.block_on(Proxy::to(to));
        this.endpoints.clone_from(&proxy.address);
        this.proxy = Some(proxy);
        this
    }

    pub fn set(&self, fault: Fault) {
        self.proxy.as_ref().unwrap().set(fault);
    }

    pub fn env(&self) -> [(&'static str, String); 2] {
        let home = self.home.path().display().to_string();
        [("XDG_STATE_HOME", home.clone()), ("XDG_DATA_HOME", home)]
    }

    pub fn etcdtop(&self) -> Pty {
        let env = self.env();
        let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
        Pty::with_env(120, 40, &["--endpoints", &self.endpoints], &env)
    }

    /// etcdtop with a small file system of its own on a folder, in a namespace of its own; `meanwhile` is done there first.
    fn etcdtop_on_a_small_disk(&self, folder: &std::path::Path, size: &str, meanwhile: &str) -> Pty {
        std::fs::create_dir_all(folder).unwrap();
        let script = format!(
            "cd {0} && mount -t tmpfs -o size={size} none {0} && cd {0} && {{ {meanwhile}; }} && exec {1} --endpoints {2}",
            folder.display(),
            crate::support::cluster::program().display(),
            self.endpoints
        );
        let env = self.env();
        let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
        Pty::program(120, 40, "unshare", &["-Urm", "sh", "-c", &script], &env)
    }

    /// What must be typed to confirm.
    fn name(&self) -> String {
        let mut all = self.endpoints.split(',');
        let first = all.next().unwrap().to_owned();
        let more = all.count();
        if more == 0 { first } else { format!("{first} +{more}") }
    }

    /// Opens a rolling defragmentation and types the name: a tab and Enter start it.
    fn open_roll(&self, p: &mut Pty) {
        p.wait_until("three members", |s| s.contains("3/3 members serve"));
        p.keys("D");
        p.wait("[ Run it ]");
        self.type_name(p);
    }

    fn type_name(&self, p: &mut Pty) {
        let name = self.name();
        p.keys(&format!("\x1b[Z\x1b[Z{name}"));
        p.wait_until("the name", |s| {
            !s.contains(&format!("type {name} first")) && !s.contains(&format!("that is not {name}"))
        });
    }

    /// The journal of the one cluster.
    fn journal(&self) -> String {
        let folder = std::fs::read_dir(self.home.path().join("etcdtop")).into_iter().flatten().flatten();
        let mut journals = folder.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "jsonl"));
        journals.next().map_or_else(String::new, |j| std::fs::read_to_string(j).unwrap())
    }

    pub fn snapshots(&self) -> PathBuf {
        self.home.path().join("etcdtop/snapshots")
    }

    pub fn saved(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.snapshots()).into_iter().flatten().flatten();
        folder.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    fn has_part(&self) -> bool {
        self.saved().iter().any(|f| std::path::Path::new(f).extension().is_some_and(|e| e == "part"))
    }

    /// Waits until a part of a snapshot has this many bytes.
    pub fn wait_for_part(&self, bytes: u64) {
        wait_for("a part", || {
            let mut parts = std::fs::read_dir(self.snapshots()).ok()?.flatten();
            parts
                .any(|f| {
                    f.path().extension().is_some_and(|e| e == "part")
                        && f.metadata().is_ok_and(|m| m.len() >= bytes)
                })
                .then_some(())
        });
    }

    /// Waits until a member writes the file that replaces the old one.
    fn wait_for_rewrite(&self) {
        wait_for("a rewrite", || {
            let rewrites = |name: &str| {
                let folder = self.cluster.folder().join(name).join("member/snap");
                let mut files = std::fs::read_dir(folder).into_iter().flatten().flatten();
                files.any(|f| f.file_name().to_string_lossy().starts_with("db.tmp"))
            };
            ["m1", "m2", "m3"].iter().any(|m| rewrites(m)).then_some(())
        });
    }
}

/// A plan is confirmed by nobody's accident: not by a paste, not by the key that opened it, not by Enter where it opens.
#[test]
fn a_plan_is_confirmed_on_purpose_alone() {
    let state = tempfile::tempdir().unwrap();
    let home = state.path().display().to_string();
    // The journal of a lab lies in its scratch folder.
    let env = [("TMPDIR", home.as_str())];
    let mut p = Pty::with_env(120, 40, &["lab", "--load", "light"], &env);
    p.wait("HEALTHY");
    p.wait_until("three members", |s| s.contains("3/3 members serve"));
    p.keys("D");
    let shown = p.wait("Rolling defragmentation");
    assert!(
        shown.contains("3 of 3 voters serve") && shown.contains("etcdctl defrag --endpoints="),
        "{shown}"
    );
    // A paste is text; the opening key again is nothing; Enter presses Cancel.
    p.keys("\x1b[200~yes\n\x1b[201~");
    p.keys("D");
    p.keys("\r");
    p.wait_until("no dialog", |s| !s.contains("Rolling defragmentation"));
    // Run without the name that a warning asks for.
    p.keys("D");
    p.wait("type lab first");
    p.keys("\x1b[Z\r");
    p.wait_until("a refusal", |s| s.lines().last().is_some_and(|l| l.contains("type lab first")));
    // A paste that the terminal does not mark is as fast as one.
    p.keys("\x1b[Zlab\t\r\r\r");
    p.wait_until("another refusal", |s| s.lines().last().is_some_and(|l| l.contains("as fast as a paste")));
    assert!(p.screen().contains("[ Run it ]"), "{}", p.screen());
    // With the name it runs.
    p.keys("\r");
    p.wait("Rolling defragmentation of lab, step");
    let shown = p.wait_until("the end", |s| s.contains("Rolling defragmentation of lab: done"));
    for member in ["m1", "m2", "m3"] {
        assert!(shown.contains(&format!("defragment {member}: done")), "{shown}");
    }
    let lab = std::fs::read_dir(state.path()).unwrap().flatten().map(|e| e.path());
    let lab = lab.filter(|p| p.join("owner").exists()).collect::<Vec<_>>();
    let journal = std::fs::read_dir(lab[0].join("state")).unwrap().flatten().map(|e| e.path());
    let journal = journal.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect::<Vec<_>>();
    assert_eq!(
        std::fs::read_to_string(&journal[0]).unwrap().lines().count(),
        11,
        "confirmed, three times begun, answered and ended, ended"
    );
    p.keys("q");
    assert!(p.exit().success() && p.is_restored());
}

#[test]
fn read_only_refuses_every_change_and_says_who_said_so() {
    let mut p = Pty::etcdtop(120, 40, &["lab", "--load", "none", "--members", "1", "--read-only"]);
    let shown = p.wait("HEALTHY");
    assert!(shown.contains("VIEW ONLY"), "{shown}");
    for key in ["c", "d", "D", "a", "L", "R"] {
        p.keys(key);
        p.wait("read-only: nothing may be changed");
        // Another message in its place, so that the next one is seen to be new.
        p.keys("m");
        p.wait("mouse o");
    }
    // A snapshot changes nothing.
    p.keys("s");
    p.wait("Snapshot of lab");
    p.keys("\x1b");
    p.wait_until("no dialog", |s| !s.contains("Snapshot of lab"));
    p.keys("q");
    assert!(p.exit().success());
}

/// The connection breaks while an operation runs: etcdtop brings the step to its end, writes it down, and leaves.
#[test]
fn a_terminal_that_is_gone_ends_an_operation_in_order() {
    let desk = Desk::with("3.6");
    let env = desk.env();
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut p = Pty::behind_script(120, 40, &["--endpoints", &desk.endpoints], &env);
    desk.open_roll(&mut p);
    // With a member that is stopped it waits before the first step: it is under way for sure when the terminal goes.
    desk.cluster.stop(2).unwrap();
    p.keys("\t\r");
    p.wait("waits: ");
    let etcdtop = children(p.pid())[0];
    send(p.pid(), Signal::KILL);
    wait_for("the end of etcdtop", || (!alive(etcdtop)).then_some(()));
    desk.cluster.cont(2).unwrap();
    let text = desk.journal();
    assert_eq!(text.matches("\"step_ended\"").count(), text.matches("\"step_begins\"").count(), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains("\"ended\"") && last.contains("cancelled"), "{text}");
}

/// Told to end in the middle of a rewrite: that step is brought to its end and written down, the rest is not begun.
#[test]
fn a_signal_in_the_middle_of_a_step_ends_after_it() {
    let desk = Desk::with("3.6");
    fill(&desk.cluster, 192, 1, 512);
    for signal in [Signal::TERM, Signal::HUP] {
        let mut p = desk.etcdtop();
        desk.open_roll(&mut p);
        p.keys("\t\r");
        desk.wait_for_rewrite();
        send(p.pid(), signal);
        p.exit();
        let text = desk.journal();
        let begun = text.matches("\"step_begins\"").count();
        assert_eq!(text.matches("\"step_ended\"").count(), begun, "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[lines.len() - 1].contains("cancelled"), "{text}");
        assert!(lines[lines.len() - 2].contains("\"end\":\"done\""), "{text}");
    }
}

/// Killed while it waits before a step: nothing was sent, and the next start says what was interrupted.
#[test]
fn a_killed_operation_is_told_at_the_next_start_and_holds_no_lock() {
    let desk = Desk::with("3.7");
    let mut p = desk.etcdtop();
    desk.open_roll(&mut p);
    desk.cluster.stop(2).unwrap();
    p.keys("\t\r");
    p.wait("waits: ");
    send(p.pid(), Signal::KILL);
    p.exit();
    desk.cluster.cont(2).unwrap();
    let mut next = desk.etcdtop();
    next.wait("after step 0 of 3");
    desk.open_roll(&mut next);
    next.keys("\t\r");
    next.wait_until("the end", |s| s.contains("Rolling defragmentation of") && s.contains("+2: done"));
    next.wait_until("no word of it", |s| !s.contains("was interrupted"));
    next.keys("q");
    assert!(next.exit().success());
}

/// Killed while a member rewrites its file: the call goes on in etcd, and the next start goes on with what is left.
#[test]
fn what_was_killed_in_the_middle_of_a_step_goes_on() {
    let desk = Desk::with("3.7");
    fill(&desk.cluster, 192, 1, 512);
    let mut p = desk.etcdtop();
    desk.open_roll(&mut p);
    p.keys("\t\r");
    desk.wait_for_rewrite();
    send(p.pid(), Signal::KILL);
    p.exit();
    let mut next = desk.etcdtop();
    let shown = next.wait_words("was interrupted in step");
    assert!(shown.contains("go on with what is left"), "{shown}");
    next.wait_until("three members", |s| s.contains("3/3 members serve"));
    next.keys("o");
    next.wait("[ Run it ]");
    desk.type_name(&mut next);
    next.keys("\t\r");
    next.wait_until("the end", |s| s.contains("+2: done"));
    next.wait_until("no word of it", |s| !s.contains("was interrupted"));
    assert!(desk.journal().contains("\"continues\":\"2"), "{}", desk.journal());
    next.keys("q");
    assert!(next.exit().success());
}

/// A snapshot whose etcdtop was stopped for a while comes in whole; one that was killed leaves a part, which the next start
/// removes, and goes on.
#[test]
fn a_snapshot_outlives_a_stop_and_a_kill_leaves_nothing_for_long() {
    let desk = Desk::behind_a_proxy("3.6");
    fill(&desk.cluster, 16, 1, 512);
    let mut p = desk.etcdtop();
    p.wait("1/1 members serve");
    desk.set(Fault::Delay(Duration::from_millis(20)));
    let start = |p: &mut Pty, key: &str| {
        p.keys(key);
        p.wait("[ Run it ]");
        p.keys("\x1b[Z\r");
        desk.wait_for_part(1 << 20);
    };
    start(&mut p, "s");
    send(p.pid(), Signal::STOP);
    std::thread::sleep(Duration::from_secs(3));
    send(p.pid(), Signal::CONT);
    p.wait_until("the end", |s| s.lines().last().is_some_and(|l| l.contains(": done")));
    assert_eq!(desk.saved().len(), 2, "{:?}", desk.saved());
    start(&mut p, "s");
    send(p.pid(), Signal::KILL);
    p.exit();
    assert!(desk.has_part(), "{:?}", desk.saved());
    let mut next = desk.etcdtop();
    next.wait_words("was interrupted in step 1 of 1, save a snapshot");
    wait_for("no part", || (!desk.has_part()).then_some(()));
    desk.set(Fault::Pass);
    next.keys("o");
    next.wait("[ Run it ]");
    next.keys("\x1b[Z\r");
    next.wait_until("the end", |s| s.lines().last().is_some_and(|l| l.contains(": done")));
    assert_eq!(desk.saved().len(), 4, "{:?}", desk.saved());
    next.keys("q");
    assert!(next.exit().success());
}

/// The disk fills up while a snapshot comes in: it fails with the reason, and nothing of it is left.
#[test]
fn a_full_disk_fails_the_snapshot_and_keeps_nothing_of_it() {
    let desk = Desk::behind_a_proxy("3.6");
    fill(&desk.cluster, 16, 1, 512);
    // Somebody else fills the disk as soon as the part is there.
    let fill_up =
        "(until ls *.part; do sleep 0.02; done; head -c 200m /dev/zero > junk) >/dev/null 2>&1 & true";
    let mut p = desk.etcdtop_on_a_small_disk(&desk.snapshots(), "96m", fill_up);
    p.wait("1/1 members serve");
    desk.set(Fault::Delay(Duration::from_millis(20)));
    p.keys("s");
    p.wait("Snapshot of");
    p.keys("\x1b[Z\r");
    p.wait_words("cannot write No space left on device");
    let seen_from_inside = PathBuf::from(format!("/proc/{}/root{}", p.pid(), desk.snapshots().display()));
    let left: Vec<_> =
        std::fs::read_dir(seen_from_inside).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["junk"], "nothing of ours");
    assert!(desk.journal().lines().last().unwrap().contains("failed"), "{}", desk.journal());
    desk.set(Fault::Pass);
    p.keys("q");
    assert!(p.exit().success());
}

/// The disk of the journal is full: nothing is done that it does not announce.
#[test]
fn a_full_disk_of_the_journal_lets_nothing_begin() {
    let desk = Desk::with("3.6");
    let journals = desk.home.path().join("etcdtop");
    let mut p =
        desk.etcdtop_on_a_small_disk(&journals, "64k", "head -c 1m /dev/zero > junk 2>/dev/null; true");
    desk.open_roll(&mut p);
    p.keys("\t\r");
    p.wait_words("journal cannot be written: No space left on device");
    p.keys("q");
    assert!(p.exit().success());
    let rewritten = ["m1", "m2", "m3"].iter().any(|m| {
        let log = std::fs::read_to_string(desk.cluster.folder().join(format!("{m}.log"))).unwrap();
        log.contains("defragment")
    });
    assert!(!rewritten, "nothing was sent");
}
