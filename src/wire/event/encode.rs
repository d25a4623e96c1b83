//! A valid event to one COPY tuple, appended to the caller's buffer. Payload, metadata and unknown fields are copied
//! as they were sent; only the braces around them are written here.

use super::fields::{CONTEXT, Envelope, Field, METADATA, Member, ORIGINALS};
use super::validate::{DATA_BASE64, Payload, ValidEvent};
use crate::wire::item::ItemContext;
use crate::wire::item::object::Object;
use crate::wire::item::pgcopy::{
    column_count, put_head, put_i32, put_i32_or_null, put_json, put_json_or_null, put_text, put_text_or_null, put_uuid,
    put_uuid_or_null,
};
use crate::wire::item::scan::{Field as _, JsonType};

/// Where metadata keeps what no column takes.
const EXTRA: &str = "extra";

/// The columns of a tuple, in the order of [`encode`], for `COPY events (...) FROM STDIN (FORMAT binary)`.
pub const COPY_COLUMNS: &str = "batch_id, batch_seq, timestamp, created_at, id, tenant_id, stream, source_module, \
event_type, event_version, severity, environment, asset_id, correlation_id, parent_event_id, bare_id, trace_id, api_key_id, \
receipt, schema_version, payload, metadata";
pub const COPY_COLUMN_COUNT: i16 = column_count(COPY_COLUMNS);

/// Appends the event's tuple; `schema_version` has judged it.
pub(super) fn encode(event: &ValidEvent<'_>, schema_version: Option<i32>, origin: &ItemContext<'_>, out: &mut Vec<u8>) {
    put_head(out, COPY_COLUMN_COUNT, event.timestamp_us, origin.received_at_us);
    put_uuid(out, event.id);
    put_text(out, origin.tenant_id);
    put_text(out, &event.stream);
    put_text(out, &event.source_module);
    put_text(out, &event.event_type);
    put_i32(out, event.event_version);
    put_text(out, &event.severity);
    put_text(out, &event.environment);
    put_text_or_null(out, event.asset_id.as_deref());
    put_uuid_or_null(out, event.correlation_id);
    put_uuid_or_null(out, event.parent_event_id);
    put_uuid_or_null(out, event.bare_id);
    put_text_or_null(out, event.trace_id.as_deref());
    put_uuid(out, origin.api_key_id);
    put_uuid(out, origin.receipt);
    put_i32_or_null(out, schema_version);
    put_json(out, origin.stored_json, |out| match event.payload {
        Payload::Object(text) => out.extend_from_slice(text.as_bytes()),
        Payload::Member(name, value) => {
            let mut object = Object::open(out);
            object.member(name, value);
            object.close();
        }
        Payload::Empty => out.extend_from_slice(b"{}"),
    });
    put_json_or_null(out, origin.stored_json, |out| put_metadata(event, out));
}

/// What the sender said and no column has; false if that is nothing.
fn put_metadata(event: &ValidEvent<'_>, out: &mut Vec<u8>) -> bool {
    let Some(envelope) = &event.envelope else { return false };
    let mut object = Object::open(out);
    for member in envelope.nested(METADATA).iter().filter(|member| member.field != Field::ServerOwned) {
        object.copy(envelope, member);
    }
    if !event.originals.is_empty() {
        for (field, name) in ORIGINALS.into_iter().filter(|(field, _)| event.originals.contains(*field)) {
            if let Some(member) = envelope.member(field) {
                object.member(name, envelope.raw(member.value));
            }
        }
    }
    let base64_payload = matches!(event.payload, Payload::Member(DATA_BASE64, _));
    put_extra(envelope, base64_payload, &mut object);
    object.close()
}

/// What no column takes: unknown fields, losing aliases, the rest of `context`, and members of the sender's metadata
/// whose names are the server's.
fn put_extra(envelope: &Envelope<'_>, base64_payload: bool, metadata: &mut Object<'_>) {
    let is_extra = |member: &&Member| match member.field {
        Field::Unknown | Field::ServerOwned | Field::SpecVersion => true,
        Field::DataBase64 => !base64_payload,
        // Of a CloudEvent: an extension of this name.
        Field::Metadata if member.kind != JsonType::Object && member.kind != JsonType::Null => true,
        _ => envelope.loses(member),
    };
    let in_context = |member: &&Member| !member.field.is_read_nested() || envelope.loses(member);
    let mut extras = envelope.members().iter().filter(is_extra).peekable();
    let mut context = envelope.nested(CONTEXT).iter().filter(in_context).peekable();
    let mut displaced = envelope.nested(METADATA).iter().filter(|member| member.field == Field::ServerOwned).peekable();
    if extras.peek().is_none() && context.peek().is_none() && displaced.peek().is_none() {
        return;
    }
    metadata.key(EXTRA);
    let mut extra = Object::open(metadata.out);
    extras.for_each(|member| extra.copy(envelope, member));
    put_nested(envelope, &mut extra, Field::Context, context);
    put_nested(envelope, &mut extra, Field::Metadata, displaced);
    extra.close();
}

fn put_nested<'a>(
    envelope: &Envelope<'_>,
    extra: &mut Object<'_>,
    field: Field,
    members: impl Iterator<Item = &'a Member>,
) {
    let mut members = members.peekable();
    if members.peek().is_none() {
        return;
    }
    extra.key(field.name());
    let mut nested = Object::open(extra.out);
    members.for_each(|member| nested.copy(envelope, member));
    nested.close();
}
