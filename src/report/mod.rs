//! What a person sees of a run.
mod protobuf;
mod tensorboard;
pub use tensorboard::EventWriter;
