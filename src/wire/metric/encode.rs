//! A valid metric to one COPY tuple, or one for each of its values, appended to the caller's buffer. Dimensions and
//! unknown fields are copied as they were sent.

use super::fields::{DIMENSIONS, EXTRA, Envelope, Field, Member};
use super::measure::{Measure, Summary};
use super::validate::ValidMetric;
use crate::wire::item::object::Object;
use crate::wire::item::pgcopy::{
    column_count, put_f64, put_f64_or_null, put_head, put_i64, put_json, put_null, put_text, put_uuid,
};
use crate::wire::item::scan::JsonType;
use crate::wire::item::{ItemContext, StoredJson};

/// The columns of a tuple, in the order of [`encode`], for `COPY metrics (...) FROM STDIN (FORMAT binary)`.
pub const COPY_COLUMNS: &str = "batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, \
series_id, value_count, value_sum, value_min, value_max, value_m2, dimensions";
pub const COPY_COLUMN_COUNT: i16 = column_count(COPY_COLUMNS);

/// Appends the metric's first tuple; returns where `value_sum` is in it, for [`repeat`].
pub(super) fn encode(metric: &ValidMetric<'_>, first: f64, origin: &ItemContext<'_>, out: &mut Vec<u8>) -> usize {
    let raw = |value| Summary { count: 1, sum: value, min: 0.0, max: 0.0, m2: None };
    let (row, bounds, m2) = match metric.measure {
        Measure::Sample(value) => (raw(value), None, None),
        Measure::Samples => (raw(first), None, None),
        Measure::Summary(summary) => (summary, Some((summary.min, summary.max)), summary.m2),
    };
    put_head(out, COPY_COLUMN_COUNT, metric.timestamp_us, origin.received_at_us);
    put_text(out, origin.tenant_id);
    put_text(out, metric.asset_id);
    put_text(out, metric.metric_type);
    put_text(out, metric.metric_name);
    put_uuid(out, metric.series_id);
    put_i64(out, row.count);
    put_f64(out, row.sum);
    let value_at = out.len() - size_of::<f64>();
    put_f64_or_null(out, bounds.map(|(min, _)| min));
    put_f64_or_null(out, bounds.map(|(_, max)| max));
    put_f64_or_null(out, m2);
    put_dimensions(&metric.envelope, out);
    value_at
}

/// Appends the tuple at `start` once more, with another value.
pub(super) fn repeat(out: &mut Vec<u8>, start: usize, length: usize, value_at: usize, value: f64) {
    let copy = out.len();
    out.extend_from_within(start..start + length);
    let at = copy + (value_at - start);
    out[at..at + size_of::<f64>()].copy_from_slice(&value.to_be_bytes());
}

/// Unknown fields are kept in `extra`, which is Tidegate's own name in what is stored: a dimension that was sent under it goes
/// in there, where anything else could be taken for it.
fn put_dimensions(envelope: &Envelope<'_>, out: &mut Vec<u8>) {
    let is_extra = |member: &&Member| matches!(member.field, Field::Unknown | Field::Extra) || envelope.loses(member);
    let mut extras = envelope.members().iter().filter(is_extra).peekable();
    let is_taken_for_extra = |member: &Member| member.field == Field::Extra && member.kind == JsonType::Object;
    let is_as_sent = extras.peek().is_none() && !envelope.nested(DIMENSIONS).iter().any(is_taken_for_extra);
    match envelope.member(Field::Dimensions) {
        Some(member) if is_as_sent => {
            put_json(out, StoredJson::Jsonb, |out| out.extend_from_slice(envelope.raw(member.value).as_bytes()))
        }
        None if is_as_sent => put_null(out),
        _ => put_extended(envelope, extras, out),
    }
}

fn put_extended<'a>(envelope: &Envelope<'a>, extras: impl Iterator<Item = &'a Member>, out: &mut Vec<u8>) {
    put_json(out, StoredJson::Jsonb, |out| {
        let mut object = Object::open(out);
        let (displaced, kept): (Vec<&Member>, Vec<&Member>) =
            envelope.nested(DIMENSIONS).iter().partition(|member| member.field == Field::Extra);
        kept.into_iter().for_each(|member| object.copy(envelope, member));
        object.key(EXTRA);
        let mut extra = Object::open(object.out);
        extras.for_each(|member| extra.copy(envelope, member));
        if !displaced.is_empty() {
            extra.key("dimensions");
            let mut nested = Object::open(extra.out);
            displaced.into_iter().for_each(|member| nested.copy(envelope, member));
            nested.close();
        }
        extra.close();
        object.close();
    });
}
