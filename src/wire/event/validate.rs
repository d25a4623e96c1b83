//! The rules for events. [`ValidEvent`] can only be made here, so what is encoded has passed them.

use uuid::Uuid;

use super::defaults::Defaults;
use super::fields::{Envelope, Field, Member};
use super::ids::{IdSource, foreign_id};
use crate::limits::{
    ASSET_ID_CHARS_MAX, ENVIRONMENT_CHARS_MAX, EVENT_TYPE_CHARS_MAX, FOREIGN_ID_CHARS_MAX, SEVERITY_CHARS_MAX,
    SOURCE_MODULE_CHARS_MAX, STREAM_CHARS_MAX, TRACE_ID_CHARS_MAX,
};
use crate::wire::item::check::{check_length, check_tenant, empty, missing, optional, string, timestamp, wrong_type};
use crate::wire::item::reject::excerpt;
use crate::wire::item::scan::{Field as _, JsonType};
use crate::wire::item::{Code, ItemContext, Rejection};

const RETENTION: &str =
    "raise retention.events, or the organization's own (tidegate orgs retention), to take older events";

/// A payload of this name is no unknown field.
pub(super) const DATA_BASE64: &str = "data_base64";

const DEFAULT_STREAM: &str = "default";
const DEFAULT_SEVERITY: &str = "info";
const DEFAULT_ENVIRONMENT: &str = "production";

/// An event that may be stored. Fields are in the order of the columns.
pub(super) struct ValidEvent<'a> {
    pub timestamp_us: i64,
    pub id: Uuid,
    pub stream: &'a str,
    pub source_module: &'a str,
    pub event_type: &'a str,
    pub event_version: i32,
    pub severity: &'a str,
    pub environment: &'a str,
    pub asset_id: Option<&'a str>,
    pub correlation_id: Option<Uuid>,
    pub parent_event_id: Option<Uuid>,
    pub trace_id: Option<&'a str>,
    pub payload: Payload<'a>,
    /// The fields whose id was not a UUID; their text goes into metadata.
    pub originals: [Option<&'a Member>; 3],
    /// What metadata is made of; a wrapped item has nothing of its own there.
    pub envelope: Option<Envelope<'a>>,
    /// Only this module makes events.
    _proof: (),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Payload<'a> {
    /// As it was sent.
    Object(&'a str),
    /// A CloudEvent's data that is no object, under the name it was sent with.
    Member(&'static str, &'a str),
    Empty,
}

/// Who sent the item, and what it is to be read as.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub origin: &'a ItemContext<'a>,
    pub defaults: &'a Defaults,
    pub cloud_event: bool,
}

/// Checks an item's envelope against the rules.
pub(super) fn validate<'a>(
    envelope: Envelope<'a>,
    rules: Rules<'a>,
    ids: &mut IdSource,
) -> Result<ValidEvent<'a>, Rejection> {
    let Rules { origin, defaults, .. } = rules;
    let tenant_id = origin.tenant_id;
    check_tenant(&envelope, Field::TenantId, tenant_id)?;
    if rules.cloud_event {
        check_cloud_event(&envelope)?;
    }
    let (id, original_id) = id(&envelope, Field::Id, tenant_id)?;
    let (correlation_id, original_correlation_id) = id_of_another(&envelope, Field::CorrelationId, tenant_id)?;
    let (parent_event_id, original_parent_event_id) = id_of_another(&envelope, Field::ParentEventId, tenant_id)?;
    let event_type = named(&envelope, Field::EventType, EVENT_TYPE_CHARS_MAX, defaults.event_type.as_deref())?;
    let source_module =
        named(&envelope, Field::SourceModule, SOURCE_MODULE_CHARS_MAX, defaults.source_module.as_deref())?;
    let stream_default = defaults.stream.as_deref().unwrap_or(DEFAULT_STREAM);
    let stream = named(&envelope, Field::Stream, STREAM_CHARS_MAX, Some(stream_default))?;
    let severity = optional(&envelope, Field::Severity, SEVERITY_CHARS_MAX)?.unwrap_or(DEFAULT_SEVERITY);
    let environment = optional(&envelope, Field::Environment, ENVIRONMENT_CHARS_MAX)?.unwrap_or(DEFAULT_ENVIRONMENT);
    let asset_id = optional(&envelope, Field::AssetId, ASSET_ID_CHARS_MAX)?;
    let trace_id = optional(&envelope, Field::TraceId, TRACE_ID_CHARS_MAX)?;
    let event_version = event_version(&envelope)?;
    let timestamp_us = timestamp(&envelope, Field::Timestamp, origin, RETENTION)?;
    let payload = payload(&envelope, rules.cloud_event)?;
    if let Some(metadata) = envelope.member(Field::Metadata).filter(|member| member.kind != JsonType::Object) {
        return Err(wrong_type(Field::Metadata, metadata, "an object"));
    }
    Ok(ValidEvent {
        timestamp_us,
        id: id.unwrap_or_else(|| ids.next_id()),
        stream,
        source_module,
        event_type,
        event_version,
        severity,
        environment,
        asset_id,
        correlation_id,
        parent_event_id,
        trace_id,
        payload,
        originals: [original_id, original_correlation_id, original_parent_event_id],
        envelope: Some(envelope),
        _proof: (),
    })
}

/// An event of which the whole item is the payload.
pub(super) fn validate_wrapped<'a>(
    item: &'a str,
    rules: Rules<'a>,
    ids: &mut IdSource,
) -> Result<ValidEvent<'a>, Rejection> {
    let Rules { origin, defaults, .. } = rules;
    let given = |field, value: &'a Option<String>, chars_max| default_text(field, value.as_deref(), chars_max);
    let event_type = given(Field::EventType, &defaults.event_type, EVENT_TYPE_CHARS_MAX)?;
    let source_module = given(Field::SourceModule, &defaults.source_module, SOURCE_MODULE_CHARS_MAX)?;
    let stream =
        default_text(Field::Stream, Some(defaults.stream.as_deref().unwrap_or(DEFAULT_STREAM)), STREAM_CHARS_MAX)?;
    Ok(ValidEvent {
        timestamp_us: origin.received_at_us,
        id: ids.next_id(),
        stream,
        source_module,
        event_type,
        event_version: 1,
        severity: DEFAULT_SEVERITY,
        environment: DEFAULT_ENVIRONMENT,
        asset_id: None,
        correlation_id: None,
        parent_event_id: None,
        trace_id: None,
        payload: Payload::Object(item),
        originals: [None; 3],
        envelope: None,
        _proof: (),
    })
}

/// The attributes that CloudEvents 1.x requires, under the names it gives them.
fn check_cloud_event(envelope: &Envelope<'_>) -> Result<(), Rejection> {
    match envelope.member(Field::SpecVersion) {
        None => return Err(missing("specversion", "a CloudEvent needs specversion, id, source and type")),
        Some(member) => {
            let version = string(envelope, Field::SpecVersion, member)?;
            if !version.starts_with("1.") {
                let message = format!("specversion is \"{}\"; send CloudEvents 1.x", excerpt(version));
                return Err(Rejection::validate(Code::InvalidField, message));
            }
        }
    }
    for (name, field, rank) in [("id", Field::Id, 0), ("source", Field::SourceModule, 1), ("type", Field::EventType, 1)]
    {
        let found = envelope.members().iter().find(|member| (member.field, member.rank) == (field, rank));
        let Some(member) = found.filter(|member| member.kind != JsonType::Null) else {
            return Err(missing(name, "a CloudEvent needs specversion, id, source and type"));
        };
        if member.kind != JsonType::String {
            return Err(wrong_type(field, member, "a string"));
        }
        if envelope.raw(member.value) == "\"\"" {
            return Err(empty(name));
        }
    }
    Ok(())
}

type Id<'a> = (Option<Uuid>, Option<&'a Member>);

/// An id, and its member where its text is not that of a UUID.
fn id<'a>(envelope: &Envelope<'a>, field: Field, tenant_id: &str) -> Result<Id<'a>, Rejection> {
    let Some(member) = envelope.member(field) else { return Ok((None, None)) };
    let text = string(envelope, field, member)?;
    if text.is_empty() {
        return Err(empty(field.name()));
    }
    if let Ok(uuid) = Uuid::try_parse(text) {
        return Ok((Some(uuid), None));
    }
    check_length(field, text, FOREIGN_ID_CHARS_MAX)?;
    Ok((Some(foreign_id(tenant_id, text)), Some(member)))
}

/// The id of another event, for which empty text is none.
fn id_of_another<'a>(envelope: &Envelope<'a>, field: Field, tenant_id: &str) -> Result<Id<'a>, Rejection> {
    if envelope.text(field) == Some("") { Ok((None, None)) } else { id(envelope, field, tenant_id) }
}

/// Text that an event must have, from the item or by default.
fn named<'a>(
    envelope: &Envelope<'a>,
    field: Field,
    chars_max: usize,
    default: Option<&'a str>,
) -> Result<&'a str, Rejection> {
    let Some(member) = envelope.member(field) else { return default_text(field, default, chars_max) };
    let text = string(envelope, field, member)?;
    if text.is_empty() {
        return Err(empty(field.name()));
    }
    check_length(field, text, chars_max)?;
    Ok(text)
}

/// Text from the query string, which no scanner has seen.
fn default_text(field: Field, text: Option<&str>, chars_max: usize) -> Result<&str, Rejection> {
    let name = field.name();
    match text {
        None => Err(missing(name, &format!("send it in the event, or as ?{name}= in the query"))),
        Some("") => Err(empty(name)),
        Some(text) if text.contains('\0') => {
            Err(Rejection::validate(Code::FieldNul, format!("?{name}= holds a NUL character; remove it")))
        }
        Some(text) => check_length(field, text, chars_max).map(|()| text),
    }
}

fn event_version(envelope: &Envelope<'_>) -> Result<i32, Rejection> {
    let Some(member) = envelope.member(Field::EventVersion) else { return Ok(1) };
    let expected = "a whole number from 1 to 2147483647";
    if member.kind != JsonType::Number {
        return Err(wrong_type(Field::EventVersion, member, expected));
    }
    let number = envelope.raw(member.value);
    number.parse().ok().filter(|version| *version >= 1).ok_or_else(|| {
        let message = format!("event_version is {}; send {expected}", excerpt(number));
        Rejection::validate(Code::InvalidField, message)
    })
}

fn payload<'a>(envelope: &Envelope<'a>, cloud_event: bool) -> Result<Payload<'a>, Rejection> {
    // To a CloudEvent `"data": null` is data; to an event a null payload is none.
    let null_data = || envelope.members().iter().find(|member| member.field == Field::Payload);
    let member = envelope.member(Field::Payload);
    if let Some(member) = member {
        let raw = envelope.raw(member.value);
        return match member.kind {
            JsonType::Object => Ok(Payload::Object(raw)),
            _ if cloud_event => Ok(Payload::Member("data", raw)),
            _ => Err(wrong_type(Field::Payload, member, "an object")),
        };
    }
    if !cloud_event {
        return Err(missing(Field::Payload.name(), "send it as an object named payload or data"));
    }
    match (envelope.member(Field::DataBase64), null_data()) {
        (Some(member), _) => Ok(Payload::Member(DATA_BASE64, envelope.raw(member.value))),
        (None, Some(member)) => Ok(Payload::Member("data", envelope.raw(member.value))),
        (None, None) => Ok(Payload::Empty),
    }
}
