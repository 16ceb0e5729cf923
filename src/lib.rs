//! Images, audio and text as flat byte sequences, modelled by MEGABYTE.
//!
//! ```text
//! files ──modality──▶ bytes ──data──▶ batches ──model──▶ p(next byte)
//! files ◀─modality── bytes ◀──────generate──────────────┘
//! ```
//!
//! Everything before the byte sequence knows a modality; everything after it knows bytes, a patch size and a layout.

mod append;
pub mod config;
pub mod data;
pub mod density;
pub mod error;
pub mod generate;
pub mod modality;
pub mod model;
pub mod native;
pub mod progress;
pub mod replace;
pub mod report;
pub mod shown;
pub mod train;

pub use config::RunConfig;
pub use error::{Error, Result};
