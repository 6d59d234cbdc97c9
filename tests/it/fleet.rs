//! Every context at once: without a screen, and as the fleet on the dashboard, on real clusters.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use etcd_client::proto::{PbMember, PbMemberListResponse, PbStatusResponse};
use etcdtop::lab::Spec;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::cli::{Output, json, run, run_with};
use crate::support::clean_environment;
use crate::support::cluster::{TestCluster, program};
use crate::support::fake::{Fake, Script, header};
use crate::support::process::send;
use crate::support::pty::Pty;
use crate::support::wait_for;

/// Two clusters at a time take all the places that there are: of two tests that wait for their second one, none would get it.
static TWO: Mutex<()> = Mutex::const_new(());

/// Two real clusters, and contexts for them and for what is not there.
struct Fleet {
    big: TestCluster,
    small: TestCluster,
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Fleet {
    /// `big` of three members, `small` of one, and `gone`, where nothing listens.
    async fn start(more: &str) -> Self {
        let turn = TWO.lock().await;
        let spec = |members| Spec { members, version: Some("3.6".into()), ..Spec::default() };
        let (big, small) = (TestCluster::start(spec(3)).await, TestCluster::start(spec(1)).await);
        let dir = tempfile::tempdir().unwrap();
        let list = |c: &TestCluster| c.endpoints_text().replace(',', "\", \"");
        let config = format!(
            "[contexts.big]\nendpoints = [\"{}\"]\n[contexts.small]\nendpoints = [\"{}\"]\n\
             [contexts.gone]\nendpoints = [\"127.0.0.1:1\"]\n{more}",
            list(&big),
            list(&small)
        );
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        Self { big, small, dir, _turn: turn }
    }

    fn config(&self) -> String {
        self.dir.path().join("config.toml").display().to_string()
    }

    fn run(&self, args: &[&str]) -> Output {
        let home = self.dir.path().display().to_string();
        let env =
            [("XDG_STATE_HOME", home.as_str()), ("XDG_DATA_HOME", &home), ("ETCDTOP_CONFIG", &self.config())];
        run_with(args, &env)
    }
}

/// The contexts of a document in its order, each with its exit.
fn exits(document: &Value) -> Vec<(String, u64)> {
    let contexts = document["contexts"].as_array().unwrap();
    contexts
        .iter()
        .map(|c| (c["context"].as_str().unwrap().to_owned(), c["exit"].as_u64().unwrap()))
        .collect()
}

const BAD: &str = "[contexts.bad]\nendpoints = [\"127.0.0.1:2\"]\ncacert = \"/no/such.crt\"\n\
    [contexts.nobody]\nendpoints = [\"127.0.0.1:2\"]\nuser = \"root\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_context_is_asked_and_the_worst_comes_first() {
    let fleet = Fleet::start(BAD).await;
    let of = |names: [(&str, u64); 5]| names.map(|(n, e)| (n.to_owned(), e)).to_vec();

    let status = fleet.run(&["status", "--all-contexts", "-o", "json"]);
    assert_eq!(status.code, 4, "{}", status.all());
    let told = json(&status);
    let wanted = of([("gone", 4), ("bad", 2), ("nobody", 2), ("big", 0), ("small", 0)]);
    assert_eq!(exits(&told), wanted, "{told}");
    // The same document as for one alone.
    let alone = json(&fleet.run(&["status", "--context", "big", "-o", "json"]));
    assert_eq!(told["contexts"][3]["status"]["cluster_id"], alone["cluster_id"]);
    let fields = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&told["contexts"][3]["status"]), fields(&alone));
    let error = |i: usize| told["contexts"][i]["error"].as_str().unwrap().to_owned();
    assert!(error(1).contains("/no/such.crt") && error(2).contains("password_file"), "{told}");
    assert_eq!(told["contexts"][1]["status"], Value::Null);

    let table = fleet.run(&["--all-contexts", "status"]);
    let at = |word: &str| table.out.find(word).unwrap_or_else(|| panic!("{word}: {}", table.all()));
    assert!(at("UNREACHABLE") < at("NOT ASKED") && at("NOT ASKED") < at("HEALTHY"), "{}", table.all());
    assert!(table.out.ends_with("5 clusters: 1 unreachable, 2 not asked, 2 healthy\n"), "{}", table.all());

    // One of three members gone is a warning of reads, and gone clusters stay critical.
    fleet.big.stop(fleet.big.follower()).unwrap();
    let wanted = of([("gone", 2), ("big", 1), ("bad", 3), ("nobody", 3), ("small", 0)]);
    let told = json(&fleet.run(&["health", "--all-contexts", "-o", "json"]));
    assert_eq!(exits(&told), wanted, "{told}");
    let diagnosis = fleet.run(&["diagnose", "--all-contexts", "--for", "0s", "-o", "jsonl"]);
    assert_eq!(diagnosis.code, 2, "{}", diagnosis.all());
    let lines: Vec<Value> = diagnosis.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 5, "{}", diagnosis.all());
    let big = lines.iter().find(|l| l["context"] == "big").unwrap();
    assert_eq!((&big["exit"], &big["diagnosis"]["verdict"]), (&2.into(), &"degraded".into()), "{big}");
    // As they come: who waits for a member that hangs is not waited for.
    let place = |name: &str| lines.iter().position(|l| l["context"] == name);
    assert!(place("small") < place("big"), "{}", diagnosis.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_each_cluster_is_saved_whatever_becomes_of_the_others() {
    let fleet = Fleet::start(BAD).await;
    let folder = fleet.dir.path().join("backups");
    let place = format!("{}/", folder.display());
    let saved = fleet.run(&["snapshot", "save", "--all-contexts", "-o", "json", &place]);
    assert_eq!(saved.code, 4, "{}", saved.all());
    let told = json(&saved);
    let names =
        |e: u64| exits(&told).into_iter().filter(|(_, x)| *x == e).map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(
        (names(0), names(4), names(2)),
        (vec!["big".into(), "small".into()], vec!["gone".into()], vec!["bad".into(), "nobody".into()])
    );
    for one in told["contexts"].as_array().unwrap().iter().filter(|c| c["exit"] == 0) {
        let path = PathBuf::from(one["path"].as_str().unwrap());
        assert_eq!((path.parent().unwrap(), path.is_file()), (folder.as_path(), true), "{one}");
        assert_eq!(one["snapshot"]["verified"], "full", "{one}");
        let verified = fleet.run(&["snapshot", "verify", one["path"].as_str().unwrap()]);
        assert_eq!(verified.code, 0, "{}", verified.all());
    }
    // Who says what.
    for line in ["big: ", "small: ", "gone: etcdtop: no member answers"] {
        assert!(saved.err.lines().any(|l| l.starts_with(line)), "{line}: {}", saved.err);
    }
    let other = fleet.dir.path().join("others").display().to_string();
    let table = fleet.run(&["snapshot", "save", "--all-contexts", "--snapshot-dir", &other]);
    assert_eq!(table.out.lines().filter(|l| l.contains("  saved ")).count(), 2, "{}", table.all());
    for folder in [folder, other.into()] {
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 4, "two snapshots, each with its side file");
    }
}

#[test]
fn wrong_usage_names_both() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("c.toml").display().to_string();
    std::fs::write(&config, "[contexts.a]\nendpoints = [\"127.0.0.1:1\"]\n").unwrap();
    for (args, code, words) in [
        (&["status", "--all-contexts", "--context", "a"][..], 2, &["--all-contexts", "--context"][..]),
        (&["status", "--all-contexts", "--endpoints", "x:1"], 2, &["--all-contexts", "--endpoints"]),
        (&["health", "--all-contexts", "--discovery-srv", "x"], 3, &["--all-contexts", "--discovery-srv"]),
        (&["diagnose", "--all-contexts", "--watch"], 3, &["--all-contexts", "--watch"]),
        (&["diagnose", "--all-contexts", "--bundle", "b"], 3, &["--all-contexts", "--bundle"]),
        (&["snapshot", "save", "--all-contexts", "x.db"], 2, &["--all-contexts", "x.db", "folder"]),
        (&["snapshot", "save", "--all-contexts", "--member", "m1"], 2, &["--all-contexts", "--member"]),
        (&["snapshot", "list", "--all-contexts"], 2, &["--all-contexts", "snapshot save"]),
        (&["config", "show", "--all-contexts"], 2, &["--all-contexts", "status"]),
    ] {
        let mut all = vec!["--config", config.as_str()];
        all.extend(args);
        let output = run(&all);
        assert_eq!(output.code, code, "{args:?}: {}", output.all());
        let said = words.iter().all(|w| output.err.contains(w));
        assert!(said && output.out.is_empty(), "{args:?}: {}", output.all());
    }
    let output =
        run_with(&["status", "--all-contexts", "--config", &config], &[("ETCDCTL_ENDPOINTS", "x:1")]);
    assert!(output.code == 2 && output.err.contains("ETCDCTL_ENDPOINTS"), "{}", output.all());
    let output = run_with(&["status", "--all-contexts"], &[("XDG_CONFIG_HOME", "/nowhere")]);
    assert!(output.code == 2 && output.err.contains("/nowhere/etcdtop/config.toml"), "{}", output.all());
    // Without a terminal there is no fleet.
    let output = run(&["--all-contexts", "--config", &config]);
    assert!(output.code == 2 && output.err.contains("etcdtop status"), "{}", output.all());
}

/// So many clusters of one member whose snapshots begin and never end; and the contexts for them, `c1` and so on.
async fn stalling(clusters: u64) -> (Vec<Fake>, String) {
    let mut fakes = Vec::new();
    let mut config = String::new();
    for i in 1..=clusters {
        let status = PbStatusResponse {
            header: Some(header(i, i + 100)),
            version: "3.6.5".into(),
            leader: i,
            raft_term: 2,
            db_size: 1 << 20,
            db_size_in_use: 1 << 19,
            ..PbStatusResponse::default()
        };
        let member = PbMember { id: i, name: format!("m{i}"), ..PbMember::default() };
        let members = PbMemberListResponse { header: None, members: vec![member] };
        let fake = Fake::start(Script {
            status: Some(Ok(status)),
            members: Some(Ok(members)),
            snapshot: vec![vec![7; 32 << 10]],
            snapshot_stalls: true,
            ..Script::default()
        });
        let fake = fake.await;
        config.push_str(&format!("[contexts.c{i}]\nendpoints = [\"{}\"]\n", fake.address));
        fakes.push(fake);
    }
    (fakes, config)
}

/// While an operation runs nobody leaves it alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_keeps_the_dashboard_of_its_cluster_open() {
    let (_fakes, config) = stalling(2).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, config).unwrap();
    let home = dir.path().display().to_string();
    let args = ["--all-contexts", "--config", &file.display().to_string()];
    let mut p = Pty::with_env(120, 40, &args, &[("XDG_STATE_HOME", &home), ("XDG_DATA_HOME", &home)]);
    p.wait("2 clusters");
    p.wait_until("both", |s| !s.contains("connecting"));
    p.keys("\r");
    p.wait("etcdtop c1");
    p.wait("found 1 member");
    p.keys("s");
    p.wait("[ Cancel ]");
    p.keys("\x1b[Z\r");
    p.wait("▸ save a snapshot of m1");
    p.keys("0");
    let stay = "an operation runs: stay until it has ended";
    p.wait(stay);
    p.wait_until("that is gone again", |s| !s.contains(stay));
    // By itself: with a letter behind it, it would be Alt and that letter.
    p.keys("\x1b");
    p.wait(stay);
    p.keys("x");
    p.wait("x was pressed");
    // What ended is read first, then the way is free.
    p.keys("0");
    p.wait("2 clusters");
    p.keys("j\r");
    p.wait("etcdtop c2");
    p.keys("q");
    assert!(p.exit().success() && p.is_restored(), "{}", p.screen());
}

/// A signal reaches those that save: they leave nothing behind, and nobody is begun any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_all_snapshots_at_a_safe_point() {
    let (_fakes, config) = stalling(3).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, config).unwrap();
    let folder = dir.path().join("backups");
    let mut command = Command::new(program());
    for (name, value) in clean_environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command
        .env("XDG_STATE_HOME", dir.path().join("state"))
        .args(["snapshot", "save", "--all-contexts", "-o", "json", "--config"])
        .arg(&file)
        .arg(format!("{}/", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = tokio::task::spawn_blocking(move || {
        let mut begun = 0;
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        // Two at a time: the third waits.
        while begun < 2 {
            begun += usize::from(said.next().unwrap().contains("save a snapshot"));
        }
        send(i32::try_from(child.id()).unwrap(), Signal::INT);
        let rest: Vec<_> = said.collect();
        (child.wait_with_output().unwrap(), rest)
    });
    let (output, said) = ended.await.unwrap();
    assert_eq!(output.status.code(), Some(130), "{said:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(exits(&told).iter().all(|(_, exit)| *exit == 130), "{told}");
    let not_begun = told["contexts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["error"].as_str().unwrap().contains("not begun"));
    assert_eq!(not_begun.count(), 1, "{told}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "something is left");
}

/// Where on the screen a context's row stands.
fn row_of(screen: &str, name: &str) -> usize {
    screen.lines().position(|l| l.contains(name)).unwrap_or_else(|| panic!("{name}:\n{screen}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_is_worst_first_and_enter_opens_what_is_selected() {
    let fleet = Fleet::start("").await;
    fleet.big.stop(1).unwrap();
    for (columns, rows) in [(120, 40), (80, 24)] {
        let mut p = Pty::etcdtop(columns, rows, &["--all-contexts", "--config", &fleet.config()]);
        let screen = p.wait("3 clusters: 1 unreachable, 1 degraded, 1 healthy");
        let order = ["gone", "big", "small"].map(|name| row_of(&screen, name));
        assert!(order.is_sorted(), "{screen}");
        let big = screen.lines().nth(order[1]).unwrap();
        assert!(big.contains("DEGRADED") && big.contains("2/3"), "{screen}");
        assert!(screen.contains("hung: accepts TCP, no answer for"), "{screen}");
        // The mark is on the worst; one down is the degraded one.
        assert!(screen.lines().nth(order[0]).unwrap().contains('▸'), "{screen}");
        p.keys("j\r");
        p.wait_until("the dashboard of big", |s| s.contains("etcdtop big") && s.contains("DEGRADED"));
        p.keys("4");
        p.wait("what each member says of itself");
        // Back by steps: the overview, then the fleet, where the mark still is.
        p.keys("\x1b");
        p.wait_until("the overview", |s| {
            s.contains("─ Members") && (columns < 100 || s.contains("esc fleet"))
        });
        p.keys("\x1b");
        let screen = p.wait("3 clusters: 1 unreachable, 1 degraded, 1 healthy");
        assert!(screen.lines().nth(row_of(&screen, "big")).unwrap().contains('▸'), "{screen}");
        // The filter, and another one.
        p.keys("/small\r");
        p.wait("1 of 3 rows");
        p.keys("\r");
        p.wait_until("the dashboard of small", |s| s.contains("etcdtop small") && s.contains("HEALTHY"));
        p.keys("0");
        p.wait("1 of 3 rows");
        p.keys("\x1b");
        p.wait_until("no filter", |s| !s.contains("1 of 3 rows"));
        // Nothing is changed from here.
        p.keys("D");
        p.wait("enter opens the selected one");
        assert!(p.is_taken());
        p.keys("q");
        assert!(p.exit().success() && p.is_restored(), "{}", p.screen());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_becomes_well_moves_down_and_the_mark_stays() {
    let fleet = Fleet::start("").await;
    fleet.big.stop(2).unwrap();
    let mut p = Pty::etcdtop(80, 24, &["--all-contexts", "--config", &fleet.config()]);
    p.wait("1 degraded, 1 healthy");
    p.keys("j");
    let marked = |s: &str, name: &str| s.lines().nth(row_of(s, name)).unwrap().contains('▸');
    p.wait_until("the mark on big", |s| marked(s, "big"));
    fleet.big.cont(2).unwrap();
    p.wait_until("big is well", |s| s.contains("2 healthy") && marked(s, "big"));
    // Losing its only member the other one moves up past it.
    fleet.small.stop(0).unwrap();
    let screen = p.wait_until("small is worse", |s| s.contains("2 unreachable") && marked(s, "big"));
    assert!(row_of(&screen, "small") < row_of(&screen, "big"), "{screen}");
    fleet.small.cont(0).unwrap();
    // The terminal survives what every dashboard's does.
    send(p.pid(), Signal::TERM);
    assert_eq!(p.exit().exit_code(), 143);
    assert!(p.is_restored());
}

/// The only endpoint that was typed hangs: the fleet has learned of the others, and so its dashboard knows them.
#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_knows_the_members_that_the_fleet_knows() {
    let fleet = Fleet::start("").await;
    let file = fleet.dir.path().join("one.toml").display().to_string();
    let endpoint = fleet.big.members()[0].client.raw();
    std::fs::write(&file, format!("[contexts.one]\nendpoints = [\"{endpoint}\"]\n")).unwrap();
    let mut p = Pty::etcdtop(80, 24, &["--all-contexts", "--config", &file]);
    p.wait_until("its three members", |s| s.contains("1 healthy") && s.contains("3/3"));
    fleet.big.stop(0).unwrap();
    p.wait_until("the fleet's word", |s| s.contains("1 degraded") && s.contains("m1 hung"));
    p.keys("\r");
    p.wait_until("the same of its dashboard", |s| {
        s.contains("etcdtop one") && s.contains("DEGRADED") && s.contains("m1 hung") && s.contains("2/3")
    });
    fleet.big.cont(0).unwrap();
    p.wait_until("all is well", |s| s.contains("HEALTHY") && s.contains("3/3"));
    p.keys("q");
    assert!(p.exit().success() && p.is_restored(), "{}", p.screen());
}

#[test]
fn from_one_cluster_to_the_fleet_or_the_reason_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("c.toml").display().to_string();
    let two = "[contexts.a]\nendpoints = [\"127.0.0.1:1\"]\n[contexts.b]\nendpoints = [\"127.0.0.1:2\"]\n";
    std::fs::write(&config, two).unwrap();
    let mut p = Pty::etcdtop(80, 24, &["--config", &config, "--context", "a"]);
    p.wait("UNREACHABLE");
    p.keys(":fleet\r");
    p.wait("2 clusters: 2 unreachable");
    p.keys("j\r");
    p.wait_until("b", |s| s.contains("etcdtop b") && s.contains("UNREACHABLE"));
    p.keys("q");
    assert!(p.exit().success() && p.is_restored());
    for (args, words) in [
        (&["--config", &config, "--endpoints", "127.0.0.1:1"][..], "names this one cluster"),
        (&["--endpoints", "127.0.0.1:1"], "no contexts"),
        (&["replay"], "--all-contexts shows every context"),
    ] {
        let mut p = Pty::etcdtop(120, 40, args);
        p.wait("1 Overview");
        p.keys("0");
        p.wait(words);
        p.keys("q");
        assert!(p.exit().success());
    }
    // NO_COLOR and ASCII, as in every view.
    let args = ["--config", &config, "--all-contexts", "--ascii"];
    let mut p = Pty::with_env(80, 24, &args, &[("NO_COLOR", "1")]);
    assert!(p.wait("2 unreachable").is_ascii());
    p.keys("q");
    p.exit();
    let text = String::from_utf8_lossy(&p.bytes()).into_owned();
    assert!(!text.contains(";38;5;") && !text.contains("\x1b[38;5;"), "{text:?}");
}

/// Every command in the document runs as it stands there.
#[tokio::test(flavor = "multi_thread")]
async fn the_documents_commands_run() {
    let text = include_str!("../../docs/fleet.md");
    let blocks = |kind: &str| -> Vec<&str> {
        let fence = format!("```{kind}\n");
        let parts: Vec<_> = text.split(&fence).skip(1).collect();
        parts.into_iter().map(|b| b.split("```").next().unwrap()).collect()
    };
    let fleet = Fleet::start("").await;
    let lines: Vec<_> = blocks("sh").into_iter().flat_map(str::lines).collect();
    assert!(lines.len() >= 8, "{lines:?}");
    for line in lines {
        let args: Vec<_> =
            line.strip_prefix("etcdtop ").unwrap_or_else(|| panic!("{line}")).split(' ').collect();
        if args == ["--all-contexts"] {
            let mut p = Pty::with_env(120, 40, &args, &[("ETCDTOP_CONFIG", &fleet.config())]);
            p.wait("3 clusters: 1 unreachable, 2 healthy");
            p.keys("q");
            assert!(p.exit().success());
            continue;
        }
        let mut args: Vec<_> = args.into_iter().map(str::to_owned).collect();
        // Not into the folder that the tests run in.
        if let Some(folder) = args.iter_mut().find(|a| a.ends_with('/')) {
            *folder = fleet.dir.path().join(folder.as_str()).display().to_string() + "/";
        }
        let output = fleet.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        // `gone` is gone: 4 to a command, 2 to a monitoring system.
        let wanted = if line.contains("health") || line.contains("diagnose") { 2 } else { 4 };
        assert_eq!(output.code, wanted, "{line}: {}", output.all());
        assert!(!output.out.is_empty(), "{line}: {}", output.all());
    }
    for document in blocks("json") {
        let told: Value = serde_json::from_str(document).unwrap();
        assert_eq!(exits(&told).len(), 2);
    }
    // The example of a config file is one.
    let example = fleet.dir.path().join("example.toml");
    for toml in blocks("toml") {
        std::fs::write(&example, toml).unwrap();
        let shown = run(&["config", "show", "--config", &example.display().to_string()]);
        assert_eq!(shown.code, 0, "{}", shown.all());
    }
    wait_for("the snapshots", || fleet.dir.path().join("backups").is_dir().then_some(()));
}
