//! How many colours the terminal has, and colours brought down to that.
//!
//! crossterm's own `NO_COLOR` handling drops the reversed attribute along with the colour, so it is not used: the
//! depth is decided here and colours are encoded here.

use ratatui::style::Color;

/// How many colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None: attributes only.
    Mono,
    /// The 16 of the terminal's own palette.
    Ansi16,
    /// The 256 of xterm.
    Ansi256,
}

/// Decides from `--color` (`Some(true)` always, `Some(false)` never) and the environment: `NO_COLOR`, `TERM`.
#[must_use]
pub fn depth(choice: Option<bool>, env: &dyn Fn(&str) -> Option<String>) -> Depth {
    let set = |name: &str| env(name).filter(|v| !v.is_empty());
    let term = set("TERM").unwrap_or_default();
    if choice == Some(false) || choice.is_none() && (set("NO_COLOR").is_some() || term == "dumb") {
        return Depth::Mono;
    }
    if set("COLORTERM").is_some() || term.contains("256") || term.contains("direct") {
        return Depth::Ansi256;
    }
    // These are known to have 256 colours and not to say so.
    let known = ["kitty", "alacritty", "foot", "ghostty", "wezterm", "tmux", "screen"];
    if known.iter().any(|k| term.contains(k)) { Depth::Ansi256 } else { Depth::Ansi16 }
}

/// The parameters of SGR for a colour; `base` is 30 for the foreground and 40 for the background. None: default.
pub(super) fn sgr(color: Color, base: u8, depth: Depth) -> Option<String> {
    if depth == Depth::Mono {
        return None;
    }
    let ansi = |n: u8| if n < 8 { (base + n).to_string() } else { (base + 52 + n).to_string() };
    let n = match color {
        Color::Reset => return None,
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
        Color::Indexed(n) if depth == Depth::Ansi256 => return Some(format!("{};5;{n}", base + 8)),
        Color::Indexed(n) => nearest16(rgb_of(n)),
        Color::Rgb(r, g, b) => nearest16((r, g, b)),
    };
    Some(ansi(n))
}

/// xterm's 256 colours: 16 of the palette, a cube of 6, a ramp of greys.
fn rgb_of(n: u8) -> (u8, u8, u8) {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match n {
        0..16 => PALETTE[usize::from(n)],
        16..232 => {
            let n = usize::from(n - 16);
            (LEVELS[n / 36], LEVELS[n / 6 % 6], LEVELS[n % 6])
        }
        _ => {
            let grey = 8 + (n - 232) * 10;
            (grey, grey, grey)
        }
    }
}

const PALETTE: [(u8, u8, u8); 16] = [
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
];

/// The nearest of the 16, as people see it: a colour stays a colour, of its hue, and grey stays grey. The plain distance
/// in RGB would turn a soft green into the grey of unimportant text.
fn nearest16((r, g, b): (u8, u8, u8)) -> u8 {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most - least < 40 {
        return match most {
            0..96 => 8, // a dark background that must differ from black
            96..180 => 7,
            _ => 15,
        };
    }
    // More than half of the way from the weakest to the strongest channel: that one is in the colour.
    let middle = least + (most - least) / 2;
    let hue = u8::from(r > middle) | u8::from(g > middle) << 1 | u8::from(b > middle) << 2;
    if most > 200 { hue + 8 } else { hue }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)], choice: Option<bool>) -> Depth {
        depth(choice, &|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_environment_decides_and_the_flag_beats_it() {
        assert_eq!(with(&[("TERM", "xterm-256color")], None), Depth::Ansi256);
        assert_eq!(with(&[("TERM", "linux")], None), Depth::Ansi16);
        assert_eq!(with(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")], None), Depth::Mono);
        assert_eq!(with(&[("TERM", "xterm-256color"), ("NO_COLOR", "")], None), Depth::Ansi256);
        assert_eq!(with(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")], Some(true)), Depth::Ansi256);
        assert_eq!(with(&[("TERM", "xterm-256color")], Some(false)), Depth::Mono);
    }

    #[test]
    fn colours_come_down_to_what_there_is() {
        assert_eq!(sgr(Color::Indexed(208), 30, Depth::Ansi256).as_deref(), Some("38;5;208"));
        assert_eq!(sgr(Color::Indexed(196), 30, Depth::Ansi16).as_deref(), Some("91"));
        assert_eq!(sgr(Color::Red, 40, Depth::Ansi16).as_deref(), Some("41"));
        // Soft green, amber, salmon, sky blue, grey, a dark background: each still what it is.
        for (n, ansi) in [(78, "92"), (221, "93"), (203, "91"), (75, "94"), (244, "37"), (236, "90")] {
            assert_eq!(sgr(Color::Indexed(n), 30, Depth::Ansi16).as_deref(), Some(ansi), "{n}");
        }
        assert_eq!(sgr(Color::Red, 30, Depth::Mono), None);
    }
}
