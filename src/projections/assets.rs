//! What is said of assets: name, type, version, owner, team and tags in `asset_metadata`, beside when each was first and last
//! seen, which is told from all events and metrics (`inferred`).

use super::change::Change;
use super::event::{Told, Unfit};
use super::fields::{Field, Kind, field, quoted};
use super::projection::{Projection, event_type};
use super::table::{Key, Table, column, nothing};
use crate::limits::ASSET_ID_CHARS_MAX;

pub const PROJECTION: Projection = Projection {
    name: "asset_details",
    types: &[event_type("asset.registered", 0), event_type("asset.updated", 1)],
    tables: &[&TABLE],
    changes,
};

static TABLE: Table = Table {
    name: "asset_metadata",
    key: Key::Text("asset_id"),
    identity: &[column("asset_name", "text"), column("asset_type", "text")],
    columns: &[
        column("asset_name", "text"),
        column("asset_type", "text"),
        column("version", "text"),
        column("owner_id", "text"),
        column("team_id", "text"),
        column("tags", "jsonb"),
        column("metadata", "jsonb"),
    ],
    large: None,
    // What speaks of an asset has seen it.
    seen: Some(("first_seen", "last_seen")),
    is_shared: true,
    derive: nothing,
};

const ASSET_ID: Field = field("asset_id", "asset_id", Kind::Text(ASSET_ID_CHARS_MAX));
const NAME: Field = field("name", "asset_name", Kind::Text(500));
const TYPE: Field = field("type", "asset_type", Kind::Text(100));
const TYPE_UNKNOWN: &str = "unknown";

const FIELDS: &[Field] = &[
    field("version", "version", Kind::Text(200)),
    field("owner", "owner_id", Kind::Text(200)),
    field("team", "team_id", Kind::Text(200)),
    field("tags", "tags", Kind::Json(16_384)),
    field("metadata", "metadata", Kind::Json(16_384)),
];

fn changes(told: &Told<'_>) -> Result<Vec<Change>, Unfit> {
    let id = match told.asset_id {
        Some(id) if !told.payload.contains_key(ASSET_ID.name) => id.to_owned(),
        _ => ASSET_ID.required(&told.payload)?,
    };
    let mut change = Change::of(&TABLE, told.tenant_id, &[&id])
        .identified("asset_name", quoted(&id))
        .identified("asset_type", quoted(TYPE_UNKNOWN));
    // Neither is ever null: what is taken back is as if it had never been said.
    for (named, otherwise) in [(NAME, id.as_str()), (TYPE, TYPE_UNKNOWN)] {
        if let Some(value) = named.read(&told.payload)? {
            change.set(named.column, if value.get() == "null" { quoted(otherwise) } else { value });
        }
    }
    change.set_fields(told, FIELDS)?;
    Ok(vec![change])
}
