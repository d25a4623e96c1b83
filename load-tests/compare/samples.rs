//! Samples of metrics: raw COPY of them and Tidegate over HTTP, in turn on fresh tables; once without dimensions, and once with
//! five sets of them, each of which makes a series of its own: as many series either way, of which Tidegate has had a sample
//! before the clock starts. What a series costs that is new, `cardinality` measures.

use tidegate::model::Kind;

use super::common::{ASSETS, BATCH_ROWS, CONNECTIONS, Result, TENANTS, mean, per_row};
use super::compact::compact;
use super::dataset::{Dataset, Span};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::options::Options;
use super::paths::{Begun, HTTP, RAW, over_http};
use super::raw;
use super::rows::streams;
use super::target::Target;
use super::templates::Template;

/// Sets of dimensions where samples have some.
const SETS: u32 = 5;

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    for (sets, state) in [(0, "without dimensions"), (SETS, "with dimensions")] {
        let (mut raw_rates, mut rates, mut cpu_us) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=options.rounds {
            let name = |path: &str| format!("{path}, {state}, round {round}");
            let (made, rows) = made(sets, options.million());
            let begun = Begun::new(target).await?;
            let streams = streams(Kind::Metrics, &made, &target.tenants[..TENANTS], target.stored_json)?;
            let usage = raw::run(target, Kind::Metrics, streams, CONNECTIONS).await?;
            begun.figures(target, figures, &name(RAW), Kind::Metrics, rows, &usage).await?;
            raw_rates.push(usage.rate(rows));

            let known = known(sets);
            let known_rows = known.len() as u64 * BATCH_ROWS;
            target.fresh().await?;
            let feed = Feed::in_turn(known, TENANTS, Until::Requests(known_rows / BATCH_ROWS));
            over_http(target, Kind::Metrics, feed, options.connections).await?;
            let begun = Begun::after(target, known_rows).await?;
            let feed = Feed::in_turn(made, TENANTS, Until::Requests(rows / BATCH_ROWS));
            let usage = over_http(target, Kind::Metrics, feed, options.connections).await?;
            begun.figures(target, figures, &name(HTTP), Kind::Metrics, rows, &usage).await?;
            rates.push(usage.rate(rows));
            cpu_us.push(per_row(usage.tidegate_cpu_s * 1e6, rows));
        }
        figures.add(&format!("{HTTP}, {state}"), "samples/s", mean(&rates));
        figures.add(&format!("over HTTP / {RAW}, {state}"), "ratio", mean(&rates) / mean(&raw_rates));
        figures.add(&format!("Tidegate's own CPU, {state}"), "us/sample", mean(&cpu_us));
        let rows = options.million().next_multiple_of(BATCH_ROWS) + known(sets).len() as u64 * BATCH_ROWS;
        stored(target, rows, state, figures).await?;
    }
    Ok(())
}

/// What the last run's samples take, as written and compacted.
async fn stored(target: &Target, rows: u64, state: &str, figures: &mut Figures) -> Result<()> {
    let table = Kind::Metrics.table();
    figures.add(&format!("stored, {state}, hot"), "bytes/sample", per_row(target.bytes_of(table).await?, rows));
    if target.is_timescale() {
        compact(target, Kind::Metrics, figures).await?;
        target.check_stored(table, rows).await?;
        figures.add(
            &format!("stored, {state}, compacted"),
            "bytes/sample",
            per_row(target.bytes_of(table).await?, rows),
        );
    }
    Ok(())
}

/// Bodies of samples, for the tenants in turn, and how many samples that are.
pub fn made(dimension_sets: u32, rows: u64) -> (Vec<Template>, u64) {
    let bodies = rows.div_ceil(BATCH_ROWS);
    let of_a_tenant = bodies.div_ceil(TENANTS as u64) * BATCH_ROWS;
    let dataset = dataset(dimension_sets, of_a_tenant);
    let tenants = (0..TENANTS).cycle();
    let made = (0..bodies).zip(tenants).map(|(number, tenant)| {
        let first = number / TENANTS as u64 * BATCH_ROWS;
        Template::samples(&dataset, tenant, first..first + BATCH_ROWS)
    });
    (made.collect(), bodies * BATCH_ROWS)
}

/// Bodies with a sample of every series.
fn known(dimension_sets: u32) -> Vec<Template> {
    let of_a_tenant = dataset(dimension_sets, u64::MAX).series_count() / TENANTS as u64;
    made(dimension_sets, of_a_tenant.next_multiple_of(BATCH_ROWS) * TENANTS as u64).0
}

/// As many series with dimensions as without.
fn dataset(dimension_sets: u32, of_a_tenant: u64) -> Dataset {
    let span = Span { from_us: 0, to_us: 1, per_tenant: of_a_tenant };
    let assets = ASSETS / dimension_sets.max(1);
    Dataset { tenants: TENANTS, assets, metrics_per_asset: 1, dimension_sets, events: span, samples: span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenant_goes_through_its_series() {
        let (made, rows) = made(SETS, 85_500);
        assert_eq!((made.len(), rows), (86, 86_000));
        let text = |template: &Template| {
            let mut body = Vec::new();
            template.append(&mut body, 0, 0);
            String::from_utf8(body).expect("text")
        };
        let (first, third) = (text(&made[1]), text(&made[81]));
        assert!(first.contains("t01-") && third.contains("t01-") && !first.contains("t02-"));
        let instances: std::collections::BTreeSet<_> =
            first.lines().filter_map(|line| line.split("\"instance\":").nth(1)).collect();
        assert_eq!((first.lines().count(), instances.len()), (1000, 5));
        let without = known(0);
        assert_eq!((without.len(), known(SETS).len()), (2 * TENANTS, 2 * TENANTS));
        let assets = |template: &Template| text(template).lines().map(str::to_owned).collect::<Vec<_>>();
        let all: std::collections::BTreeSet<String> = without
            .iter()
            .flat_map(assets)
            .filter_map(|line| Some(line.split("\"asset_id\":\"").nth(1)?.split('"').next()?.to_owned()))
            .collect();
        assert_eq!(all.len(), TENANTS * ASSETS as usize);
    }
}
