//! The data set's rows as binary COPY streams, made without JSON: what an event says besides its ids, asset and times is of
//! one of many templates that the generator made and the product's own decoder encoded.

use std::io::Write;

use bytes::Bytes;
use tidegate::load::Generator;
use tidegate::wire::event::COPY_COLUMN_COUNT;
use tidegate::wire::item::pgcopy::{COPY_HEADER, COPY_TRAILER};
use uuid::Uuid;

use super::bodies::templates;
use super::dataset::{Dataset, asset_name, below};
use super::rows::batches;
use super::tuple_json::POSTGRES_EPOCH_US;
use super::{ASSETS, BATCH_ROWS, Result, SEED};

/// Columns of a raw sample; the others are null.
pub const SAMPLE_COLUMNS: &str =
    "batch_id, batch_seq, timestamp, created_at, tenant_id, asset_id, metric_type, metric_name, value_count, value_sum";
const SAMPLE_COLUMN_COUNT: i16 = 10;
/// Distinct events of the generator: so many that the thousand of a segment hardly repeat each other.
const TEMPLATES: u64 = 65_536;
/// Where COPY_COLUMNS has stream to environment, trace_id, and payload.
const ENVELOPE: std::ops::Range<usize> = 6..12;
const TRACE_ID: usize = 15;
const PAYLOAD: usize = 16;

/// What is the same in all events of a template.
struct Shape {
    /// Fields from stream to environment, with their lengths.
    envelope: Vec<u8>,
    has_trace: bool,
    payload: Bytes,
}

/// Encodes the rows of a data set.
pub struct Tuples {
    dataset: Dataset,
    shapes: Vec<Shape>,
    /// The assets' names, by tenant and number.
    names: Vec<Vec<String>>,
    tenants: Vec<String>,
    api_key: Uuid,
}

impl Tuples {
    /// Makes the templates; `tenants` are the names of the data set's tenants.
    pub fn new(dataset: Dataset, tenants: &[String]) -> Result<Self> {
        let made = templates(&Generator { seed: SEED, assets: ASSETS }, TEMPLATES / BATCH_ROWS + 1, BATCH_ROWS);
        let mut shapes = Vec::new();
        for batch in batches(&made, &tenants[..1])? {
            for row in batch.fields().chunks(usize::from(COPY_COLUMN_COUNT.unsigned_abs())) {
                let mut envelope = Vec::new();
                row[ENVELOPE].iter().for_each(|field| put(&mut envelope, field.as_deref()));
                let payload = row[PAYLOAD].clone().ok_or("an event without payload")?;
                shapes.push(Shape { envelope, has_trace: row[TRACE_ID].is_some(), payload });
            }
        }
        let names = |tenant| (0..dataset.assets).map(|asset| asset_name(tenant, asset)).collect();
        Ok(Self {
            dataset,
            shapes,
            names: (0..dataset.tenants).map(names).collect(),
            tenants: tenants.to_owned(),
            api_key: Uuid::now_v7(),
        })
    }

    /// The stream of these events of a tenant: one batch, as of one request.
    pub fn events(&self, tenant: usize, numbers: std::ops::Range<u64>, batch_id: i64) -> Bytes {
        let mut out = COPY_HEADER.to_vec();
        let received_us = self.dataset.events.at_us(numbers.end);
        let metadata = self.metadata(received_us);
        for (number, seq) in numbers.zip(0i32..) {
            let event = self.dataset.event(tenant, number);
            let shape = &self.shapes[below(event.random, u32::try_from(self.shapes.len()).expect("few")) as usize];
            begin(&mut out, COPY_COLUMN_COUNT, (batch_id, seq), event.at_us, received_us);
            put(&mut out, Some(event.id.as_bytes()));
            put(&mut out, Some(self.tenants[tenant].as_bytes()));
            out.extend_from_slice(&shape.envelope);
            put(&mut out, Some(self.names[tenant][event.asset as usize].as_bytes()));
            put(&mut out, event.correlation.as_ref().map(|id| &id.as_bytes()[..]));
            put(&mut out, event.parent.as_ref().map(|id| &id.as_bytes()[..]));
            let trace = shape.has_trace.then(|| hex(event.random, number));
            put(&mut out, trace.as_ref().map(|text| &text[..]));
            put(&mut out, Some(&shape.payload));
            put(&mut out, Some(&metadata));
        }
        out.extend_from_slice(&COPY_TRAILER);
        out.into()
    }

    /// The stream of these samples of a tenant.
    pub fn samples(&self, tenant: usize, numbers: std::ops::Range<u64>, batch_id: i64) -> Bytes {
        let mut out = COPY_HEADER.to_vec();
        let received_us = self.dataset.samples.at_us(numbers.end);
        for (number, seq) in numbers.zip(0i32..) {
            let sample = self.dataset.sample(tenant, number);
            begin(&mut out, SAMPLE_COLUMN_COUNT, (batch_id, seq), sample.at_us, received_us);
            put(&mut out, Some(self.tenants[tenant].as_bytes()));
            put(&mut out, Some(self.names[tenant][sample.asset as usize].as_bytes()));
            put(&mut out, Some(sample.metric.1.as_bytes()));
            put(&mut out, Some(sample.metric.0.as_bytes()));
            put(&mut out, Some(&1i64.to_be_bytes()));
            put(&mut out, Some(&sample.value.to_be_bytes()));
        }
        out.extend_from_slice(&COPY_TRAILER);
        out.into()
    }

    /// What the server adds to every event of a request, as jsonb.
    fn metadata(&self, received_us: i64) -> Vec<u8> {
        let mut out = vec![1];
        let (key, receipt) = (self.api_key, Uuid::now_v7());
        let received_at = jiff::Timestamp::from_microsecond(received_us).expect("a data set is of this century");
        write!(out, r#"{{"api_key_id":"{key}","receipt":"{receipt}","received_at":"{received_at:.6}"}}"#)
            .expect("a Vec takes everything");
        out
    }
}

/// The columns that all rows begin with.
fn begin(out: &mut Vec<u8>, columns: i16, (batch_id, seq): (i64, i32), at_us: i64, received_us: i64) {
    out.extend_from_slice(&columns.to_be_bytes());
    put(out, Some(&batch_id.to_be_bytes()));
    put(out, Some(&seq.to_be_bytes()));
    put(out, Some(&(at_us - POSTGRES_EPOCH_US).to_be_bytes()));
    put(out, Some(&(received_us - POSTGRES_EPOCH_US).to_be_bytes()));
}

fn put(out: &mut Vec<u8>, field: Option<&[u8]>) {
    let length = field.map_or(-1, |field| i32::try_from(field.len()).expect("a field is small"));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(field.unwrap_or_default());
}

fn hex(high: u64, low: u64) -> Vec<u8> {
    format!("{high:016x}{:016x}", low.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::dataset::Span;
    use super::super::rows::Batch;
    use super::*;

    fn tuples() -> Tuples {
        let span = Span::last_days(7, 1000);
        let dataset = Dataset { tenants: 2, assets: 50, metrics_per_asset: 1, events: span, samples: span };
        Tuples::new(dataset, &["acme".into(), "globex".into()]).expect("the generator makes good events")
    }

    fn without_frame(stream: &Bytes) -> Bytes {
        stream.slice(COPY_HEADER.len()..stream.len() - COPY_TRAILER.len())
    }

    #[test]
    fn events_have_the_columns_of_the_product() {
        let tuples = tuples();
        let stream = tuples.events(1, 100..300, 7);
        let rows = Batch { tuples: without_frame(&stream), rows: 200 }.fields();
        assert_eq!(rows.len(), 200 * 18);
        for (row, number) in rows.chunks(18).zip(100..) {
            let event = tuples.dataset.event(1, number);
            assert_eq!(row[0].as_deref(), Some(&7i64.to_be_bytes()[..]));
            assert_eq!(row[2].as_deref(), Some(&(event.at_us - POSTGRES_EPOCH_US).to_be_bytes()[..]));
            assert_eq!((row[4].as_deref(), row[5].as_deref()), (Some(&event.id.as_bytes()[..]), Some(&b"globex"[..])));
            assert_eq!(row[12].as_deref(), Some(asset_name(1, event.asset).as_bytes()));
            assert_eq!(row[13].as_deref(), event.correlation.as_ref().map(|id| &id.as_bytes()[..]));
            let json = |field: &Option<Bytes>| -> serde_json::Value {
                serde_json::from_slice(&field.as_ref().expect("not null")[1..]).expect("JSON")
            };
            assert!(json(&row[16])["latency_ms"].is_number() && json(&row[17])["receipt"].is_string());
        }
    }

    #[test]
    fn samples_have_their_columns() {
        let tuples = tuples();
        assert_eq!(SAMPLE_COLUMNS.split(", ").count(), usize::from(SAMPLE_COLUMN_COUNT.unsigned_abs()));
        let stream = without_frame(&tuples.samples(0, 0..3, 1));
        let tuple = 2 + 4 * 10 + 8 + 4 + 8 + 8 + "acme".len() + asset_name(0, 1).len() + 8 + 8;
        let sample = tuples.dataset.sample(0, 0);
        let of_the_first = tuple + sample.metric.0.len() + sample.metric.1.len();
        assert_eq!(stream[of_the_first..of_the_first + 2], SAMPLE_COLUMN_COUNT.to_be_bytes());
        assert_eq!(stream[of_the_first - 8..of_the_first], sample.value.to_be_bytes());
    }
}
