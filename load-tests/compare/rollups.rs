//! Ingestion beside the work of its rollups: samples and events at a rate, once with all levels and policies and once
//! without, the rate rising until the rollups fall behind or take too much.

use std::time::Duration;

use super::analytics::{Ingested, Rollups, Step};
use super::bodies::Template;
use super::dataset::{Dataset, Span};
use super::feed::{Feed, Until};
use super::lag::Watch;
use super::machine::Server;
use super::meter::Meter;
use super::pause::{What, pause};
use super::sender::Sender;
use super::target::Target;
use super::{BATCH_ROWS, Result, TENANTS, as_f64, runs};

/// Of each kind: more than are needed, so that waiting for a connection is no limit.
const CONNECTIONS: usize = 8;
/// Only what cannot be left out.
const WITHOUT: &str = "rollups.levels=1h,1d";

/// What is sent.
pub struct Plan {
    /// Samples a second at rate 1.
    pub samples_per_second: f64,
    /// Events a second at rate 1.
    pub events_per_second: f64,
    /// Multiples of these, rising.
    pub rates: Vec<f64>,
    /// Series of all tenants.
    pub series: u64,
    /// Of each run.
    pub length: Duration,
}

/// Measures into `found`, rate by rate.
pub async fn run(engine: &str, plan: &Plan, server: &mut Server, found: &mut Rollups) -> Result<()> {
    let dataset = dataset(plan.series);
    *found = Rollups { series: dataset.series_count(), length_s: plan.length.as_secs_f64(), steps: Vec::new() };
    let mut target = Target::start(engine, TENANTS).await?;
    *server = Server::of(&target).await?;
    for rate in &plan.rates {
        let (samples, events) = (plan.samples_per_second * rate, plan.events_per_second * rate);
        target.settings = vec![WITHOUT.to_owned()];
        target.fresh().await?;
        let paused = pause(&target, What::Refreshes).await?;
        let without = ingest(&target, &dataset, samples, events, plan.length).await?;
        drop(paused);
        // Its start sets the policies anew.
        target.settings.clear();
        target.fresh().await?;
        let active = ingest(&target, &dataset, samples, events, plan.length).await?;
        let step = Step { samples_per_second: samples, events_per_second: events, without, active };
        println!(
            "    {samples:.0} samples/s and {events:.0} events/s: {:.0} rows/s with rollups, {:.0} without, ratio {:.2}; \
             lag up to {} buckets",
            step.active.rate(),
            step.without.rate(),
            step.ratio(),
            step.lag_buckets().map_or_else(|| "an unknown number of".to_owned(), |lag| format!("{lag:.2}"))
        );
        let good = step.is_good();
        found.steps.push(step);
        if !good {
            break;
        }
    }
    target.stop()
}

/// The series that are sent; times and values are of the moment.
fn dataset(series: u64) -> Dataset {
    let of_a_tenant = series / TENANTS as u64;
    // Whole requests, so that each series has its turn once a round.
    let of_a_tenant = if of_a_tenant > BATCH_ROWS { of_a_tenant / BATCH_ROWS * BATCH_ROWS } else { of_a_tenant.max(1) };
    let span = Span { from_us: 0, to_us: 1, per_tenant: of_a_tenant };
    let assets = u32::try_from(of_a_tenant).expect("far fewer than 2^32 series");
    Dataset { tenants: TENANTS, assets, metrics_per_asset: 1, events: span, samples: span }
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

async fn ingest(target: &Target, dataset: &Dataset, samples: f64, events: f64, length: Duration) -> Result<Ingested> {
    let sample_feed = Feed::in_turn(bodies(dataset), TENANTS, Until::Elapsed(length)).paced(samples);
    let event_feed = runs::pool(BATCH_ROWS, Until::Elapsed(length)).paced(events);
    let senders = (Sender::to(target, "/v1/metrics")?, Sender::new(target)?);
    let watch = Watch::start(target).await?;
    let meter = Meter::start(target);
    let (samples, events) =
        tokio::join!(senders.0.send(sample_feed, CONNECTIONS), senders.1.send(event_feed, CONNECTIONS));
    let usage = meter.stop(target);
    let lags = watch.stop().await?;
    let (samples, events) = (samples?, events?);
    target.check_stored_in("metrics", samples.accepted()).await?;
    target.check_stored(events.accepted()).await?;
    if samples.rejected + events.rejected > 0 {
        return Err(format!("{} samples and {} events were rejected", samples.rejected, events.rejected).into());
    }
    println!(
        "      {:.1} us of Tidegate and {:.1} us of PostgreSQL a row; p99 {:.1} and {:.1} ms",
        usage.tidegate_cpu_s * 1e6 / as_f64(samples.events + events.events),
        usage.postgres_cpu_s * 1e6 / as_f64(samples.events + events.events),
        samples.latency_ms(990),
        events.latency_ms(990)
    );
    Ok(Ingested {
        rows: samples.committed + events.committed,
        usage,
        samples_p99_ms: samples.latency_ms(990),
        events_p99_ms: events.latency_ms(990),
        lags,
    })
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
