//! Rules from history to findings. No I/O.
