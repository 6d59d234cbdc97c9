//! `kubectl etcdtop`: the same program under another name, and its completions.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{command, done, root, said, tool};
use crate::support::cluster::program;

/// A folder with what a user puts into PATH.
fn installed() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    symlink(program(), folder.path().join("kubectl-etcdtop")).unwrap();
    let script = "kubectl_complete-etcdtop";
    symlink(root().join("assets/kubectl").join(script), folder.path().join(script)).unwrap();
    folder
}

/// A command that finds that folder first.
fn with_path(program: &Path, folder: &Path) -> Command {
    let mut command = command(program);
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&rest));
    command.env("PATH", std::env::join_paths(path).unwrap()).env("HOME", folder).env_remove("KUBECONFIG");
    command
}

#[test]
fn usage_and_help_say_what_was_typed() {
    let folder = installed();
    let plugin = folder.path().join("kubectl-etcdtop");
    let help = done(command(&plugin).args(["snapshot", "save", "--help"]));
    assert!(help.contains("Usage: kubectl etcdtop snapshot save"), "{help}");
    let help = done(command(&plugin).arg("--help"));
    assert!(help.contains("`kubectl etcdtop config show`"), "{help}");
    let wrong = command(&plugin).args(["snapshot", "bogus"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
    assert!(said(&wrong).contains("Usage: kubectl etcdtop snapshot"), "{}", said(&wrong));
    let help = done(command(program()).arg("--help"));
    assert!(!help.contains("kubectl"), "{help}");
}

#[test]
fn it_does_the_same() {
    let folder = installed();
    let plugin = folder.path().join("kubectl-etcdtop");
    for args in
        [&["--version"][..], &["completions", "bash"], &["man"], &["replay", "--summary", "-o", "json"]]
    {
        assert_eq!(done(command(&plugin).args(args)), done(command(program()).args(args)), "{args:?}");
    }
    for args in [&["status", "--bogus"][..], &["health", "--bogus"], &["snapshot", "verify", "/nonexistent"]]
    {
        let code = |p: &Path| command(p).args(args).output().unwrap().status.code();
        assert_eq!(code(&plugin), code(&program()), "{args:?}");
    }
}

/// What the script answers: candidates, and the number for the shell.
fn candidates(folder: &Path, typed: &[&str]) -> (Vec<String>, String) {
    let out = done(with_path(&folder.join("kubectl_complete-etcdtop"), folder).args(typed));
    let mut lines: Vec<_> = out.lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap();
    (lines, last)
}

#[test]
fn kubectl_is_told_how_it_goes_on() {
    let folder = installed();
    let answer = |typed: &[&str]| candidates(folder.path(), typed);
    assert_eq!(answer(&["sta"]), (vec!["status".into()], ":4".into()));
    let (commands, _) = answer(&["snapshot", ""]);
    assert!(
        ["save", "prune", "restore-plan"].iter().all(|c| commands.contains(&(*c).into())),
        "{commands:?}"
    );
    assert!(!commands.iter().any(|c| c.starts_with('-')), "{commands:?}");
    assert_eq!(
        answer(&["snapshot", "save", "--verify", "f"]),
        (vec!["fast".into(), "full".into()], ":4".into())
    );
    assert!(answer(&["snapshot", "save", "--ver"]).0.contains(&"--verify".into()));
    // Names of files are the shell's.
    assert_eq!(answer(&["--cacert", ""]), (vec![], ":0".into()));
    assert_eq!(answer(&["snapshot", "verify", ""]), (vec![], ":0".into()));
    // Nothing is carried out of what was typed.
    assert_eq!(answer(&["$(touch${IFS}x)"]).0, Vec::<String>::new());
    assert_eq!(answer(&[]).1, ":4");
}

/// kubectl itself finds both.
#[test]
fn kubectl_runs_it() {
    let (folder, kubectl) = (installed(), tool("kubectl"));
    let version = done(with_path(&kubectl, folder.path()).args(["etcdtop", "--version"]));
    assert_eq!(version, format!("etcdtop {}\n", env!("CARGO_PKG_VERSION")));
    let words = done(with_path(&kubectl, folder.path()).args(["__complete", "etcdtop", "snapshot", "sa"]));
    assert_eq!(words.lines().collect::<Vec<_>>(), ["save", ":4"]);
}
