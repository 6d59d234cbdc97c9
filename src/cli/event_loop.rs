//! The dashboard's loop: one select, one draw. Ties together poll, app, ui and term.

use std::sync::Arc;
use std::time::Duration;

use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::connect::poll_options;
use super::dashboard::{Left, Opening};
use super::display::{Display, drain};
use super::exit::Exit;
use super::operations::Runner;
use super::record::Tee;
use super::shelf::Shelf;
use crate::app::coach::LabWish;
use crate::app::shelf::Work;
use crate::app::state::Screen;
use crate::app::update::next_deadline;
use crate::app::{Effect, Msg, State, update};
use crate::etcd::Dialer;
use crate::lab::session::Session;
use crate::model::ClusterView;
use crate::model::coach::CoachView;
use crate::model::hashes::Comparison;
use crate::ops::{Haste, Plan};
use crate::poll::compare::compare;
use crate::poll::{self, Poll};
use crate::term::{self, Depth, Guard, Input, Signal, Signals};

/// How often it is looked whether another etcdtop wrote to the journal.
const JOURNAL_EVERY: Duration = Duration::from_secs(3);

/// How often the folder of snapshots is listed while its view is not open.
const FOLDER_EVERY: Duration = Duration::from_secs(60);

/// What the loop turns around.
pub(super) struct Loop<'a> {
    pub(super) state: State,
    display: Display<'a>,
    poll: Option<Poll>,
    dialer: Option<Dialer>,
    pub(super) runner: Runner,
    shelf: Shelf,
    pub(super) tee: Tee,
    comparing: Option<JoinHandle<Result<Comparison, String>>>,
    session: Option<&'a Session>,
    coach: Option<watch::Receiver<CoachView>>,
    /// When it was last looked whether the journal has changed.
    journal_read: Instant,
    /// When the folder of snapshots was listed last.
    folder_read: Instant,
}

impl<'a> Loop<'a> {
    pub(super) fn new(
        mut state: State,
        depth: Depth,
        guard: &'a Guard,
        runner: Runner,
        tee: Tee,
        session: Option<&'a Session>,
    ) -> Self {
        let display = Display::new(guard, depth, &mut state);
        let shelf = Shelf::new(state.changes.snapshots.clone());
        Self {
            state,
            display,
            poll: None,
            dialer: None,
            runner,
            shelf,
            tee,
            comparing: None,
            coach: session.map(Session::coach),
            session,
            journal_read: Instant::now(),
            folder_read: Instant::now(),
        }
    }

    pub(super) async fn run(
        &mut self,
        opening: Opening,
        signals: &mut Signals,
        input: &mut Input,
    ) -> Result<Left> {
        let this = self;
        // The first frame, before anything is connected.
        this.display.draw(&mut this.state)?;
        let mut discovery = None;
        let mut views = match opening {
            Opening::Ready(options) => this.start(options),
            Opening::Discover(access, settings) => {
                discovery = Some(tokio::spawn(async move { poll_options(*access, &settings).await }));
                // Nothing comes on this one until the endpoints are known.
                watch::channel(Arc::clone(&this.state.view)).1
            }
        };
        let mut polling = discovery.is_none();
        loop {
            let deadline = this.deadline();
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    Signal::End(number) => return Ok(Left::For(Exit::Signal(number))),
                    // As the key: an operation must not stand still with us.
                    Signal::Suspend if this.runner.runs() => {}
                    Signal::Suspend => this.display.suspend(&mut this.state)?,
                    Signal::Continue => this.display.retake(&mut this.state)?,
                },
                msg = input.next() => match msg {
                    None => return Ok(Left::For(Exit::Signal(1))), // the terminal is gone, as with SIGHUP
                    Some(first) => {
                        let (ready, burst) = drain(first, input).await;
                        this.take(Msg::Tick(Timestamp::now()))?;
                        this.state.burst = burst;
                        for msg in ready {
                            if let Some(left) = this.take(msg)? {
                                return Ok(left);
                            }
                        }
                        this.display.draw(&mut this.state)?;
                    }
                },
                found = async { discovery.as_mut().ok_or(())?.await.map_err(|_| ()) }, if discovery.is_some() => {
                    discovery = None;
                    match found {
                        Ok(options) => views = this.start(options?),
                        Err(()) => return Err(eyre!("looking up the endpoints failed")),
                    }
                    polling = true;
                }
                msg = this.runner.next() => {
                    if let Some(left) = this.take(msg)? {
                        return Ok(left);
                    }
                    this.display.changed();
                }
                msg = this.shelf.next() => {
                    this.take(msg)?;
                    this.display.changed();
                }
                msg = this.tee.next(&this.state) => {
                    this.take(msg)?;
                    this.display.changed();
                }
                outcome = async { this.comparing.as_mut().ok_or(())?.await.map_err(|_| ()) }, if this.comparing.is_some() => {
                    this.comparing = None;
                    let outcome = outcome.unwrap_or_else(|()| Err("internal error".to_owned()));
                    if let (Some(session), Ok(comparison)) = (this.session, &outcome) {
                        session.compared(comparison.clone());
                    }
                    this.take(Msg::Compared(outcome))?;
                    this.display.changed();
                }
                coach = next_of(&mut this.coach) => {
                    this.take(Msg::Coach(Some(Box::new(coach))))?;
                    this.display.changed();
                }
                changed = views.changed(), if polling => {
                    if changed.is_err() {
                        polling = false;
                        this.state.say("polling has ended by an internal error: leave and start again", true);
                    } else {
                        let view = Arc::clone(&views.borrow_and_update());
                        this.take_view(view)?;
                    }
                    this.display.changed();
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    if this.display.due().is_none() {
                        this.take(Msg::Tick(Timestamp::now()))?;
                    }
                    this.display.draw(&mut this.state)?;
                }
            }
        }
    }

    fn start(&mut self, options: poll::Options) -> watch::Receiver<Arc<ClusterView>> {
        self.dialer = Some(options.dialer.clone());
        let poll = Poll::start(options);
        let views = poll.views();
        if let Some(session) = self.session {
            session.follow(poll.views());
        }
        self.poll = Some(poll);
        views
    }

    /// Takes a view; looks after the journal and the folder of snapshots, which others may have written to.
    fn take_view(&mut self, view: Arc<ClusterView>) -> Result<()> {
        let before = self.state.view.cluster_id;
        self.take(Msg::View(view))?;
        // Another etcdtop may have begun something.
        if self.journal_read.elapsed() >= JOURNAL_EVERY
            && let Some(cluster) = self.state.view.cluster_id
        {
            self.journal_read = Instant::now();
            self.runner.read_if_changed(cluster);
            // Somebody else may have saved one.
            if self.state.screen == Screen::Snapshots || self.folder_read.elapsed() >= FOLDER_EVERY {
                self.folder_read = Instant::now();
                self.shelf.begin(Work::List);
            }
        }
        if let Some(cluster) = self.state.view.cluster_id.filter(|c| before != Some(*c)) {
            self.runner.read(cluster);
            self.shelf.begin(Work::List);
        }
        Ok(())
    }

    /// Compares the members' data beside the loop.
    fn compare(&mut self) {
        let (Some(poll), Some(dialer)) = (&self.poll, self.dialer.clone()) else { return };
        let (view, poll) = (self.state.newest(), poll.handle());
        self.comparing = Some(tokio::spawn(async move { compare(&view, &poll, &dialer).await }));
    }

    /// Asks something of the lab's scenario. Some: leave, to begin it anew.
    fn lab(&self, wish: LabWish) -> Option<Exit> {
        let session = self.session?;
        match wish {
            LabWish::Hint => session.hint(),
            LabWish::Act(choice) => session.act(choice),
            LabWish::Restart => {
                session.anew();
                return Some(Exit::Done);
            }
        }
        None
    }

    /// Starts a confirmed plan; why it cannot be started.
    fn start_operation(&mut self, plan: Plan, typed: &str) -> Result<(), String> {
        let (Some(poll), Some(dialer)) = (&self.poll, &self.dialer) else {
            return Err("no cluster is known yet".into());
        };
        self.runner.start(plan, typed, poll, dialer)
    }

    /// The next moment at which something has to be drawn without anybody doing anything.
    fn deadline(&self) -> Option<Instant> {
        if let Some(due) = self.display.due() {
            return Some(due);
        }
        let at = next_deadline(&self.state)?;
        let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
        Some(Instant::now() + wait)
    }

    /// Changes the state and does what follows from it. Some: leave.
    fn take(&mut self, msg: Msg) -> Result<Option<Left>> {
        self.tee.take(&self.state, &msg);
        for effect in update(&mut self.state, msg) {
            self.tee.take_deed(&self.state, &effect);
            match effect {
                Effect::PollNow => {
                    if let Some(poll) = &self.poll {
                        poll.poll_now();
                    }
                }
                Effect::SetInterval(pause) => {
                    if let Some(poll) = &self.poll {
                        poll.set_interval(pause);
                    }
                }
                Effect::Copy(text) => term::clipboard::copy(&text)?,
                Effect::SetMouse(on) => self.display.set_mouse(on)?,
                Effect::Redraw => self.display.redraw_all(&mut self.state),
                Effect::Suspend => self.display.suspend(&mut self.state)?,
                Effect::Compare => self.compare(),
                Effect::Record => self.tee.toggle(&self.state),
                // There is nowhere to go to: this is now. The other is of the fleet alone.
                Effect::Seek(_) | Effect::OpenContext(_) => {}
                Effect::Start(plan, typed) => {
                    if let Err(why) = self.start_operation(*plan, &typed) {
                        let msg = Msg::Refused(why);
                        self.tee.take(&self.state, &msg);
                        update(&mut self.state, msg);
                    }
                }
                Effect::StopOperation => self.runner.stop("x was pressed", Haste::AtOnce),
                Effect::ReadJournal => {
                    if let Some(cluster) = self.state.view.cluster_id {
                        self.runner.read(cluster);
                    }
                }
                Effect::Shelf(work) => self.shelf.begin(work),
                Effect::Lab(wish) => {
                    if let Some(exit) = self.lab(wish) {
                        return Ok(Some(Left::For(exit)));
                    }
                }
                // What was begun a moment ago is not on screen yet.
                Effect::Fleet if self.runner.busy() || self.tee.busy() => {
                    self.state.say("something was begun just now: once more in a moment", true);
                }
                Effect::Fleet => return Ok(Some(Left::Fleet)),
                Effect::Quit => return Ok(Some(Left::For(Exit::Done))),
            }
        }
        Ok(None)
    }
}

/// What the coach says next; never anything where there is none.
async fn next_of(coach: &mut Option<watch::Receiver<CoachView>>) -> CoachView {
    if let Some(it) = coach {
        if it.changed().await.is_ok() {
            return it.borrow_and_update().clone();
        }
        *coach = None;
    }
    std::future::pending().await
}
