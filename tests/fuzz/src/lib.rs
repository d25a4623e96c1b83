//! What the fuzz targets share: decoding as the server does it, what must hold of every result, and a private server.

pub mod decoded;
pub mod metrics;
pub mod protocols;
pub mod server;
pub mod tuple;

use tidegate::wire::event::Defaults;
use tidegate::wire::item::{ItemContext, StoredJson, TimeBounds};
use uuid::Uuid;

/// 2025-11-21T00:00:00Z.
pub const RECEIVED_AT_US: i64 = 1_763_683_200_000_000;
/// As of `limits.body_bytes`, but small: a fuzzer's inputs are.
const ITEM_BYTES_MAX: usize = 1 << 20;

/// Where every request of a fuzzer comes from.
pub fn origin() -> ItemContext<'static> {
    ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(1),
        receipt: Uuid::from_u128(2),
        received_at_us: RECEIVED_AT_US,
        bounds: TimeBounds {
            oldest_us: RECEIVED_AT_US - 31_536_000_000_000,
            newest_us: RECEIVED_AT_US + 604_800_000_000,
        },
        item_bytes_max: ITEM_BYTES_MAX,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    }
}

/// What the query string may say: an input's first byte chooses.
pub fn defaults(choice: u8) -> Defaults {
    let named = |bit: u8, name: &str| (choice & bit != 0).then(|| name.to_owned());
    Defaults {
        event_type: named(1, "default_type"),
        source_module: named(1, "default_module"),
        stream: named(2, "default_stream"),
        wrap: choice & 4 != 0,
    }
}
