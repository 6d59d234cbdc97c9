//! The thread that reads a recording ahead and goes to other moments of it, so that no key waits for either.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::app::State;
use crate::app::reel::Reel;
use crate::app::replay::Mark;
use crate::app::seen::Seen;
use crate::recording::Tape;

/// How often it tells how far it is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What is asked of it.
enum Ask {
    /// Go there.
    Seek(Duration),
    /// The file became longer.
    Grown,
}

/// What it tells.
pub(super) enum Told {
    /// It was read so far; what happened there.
    Read(Duration, Vec<Mark>),
    /// What was seen at a moment, and the record that comes next there.
    There(Box<Seen>, Duration, usize),
}

/// The way to that thread. It ends when this is dropped.
pub(super) struct Deck {
    asks: Sender<Ask>,
    told: UnboundedReceiver<Told>,
}

impl Deck {
    /// Starts on a recording.
    pub(super) fn start(tape: Tape, blank: impl Fn() -> State + Send + 'static) -> std::io::Result<Self> {
        let (asks, asked) = channel();
        let (tell, told) = unbounded_channel();
        let work = move || {
            let reel = Reel::new(&tape, blank);
            // Nobody is left to be told: that is its end.
            let _ = Work { tape, reel, asked, tell, seek: None, marks: Vec::new() }.run();
        };
        std::thread::Builder::new().name("reader".into()).spawn(work)?;
        Ok(Self { asks, told })
    }

    /// Goes to a moment; the last one that is asked for counts.
    pub(super) fn seek(&self, to: Duration) {
        let _ = self.asks.send(Ask::Seek(to));
    }

    /// The file became longer.
    pub(super) fn grown(&self) {
        let _ = self.asks.send(Ask::Grown);
    }

    /// What it tells next.
    pub(super) async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }
}

struct Work {
    tape: Tape,
    reel: Reel,
    asked: Receiver<Ask>,
    tell: UnboundedSender<Told>,
    seek: Option<Duration>,
    marks: Vec<Mark>,
}

impl Work {
    fn run(mut self) -> Option<()> {
        let mut told = Instant::now();
        loop {
            loop {
                match self.asked.try_recv() {
                    Ok(ask) => self.take(&ask),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return None,
                }
            }
            self.go()?;
            if let Some(marks) = self.reel.step(&self.tape) {
                self.marks.extend(marks);
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    self.tell()?;
                }
            } else {
                self.tell()?;
                self.go()?;
                // Nothing is left to read until somebody asks.
                let ask = self.asked.recv().ok()?;
                self.take(&ask);
            }
        }
    }

    fn take(&mut self, ask: &Ask) {
        match ask {
            Ask::Seek(to) => self.seek = Some(*to),
            Ask::Grown => {
                if let Err(e) = self.tape.grow() {
                    tracing::warn!("the recording cannot be read on: {e}");
                }
            }
        }
    }

    fn tell(&mut self) -> Option<()> {
        let read = match self.tape.records().get(self.reel.at()) {
            Some(next) => next.from_start,
            None => self.tape.length(),
        };
        self.tell.send(Told::Read(read, std::mem::take(&mut self.marks))).ok()
    }

    /// Goes where it is to, if it was read so far.
    fn go(&mut self) -> Option<()> {
        while let Some(to) = self.seek {
            let mut later = Vec::new();
            let asked = &self.asked;
            let found = self.reel.seen(&self.tape, to, || {
                later.extend(asked.try_recv());
                later.is_empty()
            });
            match found {
                Some((seen, next)) => {
                    self.seek = None;
                    // What happened until there is known before it is shown.
                    self.tell()?;
                    let at = to.max(self.tape.first_view());
                    self.tell.send(Told::There(Box::new(seen), at, next)).ok()?;
                }
                // Somewhere else, or not read yet.
                None if later.is_empty() => return Some(()),
                None => {}
            }
            for ask in later {
                self.take(&ask);
            }
        }
        Some(())
    }
}
