//! The only user of crossterm: terminal modes and their restoration, frames as bytes, input, signals, clipboard.

pub mod clipboard;
pub mod color;
pub mod guard;
pub mod input;
pub mod paint;
pub mod signals;

pub use color::Depth;
pub use guard::Guard;
pub use input::Input;
pub use paint::Painter;
pub use signals::{Signal, Signals};
