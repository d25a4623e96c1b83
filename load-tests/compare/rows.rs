//! The events of a measurement as rows, for the paths without HTTP: encoded by Tidegate's own decoder before the clock
//! starts, and taken apart into fields for INSERT.

use std::ops::Range;

use bytes::Bytes;
use tidegate::wire::event::COPY_COLUMN_COUNT;
use tidegate::wire::event::{Decoder, Defaults};
use tidegate::wire::item::pgcopy::{COPY_HEADER, COPY_TRAILER, stamp};
use tidegate::wire::item::{BodyForm, ItemContext, TimeBounds};
use uuid::Uuid;

use super::Result;
use super::bodies::Template;

pub const DAY_US: i64 = 86_400_000_000;

/// The rows of one transaction.
pub struct Batch {
    /// Encoded tuples, one after another.
    pub tuples: Bytes,
    /// How many.
    pub rows: usize,
}

impl Batch {
    /// The whole COPY stream.
    pub fn stream(&self) -> Bytes {
        [&COPY_HEADER[..], &self.tuples, &COPY_TRAILER].concat().into()
    }

    /// Every field of every row, in the order of the columns; none for NULL.
    pub fn fields(&self) -> Vec<Option<Bytes>> {
        let mut fields = Vec::with_capacity(self.rows * usize::from(COPY_COLUMN_COUNT.unsigned_abs()));
        let mut at = 0;
        while at < self.tuples.len() {
            at += 2;
            for _ in 0..COPY_COLUMN_COUNT {
                let length: [u8; 4] = self.tuples[at..at + 4].try_into().expect("four bytes");
                at += 4;
                let length = usize::try_from(i32::from_be_bytes(length)).ok();
                fields.push(length.map(|length| self.tuples.slice(at..at + length)));
                at += length.unwrap_or(0);
            }
        }
        fields
    }
}

/// Encodes bodies.
#[derive(Default)]
pub struct Encoder {
    decoder: Decoder,
    body: Vec<u8>,
}

impl Encoder {
    /// Appends the rows of a body to `tuples`, numbered from `seq` in batch `batch_id`. Returns how many there are.
    pub fn append(
        &mut self,
        tuples: &mut Vec<u8>,
        template: &Template,
        tenant_id: &str,
        batch_id: i64,
        seq: usize,
    ) -> Result<usize> {
        self.body.clear();
        template.append_now(&mut self.body, 0);
        let now_us = jiff::Timestamp::now().as_microsecond();
        let origin = ItemContext {
            tenant_id,
            api_key_id: Uuid::now_v7(),
            receipt: Uuid::now_v7(),
            received_at_us: now_us,
            bounds: TimeBounds { oldest_us: now_us - DAY_US, newest_us: now_us + DAY_US },
            item_bytes_max: 1 << 20,
        };
        let decoded = self.decoder.decode(&self.body, BodyForm::Ndjson, &Defaults::default(), &origin)?;
        for (row, number) in decoded.rows.rows.iter().zip(seq..) {
            let Range { start, end } = row.bytes;
            let at = tuples.len();
            tuples.extend_from_slice(&decoded.rows.bytes[start as usize..end as usize]);
            stamp(&mut tuples[at..], batch_id, i32::try_from(number)?);
        }
        Ok(decoded.rows.rows.len())
    }
}

/// A batch of each template, for the tenants in turn. Rows have ids of their own, none is sent twice: repeated ids
/// would make the indexes smaller than they are in life.
pub fn batches(templates: &[Template], tenants: &[String]) -> Result<Vec<Batch>> {
    let mut encoder = Encoder::default();
    let mut made = Vec::with_capacity(templates.len());
    for ((template, tenant), number) in templates.iter().zip(tenants.iter().cycle()).zip(0..) {
        let mut tuples = Vec::new();
        let rows = encoder.append(&mut tuples, template, tenant, number, 0)?;
        made.push(Batch { tuples: tuples.into(), rows });
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use tidegate::load::Generator;
    use tidegate::wire::event::COPY_COLUMNS;

    use super::super::bodies::templates;
    use super::*;

    #[test]
    fn fields_are_those_of_the_rows() {
        let templates = templates(&Generator { seed: 1, assets: 5 }, 3, 7);
        let batches = batches(&templates, &["a".into(), "b".into()]).expect("the generator makes good events");
        let tenant_at = COPY_COLUMNS.split(", ").position(|column| column == "tenant_id").expect("a column");
        for (batch, tenant) in batches.iter().zip(["a", "b", "a"]) {
            let fields = batch.fields();
            assert_eq!((batch.rows, fields.len()), (7, 7 * 18));
            for row in fields.chunks(18) {
                assert_eq!(row[tenant_at].as_deref(), Some(tenant.as_bytes()));
            }
            assert_eq!(fields[18].as_deref(), Some(&batches_id(&fields)[..]), "one batch id");
            assert_eq!(fields[19].as_deref(), Some(&1i32.to_be_bytes()[..]), "the second row's ordinal");
        }
        assert!(batches[0].stream().starts_with(b"PGCOPY\n\xff"));
    }

    fn batches_id(fields: &[Option<Bytes>]) -> Bytes {
        fields[0].clone().expect("never NULL")
    }
}
