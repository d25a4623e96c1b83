//! A valid event to one COPY tuple, appended to the caller's buffer. Payload, metadata and unknown fields are copied as
//! they were sent; only the braces around them, and what the server adds, are written here.

use super::Origin;
use super::envelope::Envelope;
use super::pgcopy::{put_head, put_i32, put_jsonb, put_text, put_text_or_null, put_uuid_or_null};
use super::scan::{Field, Member};
use super::time::format_rfc3339;
use super::validate::{Payload, ValidEvent};

/// Where metadata keeps what no column takes.
const EXTRA: &str = "extra";
/// Where metadata keeps ids that are not UUIDs, in the order of [`ValidEvent::originals`].
const ORIGINALS: [&str; 3] = ["original_id", "original_correlation_id", "original_parent_event_id"];

/// What the server adds to the metadata of all of a request's events, as JSON members.
pub(super) fn server_metadata(origin: &Origin<'_>) -> String {
    let received_at = format_rfc3339(origin.received_at_us);
    format!(
        "\"api_key_id\":\"{}\",\"receipt\":\"{}\",\"received_at\":\"{received_at}\"",
        origin.api_key_id.hyphenated(),
        origin.receipt.hyphenated()
    )
}

/// Appends the event's tuple.
pub(super) fn encode(event: &ValidEvent<'_>, origin: &Origin<'_>, server_metadata: &str, out: &mut Vec<u8>) {
    put_head(out, event.timestamp_us, origin.received_at_us, event.id);
    put_text(out, origin.tenant_id);
    put_text(out, event.stream);
    put_text(out, event.source_module);
    put_text(out, event.event_type);
    put_i32(out, event.event_version);
    put_text(out, event.severity);
    put_text(out, event.environment);
    put_text_or_null(out, event.asset_id);
    put_uuid_or_null(out, event.correlation_id);
    put_uuid_or_null(out, event.parent_event_id);
    put_text_or_null(out, event.trace_id);
    put_jsonb(out, |out| match event.payload {
        Payload::Object(text) => out.extend_from_slice(text.as_bytes()),
        Payload::Member(name, value) => {
            let mut object = Object::open(out);
            object.member(name, value);
            object.close();
        }
        Payload::Empty => out.extend_from_slice(b"{}"),
    });
    put_jsonb(out, |out| put_metadata(event, server_metadata, out));
}

fn put_metadata(event: &ValidEvent<'_>, server_metadata: &str, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    if let Some(envelope) = &event.envelope {
        for member in envelope.metadata().iter().filter(|member| member.field != Field::ServerOwned) {
            object.copy(envelope, member);
        }
    }
    object.members(server_metadata);
    let Some(envelope) = &event.envelope else { return object.close() };
    for (name, member) in ORIGINALS.iter().zip(event.originals) {
        if let Some(member) = member {
            object.member(name, envelope.raw(member.value));
        }
    }
    put_extra(envelope, &mut object);
    object.close();
}

/// What no column takes: unknown fields, losing aliases, the rest of `context`, and members of the sender's metadata
/// whose names are the server's.
fn put_extra(envelope: &Envelope<'_>, metadata: &mut Object<'_>) {
    let mut extras = envelope.extras().peekable();
    let mut context = envelope.context_extras().peekable();
    let mut displaced = envelope.metadata().iter().filter(|member| member.field == Field::ServerOwned).peekable();
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

/// A JSON object being written.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    fn comma(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
    }

    /// A key that needs no escape, of a value that is written next.
    fn key(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn member(&mut self, name: &str, value: &str) {
        self.key(name);
        self.out.extend_from_slice(value.as_bytes());
    }

    /// A member as its sender wrote it.
    fn copy(&mut self, envelope: &Envelope<'_>, member: &Member) {
        self.comma();
        self.out.extend_from_slice(envelope.raw(member.key).as_bytes());
        self.out.push(b':');
        self.out.extend_from_slice(envelope.raw(member.value).as_bytes());
    }

    /// Members written beforehand.
    fn members(&mut self, text: &str) {
        self.comma();
        self.out.extend_from_slice(text.as_bytes());
    }

    fn close(self) {
        self.out.push(b'}');
    }
}
