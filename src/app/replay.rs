//! A recording on the dashboard: where it is, what came of its entries, and the keys that move it.

use std::time::Duration;

use jiff::Timestamp;
use tui_input::Input;

use super::key::{Key, KeyCode};
use super::keymap::ActionId;
use super::overlay;
use super::seen::Seen;
use super::state::{Access, Overlay, State};
use super::update::{Effect, Msg, update};
use crate::model::{Finding, Severity};
use crate::recording::player::Goal;
use crate::recording::{Did, Entry, Meta, Player};

/// Something that happened, on the bar of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How far from the beginning.
    pub at: Duration,
    /// How bad.
    pub severity: Severity,
    /// What, safe to print.
    pub line: String,
}

/// The recording that is shown instead of a cluster.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Its file.
    pub name: String,
    /// How long it is.
    pub length: Duration,
    /// Where it is.
    pub player: Player,
    /// The clock of then.
    pub clock: Timestamp,
    /// What happened, in order, as far as it was read.
    pub marks: Vec<Mark>,
    /// Where nothing was recorded: from where, and for how long.
    pub gaps: Vec<(Duration, Duration)>,
    /// So far it was read ahead.
    pub read: Duration,
    /// Where it goes as soon as it was read so far.
    pub seeking: Option<Duration>,
    /// It is still being written, and goes on when more comes.
    pub follows: bool,
}

/// What the one who reads the recording tells.
#[derive(Clone, Debug)]
pub enum News {
    /// An entry's turn has come, by the clock of then.
    Entry(Timestamp, Box<Entry>),
    /// Time went by: how far it is from the beginning, and the clock of then.
    Time(Duration, Timestamp),
    /// It was read ahead so far; what happened there.
    Read(Duration, Vec<Mark>),
    /// It is somewhere else now: what was seen until then.
    There(Box<Seen>, Duration, Timestamp),
    /// It became longer.
    Grown(Duration, Vec<(Duration, Duration)>),
}

impl Replay {
    /// The event before, leaving out those of the moment that is shown.
    #[must_use]
    pub fn before(&self) -> Option<&Mark> {
        // One who presses the key twice goes back twice, though it plays on meanwhile.
        let grace = if self.player.playing { Duration::from_secs(2) } else { Duration::ZERO };
        let at = self.target().saturating_sub(grace);
        self.marks.iter().rev().find(|m| m.at < at)
    }

    /// The event that comes next.
    #[must_use]
    pub fn after(&self) -> Option<&Mark> {
        self.marks.iter().find(|m| m.at > self.target())
    }

    /// The gap that it is in: how long that is.
    #[must_use]
    pub fn gap(&self) -> Option<Duration> {
        let at = self.player.at;
        self.gaps
            .iter()
            .find(|(from, long)| *from < at && at < from.saturating_add(*long))
            .map(|(_, long)| *long)
    }

    /// Where it is, or goes to.
    fn target(&self) -> Duration {
        self.seeking.unwrap_or(self.player.at)
    }

    /// Whether it shows the end of what there is.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.target() >= self.length
    }

    /// How far a moment that was typed is from the beginning. `midnight`: how far the day of what is shown began before the
    /// beginning; the time of day may be of the day before or after.
    fn moment(&self, goal: Goal, clock: impl Fn(i8, i8, i8) -> Option<Duration>) -> Option<Duration> {
        Some(match goal {
            Goal::Share(n) => self.length.saturating_mul(n) / 100,
            Goal::On(by) => self.target().saturating_add(by),
            Goal::Back(by) => self.target().saturating_sub(by),
            Goal::Clock(h, m, s) => clock(h, m, s)?,
        })
    }
}

impl State {
    /// A time of day in the recording: how far from the beginning; none when it has no such moment.
    fn time_of_day(&self, h: i8, m: i8, s: i8) -> Option<Duration> {
        let replay = self.replay.as_ref()?;
        let from = replay.clock.checked_sub(replay.player.at).ok()?;
        let mut day = from.to_zoned(self.zone.clone()).date();
        // The first day on which the recording has such a moment.
        for _ in 0..=replay.length.as_secs() / 86_400 + 1 {
            let at = day.at(h, m, s, 0).to_zoned(self.zone.clone()).ok()?.timestamp();
            if let Ok(far) = Duration::try_from(at.duration_since(from))
                && far <= replay.length
            {
                return Some(far);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }
}

/// What the header says of a recording.
#[must_use]
pub fn access(meta: &Meta) -> Access {
    Access {
        name: meta.name.clone(),
        origin: meta.origin.clone(),
        read_only: meta.read_only.clone(),
        lab: meta.lab,
        follower: true,
    }
}

/// Takes what the recording's beginning tells of settings, and what should be known about the file itself.
pub fn begin(state: &mut State, meta: &Meta, notices: Vec<String>) {
    state.changes.snapshots.clone_from(&meta.snapshots);
    state.changes.proof_key.clone_from(&meta.proof_key);
    for line in &meta.notices {
        state.notice(line);
    }
    for line in notices {
        let meaning = "A recording is read as far as it is sound. What was lost is left out, and nothing is made up for it.";
        let next = "etcdtop replay FILE --summary";
        state.notices.push(Finding::new("recording", None, Severity::Note, line, next, meaning));
    }
    state.findings.clone_from(&state.notices);
}

/// Takes what comes from the recording.
pub(super) fn on_news(state: &mut State, news: News) {
    match news {
        News::Entry(clock, entry) => take(state, clock, *entry),
        News::Time(at, clock) => {
            state.clock = clock;
            state.now = clock;
            let Some(replay) = &mut state.replay else { return };
            replay.player.at = at;
            replay.clock = clock;
            if replay.player.playing && at >= replay.length && !replay.follows {
                replay.player.playing = false;
                state.say("the end of the recording", false);
            }
        }
        News::Read(until, marks) => {
            if let Some(replay) = &mut state.replay {
                replay.read = until;
                replay.marks.extend(marks);
            }
        }
        News::There(seen, at, clock) => {
            seen.put(state);
            // It told of another moment.
            state.toast = None;
            state.clock = clock;
            state.now = clock;
            if let Some(replay) = &mut state.replay {
                replay.player.at = at;
                replay.clock = clock;
                replay.seeking = None;
            }
        }
        News::Grown(length, gaps) => {
            if let Some(replay) = &mut state.replay {
                replay.length = length;
                replay.gaps = gaps;
            }
        }
    }
}

/// Does what an entry did when it came.
fn take(state: &mut State, clock: Timestamp, entry: Entry) {
    state.clock = clock;
    let msg = match entry {
        Entry::Meta(_) | Entry::End => return,
        Entry::View(view) => Msg::View(view),
        Entry::Started(operation) => Msg::Started(operation),
        Entry::Operation(event) => Msg::Operation(event),
        Entry::Progress(progress) => Msg::Progress(progress),
        Entry::Refused(why) => Msg::Refused(why),
        Entry::Journal(past) => Msg::Journal(past),
        Entry::Listed(listing, place) => Msg::Shelf(super::shelf::News::Listed(listing, place)),
        Entry::Verified(path, damages) => Msg::Shelf(super::shelf::News::Verified(path, damages)),
        Entry::Compared(outcome) => Msg::Compared(outcome),
        Entry::Coach(view) => Msg::Coach(Some(view)),
        Entry::Did(did) => return take_deed(state, did),
    };
    // What followed from it then is in the recording, too.
    let _ = update(state, msg);
}

fn take_deed(state: &mut State, did: Did) {
    match did {
        Did::Stop => {
            if let Some(operation) = &mut state.changes.operation {
                operation.stopping = true;
            }
        }
        Did::Compare => state.comparing = true,
        Did::Verify(path) => state.shelf.verifying = Some((path, state.clock)),
        Did::Pace(ms) => state.interval = Duration::from_millis(ms),
    }
}

/// What of a message is recorded; none: it came from the one who looks.
#[must_use]
pub fn entry(msg: &Msg) -> Option<Entry> {
    Some(match msg {
        Msg::View(view) => Entry::View(view.clone()),
        Msg::Started(operation) => Entry::Started(operation.clone()),
        Msg::Operation(event) => Entry::Operation(event.clone()),
        Msg::Progress(progress) => Entry::Progress(*progress),
        Msg::Refused(why) => Entry::Refused(why.clone()),
        Msg::Journal(past) => Entry::Journal(past.clone()),
        Msg::Shelf(super::shelf::News::Listed(listing, place)) => {
            Entry::Listed(listing.clone(), place.clone())
        }
        Msg::Shelf(super::shelf::News::Verified(path, damages)) => {
            Entry::Verified(path.clone(), damages.clone())
        }
        Msg::Compared(outcome) => Entry::Compared(outcome.clone()),
        Msg::Coach(view) => Entry::Coach(view.clone()?),
        _ => return None,
    })
}

/// What of an effect is recorded: what somebody did that is seen.
#[must_use]
pub fn deed(effect: &Effect) -> Option<Entry> {
    Some(Entry::Did(match effect {
        Effect::StopOperation => Did::Stop,
        Effect::Compare => Did::Compare,
        Effect::Shelf(super::shelf::Work::Verify(path)) => Did::Verify(path.clone()),
        Effect::SetInterval(pause) => Did::Pace(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
        _ => return None,
    }))
}

/// What is there already when a recording begins, so that it begins with it. Nothing, while nothing was seen.
#[must_use]
pub fn standing(state: &State) -> Vec<Entry> {
    let mut entries = Vec::new();
    if let (Some(listing), Some(place)) = (&state.shelf.listing, &state.shelf.place) {
        entries.push(Entry::Listed(listing.clone(), place.clone()));
    }
    if state.changes.past != crate::ops::past::History::default() {
        entries.push(Entry::Journal(Box::new(state.changes.past.clone())));
    }
    entries.extend(state.coach.clone().map(Entry::Coach));
    entries.extend(state.changes.operation.clone().map(|o| Entry::Started(Box::new(o))));
    entries.extend(state.hashes.clone().map(|h| Entry::Compared(Ok(h))));
    if state.view.listed() > 0 || state.view.ever_answered() {
        entries.push(Entry::View(state.newest()));
    }
    entries
}

/// A key of a replay.
pub(super) fn perform(state: &mut State, id: ActionId) -> Vec<Effect> {
    let Some(replay) = &mut state.replay else { return Vec::new() };
    let (ten, minute) = (Duration::from_secs(10), Duration::from_secs(60));
    let to = match id {
        ActionId::PlayPause => {
            replay.player.playing = !replay.player.playing;
            // At the end there is nothing left to play.
            if !(replay.player.playing && replay.at_end() && !replay.follows) {
                return Vec::new();
            }
            Duration::ZERO
        }
        ActionId::Faster | ActionId::Slower => {
            let changed = replay.player.change_speed(id == ActionId::Faster);
            let shown = replay.player.speed_shown();
            let text = if changed {
                format!("plays at {shown}")
            } else {
                format!("{shown} is the last speed there is")
            };
            state.say(text, !changed);
            return Vec::new();
        }
        ActionId::Back10 => replay.target().saturating_sub(ten),
        ActionId::On10 => replay.target().saturating_add(ten),
        ActionId::Back60 => replay.target().saturating_sub(minute),
        ActionId::On60 => replay.target().saturating_add(minute),
        ActionId::PreviousEvent => replay.before().map_or(Duration::ZERO, |m| m.at),
        ActionId::NextEvent => match replay.after() {
            Some(mark) => mark.at,
            None if replay.read < replay.length => {
                state.say("what comes next is still being read: once more in a moment", true);
                return Vec::new();
            }
            None => replay.length,
        },
        ActionId::GoToTime => {
            state.overlay = Some(Overlay::Time { input: Input::default() });
            return Vec::new();
        }
        _ => return Vec::new(),
    };
    go(state, to)
}

fn go(state: &mut State, to: Duration) -> Vec<Effect> {
    let Some(replay) = &mut state.replay else { return Vec::new() };
    let to = to.min(replay.length);
    replay.seeking = Some(to);
    vec![Effect::Seek(to)]
}

/// A key while a time is typed.
pub(super) fn in_time(state: &mut State, key: Key) -> Vec<Effect> {
    let Some(Overlay::Time { input }) = &mut state.overlay else { return Vec::new() };
    match key.code {
        KeyCode::Esc => state.overlay = None,
        KeyCode::Enter => {
            let typed = input.value().to_owned();
            let found = Goal::parse(&typed).and_then(|goal| {
                let moment =
                    state.replay.as_ref().and_then(|r| r.moment(goal, |h, m, s| state.time_of_day(h, m, s)));
                moment.ok_or_else(|| format!("the recording has no {}", typed.trim()))
            });
            match found {
                Ok(to) => {
                    state.overlay = None;
                    return go(state, to);
                }
                Err(why) => state.say(why, true),
            }
        }
        _ => {
            if let Some(request) = overlay::edit(key) {
                input.handle(request);
            }
        }
    }
    Vec::new()
}

/// Why an action is not for a replay, or for nothing else.
pub(super) fn unavailable(state: &State, id: ActionId, changes: bool) -> Option<&'static str> {
    use ActionId::{
        Back10, Back60, Compare, Freeze, GoToTime, NextEvent, On10, On60, Open, PlayPause, PollNow,
        PreviousEvent, Prune, Record, Verify,
    };
    let of_a_replay =
        matches!(id, PlayPause | Back10 | On10 | Back60 | On60 | PreviousEvent | NextEvent | GoToTime);
    let replays = state.replay.is_some();
    match id {
        _ if of_a_replay && !replays => Some("only in a replay: etcdtop replay FILE"),
        _ if !replays => None,
        Freeze => Some("this is a recording: space holds it"),
        Record => Some("this is a recording already"),
        Open if state.screen == super::state::Screen::Snapshots => {
            Some("this is a recording: it tells of snapshots, it does not hold them")
        }
        PollNow | Compare | Verify | Prune => Some("this is a recording: nobody can be asked"),
        _ if changes => Some("this is a recording: nothing can be changed"),
        _ => None,
    }
}
