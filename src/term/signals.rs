//! Signals as a stream: none of them ends the program without the terminal being restored.

use std::io;

use rustix::process::{Signal as Number, kill_current_process_group};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What the outside wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End, with this number: SIGINT, SIGTERM, SIGHUP, SIGQUIT.
    End(u8),
    /// SIGTSTP: somebody suspends us.
    Suspend,
    /// SIGCONT: we go on; the terminal may have been used by others.
    Continue,
}

/// The signals that matter.
#[derive(Debug)]
pub struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Stream,
    quit: Stream,
    suspend: Stream,
    resume: Stream,
}

impl Signals {
    /// Listens from now on. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> io::Result<Self> {
        let number = |n: Number| SignalKind::from_raw(n.as_raw());
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            suspend: signal(number(Number::TSTP))?,
            resume: signal(number(Number::CONT))?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            // The end first: a session leader gets SIGCONT along with SIGHUP, and its terminal is gone by then.
            biased;
            _ = self.interrupt.recv() => Signal::End(2),
            _ = self.terminate.recv() => Signal::End(15),
            _ = self.hangup.recv() => Signal::End(1),
            _ = self.quit.recv() => Signal::End(3),
            _ = self.suspend.recv() => Signal::Suspend,
            _ = self.resume.recv() => Signal::Continue,
        }
    }
}

/// Stops this process and everybody it was started with (make, a script), so that the shell gets the terminal.
/// Returns when the job is continued.
///
/// # Errors
/// When the system refuses.
pub fn stop_job() -> io::Result<()> {
    kill_current_process_group(Number::STOP).map_err(Into::into)
}
