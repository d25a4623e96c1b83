//! The rows that dashboards are measured on: tenants with assets of their own, events and metric samples spread evenly over
//! days. Every row is a function of its number, so that nothing is kept, a loader can make any row at any time, and
//! a reader knows ids that exist.

use std::io::Write;
use std::ops::Range;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidegate::load::{Format, Generator};
use tidegate::model::Kind;
use uuid::Uuid;

use super::common::{ASSETS, DAY_US, SEED, as_f64};

/// The events of all measurements.
pub const GENERATOR: Generator = Generator { seed: SEED, assets: ASSETS };

/// Metrics that assets have, with their types: the first of an asset is its number's, the others follow.
const METRICS: [(&str, &str); 5] =
    [("latency", "gauge"), ("cpu", "gauge"), ("memory", "gauge"), ("requests", "counter"), ("queue_depth", "gauge")];

/// Where samples with dimensions are from.
const REGIONS: [&str; 5] = ["eu-west-1", "eu-north-1", "us-east-1", "us-west-2", "ap-south-1"];

/// An odd prime: steps through a tenant's series in no order that a cache or an index would like.
const STEP: u64 = 7919;
/// Events of a group that follow each other.
const GROUP_EVENTS: u64 = 5;
/// Of a hundred groups so many have a correlation id; the events of the others have none.
const CORRELATED_PERCENT: u64 = 60;
/// Values are below this; the smaller of two draws, so that most are small.
const VALUE_MAX: f64 = 250.0;
/// Distinct events of the generator: so many that the thousand of a segment hardly repeat each other.
const SHAPES_COUNT: u64 = 65_536;

/// What an event says besides its ids, asset and times: the members of the generator's; and whether it has a trace.
static SHAPES: LazyLock<Vec<(String, bool)>> = LazyLock::new(|| {
    let mut body = Vec::new();
    GENERATOR.append(&mut body, Format::Ndjson, 0, SHAPES_COUNT, 0);
    let events = serde_json::Deserializer::from_slice(&body).into_iter::<serde_json::Map<_, _>>();
    let shape = |event: serde_json::Result<serde_json::Map<String, serde_json::Value>>| {
        let mut event = event.expect("the generator writes JSON objects");
        let has_trace = event.remove("trace_id").is_some();
        event.retain(|name, _| !matches!(name.as_str(), "timestamp" | "asset_id" | "correlation_id"));
        let text = serde_json::to_string(&event).expect("plain values");
        (text[1..].to_owned(), has_trace)
    };
    events.map(shape).collect()
});

/// Rows of one kind: so many of each tenant, evenly over time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Span {
    /// The first row's timestamp, in microseconds since 1970.
    pub from_us: i64,
    /// No row's timestamp.
    pub to_us: i64,
    pub per_tenant: u64,
}

impl Span {
    /// The `days` days up to now.
    pub fn last_days(days: u32, per_tenant: u64) -> Self {
        let to_us = Timestamp::now().as_microsecond();
        Self { from_us: to_us - i64::from(days) * DAY_US, to_us, per_tenant }
    }

    /// The timestamp of row `number`.
    pub fn at_us(&self, number: u64) -> i64 {
        let after = i128::from(self.to_us - self.from_us) * i128::from(number) / i128::from(self.per_tenant.max(1));
        self.from_us + i64::try_from(after).expect("within the span")
    }

    /// The rows from `from_us` up to `to_us`.
    pub fn numbers(&self, from_us: i64, to_us: i64) -> Range<u64> {
        let first_from = |at_us: i64| {
            let after_us = i128::from(at_us.clamp(self.from_us, self.to_us) - self.from_us).unsigned_abs();
            let length_us = i128::from(self.to_us - self.from_us).unsigned_abs().max(1);
            u64::try_from((after_us * u128::from(self.per_tenant)).div_ceil(length_us)).expect("at most per_tenant")
        };
        first_from(from_us)..first_from(to_us)
    }

    /// The UTC days that it touches, from the oldest on.
    pub fn days(&self) -> Vec<Range<i64>> {
        let days = self.from_us.div_euclid(DAY_US)..=(self.to_us - 1).div_euclid(DAY_US);
        days.map(|day| day * DAY_US..(day + 1) * DAY_US).collect()
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Dataset {
    pub tenants: usize,
    /// Assets of each.
    pub assets: u32,
    /// Series of an asset: one for each metric.
    pub metrics_per_asset: u32,
    /// Sets of dimensions, each of which makes every series another; 0: samples have none.
    #[serde(default)]
    pub dimension_sets: u32,
    pub events: Span,
    pub samples: Span,
}

impl Dataset {
    pub fn span(&self, kind: Kind) -> Span {
        match kind {
            Kind::Events => self.events,
            Kind::Metrics => self.samples,
        }
    }

    /// Rows of all tenants.
    pub fn rows(&self, kind: Kind) -> u64 {
        self.span(kind).per_tenant * self.tenants as u64
    }

    fn series(&self) -> u64 {
        u64::from(self.assets) * u64::from(self.metrics_per_asset) * u64::from(self.dimension_sets.max(1))
    }

    /// Series of all tenants that have samples.
    pub fn series_count(&self) -> u64 {
        self.series().min(self.samples.per_tenant) * self.tenants as u64
    }

    /// A version 7 UUID of the event's time, as the server would have made it.
    pub fn event_id(&self, tenant: usize, number: u64) -> Uuid {
        let at_ms = u64::try_from(self.events.at_us(number) / 1000).expect("after 1970");
        let (high, low) = (random(1, tenant, number), random(2, tenant, number));
        Uuid::from_u64_pair(at_ms << 16 | 0x7000 | (high & 0x0FFF), low >> 2 | 1 << 63)
    }

    /// The correlation id of the group of an event; some groups have none.
    pub fn correlation(&self, tenant: usize, number: u64) -> Option<Uuid> {
        let group = number - number % GROUP_EVENTS;
        let (high, low) = (random(3, tenant, group), random(4, tenant, group));
        let some = random(5, tenant, group) % 100 < CORRELATED_PERCENT;
        some.then(|| Uuid::from_u64_pair(high & !0xF000 | 0x4000, low >> 2 | 1 << 63))
    }

    /// The id of the event that caused this one, which is the first of its group: half of the correlated others name it.
    pub fn parent(&self, tenant: usize, number: u64) -> Option<Uuid> {
        let (first, named) = (number - number % GROUP_EVENTS, random(6, tenant, number) & 1 == 0);
        let child = first != number && named && self.correlation(tenant, number).is_some();
        child.then(|| self.event_id(tenant, first))
    }

    /// These rows of a tenant as lines of JSON.
    pub fn body(&self, kind: Kind, tenant: usize, numbers: Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for number in numbers {
            let at = self.span(kind).at_us(number);
            let at = Timestamp::from_microsecond(at).expect("a data set is of this century");
            write!(out, r#"{{"timestamp":"{at:.6}","#).expect("a Vec takes everything");
            match kind {
                Kind::Events => self.append_event(&mut out, tenant, number),
                Kind::Metrics => self.append_sample(&mut out, tenant, number),
            }
            .expect("a Vec takes everything");
        }
        out
    }

    fn append_event(&self, out: &mut Vec<u8>, tenant: usize, number: u64) -> std::io::Result<()> {
        let draw = random(7, tenant, number);
        let asset = asset_name(tenant, below(random(8, tenant, number), self.assets));
        write!(out, r#""id":"{}","asset_id":"{asset}","#, self.event_id(tenant, number))?;
        if let Some(id) = self.correlation(tenant, number) {
            write!(out, r#""correlation_id":"{id}","#)?;
        }
        if let Some(id) = self.parent(tenant, number) {
            write!(out, r#""parent_event_id":"{id}","#)?;
        }
        let (members, has_trace) = &SHAPES[below(draw, u32::try_from(SHAPES.len()).expect("few")) as usize];
        if *has_trace {
            write!(out, r#""trace_id":"{draw:016x}{:016x}","#, random(9, tenant, number))?;
        }
        writeln!(out, "{members}")
    }

    fn append_sample(&self, out: &mut Vec<u8>, tenant: usize, number: u64) -> std::io::Result<()> {
        // Each series has its turn.
        let series = self.series();
        let one = (number % series) * STEP % series;
        let sets = self.dimension_sets.max(1);
        let (set, one) = (below_number(one, sets), one / u64::from(sets));
        let asset = u32::try_from(one / u64::from(self.metrics_per_asset)).expect("below the assets");
        let (name, of_type) = metric(asset, below_number(one, self.metrics_per_asset));
        let draw = random(10, tenant, number);
        let value = VALUE_MAX * as_f64((draw >> 32).min(draw & 0xFFFF_FFFF)) / 4_294_967_296.0;
        let asset = asset_name(tenant, asset);
        let names = format!(r#""asset_id":"{asset}","metric_type":"{of_type}","metric_name":"{name}""#);
        write!(out, r#"{names},"value":{value:.6}"#)?;
        if self.dimension_sets > 0 {
            let (region, instance) = dimensions(set);
            write!(out, r#","dimensions":{{"region":"{region}","instance":"{instance}"}}"#)?;
        }
        out.write_all(b"}\n")
    }
}

/// Metric `which` of an asset.
pub fn metric(asset: u32, which: u32) -> (&'static str, &'static str) {
    METRICS[(asset + which) as usize % METRICS.len()]
}

/// Region and instance, which are the dimensions of a set.
pub fn dimensions(set: u32) -> (&'static str, String) {
    (REGIONS[set as usize % REGIONS.len()], format!("i-{set:05}"))
}

/// The name of an asset; no two tenants have one of the same name.
pub fn asset_name(tenant: usize, asset: u32) -> String {
    format!("t{tenant:02}-asset-{asset:05}")
}

/// A random number that depends on nothing but its arguments, of which `what` says what it is for (splitmix64's finish).
fn random(what: u64, tenant: usize, number: u64) -> u64 {
    let seed = number ^ (tenant as u64) << 40 ^ what << 56;
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A random number in `0..bound`.
pub fn below(random: u64, bound: u32) -> u32 {
    u32::try_from(((random >> 32) * u64::from(bound)) >> 32).expect("below a 32-bit bound")
}

/// `value` modulo a 32-bit number.
pub fn below_number(value: u64, number: u32) -> u32 {
    u32::try_from(value % u64::from(number)).expect("below a 32-bit number")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const FROM_US: i64 = 1_769_862_896_999_990;

    fn dataset() -> Dataset {
        let span = Span { from_us: FROM_US, to_us: FROM_US + 3 * DAY_US, per_tenant: 10_000 };
        Dataset { tenants: 40, assets: 200, metrics_per_asset: 2, dimension_sets: 0, events: span, samples: span }
    }

    fn rows(kind: Kind, numbers: Range<u64>) -> Vec<Value> {
        let body = dataset().body(kind, 3, numbers);
        serde_json::Deserializer::from_slice(&body).into_iter().collect::<Result<_, _>>().expect("JSON")
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
        let (mut ids, mut correlated, mut children) = (BTreeSet::new(), 0, 0);
        let events = rows(Kind::Events, 0..5000);
        for (event, number) in events.iter().zip(0..) {
            ids.insert(event["id"].as_str().expect("an id"));
            correlated += usize::from(event["correlation_id"].is_string());
            let first = &events[number - number % 5];
            assert_eq!(event["correlation_id"], first["correlation_id"]);
            if let Some(parent) = event["parent_event_id"].as_str() {
                assert!(first["id"] == parent && event["correlation_id"].is_string() && event["id"] != parent);
                children += 1;
            }
        }
        assert_eq!(ids.len(), 5000);
        assert!((2700..3300).contains(&correlated) && (1000..1400).contains(&children), "{correlated} {children}");
        assert_ne!(dataset().event_id(3, 7), dataset().event_id(4, 7));
    }

    #[test]
    fn every_series_has_its_turn() {
        let samples = rows(Kind::Metrics, 400..800);
        let turn: BTreeSet<_> = samples.iter().map(|s| (s["asset_id"].as_str(), s["metric_name"].as_str())).collect();
        assert_eq!((turn.len(), dataset().series_count()), (400, 16_000));
        let with = Dataset { dimension_sets: 3, assets: 20, ..dataset() };
        let body = with.body(Kind::Metrics, 3, 0..240);
        let samples_with = serde_json::Deserializer::from_slice(&body).into_iter::<Value>();
        let turn: BTreeSet<String> = samples_with
            .map(|s| s.expect("JSON"))
            .map(|s| format!("{} {} {}", s["asset_id"], s["metric_name"], s["dimensions"]["instance"]))
            .collect();
        assert_eq!((turn.len(), with.series_count()), (120, 4800));
        assert!(samples.iter().all(|sample| (0.0..250.0).contains(&sample["value"].as_f64().expect("a number"))));
    }
}
