//! The decoder of events: what makes an item a row, and the buffers that requests share.

use uuid::Uuid;

use super::defaults::Defaults;
use super::encode::{encode, server_metadata};
use super::fields::Field;
use super::ids::{IdSource, foreign_id};
use super::validate::{Rules, validate, validate_wrapped};
use crate::limits::FOREIGN_ID_CHARS_MAX;
use crate::wire::item::decode::{Accepted, Items, decode, span};
use crate::wire::item::envelope::{Envelope, Scratch};
use crate::wire::item::scan::{JsonType, Scanner, Shape};
use crate::wire::item::space::space;
use crate::wire::item::{BodyError, BodyForm, Code, Decoded, ItemContext, Rejection, RowRef, Rows, Stage, StreamIndex};

/// Decodes request bodies. Holds scratch buffers only: one is kept per thread and used for one body after another.
pub struct Decoder {
    scanner: Scanner<Field>,
    scratch: Scratch,
    streams: StreamIndex,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    pub fn new() -> Self {
        Self { scanner: Scanner::new(), scratch: Scratch::new(), streams: StreamIndex::default() }
    }

    /// Decodes, validates and encodes a body. A bad item is among the rejected ones and costs no other.
    pub fn decode(
        &mut self,
        body: &[u8],
        form: BodyForm,
        defaults: &Defaults,
        origin: &ItemContext<'_>,
    ) -> Result<Decoded, BodyError> {
        self.streams.clear();
        let mut request = Body {
            rules: Rules {
                origin,
                defaults,
                cloud_event: matches!(form, BodyForm::CloudEvent | BodyForm::CloudEventBatch),
            },
            ids: IdSource::new(origin.received_at_us),
            server_metadata: server_metadata(origin),
            space: space(origin.tenant_id),
            scratch: &mut self.scratch,
            streams: &mut self.streams,
        };
        let shape = if defaults.wrap { Shape::Wrapped } else { Shape::Envelope };
        decode(body, form, shape, origin, &mut self.scanner, &mut request)
    }
}

/// What the events of a body share.
struct Body<'b> {
    rules: Rules<'b>,
    ids: IdSource,
    server_metadata: String,
    /// Events are partitioned by tenant.
    space: u32,
    scratch: &'b mut Scratch,
    streams: &'b mut StreamIndex,
}

impl Items<Field> for Body<'_> {
    const BYTES_USUAL: usize = 256;
    const ROW_OVERHEAD_BYTES: usize = 256;

    fn take(&mut self, scanner: &Scanner<Field>, item: Accepted<'_>, rows: &mut Rows) -> Result<(), Rejection> {
        let rules = self.rules;
        let event = if rules.defaults.wrap {
            validate_wrapped(item.text, rules, &mut self.ids)?
        } else {
            let envelope = Envelope::read(item.text, scanner, self.scratch)?;
            validate(envelope, rules, &mut self.ids)?
        };
        let stream = self.streams.index(event.stream, &mut rows.streams).ok_or_else(|| {
            let message = "the request names more than 65536 streams; split it into several requests";
            Rejection::new(Stage::Package, Code::InvalidField, message)
        })?;
        let start = rows.bytes.len();
        encode(&event, rules.origin, &self.server_metadata, &mut rows.bytes);
        rows.rows.push(RowRef {
            bytes: span(start, rows.bytes.len()),
            timestamp_us: event.timestamp_us,
            item: item.index,
            raw: item.raw,
            stream,
            space: self.space,
            id: event.id,
        });
        Ok(())
    }

    fn id(&self, scanner: &Scanner<Field>, item: &[u8]) -> Option<Uuid> {
        let members = scanner.members.iter();
        let ids = members.filter(|member| member.field == Field::Id && member.kind != JsonType::Null);
        let member = ids.min_by_key(|member| member.rank).filter(|member| member.kind == JsonType::String)?;
        if member.escaped {
            return None;
        }
        let text = std::str::from_utf8(&item[member.value.start + 1..member.value.end - 1]).ok()?;
        Uuid::try_parse(text).ok().or_else(|| {
            let foreign = !text.is_empty() && text.chars().count() <= FOREIGN_ID_CHARS_MAX;
            foreign.then(|| foreign_id(self.rules.origin.tenant_id, text))
        })
    }
}
