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

fn nearest16((r, g, b): (u8, u8, u8)) -> u8 {
    let distance = |(pr, pg, pb): (u8, u8, u8)| {
        let d = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
        d(r, pr) + d(g, pg) + d(b, pb)
    };
    (0_u8..16).min_by_key(|n| distance(PALETTE[usize::from(*n)])).unwrap_or(7)
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
        assert_eq!(sgr(Color::Red, 30, Depth::Mono), None);
    }
}
