//! Pure drawing of the state.
