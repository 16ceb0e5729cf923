//! Any channels to the layout's.

use super::super::AudioChannels;
use super::source::Block;

/// Replaces `mixed` by the block's frames in the wanted channels.
///
/// Mono is the mean of all channels. Stereo of two channels is these, of one is that one twice; of more, in the order
/// of WAV files (front left, front right, centre, low frequencies, back …), the first is left, the second right, and
/// each side is the mean of its own channel and all channels from the third on, so that nothing is lost or clipped.
pub(super) fn mix(block: &Block, wanted: AudioChannels, mixed: &mut Vec<f32>) {
    mixed.clear();
    let frames = block.samples.chunks_exact(block.channels.max(1));
    match (wanted, block.channels) {
        (AudioChannels::Mono, 1) | (AudioChannels::Stereo, 2) => mixed.extend_from_slice(&block.samples),
        (AudioChannels::Mono, n) => mixed.extend(frames.map(|frame| frame.iter().sum::<f32>() / n as f32)),
        (AudioChannels::Stereo, 1) => mixed.extend(block.samples.iter().flat_map(|&sample| [sample; 2])),
        (AudioChannels::Stereo, n) => mixed.extend(frames.flat_map(|frame| {
            let rest: f32 = frame[2..].iter().sum();
            [frame[0], frame[1]].map(|side| (side + rest) / (n - 1) as f32)
        })),
    }
}
