//! What this version expects: the files of `sql/schema`, laid one over the other.

use super::snapshot::{Part, Snapshot, fact};
use super::text::parse;
use crate::model::{StoredJson, listed};
use crate::storage::Layout;

/// What a database was made as, and has since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    pub layout: Layout,
    pub stored_json: StoredJson,
    /// With pgvector; without it vectors are arrays.
    pub vectors: bool,
    /// `indexes.payload_gin`.
    pub payload_gin: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Self { layout: Layout::Columnstore, stored_json: StoredJson::Jsonb, vectors: true, payload_gin: false }
    }
}

impl Variant {
    /// That of a schema, by what it has of the alternatives.
    pub fn of(snapshot: &Snapshot) -> Self {
        let index = |name: &str| snapshot.facts("events", Part::Index, name).is_some();
        let type_of = |table: &str, column: &str| {
            snapshot.facts(table, Part::Column, column).and_then(|facts| fact(facts, "type")).unwrap_or_default()
        };
        let hypertables = snapshot.items.keys().any(|key| key.part == Part::Dimension);
        Self {
            layout: match (hypertables, index("events_unique")) {
                (true, true) => Layout::Rowstore,
                (true, false) => Layout::Columnstore,
                // Organizations as cells see them.
                (false, _) if snapshot.object("cell_organizations").is_some() => Layout::Citus,
                (false, _) => Layout::Native,
            },
            stored_json: if type_of("events", "payload") == "json" { StoredJson::Json } else { StoredJson::Jsonb },
            vectors: type_of("resource_action_traces", "embedding") != "real[]",
            payload_gin: index("events_payload_gin"),
        }
    }
}

listed! {
    /// A file of the expectation; later ones are laid over earlier ones.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Layer {
        Timescale,
        Postgres,
        Citus,
        Rowstore,
        Json,
        NoVectors,
        PayloadIndex,
    }
}

/// All of them, in their order.
pub const LAYERS: [Layer; 7] = Layer::ALL;

impl Layer {
    /// Its file in `sql/schema`.
    pub fn file(self) -> &'static str {
        match self {
            Self::Timescale => "timescale.txt",
            Self::Postgres => "postgres.txt",
            Self::Citus => "citus.txt",
            Self::Rowstore => "rowstore.txt",
            Self::Json => "json.txt",
            Self::NoVectors => "no_vectors.txt",
            Self::PayloadIndex => "payload_index.txt",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Timescale => include_str!("../../sql/schema/timescale.txt"),
            Self::Postgres => include_str!("../../sql/schema/postgres.txt"),
            Self::Citus => include_str!("../../sql/schema/citus.txt"),
            Self::Rowstore => include_str!("../../sql/schema/rowstore.txt"),
            Self::Json => include_str!("../../sql/schema/json.txt"),
            Self::NoVectors => include_str!("../../sql/schema/no_vectors.txt"),
            Self::PayloadIndex => include_str!("../../sql/schema/payload_index.txt"),
        }
    }

    /// Whether a database of this variant has it.
    pub fn is_of(self, variant: Variant) -> bool {
        match self {
            Self::Timescale => variant.layout.has_hypertables(),
            Self::Postgres => !variant.layout.has_hypertables(),
            Self::Citus => variant.layout.has_cells(),
            Self::Rowstore => variant.layout.tells_equal_events(),
            Self::Json => variant.stored_json == StoredJson::Json,
            Self::NoVectors => !variant.vectors,
            Self::PayloadIndex => variant.payload_gin,
        }
    }
}

/// What a database of this variant is expected to be.
pub fn expected(variant: Variant) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for layer in LAYERS.into_iter().filter(|layer| layer.is_of(variant)) {
        snapshot.lay(parse(layer.text()).expect("the files of sql/schema are snapshots, which a test shows"));
    }
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_schema() {
        for layer in LAYERS {
            parse(layer.text()).unwrap_or_else(|error| panic!("{}: {error}", layer.file()));
        }
        for layout in Layout::ALL {
            for stored_json in [StoredJson::Json, StoredJson::Jsonb] {
                let snapshot = expected(Variant { layout, stored_json, vectors: true, payload_gin: false });
                assert!(snapshot.items.len() > 500, "{layout:?}: {}", snapshot.items.len());
            }
        }
    }
}
