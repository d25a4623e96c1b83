//! Decode, validate and encode on one core, without a database: `cargo bench --bench event_pipeline`. The events are
//! about 400 bytes each, the samples of metrics about 160, and the same in every run.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::limits::MIB;
use tidegate::load::{Format, SampleGenerator};
use tidegate::wire::event::{Decoder, Defaults};
use tidegate::wire::item::{BodyForm, ItemContext, StoredJson, TimeBounds};
use tidegate::wire::metric;
use uuid::Uuid;

const ITEMS: usize = 1000;
const SEED: u64 = 0x7469_6465_6761_7465;
/// 2025-11-21T00:00:00Z.
const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;

fn origin() -> ItemContext<'static> {
    ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(1),
        receipt: Uuid::from_u128(2),
        received_at_us: RECEIVED_AT_US,
        bounds: TimeBounds {
            oldest_us: RECEIVED_AT_US - 31_536_000_000_000,
            newest_us: RECEIVED_AT_US + 604_800_000_000,
        },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: tidegate::projections::concerns,
    }
}

/// xorshift64: any numbers will do, as long as they are always the same.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Events as agents send them. `escape` puts a backslash into three fields of each, which then take the way through
/// simd-json.
fn events(separator: &str, escape: &str) -> String {
    let mut state = SEED;
    let mut body = String::new();
    for n in 0..ITEMS {
        let (a, b, c) = (random(&mut state), random(&mut state), random(&mut state));
        let id = Uuid::from_u64_pair(a, b);
        let correlation_id = Uuid::from_u64_pair(b, c);
        let (second, micros) = (n % 60, c % 1_000_000);
        let (millis, status, bytes, model, region) = (a % 5000, 200 + b % 4, c % 65536, a % 40, b % 7);
        if n > 0 {
            body.push_str(separator);
        }
        write!(
            body,
            "{{\"id\":\"{id}\",\"timestamp\":\"2025-11-20T12:34:{second:02}.{micros:06}Z\",\
             \"event_type\":\"http.request{escape}\",\"source_module\":\"gateway{escape}\",\"severity\":\"info\",\
             \"asset_id\":\"model-{model}{escape}\",\"correlation_id\":\"{correlation_id}\",\
             \"payload\":{{\"method\":\"POST\",\"path\":\"/v1/chat/completions\",\"status\":{status},\
             \"duration_ms\":{millis}.25,\"bytes\":{bytes},\"ok\":true,\"region\":\"eu-west-{region}\"}}}}"
        )
        .expect("a String takes everything");
    }
    body
}

fn pipeline(criterion: &mut Criterion) {
    let origin = origin();
    let defaults = Defaults::default();
    let array = |escape| format!("[{}]", events(",", escape));
    let mut group = criterion.benchmark_group("event_pipeline");
    for (name, body, form) in [
        ("json_array", array(""), BodyForm::Json),
        ("json_array_escaped_fields", array("\\n"), BodyForm::Json),
        ("ndjson", events("\n", ""), BodyForm::Ndjson),
    ] {
        let mut decoder = Decoder::new();
        let first = decoder.decode(body.as_bytes(), form, &defaults, &origin).expect("the body is good");
        assert_eq!((first.rows.rows.len(), first.rejected.len()), (ITEMS, 0));
        println!("{name}: {} bytes an event, {} bytes a row", body.len() / ITEMS, first.rows.bytes.len() / ITEMS);
        group.throughput(Throughput::Elements(ITEMS as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| decoder.decode(black_box(body.as_bytes()), form, &defaults, &origin));
        });
    }
    group.finish();
}

/// The same for metrics: samples of 2,000 assets, and an item with many values.
fn metrics(criterion: &mut Criterion) {
    let origin = origin();
    let (mut array, mut lines) = (Vec::new(), Vec::new());
    let generator = SampleGenerator { seed: SEED, assets: 2000 };
    generator.append(&mut array, Format::Json, 0, ITEMS as u64, RECEIVED_AT_US);
    generator.append(&mut lines, Format::Ndjson, 0, ITEMS as u64, RECEIVED_AT_US);
    let values: Vec<String> = (0..ITEMS).map(|n| format!("{}.25", n * 7)).collect();
    let values = format!(r#"{{"asset_id":"a","metric_name":"m","values":[{}]}}"#, values.join(","));
    let mut group = criterion.benchmark_group("metric_pipeline");
    for (name, body, form) in [
        ("json_array", array, BodyForm::Json),
        ("ndjson", lines, BodyForm::Ndjson),
        ("values", values.into_bytes(), BodyForm::Json),
    ] {
        let mut decoder = metric::Decoder::new();
        let first = decoder.decode(&body, form, &origin).expect("the body is good");
        assert_eq!((first.rows.rows.len(), first.rejected.len()), (ITEMS, 0));
        println!("{name}: {} bytes a sample, {} bytes a row", body.len() / ITEMS, first.rows.bytes.len() / ITEMS);
        group.throughput(Throughput::Elements(ITEMS as u64));
        group.bench_function(name, |bencher| bencher.iter(|| decoder.decode(black_box(&body), form, &origin)));
    }
    group.finish();
}

criterion_group!(benches, pipeline, metrics);
criterion_main!(benches);
