//! The report: event files, classical coders of pictures, and the page about runs.
// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod baselines;
mod damage;
mod events;
mod folder;
mod page;
