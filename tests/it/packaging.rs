//! Everything that ships etcdtop: man pages, the plugin of kubectl, units of systemd, manifests, the image, the package.
//! What is run by others must be what etcdtop understands: each command line in them goes through its own grammar.

mod debian;
mod image;
mod man;
mod manifests;
mod plugin;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use etcdtop::cli::Cli;
use etcdtop::lab::binaries::cache_folder;

use crate::support::clean_environment;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of a folder of the source, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{folder} is empty");
    found
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// A program of this machine, if it is there.
fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|p| p.is_file())
}

/// A program that `scripts/fetch-tools` gets where the machine lacks it.
fn tool(program: &str) -> PathBuf {
    let fetched = cache_folder().join(program).join("bin").join(program);
    if fetched.is_file() {
        return fetched;
    }
    in_path(program).unwrap_or_else(|| panic!("{program} is missing: scripts/fetch-tools {program} gets it"))
}

/// A command that knows nothing of this machine's own settings.
fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, value) in clean_environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Runs it; its standard output. Panics with its words when it fails.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Both streams.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What etcdtop's own grammar says of a command line without its first word.
fn understood(args: &[String]) -> Result<(), String> {
    let line = std::iter::once("etcdtop".to_owned()).chain(args.iter().cloned());
    Cli::grammar().try_get_matches_from(line).map(drop).map_err(|e| e.to_string())
}

/// Panics with all that etcdtop does not understand.
fn all_understood(lines: &[(String, Vec<String>)]) {
    let wrong: Vec<_> = lines
        .iter()
        .filter_map(|(of, args)| {
            understood(args).err().map(|e| format!("{of}: etcdtop {}\n{e}", args.join(" ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The value of a flag in a command line, as `--flag value` or `--flag=value`.
fn flag<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|a| a == name || a.starts_with(&format!("{name}=")))?;
    args[at].split_once('=').map(|(_, value)| value).or_else(|| args.get(at + 1).map(String::as_str))
}

/// Seconds of a duration as etcdtop and systemd write them.
fn seconds(text: &str) -> u64 {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().unwrap_or_else(|_| panic!("{text:?} is no duration"));
    match &text[digits..] {
        "" | "s" => number,
        "m" | "min" => number * 60,
        "h" => number * 3600,
        unit => panic!("{text:?}: what is {unit}?"),
    }
}

/// Whether `ETCDTOP_...` is a flag of etcdtop, or one of the two that are not.
fn is_setting(variable: &str) -> bool {
    let Some(of) = variable.strip_prefix("ETCDTOP_").map(str::to_lowercase) else { return false };
    Cli::grammar().get_arguments().any(|a| a.get_id().as_str() == of)
}

#[test]
fn the_checks_of_command_lines_can_fail() {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    understood(&words("snapshot save --verify full")).unwrap();
    assert!(understood(&words("snapshot save --verify some")).is_err());
    assert!(understood(&words("snapshot save --bogus")).is_err());
    assert_eq!(flag(&words("x --timeout 1h"), "--timeout"), Some("1h"));
    assert_eq!(flag(&words("x --timeout=65min y"), "--timeout"), Some("65min"));
    assert_eq!((seconds("1h"), seconds("65min"), seconds("90")), (3600, 3900, 90));
    assert!(is_setting("ETCDTOP_SNAPSHOT_DIR") && !is_setting("ETCDTOP_SNAPSHOT_DIRECTORY"));
}

/// The page for who installs it names every file that there is for that, and none that is not there.
#[test]
fn the_page_on_installing_names_what_there_is() {
    let page = read("docs/install.md");
    for folder in ["assets/systemd", "assets/kubernetes/base", "assets/kubernetes/secret", "assets/kubectl"] {
        for file in files(folder) {
            assert!(page.contains(name(&file)), "docs/install.md does not name {}", file.display());
        }
    }
    for word in page.split(|c: char| c.is_whitespace() || "`()[],;".contains(c)) {
        let ours =
            ["assets/", "scripts/", "packaging/", "docs/"].iter().any(|folder| word.starts_with(folder));
        assert!(!ours || root().join(word.trim_end_matches(['.', ':'])).exists(), "{word} is not there");
    }
    assert!(read("README.md").contains("docs/install.md"), "nobody finds docs/install.md");
}
