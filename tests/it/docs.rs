//! The pages of `docs/`: every command in them is run, on a real cluster in the state that the page speaks of.
//!
//! A fence marked `sh`, or `console` with `$ ` before what is typed, holds commands. A comment before it says in which state
//! they are run and what comes of it:
//!
//! ```text
//! <!-- run: member-down; exit: 1; says: unhealthy | nothing listens -->
//! ```
//!
//! | word | what it says |
//! |---|---|
//! | `run: STATE` | one of `world::STATES`; commands of `etcdctl` and `etcdutl` are run, too, with the cluster's own programs; what is exported holds for the rest of the page |
//! | `exit: N` | every command of the block ends with it; 0 where nothing is said |
//! | `says: A \| B` | what they print contains these |
//! | `screen: TEXT` | the last one is run on a terminal until this is on its screen, then `q` is typed |
//! | `interrupted` | the last one is ended by Ctrl-C as soon as it has said something |
//! | `not-run: REASON` | one of `blocks::REASONS`; etcdtop's grammar is asked all the same |
//!
//! What a page names stands for what there is: `10.0.0.1:2379` for the first member, `/var/backups/etcd` for a scratch folder
//! (`world::World::places`).

mod blocks;
mod fields;
mod index;
mod rights;
mod rules;
mod states;
mod tls;
mod words;
mod world;

use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// The pages, by name.
fn pages() -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
        .map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&p).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() >= 10, "{found:?}");
    found
}

fn page(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}
