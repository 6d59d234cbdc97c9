//! Where a replay is and how fast it goes. Pure: it is told how much time went by.

use std::time::Duration;

/// How fast a recording can be played, slowest first: as a fraction of the time that it took.
pub const SPEEDS: [(u32, u32); 9] =
    [(1, 4), (1, 2), (1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (32, 1), (64, 1)];

/// Where a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Player {
    /// How far from the beginning.
    pub at: Duration,
    /// It goes on.
    pub playing: bool,
    speed: usize,
}

impl Default for Player {
    fn default() -> Self {
        Self { at: Duration::ZERO, playing: true, speed: 2 }
    }
}

/// A moment of a recording, as somebody types it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// So many per cent of it.
    Share(u32),
    /// So far on, from where it is.
    On(Duration),
    /// So far back.
    Back(Duration),
    /// A time of day: hours, minutes, seconds.
    Clock(i8, i8, i8),
}

impl Player {
    /// How fast it goes.
    #[must_use]
    pub fn speed(&self) -> (u32, u32) {
        SPEEDS[self.speed.min(SPEEDS.len() - 1)]
    }

    /// The speed, for people: `x1`, `x1/4`, `x64`.
    #[must_use]
    pub fn speed_shown(&self) -> String {
        match self.speed() {
            (n, 1) => format!("x{n}"),
            (n, d) => format!("x{n}/{d}"),
        }
    }

    /// One step faster or slower; false at the end.
    pub fn change_speed(&mut self, faster: bool) -> bool {
        let next = if faster { self.speed + 1 } else { self.speed.wrapping_sub(1) };
        if next >= SPEEDS.len() {
            return false;
        }
        self.speed = next;
        true
    }

    /// Time went by; where it is now, at most at `end`.
    pub fn advance(&mut self, elapsed: Duration, end: Duration) {
        if self.playing {
            let (n, d) = self.speed();
            self.at = (self.at + elapsed * n / d).min(end.max(self.at));
        }
    }

    /// How long it takes until it is there; none while it stands still, or when it is past that.
    #[must_use]
    pub fn until(&self, moment: Duration) -> Option<Duration> {
        let (n, d) = self.speed();
        let left = moment.checked_sub(self.at).filter(|_| self.playing)?;
        Some(left.saturating_mul(d) / n)
    }
}

impl Goal {
    /// Reads `14:02:30`, `14:02`, `+5m`, `-30s`, `50%`.
    ///
    /// # Errors
    /// What can be typed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("{text:?} is no time: write 14:02:30, +5m, -30s or 50%");
        if let Some(share) = text.strip_suffix('%') {
            return share.trim().parse().ok().filter(|n| *n <= 100).map(Self::Share).ok_or_else(wrong);
        }
        if let Some(on) = text.strip_prefix('+') {
            return duration(on).map(Self::On).ok_or_else(wrong);
        }
        if let Some(back) = text.strip_prefix('-') {
            return duration(back).map(Self::Back).ok_or_else(wrong);
        }
        let parts: Option<Vec<i8>> = text.split(':').map(|p| p.parse().ok()).collect();
        match parts.as_deref() {
            Some([h @ 0..=23, m @ 0..=59]) => Ok(Self::Clock(*h, *m, 0)),
            Some([h @ 0..=23, m @ 0..=59, s @ 0..=59]) => Ok(Self::Clock(*h, *m, *s)),
            _ => Err(wrong()),
        }
    }
}

/// `90s`, `5m`, `1h30m`, `90`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut digits = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(digits.parse::<u64>().ok()?.checked_mul(unit)?))?;
        digits.clear();
    }
    if !digits.is_empty() {
        total = total.checked_add(Duration::from_secs(digits.parse().ok()?))?;
    }
    (!text.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn where_it_is_after_a_while() {
        // Speed, played, elapsed, from, end; where it is.
        for (faster, playing, elapsed, from, end, at) in [
            (0_i32, true, s(10), s(0), s(60), s(10)),
            (0, false, s(10), s(5), s(60), s(5)),
            (2, true, s(10), s(0), s(60), s(40)),
            (-2, true, s(10), s(0), s(60), Duration::from_millis(2_500)),
            (6, true, s(1), s(0), s(3_600), s(64)),
            // Not beyond the end; one that is beyond it stays where it is.
            (6, true, s(1), s(0), s(60), s(60)),
            (0, true, s(1), s(61), s(60), s(61)),
        ] {
            let mut p = Player { at: from, playing, ..Player::default() };
            for _ in 0..faster.abs() {
                assert!(p.change_speed(faster > 0));
            }
            p.advance(elapsed, end);
            assert_eq!(p.at, at, "{faster} {playing} {elapsed:?} {from:?}");
        }
    }

    #[test]
    fn speeds_end_somewhere() {
        let mut p = Player::default();
        assert_eq!(p.speed_shown(), "x1");
        while p.change_speed(true) {}
        assert_eq!(p.speed_shown(), "x64");
        while p.change_speed(false) {}
        assert_eq!(p.speed_shown(), "x1/4");
        assert_eq!(p.until(s(1)), Some(s(4)));
        p.playing = false;
        assert_eq!(p.until(s(1)), None);
    }

    #[test]
    fn what_can_be_typed() {
        for (text, goal) in [
            ("14:02:30", Some(Goal::Clock(14, 2, 30))),
            (" 9:05 ", Some(Goal::Clock(9, 5, 0))),
            ("+5m", Some(Goal::On(s(300)))),
            ("+1h30m", Some(Goal::On(s(5_400)))),
            ("-30s", Some(Goal::Back(s(30)))),
            ("-30", Some(Goal::Back(s(30)))),
            ("50%", Some(Goal::Share(50))),
            ("0%", Some(Goal::Share(0))),
            ("101%", None),
            ("24:00", None),
            ("14:60:00", None),
            ("+", None),
            ("+5x", None),
            ("", None),
            ("noon", None),
        ] {
            assert_eq!(Goal::parse(text).ok(), goal, "{text}");
        }
        assert!(Goal::parse("noon").unwrap_err().contains("14:02:30"));
    }
}
