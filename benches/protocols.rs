//! What each protocol costs on one core, without a database: `cargo bench --bench protocols`. From a decompressed body to
//! Tidegate's own items (`convert`), and on to encoded rows (`encode`). Bodies are the same in every run.

#[path = "protocols/bodies.rs"]
#[expect(dead_code, reason = "what is sent over HTTP beside them is not measured here")]
mod bodies;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tidegate::limits::MIB;
use tidegate::model::Kind;
use tidegate::protocols::{Converted, Converter, Head, Items, Segments, doors};
use tidegate::wire::event::{self, Defaults};
use tidegate::wire::item::{BodyForm, ItemContext, StoredJson, TimeBounds};
use tidegate::wire::metric;
use uuid::Uuid;

use bodies::Body;

/// 2025-11-21T00:00:00Z.
const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;
/// A moment before it.
const NS: u64 = 1_763_683_100_000_000_000;

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

fn convert(body: &Body) -> Converted {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(body.content_type))]);
    // As the server does it: who speaks it, else the last one.
    let of_route = || doors().filter(|door| door.route.name == body.route);
    let door = of_route().find(|door| door.protocol.speaks(&headers)).or_else(|| of_route().last());
    let door = door.expect("a door of this name");
    let path = Segments::default();
    let head = Head { route: door.route, path: &path, query: None, headers: &headers };
    let mut into = Converter::new(Box::new(|_| Ok(())));
    let Ok(Items::Converted) = door.protocol.items(&head, &body.bytes, &mut into) else { panic!("{}", body.name) };
    into.finish(body.bytes.clone()).expect("there is room")
}

fn kind(body: &Body) -> Kind {
    doors().find(|door| door.route.name == body.route).expect("a door of this name").route.kind
}

fn bench(criterion: &mut Criterion) {
    for body in bodies::all(NS) {
        let made = convert(&body);
        assert_eq!(made.original.places.len(), body.items, "{}", body.name);
        let mut group = criterion.benchmark_group(body.name);
        group.throughput(Throughput::Elements(body.items as u64));
        group.bench_function("convert", |bencher| bencher.iter(|| black_box(convert(&body))));
        let (mut events, mut metrics, origin) = (event::Decoder::new(), metric::Decoder::new(), origin());
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                let decoded = match kind(&body) {
                    Kind::Events => events.decode(&made.items, BodyForm::Converted, &Defaults::default(), &origin),
                    Kind::Metrics => metrics.decode(&made.items, BodyForm::Converted, &origin),
                };
                let decoded = decoded.expect("there are items");
                assert_eq!(decoded.accepted() as usize, body.items, "{:?}", decoded.rejected.first());
                black_box(decoded)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
