//! The manual pages.

use std::fs;
use std::process::Command;

use super::{command, done, name, said, tool};
use crate::support::cluster::program;

/// Every page, by name.
fn pages() -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    done(command(program()).arg("man").arg("--dir").arg(folder.path().join("new")));
    let mut found: Vec<_> = fs::read_dir(folder.path().join("new"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (name(&path).to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    found
}

/// The text of a section, unformatted.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    // As it is written: with quotes where it has spaces.
    let start = [format!(".SH \"{heading}\"\n"), format!(".SH {heading}\n")]
        .iter()
        .find_map(|line| page.find(line.as_str()).map(|at| at + line.len()))
        .unwrap_or_else(|| panic!("no {heading} in:\n{page}"));
    page[start..].split("\n.SH ").next().unwrap()
}

#[test]
fn every_page_says_what_it_must() {
    let pages = pages();
    for known in
        ["etcdtop.1", "etcdtop-health.1", "etcdtop-snapshot-save.1", "etcdtop-snapshot-restore-plan.1"]
    {
        assert!(pages.iter().any(|(name, _)| name == known), "{known} is missing");
    }
    for (name, page) in &pages {
        assert!(page.contains(&format!(".TH {} 1 ", name.trim_end_matches(".1"))), "{name}:\n{page}");
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"] {
            assert!(!section(page, heading).trim().is_empty(), "{name}: {heading} is empty");
        }
        let status = section(page, "EXIT STATUS");
        let plugin = ["etcdtop-health.1", "etcdtop-diagnose.1"].contains(&name.as_str());
        let codes: &[&str] =
            if plugin { &["0", "1", "2", "3"] } else { &["0", "1", "2", "3", "4", "5", "130, 143"] };
        for code in codes {
            assert!(
                status.contains(&format!("\\fB{code}\\fR\n")),
                "{name}: no exit code {code} in:\n{status}"
            );
        }
        assert_eq!(
            plugin,
            status.contains("critical") && !status.contains("unknown: look"),
            "{name}:\n{status}"
        );
        let files = section(page, "FILES");
        for file in ["$XDG_STATE_HOME/etcdtop/CLUSTER.jsonl", "$XDG_CONFIG_HOME/etcdtop/config.toml"] {
            assert!(files.contains(&file.replace('-', "\\-")), "{name}: no {file} in:\n{files}");
        }
        // The page of a command holds its own flags; the thirty of every command stand in the main page.
        assert_eq!(page.contains("\\-\\-keepalive\\-time"), name == "etcdtop.1", "{name}");
    }
}

#[test]
fn without_a_folder_it_is_the_main_page() {
    let page = done(command(program()).arg("man"));
    assert!(pages().contains(&("etcdtop.1".into(), page)));
}

/// Not wrong usage: a disk can be full.
#[test]
fn a_folder_that_cannot_be_is_a_failure() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = command(program()).arg("man").arg("--dir").arg(file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains(file.path().to_str().unwrap()), "{}", said(&output));
}

/// What groff says against a page; and the page as it is read.
fn groff(page: &str) -> (String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), page).unwrap();
    let output = Command::new(tool("groff"))
        .args(["-man", "-Tutf8", "-ww", "-K", "utf8", "-P-cbou"])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    (
        String::from_utf8_lossy(&output.stderr).into_owned(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn groff_has_nothing_against_them() {
    for (name, page) in pages() {
        let (warnings, text) = groff(&page);
        assert!(warnings.is_empty(), "{name}: {warnings}");
        assert!(text.contains("130, 143") || text.contains("critical"), "{name}:\n{text}");
    }
    assert!(!groff(".TH X 1\n.SH NAME\nx\n.NOSUCHMACRO\n").0.is_empty(), "this check cannot fail");
}
