//! What all records of a resource and a scope have in common: written once, copied for each.

use super::members::Members;
use super::value::{Attribute, add, key_value, object, text_in, unique};
use crate::protocols::convert::Json;
use crate::protocols::protobuf::{Malformed, Value, fields};

/// What OpenTelemetry calls a service that does not say who it is.
const UNKNOWN_SERVICE: &[u8] = b"unknown_service";

/// Text that is a part of each event.
#[derive(Default)]
pub struct Context {
    /// Members of the event, with a comma before each.
    pub fields: Vec<u8>,
    /// Members of `metadata.otlp`.
    pub resource: Vec<u8>,
    /// The same.
    pub scope: Vec<u8>,
    /// Why the resource or the scope cannot be read: then none of its records is taken.
    pub resource_flaw: Option<Malformed>,
    pub scope_flaw: Option<Malformed>,
    /// How many attributes of what was begun last had another of their key behind them.
    pub repeated: usize,
}

impl Context {
    /// Begins a resource: a message `Resource`.
    pub fn begin_resource<'a>(&mut self, resource: &'a [u8], schema_url: &[u8], scratch: &mut Vec<Attribute<'a>>) {
        let mut fields = Json::onto(std::mem::take(&mut self.fields));
        fields.truncate(0);
        let mut json = Json::onto(std::mem::take(&mut self.resource));
        json.truncate(0);
        scratch.clear();
        self.repeated = 0;
        let written = write_resource(&mut json, resource, schema_url, scratch);
        self.resource_flaw = written.map(|repeated| self.repeated = repeated).err();
        write_fields(&mut fields, scratch);
        (self.fields, self.resource) = (fields.into_text(), json.into_text());
    }

    /// Begins a scope of the resource: a message `InstrumentationScope`.
    pub fn begin_scope<'a>(&mut self, scope: &'a [u8], schema_url: &[u8], scratch: &mut Vec<Attribute<'a>>) {
        let mut json = Json::onto(std::mem::take(&mut self.scope));
        json.truncate(0);
        scratch.clear();
        self.repeated = 0;
        let written = write_scope(&mut json, scope, schema_url, scratch);
        self.scope_flaw = written.map(|repeated| self.repeated = repeated).err();
        self.scope = json.into_text();
    }

    pub fn flaw(&self) -> Option<(&'static str, Malformed)> {
        self.resource_flaw.map(|flaw| ("resource", flaw)).or_else(|| self.scope_flaw.map(|flaw| ("scope", flaw)))
    }
}

fn write_fields(json: &mut Json<'_>, attributes: &[Attribute<'_>]) {
    let named = |name: &[u8]| attributes.iter().find(|(key, _)| *key == name).and_then(|(_, value)| text_in(*value));
    json.raw(b",\"source_module\":");
    json.string(named(b"service.name").unwrap_or(UNKNOWN_SERVICE));
    if let Some(asset) = named(b"host.name").or_else(|| named(b"service.instance.id")) {
        json.raw(b",\"asset_id\":");
        json.string(asset);
    }
    if let Some(environment) = named(b"deployment.environment.name").or_else(|| named(b"deployment.environment")) {
        json.raw(b",\"environment\":");
        json.string(environment);
    }
}

fn write_resource<'a>(
    json: &mut Json<'_>,
    resource: &'a [u8],
    schema_url: &[u8],
    attributes: &mut Vec<Attribute<'a>>,
) -> Result<usize, Malformed> {
    let mut dropped = 0;
    for field in fields(resource) {
        let field = field?;
        match field.number {
            1 => add(attributes, key_value(field.value.bytes()?)?)?,
            2 => dropped = field.value.u64()?,
            _ => {}
        }
    }
    let repeated = unique(attributes);
    let mut members = Members::of(b"", b"");
    if !attributes.is_empty() {
        object(members.member(json, b"\"resource\":"), attributes)?;
    }
    members.number(json, b"\"resource_dropped_attributes_count\":", dropped);
    members.text(json, b"\"resource_schema_url\":", schema_url);
    let mut entities = Members::of(b"[", b"]");
    for field in fields(resource) {
        let field = field?;
        if field.number == 3 {
            if !entities.any() {
                members.member(json, b"\"resource_entities\":");
            }
            write_entity(entities.member(json, b""), field.value)?;
        }
    }
    entities.end(json);
    Ok(repeated)
}

/// An `EntityRef`, which names some of the resource's attributes.
fn write_entity(json: &mut Json<'_>, entity: Value<'_>) -> Result<(), Malformed> {
    let entity = entity.bytes()?;
    json.raw(b"{\"type\":");
    json.string(last_bytes(entity, 2)?);
    let mut members = Members::of(b",", b"");
    members.text(json, b"\"schema_url\":", last_bytes(entity, 1)?);
    for (number, name) in [(3, &b"\"id_keys\":"[..]), (4, b"\"description_keys\":")] {
        let mut keys = Members::of(b"[", b"]");
        for field in fields(entity) {
            let field = field?;
            if field.number == number {
                if !keys.any() {
                    members.member(json, name);
                }
                keys.member(json, b"").string(field.value.bytes()?);
            }
        }
        keys.end(json);
    }
    json.raw(b"}");
    Ok(())
}

/// The text of a field that is there once; of several the last counts.
fn last_bytes(message: &[u8], number: u32) -> Result<&[u8], Malformed> {
    let mut last = &b""[..];
    for field in fields(message) {
        let field = field?;
        if field.number == number {
            last = field.value.bytes()?;
        }
    }
    Ok(last)
}

fn write_scope<'a>(
    json: &mut Json<'_>,
    scope: &'a [u8],
    schema_url: &[u8],
    attributes: &mut Vec<Attribute<'a>>,
) -> Result<usize, Malformed> {
    let (mut name, mut version, mut dropped) = (&b""[..], &b""[..], 0);
    for field in fields(scope) {
        let field = field?;
        match field.number {
            1 => name = field.value.bytes()?,
            2 => version = field.value.bytes()?,
            3 => add(attributes, key_value(field.value.bytes()?)?)?,
            4 => dropped = field.value.u64()?,
            _ => {}
        }
    }
    let repeated = unique(attributes);
    let mut members = Members::of(b"\"scope\":{", b"}");
    members.text(json, b"\"name\":", name);
    members.text(json, b"\"version\":", version);
    if !attributes.is_empty() {
        object(members.member(json, b"\"attributes\":"), attributes)?;
    }
    members.number(json, b"\"dropped_attributes_count\":", dropped);
    members.text(json, b"\"schema_url\":", schema_url);
    members.end(json);
    Ok(repeated)
}
