//! What dashboards ask: each kind of read as a path, for another tenant and another asset each time, all of
//! which exist.

use super::common::{ASSETS, TENANTS};
use super::dataset::{Dataset, Span, asset_name, below, below_number, metric};

/// A kind of read.
pub struct Read {
    /// As the report calls it.
    pub name: &'static str,
    /// The path for a tenant, from a random number.
    pub path: fn(&Dataset, usize, u64) -> String,
}

const NEWEST: Read = Read { name: "newest 100 of a tenant", path: |_, _, _| "/v1/events?limit=100".into() };

/// Reads of a data set.
pub const READS: [Read; 9] = [
    Read { name: "recent events of an asset, 24 h", path: recent_of_an_asset },
    Read { name: "hourly aggregate of a series, 7 days", path: hourly_aggregate },
    NEWEST,
    Read { name: "events of a correlation id", path: correlated },
    Read {
        name: "counts by type and hour, 24 h",
        path: |_, _, _| "/v1/events/counts?group_by=event_type&bucket=1h&from=-24h".into(),
    },
    Read {
        name: "counts by type and hour, 7 days",
        path: |_, _, _| "/v1/events/counts?group_by=event_type&bucket=1h&from=-7d".into(),
    },
    Read { name: "related events", path: related },
    Read {
        name: "correlations of an hour, strength from 0.8",
        path: |_, _, _| "/v1/correlations?from=-1h&min_strength=0.8&limit=100".into(),
    },
    Read { name: "catalog of metrics", path: |_, _, _| "/v1/metrics/catalog?limit=100".into() },
];

/// Reads of a day that is being written, of the generator's events.
pub const OPEN_DAY: [Read; 5] = [
    Read {
        name: "recent events of an asset, 24 h",
        path: |_, _, random| format!("/v1/events?asset_id=asset-{:05}&from=-24h&limit=100", below(random, ASSETS)),
    },
    NEWEST,
    Read { name: "newest 500 of a tenant", path: |_, _, _| "/v1/events?limit=500".into() },
    // One in 220 of the generator's events.
    Read {
        name: "newest 100 errors of staging",
        path: |_, _, _| "/v1/events?severity=error&environment=staging&limit=100".into(),
    },
    Read {
        name: "counts by type of the open hour",
        path: |_, _, _| "/v1/events/counts?group_by=event_type&bucket=1h&from=-1h".into(),
    },
];

/// The data set of those that ask for nothing in particular.
pub fn no_dataset() -> Dataset {
    let span = Span { from_us: 0, to_us: 1, per_tenant: 1 };
    Dataset { tenants: TENANTS, assets: 1, metrics_per_asset: 1, dimension_sets: 0, events: span, samples: span }
}

fn recent_of_an_asset(data: &Dataset, tenant: usize, random: u64) -> String {
    format!("/v1/events?asset_id={}&from=-24h&limit=100", asset_name(tenant, below(random, data.assets)))
}

fn hourly_aggregate(data: &Dataset, tenant: usize, random: u64) -> String {
    let asset = below(random, data.assets);
    let (name, _) = metric(asset, below_number(random, data.metrics_per_asset));
    let asset = asset_name(tenant, asset);
    format!("/v1/metrics?metric_name={name}&asset_id={asset}&resolution=1h&from=-7d")
}

fn correlated(data: &Dataset, tenant: usize, random: u64) -> String {
    let events = data.events.per_tenant;
    let mut numbers = (0..events).map(|n| (random % events + n) % events);
    // Some have none.
    let id = numbers.find_map(|number| data.correlation(tenant, number)).unwrap_or_default();
    format!("/v1/events?correlation_id={id}")
}

/// Of an event that names its parent: a quarter of all do.
fn related(data: &Dataset, tenant: usize, random: u64) -> String {
    let mut number = random % data.events.per_tenant;
    while data.parent(tenant, number).is_none() {
        number = (number + 1) % data.events.per_tenant;
    }
    format!("/v1/events/{}/related", data.event_id(tenant, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_asks_for_what_is_there() {
        let span = Span::last_days(7, 1000);
        let dataset =
            Dataset { tenants: 3, assets: 20, metrics_per_asset: 2, dimension_sets: 0, events: span, samples: span };
        let ids: Vec<String> = (0..1000).map(|n| dataset.event_id(1, n).to_string()).collect();
        let correlations: Vec<String> =
            (0..1000).filter_map(|n| Some(dataset.correlation(1, n)?.to_string())).collect();
        for random in [0, 1, 7, u64::MAX, 0x9E37_79B9_7F4A_7C15, 1 << 40] {
            for read in &READS {
                let text = (read.path)(&dataset, 1, random);
                let named = |after: &str| {
                    text.split(after).nth(1).map(|rest| rest.split(['&', '/']).next().unwrap_or_default())
                };
                assert!(
                    named("correlation_id=").is_none_or(|id| correlations.iter().any(|there| there == id)),
                    "{text}"
                );
                let event = named("/v1/events/").filter(|_| read.name == "related events");
                assert!(event.is_none_or(|id| ids.iter().any(|there| there == id)), "{text}");
                let asset = named("asset_id=");
                assert!(asset.is_none_or(|asset| asset.starts_with("t01-asset-000")), "{text}");
            }
        }
    }
}
