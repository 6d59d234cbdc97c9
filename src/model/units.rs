//! Figures as people read them. Rounded on purpose: a cell that changes with every poll's noise is
//! repainted with every poll, and nobody reads the third digit of a latency.

use std::time::Duration;

use humansize::{BINARY, FormatSizeOptions};

/// `1.28 GiB`, `281 MiB`, `2.8 MiB`, `20 KiB`, `512 B`: two decimals from GiB up, one below 10 MiB, else none.
#[must_use]
pub fn bytes(n: u64) -> String {
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;
    let decimals = match n {
        GIB.. => 2,
        MIB..10_000_000 => 1,
        _ => 0,
    };
    let options = FormatSizeOptions::from(BINARY).decimal_places(decimals).decimal_zeroes(decimals);
    humansize::format_size(n, options)
}

/// `1,285,023`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Two significant digits: `0.8 ms`, `1.2 ms`, `12 ms`, `250 ms`, `1.4 s`.
#[must_use]
pub fn latency(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1e3;
    if ms < 0.95 {
        // Below a millisecond the first digit says enough.
        format!("{:.1} ms", ms.max(0.1))
    } else if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 99.5 {
        format!("{ms:.0} ms")
    } else if ms < 995.0 {
        format!("{:.0} ms", (ms / 10.0).round() * 10.0)
    } else if ms < 9_950.0 {
        format!("{:.1} s", ms / 1e3)
    } else {
        age(d)
    }
}

/// The unit that matters and the next one: `4 s`, `3 min`, `6 h 12 min`, `3 d 4 h`.
#[must_use]
pub fn age(d: Duration) -> String {
    let s = d.as_secs();
    let (unit, rest) = match s {
        0..60 => return format!("{s} s"),
        60..3_600 => return format!("{} min", s / 60),
        3_600..86_400 => ((s / 3_600, "h"), (s % 3_600 / 60, "min")),
        _ => ((s / 86_400, "d"), (s % 86_400 / 3_600, "h")),
    };
    if rest.0 == 0 {
        format!("{} {}", unit.0, unit.1)
    } else {
        format!("{} {} {} {}", unit.0, unit.1, rest.0, rest.1)
    }
}

/// The same for what is over and does not count on: minutes with their seconds, `1 min 43 s`.
#[must_use]
pub fn span(d: Duration) -> String {
    match (d.as_secs() / 60, d.as_secs() % 60) {
        (1..60, seconds @ 1..) => format!("{} {seconds} s", age(d)),
        _ => age(d),
    }
}

/// The same for what may last less than a second: `600 ms`, `4 s`, `1 min 43 s`.
#[must_use]
pub fn lasting(d: Duration) -> String {
    if d < Duration::from_secs(1) { latency(d) } else { span(d) }
}

/// A share as a whole per cent, but never 0% for something nor 100% for less than all.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to 0..=100 where it matters
pub fn percent(share: f64) -> String {
    if !share.is_finite() || share < 0.0 {
        return "?".into();
    }
    let whole = (share * 100.0).round() as u64;
    match whole {
        0 if share > 0.0 => "<1%".into(),
        100 if share < 1.0 => "99%".into(),
        // Absurd figures stay short.
        n if n > 999 => ">999%".into(),
        n => format!("{n}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, want) in [(5, "5 s"), (60, "1 min"), (103, "1 min 43 s"), (3_600 + 720, "1 h 12 min")] {
            assert_eq!(span(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn sizes() {
        for (n, want) in [
            (0, "0 B"),
            (512, "512 B"),
            (20_480, "20 KiB"),
            (2_936_013, "2.8 MiB"),
            (47_185_920, "45 MiB"),
            (1_377_964_032, "1.28 GiB"),
            (8 << 30, "8.00 GiB"),
            (u64::MAX, "16.00 EiB"),
        ] {
            assert_eq!(bytes(n), want);
        }
    }

    #[test]
    fn groups_of_three() {
        for (n, want) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_285_023, "1,285,023")] {
            assert_eq!(grouped(n), want);
        }
    }

    #[test]
    fn latencies_have_two_digits_at_most() {
        for (us, want) in [
            (10, "0.1 ms"),
            (812, "0.8 ms"),
            (960, "1.0 ms"),
            (1_240, "1.2 ms"),
            (12_400, "12 ms"),
            (254_000, "250 ms"),
            (1_400_000, "1.4 s"),
            (61_000_000, "1 min"),
        ] {
            assert_eq!(latency(Duration::from_micros(us)), want, "{us} µs");
        }
    }

    #[test]
    fn ages() {
        for (s, want) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3_600, "1 h"),
            (22_320, "6 h 12 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(age(Duration::from_secs(s)), want);
        }
    }

    #[test]
    fn percents_do_not_lie_at_the_ends() {
        for (share, want) in [
            (0.0, "0%"),
            (0.001, "<1%"),
            (0.5, "50%"),
            (0.999, "99%"),
            (1.0, "100%"),
            (1.3, "130%"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(percent(share), want);
        }
    }
}
