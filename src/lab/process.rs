//! A member's process: started so that it dies with us, whatever becomes of us.
//!
//! A member that outlives a killed etcdtop would keep its ports and its folder. The kernel can kill a child when its
//! parent dies, but only the child can ask for it; so etcdtop starts itself once more as a launcher that asks and
//! then becomes etcd. The kernel watches the *thread* that started the child: that thread lives as long as we do.

use std::ffi::OsString;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

/// Becomes etcd; see the module. `args` are the parent's process id, the program and its arguments. Returns only if
/// that fails.
pub fn member_main(mut args: impl Iterator<Item = OsString>) -> io::Error {
    let parent = args.next().and_then(|p| p.to_str()?.parse::<i32>().ok());
    let Some(program) = args.next() else { return io::Error::other("no program to become") };
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return e.into();
    }
    // The parent may have died before we asked.
    if getppid().map(Pid::as_raw_nonzero).map(std::num::NonZero::get) != parent {
        return io::Error::other("the process that started this one is gone");
    }
    Command::new(program).args(args).exec()
}

type Request = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts a process from the one thread that never ends.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, incoming) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, reply) in incoming {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(requests)
    });
    let (reply, outcome) = mpsc::channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, reply))
        .map_err(|_| io::Error::other("the thread that starts processes is gone"))?;
    outcome.recv().map_err(|_| io::Error::other("the thread that starts processes is gone"))?
}

/// A command for a program that dies with us, by way of `launcher`, which is this program.
pub(super) fn mortal(launcher: Option<&Path>, program: &Path) -> Command {
    let Some(launcher) = launcher else { return Command::new(program) };
    let mut command = Command::new(launcher);
    command.arg(super::MEMBER_ARGUMENT).arg(std::process::id().to_string()).arg(program);
    command
}

/// A child that is killed when nobody waits for it any more.
struct Awaited(Child);

impl Drop for Awaited {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) output: String,
    pub(super) errors: String,
}

impl Ended {
    /// Its output; or the last thing that it complained about.
    pub(super) fn output(self) -> Result<String, String> {
        if self.status.success() {
            return Ok(self.output);
        }
        let last = self.errors.lines().rev().find(|l| !l.trim().is_empty());
        Err(last.unwrap_or("no reason given").to_owned())
    }
}

/// Runs a program that tells little to its end.
pub(super) async fn run(mut command: Command) -> io::Result<Ended> {
    // Pipes that nobody reads while it runs could fill up.
    let (mut output, mut errors) = (tempfile::tempfile()?, tempfile::tempfile()?);
    // Ctrl-C in the terminal is meant for etcdtop.
    command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(errors.try_clone()?);
    let mut child = Awaited(spawn(command)?);
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    Ok(Ended { status, output: written(&mut output)?, errors: written(&mut errors)? })
}

fn written(file: &mut std::fs::File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends a signal to a child that has not been reaped.
pub(super) fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    let raw = i32::try_from(child.id()).map_err(io::Error::other)?;
    let pid = Pid::from_raw(raw).ok_or_else(|| io::Error::other("no such process id"))?;
    kill_process(pid, signal).map_err(Into::into)
}

/// Waits until a child has ended, at most `limit`; whether it has.
pub(super) fn wait_ended(child: &mut Child, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => return false,
            Ok(Some(_)) | Err(_) => return true,
        }
    }
}
