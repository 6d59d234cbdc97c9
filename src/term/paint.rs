//! Frames as bytes: only the cells that changed, in one write, inside a synchronized update.

use std::fmt::Write as _;
use std::io;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::color::{Depth, sgr};

/// `CSI ? 2026 h`: the terminal shows the frame when it is whole. Terminals that do not know it ignore it.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";

/// Remembers what the terminal shows and writes what differs.
#[derive(Debug)]
pub struct Painter {
    shown: Buffer,
    /// What is on the terminal is not known: clear it first.
    unknown: bool,
    depth: Depth,
    out: String,
}

impl Painter {
    /// For a terminal whose content is not known.
    #[must_use]
    pub fn new(depth: Depth) -> Self {
        Self { shown: Buffer::empty(Rect::ZERO), unknown: true, depth, out: String::with_capacity(64 << 10) }
    }

    /// Forget what the terminal shows: the next frame is drawn whole.
    pub const fn forget(&mut self) {
        self.unknown = true;
    }

    /// An empty frame of this size to draw into.
    #[must_use]
    pub fn blank(width: u16, height: u16) -> Buffer {
        Buffer::empty(Rect::new(0, 0, width, height))
    }

    /// The bytes that turn what the terminal shows into `frame`; none when nothing differs.
    pub fn encode(&mut self, frame: Buffer) -> &[u8] {
        self.out.clear();
        if self.unknown || self.shown.area != frame.area {
            self.shown = Buffer::empty(frame.area);
            self.unknown = false;
            self.out.push_str(BEGIN);
            self.out.push_str("\x1b[0m\x1b[2J");
        }
        let mut pen = Pen::default();
        let mut at = None;
        for (x, y, cell) in self.shown.diff(&frame) {
            if self.out.is_empty() {
                self.out.push_str(BEGIN);
            }
            if at != Some((x, y)) {
                // Writing to a String cannot fail.
                let _ = write!(self.out, "\x1b[{};{}H", y + 1, x + 1);
            }
            pen.change(cell, self.depth, &mut self.out);
            self.out.push_str(cell.symbol());
            // A wide character moves the cursor by two: rather say where than guess what the terminal thinks.
            at = cell.symbol().is_ascii().then_some((x + 1, y));
        }
        if !self.out.is_empty() {
            if pen != Pen::default() {
                self.out.push_str("\x1b[0m");
            }
            self.out.push_str(END);
        }
        self.shown = frame;
        self.out.as_bytes()
    }

    /// Writes what turns the terminal into `frame`. How many bytes that were.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn paint(&mut self, frame: Buffer) -> io::Result<usize> {
        let bytes = self.encode(frame);
        write_all(bytes)?;
        Ok(bytes.len())
    }
}

/// One write(2), unless the kernel takes less.
pub(super) fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    let stdout = rustix::stdio::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(stdout, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                // Somebody made the terminal non-blocking: wait until it takes more.
                let mut fds = [rustix::event::PollFd::new(&stdout, rustix::event::PollFlags::OUT)];
                rustix::event::poll(&mut fds, None)?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The colours and attributes that the terminal writes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pen {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

impl Default for Pen {
    fn default() -> Self {
        Self { fg: Color::Reset, bg: Color::Reset, modifier: Modifier::empty() }
    }
}

impl Pen {
    fn change(&mut self, cell: &Cell, depth: Depth, out: &mut String) {
        let wanted = match depth {
            Depth::Mono => Self { fg: Color::Reset, bg: Color::Reset, modifier: cell.modifier },
            _ => Self { fg: cell.fg, bg: cell.bg, modifier: cell.modifier },
        };
        if *self == wanted {
            return;
        }
        *self = wanted;
        out.push_str("\x1b[0");
        for (modifier, parameter) in [
            (Modifier::BOLD, ";1"),
            (Modifier::DIM, ";2"),
            (Modifier::ITALIC, ";3"),
            (Modifier::UNDERLINED, ";4"),
            (Modifier::REVERSED, ";7"),
        ] {
            if wanted.modifier.contains(modifier) {
                out.push_str(parameter);
            }
        }
        for (color, base) in [(wanted.fg, 30), (wanted.bg, 40)] {
            if let Some(parameters) = sgr(color, base, depth) {
                out.push(';');
                out.push_str(&parameters);
            }
        }
        out.push('m');
    }
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    fn frame(text: &str, style: Style) -> Buffer {
        let mut buffer = Painter::blank(20, 2);
        buffer.set_string(0, 0, text, style);
        buffer
    }

    fn screen(bytes: &[u8]) -> String {
        let mut parser = vt100::Parser::new(2, 20, 0);
        parser.process(bytes);
        parser.screen().contents()
    }

    #[test]
    fn nothing_changed_means_no_byte() {
        let mut painter = Painter::new(Depth::Ansi256);
        assert!(!painter.encode(frame("hello", Style::new())).is_empty());
        assert_eq!(painter.encode(frame("hello", Style::new())), b"");
    }

    #[test]
    fn only_what_changed_is_written_inside_one_bracket() {
        let mut painter = Painter::new(Depth::Ansi256);
        painter.encode(frame("hello world", Style::new()));
        let bytes = String::from_utf8(painter.encode(frame("hello wOrld", Style::new())).to_vec()).unwrap();
        assert_eq!(bytes, "\x1b[?2026h\x1b[1;8HO\x1b[?2026l");
    }

    #[test]
    fn the_terminal_shows_the_frame_and_the_pen_is_left_clean() {
        let mut painter = Painter::new(Depth::Ansi256);
        let bytes = painter
            .encode(frame("日本 x", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)))
            .to_vec();
        assert_eq!(screen(&bytes).trim(), "日本 x");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\x1b[0;1;31m") && text.ends_with("\x1b[0m\x1b[?2026l"), "{text:?}");
    }

    #[test]
    fn mono_keeps_reversed_and_sends_no_colour() {
        let mut painter = Painter::new(Depth::Mono);
        let style = Style::new().fg(Color::Red).bg(Color::Blue).add_modifier(Modifier::REVERSED);
        let text = String::from_utf8(painter.encode(frame("x", style)).to_vec()).unwrap();
        assert!(text.contains("\x1b[0;7mx"), "{text:?}");
    }

    #[test]
    fn another_size_draws_everything() {
        let mut painter = Painter::new(Depth::Ansi256);
        painter.encode(frame("hello", Style::new()));
        let mut larger = Painter::blank(30, 2);
        larger.set_string(0, 0, "hello", Style::new());
        let text = String::from_utf8(painter.encode(larger).to_vec()).unwrap();
        assert!(text.contains("\x1b[2J") && text.contains("hello"), "{text:?}");
    }
}
