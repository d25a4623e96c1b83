//! The rules for events. [`ValidEvent`] can only be made here, so what is encoded has passed them.

use std::borrow::Cow;

use uuid::Uuid;

use super::defaults::Defaults;
use super::fields::{Envelope, Field, FieldSet, Member};
use super::fit::shortened;
use super::ids::{IdSource, bare_id, cloud_event_id};
use crate::wire::item::check::{
    check_length, check_tenant, empty, empty_member, missing, string, timestamp, wrong_type,
};
use crate::wire::item::reject::{at_byte, excerpt};
use crate::wire::item::scan::{Field as _, JsonType};
use crate::wire::item::{Code, ItemContext, Rejection};

const RETENTION: &str = "raise retention.events to take older events, and the organization's own where it has one, which can only be shorter (tidegate orgs retention)";

/// A payload of this name is no unknown field.
pub(super) const DATA_BASE64: &str = "data_base64";

pub(super) const DEFAULT_STREAM: &str = "default";
const DEFAULT_SEVERITY: &str = "info";
const DEFAULT_ENVIRONMENT: &str = "production";

/// An event that may be stored. Fields are in the order of the columns.
pub(super) struct ValidEvent<'a> {
    pub timestamp_us: i64,
    pub id: Uuid,
    pub stream: Cow<'a, str>,
    pub source_module: Cow<'a, str>,
    pub event_type: Cow<'a, str>,
    pub event_version: i32,
    pub severity: Cow<'a, str>,
    pub environment: Cow<'a, str>,
    pub asset_id: Option<Cow<'a, str>>,
    pub correlation_id: Option<Uuid>,
    pub parent_event_id: Option<Uuid>,
    /// Of a CloudEvent: what its id stands for without its source.
    pub bare_id: Option<Uuid>,
    pub trace_id: Option<Cow<'a, str>>,
    pub payload: Payload<'a>,
    /// The fields whose columns hold something else than was sent, which goes into metadata.
    pub originals: FieldSet,
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
    /// What is longer than its column is shortened, not refused.
    pub fits: bool,
}

/// Checks an item's envelope against the rules.
pub(super) fn validate<'a>(
    envelope: Envelope<'a>,
    rules: Rules<'a>,
    ids: &mut IdSource,
) -> Result<ValidEvent<'a>, Rejection> {
    let Rules { origin, defaults, cloud_event, fits } = rules;
    let tenant_id = origin.tenant_id;
    check_tenant(&envelope, Field::TenantId, tenant_id)?;
    if cloud_event {
        check_cloud_event(&envelope)?;
    }
    let mut fields = Fields { envelope: &envelope, tenant_id, cloud_event, fits, originals: FieldSet::default() };
    let own_id = fields.id(Field::Id)?;
    let correlation_id = fields.id_of_another(Field::CorrelationId)?;
    let parent_event_id = fields.id_of_another(Field::ParentEventId)?;
    let event_type = fields.named(Field::EventType, defaults.event_type.as_deref())?;
    let source_module = fields.named(Field::SourceModule, defaults.source_module.as_deref())?;
    let stream = fields.named(Field::Stream, Some(defaults.stream.as_deref().unwrap_or(DEFAULT_STREAM)))?;
    let severity = fields.optional(Field::Severity)?.unwrap_or(DEFAULT_SEVERITY.into());
    let environment = fields.optional(Field::Environment)?.unwrap_or(DEFAULT_ENVIRONMENT.into());
    let asset_id = fields.optional(Field::AssetId)?;
    let trace_id = fields.optional(Field::TraceId)?;
    let (id, bare_id) = if cloud_event {
        fields.originals.insert(Field::Id);
        (fields.cloud_event_id(), own_id)
    } else {
        (own_id, None)
    };
    let originals = fields.originals;
    let event_version = event_version(&envelope)?;
    let timestamp_us = timestamp(&envelope, Field::Timestamp, origin, RETENTION)?;
    let payload = payload(&envelope, cloud_event)?;
    let not_an_object = |member: &&Member| !cloud_event && member.kind != JsonType::Object;
    if let Some(metadata) = envelope.member(Field::Metadata).filter(not_an_object) {
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
        bare_id,
        trace_id,
        payload,
        originals,
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
    let given = |field, value: Option<&'a str>| default_text(field, value).map(Cow::Borrowed);
    Ok(ValidEvent {
        timestamp_us: origin.received_at_us,
        id: ids.next_id(),
        stream: given(Field::Stream, Some(defaults.stream.as_deref().unwrap_or(DEFAULT_STREAM)))?,
        source_module: given(Field::SourceModule, defaults.source_module.as_deref())?,
        event_type: given(Field::EventType, defaults.event_type.as_deref())?,
        event_version: 1,
        severity: DEFAULT_SEVERITY.into(),
        environment: DEFAULT_ENVIRONMENT.into(),
        asset_id: None,
        correlation_id: None,
        parent_event_id: None,
        bare_id: None,
        trace_id: None,
        payload: Payload::Object(item),
        originals: FieldSet::default(),
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
                let place = at_byte(member.value.start);
                let message = format!("specversion {place} is \"{}\"; send CloudEvents 1.x", excerpt(version));
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
            return Err(empty_member(name, member));
        }
    }
    Ok(())
}

/// An item's text fields, read one after another.
struct Fields<'e, 'a> {
    envelope: &'e Envelope<'a>,
    tenant_id: &'a str,
    cloud_event: bool,
    fits: bool,
    originals: FieldSet,
}

impl<'a> Fields<'_, 'a> {
    /// A member's text. CloudEvents has numbers and booleans as attributes, and says how they are written.
    fn text(&self, field: Field, member: &Member) -> Result<&'a str, Rejection> {
        match member.kind {
            JsonType::Number | JsonType::Bool if self.cloud_event => Ok(self.envelope.raw(member.value)),
            _ => string(self.envelope, field, member),
        }
    }

    /// Text as its column takes it. What other protocols allow is not refused for its length.
    fn fit(&mut self, field: Field, text: &'a str) -> Result<Cow<'a, str>, Rejection> {
        match check_length(field, text, field.chars_max()) {
            Ok(()) => Ok(Cow::Borrowed(text)),
            Err(_) if self.fits => {
                self.originals.insert(field);
                Ok(Cow::Owned(shortened(text, field.chars_max())))
            }
            Err(rejection) => Err(rejection),
        }
    }

    /// Text that an event must have, from the item or by default.
    fn named(&mut self, field: Field, default: Option<&'a str>) -> Result<Cow<'a, str>, Rejection> {
        let Some(member) = self.envelope.member(field) else { return default_text(field, default).map(Cow::Borrowed) };
        match self.text(field, member)? {
            "" => Err(empty_member(field.name(), member)),
            text => self.fit(field, text),
        }
    }

    /// Text that an event may have; empty text is none.
    fn optional(&mut self, field: Field) -> Result<Option<Cow<'a, str>>, Rejection> {
        let Some(member) = self.envelope.member(field) else { return Ok(None) };
        match self.text(field, member)? {
            "" => Ok(None),
            text => self.fit(field, text).map(Some),
        }
    }

    /// What an id stands for by itself.
    fn id(&mut self, field: Field) -> Result<Option<Uuid>, Rejection> {
        let Some(member) = self.envelope.member(field) else { return Ok(None) };
        let text = self.text(field, member)?;
        if text.is_empty() {
            return Err(empty_member(field.name(), member));
        }
        if let Ok(uuid) = Uuid::try_parse(text) {
            return Ok(Some(uuid));
        }
        if !self.fits {
            check_length(field, text, field.chars_max())?;
        }
        self.originals.insert(field);
        Ok(Some(bare_id(self.tenant_id, text)))
    }

    /// The id of another event, for which empty text is none.
    fn id_of_another(&mut self, field: Field) -> Result<Option<Uuid>, Rejection> {
        if self.envelope.text(field) == Some("") { Ok(None) } else { self.id(field) }
    }

    /// The id of the event itself, by its source; none if it has not both.
    fn cloud_event_id(&self) -> Option<Uuid> {
        let (source, id) = (self.envelope.text(Field::SourceModule)?, self.envelope.text(Field::Id)?);
        Some(cloud_event_id(self.tenant_id, source, id))
    }
}

/// Text from the query string, which no scanner has seen.
fn default_text(field: Field, text: Option<&str>) -> Result<&str, Rejection> {
    let name = field.name();
    match text {
        None => Err(missing(name, &format!("send it in the event, or as ?{name}= in the query"))),
        Some("") => Err(empty(name)),
        Some(text) if text.contains('\0') => {
            Err(Rejection::validate(Code::FieldNul, format!("?{name}= holds a NUL character; remove it")))
        }
        Some(text) => check_length(field, text, field.chars_max()).map(|()| text),
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
        let place = at_byte(member.value.start);
        let message = format!("event_version {place} is {}; send {expected}", excerpt(number));
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
