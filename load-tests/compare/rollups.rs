//! Ingestion beside the work of its rollups: samples and events at a rate, once with all levels and policies and once
//! without, the rate rising until the rollups fall behind or take too much.

use std::time::Duration;
use tidegate::model::Kind;

use super::bounds::{LAG_BUCKETS_MAX, ROLLUPS_RATIO_MIN};
use super::common::{BATCH_ROWS, Result, TENANTS};
use super::dataset::{Dataset, Span};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::lag::Watch;
use super::meter::Meter;
use super::options::Options;
use super::pause::{What, pause};
use super::sender::Sender;
use super::target::Target;
use super::templates::Template;

/// Of each kind: more than are needed, so that waiting for a connection is no limit.
const CONNECTIONS: usize = 8;
/// Only what cannot be left out.
const WITHOUT: &str = "rollups.levels=1h,1d";

/// Measures rate by rate, until one is not kept up. The bounds are those of the highest that is, or of the first.
pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let (dataset, length) = (dataset(options.rollup_series), options.rollup_length);
    for (number, step) in options.rollup_steps.iter().enumerate() {
        let samples = f64::from(options.rollup_rate) * step;
        let rates = Some([samples, samples / 2.0]);
        let name = format!("{samples:.0} samples/s of {} series and half as many events", dataset.series_count());
        let (ratio, lag) = compare(target, &dataset, rates, length, figures, &name).await?;
        let good = ratio >= ROLLUPS_RATIO_MIN && lag.is_some_and(|lag| lag <= LAG_BUCKETS_MAX);
        if good || number == 0 {
            figures.add("with all rollups / without", "ratio", ratio);
            figures.add("the same, at", "samples/s", samples);
            if let Some(lag) = lag {
                figures.add("lag of the slowest level", "buckets", lag);
            }
        }
        if !good {
            break;
        }
    }
    let name = "as much as goes in of both at once";
    let (ratio, lag) = compare(target, &dataset, None, length, figures, name).await?;
    figures.add("with all rollups / without, at the full rate", "ratio", ratio);
    if let Some(lag) = lag {
        figures.add("lag of the slowest level, at the full rate", "buckets", lag);
    }
    Ok(())
}

/// Measures without rollups and with all; the ratio of the rates, and how far the slowest level was behind.
async fn compare(
    target: &mut Target,
    dataset: &Dataset,
    rates: Option<[f64; 2]>,
    length: Duration,
    figures: &mut Figures,
    name: &str,
) -> Result<(f64, Option<f64>)> {
    target.settings = vec![WITHOUT.to_owned()];
    target.fresh().await?;
    let paused = pause(target, What::Refreshes).await?;
    let without = ingest(target, dataset, rates, length, figures, name, "without").await?;
    drop(paused);
    // Its start sets the policies again.
    target.settings.clear();
    target.fresh().await?;
    let with = ingest(target, dataset, rates, length, figures, name, "with all").await?;
    Ok((with.rate / without.rate, with.lag_buckets))
}

/// What went in.
struct Ingested {
    /// Samples and events committed a second.
    rate: f64,
    /// The worst of any level; none when the run was too short for any to be told.
    lag_buckets: Option<f64>,
}

/// The series that are sent; times and values are of the moment.
fn dataset(series: u64) -> Dataset {
    let of_a_tenant = series / TENANTS as u64;
    // Whole requests, so that each series has its turn once a round.
    let of_a_tenant = if of_a_tenant > BATCH_ROWS { of_a_tenant / BATCH_ROWS * BATCH_ROWS } else { of_a_tenant.max(1) };
    let span = Span { from_us: 0, to_us: 1, per_tenant: of_a_tenant };
    let assets = u32::try_from(of_a_tenant).expect("far fewer than 2^32 series");
    Dataset { tenants: TENANTS, assets, metrics_per_asset: 1, dimension_sets: 0, events: span, samples: span }
}

/// Bodies in which every series has one sample, the tenants in turn.
fn bodies(dataset: &Dataset) -> Vec<Template> {
    let of_a_tenant = dataset.samples.per_tenant;
    let batch = of_a_tenant.min(BATCH_ROWS);
    let firsts = (0..of_a_tenant / batch).map(|part| part * batch);
    firsts
        .flat_map(|first| (0..TENANTS).map(move |tenant| (first, tenant)))
        .map(|(first, tenant)| Template::samples(dataset, tenant, first..first + batch))
        .collect()
}

async fn ingest(
    target: &Target,
    dataset: &Dataset,
    rates: Option<[f64; 2]>,
    length: Duration,
    figures: &mut Figures,
    name: &str,
    rollups: &str,
) -> Result<Ingested> {
    let mut sample_feed = Feed::in_turn(bodies(dataset), TENANTS, Until::Elapsed(length));
    let mut event_feed = Feed::pool(BATCH_ROWS, Until::Elapsed(length));
    if let Some([samples, events]) = rates {
        (sample_feed, event_feed) = (sample_feed.paced(samples), event_feed.paced(events));
    }
    let senders = (Sender::new(target, Kind::Metrics, &target.keys)?, Sender::new(target, Kind::Events, &target.keys)?);
    let watch = Watch::start(target).await?;
    let meter = Meter::start(target);
    let (samples, events) =
        tokio::join!(senders.0.send(sample_feed, CONNECTIONS), senders.1.send(event_feed, CONNECTIONS));
    let usage = meter.stop(target);
    let lags = watch.stop().await?;
    let (samples, events) = (samples?, events?);
    target.check_stored("metrics", samples.accepted()).await?;
    target.check_stored("events", events.accepted()).await?;
    if samples.rejected + events.rejected > 0 {
        return Err(format!("{} samples and {} events were rejected", samples.rejected, events.rejected).into());
    }
    let (rows, run) = (samples.committed + events.committed, format!("{name}, {rollups}"));
    usage.add(figures, &run, "row", rows);
    let p99s = [("p99 ms, samples", samples.latencies.ms().p99), ("p99 ms, events", events.latencies.ms().p99)];
    figures.add_all(&run, &p99s);
    let mut worst: Option<f64> = None;
    for (level, lag) in lags {
        if let Some((most, last)) = lag.buckets(usage.elapsed_s) {
            let values = [("buckets behind, at most", most), ("buckets behind, at the end", last)];
            figures.add_all(&format!("{run}: {level}"), &values);
            worst = Some(worst.unwrap_or(0.0).max(most));
        }
    }
    Ok(Ingested { rate: usage.rate(rows), lag_buckets: worst })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_every_series_once() {
        for (series, templates, rows) in [(80_000, 80, 1000), (4_000, 40, 100), (100_000, 80, 1000)] {
            let dataset = dataset(series);
            let bodies = bodies(&dataset);
            assert_eq!((bodies.len(), bodies[0].events), (templates, rows), "{series}");
            assert_eq!(dataset.series_count(), templates as u64 * rows);
        }
    }
}
