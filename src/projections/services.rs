//! `services`: what services there are, as they are registered, or named by a deployment.

use super::change::Change;
use super::event::{Told, Unfit};
use super::fields::{Field, Kind, field, quoted};
use super::projection::{Projection, event_type};
use super::table::{Key, Table, column, nothing};

pub const PROJECTION: Projection = Projection {
    name: "services",
    types: &[
        event_type("service.registered", 0),
        event_type("service.updated", 0),
        event_type("service.retired", 1),
        event_type("deployment.started", 0),
        event_type("deployment.succeeded", 0),
        event_type("deployment.failed", 0),
        event_type("deployment.rolled_back", 0),
    ],
    tables: &[&TABLE],
    changes,
};

pub static TABLE: Table = Table {
    name: "services",
    key: Key::Uuid,
    identity: &[column("name", "text")],
    columns: &[
        column("status", "text"),
        column("description", "text"),
        column("version", "text"),
        column("owner", "text"),
        column("team", "text"),
        column("repository", "text"),
        column("tags", "jsonb"),
        column("metadata", "jsonb"),
        column("registered_at", "timestamptz"),
        column("retired_at", "timestamptz"),
    ],
    large: None,
    seen: None,
    is_shared: false,
    derive: nothing,
};

pub const SERVICE: Field = field("service", "name", Kind::Text(200));

const FIELDS: &[Field] = &[
    field("description", "description", Kind::Text(4000)),
    field("version", "version", Kind::Text(200)),
    field("owner", "owner", Kind::Text(200)),
    field("team", "team", Kind::Text(200)),
    field("repository", "repository", Kind::Text(2000)),
    field("tags", "tags", Kind::Json(16_384)),
    field("metadata", "metadata", Kind::Json(16_384)),
];

fn changes(told: &Told<'_>) -> Result<Vec<Change>, Unfit> {
    let is_deployment = told.event_type.starts_with("deployment.");
    if is_deployment && SERVICE.read(&told.payload)?.is_none_or(|name| name.get() == "null") {
        // Another of its events names it, or none does.
        return Ok(Vec::new());
    }
    let name = SERVICE.required(&told.payload)?;
    let mut change = Change::of(&TABLE, told.tenant_id, &[&name]).identified("name", quoted(&name));
    change.set_default("status", quoted("active"));
    if is_deployment {
        return Ok(vec![change]);
    }
    change.set_fields(told, FIELDS)?;
    match told.event_type {
        "service.registered" => {
            change.set_text("status", "active").set_null("retired_at");
            change.set_time(told, &field("registered_at", "registered_at", Kind::Time))?;
        }
        "service.retired" => {
            change.set_text("status", "retired");
            change.set_time(told, &field("retired_at", "retired_at", Kind::Time))?;
        }
        _ => {}
    }
    Ok(vec![change])
}
