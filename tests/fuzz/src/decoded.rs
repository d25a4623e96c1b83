//! What must hold of whatever a body is decoded to, and of each row beside an independent reading by serde_json.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidegate::wire::event::{Decoder, fitted};
use tidegate::wire::item::{BodyForm, Decoded, RowRef};

use crate::tuple::{self, Tuple};
use crate::{defaults, origin};

/// Decodes an input, whose first byte chooses what the query string says; panics when an invariant does not hold.
pub fn check(input: &[u8], forms: &[BodyForm]) {
    let Some((&choice, body)) = input.split_first() else { return };
    let form = forms[usize::from(choice >> 4) % forms.len()];
    let defaults = defaults(choice);
    let Ok(decoded) = Decoder::new().decode(body, form, &defaults, &origin()) else { return };
    conserves(&decoded, body);
    for row in &decoded.rows.rows {
        let tuple = Tuple::read(&decoded.rows.bytes[row.bytes.start as usize..row.bytes.end as usize]);
        assert_eq!(tuple.bytes(tuple::ID), Some(&row.id.as_bytes()[..]));
        assert_eq!(tuple.text(tuple::TENANT_ID), Some("acme"));
        assert_eq!(tuple.text(tuple::STREAM), Some(decoded.rows.streams[usize::from(row.stream)].as_str()));
        let raw = item(row, body);
        if defaults.wrap {
            assert_eq!(tuple.json(tuple::PAYLOAD), raw, "a wrapped payload is the item");
        }
        json(tuple.json(tuple::PAYLOAD));
        if tuple.bytes(tuple::METADATA).is_some() {
            json(tuple.json(tuple::METADATA));
        }
        if !defaults.wrap {
            beside_serde(&tuple, raw, form);
        }
    }
}

/// The text of a row's item, as it was sent.
pub fn item<'b>(row: &RowRef, body: &'b [u8]) -> &'b str {
    std::str::from_utf8(&body[row.raw.start as usize..row.raw.end as usize]).expect("an accepted item is UTF-8")
}

/// Every item is a row or a rejection, in order, within the body.
fn conserves(decoded: &Decoded, body: &[u8]) {
    assert_eq!(decoded.rows.rows.len() + decoded.rejected.len(), decoded.items as usize);
    assert!(decoded.items > 0);
    let rows = decoded.rows.rows.iter().map(|row| (row.item, row.raw.clone()));
    let mut items: Vec<_> = rows.chain(decoded.rejected.iter().map(|item| (item.index, item.raw.clone()))).collect();
    items.sort_by_key(|(index, _)| *index);
    let mut end = 0;
    for (n, (index, raw)) in items.into_iter().enumerate() {
        assert_eq!(n, index as usize);
        assert!(end <= raw.start && raw.start <= raw.end && raw.end as usize <= body.len());
        end = raw.end;
    }
    is_tidy(decoded);
}

/// Every row's tuple follows the one before, and every message can be stored.
pub fn is_tidy(decoded: &Decoded) {
    let mut end = 0;
    for row in &decoded.rows.rows {
        assert_eq!(row.bytes.start, end);
        end = row.bytes.end;
    }
    assert_eq!(end as usize, decoded.rows.bytes.len());
    for item in &decoded.rejected {
        let message = &item.rejection.message;
        assert!(!message.is_empty() && !message.contains(char::is_control), "{message:?}");
    }
}

fn json(text: &str) {
    // Deeper than ours is allowed to be, its recursion limit is not met: 64 and the envelope.
    serde_json::from_str::<&RawValue>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(text.starts_with('{') && text.ends_with('}'), "a jsonb column holds an object: {text}");
}

/// The members that name a field of text, canonical name first; of a CloudEvent the last.
const NAMES: [([&str; 2], usize); 2] =
    [(["source_module", "source"], tuple::SOURCE_MODULE), (["event_type", "type"], tuple::EVENT_TYPE)];

/// Reads the item a second time, by other means.
fn beside_serde(tuple: &Tuple<'_>, raw: &str, form: BodyForm) {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(raw).unwrap_or_else(|error| panic!("{error}: {raw}"));
    let given = |names: &[&str]| {
        names.iter().find_map(|name| members.get(*name).map(|value| value.get()).filter(|value| *value != "null"))
    };
    let cloud_event = matches!(form, BodyForm::CloudEvent | BodyForm::CloudEventBatch);
    for (mut names, column) in NAMES {
        let canonical = names[0];
        if cloud_event {
            names.reverse();
        }
        if let Some(value) = given(&names) {
            let text: String = serde_json::from_str(value).unwrap_or_else(|error| panic!("{error}: {value}"));
            assert_eq!(tuple.text(column), Some(&*fitted(canonical, &text)), "{names:?}");
        }
    }
    match given(if cloud_event { &["data", "payload"] } else { &["payload", "data"] }) {
        Some(payload) if payload.starts_with('{') => assert_eq!(tuple.json(tuple::PAYLOAD), payload),
        Some(data) => {
            assert!(cloud_event, "a payload that is no object was accepted: {data}");
            assert_eq!(tuple.json(tuple::PAYLOAD), format!("{{\"data\":{data}}}"));
        }
        None => assert!(cloud_event, "an event without a payload was accepted"),
    }
}
