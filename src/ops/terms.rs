//! Under what terms a plan is carried out: when, with what pauses, and what ends it early. Frozen with the plan.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::Permille;

/// Terms that were asked for; none of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Between two members, and after leadership has moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
    /// What stalls members is begun within this span of the day alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The roll ends when a member was gone longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_stall: Option<Duration>,
    /// NOSPACE is taken back when every file is below this share of its quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disarm_below: Option<Permille>,
    /// When a member cannot be defragmented, the others still are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_error: bool,
}

/// A span of the day: `02:00-04:00`, in the time of this host, or with a `Z` in UTC. One that ends before it begins goes
/// over midnight. Its end does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    from: Time,
    to: Time,
    utc: bool,
}

/// Why a text is no span of the day.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no span of the day ({reason}): it looks like 02:00-04:00, or 02:00-04:00Z for UTC")]
pub struct WindowError {
    text: String,
    reason: &'static str,
}

impl Window {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        let fail = |reason| WindowError { text: text.to_owned(), reason };
        let trimmed = text.trim();
        let (span, utc) = trimmed.strip_suffix('Z').map_or((trimmed, false), |span| (span, true));
        let (from, to) = span.split_once('-').ok_or_else(|| fail("there is no - in it"))?;
        let time = |part: &str| {
            let (hour, minute) = part.trim().split_once(':')?;
            Time::new(number(hour)?, number(minute)?, 0, 0).ok()
        };
        let from = time(from).ok_or_else(|| fail("it begins at no time"))?;
        // The end of the day may be written so.
        let to = if to.trim() == "24:00" { Some(Time::midnight()) } else { time(to) };
        let to = to.ok_or_else(|| fail("it ends at no time"))?;
        if from == to {
            return Err(fail("it ends when it begins"));
        }
        Ok(Self { from, to, utc })
    }

    /// Whether this moment lies in it, where clocks show `zone`.
    #[must_use]
    pub fn contains(&self, at: Timestamp, zone: &TimeZone) -> bool {
        let zone = if self.utc { TimeZone::UTC } else { zone.clone() };
        let now = at.to_zoned(zone).time();
        if self.from < self.to {
            self.from <= now && now < self.to
        } else {
            self.from <= now || now < self.to
        }
    }

    /// Whether this moment lies in it, on this host.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.contains(at, &TimeZone::system())
    }
}

/// One or two digits.
fn number(text: &str) -> Option<i8> {
    let digits = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        let zone = if self.utc { "Z" } else { "" };
        write!(f, "{:02}:{:02}-{:02}:{:02}{zone}", from.hour(), from.minute(), to.hour(), to.minute())
    }
}

impl TryFrom<String> for Window {
    type Error = WindowError;
    fn try_from(text: String) -> Result<Self, WindowError> {
        Self::parse(&text)
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_in_a_window_or_not() {
        for (window, at, inside) in [
            ("02:00-04:00Z", "2027-01-15T02:00:00Z", true),
            ("02:00-04:00Z", "2027-01-15T03:59:59Z", true),
            ("02:00-04:00Z", "2027-01-15T04:00:00Z", false),
            ("02:00-04:00Z", "2027-01-15T01:59:59Z", false),
            ("22:30-4:00Z", "2027-01-15T23:00:00Z", true),
            ("22:30-4:00Z", "2027-01-15T00:00:00Z", true),
            ("22:30-4:00Z", "2027-01-15T12:00:00Z", false),
            ("22:00-24:00Z", "2027-01-15T23:59:59Z", true),
            ("22:00-24:00Z", "2027-01-15T00:00:00Z", false),
            // Berlin is an hour ahead in winter.
            ("02:00-04:00", "2027-01-15T01:00:00Z", true),
            ("02:00-04:00", "2027-01-15T03:00:00Z", false),
        ] {
            let read = Window::parse(window).unwrap();
            let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
            assert_eq!(read.contains(at.parse().unwrap(), &berlin), inside, "{window} at {at}");
        }
    }

    #[test]
    fn what_is_no_window_is_named() {
        for (text, reason) in [
            ("", "no - in it"),
            ("02:00", "no - in it"),
            ("2-4", "begins at no time"),
            ("02:00-25:00", "ends at no time"),
            ("02:60-04:00", "begins at no time"),
            ("+2:00-04:00", "begins at no time"),
            ("02:00-02:00", "ends when it begins"),
            ("02:00-04:00+01", "ends at no time"),
        ] {
            let error = Window::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("02:00-04:00Z"), "{text:?}: {error}");
        }
        assert_eq!(Window::parse(" 2:00-4:05Z").unwrap().to_string(), "02:00-04:05Z");
    }
}
