//! `deployments`: each deployment from its start to how it ended.

use super::change::Change;
use super::event::{Told, Unfit};
use super::fields::{Field, Kind, field, quoted};
use super::projection::{Projection, event_type};
use super::services::SERVICE;
use super::table::{Key, Table, column, nothing};

pub const PROJECTION: Projection = Projection {
    name: "deployments",
    types: &[
        event_type("deployment.started", 0),
        event_type("deployment.succeeded", 1),
        event_type("deployment.failed", 1),
        event_type("deployment.rolled_back", 2),
    ],
    tables: &[&TABLE],
    changes,
};

static TABLE: Table = Table {
    name: "deployments",
    key: Key::Uuid,
    identity: &[column("deployment_id", "text")],
    columns: &[
        column("service", "text"),
        column("environment", "text"),
        column("version", "text"),
        column("status", "text"),
        column("commit_sha", "text"),
        column("deployed_by", "text"),
        column("url", "text"),
        column("started_at", "timestamptz"),
        column("finished_at", "timestamptz"),
        column("rolled_back_at", "timestamptz"),
        column("rolled_back_to", "text"),
        column("error", "text"),
        column("metadata", "jsonb"),
    ],
    large: None,
    seen: None,
    is_shared: false,
    derive: nothing,
};

const DEPLOYMENT_ID: Field = field("deployment_id", "deployment_id", Kind::Text(200));

const FIELDS: &[Field] = &[
    field(SERVICE.name, "service", SERVICE.kind),
    field("environment", "environment", Kind::Text(50)),
    field("version", "version", Kind::Text(200)),
    field("commit_sha", "commit_sha", Kind::Text(100)),
    field("deployed_by", "deployed_by", Kind::Text(200)),
    field("url", "url", Kind::Text(2000)),
    field("metadata", "metadata", Kind::Json(16_384)),
];
const ERROR: &[Field] = &[field("error", "error", Kind::Text(8192))];
const ROLLED_BACK_TO: &[Field] = &[field("rolled_back_to", "rolled_back_to", Kind::Text(200))];

fn changes(told: &Told<'_>) -> Result<Vec<Change>, Unfit> {
    let id = DEPLOYMENT_ID.required(&told.payload)?;
    let mut change = Change::of(&TABLE, told.tenant_id, &[&id]).identified("deployment_id", quoted(&id));
    change.set_fields(told, FIELDS)?;
    if !told.environment.is_empty() {
        change.set_default("environment", quoted(told.environment));
    }
    match told.event_type {
        "deployment.started" => {
            // Once more, where it had ended before.
            change.set_text("status", "started").set_null("finished_at").set_null("error");
            change.set_null("rolled_back_at").set_null("rolled_back_to");
            change.set_time(told, &field("started_at", "started_at", Kind::Time))?;
        }
        "deployment.succeeded" => {
            change.set_text("status", "succeeded").set_null("error");
            change.set_time(told, &field("finished_at", "finished_at", Kind::Time))?;
        }
        "deployment.failed" => {
            change.set_text("status", "failed").set_fields(told, ERROR)?;
            change.set_time(told, &field("finished_at", "finished_at", Kind::Time))?;
        }
        _ => {
            change.set_text("status", "rolled_back").set_fields(told, ROLLED_BACK_TO)?.set_fields(told, ERROR)?;
            change.set_time(told, &field("rolled_back_at", "rolled_back_at", Kind::Time))?;
        }
    }
    Ok(vec![change])
}
