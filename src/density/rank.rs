//! Files in the order of what they cost, and how well that tells anomalies from what is usual.

use serde::Serialize;

use super::{Baseline, Inference, classical, score_files};
use crate::Result;
use crate::data::Files;
use crate::model::Megabyte;
use crate::progress::Progress;

/// A file and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Nats of these, and of its end.
    pub nats: f64,
    /// nats / (ln 2 · bytes)
    pub bits_per_byte: f64,
    /// The classical coder that makes least of it alone, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coder: Option<Baseline>,
}

impl Ranked {
    /// What files are sorted by: bits per byte, less those of the coder. Without a coder, what is simple seems usual
    /// merely because it costs little (Serrà et al. 2020, Input complexity and out-of-distribution detection).
    pub fn key(&self) -> f64 {
        self.bits_per_byte - self.coder.as_ref().map_or(0.0, |coder| coder.bits_per_byte)
    }
}

/// Scores files and sorts them by [`Ranked::key`], the greatest first, equal ones by name; `relative` is to coders.
/// [`Files::skipped`] has then what could not be used.
pub fn rank(
    model: &Megabyte,
    files: &mut Files,
    inference: Inference,
    batch: usize,
    relative: bool,
    progress: &dyn Progress,
) -> Result<Vec<Ranked>> {
    let layout = files.layout().clone();
    let mut ranked = Vec::new();
    score_files(model, files, inference, batch, progress, &mut |name, bytes, scores| -> Result<()> {
        let (nats, bits_per_byte) = (scores.nats(), scores.bits_per_byte());
        let coders = if relative { classical(&layout, std::iter::once(bytes))? } else { Vec::new() };
        let coder = coders.into_iter().min_by(|a, b| a.bits_per_byte.total_cmp(&b.bits_per_byte));
        ranked.push(Ranked { name: name.to_owned(), bytes: bytes.len() as u64, nats, bits_per_byte, coder });
        Ok(())
    })?;
    ranked.sort_by(|a, b| b.key().total_cmp(&a.key()).then_with(|| a.name.cmp(&b.name)));
    Ok(ranked)
}

/// The area under the ROC curve (Mann-Whitney): the probability that an anomaly's score is above that of something
/// usual, a tie counting half. Each score comes with whether it is of an anomaly. `None` where one of the two is missing.
pub fn area_under_curve(scores: &[(f64, bool)]) -> Option<f64> {
    let anomalies = scores.iter().filter(|(_, anomaly)| *anomaly).count() as f64;
    let usual = scores.len() as f64 - anomalies;
    if anomalies == 0.0 || usual == 0.0 {
        return None;
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Pairs in which the anomaly is above, each run of equal scores at once.
    let (mut pairs, mut below) = (0.0, 0.0);
    for run in sorted.chunk_by(|a, b| a.0 == b.0) {
        let here = run.iter().filter(|(_, anomaly)| *anomaly).count() as f64;
        let usual_here = run.len() as f64 - here;
        pairs += here * (below + usual_here / 2.0);
        below += usual_here;
    }
    Some(pairs / (anomalies * usual))
}
