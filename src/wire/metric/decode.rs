//! The decoder of metrics: what makes an item one row or several, and the buffers that requests share.

use uuid::Uuid;

use super::encode::{encode, repeat};
use super::fields::Field;
use super::measure::Measure;
use super::series::SeriesIds;
use super::validate::validate;
use crate::limits::METRIC_VALUES_BYTES_MAX;
use crate::wire::item::decode::{Accepted, Items, decode, span};
use crate::wire::item::envelope::{Envelope, Scratch};
use crate::wire::item::scan::{Scanner, Shape};
use crate::wire::item::space::space;
use crate::wire::item::{BodyError, BodyForm, Code, Decoded, ItemContext, Rejection, RowRef, Rows};

const STREAM: &str = "metrics";

/// Decodes request bodies. Holds scratch buffers only: one is kept per thread and used for one body after another.
pub struct Decoder {
    scanner: Scanner<Field>,
    scratch: Scratch,
    samples: Vec<f64>,
    series: SeriesIds,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    pub fn new() -> Self {
        Self { scanner: Scanner::new(), scratch: Scratch::new(), samples: Vec::new(), series: SeriesIds::default() }
    }

    /// Decodes, validates and encodes a body. A bad item is among the rejected ones and costs no other.
    pub fn decode(&mut self, body: &[u8], form: BodyForm, origin: &ItemContext<'_>) -> Result<Decoded, BodyError> {
        let Self { scanner, scratch, samples, series } = self;
        let mut request = Body { origin, scratch, samples, series, repeated_bytes: 0 };
        let mut decoded = decode(body, form, Shape::Envelope, origin, scanner, &mut request)?;
        if !decoded.rows.rows.is_empty() {
            decoded.rows.streams.push(STREAM.to_owned());
        }
        Ok(decoded)
    }
}

/// What the metrics of a body share.
struct Body<'b> {
    origin: &'b ItemContext<'b>,
    scratch: &'b mut Scratch,
    samples: &'b mut Vec<f64>,
    series: &'b mut SeriesIds,
    /// Bytes of rows made of `values` so far.
    repeated_bytes: usize,
}

impl Items<Field> for Body<'_> {
    const BYTES_USUAL: usize = 128;
    const ROW_OVERHEAD_BYTES: usize = 128;

    fn take(&mut self, scanner: &Scanner<Field>, item: Accepted<'_>, rows: &mut Rows) -> Result<(), Rejection> {
        let envelope = Envelope::read(item.text, scanner, self.scratch, |_, rank| rank)?;
        let metric = validate(envelope, self.origin, self.samples, self.series)?;
        let samples = if metric.measure == Measure::Samples { &self.samples[..] } else { &[] };
        let start = rows.bytes.len();
        let value_at = encode(&metric, samples.first().copied().unwrap_or(0.0), self.origin, &mut rows.bytes);
        let length = rows.bytes.len() - start;
        let repeated = length * samples.len();
        if self.repeated_bytes + repeated > METRIC_VALUES_BYTES_MAX {
            rows.bytes.truncate(start);
            let message = format!(
                "its {} values make {repeated} bytes of rows, each with its names and dimensions, and those of a request may \
                 make {METRIC_VALUES_BYTES_MAX}; send fewer values in a request, or smaller dimensions",
                samples.len()
            );
            return Err(Rejection::validate(Code::ItemTooLarge, message));
        }
        self.repeated_bytes += repeated;
        for &value in samples.iter().skip(1) {
            repeat(&mut rows.bytes, start, length, value_at, value);
        }
        let space = space(metric.asset_id);
        for n in 0..samples.len().max(1) {
            rows.rows.push(RowRef {
                bytes: span(start + n * length, start + (n + 1) * length),
                timestamp_us: metric.timestamp_us,
                item: item.index,
                raw: item.raw.clone(),
                stream: 0,
                space,
                id: Uuid::nil(),
                projections: 0,
            });
        }
        Ok(())
    }

    fn id(&self, _scanner: &Scanner<Field>, _item: &[u8]) -> Option<Uuid> {
        None
    }
}
