//! What a loop draws on: the terminal, when it drew last, and when it is to draw again. The dashboard's loop and that of a
//! replay have one each.

use std::time::Duration;

use color_eyre::Result;
use tokio::time::Instant;

use crate::app::{Msg, State};
use crate::term::{self, Depth, Guard, Input, Painter, Signals};
use crate::ui;

/// Two frames are at least so far apart, unless a key was pressed.
const FRAME: Duration = Duration::from_millis(33);

/// Nobody types so many keys between two turns of the loop: more are a paste that the terminal did not mark.
const BURST: usize = 3;

/// The terminal with its keys, and signals: what the loops that follow one another share.
pub(super) struct Terminal {
    pub(super) guard: Guard,
    pub(super) signals: Signals,
    pub(super) input: Input,
}

impl Terminal {
    /// Takes the terminal.
    pub(super) fn take() -> Result<Self> {
        // Before that: a signal from now on ends the loop in order.
        let signals = Signals::listen()?;
        Ok(Self { guard: Guard::take()?, signals, input: Input::default() })
    }
}

/// The terminal of a loop.
pub(super) struct Display<'a> {
    painter: Painter,
    guard: &'a Guard,
    drawn: Instant,
    due: Option<Instant>,
}

impl<'a> Display<'a> {
    /// Takes the size of the terminal; draws nothing yet.
    pub(super) fn new(guard: &'a Guard, depth: Depth, state: &mut State) -> Self {
        state.size = Guard::size();
        Self { painter: Painter::new(depth), guard, drawn: Instant::now(), due: None }
    }

    /// Something visible changed: a frame is due, at least [`FRAME`] after the last one.
    pub(super) fn changed(&mut self) {
        self.changed_at_leisure(FRAME);
    }

    /// When the next frame is due, if something changed.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The earliest moment for another frame that nobody pressed a key for.
    pub(super) fn earliest(&self) -> Instant {
        self.drawn + FRAME
    }

    /// The same for what nobody waits for: so many changes at once are drawn together, this long after the last frame.
    pub(super) fn changed_at_leisure(&mut self, after: Duration) {
        self.due.get_or_insert(self.drawn + after);
    }

    /// Draws now.
    pub(super) fn draw(&mut self, state: &mut State) -> Result<()> {
        let (width, height) = state.size;
        state.keep_scroll(ui::most_scroll(state));
        let mut frame = Painter::blank(width, height);
        ui::draw(state, frame.area, &mut frame);
        self.painter.paint(frame)?;
        self.drawn = Instant::now();
        self.due = None;
        Ok(())
    }

    /// Everything is drawn anew, whatever stands there.
    pub(super) fn redraw_all(&mut self, state: &mut State) {
        state.size = Guard::size();
        self.painter.forget();
        self.due = Some(Instant::now());
    }

    /// Mouse reports on or off.
    pub(super) fn set_mouse(&self, on: bool) -> Result<()> {
        Ok(self.guard.set_mouse(on)?)
    }

    /// Back to the shell, until SIGCONT.
    pub(super) fn suspend(&mut self, state: &mut State) -> Result<()> {
        self.guard.release();
        term::signals::stop_job()?;
        // Stopped here until SIGCONT.
        self.retake(state)
    }

    /// Takes the terminal again and draws everything.
    pub(super) fn retake(&mut self, state: &mut State) -> Result<()> {
        self.guard.retake()?;
        if state.mouse {
            self.guard.set_mouse(true)?;
        }
        self.redraw_all(state);
        Ok(())
    }
}

/// What is ready is taken whole, then drawn once: a held key must not queue up frames. Whether it came as fast as a paste.
pub(super) async fn drain(first: Msg, input: &mut Input) -> (Vec<Msg>, bool) {
    let mut ready = vec![first];
    while let Some(next) = input.ready().await {
        ready.push(next);
    }
    let burst = ready.iter().filter(|m| matches!(m, Msg::Key(_))).count() > BURST;
    (ready, burst)
}
