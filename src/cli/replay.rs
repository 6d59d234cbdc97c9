//! `etcdtop replay`: a recording on the dashboard. The same state, the same screens; the source is a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use color_eyre::Result;
use color_eyre::eyre::eyre;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::args::Cli;
use super::connect::settings;
use super::dashboard::{looks, need_terminal, runtime};
use super::deck::{Deck, Told};
use super::display::{Display, drain};
use super::exit::Exit;
use super::follow::{Next, Trail};
use super::{record, summary};
use crate::app::replay::{News, Replay, access, begin};
use crate::app::seen::Seen;
use crate::app::state::Look;
use crate::app::update::next_deadline;
use crate::app::{Effect, Keymap, Msg, State, update};
use crate::config::Settings;
use crate::model::ClusterView;
use crate::model::text::printable;
use crate::recording::tape::UNENDED;
use crate::recording::{Cursor, Entry, Hidden, Player, Tape};
use crate::term::{self, Guard, Input, Signal, Signals};

/// The recording that comes with the program: a real incident.
const SHIPPED: &[u8] = include_bytes!("../../assets/incident.etcdtop");
/// Its name.
const SHIPPED_NAME: &str = "the recording that comes with etcdtop";
/// How often a file that is still being written is looked at.
const GROWS_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether a lab was begun anew.
const LAB_EVERY: Duration = Duration::from_secs(1);
/// A machine that was stopped goes on from where it was.
const LONGEST_STEP: Duration = Duration::from_millis(500);

/// What `replay` takes.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The recording [default: one of a real incident that comes with etcdtop]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Begin at the end, and go on as more is recorded
    #[arg(long, requires = "file", conflicts_with_all = ["summary", "anonymise"])]
    pub follow: bool,
    /// Print what happened, as Markdown or with -o json, instead of showing it
    #[arg(long, conflicts_with = "anonymise")]
    pub summary: bool,
    /// Write it once more, with names, hosts, addresses, ids, paths, keys and checksums replaced
    #[arg(long, value_name = "FILE")]
    pub anonymise: Option<PathBuf>,
}

/// Opens the file, or the one that comes with the program.
fn open(file: Option<&Path>) -> Result<Tape> {
    Ok(match file {
        Some(file) => Tape::open(file)?,
        None => Tape::of_bytes(SHIPPED_NAME, SHIPPED.into())?,
    })
}

pub(super) fn run(cli: &Cli, args: &ReplayArgs) -> Result<Exit> {
    if let Some(flag) = cli.cluster_flag() {
        return Err(eyre!("{flag} names a cluster, and a replay asks none: leave it out"));
    }
    let settings = settings(cli)?;
    if args.summary {
        return summary::run(&open(args.file.as_deref())?, &settings);
    }
    if let Some(to) = &args.anonymise {
        return anonymise(&open(args.file.as_deref())?, to);
    }
    show(&settings, args.file.as_deref(), args.follow, None)
}

/// A recording that was opened, and a dashboard that has seen nothing of it but its beginning.
struct Opened {
    tape: Tape,
    deck: Deck,
    state: State,
    /// What should be known about it first.
    notice: Option<String>,
}

/// Keys and colours of every recording that is shown.
type Looks = (Keymap, Look);

fn load(looks: &Looks, file: Option<&Path>, follow: bool) -> Result<Opened> {
    let (tape, ahead) = (open(file)?, open(file)?);
    let follow = follow && !tape.ended();
    let (keymap, look) = looks.clone();
    let meta = tape.meta().clone();
    let from = tape.from();
    let notices: Vec<_> = tape.notices().into_iter().filter(|n| !(follow && n == UNENDED)).collect();
    let notice = notices.first().cloned();
    let blank = move || {
        let view = Arc::new(ClusterView::empty(from));
        let mut state = State::new(view, access(&meta), look, keymap.clone(), meta.interval());
        begin(&mut state, &meta, notices.clone());
        state
    };
    let mut state = blank();
    state.replay = Some(Box::new(Replay {
        name: printable(&tape.path().display().to_string()).into_owned(),
        length: tape.length(),
        player: Player::default(),
        clock: from,
        marks: Vec::new(),
        gaps: tape.gaps().collect(),
        read: Duration::ZERO,
        seeking: None,
        follows: follow,
    }));
    let deck = Deck::start(ahead, blank)?;
    Ok(Opened { tape, deck, state, notice })
}

/// Shows a recording on the dashboard; one of a lab, and the next ones when it is begun anew.
pub(super) fn show(
    settings: &Settings,
    file: Option<&Path>,
    follow: bool,
    trail: Option<Trail>,
) -> Result<Exit> {
    let (keymap, depth, look) = looks(settings)?;
    let looks = (keymap, look);
    let Opened { tape, deck, mut state, notice } = load(&looks, file, follow)?;
    need_terminal().map_err(|_| {
        eyre!("a replay needs a terminal; etcdtop replay FILE --summary prints what happened")
    })?;
    let runtime = runtime()?;
    let exit = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let guard = Guard::take()?;
        let mut this = Loop {
            display: Display::new(&guard, depth, &mut state),
            state,
            tape,
            cursor: Cursor::default(),
            deck,
            looks,
            trail,
            anew: None,
            stepped: Instant::now(),
            looked: Instant::now(),
        };
        this.run(&mut signals, notice).await
    });
    runtime.shutdown_background();
    exit
}

struct Loop<'a> {
    display: Display<'a>,
    state: State,
    tape: Tape,
    cursor: Cursor,
    deck: Deck,
    looks: Looks,
    /// Of a lab: where it goes on when it is begun anew.
    trail: Option<Trail>,
    /// It goes on there, as soon as somebody has come to the end of this one.
    anew: Option<PathBuf>,
    /// When the recording was moved on last.
    stepped: Instant,
    /// When it was looked last whether there is more.
    looked: Instant,
}

impl Loop<'_> {
    async fn run(&mut self, signals: &mut Signals, notice: Option<String>) -> Result<Exit> {
        let this = self;
        let mut input = Input::default();
        this.take(Msg::Tick(Timestamp::now()))?;
        if let Some(notice) = notice {
            this.state.say(notice, true);
        }
        // What can be shown first, at once.
        let first = this.tape.first_view();
        this.play_to(first)?;
        if this.replay(|r| r.follows) == Some(true) {
            this.seek_end();
        }
        this.display.draw(&mut this.state)?;
        loop {
            let deadline = this.deadline();
            let follows = this.replay(|r| r.follows) == Some(true);
            let looks_every = if follows { GROWS_EVERY } else { LAB_EVERY };
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    Signal::End(number) => return Ok(Exit::Signal(number)),
                    Signal::Suspend => this.suspend()?,
                    Signal::Continue => this.retake()?,
                },
                msg = input.next() => match msg {
                    None => return Ok(Exit::Signal(1)), // the terminal is gone, as with SIGHUP
                    Some(first) => {
                        let (ready, burst) = drain(first, &mut input).await;
                        this.take(Msg::Tick(Timestamp::now()))?;
                        this.step()?;
                        this.state.burst = burst;
                        for msg in ready {
                            if let Some(exit) = this.take(msg)? {
                                return Ok(exit);
                            }
                        }
                        this.display.draw(&mut this.state)?;
                    }
                },
                told = this.deck.next() => {
                    match told {
                        Some(Told::Read(until, marks)) => {
                            this.take(Msg::Replay(News::Read(until, marks)))?;
                        }
                        Some(Told::There(seen, at, next)) => {
                            this.cursor.seek(&this.tape, next);
                            this.stepped = Instant::now();
                            let clock = this.tape.clock(at);
                            this.take(Msg::Replay(News::There(seen, at, clock)))?;
                        }
                        None => return Err(eyre!("reading the recording ended by an internal error")),
                    }
                    this.display.changed();
                }
                () = sleep_until(this.looked + looks_every), if follows || this.trail.is_some() => {
                    this.looked = Instant::now();
                    if follows {
                        this.grow()?;
                    } else {
                        this.go_on()?;
                    }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    this.take(Msg::Tick(Timestamp::now()))?;
                    this.step()?;
                    this.display.draw(&mut this.state)?;
                }
            }
        }
    }

    fn replay<T>(&self, of: impl FnOnce(&Replay) -> T) -> Option<T> {
        self.state.replay.as_deref().map(of)
    }

    fn seek_end(&mut self) {
        let end = self.tape.length();
        if let Some(replay) = &mut self.state.replay {
            replay.seeking = Some(end);
        }
        self.deck.seek(end);
    }

    /// Moves the recording on by the time that went by.
    fn step(&mut self) -> Result<()> {
        let elapsed = self.stepped.elapsed().min(LONGEST_STEP);
        self.stepped = Instant::now();
        let Some(mut player) = self.replay(|r| r.player) else { return Ok(()) };
        if !player.playing || self.replay(|r| r.seeking.is_some()) == Some(true) {
            return Ok(());
        }
        player.advance(elapsed, self.tape.length());
        self.play_to(player.at)
    }

    /// Takes everything that is due so far from the beginning.
    fn play_to(&mut self, at: Duration) -> Result<()> {
        let end = self.tape.due(at);
        while let Some((record, entry)) = self.cursor.next_before(&self.tape, end) {
            self.take(Msg::Replay(News::Entry(record.at, Box::new(entry))))?;
        }
        let clock = self.tape.clock(at);
        self.take(Msg::Replay(News::Time(at, clock)))?;
        Ok(())
    }

    /// Reads what was recorded since.
    fn grow(&mut self) -> Result<()> {
        let at_end = self.replay(|r| r.at_end() && r.player.playing && r.seeking.is_none()) == Some(true);
        // Before the file: what an owner that has ended wrote last is in it.
        let over = self.trail.as_ref().is_some_and(Trail::is_over);
        let grown = self.tape.grow()?;
        if grown {
            self.deck.grown();
            let (length, gaps) = (self.tape.length(), self.tape.gaps().collect());
            self.take(Msg::Replay(News::Grown(length, gaps)))?;
            if at_end {
                // Who looks at the newest goes on doing so.
                self.play_to(length)?;
                self.stepped = Instant::now();
            }
        }
        let said = match (self.tape.ended(), &self.trail) {
            (true, None) => "the recording was ended: nothing more comes",
            (true, Some(_)) => "the lab has ended here: when it is begun anew, it goes on with that",
            (false, Some(_)) if over => {
                self.trail = None;
                "the lab was killed: nothing more comes"
            }
            (false, _) => {
                if grown {
                    self.display.changed();
                }
                return Ok(());
            }
        };
        if let Some(replay) = &mut self.state.replay {
            replay.follows = false;
            // Who looks at the newest has come to the end with this.
            replay.player.playing &= !at_end;
        }
        self.say(said);
        Ok(())
    }

    fn say(&mut self, text: &str) {
        self.state.say(text, false);
        self.display.changed();
    }

    /// Looks whether the lab was begun anew, and goes on with that. Who looks at something that was before is left there until he
    /// comes to the end.
    fn go_on(&mut self) -> Result<()> {
        let Some(trail) = &mut self.trail else { return Ok(()) };
        if self.anew.is_none() {
            match trail.next() {
                Next::Nothing => {}
                Next::Gone => {
                    self.trail = None;
                    self.say("the lab has ended: nothing more comes");
                }
                Next::Anew(file) => {
                    self.anew = Some(file);
                    if self.replay(Replay::at_end) == Some(false) {
                        self.say("the lab was begun anew: at the end of this recording it goes on there");
                    }
                }
            }
        }
        if self.replay(|r| r.at_end() && r.seeking.is_none()) != Some(true) {
            return Ok(());
        }
        let Some(file) = self.anew.take() else { return Ok(()) };
        match load(&self.looks, Some(&file), true) {
            Ok(next) => self.change_to(next),
            Err(e) => {
                // It was begun anew once more meanwhile.
                tracing::info!("{}: {e}", file.display());
                Ok(())
            }
        }
    }

    /// Shows another recording. What somebody looks at, and how, stays.
    fn change_to(&mut self, next: Opened) -> Result<()> {
        let (state, fresh) = (&mut self.state, next.state);
        Seen::of(&fresh).put(state);
        state.access = fresh.access;
        state.notices = fresh.notices;
        state.changes.snapshots = fresh.changes.snapshots;
        state.changes.proof_key = fresh.changes.proof_key;
        state.replay = fresh.replay;
        // Of the other cluster.
        state.selected = None;
        state.mark = None;
        (self.tape, self.deck, self.cursor) = (next.tape, next.deck, Cursor::default());
        self.stepped = Instant::now();
        self.play_to(self.tape.length())?;
        self.say("the lab was begun anew: this is what comes now");
        Ok(())
    }

    /// The next moment at which something has to be drawn without anybody doing anything.
    fn deadline(&self) -> Option<Instant> {
        let toast = next_deadline(&self.state).map(|at| {
            Instant::now() + Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
        });
        let moves = self.replay(|r| {
            if r.seeking.is_some() || r.player.at >= self.tape.length() {
                return None;
            }
            // The next record, or the next second on its clock, whichever comes first.
            let next = self.tape.records().get(self.cursor.at()).map_or(self.tape.length(), |n| n.from_start);
            let into = Duration::from_nanos(u64::try_from(r.clock.subsec_nanosecond()).unwrap_or(0));
            let second = r.player.at + Duration::from_secs(1).saturating_sub(into);
            let wait = r.player.until(next.min(second).max(r.player.at))?;
            Some((self.stepped + wait).max(self.display.earliest()))
        });
        [self.display.due(), toast, moves.flatten()].into_iter().flatten().min()
    }

    /// The terminal is ours again; the recording stood still meanwhile.
    fn retake(&mut self) -> Result<()> {
        self.display.retake(&mut self.state)?;
        self.stepped = Instant::now();
        Ok(())
    }

    fn suspend(&mut self) -> Result<()> {
        self.display.suspend(&mut self.state)?;
        self.stepped = Instant::now();
        Ok(())
    }

    /// Changes the state and does what follows from it. Some: leave.
    fn take(&mut self, msg: Msg) -> Result<Option<Exit>> {
        for effect in update(&mut self.state, msg) {
            match effect {
                Effect::Seek(to) => self.deck.seek(to),
                Effect::Copy(text) => term::clipboard::copy(&text)?,
                Effect::SetMouse(on) => self.display.set_mouse(on)?,
                Effect::Redraw => self.display.redraw_all(&mut self.state),
                Effect::Suspend => self.suspend()?,
                Effect::Quit => return Ok(Some(Exit::Done)),
                // Of a cluster and of files: a recording has neither.
                Effect::PollNow
                | Effect::SetInterval(_)
                | Effect::Start(..)
                | Effect::StopOperation
                | Effect::ReadJournal
                | Effect::Shelf(_)
                | Effect::Compare
                | Effect::Lab(_)
                | Effect::Fleet
                | Effect::OpenContext(_)
                | Effect::Record => {}
            }
        }
        Ok(None)
    }
}

/// Writes a recording once more, without what names the cluster.
fn anonymise(tape: &Tape, to: &Path) -> Result<Exit> {
    let names = vec![(tape.meta().name.clone(), "cluster-name".to_owned())];
    let mut hidden = Hidden::for_recording(names);
    // All names first: journal and folder of snapshots are told before the first view.
    let mut cursor = Cursor::default();
    while let Some((_, entry)) = cursor.next(tape) {
        hidden.learn_from(&entry);
    }
    // What it had lost it has lost in the copy, too; that it has no end is seen there.
    hidden.lost(tape.notices().into_iter().filter(|n| n != UNENDED).collect());
    let mut recorder = record::create(to, Some(hidden))?;
    let mut cursor = Cursor::default();
    while let Some((record, entry)) = cursor.next(tape) {
        if entry != Entry::End {
            recorder.take_waiting(record.at, entry);
        }
    }
    let written = if tape.ended() { recorder.end(tape.clock(tape.length())) } else { recorder.close() };
    let written = written.map_err(|why| eyre!("{} cannot be written: {why}", to.display()))?;
    eprintln!("etcdtop: {}", record::told(to, written));
    for notice in tape.notices() {
        eprintln!("etcdtop: {}: {notice}", tape.path().display());
    }
    Ok(Exit::Done)
}
