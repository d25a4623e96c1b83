//! The names by which a metric's fields are known.

use crate::wire::item::Code;
use crate::wire::item::envelope::{SLOTS_MAX, TEXTS_MAX};
use crate::wire::item::scan;

pub(super) type Envelope<'a> = crate::wire::item::envelope::Envelope<'a, Field>;
pub(super) type Member = scan::Member<Field>;

/// The list that the scanner notes members of `dimensions` in.
pub(super) const DIMENSIONS: usize = 0;

/// Where dimensions keep what no column takes.
pub(super) const EXTRA: &str = "extra";

/// What a top-level member of an item is. The order is that of [`Field::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Timestamp,
    AssetId,
    MetricType,
    MetricName,
    TenantId,
    Value,
    Count,
    Sum,
    Min,
    Max,
    Sumsq,
    Stddev,
    Values,
    Dimensions,
    /// No field; kept as it is.
    Unknown = SLOTS_MAX.cast_signed(),
    /// No field either, but inside dimensions the name of a member that the server writes.
    Extra,
}

impl Field {
    /// How many fields there are: all before `Unknown`.
    const COUNT: usize = Self::Dimensions as usize + 1;

    const NAMES: [&'static str; Self::COUNT] = [
        "timestamp",
        "asset_id",
        "metric_type",
        "metric_name",
        "tenant_id",
        "value",
        "count",
        "sum",
        "min",
        "max",
        "sumsq",
        "stddev",
        "values",
        "dimensions",
    ];
}

impl scan::Field for Field {
    const UNKNOWN: Self = Self::Unknown;
    const SCALARS: usize = Self::Values as usize;

    /// By length first: most names differ in it.
    #[inline]
    fn lookup(name: &[u8]) -> (Self, u8) {
        match (name.len(), name) {
            (3, b"sum") => (Self::Sum, 0),
            (3, b"min") => (Self::Min, 0),
            (3, b"max") => (Self::Max, 0),
            (4, b"name") => (Self::MetricName, 1),
            (4, b"type") => (Self::MetricType, 1),
            (4, b"time") => (Self::Timestamp, 2),
            (5, b"value") => (Self::Value, 0),
            (5, b"count") => (Self::Count, 0),
            (5, b"sumsq") => (Self::Sumsq, 0),
            (5, b"extra") => (Self::Extra, 0),
            (6, b"values") => (Self::Values, 0),
            (6, b"stddev") => (Self::Stddev, 0),
            (8, b"asset_id") => (Self::AssetId, 0),
            (9, b"timestamp") => (Self::Timestamp, 0),
            (9, b"tenant_id") => (Self::TenantId, 0),
            (10, b"dimensions") => (Self::Dimensions, 0),
            (11, b"metric_name") => (Self::MetricName, 0),
            (11, b"metric_type") => (Self::MetricType, 0),
            (11, b"occurred_at") => (Self::Timestamp, 1),
            _ => (Self::Unknown, 0),
        }
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
        (self == Self::Dimensions).then_some(DIMENSIONS)
    }

    fn nul_code(self) -> Code {
        match self {
            Self::Dimensions | Self::Unknown | Self::Extra => Code::MetadataNul,
            _ => Code::FieldNul,
        }
    }
}

const _: () = assert!(Field::COUNT <= SLOTS_MAX && <Field as scan::Field>::SCALARS <= TEXTS_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::item::scan::Field as _;

    #[test]
    fn every_field_is_found_by_its_canonical_name() {
        for (position, name) in Field::NAMES.iter().enumerate() {
            let (field, rank) = Field::lookup(name.as_bytes());
            assert_eq!((field.position(), rank, field.name()), (position, 0, *name));
        }
        assert_eq!(Field::lookup(b"Value").0, Field::Unknown);
    }
}
