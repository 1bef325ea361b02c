//! The deciding half: what an answer of Kafka Connect means, what to do about
//! it, and what to remember. Everything in this folder is a pure function of
//! its arguments: `now` and the run's number come in as values, a plan goes out
//! as a value. No clock, network, file, environment, logging or async here, and
//! no other folder of this program; `tests/it/tidy.rs` holds it to that.

pub mod cause;
pub mod ledger;
mod merge;
pub mod model;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod secrets;
pub mod select;
pub mod text;

#[cfg(test)]
mod tests;
