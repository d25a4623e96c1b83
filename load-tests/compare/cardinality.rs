//! A million series of one tenant: what it costs to make them, ingestion before and after, memory, a page of the catalog and
//! a week of one series.

use std::sync::Arc;

use tidegate::model::Kind;

use super::ask::{PathOf, ask_paths};
use super::common::{BATCH_ROWS, Result, as_f64, per_row};
use super::dataset::{Dataset, Span, asset_name, below, dimensions, metric};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::meter::Meter;
use super::options::Options;
use super::proc;
use super::sender::Sender;
use super::target::Target;
use super::templates::Template;

/// Sets of dimensions of each asset's metric.
const SETS: u32 = 100;
/// Requests that send the same series before and after: a hundredth of them all.
const FEW: u64 = 100;

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let series = options.million().next_multiple_of(u64::from(SETS) * BATCH_ROWS);
    let dataset = dataset(series)?;
    target.fresh().await?;
    let (mut stored, begun_mib) = (0, proc::resident_mib(target.pid()));
    for (name, series, rounds) in [
        ("the same few series, before", series.div_ceil(FEW).next_multiple_of(BATCH_ROWS), FEW),
        ("every series for the first time", series, 1),
        ("every series again", series, 1),
        ("the same few series, after", series.div_ceil(FEW).next_multiple_of(BATCH_ROWS), FEW),
    ] {
        stored += send(target, &dataset, series, rounds, options, figures, name).await?;
        figures.add(name, "MiB afterwards", proc::resident_mib(target.pid()));
        target.check_stored(Kind::Metrics.table(), stored).await?;
    }
    figures.add("Tidegate with nothing", "MiB", begun_mib);
    let rate = |name: &str| figures.get(name, "samples/s").unwrap_or(f64::NAN);
    let ratio = rate("the same few series, after") / rate("the same few series, before");
    figures.add("ingestion after / before", "ratio", ratio);
    let known = target.count("SELECT count(*) FROM metric_series").await?;
    figures.add("the catalog", "series", as_f64(known));
    if known != series {
        figures.fail(format!("the catalog has {known} series instead of {series}"));
    }
    let bytes = target.count("SELECT pg_total_relation_size('metric_series')").await?;
    figures.add("the catalog", "bytes/series", per_row(as_f64(bytes), known));
    read(target, dataset, options, figures).await
}

/// Assets enough for so many series, with a sample of each.
fn dataset(series: u64) -> Result<Dataset> {
    let span = Span { from_us: 0, to_us: 1, per_tenant: series };
    let assets = u32::try_from(series / u64::from(SETS))?;
    Ok(Dataset { tenants: 1, assets, metrics_per_asset: 1, dimension_sets: SETS, events: span, samples: span })
}

/// Sends a sample of each of the first `series` series, `rounds` times.
async fn send(
    target: &Target,
    dataset: &Dataset,
    series: u64,
    rounds: u64,
    options: &Options,
    figures: &mut Figures,
    name: &str,
) -> Result<u64> {
    let firsts = (0..series / BATCH_ROWS).map(|body| body * BATCH_ROWS);
    let made: Vec<Template> = firsts.map(|first| Template::samples(dataset, 0, first..first + BATCH_ROWS)).collect();
    let requests = made.len() as u64 * rounds;
    let sender = Sender::new(target, Kind::Metrics, &target.keys)?;
    let meter = Meter::start(target);
    let sent = sender.send(Feed::in_turn(made, 1, Until::Requests(requests)), options.connections).await?;
    let usage = meter.stop(target);
    if sent.rejected > 0 {
        return Err(format!("{name}: {} of {} samples were rejected", sent.rejected, sent.events).into());
    }
    usage.add(figures, name, "sample", sent.accepted());
    let ms = sent.latencies.ms();
    figures.add_all(name, &[("p50 ms", ms.p50), ("p99 ms", ms.p99), ("spooled", as_f64(sent.spooled))]);
    Ok(sent.accepted())
}

async fn read(target: &Target, dataset: Dataset, options: &Options, figures: &mut Figures) -> Result<()> {
    let asset = move |random| {
        let asset = below(random, dataset.assets);
        (asset_name(0, asset), metric(asset, 0).0)
    };
    let week = move |_: usize, random: u64| {
        let (name, instance) = (asset(random), dimensions(below(random << 16, SETS)).1);
        let (asset, metric) = name;
        format!("/v1/metrics?metric_name={metric}&asset_id={asset}&dim.instance={instance}&resolution=1h&from=-7d")
    };
    let of_an_asset = move |_: usize, random: u64| {
        let (asset, metric) = asset(random);
        format!("/v1/metrics?metric_name={metric}&asset_id={asset}&resolution=1h&from=-7d")
    };
    let reads: [(&str, Arc<PathOf>); 4] = [
        ("catalog, a page of 100", Arc::new(|_, _| "/v1/metrics/catalog?limit=100".into())),
        (
            "catalog of an asset",
            Arc::new(move |_, random| format!("/v1/metrics/catalog?asset_id={}&limit=100", asset(random).0)),
        ),
        ("a week of one series", Arc::new(week)),
        ("a week of an asset's 100 series", Arc::new(of_an_asset)),
    ];
    for (name, path) in reads {
        ask_paths(target, 1, (name, path), "a million series", 1, options.reads(), figures).await?;
    }
    Ok(())
}
