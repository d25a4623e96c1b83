//! What streams ask of their events, on one core and without a database: `cargo bench --bench schemas`. A thousand events of
//! about 375 bytes: decoded where the tenant has defined nothing, where it has defined other streams, and where a schema of
//! twenty rules judges each; and masked beforehand, by a hash and a removal each, or by the masks of another stream. Who has no masks pays
//! what who has defined nothing pays: nothing is masked then (`ingest::reading`).

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::limits::MIB;
use tidegate::registry::{Mask, MaskKey, MaskSpec, Schema};
use tidegate::wire::event::{Asked, Broken, Decoder, Defaults, Judge, MaskBounds, StreamMasks, StreamRules, masked};
use tidegate::wire::item::{BodyForm, ItemContext, Pointers, StoredJson, TimeBounds};
use uuid::Uuid;

const ITEMS: usize = 1000;
/// 2025-11-21T00:00:00Z.
const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;

/// Twenty rules: types, members, bounds, a list of values and two expressions.
const TWENTY: &str = r#"{
  "type": "object",
  "required": ["method", "path", "status", "duration_ms"],
  "additionalProperties": false,
  "properties": {
    "method": {"enum": ["GET", "POST", "PUT", "DELETE"]},
    "path": {"type": "string", "maxLength": 200, "pattern": "^/v[0-9]+/"},
    "status": {"type": "integer", "minimum": 100, "maximum": 599},
    "duration_ms": {"type": "number", "minimum": 0, "exclusiveMaximum": 1000000, "multipleOf": 0.25},
    "bytes": {"type": "integer", "minimum": 0},
    "ok": {"type": "boolean"},
    "region": {"type": "string", "minLength": 2, "pattern": "^[a-z]+-[a-z]+-[0-9]$"}
  }
}"#;

struct Compiled(Schema);

impl Judge for Compiled {
    fn judge(&self, payload: &str) -> Result<i32, Broken> {
        let broken = |violation: tidegate::registry::Violation| Broken {
            message: violation.to_string(),
            pointers: Pointers { field: violation.field, rule: violation.rule, version: 1 },
        };
        self.0.judge(payload).map(|()| 1).map_err(broken)
    }
}

/// What a stream asks.
struct Rules(Asked);

impl StreamRules for Rules {
    fn asked_by(&self, _: &str) -> Asked {
        self.0.clone()
    }
}

/// The masks of one stream.
struct OneStream {
    stream: &'static str,
    masks: Vec<Mask>,
}

impl StreamMasks for OneStream {
    fn of(&self, stream: &str) -> &[Mask] {
        if stream == self.stream { &self.masks } else { &[] }
    }

    fn all(&self) -> Option<&[Mask]> {
        Some(&self.masks)
    }
}

fn a_hash_and_a_removal(stream: &'static str) -> OneStream {
    let spec = |path: &str, action: &str| MaskSpec { path: path.to_owned(), action: action.to_owned() };
    let masks = MaskSpec::parse_all(&[spec("/path", "hash"), spec("/region", "remove")]);
    OneStream { stream, masks: masks.expect("two masks") }
}

fn events() -> String {
    let mut body = String::from("[");
    for n in 0..ITEMS {
        if n > 0 {
            body.push(',');
        }
        let (id, correlation_id) = (Uuid::from_u64_pair(1, n as u64), Uuid::from_u64_pair(2, n as u64));
        let (status, millis, bytes, region) = (200 + n % 4, n * 7919 % 5000, n * 104_729 % 65_536, n % 7);
        write!(
            body,
            "{{\"id\":\"{id}\",\"timestamp\":\"2025-11-20T12:34:{:02}.{n:06}Z\",\"event_type\":\"http.request\",\
             \"source_module\":\"gateway\",\"severity\":\"info\",\"asset_id\":\"model-{}\",\"correlation_id\":\"{correlation_id}\",\
             \"payload\":{{\"method\":\"POST\",\"path\":\"/v1/chat/completions\",\"status\":{status},\
             \"duration_ms\":{millis}.25,\"bytes\":{bytes},\"ok\":true,\"region\":\"eu-west-{region}\"}}}}",
            n % 60,
            n % 40
        )
        .expect("a String takes everything");
    }
    body.push(']');
    body
}

fn schemas(criterion: &mut Criterion) {
    let origin = ItemContext {
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
    };
    let body = events();
    let mut group = criterion.benchmark_group("schemas");
    group.throughput(Throughput::Elements(ITEMS as u64));
    let twenty = Schema::compile(TWENTY).expect("a schema");
    let judged = Rules(Asked::Schema(Arc::new(Compiled(twenty))));
    let free = Rules(Asked::Nothing);
    let all: [(&str, Option<&dyn StreamRules>); 3] =
        [("nothing defined", None), ("no schema", Some(&free)), ("twenty rules", Some(&judged))];
    for (name, rules) in all {
        let mut decoder = Decoder::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let body = black_box(body.as_bytes());
                let decoded = decoder.decode_by(body, BodyForm::Json, &Defaults::default(), &origin, rules);
                let decoded = decoded.expect("it has items");
                assert_eq!(decoded.accepted() as usize, ITEMS, "{:?}", decoded.rejected.first());
                decoded
            });
        });
    }
    let bounds = MaskBounds { steps: u64::MAX, bytes: usize::MAX };
    let (key, defaults) = (MaskKey::of(b"a secret of sixteen bytes", "acme"), Defaults::default());
    for (name, masks) in [
        ("a hash and a removal", a_hash_and_a_removal("default")),
        ("masks of another stream", a_hash_and_a_removal("other")),
    ] {
        let mut decoder = Decoder::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let body = black_box(body.as_bytes());
                let masked = masked(body, BodyForm::Json, &defaults, origin.item_bytes_max, &masks, &key, bounds);
                let masked = masked.expect("within bounds").bytes;
                assert_eq!(masked == body, name != "a hash and a removal");
                let decoded = decoder.decode_by(&masked, BodyForm::Json, &defaults, &origin, Some(&free));
                assert_eq!(decoded.as_ref().map(|decoded| decoded.accepted() as usize), Ok(ITEMS));
                decoded
            });
        });
    }
    group.bench_function("compile twenty rules", |bencher| bencher.iter(|| Schema::compile(black_box(TWENTY)).is_ok()));
    group.finish();
}

criterion_group!(benches, schemas);
criterion_main!(benches);
