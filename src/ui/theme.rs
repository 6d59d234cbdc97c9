//! Colours and glyphs by meaning. Colour never carries a meaning alone: there is always a word or a glyph too.

use ratatui::style::{Color, Modifier, Style};

use crate::config::ThemeName;
use crate::model::{MemberState, Severity, VerdictKind};

/// Styles by meaning.
#[derive(Debug)]
pub(super) struct Theme {
    pub(super) text: Style,
    pub(super) dim: Style,
    pub(super) strong: Style,
    pub(super) rule: Style,
    pub(super) good: Style,
    pub(super) warning: Style,
    pub(super) bad: Style,
    pub(super) accent: Style,
    pub(super) key: Style,
    pub(super) selected: Style,
    pub(super) badge: Style,
    pub(super) in_use: Style,
    pub(super) reclaimable: Style,
    pub(super) quota: Style,
}

impl Theme {
    pub(super) fn of(name: ThemeName) -> Self {
        match name {
            ThemeName::Dark => Self::coloured(78, 221, 203, 75, 244, 236),
            ThemeName::Light => Self::coloured(28, 130, 160, 25, 243, 254),
            // Okabe and Ito's palette: told apart by every common kind of colour blindness.
            ThemeName::Colorblind => Self::coloured(75, 220, 208, 80, 244, 236),
            ThemeName::Mono => Self::mono(),
        }
    }

    fn coloured(good: u8, warning: u8, bad: u8, accent: u8, dim: u8, selected: u8) -> Self {
        let plain = Style::new();
        let fg = |n: u8| plain.fg(Color::Indexed(n));
        Self {
            text: plain,
            dim: fg(dim),
            strong: plain.add_modifier(Modifier::BOLD),
            rule: fg(dim).add_modifier(Modifier::DIM),
            good: fg(good),
            warning: fg(warning),
            bad: fg(bad).add_modifier(Modifier::BOLD),
            accent: fg(accent),
            key: fg(accent).add_modifier(Modifier::BOLD),
            selected: plain.bg(Color::Indexed(selected)),
            badge: fg(accent).add_modifier(Modifier::REVERSED | Modifier::BOLD),
            in_use: fg(accent),
            reclaimable: fg(warning),
            quota: fg(dim).add_modifier(Modifier::DIM),
        }
    }

    fn mono() -> Self {
        let plain = Style::new();
        let dim = plain.add_modifier(Modifier::DIM);
        let strong = plain.add_modifier(Modifier::BOLD);
        Self {
            text: plain,
            dim,
            strong,
            rule: dim,
            good: plain,
            warning: strong,
            bad: plain.add_modifier(Modifier::BOLD | Modifier::REVERSED),
            accent: plain,
            key: strong,
            selected: plain.add_modifier(Modifier::REVERSED),
            badge: plain.add_modifier(Modifier::REVERSED),
            in_use: plain,
            reclaimable: plain,
            quota: dim,
        }
    }

    pub(super) const fn state(&self, state: MemberState) -> Style {
        match state {
            MemberState::Ok => self.good,
            MemberState::Slow | MemberState::Unstarted | MemberState::Defragmenting => self.warning,
            MemberState::Connecting => self.dim,
            _ => self.bad,
        }
    }

    pub(super) const fn severity(&self, severity: Severity) -> Style {
        match severity {
            Severity::Note => self.accent,
            Severity::Warning => self.warning,
            Severity::Critical => self.bad,
        }
    }

    pub(super) const fn verdict(&self, kind: VerdictKind) -> Style {
        match kind {
            VerdictKind::Healthy => self.good,
            VerdictKind::Warning | VerdictKind::Degraded => self.warning,
            VerdictKind::Connecting => self.accent,
            _ => self.bad,
        }
    }
}

/// Glyphs by meaning, each with a twin in ASCII.
#[derive(Debug)]
pub(super) struct Glyphs {
    pub(super) cursor: &'static str,
    pub(super) leader: &'static str,
    pub(super) good: &'static str,
    pub(super) warning: &'static str,
    pub(super) bad: &'static str,
    pub(super) waiting: &'static str,
    pub(super) done: &'static str,
    pub(super) note: &'static str,
    pub(super) rule: &'static str,
    pub(super) branch: &'static str,
    pub(super) ellipsis: &'static str,
    pub(super) dash: &'static str,
    pub(super) in_use: &'static str,
    pub(super) reclaimable: &'static str,
    pub(super) free: &'static str,
    /// Revisions that can be read.
    pub(super) history: &'static str,
    pub(super) points_up: &'static str,
    /// A third, two thirds, and more of a cell.
    pub(super) shades: [&'static str; 3],
    /// Eighths of a cell, from nothing to full; ASCII has three levels.
    pub(super) levels: &'static [&'static str],
    pub(super) dot: &'static str,
    /// Of boxes: upper left, upper right, lower left, lower right, side.
    pub(super) corners: [&'static str; 4],
    pub(super) side: &'static str,
    /// A recording that is played, and one that stands still.
    player: [&'static str; 2],
}

impl Glyphs {
    pub(super) const fn of(ascii: bool) -> Self {
        if ascii {
            Self {
                cursor: ">",
                leader: "*",
                good: "+",
                warning: "!",
                bad: "x",
                waiting: ".",
                done: "v",
                note: "i",
                rule: "-",
                branch: "`",
                ellipsis: "~",
                dash: "-",
                in_use: "#",
                reclaimable: "=",
                free: ".",
                history: "=",
                points_up: "^",
                shades: [":", "-", "="],
                levels: &[" ", "_", "_", "-", "-", "=", "=", "#", "#"],
                dot: "|",
                corners: ["+", "+", "+", "+"],
                side: "|",
                player: [">", "="],
            }
        } else {
            Self {
                cursor: "▸",
                leader: "★",
                good: "●",
                warning: "▲",
                bad: "✖",
                waiting: "○",
                done: "✓",
                note: "·",
                rule: "─",
                branch: "└",
                ellipsis: "…",
                dash: "–",
                in_use: "█",
                reclaimable: "▒",
                free: "·",
                history: "━",
                points_up: "▲",
                shades: ["░", "▒", "▓"],
                levels: &[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
                dot: "·",
                corners: ["┌", "┐", "└", "┘"],
                side: "│",
                player: ["▶", "‖"],
            }
        }
    }

    pub(super) const fn player(&self, playing: bool) -> &'static str {
        self.player[if playing { 0 } else { 1 }]
    }

    pub(super) const fn state(&self, state: MemberState) -> &'static str {
        match state {
            MemberState::Ok => self.good,
            MemberState::Slow | MemberState::Unstarted | MemberState::Defragmenting => self.warning,
            MemberState::Connecting => self.waiting,
            _ => self.bad,
        }
    }

    pub(super) const fn severity(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Note => self.note,
            Severity::Warning => self.warning,
            Severity::Critical => self.bad,
        }
    }

    pub(super) const fn verdict(&self, kind: VerdictKind) -> &'static str {
        match kind {
            VerdictKind::Healthy => self.good,
            VerdictKind::Warning | VerdictKind::Degraded => self.warning,
            VerdictKind::Connecting => self.waiting,
            _ => self.bad,
        }
    }
}
