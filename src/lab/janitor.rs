//! Removes the lab's folder when etcdtop was killed and could not: a process that waits for the end of a pipe which only
//! etcdtop holds open. The members die by themselves, see `process`.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{JANITOR_ARGUMENT, scratch};

/// How often it is tried to remove a folder that members, being killed, still write to.
const TRIES: u32 = 50;

/// Waits for the end of standard input and removes the folder; see the module. `args` is the folder.
///
/// # Errors
/// When nothing is said to remove, or it cannot be removed.
pub fn janitor_main(mut args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let folder = args.next().map(PathBuf::from).ok_or_else(|| io::Error::other("no folder to look after"))?;
    let mut nothing = Vec::new();
    // Ends when the last holder of the other end is gone, however it went.
    let _ = io::stdin().read_to_end(&mut nothing);
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        // Gone with its owner, or kept on purpose, or never a lab's.
        if !scratch::is_ours(&folder) {
            return Ok(());
        }
        outcome = scratch::remove(&folder);
        std::thread::sleep(Duration::from_millis(100));
    }
    outcome
}

/// The process that looks after one folder; told by its end that we are done.
#[derive(Debug)]
pub(super) struct Janitor(Child);

impl Janitor {
    /// `launcher` is this program.
    pub(super) fn of(folder: &Path, launcher: &Path) -> io::Result<Self> {
        let mut command = Command::new(launcher);
        command.arg(JANITOR_ARGUMENT).arg(folder);
        // Neither Ctrl-C nor the end of the terminal is meant for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self)
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It has nothing left to do, or removes what is left.
        let _ = self.0.wait();
    }
}
