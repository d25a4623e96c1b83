//! The decoder of events: what makes an item a row, and the buffers that requests share.

use uuid::Uuid;

use super::asked::{Asked, StreamRules};
use super::defaults::Defaults;
use super::encode::encode;
use super::fields::{Field, Member, cloud_event_rank};
use super::ids::{IdSource, bare_id, cloud_event_id};
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
        self.decode_by(body, form, defaults, origin, None)
    }

    /// The same, with what the tenant's streams ask; None: nothing, and nothing is looked up.
    pub fn decode_by(
        &mut self,
        body: &[u8],
        form: BodyForm,
        defaults: &Defaults,
        origin: &ItemContext<'_>,
        rules: Option<&dyn StreamRules>,
    ) -> Result<Decoded, BodyError> {
        self.streams.clear();
        let mut request = Body {
            rules: Rules {
                origin,
                defaults,
                cloud_event: matches!(form, BodyForm::CloudEvent | BodyForm::CloudEventBatch),
                fits: matches!(form, BodyForm::CloudEvent | BodyForm::CloudEventBatch | BodyForm::Converted),
            },
            ids: IdSource::new(origin.received_at_us),
            space: space(origin.tenant_id),
            scratch: &mut self.scratch,
            streams: &mut self.streams,
            stream_rules: rules,
            asked: Vec::new(),
        };
        let shape = if defaults.wrap { Shape::Wrapped } else { Shape::Envelope };
        decode(body, form, shape, origin, &mut self.scanner, &mut request)
    }
}

/// What the events of a body share.
struct Body<'b> {
    rules: Rules<'b>,
    ids: IdSource,
    /// Events are partitioned by tenant.
    space: u32,
    scratch: &'b mut Scratch,
    streams: &'b mut StreamIndex,
    stream_rules: Option<&'b dyn StreamRules>,
    /// What streams ask, by their index.
    asked: Vec<Asked>,
}

impl Items<Field> for Body<'_> {
    const BYTES_USUAL: usize = 256;
    const ROW_OVERHEAD_BYTES: usize = 256;

    fn take(&mut self, scanner: &Scanner<Field>, item: Accepted<'_>, rows: &mut Rows) -> Result<(), Rejection> {
        let rules = self.rules;
        let event = if rules.defaults.wrap {
            validate_wrapped(item.text, rules, &mut self.ids)?
        } else {
            let envelope = if rules.cloud_event {
                Envelope::read(item.text, scanner, self.scratch, cloud_event_rank)?
            } else {
                Envelope::read(item.text, scanner, self.scratch, |_, rank| rank)?
            };
            validate(envelope, rules, &mut self.ids)?
        };
        let stream = self.streams.index(&event.stream, &mut rows.streams).ok_or_else(|| {
            let message = "the request names more than 65536 streams; split it into several requests";
            Rejection::new(Stage::Package, Code::InvalidField, message)
        })?;
        let schema_version = match self.stream_rules {
            None => None,
            Some(rules) => {
                if self.asked.len() < rows.streams.len() {
                    self.asked.push(rules.asked_by(&event.stream));
                }
                self.asked[usize::from(stream)].judge(event.payload)?
            }
        };
        let start = rows.bytes.len();
        encode(&event, schema_version, rules.origin, &mut rows.bytes);
        rows.rows.push(RowRef {
            bytes: span(start, rows.bytes.len()),
            timestamp_us: event.timestamp_us,
            item: item.index,
            raw: item.raw,
            stream,
            space: self.space,
            id: event.id,
            projections: (rules.origin.projections)(&event.event_type),
        });
        Ok(())
    }

    fn id(&self, scanner: &Scanner<Field>, item: &[u8]) -> Option<Uuid> {
        let rank = |member: &Member| {
            if self.rules.cloud_event { cloud_event_rank(member.field, member.rank) } else { member.rank }
        };
        let text = |field: Field| {
            let members = scanner.members.iter();
            let named = members.filter(|member| member.field == field && member.kind != JsonType::Null);
            let plain = |member: &&Member| member.kind == JsonType::String && !member.escaped;
            let member = named.min_by_key(|member| rank(member)).filter(plain)?;
            let text = std::str::from_utf8(&item[member.value.start + 1..member.value.end - 1]).ok()?;
            Some(text).filter(|text| !text.is_empty())
        };
        let (tenant_id, id) = (self.rules.origin.tenant_id, text(Field::Id)?);
        if self.rules.cloud_event {
            return Some(cloud_event_id(tenant_id, text(Field::SourceModule)?, id));
        }
        let usable = Uuid::try_parse(id).is_ok() || id.chars().count() <= FOREIGN_ID_CHARS_MAX;
        usable.then(|| bare_id(tenant_id, id))
    }
}
