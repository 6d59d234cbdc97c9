//! Keys, pastes, wheel and size as messages.

use crossterm::event::{
    Event, EventStream, KeyCode as CrosstermCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind,
};
use futures_util::StreamExt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::app::{Key, KeyCode, Msg};

/// What the user does.
#[derive(Debug, Default)]
pub struct Input(EventStream);

impl Input {
    /// The next message; none when the terminal is gone.
    pub async fn next(&mut self) -> Option<Msg> {
        loop {
            match self.0.next().await? {
                Ok(event) => {
                    if let Some(msg) = message(event) {
                        return Some(msg);
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// The next message if it is there already. Polled with the caller's own waker: the stream keeps the first waker
    /// that it is polled with, and one that wakes nobody would make the keyboard dead.
    pub async fn ready(&mut self) -> Option<Msg> {
        let mut next = pin!(self.next());
        poll_fn(|cx| {
            Poll::Ready(match next.as_mut().poll(cx) {
                Poll::Ready(msg) => msg,
                Poll::Pending => None,
            })
        })
        .await
    }
}

fn message(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) => key_of(key).map(Msg::Key),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(width, height) => Some(Msg::Resize(width, height)),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::ScrollDown => Some(Msg::Wheel(1)),
            MouseEventKind::ScrollUp => Some(Msg::Wheel(-1)),
            _ => None,
        },
        Event::FocusGained | Event::FocusLost => None,
    }
}

fn key_of(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let code = match event.code {
        CrosstermCode::Char(c) => KeyCode::Char(c),
        CrosstermCode::F(n) => KeyCode::F(n),
        CrosstermCode::Enter => KeyCode::Enter,
        CrosstermCode::Esc => KeyCode::Esc,
        CrosstermCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        CrosstermCode::Tab => KeyCode::Tab,
        CrosstermCode::BackTab => KeyCode::BackTab,
        CrosstermCode::Backspace => KeyCode::Backspace,
        CrosstermCode::Delete => KeyCode::Delete,
        CrosstermCode::Up => KeyCode::Up,
        CrosstermCode::Down => KeyCode::Down,
        CrosstermCode::Left => KeyCode::Left,
        CrosstermCode::Right => KeyCode::Right,
        CrosstermCode::PageUp => KeyCode::PageUp,
        CrosstermCode::PageDown => KeyCode::PageDown,
        CrosstermCode::Home => KeyCode::Home,
        CrosstermCode::End => KeyCode::End,
        _ => return None,
    };
    Some(Key {
        code,
        ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
        alt: event.modifiers.contains(KeyModifiers::ALT),
    })
}
