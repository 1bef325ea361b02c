//! The scenarios, one file per subject. A scenario is a function of a `Scene`, or of a `Version` when it
//! starts workers of its own; the macro makes one test per version.

mod back_off;
mod behind_nginx;
mod databases;
mod forwarding;
mod heals;
mod lasting;
mod left_alone;
mod names;
mod recipe;
mod restart_calls;
mod security;
mod slow_start;
mod standalone;
mod together;
mod trouble;
mod two_workers;
