//! The clipboard of the terminal, by OSC 52: it works over SSH, because the terminal does it.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::paint::write_all;

/// Terminals cut or refuse longer sequences.
const MOST: usize = 74_000;

/// Asks the terminal to put `text` on the clipboard. It may be forbidden there; it does not answer.
///
/// # Errors
/// When the terminal is gone.
pub fn copy(text: &str) -> io::Result<()> {
    write_all(sequence(text).as_bytes())
}

fn sequence(text: &str) -> String {
    let most = MOST / 4 * 3;
    let end =
        text.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= most).last().unwrap_or(0);
    format!("\x1b]52;c;{}\x07", STANDARD.encode(&text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_osc_52() {
        assert_eq!(sequence("m1"), "\x1b]52;c;bTE=\x07");
        assert!(sequence(&"é".repeat(100_000)).len() < MOST + 16);
    }
}
