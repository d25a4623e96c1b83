//! Bodies as COPY streams, for the paths without HTTP: encoded by Tidegate's own decoders before the clock starts.

use bytes::Bytes;
use tidegate::model::Kind;
use tidegate::wire::event::{Decoder, Defaults};
use tidegate::wire::item::pgcopy::{COPY_HEADER, COPY_TRAILER, stamp};
use tidegate::wire::item::{BodyForm, ItemContext, StoredJson, TimeBounds};
use tidegate::wire::metric;
use uuid::Uuid;

use super::common::{DAY_US, Result};
use super::templates::Template;

/// Encodes bodies.
#[derive(Default)]
pub struct Encoder {
    stored_json: StoredJson,
    events: Decoder,
    metrics: metric::Decoder,
}

impl Encoder {
    pub fn of(stored_json: StoredJson) -> Self {
        Self { stored_json, ..Self::default() }
    }

    /// The COPY stream of a body that a tenant sent.
    pub fn stream(
        &mut self,
        kind: Kind,
        batch_id: i64,
        body: &[u8],
        tenant_id: &str,
        received_at_us: i64,
    ) -> Result<Bytes> {
        let context = ItemContext {
            tenant_id,
            api_key_id: Uuid::now_v7(),
            receipt: Uuid::now_v7(),
            received_at_us,
            bounds: TimeBounds { oldest_us: received_at_us - DAY_US, newest_us: received_at_us + DAY_US },
            item_bytes_max: 1 << 20,
            stored_json: self.stored_json,
            projections: tidegate::projections::concerns,
        };
        let decoded = match kind {
            Kind::Events => self.events.decode(body, BodyForm::Ndjson, &Defaults::default(), &context)?,
            Kind::Metrics => self.metrics.decode(body, BodyForm::Ndjson, &context)?,
        };
        if let Some(rejected) = decoded.rejected.first() {
            return Err(format!("a row is not accepted: {rejected:?}").into());
        }
        let (rows, mut out) = (&decoded.rows, COPY_HEADER.to_vec());
        for (row, seq) in rows.rows.iter().zip(0..) {
            let at = out.len();
            out.extend_from_slice(&rows.bytes[row.bytes.start as usize..row.bytes.end as usize]);
            stamp(&mut out[at..], batch_id, seq);
        }
        out.extend_from_slice(&COPY_TRAILER);
        Ok(out.into())
    }
}

/// A stream of each template, for the tenants in turn. Rows have ids of their own, none is sent twice: repeated ids
/// would make the indexes smaller than they are in life.
pub fn streams(kind: Kind, templates: &[Template], tenants: &[String], stored_json: StoredJson) -> Result<Vec<Bytes>> {
    let (mut encoder, mut body, mut streams) = (Encoder::of(stored_json), Vec::new(), Vec::new());
    for ((template, tenant), batch_id) in templates.iter().zip(tenants.iter().cycle()).zip(0..) {
        body.clear();
        template.append_now(&mut body, 0);
        let now_us = jiff::Timestamp::now().as_microsecond();
        streams.push(encoder.stream(kind, batch_id, &body, tenant, now_us)?);
    }
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::super::templates::templates;
    use super::*;

    #[test]
    fn every_template_is_a_stream_of_its_tenant() {
        let tenants = ["acme".into(), "globex".into()];
        let streams = streams(Kind::Events, &templates(3, 7), &tenants, StoredJson::Jsonb).expect("good events");
        for (stream, tenant) in streams.iter().zip(["acme", "globex", "acme"]) {
            assert!(stream.starts_with(&COPY_HEADER) && stream.ends_with(&COPY_TRAILER));
            assert_eq!(memchr::memmem::find_iter(stream, tenant).count(), 7);
        }
    }
}
