//! The layouts: what has to be known to read the bytes of a sequence as text, a picture or a sound.

mod audio;
mod image;
mod text;

pub use audio::{AudioChannels, AudioFormat, AudioLayout};
pub use image::{Channels, Filter, Fit, ImageLayout, Scan};
pub use text::{Bom, BytesLayout, Newlines, TextLayout};
