//! Encoded rows read back, as far as the writers must know of which series they are.

use uuid::Uuid;

use crate::wire::item::pgcopy::Fields;

/// The columns before those of a series: `batch_id, batch_seq, timestamp, created_at`.
const BEFORE: usize = 4;
/// `tenant_id, asset_id, metric_type, metric_name, series_id`.
const OF_KEY: usize = 5;
/// `value_count, value_sum, value_min, value_max, value_m2`.
const OF_VALUE: usize = 5;

/// The series of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series<'a> {
    pub tenant_id: &'a str,
    pub asset_id: &'a str,
    pub metric_type: &'a str,
    pub metric_name: &'a str,
    pub series_id: Uuid,
    /// As they are stored.
    pub dimensions: Option<&'a str>,
}

/// The bytes of a tuple that name its series, each with its length.
pub fn series_key(tuple: &[u8]) -> &[u8] {
    let mut fields = Fields::of(tuple);
    fields.skip(BEFORE);
    let start = fields.at();
    fields.skip(OF_KEY);
    &tuple[start..fields.at()]
}

pub fn series(tuple: &[u8]) -> Series<'_> {
    let mut fields = Fields::of(tuple);
    fields.skip(BEFORE);
    let [tenant_id, asset_id, metric_type, metric_name] = [(); 4].map(|()| fields.text().unwrap_or_default());
    let series_id = fields.bytes().and_then(|bytes| Uuid::from_slice(bytes).ok()).unwrap_or_default();
    fields.skip(OF_VALUE);
    Series { tenant_id, asset_id, metric_type, metric_name, series_id, dimensions: fields.jsonb() }
}
