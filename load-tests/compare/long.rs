//! The long run: a hundred million rows into one table at full speed. It shows at once whether throughput falls as the table
//! grows, and whether memory does not.

use super::common::{BATCH_ROWS, GIB, Result, as_f64, mean};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::meter::Sample;
use super::runs::measure;
use super::target::Target;

const MILLION: u64 = 1_000_000;
/// Millions at each end that are compared: one alone takes a few seconds, and is noise.
const ENDS: usize = 5;

/// Sends `rows` rows to fresh tables; fewer when they would take more than `room_bytes`.
pub async fn run(
    target: &mut Target,
    rows: u64,
    room_bytes: u64,
    connections: usize,
    figures: &mut Figures,
) -> Result<()> {
    let feed = |rows: u64| Feed::pool(BATCH_ROWS, Until::Requests(rows.div_ceil(BATCH_ROWS)));
    measure(target, feed(MILLION.min(rows)), connections, figures, "the first million alone").await?;
    let bytes = target.bytes_per_event(MILLION.min(rows)).await?;
    let fit = (1..=rows.div_ceil(MILLION)).rev().map(|n| (n * MILLION).min(rows));
    let fit = fit.into_iter().find(|rows| as_f64(*rows) * bytes <= as_f64(room_bytes));
    let fit = fit.ok_or_else(|| format!("{} GiB hold no million rows of {bytes:.0} bytes", room_bytes / GIB))?;
    if fit < rows {
        figures.fail(format!("{rows} rows: {} GiB hold {fit} of {bytes:.0} bytes each", room_bytes / GIB));
    }
    let run = measure(target, feed(fit), connections, figures, "the whole").await?;
    figures.add("the whole", "bytes/event", target.bytes_per_event(fit).await?);
    let rates = rates(&run.samples, MILLION);
    if let Some(slowest) = rates.iter().copied().reduce(f64::min) {
        figures.add("the slowest million", "events/s", slowest);
    }
    if rates.len() >= 2 * ENDS {
        let ratio = mean(&rates[rates.len() - ENDS..]) / mean(&rates[..ENDS]);
        figures.add("last 5 million rows / first 5 million", "ratio", ratio);
    }
    Ok(())
}

/// Events a second of each `step` events, by the moments between samples at which they were answered.
fn rates(samples: &[Sample], step: u64) -> Vec<f64> {
    let mut moments = vec![0.0];
    for pair in samples.windows(2) {
        let [before, after] = [pair[0], pair[1]];
        while let next = moments.len() as u64 * step
            && next <= after.events
        {
            let part = as_f64(next - before.events.min(next)) / as_f64((after.events - before.events).max(1));
            moments.push(before.at.as_secs_f64() + part * (after.at - before.at).as_secs_f64());
        }
    }
    moments.windows(2).map(|pair| as_f64(step) / (pair[1] - pair[0])).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_between_the_samples() {
        let sample = |(at_s, events)| Sample { at: Duration::from_secs(at_s), events, resident_mib: 1.0 };
        let samples = [(0, 0), (10, 50), (20, 250), (40, 290)].map(sample);
        // 100 after 12.5 s, 200 after 17.5 s.
        let rates = rates(&samples, 100);
        assert!(rates.len() == 2 && (rates[0] - 8.0).abs() < 1e-9 && (rates[1] - 20.0).abs() < 1e-9, "{rates:?}");
    }
}
