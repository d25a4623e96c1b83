//! A body with what its streams mask taken out, before anything of it is decoded or kept.
//!
//! Of an item that is an object the payload is masked, by whichever name it came. What cannot be read as an object has no
//! payload in which a path could be followed: its bytes are withheld. How long it takes depends on body and masks: it is bounded.

use std::ops::Range;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use base64::{Engine, alphabet};
use serde_json::value::RawValue;

use super::defaults::Defaults;
use super::fields::{Envelope, Field, Member, cloud_event_rank};
use super::validate::{DATA_BASE64, DEFAULT_STREAM};
use crate::payload::{Mask, MaskKey, rewritten};
use crate::wire::item::envelope::Scratch;
use crate::wire::item::scan::{JsonType, Poison, Scanner, Shape};
use crate::wire::item::split::{Item, Splitter};
use crate::wire::item::{BodyForm, Code};

/// Base64 as it is sent, with its padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Bytes of JSON in base64 that are decoded, looked at and encoded again in a step of masking.
const BASE64_BYTES_PER_STEP: usize = 4;

/// What withheld bytes become.
pub const WITHHELD: u8 = b'*';
/// What a payload becomes that is refused because it is no object, so that no path can be followed in it.
pub const WITHHELD_PAYLOAD: &[u8] = b"\"*withheld*\"";

/// What the streams of one tenant mask.
pub trait StreamMasks {
    fn of(&self, stream: &str) -> &[Mask];

    /// Those of all its streams, for items that name none that could be read; None: they are too many.
    fn all(&self) -> Option<&[Mask]>;
}

/// A body whose payloads are masked.
pub struct MaskedBody {
    pub bytes: Vec<u8>,
    /// Where items are that cannot be masked.
    pub unreadable: Vec<Range<usize>>,
}

/// How much masking a body may be.
#[derive(Debug, Clone, Copy)]
pub struct MaskBounds {
    /// See [`rewritten`].
    pub steps: u64,
    /// Of the masked body: hashes may be larger than what they stand for.
    pub bytes: usize,
}

/// Why a body is not masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmasked {
    /// It would take more steps.
    TooLong,
    /// It would become larger.
    TooLarge,
}

/// Masks a body. `item_bytes_max` as for decoding it.
pub fn masked(
    body: &[u8],
    form: BodyForm,
    defaults: &Defaults,
    item_bytes_max: usize,
    masks: &dyn StreamMasks,
    key: &MaskKey<'_>,
    bounds: MaskBounds,
) -> Result<MaskedBody, Unmasked> {
    let shape = if defaults.wrap { Shape::Wrapped } else { Shape::Envelope };
    let (mut scanner, mut scratch) = (Scanner::<Field>::new(), Scratch::new());
    let mut splitter = Splitter::new(body, form, shape, item_bytes_max);
    let mut masking = Masking {
        masks,
        key,
        defaults,
        cloud_event: matches!(form, BodyForm::CloudEvent | BodyForm::CloudEventBatch),
        out: Vec::with_capacity(body.len()),
        steps_left: bounds.steps,
    };
    let (mut copied, mut unreadable) = (0, Vec::new());
    while let Some(item) = splitter.next_item(&mut scanner) {
        masking.out.extend_from_slice(&body[copied..item.start]);
        copied = item.end;
        let text = &body[item.start..item.end];
        let is_masked = readable(&item, text).is_some_and(|text| masking.item(text, shape, &scanner, &mut scratch));
        if !is_masked {
            unreadable.push(masking.out.len()..masking.out.len() + text.len());
            masking.out.extend_from_slice(text);
        }
        if masking.steps_left == 0 {
            return Err(Unmasked::TooLong);
        }
        if masking.out.len() > bounds.bytes {
            return Err(Unmasked::TooLarge);
        }
    }
    masking.out.extend_from_slice(&body[copied..]);
    Ok(MaskedBody { bytes: masking.out, unreadable })
}

/// The item, if it is an object whose text can be followed.
fn readable<'b>(item: &Item, text: &'b [u8]) -> Option<&'b str> {
    let is_object = |poison: Option<Poison>| poison.is_none_or(|poison| poison.code != Code::NotAnObject);
    let is_grammatical = item.scan.is_ok_and(is_object) && text.first() == Some(&b'{');
    is_grammatical.then(|| std::str::from_utf8(text).ok()).flatten()
}

struct Masking<'m> {
    masks: &'m dyn StreamMasks,
    key: &'m MaskKey<'m>,
    defaults: &'m Defaults,
    cloud_event: bool,
    out: Vec<u8>,
    steps_left: u64,
}

impl<'m> Masking<'m> {
    /// Whether it could be: nothing of it is written else.
    fn item(&mut self, text: &str, shape: Shape, scanner: &Scanner<Field>, scratch: &mut Scratch) -> bool {
        if shape == Shape::Wrapped {
            let masks = self.masks.of(self.defaults.stream.as_deref().unwrap_or(DEFAULT_STREAM));
            self.rewritten(text.as_bytes(), masks);
            return true;
        }
        let Some(masks) = self.masks_of(text, scanner, scratch) else { return false };
        let is_payload = |member: &&Member| matches!(member.field, Field::Payload | Field::DataBase64);
        if !self.cloud_event && !scanner.members.iter().any(|member| is_payload(&member)) {
            // It is refused. What was meant to be its payload may be the item itself.
            self.rewritten(text.as_bytes(), masks);
            return true;
        }
        let mut copied = 0;
        if !masks.is_empty() {
            for member in scanner.members.iter().filter(is_payload) {
                self.out.extend_from_slice(&text.as_bytes()[copied..member.value.start]);
                copied = member.value.end;
                self.payload(text, member, masks);
            }
        }
        self.out.extend_from_slice(&text.as_bytes()[copied..]);
        true
    }

    fn rewritten(&mut self, text: &[u8], masks: &[Mask]) {
        rewritten(text, masks, self.key, &mut self.out, &mut self.steps_left);
    }

    /// The masks of the item's stream; of all streams where it cannot be read which one that is. None: they are too many.
    fn masks_of(&self, text: &str, scanner: &Scanner<Field>, scratch: &mut Scratch) -> Option<&'m [Mask]> {
        let all: &'m dyn StreamMasks = self.masks;
        let rank = |field, rank| if self.cloud_event { cloud_event_rank(field, rank) } else { rank };
        let Ok(envelope) = Envelope::read(text, scanner, scratch, rank) else { return all.all() };
        match (envelope.member(Field::Stream), envelope.text(Field::Stream)) {
            // It is refused, and no stream's: empty, or named twice.
            (_, Some("")) => all.all(),
            (Some(member), Some(_)) if is_twice(member, scanner) => all.all(),
            (_, Some(stream)) => Some(all.of(stream)),
            (None, None) => Some(all.of(self.defaults.stream.as_deref().unwrap_or(DEFAULT_STREAM))),
            (Some(_), None) => all.all(),
        }
    }

    fn payload(&mut self, text: &str, member: &Member, masks: &[Mask]) {
        let value = &text.as_bytes()[member.value.start..member.value.end];
        if member.kind == JsonType::Object {
            return self.rewritten(value, masks);
        }
        if !self.cloud_event {
            // Refused, or none at all.
            return self.out.extend_from_slice(if member.kind == JsonType::Null { value } else { WITHHELD_PAYLOAD });
        }
        // Data that is no object is stored under the name that it came by; a path may be meant for it by that name.
        let name = if member.field == Field::DataBase64 { DATA_BASE64 } else { "data" };
        let mut inner = Vec::new();
        match decoded(member, value) {
            Some(json) => {
                let mut masked = Vec::new();
                self.steps_left = self.steps_left.saturating_sub((json.len() / BASE64_BYTES_PER_STEP) as u64);
                rewritten(json.as_bytes(), masks, self.key, &mut masked, &mut self.steps_left);
                inner = format!("\"{}\"", BASE64_STANDARD.encode(masked)).into_bytes();
            }
            None => rewritten(value, masks, self.key, &mut inner, &mut self.steps_left),
        }
        let before = format!("{{\"{name}\":");
        let mut whole = Vec::new();
        rewritten(&[before.as_bytes(), &inner, b"}"].concat(), masks, self.key, &mut whole, &mut self.steps_left);
        match whole.strip_prefix(before.as_bytes()).and_then(|rest| rest.strip_suffix(b"}")) {
            Some(value) => self.out.extend_from_slice(value),
            // The member is removed, and a payload that is null is none.
            None => self.out.extend_from_slice(b"null"),
        }
    }
}

/// The JSON that base64 stands for, if it is an object or an array: a `CloudEvent` may bring its data so, and they are the same data.
fn decoded(member: &Member, value: &[u8]) -> Option<String> {
    let is_text = member.field == Field::DataBase64 && member.kind == JsonType::String;
    let text: String = is_text.then(|| serde_json::from_slice(value).ok()).flatten()?;
    let bytes = BASE64.decode(text).ok()?;
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if !matches!(first, Some(b'{' | b'[')) {
        return None;
    }
    let json = String::from_utf8(bytes).ok()?;
    let trimmed = json.trim_ascii();
    serde_json::from_str::<&RawValue>(trimmed).is_ok().then(|| trimmed.to_owned())
}

/// Whether a member of this name is there twice.
fn is_twice(member: &Member, scanner: &Scanner<Field>) -> bool {
    let is_same = |other: &&Member| other.field == member.field && other.rank == member.rank;
    scanner.members.iter().filter(is_same).count() > 1
}

/// Whether there is nothing but what stands between values.
pub fn is_structure(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_whitespace() || b"[]{},:\x1e\xef\xbb\xbf".contains(byte))
}
