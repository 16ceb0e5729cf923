//! How well an order tells anomalies from what is usual.

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
