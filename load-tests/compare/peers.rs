//! InfluxDB and VictoriaMetrics beside Tidegate in one run: the same samples, and for InfluxDB the same events, a thousand a
//! batch on as many connections. What is not installed is left out, and named.

use tidegate::model::Kind;

use super::common::{BATCH_ROWS, Result, TENANTS, as_f64, item, per_row};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::lines::bodies;
use super::options::Options;
use super::paths::{Begun, HTTP, over_http};
use super::peer::{Peer, Product};
use super::proc;
use super::samples;
use super::target::Target;
use super::templates::{Template, templates};

/// Sets of dimensions of the samples.
const SETS: u32 = 5;

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let installed: Vec<Product> = Product::ALL.into_iter().filter(|product| version(*product)).collect();
    if installed.is_empty() {
        return Ok(());
    }
    for kind in Kind::ALL {
        let rows = options.million().next_multiple_of(BATCH_ROWS);
        let made = || match kind {
            Kind::Events => templates(rows / BATCH_ROWS, BATCH_ROWS),
            Kind::Metrics => samples::made(SETS, rows).0,
        };
        let name = |of: &str| format!("{}s, {of}", item(kind));
        let begun = Begun::new(target).await?;
        let feed = Feed::in_turn(made(), TENANTS, Until::Requests(rows / BATCH_ROWS));
        let usage = over_http(target, kind, feed, options.connections).await?;
        begun.figures(target, figures, &name(HTTP), kind, rows, &usage).await?;
        // Events have texts, which VictoriaMetrics does not keep.
        let takes = |product: &&Product| kind == Kind::Metrics || **product == Product::InfluxDb;
        for product in installed.iter().filter(takes) {
            let name = name(product.name());
            if let Err(error) = measure(*product, kind, &made(), target, options, figures, &name).await {
                figures.fail(format!("{name}: {error}"));
            }
        }
    }
    Ok(())
}

/// Whether it is installed; says which version, or that it is not.
fn version(product: Product) -> bool {
    match product.version() {
        Some(version) => println!("    {}: {version}", product.name()),
        None => println!("    {} is not installed: left out", product.name()),
    }
    product.version().is_some()
}

async fn measure(
    product: Product,
    kind: Kind,
    made: &[Template],
    target: &Target,
    options: &Options,
    figures: &mut Figures,
    name: &str,
) -> Result<()> {
    let bodies = bodies(kind, made, &target.tenants[..TENANTS])?;
    let rows = bodies.len() as u64 * BATCH_ROWS;
    let peer = Peer::start(product).await?;
    let (own_s, cpu_s) = (proc::cpu_seconds(std::process::id()), peer.cpu_s());
    let elapsed_s = peer.write(bodies, options.connections).await?;
    let (own_s, cpu_s) = (proc::cpu_seconds(std::process::id()) - own_s, peer.cpu_s() - cpu_s);
    let stored = stored(&peer, kind).await?;
    if stored != rows {
        return Err(format!("{stored} rows are there instead of {rows}").into());
    }
    let item = item(kind);
    let bytes = peer.bytes().await?;
    let all_s = peer.cpu_s();
    let values = [
        (format!("{item}s/s"), as_f64(rows) / elapsed_s),
        (format!("{} us/{item}", product.name()), per_row(cpu_s * 1e6, rows)),
        (format!("with what it does afterwards, us/{item}"), per_row(all_s * 1e6, rows)),
        (format!("sender us/{item}"), per_row(own_s * 1e6, rows)),
        ("MiB at most".to_owned(), peer.peak_mib()),
        (format!("bytes/{item}"), per_row(as_f64(bytes), rows)),
    ];
    values.iter().for_each(|(unit, value)| figures.add(name, unit, *value));
    Ok(())
}

/// How many rows it finds.
async fn stored(peer: &Peer, kind: Kind) -> Result<u64> {
    let measurement = item(kind);
    match peer.product {
        Product::InfluxDb => {
            let field = if kind == Kind::Events { "payload" } else { "value" };
            let path = format!("/query?db=tidegate&q=SELECT%20count({field})%20FROM%20{measurement}");
            let answer: serde_json::Value = serde_json::from_slice(&peer.get(&path).await?.body)?;
            let count = answer["results"][0]["series"][0]["values"][0][1].as_u64();
            Ok(count.ok_or_else(|| format!("it counts otherwise than known: {answer}"))?)
        }
        Product::VictoriaMetrics => {
            // What is new can be asked for only then.
            peer.get("/internal/force_flush").await?;
            let path = format!("/api/v1/query?query=sum(count_over_time({measurement}_value[1h]))");
            let answer: serde_json::Value = serde_json::from_slice(&peer.get(&path).await?.body)?;
            let count = answer["data"]["result"][0]["value"][1].as_str().and_then(|count| count.parse().ok());
            Ok(count.ok_or_else(|| format!("it counts otherwise than known: {answer}"))?)
        }
    }
}
