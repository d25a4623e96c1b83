//! The same path with `tidegate::load`, which makes every body at the moment when it is sent: what `tidegate load` and
//! `tidegate demo` measure. Its processor time is part of the machine's two cores, and of the figure.

use std::time::Duration;

use tidegate::load::{Format, LoadOptions, Rate, Source, check_conservation, run as load};

use super::meter::{Meter, Usage};
use super::target::Target;
use super::{ASSETS, BATCH_ROWS, Result, SEED, TENANTS};

/// Sends `events` events.
pub async fn run(target: &Target, events: u64, connections: usize) -> Result<Usage> {
    let options = LoadOptions {
        url: target.url.clone(),
        keys: target.keys[..TENANTS].to_vec(),
        rate: Rate::Max,
        duration: Duration::from_secs(600),
        batch: usize::try_from(BATCH_ROWS)?,
        connections,
        format: Format::Ndjson,
        gzip: false,
        source: Source::Generate { kind: tidegate::load::Kind::Events, seed: SEED, assets: ASSETS },
        progress: false,
        max_events: Some(events),
        no_keys: false,
    };
    let meter = Meter::start(target);
    let report = load(options, std::future::pending()).await?;
    let usage = meter.stop(target);
    let kept = check_conservation(&report, &target.owner).await?;
    if report.committed != events || !kept.ok {
        return Err(format!("not conserved: {} of {events} committed, {kept:?}", report.committed).into());
    }
    Ok(usage)
}
