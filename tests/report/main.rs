//! The report: event files, classical coders of pictures, and the page about runs.

mod baselines;
mod damage;
mod events;
mod folder;
mod page;
