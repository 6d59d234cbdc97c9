//! The lab's folder: removed on exit, and by the next lab if this one was killed.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

use super::janitor::Janitor;

const PREFIX: &str = "etcdtop-lab-";
const OWNER: &str = "owner";
/// Two numbers.
const LONGEST_MARK: u64 = 64;

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
        .filter_map(|e| Some((e.path(), mark_of(&e.path())?)))
        .collect()
}

/// What the mark of a folder says: a process and when it started. No link is followed and nothing is waited for, and a file
/// that is longer, or somebody else's, is none.
fn mark_of(folder: &Path) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::File::from(rustix::fs::open(folder.join(OWNER), flags, Mode::empty()).ok()?);
    let about = file.metadata().ok()?;
    if !about.is_file() || about.uid() != rustix::process::getuid().as_raw() || about.len() > LONGEST_MARK {
        return None;
    }
    let mut mark = String::new();
    file.take(LONGEST_MARK).read_to_string(&mut mark).ok()?;
    Some(mark)
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

/// The process that a lab is of. Its id alone is used again by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pid: u32,
    started: String,
}

impl Owner {
    /// That of a folder, if it still runs.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        let mark = mark_of(folder)?;
        let (pid, started) = mark.split_once(' ')?;
        let owner = Self { pid: pid.parse().ok()?, started: started.to_owned() };
        owner.runs().then_some(owner)
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        start_time(self.pid).is_some_and(|now| now == self.started)
    }

    /// Its folders: it has another one when its lab was begun anew.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let mark = format!("{} {}", self.pid, self.started);
        let all = marked(&std::env::temp_dir()).into_iter();
        all.filter(|(_, found)| *found == mark).map(|(path, _)| path).collect()
    }
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

    /// Whoever can write to the temporary folder can put something there.
    #[test]
    fn what_is_no_mark_is_not_read() {
        let below = TempDir::new().unwrap();
        let folder = below.path().join(format!("{PREFIX}x"));
        fs::create_dir(&folder).unwrap();
        let (mark, own) = (folder.join(OWNER), below.path().join("own"));
        let pid = std::process::id();
        let text = format!("{pid} {}", start_time(pid).unwrap());
        fs::write(&own, &text).unwrap();
        fs::write(&mark, &text).unwrap();
        assert_eq!(running_below(below.path()), [(pid, folder.clone())]);
        assert!(Owner::of(&folder).unwrap().runs());
        fs::write(&mark, "1".repeat(65)).unwrap();
        assert_eq!(mark_of(&folder), None, "too long");
        fs::remove_file(&mark).unwrap();
        std::os::unix::fs::symlink(&own, &mark).unwrap();
        assert_eq!(mark_of(&folder), None, "a link");
        fs::remove_file(&mark).unwrap();
        // Who opened a pipe to read it would wait for somebody to write.
        rustix::fs::mknodat(rustix::fs::CWD, &mark, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(mark_of(&folder), None, "a pipe");
        assert_eq!(running_below(below.path()), []);
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
