//! The folder of snapshots: from the command line and on the dashboard, with snapshots of a real cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use etcdtop::snapshot::Side;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cli::{Output, json as stdout_json, run_with};
use crate::operating::Desk;
use crate::support::cluster::program;
use crate::support::operate::fill;
use crate::support::process::{alive, children, send};
use crate::support::proxy::Fault;
use crate::support::wait_for;

/// etcdtop without a terminal, at home on the desk.
fn run(desk: &Desk, args: &[&str]) -> Output {
    let env = desk.env();
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    run_with(args, &env)
}

/// Saves one more; the file.
fn save(desk: &Desk, how: &str) -> PathBuf {
    let output = run(desk, &["snapshot", "save", "--endpoints", &desk.endpoints, "--verify", how]);
    assert_eq!(output.code, 0, "{}", output.all());
    PathBuf::from(output.out.trim())
}

fn rows(output: &Output) -> Vec<Value> {
    stdout_json(output).as_array().unwrap().clone()
}

/// Makes a snapshot as old as that many hours.
fn age(file: &Path, hours: u64) {
    let side = Side::path_of(file);
    let mut text: Value = serde_json::from_slice(&std::fs::read(&side).unwrap()).unwrap();
    let then = jiff::Timestamp::now().checked_sub(Duration::from_secs(hours * 3_600)).unwrap();
    text["taken_at"] = json!(then);
    std::fs::write(side, serde_json::to_vec(&text).unwrap()).unwrap();
}

#[test]
fn a_folder_is_listed_pruned_and_restored_from() {
    let desk = Desk::with("3.6");
    desk.cluster.etcdctl(&["put", "/a", "b"]);
    let old = save(&desk, "full");
    desk.cluster.etcdctl(&["put", "/a", "c"]);
    let middle = save(&desk, "fast");
    desk.cluster.etcdctl(&["put", "/a", "d"]);
    let drilled = save(&desk, "drill");
    age(&old, 50);
    age(&middle, 26);
    // The name tells the revision that the file holds; the side file how it was verified, and what it holds where all of
    // it was read.
    let listed = rows(&run(&desk, &["snapshot", "list", "-o", "json"]));
    assert_eq!(listed.len(), 3, "{listed:?}");
    for (row, (file, how, keys)) in listed.iter().zip([
        (&drilled, "drill", json!(1)),
        (&middle, "fast", Value::Null),
        (&old, "full", json!(1)),
    ]) {
        assert_eq!(
            (&row["file"], &row["verified"], &row["keys"]),
            (&json!(file), &json!(how), &keys),
            "{row}"
        );
        let name = format!("-rev{}.db", row["revision"]);
        assert!(file.to_string_lossy().ends_with(&name), "{row}");
        let told = stdout_json(&run(&desk, &["snapshot", "status", file.to_str().unwrap(), "-o", "json"]));
        assert_eq!(told["revision"], row["revision"]);
    }
    let table = run(&desk, &["snapshot", "list"]);
    assert!(table.out.contains("VERIFIED") && table.out.contains("drill"), "{}", table.all());
    // Nothing is removed without a word on what to keep, without a yes, or when it is only asked what would go.
    let none = run(&desk, &["snapshot", "prune"]);
    assert!(none.code != 0 && none.err.contains("--keep-last"), "{}", none.all());
    let keep = ["snapshot", "prune", "--keep-last", "1"];
    let asked = run(&desk, &keep);
    assert!(asked.code == 3 && asked.err.contains("--yes"), "{}", asked.all());
    let plan = rows(&run(&desk, &[&keep[..], &["--dry-run", "-o", "json"]].concat()));
    let fates: Vec<_> = plan.iter().map(|r| r["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["stays: newest verified, last", "goes", "goes"]);
    assert_eq!(desk.saved().len(), 6, "three files, and one beside each");
    // Read-only removes nothing.
    let refused = run(&desk, &[&keep[..], &["--yes", "--read-only"]].concat());
    assert!(refused.code == 3 && refused.err.contains("nothing is removed"), "{}", refused.all());
    // A byte of the newest is another: before anything goes it is read whole, and then nothing does.
    let whole = std::fs::read(&drilled).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&drilled, damaged).unwrap();
    let kept = run(&desk, &[&keep[..], &["--yes"]].concat());
    assert!(kept.code == 1 && kept.err.contains("the newest verified one"), "{}", kept.all());
    assert!(kept.err.contains("is damaged: trailer") && desk.saved().len() == 6, "{}", kept.all());
    // What is not what it was does not count: of the others the newest stays, and what nobody knows stays as well.
    std::fs::write(&drilled, &whole[..8_192]).unwrap();
    let foreign = desk.snapshots().join("application.db");
    std::fs::write(&foreign, "not ours").unwrap();
    std::fs::write(desk.snapshots().join("application.db.json"), "{}").unwrap();
    let pruned = run(&desk, &[&keep[..], &["--yes"]].concat());
    assert_eq!(pruned.code, 0, "{}", pruned.all());
    assert!(foreign.exists() && middle.exists() && !old.exists() && !drilled.exists(), "{:?}", desk.saved());
    assert!(!Side::path_of(&old).exists());
    // What the plan of a restore says can be done as it says, by each member.
    let plan =
        stdout_json(&run(&desk, &["snapshot", "restore-plan", middle.to_str().unwrap(), "-o", "json"]));
    let lines = plan["restore"].as_array().unwrap();
    assert_eq!(lines.len(), 3, "{plan}");
    let path = format!(
        "{}:{}",
        desk.cluster.binaries().etcdctl.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    for line in lines {
        let command = line["command"].as_str().unwrap();
        let place = tempfile::tempdir().unwrap();
        let command = command.replace("/var/lib/etcd-restored", place.path().join("new").to_str().unwrap());
        let output = Command::new("sh").args(["-c", &command]).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(place.path().join("new/member/snap/db").exists());
    }
}

#[test]
fn the_dashboard_shows_verifies_and_prunes_the_folder() {
    let desk = Desk::with("3.7");
    for key in ["/registry/pods/ns/a", "/registry/pods/ns/b", "/registry/configmaps/ns/c"] {
        desk.cluster.etcdctl(&["put", key, "value"]);
    }
    let old = save(&desk, "fast");
    desk.cluster.etcdctl(&["put", "/later", "x"]);
    let new = save(&desk, "full");
    age(&old, 100);
    std::fs::write(desk.snapshots().join("left.db.part"), "x").unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(600);
    let part = std::fs::File::options().append(true).open(desk.snapshots().join("left.db.part")).unwrap();
    part.set_modified(long_ago).unwrap();
    drop(part);
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();
    let mut p = desk.etcdtop();
    p.wait("snapshot just now, verified");
    p.keys("6");
    p.wait(&name(&new));
    p.wait("left.db.part was left");
    // What the older one holds.
    p.keys("j\r");
    p.wait_until("what it holds", |s| {
        s.contains(&name(&old)) && s.contains("pods") && s.contains("configmaps") && s.contains("in use")
    });
    p.keys("\x1b");
    p.wait("VERIFIED");
    p.keys("v");
    p.wait("full again");
    // A byte of it becomes another, as on a disk that rots: nobody wrote to it.
    let mut bytes = std::fs::read(&old).unwrap();
    let written = std::fs::metadata(&old).unwrap().modified().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&old, bytes).unwrap();
    std::fs::File::options().append(true).open(&old).unwrap().set_modified(written).unwrap();
    p.keys("v");
    p.wait("damaged: trailer");
    // Keep the last one alone: the older one and the part go.
    p.keys("P");
    p.wait("Remove old snapshots");
    p.keys("\t\x7f1\t\t\x7f0\t\x7f0\t");
    p.wait_until("the button", |s| {
        s.contains("weekly 0") && s.contains("tab moves") && s.contains("1 of 2 go")
    });
    p.keys("\r");
    p.wait("2 removed");
    p.wait_until("the older one is gone", |s| !s.contains(&name(&old)));
    let mut left = desk.saved();
    left.sort();
    assert_eq!(left, [name(&new), name(&Side::path_of(&new))]);
    p.keys("q");
    assert!(p.exit().success());
}

/// The member is gone in the middle, without a word: it ends with the reason, and leaves nothing.
#[test]
fn a_stream_whose_member_is_gone_is_given_up() {
    let desk = Desk::behind_a_proxy("3.5");
    fill(&desk.cluster, 16, 1, 512);
    desk.set(Fault::Delay(Duration::from_millis(20)));
    std::thread::scope(|scope| {
        let saving = scope.spawn(|| run(&desk, &["snapshot", "save", "--endpoints", &desk.endpoints]));
        desk.wait_for_part(1 << 20);
        desk.set(Fault::Blackhole);
        let output = saving.join().unwrap();
        assert_eq!(output.code, 1, "{}", output.all());
        assert!(output.err.contains("the connection broke"), "{}", output.all());
    });
    assert!(desk.saved().is_empty(), "{:?}", desk.saved());
}

/// Stopped while it is looked at: nothing is left, or it has its name, and what is said is what is so.
#[test]
fn a_save_that_is_stopped_at_its_end_is_one_or_the_other() {
    let desk = Desk::with("3.6");
    fill(&desk.cluster, 48, 1, 512);
    let env = desk.env();
    for _ in 0..4 {
        let mut save = Command::new(program())
            .args(["snapshot", "save", "--endpoints", &desk.endpoints])
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Whole, and not yet named.
        let ends_whole = |f: &std::fs::DirEntry| {
            f.path().extension().is_some_and(|e| e == "part")
                && f.metadata().is_ok_and(|m| m.len() % 512 == 32)
        };
        while save.try_wait().unwrap().is_none() {
            if std::fs::read_dir(desk.snapshots()).into_iter().flatten().flatten().any(|f| ends_whole(&f)) {
                break;
            }
        }
        send(i32::try_from(save.id()).unwrap(), Signal::INT);
        let code = save.wait().unwrap().code();
        let left = desk.saved();
        match code {
            Some(130) => assert_eq!(left, Vec::<String>::new()),
            Some(0) => assert_eq!(left.len(), 2, "{left:?}"),
            other => panic!("{other:?}: {left:?}"),
        }
        for file in left {
            std::fs::remove_file(desk.snapshots().join(file)).unwrap();
        }
    }
}

/// The scratch folders of labs and drills of a process.
fn scratch(below: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(below).unwrap().flatten().map(|e| e.path()).collect()
}

/// However a drill ends, in the middle of the restore or with its etcd up: no process stays, and no folder for longer than
/// to the next drill.
#[test]
fn a_drill_leaves_nothing() {
    let desk = Desk::with("3.6");
    fill(&desk.cluster, 120, 1, 512);
    let file = save(&desk, "fast");
    let place = tempfile::tempdir().unwrap();
    let start = || {
        Command::new(program())
            .args(["snapshot", "drill", file.to_str().unwrap()])
            .env("TMPDIR", place.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let runs = |pid: i32, name: &'static str| {
        let of = |child: &i32| std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        wait_for(name, || children(pid).into_iter().find(|c| of(c).trim() == name))
    };
    for (name, signal) in
        [("etcdutl", Signal::KILL), ("etcdutl", Signal::INT), ("etcd", Signal::KILL), ("etcd", Signal::TERM)]
    {
        let mut drill = start();
        let pid = i32::try_from(drill.id()).unwrap();
        let child = runs(pid, name);
        send(pid, signal);
        let ended = drill.wait().unwrap();
        assert!(!ended.success(), "{name} {signal:?}");
        wait_for("the end of the child", || (!alive(child)).then_some(()));
        let left = scratch(place.path());
        // Who was killed in the middle cannot clean up: the next one does.
        assert!(left.len() <= usize::from(signal == Signal::KILL), "{name} {signal:?}: {left:?}");
    }
    assert!(start().wait().unwrap().success());
    assert_eq!(scratch(place.path()), Vec::<PathBuf>::new());
}
