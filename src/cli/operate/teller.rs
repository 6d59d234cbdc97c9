//! Tells what happens while a plan is carried out: a bar that is rewritten on a terminal, a line an event elsewhere, and a
//! document an event on standard output where that was asked for. And hears what wants it to end.

use std::io::IsTerminal;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use unicode_width::UnicodeWidthChar;

use super::printed;
use super::report::{EventJson, EventKind};
use crate::cli::connect::print_json;
use crate::cli::voice;
use crate::config::{HangUp, OutputFormat};
use crate::model::units::{age, lasting};
use crate::ops::journal;
use crate::ops::past;
use crate::ops::standing::{Operation, Standing};
use crate::ops::{Haste, OpEvent, Progress, Stop};
use crate::term::{Signal, Signals};

/// The numbers of SIGHUP and SIGINT.
const HANGUP: u8 = 1;
const INTERRUPT: u8 = 2;
/// The bar is drawn so often, and progress is told so often in a stream.
const REDRAW: Duration = Duration::from_millis(250);
const TELL_PROGRESS: Duration = Duration::from_secs(1);
/// What does not end in spite of everything is left so long after it was told to.
const PATIENCE: Duration = Duration::from_secs(10);
const BAR: usize = 20;

/// Why it was to end before it had.
pub(super) enum Ending {
    /// Nobody wanted that.
    ByItself,
    /// A signal.
    Signal(u8),
    /// It did not end even when it was told that nobody waits.
    Deaf,
}

/// Tells, and hears.
#[allow(clippy::struct_excessive_bools)] // what it tells with, and what it has told
pub(super) struct Teller {
    pub(super) operation: Operation,
    pub(super) format: OutputFormat,
    pub(super) ascii: bool,
    pub(super) on_hangup: HangUp,
    /// When it must have ended, and how long that was.
    pub(super) until: Option<(Instant, Duration)>,
    /// A step was begun.
    pub(super) began: bool,
    /// A signal came that ends the program.
    pub(super) heard: bool,
    on_terminal: bool,
    shown: bool,
    told_progress: Option<Instant>,
}

impl Teller {
    pub(super) fn new(
        operation: Operation,
        format: OutputFormat,
        ascii: bool,
        on_hangup: HangUp,
        until: Option<(Instant, Duration)>,
    ) -> Self {
        let on_terminal =
            std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Self {
            operation,
            format,
            ascii,
            on_hangup,
            until,
            began: false,
            heard: false,
            on_terminal,
            shown: false,
            told_progress: None,
        }
    }

    /// Until the operation has ended.
    pub(super) async fn listen(
        &mut self,
        signals: &mut Signals,
        mut events: mpsc::UnboundedReceiver<OpEvent>,
        mut progress: watch::Receiver<Progress>,
        stop: &watch::Sender<Option<Stop>>,
        lock_lost: impl Future<Output = String>,
    ) -> Ending {
        let mut lock_lost = std::pin::pin!(lock_lost);
        let mut held = true;
        let mut ending = Ending::ByItself;
        let mut limit = self.until;
        let mut deaf: Option<Instant> = None;
        let far = Instant::now() + Duration::from_secs(86_400 * 365);
        let mut redraw = interval(REDRAW);
        redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                event = events.recv() => {
                    let Some(event) = event else {
                        self.clear();
                        return ending;
                    };
                    self.event(event);
                }
                signal = signals.next() => {
                    let Signal::End(number) = signal else { continue };
                    if self.signal(number, &mut ending, stop) == Haste::Abandon {
                        deaf.get_or_insert(Instant::now() + PATIENCE);
                    }
                }
                why = &mut lock_lost, if held => {
                    held = false;
                    self.line(&format!("{why}: stops {}", self.operation.safe_point()));
                    want(stop, Stop { why, haste: Haste::SafePoint });
                }
                () = sleep_until(limit.map_or(far, |(at, _)| at)), if limit.is_some() => {
                    let all = limit.take().map(|(_, all)| all).unwrap_or_default();
                    let why = format!("--timeout of {} is over", lasting(all));
                    self.line(&format!("{why}: nothing more is waited for"));
                    want(stop, Stop { why, haste: Haste::Abandon });
                    deaf.get_or_insert(Instant::now() + PATIENCE);
                },
                () = sleep_until(deaf.unwrap_or(far)), if deaf.is_some() => {
                    self.clear();
                    return Ending::Deaf;
                }
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    self.operation.progress = now;
                    self.progress();
                }
                // Who does not look now wants the last of them later, and not all.
                _ = redraw.tick(), if self.on_terminal && voice::is_heard() => self.draw(),
            }
        }
    }

    /// What a signal asks for.
    fn signal(&mut self, number: u8, ending: &mut Ending, stop: &watch::Sender<Option<Stop>>) -> Haste {
        if number == HANGUP && self.on_hangup == HangUp::Finish {
            self.line("the terminal is gone; the plan is carried out (--on-hangup finish)");
            return Haste::SafePoint;
        }
        // Who presses Ctrl-C wants no more of it; what ends for another reason may go on later.
        let why = if number == INTERRUPT { "ctrl-c was pressed" } else { past::PROGRAM_ENDS };
        let again = matches!(ending, Ending::Signal(_));
        *ending = Ending::Signal(number);
        self.heard = true;
        let haste = if again { Haste::Abandon } else { Haste::AtOnce };
        if again {
            self.line("nothing more is waited for");
        } else {
            let point = self.operation.safe_point();
            self.line(&format!(
                "{why}: stops {point}; once more, and what runs is left alone, its outcome unknown"
            ));
        }
        want(stop, Stop { why: why.to_owned(), haste });
        haste
    }

    fn event(&mut self, event: OpEvent) {
        let now = Timestamp::now();
        let heard = voice::is_heard();
        self.operation.take(event.clone(), now);
        if self.format == OutputFormat::Jsonl
            && let Some(what) = EventKind::of(&event, &self.operation)
        {
            printed(print_json(&EventJson { at: now, what }));
        }
        match event {
            OpEvent::Waiting { why, .. } => self.line(&format!("waits: {why}")),
            OpEvent::Began { step, .. } => {
                self.began = true;
                if let Some(title) = self.operation.steps.get(step).map(|(s, _)| s.title.clone()) {
                    self.line(&title);
                }
            }
            OpEvent::StepEnded { step, end, figures } => {
                if let Some((step, _)) = self.operation.steps.get(step) {
                    self.line(&journal::step_line(step, &end, &figures));
                }
            }
            OpEvent::Reordered(_) => self.line("another member leads by now: its turn comes last"),
            OpEvent::Answered { .. } | OpEvent::Ended(_) => {}
        }
        if heard {
            self.draw();
        }
    }

    fn progress(&mut self) {
        let due = self.told_progress.is_none_or(|at| at.elapsed() >= TELL_PROGRESS);
        if self.format == OutputFormat::Jsonl
            && due
            && let Some(what) = EventKind::far(self.operation.progress)
        {
            self.told_progress = Some(Instant::now());
            printed(print_json(&EventJson { at: Timestamp::now(), what }));
        }
    }

    /// A line that stays.
    pub(super) fn line(&mut self, text: &str) {
        self.clear();
        tell!("{} {text}", Timestamp::now().strftime("%H:%M:%SZ"));
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            voice::err("\r\x1b[K");
        }
    }

    /// The bar, in the place of the one before.
    fn draw(&mut self) {
        if !self.on_terminal || !self.operation.runs() {
            return;
        }
        let width =
            rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col));
        let bar = bar(&self.operation, Timestamp::now(), self.ascii);
        // A line that is full wraps, and is not where it was any more.
        let text = cut(&bar, width.saturating_sub(1));
        voice::err(&format!("\r{text}\x1b[K"));
        self.shown = true;
    }
}

/// What was wanted sooner is not taken back by what may wait.
fn want(stop: &watch::Sender<Option<Stop>>, wanted: Stop) {
    stop.send_if_modified(|stop| {
        let sooner = stop.as_ref().is_none_or(|s| s.haste < wanted.haste);
        if sooner {
            *stop = Some(wanted);
        }
        sooner
    });
}

/// `[████████············] 1/3  defragment m2  4 s of ~6 s`.
fn bar(operation: &Operation, now: Timestamp, ascii: bool) -> String {
    let all = operation.steps.len().max(1);
    let ended = operation.steps.iter().filter(|(_, s)| matches!(s, Standing::Ended(..))).count();
    let mut share = 0.0;
    let what = match operation.current() {
        Some((_, step, since)) => {
            let runs = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            match operation.progress {
                Progress::Bytes { done, of: Some(of), .. } if of.0 > 0 => share = done.share_of(of).min(1.0),
                Progress::Verifies => share = 1.0,
                _ => {
                    // Never whole before it is.
                    let estimate = step.estimate.filter(|e| !e.is_zero());
                    share = estimate.map_or(0.0, |e| (runs.as_secs_f64() / e.as_secs_f64()).min(0.95));
                }
            }
            let far = match operation.progress {
                Progress::Unknown => {
                    let of = step.estimate.map_or_else(String::new, |e| format!(" of ~{}", age(e)));
                    format!("{}{of}", age(runs))
                }
                known => known.to_string(),
            };
            format!("{}  {far}", step.title)
        }
        None => operation.waiting.as_ref().map_or_else(String::new, |why| format!("waits: {why}")),
    };
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    // of a bar
    let full = (((ended as f64 + share) / all as f64) * BAR as f64) as usize;
    let (done, ahead) = if ascii { ("#", ".") } else { ("█", "·") };
    let full = full.min(BAR);
    format!("[{}{}] {ended}/{all}  {what}", done.repeat(full), ahead.repeat(BAR - full))
}

fn cut(text: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noon, rolling};

    #[test]
    fn a_bar_says_what_runs_and_how_far_it_is() {
        let mut operation = rolling();
        assert_eq!(bar(&operation, noon(), true), "[....................] 0/3  ");
        operation.take(OpEvent::Began { step: 0, at: noon() }, noon());
        let later = noon().checked_add(Duration::from_secs(4)).unwrap();
        let drawn = bar(&operation, later, true);
        assert!(
            drawn.starts_with('[') && drawn.contains("0/3  defragment m") && drawn.ends_with("4 s"),
            "{drawn}"
        );
        assert_eq!(cut("日本語", 5), "日本");
    }
}
