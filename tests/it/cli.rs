//! The commands without a screen: output, exit codes, bad input.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::clean_environment;
use crate::support::cluster::{TestCluster, program};

/// How a run ended.
pub struct Output {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Output {
    pub fn all(&self) -> String {
        format!("exit {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// Runs etcdtop without a terminal, and without this machine's own configuration.
pub fn run(args: &[&str]) -> Output {
    run_with(args, &[])
}

pub fn run_with(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    for (name, value) in clean_environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.args(args).envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// The same from inside a runtime that has servers to run meanwhile.
pub async fn run_blocking(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    tokio::task::spawn_blocking(move || run(&args.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .unwrap()
}

/// The one JSON document on standard output.
pub fn json(output: &Output) -> Value {
    serde_json::from_str(&output.out).unwrap_or_else(|e| panic!("{e}: {}", output.all()))
}

#[test]
fn wrong_usage_is_2_and_names_what_is_wrong() {
    for (args, words) in [
        (&["status", "--no-such-flag"][..], "--no-such-flag"),
        (&["status", "--endpoints", "ftp://x"], "host:port"),
        (&["status", "--interval", "1"], "interval"),
        (&["status", "--config", "/no/such/file"], "/no/such/file"),
        (&["status", "--cacert", "/no/such/ca"], "/no/such/ca"),
        (&["status", "--user", "root"], "ETCDTOP_PASSWORD"),
        (&["lab", "--members", "12"], "12"),
        (&["lab", "--endpoints", "10.0.0.1:2379"], "--endpoints names a cluster"),
        (&["nonsense"], "nonsense"),
    ] {
        let output = run(args);
        assert_eq!(output.code, 2, "{args:?}: {}", output.all());
        assert!(output.err.contains(words) && output.out.is_empty(), "{args:?}: {}", output.all());
    }
}

#[test]
fn nobody_reachable_is_4_with_the_reason() {
    let output = run(&["status", "--endpoints", "127.0.0.1:1", "-o", "json"]);
    assert_eq!(output.code, 4, "{}", output.all());
    let ours = json(&output);
    assert_eq!(
        (&ours["verdict"], &ours["members"][0]["state"]),
        (&"unreachable".into(), &"refused".into()),
        "{ours}"
    );
    assert_eq!(
        (&ours["members_total"], &ours["leader_id"]),
        (&Value::Null, &Value::Null),
        "not known is null"
    );
    assert_eq!(run(&["health", "--endpoints", "127.0.0.1:1"]).code, 2, "down for whoever asks");
    assert_eq!(run(&["health", "--cacert", "/no/such"]).code, 3, "wrong settings say nothing of the cluster");
}

#[test]
fn without_a_terminal_the_dashboard_says_what_to_use() {
    for args in [&["--endpoints", "127.0.0.1:1"][..], &["lab"]] {
        let output = run(args);
        assert_eq!(output.code, 2, "{}", output.all());
        assert!(output.err.contains("etcdtop status") && output.out.is_empty(), "{}", output.all());
    }
}

#[test]
fn config_show_tells_values_and_origins_and_no_secret() {
    let env =
        [("ETCDCTL_ENDPOINTS", "a:1,b:2"), ("ETCDCTL_USER", "root:s3cret"), ("ETCDTOP_DIAL_TIMEOUT", "3s")];
    let output = run_with(&["config", "show", "--theme", "light"], &env);
    assert_eq!(output.code, 0, "{}", output.all());
    for words in ["a:1,b:2", "ETCDCTL_ENDPOINTS", "ETCDTOP_DIAL_TIMEOUT", "--theme"] {
        assert!(output.out.contains(words), "{}", output.out);
    }
    assert!(!output.all().contains("s3cret"), "{}", output.all());
    let shown = json(&run_with(&["config", "show", "-o", "json"], &env));
    let settings = shown["settings"].as_array().unwrap();
    let endpoints = settings.iter().find(|s| s["setting"] == "endpoints").unwrap();
    assert_eq!(endpoints["origin"], "ETCDCTL_ENDPOINTS");
    assert!(!shown.to_string().contains("s3cret"));
}

#[test]
fn config_path_is_the_xdg_place() {
    let output = run_with(&["config", "path"], &[("XDG_CONFIG_HOME", "/x")]);
    assert_eq!(output.out, "/x/etcdtop/config.toml\n");
}

#[test]
fn a_broken_config_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "theme = \"dark\"\nthemes = 1\n").unwrap();
    let output = run(&["status", "--config", &file.display().to_string()]);
    assert_eq!(output.code, 2);
    assert!(output.err.contains("line 2") && output.err.contains("did you mean \"theme\""), "{}", output.err);
}

#[test]
fn completions_and_man_page_are_made() {
    assert!(run(&["completions", "bash"]).out.contains("_etcdtop"));
    let man = run(&["man"]).out;
    for part in [".TH etcdtop", "COMMANDS", "KEYS", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
        assert!(man.contains(part), "{part}:\n{man}");
    }
    assert!(run(&["--help"]).out.contains("--insecure-skip-tls-verify"));
    assert!(run(&["--version"]).out.starts_with("etcdtop "));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child =
        Command::new(program()).args(["man"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_a_monitoring_plugin() {
    let mut cluster = TestCluster::of("3.6").await;
    let endpoints = cluster.endpoints_text();
    let output = run(&["health", "--endpoints", &endpoints, "-o", "json"]);
    assert_eq!(output.code, 0, "{}", output.all());
    let ours = json(&output);
    assert!(
        ours["members"]
            .as_array()
            .unwrap()
            .iter()
            .all(|m| m["healthy"] == true && m["latency_ms"].is_number()),
        "{ours}"
    );
    cluster.kill(2);
    // One of three down is a warning; while another leader is elected nobody has one, which is critical.
    crate::support::wait_for("a warning", || {
        (run(&["health", "--endpoints", &endpoints]).code == 1).then_some(())
    });
    cluster.kill(1);
    crate::support::wait_for("a lost quorum", || {
        (run(&["health", "--endpoints", &endpoints]).code == 2).then_some(())
    });
}

/// The members of a lab die with it, even when it is killed and cannot clean up.
#[test]
fn a_killed_lab_leaves_no_etcd_behind() {
    let mut lab = Command::new(program())
        .args(["lab", "--no-dashboard", "--members", "1", "--load", "none"])
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The endpoints come when the lab is up; the lines before them name the processes.
    let mut endpoints = String::new();
    BufReader::new(lab.stdout.take().unwrap()).read_line(&mut endpoints).unwrap();
    let endpoint = endpoints.trim().trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(&endpoint).is_ok(), "{endpoint} serves");
    lab.kill().unwrap();
    lab.wait().unwrap();
    crate::support::wait_for("the member's end", || TcpStream::connect(&endpoint).is_err().then_some(()));
}
