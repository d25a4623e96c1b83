//! The messages of OTLP, by the names that their fields have in JSON (opentelemetry-proto 1.9).

use super::super::answer::Signal;

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    /// Bytes, in base64.
    Base64,
    /// Bytes, in hex: ids of traces and spans.
    Hex,
    Bool,
    /// int64, int32, uint64 or uint32.
    Int,
    Fixed64,
    Fixed32,
    Double,
    /// A number, or one of these names, whose place is its number.
    Enum(&'static [&'static str]),
    Message(&'static Schema),
    /// A message that becomes an item.
    Record(&'static Schema),
}

impl Kind {
    pub fn is_called(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Base64 => "base64",
            Self::Hex => "an id in hex",
            Self::Bool => "a boolean",
            Self::Int | Self::Fixed64 | Self::Fixed32 => "a whole number",
            Self::Double => "a number",
            Self::Enum(_) => "the number of an enum's value",
            Self::Message(_) | Self::Record(_) => "an object",
        }
    }
}

pub struct Field {
    /// In lowerCamelCase.
    pub name: &'static str,
    /// As in the .proto file. OTLP has no use for it, and some senders have.
    original: &'static str,
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
}

/// The fields of a message.
pub struct Schema(&'static [Field]);

impl Schema {
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.0.iter().find(|field| field.name == name || field.original == name)
    }

    /// The request of a signal.
    pub fn of(signal: Signal) -> Option<&'static Self> {
        match signal {
            Signal::Logs => Some(&LOGS),
            Signal::Traces => Some(&TRACES),
            Signal::Metrics => None,
        }
    }
}

const fn one(number: u32, name: &'static str, original: &'static str, kind: Kind) -> Field {
    Field { name, original, number, kind, repeated: false }
}

const fn many(number: u32, name: &'static str, original: &'static str, kind: Kind) -> Field {
    Field { name, original, number, kind, repeated: true }
}

static ANY_VALUE: Schema = Schema(&[
    one(1, "stringValue", "string_value", Kind::Text),
    one(3, "intValue", "int_value", Kind::Int),
    one(2, "boolValue", "bool_value", Kind::Bool),
    one(4, "doubleValue", "double_value", Kind::Double),
    one(5, "arrayValue", "array_value", Kind::Message(&ARRAY_VALUE)),
    one(6, "kvlistValue", "kvlist_value", Kind::Message(&KEY_VALUE_LIST)),
    one(7, "bytesValue", "bytes_value", Kind::Base64),
]);

static ARRAY_VALUE: Schema = Schema(&[many(1, "values", "values", Kind::Message(&ANY_VALUE))]);

static KEY_VALUE_LIST: Schema = Schema(&[many(1, "values", "values", Kind::Message(&KEY_VALUE))]);

static KEY_VALUE: Schema =
    Schema(&[one(1, "key", "key", Kind::Text), one(2, "value", "value", Kind::Message(&ANY_VALUE))]);

static ENTITY_REF: Schema = Schema(&[
    one(1, "schemaUrl", "schema_url", Kind::Text),
    one(2, "type", "type", Kind::Text),
    many(3, "idKeys", "id_keys", Kind::Text),
    many(4, "descriptionKeys", "description_keys", Kind::Text),
]);

static RESOURCE: Schema = Schema(&[
    many(1, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
    one(2, "droppedAttributesCount", "dropped_attributes_count", Kind::Int),
    many(3, "entityRefs", "entity_refs", Kind::Message(&ENTITY_REF)),
]);

static SCOPE: Schema = Schema(&[
    one(1, "name", "name", Kind::Text),
    one(2, "version", "version", Kind::Text),
    many(3, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", "dropped_attributes_count", Kind::Int),
]);

static LOGS: Schema = Schema(&[many(1, "resourceLogs", "resource_logs", Kind::Message(&RESOURCE_LOGS))]);

static RESOURCE_LOGS: Schema = Schema(&[
    one(1, "resource", "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeLogs", "scope_logs", Kind::Message(&SCOPE_LOGS)),
    one(3, "schemaUrl", "schema_url", Kind::Text),
]);

static SCOPE_LOGS: Schema = Schema(&[
    one(1, "scope", "scope", Kind::Message(&SCOPE)),
    many(2, "logRecords", "log_records", Kind::Record(&LOG_RECORD)),
    one(3, "schemaUrl", "schema_url", Kind::Text),
]);

static LOG_RECORD: Schema = Schema(&[
    one(1, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
    one(11, "observedTimeUnixNano", "observed_time_unix_nano", Kind::Fixed64),
    one(2, "severityNumber", "severity_number", Kind::Enum(&SEVERITY_NUMBERS)),
    one(3, "severityText", "severity_text", Kind::Text),
    one(5, "body", "body", Kind::Message(&ANY_VALUE)),
    many(6, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
    one(7, "droppedAttributesCount", "dropped_attributes_count", Kind::Int),
    one(8, "flags", "flags", Kind::Fixed32),
    one(9, "traceId", "trace_id", Kind::Hex),
    one(10, "spanId", "span_id", Kind::Hex),
    one(12, "eventName", "event_name", Kind::Text),
]);

#[rustfmt::skip]
const SEVERITY_NUMBERS: [&str; 25] = [
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE", "SEVERITY_NUMBER_TRACE2", "SEVERITY_NUMBER_TRACE3", "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG", "SEVERITY_NUMBER_DEBUG2", "SEVERITY_NUMBER_DEBUG3", "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO", "SEVERITY_NUMBER_INFO2", "SEVERITY_NUMBER_INFO3", "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN", "SEVERITY_NUMBER_WARN2", "SEVERITY_NUMBER_WARN3", "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR", "SEVERITY_NUMBER_ERROR2", "SEVERITY_NUMBER_ERROR3", "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL", "SEVERITY_NUMBER_FATAL2", "SEVERITY_NUMBER_FATAL3", "SEVERITY_NUMBER_FATAL4",
];

static TRACES: Schema = Schema(&[many(1, "resourceSpans", "resource_spans", Kind::Message(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Schema = Schema(&[
    one(1, "resource", "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeSpans", "scope_spans", Kind::Message(&SCOPE_SPANS)),
    one(3, "schemaUrl", "schema_url", Kind::Text),
]);

static SCOPE_SPANS: Schema = Schema(&[
    one(1, "scope", "scope", Kind::Message(&SCOPE)),
    many(2, "spans", "spans", Kind::Record(&SPAN)),
    one(3, "schemaUrl", "schema_url", Kind::Text),
]);

static SPAN: Schema = Schema(&[
    one(1, "traceId", "trace_id", Kind::Hex),
    one(2, "spanId", "span_id", Kind::Hex),
    one(3, "traceState", "trace_state", Kind::Text),
    one(4, "parentSpanId", "parent_span_id", Kind::Hex),
    one(16, "flags", "flags", Kind::Fixed32),
    one(5, "name", "name", Kind::Text),
    one(6, "kind", "kind", Kind::Enum(&SPAN_KINDS)),
    one(7, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64),
    one(8, "endTimeUnixNano", "end_time_unix_nano", Kind::Fixed64),
    many(9, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
    one(10, "droppedAttributesCount", "dropped_attributes_count", Kind::Int),
    many(11, "events", "events", Kind::Message(&EVENT)),
    one(12, "droppedEventsCount", "dropped_events_count", Kind::Int),
    many(13, "links", "links", Kind::Message(&LINK)),
    one(14, "droppedLinksCount", "dropped_links_count", Kind::Int),
    one(15, "status", "status", Kind::Message(&STATUS)),
]);

const SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

static EVENT: Schema = Schema(&[
    one(1, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
    one(2, "name", "name", Kind::Text),
    many(3, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", "dropped_attributes_count", Kind::Int),
]);

static LINK: Schema = Schema(&[
    one(1, "traceId", "trace_id", Kind::Hex),
    one(2, "spanId", "span_id", Kind::Hex),
    one(3, "traceState", "trace_state", Kind::Text),
    many(4, "attributes", "attributes", Kind::Message(&KEY_VALUE)),
    one(5, "droppedAttributesCount", "dropped_attributes_count", Kind::Int),
    one(6, "flags", "flags", Kind::Fixed32),
]);

static STATUS: Schema = Schema(&[
    one(2, "message", "message", Kind::Text),
    one(3, "code", "code", Kind::Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"])),
]);
