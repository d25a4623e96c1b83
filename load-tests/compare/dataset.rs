//! The rows that dashboards are measured on: tenants with assets of their own, events and metric samples spread evenly over
//! days. Every row is a function of its number, so that nothing is kept, whoever loads can make any row at any time, and
//! whoever reads knows ids that exist.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::DAY_US;

/// Metrics that assets have, with their types: the first of an asset is its number's, the others follow.
pub const METRICS: [(&str, &str); 5] =
    [("latency", "gauge"), ("cpu", "gauge"), ("memory", "gauge"), ("requests", "counter"), ("queue_depth", "gauge")];

/// An odd prime: steps through a tenant's series in no order that a cache or an index would like.
const STEP: u64 = 7919;
/// Events of a block, which is two correlation groups of 3 to 7 events each: 5 on average.
const BLOCK: u64 = 10;
const GROUP_EVENTS_MIN: u64 = 3;
const GROUP_EVENTS_SPREAD: u64 = 5;
/// Of a hundred groups so many have a correlation id; the events of the others have none.
const CORRELATED_PERCENT: u64 = 60;
/// Largest value, in thousandths: the smaller of two draws, so that most are small.
const VALUE_MILLIS_MAX: u64 = 250_000;

/// Rows of one kind: so many of each tenant, evenly over time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Span {
    /// The first row's timestamp, in microseconds since 1970.
    pub from_us: i64,
    /// No row's timestamp.
    pub to_us: i64,
    /// Rows of a tenant.
    pub per_tenant: u64,
}

impl Span {
    /// The `days` days up to now.
    pub fn last_days(days: u32, per_tenant: u64) -> Self {
        let to_us = jiff::Timestamp::now().as_microsecond();
        Self { from_us: to_us - i64::from(days) * DAY_US, to_us, per_tenant }
    }

    /// The timestamp of row `number`.
    pub fn at_us(&self, number: u64) -> i64 {
        let after = i128::from(self.to_us - self.from_us) * i128::from(number) / i128::from(self.per_tenant.max(1));
        self.from_us + i64::try_from(after).expect("within the span")
    }

    /// The rows from `from_us` up to `to_us`.
    pub fn numbers(&self, from_us: i64, to_us: i64) -> Range<u64> {
        self.first_from(from_us)..self.first_from(to_us)
    }

    fn first_from(&self, at_us: i64) -> u64 {
        let after_us = u128::try_from(at_us.clamp(self.from_us, self.to_us) - self.from_us).expect("clamped");
        let length_us = u128::try_from(self.to_us - self.from_us).expect("a span ends behind its begin");
        u64::try_from((after_us * u128::from(self.per_tenant)).div_ceil(length_us.max(1))).expect("at most per_tenant")
    }

    /// The UTC days that it touches, from the oldest on.
    pub fn days(&self) -> Vec<Range<i64>> {
        let days = self.from_us.div_euclid(DAY_US)..=(self.to_us - 1).div_euclid(DAY_US);
        days.map(|day| day * DAY_US..(day + 1) * DAY_US).collect()
    }
}

/// The whole.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Dataset {
    /// How many tenants.
    pub tenants: usize,
    /// Assets of each.
    pub assets: u32,
    /// Series of an asset: one for each metric.
    pub metrics_per_asset: u32,
    /// Events.
    pub events: Span,
    /// Metric samples.
    pub samples: Span,
}

/// An event; what is not here is of its template.
pub struct Event {
    pub at_us: i64,
    pub id: Uuid,
    pub asset: u32,
    pub correlation: Option<Uuid>,
    pub parent: Option<Uuid>,
    /// Chooses the template and the trace id.
    pub random: u64,
}

/// A raw sample.
pub struct Sample {
    pub at_us: i64,
    pub asset: u32,
    pub metric: (&'static str, &'static str),
    pub value: f64,
}

impl Dataset {
    /// Events of all tenants.
    pub fn event_count(&self) -> u64 {
        self.events.per_tenant * self.tenants as u64
    }

    /// Samples of all tenants.
    pub fn sample_count(&self) -> u64 {
        self.samples.per_tenant * self.tenants as u64
    }

    /// Series of a tenant.
    fn series(&self) -> u64 {
        u64::from(self.assets) * u64::from(self.metrics_per_asset)
    }

    /// Series of all tenants that have samples.
    pub fn series_count(&self) -> u64 {
        self.series().min(self.samples.per_tenant) * self.tenants as u64
    }

    /// Event `number` of a tenant.
    pub fn event(&self, tenant: usize, number: u64) -> Event {
        let random = mix(Salt::Event, tenant, number);
        let group = self.group(tenant, number);
        let correlation = self.correlation(tenant, group);
        let child = correlation.is_some() && number != group && random & 1 == 0;
        Event {
            at_us: self.events.at_us(number),
            id: self.event_id(tenant, number),
            asset: below(mix(Salt::Asset, tenant, number), self.assets),
            correlation,
            parent: child.then(|| self.event_id(tenant, group)),
            random,
        }
    }

    /// A version 7 UUID of the event's time, as the server would have made it.
    pub fn event_id(&self, tenant: usize, number: u64) -> Uuid {
        let at_ms = u64::try_from(self.events.at_us(number) / 1000).expect("after 1970");
        let (high, low) = (mix(Salt::IdHigh, tenant, number), mix(Salt::IdLow, tenant, number));
        Uuid::from_u64_pair(at_ms << 16 | 0x7000 | (high & 0x0FFF), low >> 2 | 1 << 63)
    }

    /// The correlation id of the group that begins with event `group`; some groups have none.
    pub fn correlation(&self, tenant: usize, group: u64) -> Option<Uuid> {
        let some = mix(Salt::Correlated, tenant, group) % 100 < CORRELATED_PERCENT;
        let (high, low) = (mix(Salt::CorrelationHigh, tenant, group), mix(Salt::CorrelationLow, tenant, group));
        some.then(|| Uuid::from_u64_pair(high & !0xF000 | 0x4000, low >> 2 | 1 << 63))
    }

    /// The first event of the group of an event.
    pub fn group(&self, tenant: usize, number: u64) -> u64 {
        let block = number / BLOCK;
        let first = GROUP_EVENTS_MIN + mix(Salt::Group, tenant, block) % GROUP_EVENTS_SPREAD;
        block * BLOCK + if number % BLOCK < first { 0 } else { first }
    }

    /// Sample `number` of a tenant: each series has its turn.
    pub fn sample(&self, tenant: usize, number: u64) -> Sample {
        let series = self.series();
        let one = (number % series) * STEP % series;
        let asset = u32::try_from(one / u64::from(self.metrics_per_asset)).expect("below the assets");
        let random = mix(Salt::Value, tenant, number);
        let millis = ((random >> 32).min(random & 0xFFFF_FFFF) * VALUE_MILLIS_MAX) >> 32;
        Sample {
            at_us: self.samples.at_us(number),
            asset,
            metric: metric(
                asset,
                u32::try_from(one % u64::from(self.metrics_per_asset)).expect("below a number of metrics"),
            ),
            value: super::as_f64(millis) / 1000.0,
        }
    }
}

/// Metric `which` of an asset.
pub fn metric(asset: u32, which: u32) -> (&'static str, &'static str) {
    METRICS[(asset + which) as usize % METRICS.len()]
}

/// The name of an asset; no two tenants have one of the same name.
pub fn asset_name(tenant: usize, asset: u32) -> String {
    format!("t{tenant:02}-asset-{asset:05}")
}

/// What a random number is for.
#[derive(Clone, Copy)]
enum Salt {
    Event = 1,
    Asset,
    IdHigh,
    IdLow,
    Group,
    Correlated,
    CorrelationHigh,
    CorrelationLow,
    Value,
}

/// A random number that depends on nothing but its arguments (splitmix64's finish).
fn mix(salt: Salt, tenant: usize, number: u64) -> u64 {
    let seed = number ^ (tenant as u64) << 40 ^ (salt as u64) << 56;
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A random number in `0..bound`.
pub fn below(random: u64, bound: u32) -> u32 {
    u32::try_from(((random >> 32) * u64::from(bound)) >> 32).expect("below a 32-bit bound")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn dataset() -> Dataset {
        let span =
            Span { from_us: 1_769_862_896_999_990, to_us: 1_769_862_896_999_990 + 3 * DAY_US, per_tenant: 10_000 };
        Dataset { tenants: 40, assets: 200, metrics_per_asset: 2, events: span, samples: span }
    }

    #[test]
    fn days_have_every_row_once_and_in_its_day() {
        let span = dataset().events;
        let mut next = 0;
        for day in span.days() {
            let numbers = span.numbers(day.start, day.end);
            assert_eq!(numbers.start, next);
            assert!(numbers.clone().all(|number| day.contains(&span.at_us(number))), "{day:?}");
            next = numbers.end;
        }
        assert_eq!((next, span.days().len()), (span.per_tenant, 4));
    }

    #[test]
    fn groups_share_an_id_and_parents_come_first() {
        let dataset = dataset();
        let (mut groups, mut ids) = (BTreeMap::<Uuid, Vec<u64>>::new(), BTreeSet::new());
        let mut children = 0;
        for number in 0..10_000 {
            let event = dataset.event(3, number);
            ids.insert(event.id);
            assert_eq!((event.id.get_version_num(), event.asset < 200), (7, true));
            if let Some(id) = event.correlation {
                assert_eq!(id.get_version_num(), 4);
                groups.entry(id).or_default().push(number);
            }
            if let Some(parent) = event.parent {
                assert!(ids.contains(&parent) && event.correlation.is_some());
                children += 1;
            }
        }
        let correlated: usize = groups.values().map(Vec::len).sum();
        assert_eq!(ids.len(), 10_000);
        assert!((5500..6500).contains(&correlated) && (2000..3000).contains(&children), "{correlated} {children}");
        assert!(
            (4.8..5.2).contains(&(super::super::as_f64(correlated as u64) / super::super::as_f64(groups.len() as u64)))
        );
        assert!(groups.values().all(|group| (3..=7).contains(&group.len()) && dataset.group(3, group[1]) == group[0]));
        assert!(groups.keys().all(|id| dataset.event(4, 7).correlation != Some(*id)), "tenants share none");
    }

    #[test]
    fn every_series_has_its_turn() {
        let dataset = dataset();
        let turn: BTreeSet<_> = (400..800)
            .map(|number| dataset.sample(1, number))
            .map(|sample| (sample.asset, sample.metric.0, sample.value >= 0.0 && sample.value < 250.0))
            .collect();
        assert_eq!((turn.len(), dataset.series_count()), (400, 16_000));
        assert!(
            turn.iter().all(|&(asset, name, good)| good && (metric(asset, 0).0 == name || metric(asset, 1).0 == name))
        );
    }
}
