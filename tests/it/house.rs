//! The rules of the house: who may know whom, how long a file may be, what the README says of the keys.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may know, besides itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("etcd", &["model"]),
    ("poll", &["etcd", "model"]),
    ("diagnose", &["poll", "model"]),
    ("snapshot", &["model"]),
    ("lab", &["etcd", "snapshot", "model"]),
    // What an operation goes by is what the screens show: the same poll.
    ("ops", &["etcd", "poll", "snapshot", "model"]),
    ("recording", &["ops", "snapshot", "model"]),
    ("app", &["config", "diagnose", "model", "ops", "poll", "recording", "snapshot"]),
    ("ui", &["app", "config", "diagnose", "model", "ops", "poll", "recording", "snapshot"]),
    ("term", &["app"]),
    (
        "cli",
        &[
            "app",
            "config",
            "diagnose",
            "etcd",
            "lab",
            "model",
            "ops",
            "poll",
            "recording",
            "snapshot",
            "term",
            "ui",
        ],
    ),
];

fn sources(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn arrows_point_down() {
    let src = root().join("src");
    let rooms: Vec<_> = ARROWS.iter().map(|(room, _)| *room).collect();
    let mut seen = 0;
    for (room, allowed) in ARROWS {
        for file in sources(&src.join(room)) {
            let text = fs::read_to_string(&file).unwrap();
            // Ways around the check below.
            assert!(
                !text.contains("crate::{") && !text.contains("super::super::super::"),
                "{}: one path a line",
                file.display()
            );
            for (number, line) in text.lines().enumerate() {
                for (at, _) in line.match_indices("crate::") {
                    let other: String =
                        line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if other != *room && rooms.contains(&other.as_str()) {
                        seen += 1;
                        assert!(
                            allowed.contains(&other.as_str()),
                            "{}:{}: {room} must not know {other}",
                            file.display(),
                            number + 1
                        );
                    }
                }
            }
        }
    }
    assert!(seen > 50, "the check looked at nothing");
}

#[test]
fn every_room_is_in_the_plan() {
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(ARROWS.iter().any(|(room, _)| *room == name), "{name} is not in ARROWS");
        }
    }
}

#[test]
fn one_room_each_for_crossterm_and_etcd_client() {
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let room = file.strip_prefix(root().join("src")).unwrap().components().next().unwrap();
        let room = room.as_os_str().to_str().unwrap();
        for (library, owner) in [("crossterm::", "term"), ("etcd_client::", "etcd")] {
            let uses = text.lines().any(|l| l.contains(library) && !l.trim_start().starts_with("//"));
            assert!(!uses || room == owner, "{} uses {library}: only {owner} may", file.display());
        }
    }
}

#[test]
fn files_stay_short() {
    for folder in ["src", "tests", "examples"] {
        for file in sources(&root().join(folder)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= 520, "{} has {lines} lines: split it", file.display());
        }
    }
}

#[test]
fn the_readme_lists_the_keys_that_there_are() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = etcdtop::app::keymap::markdown();
    assert!(readme.contains(&table), "README's table of keys is old; it must be:\n{table}");
}

/// What `e` explains is what the documents say; `UPDATE_DOCS=1` makes them anew.
#[test]
fn the_documents_are_made_from_the_tables() {
    for (name, text) in [
        ("findings.md", etcdtop::diagnose::docs::findings()),
        ("figures.md", etcdtop::diagnose::docs::figures()),
        ("lab.md", etcdtop::lab::docs::scenarios()),
    ] {
        let file = root().join("docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let stored = fs::read_to_string(&file).unwrap_or_default();
        assert!(stored == text, "docs/{name} is old: UPDATE_DOCS=1 cargo test --test it house makes it anew");
    }
}

/// A permit to change a cluster is made in two places: by the guard for a confirmed plan, and for a lab's own cluster.
#[test]
fn permits_are_made_by_the_guard_and_the_lab_alone() {
    for (maker, places) in
        [("Permit::granted(", &["src/ops/guard.rs"][..]), ("Permit::of_a_lab(", &["src/lab/load.rs"])]
    {
        let users: Vec<_> = sources(&root().join("src"))
            .into_iter()
            .filter(|f| fs::read_to_string(f).unwrap().contains(maker))
            .map(|f| f.strip_prefix(root()).unwrap().display().to_string())
            .collect();
        assert_eq!(users, places, "{maker}");
    }
    // And every call that changes something asks for one.
    for file in ["src/etcd/mutate.rs", "src/etcd/lease.rs", "src/etcd/lab_writer.rs"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        for call in [
            ".put(",
            ".delete(",
            ".txn(",
            ".compact(",
            ".defragment(",
            ".move_leader(",
            ".alarm(",
            ".grant(",
            ".revoke(",
        ] {
            for (at, _) in text.match_indices(call) {
                let function = &text[text[..at].rfind("async fn ").unwrap()..at];
                assert!(function.contains("&Permit"), "{file}: {call} without a permit in {function}");
            }
        }
    }
    for file in sources(&root().join("src")).iter().filter(|f| {
        !["mutate.rs", "lease.rs", "lab_writer.rs"].iter().any(|n| f.ends_with(format!("etcd/{n}")))
    }) {
        let text = fs::read_to_string(file).unwrap();
        let way = |call: &str| text.contains(call) && !file.ends_with("etcd/connection.rs");
        assert!(
            !text.contains("AlarmAction")
                && !way("maintenance_client()")
                && !way(".kv()")
                && !way(".maintenance()")
                && !way("cluster_client()")
                && !way("lease_client()")
                && !way(".leases()")
                && !way("auth_client()")
                && !way("kv_client()"),
            "{}: changes stand in etcd/mutate.rs",
            file.display()
        );
    }
}
