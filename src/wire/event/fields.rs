//! The names by which an event's fields are known.

use crate::limits::{
    ASSET_ID_CHARS_MAX, ENVIRONMENT_CHARS_MAX, EVENT_TYPE_CHARS_MAX, FOREIGN_ID_CHARS_MAX, SEVERITY_CHARS_MAX,
    SOURCE_MODULE_CHARS_MAX, STREAM_CHARS_MAX, TRACE_ID_CHARS_MAX,
};
use crate::wire::item::Code;
use crate::wire::item::envelope::{SLOTS_MAX, TEXTS_MAX};
use crate::wire::item::scan::{self, JsonType};

pub(super) type Envelope<'a> = crate::wire::item::envelope::Envelope<'a, Field>;
pub(super) type Member = scan::Member<Field>;

/// The list that the scanner notes members of `context` in, and that of `metadata`.
pub(super) const CONTEXT: usize = 0;
pub(super) const METADATA: usize = 1;

/// What a top-level member of an item is. The order is that of [`Field::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    EventType,
    SourceModule,
    Timestamp,
    Id,
    EventVersion,
    Severity,
    Environment,
    Stream,
    AssetId,
    CorrelationId,
    ParentEventId,
    TraceId,
    TenantId,
    SpecVersion,
    Payload,
    DataBase64,
    Metadata,
    Context,
    /// No field; kept as it is.
    Unknown,
    /// No field either, but inside metadata the name of a member that the server writes.
    ServerOwned,
}

impl Field {
    /// How many fields there are: all before `Unknown`.
    pub(super) const COUNT: usize = Self::Unknown as usize;

    const NAMES: [&'static str; Self::COUNT] = [
        "event_type",
        "source_module",
        "timestamp",
        "id",
        "event_version",
        "severity",
        "environment",
        "stream",
        "asset_id",
        "correlation_id",
        "parent_event_id",
        "trace_id",
        "tenant_id",
        "specversion",
        "payload",
        "data_base64",
        "metadata",
        "context",
    ];

    /// The field of a canonical name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (field, rank) = lookup(name.as_bytes());
        (rank == 0 && (field as usize) < Self::COUNT).then_some(field)
    }

    /// Most characters of its text.
    pub(super) const fn chars_max(self) -> usize {
        match self {
            Self::EventType => EVENT_TYPE_CHARS_MAX,
            Self::SourceModule => SOURCE_MODULE_CHARS_MAX,
            Self::Id | Self::CorrelationId | Self::ParentEventId => FOREIGN_ID_CHARS_MAX,
            Self::Severity => SEVERITY_CHARS_MAX,
            Self::Environment => ENVIRONMENT_CHARS_MAX,
            Self::Stream => STREAM_CHARS_MAX,
            Self::AssetId => ASSET_ID_CHARS_MAX,
            Self::TraceId => TRACE_ID_CHARS_MAX,
            Self::Timestamp
            | Self::EventVersion
            | Self::TenantId
            | Self::SpecVersion
            | Self::Payload
            | Self::DataBase64
            | Self::Metadata
            | Self::Context
            | Self::Unknown
            | Self::ServerOwned => usize::MAX,
        }
    }
}

/// The fields whose columns may hold something else than was sent, and what metadata calls what was sent.
pub(super) const ORIGINALS: [(Field, &str); 10] = [
    (Field::EventType, "original_event_type"),
    (Field::SourceModule, "original_source_module"),
    (Field::Id, "original_id"),
    (Field::Severity, "original_severity"),
    (Field::Environment, "original_environment"),
    (Field::Stream, "original_stream"),
    (Field::AssetId, "original_asset_id"),
    (Field::CorrelationId, "original_correlation_id"),
    (Field::ParentEventId, "original_parent_event_id"),
    (Field::TraceId, "original_trace_id"),
];

/// Which fields, as a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FieldSet(u32);

impl FieldSet {
    pub(super) fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u32;
    }

    pub(super) fn contains(self, field: Field) -> bool {
        self.0 & (1 << field as u32) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Of several names of a field the one with the lowest rank counts. In a CloudEvent its own attributes do, whatever
/// extensions are called.
pub(super) fn cloud_event_rank(field: Field, rank: u8) -> u8 {
    match (field, rank) {
        (Field::EventType | Field::SourceModule | Field::Payload, 1) | (Field::Timestamp, 2) => 0,
        _ => rank + 1,
    }
}

impl scan::Field for Field {
    const UNKNOWN: Self = Self::Unknown;
    const SCALARS: usize = Self::Payload as usize;

    #[inline]
    fn lookup(name: &[u8]) -> (Self, u8) {
        lookup(name)
    }

    #[inline]
    fn position(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).copied().unwrap_or("unknown")
    }

    #[inline]
    fn nest(self) -> Option<usize> {
        match self {
            Self::Context => Some(CONTEXT),
            Self::Metadata => Some(METADATA),
            _ => None,
        }
    }

    fn nul_code(self) -> Code {
        match self {
            Self::Payload | Self::DataBase64 => Code::PayloadNul,
            Self::Metadata | Self::Context | Self::Unknown | Self::ServerOwned => Code::MetadataNul,
            _ => Code::FieldNul,
        }
    }

    #[inline]
    fn is_read_nested(self) -> bool {
        matches!(self, Self::AssetId | Self::CorrelationId | Self::ParentEventId | Self::TraceId)
    }

    #[inline]
    fn may_be(self, kind: JsonType) -> bool {
        self != Self::Context || kind == JsonType::Object
    }
}

const _: () = assert!(Field::COUNT <= SLOTS_MAX && <Field as scan::Field>::SCALARS <= TEXTS_MAX);

/// By length first: most names differ in it.
#[inline]
fn lookup(name: &[u8]) -> (Field, u8) {
    match (name.len(), name) {
        (2, b"id") => (Field::Id, 0),
        (4, b"type") => (Field::EventType, 1),
        (4, b"data") => (Field::Payload, 1),
        (4, b"time") => (Field::Timestamp, 2),
        (6, b"stream") => (Field::Stream, 0),
        (6, b"source") => (Field::SourceModule, 1),
        (7, b"payload") => (Field::Payload, 0),
        (7, b"context") => (Field::Context, 0),
        (8, b"asset_id") => (Field::AssetId, 0),
        (8, b"metadata") => (Field::Metadata, 0),
        (8, b"severity") => (Field::Severity, 0),
        (8, b"trace_id") => (Field::TraceId, 0),
        (8, b"event_id") => (Field::Id, 1),
        (9, b"timestamp") => (Field::Timestamp, 0),
        (9, b"tenant_id") => (Field::TenantId, 0),
        (10, b"event_type") => (Field::EventType, 0),
        (11, b"environment") => (Field::Environment, 0),
        (11, b"occurred_at") => (Field::Timestamp, 1),
        (11, b"stream_name") => (Field::Stream, 1),
        (11, b"specversion") => (Field::SpecVersion, 0),
        (11, b"data_base64") => (Field::DataBase64, 0),
        (13, b"source_module") => (Field::SourceModule, 0),
        (13, b"event_version") => (Field::EventVersion, 0),
        (14, b"correlation_id") => (Field::CorrelationId, 0),
        (15, b"parent_event_id") => (Field::ParentEventId, 0),
        (
            _,
            b"api_key_id"
            | b"receipt"
            | b"received_at"
            | b"extra"
            | b"original_event_type"
            | b"original_source_module"
            | b"original_id"
            | b"original_severity"
            | b"original_environment"
            | b"original_stream"
            | b"original_asset_id"
            | b"original_correlation_id"
            | b"original_parent_event_id"
            | b"original_trace_id",
        ) => (Field::ServerOwned, 0),
        _ => (Field::Unknown, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::item::scan::Field as _;

    #[test]
    fn every_field_is_found_by_its_canonical_name() {
        for (position, name) in Field::NAMES.iter().enumerate() {
            let (field, rank) = lookup(name.as_bytes());
            assert_eq!((field as usize, rank, field.name()), (position, 0, *name));
        }
        assert_eq!(lookup(b"Event_Type").0, Field::Unknown);
    }

    #[test]
    fn originals_are_called_by_their_column_and_are_the_servers() {
        for (field, name) in ORIGINALS {
            assert_eq!((name, lookup(name.as_bytes()).0), (&*format!("original_{}", field.name()), Field::ServerOwned));
        }
    }

    #[test]
    fn the_attributes_of_a_cloud_event_count_before_all_other_names() {
        for (own, others) in [
            ("source", &["source_module"][..]),
            ("type", &["event_type"]),
            ("time", &["timestamp", "occurred_at"]),
            ("data", &["payload"]),
            ("id", &["event_id"]),
        ] {
            let rank = |name: &str| {
                let (field, rank) = lookup(name.as_bytes());
                (field, cloud_event_rank(field, rank))
            };
            assert!(others.iter().all(|other| rank(other).0 == rank(own).0 && rank(other).1 > rank(own).1), "{own}");
        }
    }
}
