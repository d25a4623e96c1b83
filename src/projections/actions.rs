//! DD-SCHEMA-001's three tables: the resources that actions work on, the workflows of a resource, and each action of one.

use serde_json::value::RawValue;

use super::change::Change;
use super::event::{Told, Unfit};
use super::fields::{Field, Kind, field, number_of, quoted, time};
use super::projection::{Projection, event_type};
use super::table::{Derived, Key, Table, column, nothing};
use super::values::Values;
use crate::limits::EMBEDDING_DIMENSIONS;

pub const PROJECTION: Projection = Projection {
    name: "actions",
    types: &[event_type("action.started", 0), event_type("action.succeeded", 1), event_type("action.failed", 1)],
    tables: &[&RESOURCES, &HISTORIES, &TRACES],
    changes,
};

static RESOURCES: Table = Table {
    name: "resource_references",
    key: Key::Number,
    identity: &[column("namespace", "text"), column("kind", "text"), column("name", "text")],
    columns: &[],
    large: None,
    seen: None,
    is_shared: false,
    derive: nothing,
};

static HISTORIES: Table = Table {
    name: "action_histories",
    key: Key::Number,
    identity: &[column("resource_id", "bigint"), column("workflow_id", "text"), column("action_type", "text")],
    columns: &[column("status", "text")],
    large: None,
    seen: None,
    is_shared: false,
    derive: nothing,
};

static TRACES: Table = Table {
    name: "resource_action_traces",
    key: Key::Number,
    identity: &[column("action_id", "text")],
    columns: &[
        column("action_history_id", "bigint"),
        column("action_type", "text"),
        column("alert_name", "text"),
        column("alert_fingerprint", "text"),
        column("alert_severity", "text"),
        column("cluster_name", "text"),
        column("environment", "text"),
        column("action_timestamp", "timestamptz"),
        column("action_parameters", "jsonb"),
        column("execution_status", "text"),
        column("execution_start_time", "timestamptz"),
        column("execution_end_time", "timestamptz"),
        column("execution_duration_ms", "bigint"),
        column("execution_error", "text"),
    ],
    large: Some(column("embedding", "real[]")),
    seen: None,
    is_shared: false,
    derive: duration,
};

const ACTION_ID: Field = field("action_id", "action_id", Kind::Text(200));
const ACTION_TYPE: Field = field("action_type", "action_type", Kind::Text(100));
const WORKFLOW_ID: Field = field("workflow_id", "workflow_id", Kind::Text(200));
/// What the resource is, in the object `resource`.
const RESOURCE: [Field; 3] = [
    field("namespace", "namespace", Kind::Text(253)),
    field("kind", "kind", Kind::Text(100)),
    field("name", "name", Kind::Text(253)),
];

const FIELDS: &[Field] = &[
    field("alert_name", "alert_name", Kind::Text(200)),
    field("alert_fingerprint", "alert_fingerprint", Kind::Text(200)),
    field("alert_severity", "alert_severity", Kind::Text(50)),
    field("cluster_name", "cluster_name", Kind::Text(200)),
    field("environment", "environment", Kind::Text(50)),
    field("parameters", "action_parameters", Kind::Json(65_536)),
    field("duration_ms", "execution_duration_ms", Kind::Integer),
    field("embedding", "embedding", Kind::Embedding),
];
const ERROR: &[Field] = &[field("error", "execution_error", Kind::Text(8192))];
const STARTED_AT: Field = field("started_at", "execution_start_time", Kind::Time);
const FINISHED_AT: Field = field("finished_at", "execution_end_time", Kind::Time);

const _: () = assert!(
    EMBEDDING_DIMENSIONS == 768,
    "the migration that makes the table has it in the column's type and in its check"
);

fn changes(told: &Told<'_>) -> Result<Vec<Change>, Unfit> {
    let (tenant_id, payload) = (told.tenant_id, &told.payload);
    let (id, action_type) = (ACTION_ID.required(payload)?, ACTION_TYPE.required(payload)?);
    let workflow_id = WORKFLOW_ID.read(payload)?.unwrap_or_else(|| RawValue::NULL.to_owned());
    let [namespace, kind, name] = resource(told)?;
    let resource = Change::of(&RESOURCES, tenant_id, &[&namespace, &kind, &name])
        .identified("namespace", quoted(&namespace))
        .identified("kind", quoted(&kind))
        .identified("name", quoted(&name));
    let mut history = Change::of(&HISTORIES, tenant_id, &[&resource.key, workflow_id.get(), &action_type])
        .identified("resource_id", of_key(&resource.key))
        .identified("workflow_id", workflow_id)
        .identified("action_type", quoted(&action_type));
    let mut trace = Change::of(&TRACES, tenant_id, &[&id]).identified("action_id", quoted(&id));
    trace.set("action_history_id", of_key(&history.key)).set_text("action_type", &action_type);
    trace.set_fields(told, FIELDS)?;
    if !told.environment.is_empty() {
        trace.set_default("environment", quoted(told.environment));
    }
    let status = match told.event_type {
        "action.started" => {
            trace.set_null("execution_end_time").set_null("execution_error").set_time(told, &STARTED_AT)?;
            let at = STARTED_AT.read(payload)?.filter(|value| value.get() != "null");
            trace.set("action_timestamp", at.unwrap_or_else(|| time(told.at_us)));
            "started"
        }
        "action.succeeded" => {
            trace.set_null("execution_error").set_time(told, &FINISHED_AT)?;
            "succeeded"
        }
        _ => {
            trace.set_fields(told, ERROR)?.set_time(told, &FINISHED_AT)?;
            "failed"
        }
    };
    // Until its start is known.
    trace.set_default("action_timestamp", time(told.at_us));
    trace.set_text("execution_status", status);
    history.set_text("status", status);
    Ok(vec![resource, history, trace])
}

fn resource(told: &Told<'_>) -> Result<[String; 3], Unfit> {
    let missing =
        || Unfit::new("missing_field", "payload.resource is missing; send an object with namespace, kind and name");
    let raw = told.payload.get("resource").ok_or_else(missing)?;
    let members = Told::payload_of(raw.get()).map_err(|_| missing())?;
    let part = |field: &Field| {
        field
            .required(&members)
            .map_err(|unfit| Unfit { reason: unfit.reason.replacen("payload.", "payload.resource.", 1), ..unfit })
    };
    let [namespace, kind, name] = &RESOURCE;
    Ok([part(namespace)?, part(kind)?, part(name)?])
}

/// A key that is a number, as JSON.
fn of_key(key: &str) -> Box<RawValue> {
    number_of(key.parse().expect("a key of digits"))
}

/// How long it took, where both ends are known.
fn duration(values: &Values) -> Derived {
    let ends = values.time("execution_start_time").zip(values.time("execution_end_time"));
    let took_us = ends.map(|(start, end)| end - start).filter(|us| *us >= 0);
    vec![("execution_duration_ms", took_us.map_or_else(|| RawValue::NULL.to_owned(), |us| number_of(us / 1000)))]
}
