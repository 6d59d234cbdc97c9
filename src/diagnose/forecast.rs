//! When a member's file reaches its quota, if it goes on as it did: never from two points, and with a confidence.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::units::{age, bytes};
use crate::model::{Bytes, ClusterView, MemberView};
use crate::poll::history::{History, Ring, Sample};

/// Less history than this gives no forecast.
pub const ENOUGH: Duration = Duration::from_secs(10 * 60);
/// More than this is not looked at, as in the etcd mixin.
const WINDOW: Duration = Duration::from_secs(4 * 3600);
/// What the etcd mixin looks ahead.
const AHEAD: f64 = 4.0 * 3600.0;

/// How far a forecast can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Known for minutes only, in bursts, or looking much further ahead than back.
    Low,
    /// Known for 20 min, more or less on a line.
    Medium,
    /// Known for an hour, on a line.
    High,
}

impl Confidence {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A figure that grows towards the quota.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Bytes per second.
    pub rate: f64,
    /// How long it is known.
    pub known: Duration,
    /// When it reaches the quota: zero if it has already.
    pub full_in: Duration,
    /// The same with the steepest slope that the points allow (two standard errors).
    pub earliest: Duration,
    /// The quota, bytes.
    pub quota: f64,
    /// What it will be in four hours, bytes: `predict_linear` of the etcd mixin.
    pub in_four_hours: f64,
    /// How far to rely on it.
    pub confidence: Confidence,
}

/// What can be said of a figure's future.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outlook {
    /// The quota or the size is not known.
    Unknown,
    /// Not known for long enough yet: how long it is.
    TooShort(Duration),
    /// It does not grow: how long it is known.
    Steady(Duration),
    /// It does.
    Grows(Forecast),
}

/// What can be said of a member's file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlooks {
    /// Of what is allocated: this is what the quota is compared with.
    pub db_size: Outlook,
    /// Of what is in use: what defragmentations cannot bring back.
    pub in_use: Outlook,
}

/// The outlooks of a member.
#[must_use]
pub fn of_member(m: &MemberView, ring: &Ring) -> Outlooks {
    let quota = m.quota().map(|(quota, _)| quota);
    let of = |figure: &dyn Fn(&Sample) -> Option<Bytes>| {
        quota.map_or(Outlook::Unknown, |q| outlook(ring, q, figure))
    };
    Outlooks { db_size: of(&|s| s.db_size), in_use: of(&|s| s.in_use) }
}

/// When the first file of a cluster reaches its quota: only what can be said with some confidence, and nothing further
/// away than anybody plans for.
#[must_use]
pub fn full_in(view: &ClusterView, history: &History) -> Option<Duration> {
    let of = |m: &MemberView| match of_member(m, history.ring(m.id?)?).db_size {
        Outlook::Grows(f) if f.confidence > Confidence::Low => Some(f.full_in),
        _ => None,
    };
    view.members.iter().filter_map(of).min().filter(|left| *left < Duration::from_secs(90 * 86_400))
}

#[allow(clippy::cast_precision_loss)] // sizes in a forecast
fn outlook(ring: &Ring, quota: Bytes, figure: &dyn Fn(&Sample) -> Option<Bytes>) -> Outlook {
    let Some((now, size)) = ring.fine().iter().rev().find_map(|s| Some((s.at, figure(s)?))) else {
        return Outlook::Unknown;
    };
    let ago = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    let minutes = ring.coarse().iter().filter(|s| s.at < now && ago(s.at) <= WINDOW);
    let mut points: Vec<(f64, f64)> =
        minutes.filter_map(|s| Some((-ago(s.at).as_secs_f64(), figure(s)?.0 as f64))).collect();
    points.push((0.0, size.0 as f64));
    // A defragmentation, or a restore: what was before says nothing about what comes.
    if let Some(drop) = points.windows(2).rposition(|p| p[1].1 < p[0].1 * 0.9) {
        points.drain(..=drop);
    }
    let known = points.first().and_then(|p| Duration::try_from_secs_f64(-p.0).ok()).unwrap_or_default();
    if known < ENOUGH || points.len() < 5 {
        return Outlook::TooShort(known);
    }
    let Some(line) = Line::through(&points) else { return Outlook::Steady(known) };
    // A page or two are no growth.
    if line.slope * known.as_secs_f64() < 64.0 * 1024.0 {
        return Outlook::Steady(known);
    }
    let (quota, left) = (quota.0 as f64, quota.minus(size).0 as f64);
    let full_at = |slope: f64| Duration::try_from_secs_f64(left / slope).unwrap_or(Duration::MAX);
    let full_in = full_at(line.slope);
    Outlook::Grows(Forecast {
        rate: line.slope,
        known,
        full_in,
        earliest: full_at(line.slope + 2.0 * line.error),
        quota,
        in_four_hours: line.at_zero + line.slope * AHEAD,
        confidence: confidence(known, full_in, line.fit),
    })
}

fn confidence(known: Duration, ahead: Duration, fit: f64) -> Confidence {
    let far = |times: u32| ahead > known.saturating_mul(times);
    match known.as_secs() {
        3_600.. if fit >= 0.9 && !far(24) => Confidence::High,
        1_200.. if fit >= 0.6 && !far(100) => Confidence::Medium,
        _ => Confidence::Low,
    }
}

/// The line that fits points best (least squares).
struct Line {
    slope: f64,
    at_zero: f64,
    /// Standard error of the slope.
    error: f64,
    /// How much of the variance it explains, 0 to 1.
    fit: f64,
}

impl Line {
    #[allow(clippy::cast_precision_loss)] // some hundred points
    fn through(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (mean_x, mean_y) = (mean(|p| p.0), mean(|p| p.1));
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in points {
            xx += (x - mean_x).powi(2);
            xy += (x - mean_x) * (y - mean_y);
            yy += (y - mean_y).powi(2);
        }
        if xx <= 0.0 || n < 3.0 {
            return None;
        }
        let slope = xy / xx;
        let unexplained = (yy - slope * xy).max(0.0);
        Some(Self {
            slope,
            at_zero: mean_y - slope * mean_x,
            error: (unexplained / (n - 2.0) / xx).sqrt(),
            fit: if yy > 0.0 { 1.0 - unexplained / yy } else { 1.0 },
        })
    }
}

impl Forecast {
    /// `3.2 MiB a minute`.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive, for people
    pub fn pace(&self) -> String {
        match (self.rate * 60.0).round() as u64 {
            0..10_240 => format!("{} an hour", bytes((self.rate * 3_600.0).round() as u64)),
            minute => format!("{} a minute", bytes(minute)),
        }
    }

    /// `in about 3 h 20 min at 3.2 MiB a minute, not before 3 h; medium confidence: known for 25 min`.
    #[must_use]
    pub fn words(&self) -> String {
        // A year ahead nobody believes any figure.
        let far = Duration::from_secs(365 * 86_400);
        let when = if self.full_in > far {
            "in more than a year".to_owned()
        } else {
            format!("in about {}", age(self.full_in))
        };
        let earliest =
            if self.full_in > far { String::new() } else { format!(", not before {}", age(self.earliest)) };
        format!(
            "{when} at {}{earliest}; {} confidence: known for {}",
            self.pace(),
            self.confidence.word(),
            age(self.known)
        )
    }
}

impl Outlook {
    /// For a view: what is to be said of it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Unknown => "not known: no size, or no quota".into(),
            Self::TooShort(known) => format!("a forecast needs 10 min of history, {} are known", age(*known)),
            Self::Steady(known) => format!("not in sight: no growth over {}", age(*known)),
            Self::Grows(forecast) => forecast.words(),
        }
    }
}
