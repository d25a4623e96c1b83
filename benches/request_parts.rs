//! What else a request costs, each part alone and without a database: `cargo bench --bench request_parts`. The whole of
//! decode, validate and encode is in `event_pipeline`. Input is the same in every run.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate::limits::MIB;
use tidegate::load::{Format, Generator};
use tidegate::tenancy::ApiKey;
use tidegate::wire::event::{Decoder, Defaults};
use tidegate::wire::item::pgcopy::{COPY_HEADER, COPY_TRAILER, stamp};
use tidegate::wire::item::{BodyForm, Decoded, ItemContext, StoredJson, TimeBounds};
use uuid::Uuid;

const ITEMS: usize = 1000;
const GENERATOR: Generator = Generator { seed: 0x7469_6465, assets: 2000 };
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

fn lines() -> Vec<u8> {
    let mut body = Vec::new();
    GENERATOR.append(&mut body, Format::Ndjson, 1, ITEMS as u64, RECEIVED_AT_US);
    body
}

fn decode(decoder: &mut Decoder, body: &[u8], form: BodyForm) -> Decoded {
    decoder.decode(body, form, &Defaults::default(), &origin()).expect("the body holds items")
}

/// A thousand CloudEvents, of which the envelope is another one.
fn cloud_events() -> Vec<u8> {
    let item = |n: usize| {
        format!(
            r#"{{"specversion":"1.0","id":"{n}","source":"gateway","type":"http.request","time":"2025-11-20T12:34:56Z",
            "data":{{"method":"POST","path":"/v1/orders/{n}","status":200,"latency_ms":12.5,"region":"eu-central-1"}}}}"#
        )
    };
    format!("[{}]", (0..ITEMS).map(item).collect::<Vec<_>>().join(",")).into_bytes()
}

/// One event whose payload is a long array: what scanning costs a byte.
fn large_payload() -> Vec<u8> {
    let numbers = (0..200_000).map(|n: u32| (n.wrapping_mul(2_654_435_761)).to_string()).collect::<Vec<_>>().join(",");
    format!(r#"{{"event_type":"a","source_module":"b","payload":{{"n":[{numbers}]}}}}"#).into_bytes()
}

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bodies");
    let text = |lines: &[u8]| String::from_utf8(lines.to_vec()).expect("the generator writes ASCII");
    // Found by the scanner in the payload's text, so that nothing after it is done.
    let with_nul = text(&lines()).replace("\"message\":\"", "\"message\":\"\\u0000").into_bytes();
    // The other way that junk is refused: fields are missing.
    let incomplete = text(&lines()).replace("\"event_type\"", "\"event_kind\"").into_bytes();
    for (name, body, form, good) in [
        ("generated_ndjson", lines(), BodyForm::Ndjson, ITEMS),
        ("cloud_events", cloud_events(), BodyForm::CloudEventBatch, ITEMS),
        ("all_refused_by_scan", with_nul, BodyForm::Ndjson, 0),
        ("all_refused_by_validate", incomplete, BodyForm::Ndjson, 0),
    ] {
        let mut decoder = Decoder::new();
        let first = decode(&mut decoder, &body, form);
        assert_eq!((first.rows.rows.len(), first.rejected.len()), (good, ITEMS - good), "{name}");
        group.throughput(Throughput::Elements(ITEMS as u64));
        group.bench_function(name, |bencher| bencher.iter(|| decode(&mut decoder, black_box(&body), form)));
    }
    let (body, mut decoder) = (large_payload(), Decoder::new());
    assert_eq!(decode(&mut decoder, &body, BodyForm::Json).rows.rows.len(), 1);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("one_large_payload", |bencher| {
        bencher.iter(|| decode(&mut decoder, black_box(&body), BodyForm::Json));
    });
    group.finish();
}

/// Tuples of many requests into one COPY stream, each stamped with its batch and ordinal.
fn copy_stream(criterion: &mut Criterion) {
    let decoded = decode(&mut Decoder::new(), &lines(), BodyForm::Ndjson);
    let mut group = criterion.benchmark_group("copy_stream");
    group.throughput(Throughput::Elements(ITEMS as u64));
    for rows in [1, 10, 1000] {
        group.bench_with_input(BenchmarkId::new("stamp_and_join", rows), &rows, |bencher, &rows_at_once| {
            bencher.iter(|| {
                let mut stream = Vec::with_capacity(COPY_HEADER.len() + decoded.rows.bytes.len() + COPY_TRAILER.len());
                stream.extend_from_slice(&COPY_HEADER);
                for part in decoded.rows.rows.chunks(rows_at_once) {
                    let range = part[0].bytes.start..part[part.len() - 1].bytes.end;
                    let begin = stream.len();
                    stream.extend_from_slice(&decoded.rows.bytes[range.start as usize..range.end as usize]);
                    for (row, ordinal) in part.iter().zip(0..) {
                        let at = begin + (row.bytes.start - range.start) as usize;
                        stamp(&mut stream[at..], 7, ordinal);
                    }
                }
                stream.extend_from_slice(&COPY_TRAILER);
                stream
            });
        });
    }
    group.finish();
}

fn others(criterion: &mut Criterion) {
    let key = ApiKey::generate().expect("random bytes").reveal();
    criterion.bench_function("api_key/parse_and_hash", |bencher| {
        bencher.iter(|| ApiKey::parse(black_box(&key)).map(|key| key.hash()));
    });
    let mut group = criterion.benchmark_group("load");
    group.throughput(Throughput::Elements(ITEMS as u64));
    group.bench_function("generate", |bencher| bencher.iter(lines));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = bodies, copy_stream, others
}
criterion_main!(benches);
