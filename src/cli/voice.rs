//! What is said while an operation runs is written by threads of its own. Whoever does not read, `| less` or a terminal after
//! Ctrl-S, holds up what is told to him and nothing else: no step, no signal, no limit.

use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use color_eyre::Result;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::connect::run_to_end;
use crate::term::{Signal, Signals};

/// Standard output and standard error are the process's, and so is who writes to them.
static VOICE: OnceLock<Voice> = OnceLock::new();

/// Who was told to end is not kept longer by somebody who does not read.
const PATIENCE: Duration = Duration::from_secs(2);

/// So long one stream waits for the other, once.
const IN_ORDER: Duration = Duration::from_millis(250);

struct Voice {
    out: Stream,
    err: Stream,
    /// When everything must have been said.
    until: OnceLock<Instant>,
    /// What ends the wait for a reader.
    ear: Mutex<Ear>,
}

/// What is known of signals when nothing runs any more.
#[derive(Default)]
enum Ear {
    /// Nobody listened: they end the program on the spot.
    #[default]
    Deaf,
    /// None came so far.
    Listens(Signals),
    /// One came: somebody wants it to end.
    Heard,
}

/// What is to be written, and how many texts of it are not yet.
#[derive(Clone)]
struct Stream {
    say: mpsc::Sender<String>,
    left: watch::Sender<usize>,
}

impl Stream {
    /// One that writes with this.
    fn start(mut write: impl FnMut(&str) + Send + 'static) -> Option<Self> {
        let (say, said) = mpsc::channel::<String>();
        let left = watch::Sender::new(0);
        let written = left.clone();
        let thread = std::thread::Builder::new().name("voice".into()).spawn(move || {
            for text in said {
                write(&text);
                written.send_modify(|left| *left -= 1);
            }
        });
        thread.ok()?;
        Some(Self { say, left })
    }

    fn say(&self, text: &str) {
        self.left.send_modify(|left| *left += 1);
        // Its thread goes on as long as there is a sender.
        let _ = self.say.send(text.to_owned());
    }

    async fn is_written(&self) {
        let _ = self.left.subscribe().wait_for(|left| *left == 0).await;
    }
}

/// From here on nobody waits for a reader, but the end: until then, if there is a limit.
pub(super) fn begin(until: Option<Instant>) {
    if VOICE.get().is_none()
        && let Some(voice) = start()
    {
        let _ = VOICE.set(voice);
    }
    if let Some((voice, until)) = VOICE.get().zip(until) {
        let _ = voice.until.set(until);
    }
}

fn start() -> Option<Voice> {
    let err = Stream::start(write_err)?;
    let (complaints, mut complained) = (err.clone(), false);
    let said = err.left.subscribe();
    let mut in_order = true;
    let out = Stream::start(move |text| {
        // What was said on standard error before stands before it on a terminal; but nobody waits for who reads only this.
        let before = std::time::Instant::now();
        while *said.borrow() > 0 && in_order {
            std::thread::sleep(Duration::from_millis(2));
            in_order = before.elapsed() < IN_ORDER;
        }
        if let Err(e) = write_out(text)
            && !std::mem::replace(&mut complained, true)
        {
            complaints.say(&format!("etcdtop: warning: standard output cannot be written: {e}\n"));
        }
    })?;
    Some(Voice { out, err, until: OnceLock::new(), ear: Mutex::default() })
}

/// Writes to standard output. A reader that went away (`| head`) is no error.
///
/// # Errors
/// When it cannot be written, unless it is written later: then that is said on standard error.
pub(super) fn out(text: &str) -> io::Result<()> {
    match VOICE.get() {
        Some(voice) => voice.out.say(text),
        None => return write_out(text),
    }
    Ok(())
}

/// Writes to standard error.
pub(super) fn err(text: &str) {
    match VOICE.get() {
        Some(voice) => voice.err.say(text),
        None => write_err(text),
    }
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn write_err(text: &str) {
    let mut err = io::stderr().lock();
    // There is nobody left to whom that could be said.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Whether standard error has taken everything so far.
pub(super) fn is_heard() -> bool {
    VOICE.get().is_none_or(|voice| *voice.err.left.borrow() == 0)
}

/// Whoever listened for signals while something ran does so until everything is written; unless one was `heard`.
pub(super) fn listens(signals: Signals, heard: bool) {
    if let Some(voice) = VOICE.get() {
        let ear = if heard { Ear::Heard } else { Ear::Listens(signals) };
        *voice.ear.lock().unwrap_or_else(PoisonError::into_inner) = ear;
    }
}

/// Waits until everything is written, if there is anything: as long as somebody may yet read it.
pub(super) fn end() {
    if let Some(voice) = VOICE.get() {
        let _ = run_to_end(is_over(voice));
    }
}

async fn is_over(voice: &Voice) -> Result<()> {
    let ear = std::mem::take(&mut *voice.ear.lock().unwrap_or_else(PoisonError::into_inner));
    let soon = Instant::now() + PATIENCE;
    let until = match ear {
        Ear::Heard => Some(soon),
        _ => voice.until.get().map(|until| soon.max(*until)),
    };
    let written = async {
        voice.out.is_written().await;
        voice.err.is_written().await;
    };
    tokio::select! {
        () = written => {}
        () = sleep_until(until.unwrap_or(soon)), if until.is_some() => {}
        () = told_to_end(ear) => {}
    }
    Ok(())
}

/// Until a signal says so, and a moment longer: it may have come before the last was said.
async fn told_to_end(ear: Ear) {
    let Ear::Listens(mut signals) = ear else { return std::future::pending().await };
    while !matches!(signals.next().await, Signal::End(_)) {}
    sleep(PATIENCE).await;
}
