//! Texts of settings, read.

use std::time::Duration;

/// Go's durations, as etcdctl takes them: `5s`, `1m30s`, `500ms`, `1.5s`. A bare number is refused, as etcdctl does.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it like 500ms, 5s or 1m30s");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(wrong()),
        };
        total += number * seconds;
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

/// A duration above zero.
pub(super) fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".into()),
        d => Ok(d),
    }
}

/// The pause between two polls: 250 ms to 1 m.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let d = duration(text)?;
    if (Duration::from_millis(250)..=Duration::from_secs(60)).contains(&d) {
        Ok(d)
    } else {
        Err("must be between 250ms and 1m".into())
    }
}

/// The pause between two scrapes of `/metrics`: 1 s to 1 m, or 0 for none.
pub(super) fn metrics_interval(text: &str) -> Result<Option<Duration>, String> {
    match duration(if text.trim() == "0" { "0s" } else { text })? {
        Duration::ZERO => Ok(None),
        d if (Duration::from_secs(1)..=Duration::from_secs(60)).contains(&d) => Ok(Some(d)),
        _ => Err("must be between 1s and 1m, or 0 for no scrapes".into()),
    }
}

/// `true` or `false`, and what Go's flags take for them.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim() {
        "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(true),
        "false" | "FALSE" | "False" | "f" | "F" | "0" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

/// `16MiB`, `2GiB`, `100MB`, `16777216`: bytes.
///
/// # Errors
/// What is wrong with the text.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| format!("{text:?} is no size; write it like 16MiB"))?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        other => return Err(format!("unknown unit {other:?}; use KiB, MiB or GiB")),
    };
    number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        for (text, ms) in [
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1h", 3_600_000),
            ("2000us", 2),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "5 s", "-5s", "5s5", "1.2.3s", "5d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert_eq!(size("2G"), Ok(2 << 30));
        assert_eq!(size("100MB"), Ok(100_000_000));
        for wrong in ["", "MiB", "1TB", "99999999999GiB", "-1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn intervals_have_bounds() {
        assert!(interval("250ms").is_ok() && interval("1m").is_ok());
        assert!(interval("249ms").is_err() && interval("61s").is_err());
        assert_eq!(metrics_interval("5s"), Ok(Some(Duration::from_secs(5))));
        assert_eq!((metrics_interval("0"), metrics_interval("0s")), (Ok(None), Ok(None)));
        assert!(metrics_interval("900ms").is_err() && metrics_interval("61s").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (duration(&text), switch(&text), interval(&text));
        }
    }
}
