//! The lab's folder: removed on exit, and by the next lab if this one was killed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::janitor::Janitor;

const PREFIX: &str = "etcdtop-lab-";
const OWNER: &str = "owner";

/// A folder that goes with the lab, also when the lab is killed.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: TempDir,
    // After the folder: then there is nothing left to look after.
    _janitor: Option<Janitor>,
}

impl Scratch {
    /// A fresh one below the system's temporary folder, marked with the process that owns it. `launcher` is this program;
    /// without it nobody looks after the folder when we are killed, but the next lab.
    pub(super) fn create(launcher: Option<&Path>) -> io::Result<Self> {
        remove_stale(&std::env::temp_dir());
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let pid = std::process::id();
        fs::write(dir.path().join(OWNER), format!("{pid} {}", start_time(pid).unwrap_or_default()))?;
        let janitor = launcher.map(|launcher| Janitor::of(dir.path(), launcher)).transpose()?;
        Ok(Self { dir, _janitor: janitor })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// From now on the folder is nobody's: it stays, and no later lab removes it.
    pub(super) fn keep(&mut self) {
        self.dir.disable_cleanup(true);
        // Without the mark it stays; if that cannot be removed it goes with the next lab.
        let _ = fs::remove_file(self.dir.path().join(OWNER));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Kept ones have no mark any more.
        if is_ours(self.dir.path()) {
            // What is left the janitor tries again, and the next lab.
            let _ = remove(self.dir.path());
        }
    }
}

/// Whether it is a marked folder of a lab, in the place where they are, and of this user: nothing else is ever removed.
pub(super) fn is_ours(folder: &Path) -> bool {
    let named = folder.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(PREFIX));
    let own =
        folder.symlink_metadata().is_ok_and(|m| m.is_dir() && m.uid() == rustix::process::getuid().as_raw());
    named && own && folder.parent() == Some(std::env::temp_dir().as_path()) && folder.join(OWNER).is_file()
}

/// Removes a folder, its mark last: while that is there, whoever finds the rest can go on.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten().filter(|e| e.file_name() != OWNER) {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir_all(folder)
}

/// Folders of labs of this user, and what their marks say. Somebody else's may hold anything.
fn marked(below: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(below) else { return Vec::new() };
    let me = rustix::process::getuid().as_raw();
    entries
        .flatten()
        .filter(|e| e.file_name().to_str().is_some_and(|n| n.starts_with(PREFIX)))
        .filter(|e| e.metadata().is_ok_and(|m| m.is_dir() && m.uid() == me))
        // No mark: another process is just making it, or it was kept.
        .filter_map(|e| Some((e.path(), fs::read_to_string(e.path().join(OWNER)).ok()?)))
        .collect()
}

/// Removes folders whose owner is gone: it was killed and could not clean up.
fn remove_stale(below: &Path) {
    for (path, owner) in marked(below) {
        let Some((pid, started)) = owner.split_once(' ') else { continue };
        let alive = pid.parse().ok().and_then(start_time).is_some_and(|now| now == started);
        if !alive {
            // What cannot be removed now goes with the next lab.
            let _ = remove(&path);
        }
    }
}

/// The labs of this user that run now: process and folder.
#[must_use]
pub fn running() -> Vec<(u32, PathBuf)> {
    running_below(&std::env::temp_dir())
}

fn running_below(below: &Path) -> Vec<(u32, PathBuf)> {
    let running = |(path, owner): (PathBuf, String)| {
        let (pid, started) = owner.split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_time(pid)? == started).then_some((pid, path))
    };
    let mut found: Vec<_> = marked(below).into_iter().filter_map(running).collect();
    found.sort();
    found
}

/// When a process started, in the kernel's ticks: a process id alone is used again.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name is in brackets and may hold spaces; the time is the 20th field after it.
    stat.rsplit_once(") ")?.1.split(' ').nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_dead_owners_go() {
        let below = TempDir::new().unwrap();
        let folder = |name: &str, owner: Option<String>| {
            let path = below.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&path).unwrap();
            if let Some(owner) = owner {
                fs::write(path.join(OWNER), owner).unwrap();
            }
            path
        };
        let pid = std::process::id();
        let living = folder("living", Some(format!("{pid} {}", start_time(pid).unwrap())));
        let reused = folder("reused", Some(format!("{pid} 1")));
        let dead = folder("dead", Some(format!("{} 5", u32::MAX)));
        let unmarked = folder("unmarked", None);
        assert_eq!(running_below(below.path()), [(pid, living.clone())]);
        remove_stale(below.path());
        assert!(living.exists() && unmarked.exists());
        assert!(!reused.exists() && !dead.exists());
    }

    #[test]
    fn nothing_but_a_labs_folder_is_ever_removed() {
        let elsewhere = TempDir::new().unwrap();
        let folder = elsewhere.path().join(format!("{PREFIX}x"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(OWNER), "1 1").unwrap();
        assert!(!is_ours(&folder), "not in the place of labs");
        let (scratch, link) =
            (Scratch::create(None).unwrap(), std::env::temp_dir().join(format!("{PREFIX}link")));
        assert!(is_ours(scratch.path()));
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(!is_ours(&link), "a link leads anywhere");
        fs::remove_file(&link).unwrap();
        let path = scratch.path().to_owned();
        fs::create_dir_all(path.join("m1/member")).unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
