//! The terminal's modes: taken once, given back always.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::Command;
use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};

use super::paint::write_all;

/// Whether the terminal is in our hands: a panic hook and a drop must not both restore it.
static HELD: AtomicBool = AtomicBool::new(false);

/// Holds the terminal; gives it back when dropped, and when the thread that made it panics.
#[derive(Debug)]
pub struct Guard(());

fn sequence(commands: &[&dyn Ansi]) -> String {
    let mut text = String::new();
    for command in commands {
        command.add(&mut text);
    }
    text
}

/// `crossterm::Command` as an object.
trait Ansi {
    fn add(&self, text: &mut String);
}

impl<C: Command> Ansi for C {
    fn add(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = self.write_ansi(text);
    }
}

impl Guard {
    /// Whether there is a terminal that a full screen can be drawn on.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn possible() -> Result<(), &'static str> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(
                "the dashboard needs a terminal; for scripts there are `etcdtop status` and `etcdtop health`",
            );
        }
        match std::env::var("TERM").as_deref() {
            Ok("dumb") => Err(
                "TERM=dumb cannot show a full screen; use `etcdtop status`, or set TERM to what the terminal is",
            ),
            _ => Ok(()),
        }
    }

    /// Takes the terminal: raw mode, alternate screen, no cursor, bracketed paste. A panic of this thread restores
    /// it before the message is printed; a panic of another thread prints nothing over the screen, it is logged.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn take() -> io::Result<Self> {
        let ours = std::thread::current().id();
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == ours {
                restore();
                default(info);
            } else {
                tracing::error!("a background task failed: {info}");
            }
        }));
        // From here on the terminal is given back however this ends.
        let guard = Self(());
        enter()?;
        Ok(guard)
    }

    /// Gives the terminal back, for a while or for good.
    pub fn release(&self) {
        restore();
    }

    /// Takes it again after [`release`](Self::release), or after somebody else changed it.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn retake(&self) -> io::Result<()> {
        enter()
    }

    /// Mouse reports on or off.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn set_mouse(&self, on: bool) -> io::Result<()> {
        let text = if on { sequence(&[&EnableMouseCapture]) } else { sequence(&[&DisableMouseCapture]) };
        write_all(text.as_bytes())
    }

    /// Columns and rows; 80 x 24 when the terminal does not tell.
    #[must_use]
    pub fn size() -> (u16, u16) {
        match size() {
            Ok((width, height)) if width > 0 && height > 0 => (width, height),
            _ => (80, 24),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    if HELD.load(Ordering::SeqCst) {
        // Stopped and continued from outside (kill -STOP): the shell has changed the terminal's mode since, and crossterm
        // believes that it is still raw.
        let _ = disable_raw_mode();
    }
    HELD.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    write_all(sequence(&[&EnterAlternateScreen, &Hide, &EnableBracketedPaste]).as_bytes())
}

fn restore() {
    if !HELD.swap(false, Ordering::SeqCst) {
        return;
    }
    // The end of a synchronized update first: a frame may have been cut in the middle.
    let text = format!(
        "\x1b[?2026l\x1b[0m{}",
        sequence(&[&DisableMouseCapture, &DisableBracketedPaste, &LeaveAlternateScreen, &Show])
    );
    // The terminal may be gone (SIGHUP): there is nothing left to restore then.
    let _ = write_all(text.as_bytes());
    let _ = disable_raw_mode();
}
