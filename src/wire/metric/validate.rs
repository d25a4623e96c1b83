//! The rules for metrics. [`ValidMetric`] can only be made here, so what is encoded has passed them.

use uuid::Uuid;

use super::fields::{Envelope, Field};
use super::measure::{Measure, measure};
use super::series::SeriesIds;
use crate::limits::{ASSET_ID_CHARS_MAX, METRIC_NAME_CHARS_MAX, METRIC_TYPE_CHARS_MAX};
use crate::wire::item::check::{
    check_length, check_tenant, empty_member, missing, optional, string, timestamp, wrong_type,
};
use crate::wire::item::scan::{Field as _, JsonType};
use crate::wire::item::{ItemContext, Rejection};

const RETENTION: &str = "raise retention.metrics to take older samples (until a day before it), and the organization's own where it has one, which can only be shorter (tidegate orgs retention)";

const DEFAULT_TYPE: &str = "gauge";

/// A metric that may be stored. Fields are in the order of the columns.
pub(super) struct ValidMetric<'a> {
    pub timestamp_us: i64,
    pub asset_id: &'a str,
    pub metric_type: &'a str,
    pub metric_name: &'a str,
    pub series_id: Uuid,
    pub measure: Measure,
    pub envelope: Envelope<'a>,
    /// Only this module makes metrics.
    _proof: (),
}

/// Checks an item's envelope against the rules; `samples` is filled with its `values`.
pub(super) fn validate<'a>(
    envelope: Envelope<'a>,
    origin: &ItemContext<'_>,
    samples: &mut Vec<f64>,
    series: &mut SeriesIds,
) -> Result<ValidMetric<'a>, Rejection> {
    check_tenant(&envelope, Field::TenantId, origin.tenant_id)?;
    let asset_id = required(&envelope, Field::AssetId, ASSET_ID_CHARS_MAX)?;
    let metric_name = required(&envelope, Field::MetricName, METRIC_NAME_CHARS_MAX)?;
    let metric_type = optional(&envelope, Field::MetricType, METRIC_TYPE_CHARS_MAX)?.unwrap_or(DEFAULT_TYPE);
    let timestamp_us = timestamp(&envelope, Field::Timestamp, origin, RETENTION)?;
    let dimensions = envelope.member(Field::Dimensions);
    if let Some(member) = dimensions.filter(|member| member.kind != JsonType::Object) {
        return Err(wrong_type(Field::Dimensions, member, "an object"));
    }
    let measure = measure(&envelope, samples)?;
    let series_id = series.of(dimensions.map(|member| envelope.raw(member.value)));
    Ok(ValidMetric { timestamp_us, asset_id, metric_type, metric_name, series_id, measure, envelope, _proof: () })
}

fn required<'a>(envelope: &Envelope<'a>, field: Field, chars_max: usize) -> Result<&'a str, Rejection> {
    let member = envelope.member(field).ok_or_else(|| missing(field.name(), "send it with each sample"))?;
    let text = string(envelope, field, member)?;
    if text.is_empty() {
        return Err(empty_member(field.name(), member));
    }
    check_length(field, text, chars_max)?;
    Ok(text)
}
