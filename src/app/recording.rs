//! The recording that is written beside what is shown.

use std::path::PathBuf;

use super::state::State;
use crate::model::event::EventKind;
use crate::model::{Bytes, Event, Finding, Severity};

/// What the one who writes it tells.
#[derive(Clone, Debug)]
pub enum News {
    /// Everything is recorded from now on.
    Began(PathBuf),
    /// It could not be begun.
    Refused(String),
    /// It was ended: views and bytes of the file.
    Ended(PathBuf, u64, Bytes),
    /// It ended by itself, and why.
    Failed(PathBuf, String),
}

/// Takes it.
pub(super) fn on_news(state: &mut State, news: News) {
    match news {
        News::Began(path) => {
            let key = state.keymap.first(super::ActionId::Record);
            state.say(format!("records into {}; {key} ends it", path.display()), false);
            state.recording = Some(path);
        }
        News::Refused(why) => state.say(why, true),
        News::Ended(path, views, size) => {
            state.recording = None;
            let path = path.display();
            state.say(
                match views {
                    0 => format!("nothing was recorded before it ended: {path} was not kept"),
                    _ => format!("recorded {views} views, {size}: {path}"),
                },
                false,
            );
        }
        News::Failed(path, why) => {
            state.recording = None;
            let line = format!("the recording ended: {} cannot be written: {why}", path.display());
            let meaning = "What was recorded until then is whole and can be replayed. The dashboard and a running operation do not depend on it.";
            let next = "make room, then record into another file";
            let notice = Finding::new("recording", None, Severity::Note, line.clone(), next, meaning);
            state.notices.retain(|n| n.key != notice.key);
            state.notices.push(notice.clone());
            state.findings.retain(|n| n.key != notice.key);
            state.findings.push(notice);
            let (at, severity, kind) = (state.clock, Severity::Warning, EventKind::Operation);
            state.timeline.push_back(Event { at, severity, kind, member: None, line: line.clone() });
            state.say(line, true);
        }
    }
}
