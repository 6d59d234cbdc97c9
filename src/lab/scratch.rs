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

/// Whether it still is somebody's lab, and not gone or kept.
pub(super) fn is_owned(folder: &Path) -> bool {
    folder.join(OWNER).is_file()
}

/// Removes folders whose owner is gone: it was killed and could not clean up.
fn remove_stale(below: &Path) {
    let Ok(entries) = fs::read_dir(below) else { return };
    let ours =
        |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(PREFIX));
    for path in entries.flatten().map(|e| e.path()).filter(ours) {
        // No mark: another process is just making it.
        let Ok(owner) = fs::read_to_string(path.join(OWNER)) else { continue };
        let Some((pid, started)) = owner.split_once(' ') else { continue };
        let alive = pid.parse().ok().and_then(start_time).is_some_and(|now| now == started);
        if !alive {
            // Somebody else's folder stays: we may not remove it.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The labs of this user that run now: process and folder.
#[must_use]
pub fn running() -> Vec<(u32, PathBuf)> {
    running_below(&std::env::temp_dir())
}

fn running_below(below: &Path) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(below) else { return Vec::new() };
    let me = rustix::process::getuid().as_raw();
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|e| e.file_name().to_str().is_some_and(|n| n.starts_with(PREFIX)))
        // Somebody else's folder may hold anything.
        .filter(|e| e.metadata().is_ok_and(|m| m.uid() == me))
        .filter_map(|e| {
            let owner = fs::read_to_string(e.path().join(OWNER)).ok()?;
            let (pid, started) = owner.split_once(' ')?;
            let pid = pid.parse().ok()?;
            (start_time(pid)? == started).then(|| (pid, e.path()))
        })
        .collect();
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
}
