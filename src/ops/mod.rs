//! Changes to a cluster, done safely in the background. No screen in it: dashboard and commands use the same.
//!
//! A [`plan::Request`] becomes a [`plan::Plan`] ([`planner::plan`]: pure, frozen, with its preflight); somebody confirms
//! it and the [`guard`] lets it pass; the [`engine`] carries it out step by step, each checked right before and after by
//! the [`gates`], and written to the [`journal`] before it begins.

mod backup;
pub mod engine;
pub mod event;
pub mod gates;
pub mod guard;
pub mod journal;
mod landing;
pub mod lock;
mod outcome;
pub mod past;
pub mod plan;
pub mod planner;
mod recover;
mod roll;
pub mod rule;
pub mod save;
pub mod seam;
pub mod standing;
pub mod terms;
pub mod world;

pub use engine::Engine;
pub use event::{Haste, Limits, OpEvent, Progress, Stop};
pub use guard::{Confirmed, Mode, Refusal, confirm};
pub use plan::{Plan, Request};
