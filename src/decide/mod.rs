//! The deciding half: what an answer of Kafka Connect means, what to do about
//! it, and what to remember. Everything in this folder is a pure function of
//! its arguments: `now` and the run's number come in as values, a plan goes out
//! as a value. No clock, network, file, environment, logging or async here, and
//! no other folder of this program; `tests/it/tidy.rs` holds it to that.

pub mod action;
pub mod advice;
pub mod calls;
pub mod cause;
mod chronicle;
pub mod counters;
pub mod event;
pub mod group;
pub mod history;
pub mod hold;
mod holding;
pub mod interner;
pub mod ledger;
pub mod listing;
mod merge;
pub mod model;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod record;
mod recording;
pub mod retry;
pub mod row;
pub mod secrets;
pub mod select;
pub mod shared;
pub mod table;
pub mod tell;
pub mod text;
pub mod time;
pub mod watch;
mod waves;

#[cfg(test)]
mod tests;
