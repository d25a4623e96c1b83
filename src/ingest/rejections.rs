//! The rejected items of a request as they are answered: which and why of all of them, messages of the first ones. In
//! the ledger `rejections` holds the former, 5 bytes an item: its ordinal (u32, big-endian), then its code's number.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::limits::ERRORS_LISTED_MAX;
use crate::wire::item::{Code, RejectedItem};

const ENTRY_BYTES: usize = 5;

/// Rejected items, in the order of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejections {
    /// The ordinal in the request, from 0, and the code of each.
    pub codes: Vec<(u32, Code)>,
    /// Of the first `ERRORS_LISTED_MAX` only.
    messages: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionMessage<'a> {
    /// Its ordinal in the request, from 0.
    pub index: u32,
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    #[serde(borrow)]
    pub message: Cow<'a, str>,
}

impl Rejections {
    pub fn of(rejected: &[RejectedItem]) -> Self {
        let messages = rejected.iter().take(ERRORS_LISTED_MAX).map(|item| item.rejection.message.clone());
        Self {
            codes: rejected.iter().map(|item| (item.index, item.rejection.code)).collect(),
            messages: messages.collect(),
        }
    }

    /// Ordinal, code and message of each; those without a message are told by their code alone.
    pub fn all(&self) -> impl Iterator<Item = (u32, &'static str, &str)> {
        let told = |(at, &(index, code)): (usize, &(u32, Code))| {
            (index, code.as_str(), self.messages.get(at).map_or(code.as_str(), String::as_str))
        };
        self.codes.iter().enumerate().map(told)
    }

    /// The first ones, with their messages.
    pub fn listed(&self) -> Vec<RejectionMessage<'_>> {
        let listed = self.codes.iter().zip(&self.messages);
        listed
            .map(|(&(index, code), message)| {
                let (code, message) = (code.as_str().into(), message.as_str().into());
                RejectionMessage { index, code, message }
            })
            .collect()
    }

    /// All of them, for the ledger; None if there are none.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let entry = |&(index, code): &(u32, Code)| index.to_be_bytes().into_iter().chain([code as u8]);
        (!self.codes.is_empty()).then(|| self.codes.iter().flat_map(entry).collect())
    }

    /// From the ledger, which of requests of versions before has only what was `listed`. A code of a later version is
    /// left out: this one has no name for it.
    pub fn decode(encoded: Option<&[u8]>, listed: Vec<RejectionMessage<'_>>) -> Self {
        let codes: Vec<(u32, Option<Code>)> = match encoded {
            Some(bytes) => bytes.as_chunks::<ENTRY_BYTES>().0.iter().map(decode_entry).collect(),
            None => listed.iter().map(|error| (error.index, Code::of_name(&error.code))).collect(),
        };
        let mut messages = listed.into_iter().map(|error| error.message.into_owned());
        let mut known = Self::default();
        for (index, code) in codes {
            let message = messages.next();
            let Some(code) = code else { continue };
            known.codes.push((index, code));
            known.messages.extend(message);
        }
        known
    }
}

fn decode_entry(&[a, b, c, d, code]: &[u8; ENTRY_BYTES]) -> (u32, Option<Code>) {
    (u32::from_be_bytes([a, b, c, d]), Code::of_number(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::item::{Rejection, Stage};

    fn rejected(count: u32) -> Vec<RejectedItem> {
        let codes = Code::ALL.iter().cycle();
        let item = |(index, code): (u32, &Code)| RejectedItem {
            index: index * 70_000,
            raw: 0..0,
            event_id: None,
            rejection: Rejection::new(Stage::Validate, *code, format!("item {index}")),
        };
        (0..count).zip(codes).map(item).collect()
    }

    fn listed_again(json: &str) -> Vec<RejectionMessage<'_>> {
        serde_json::from_str(json).expect("a list of errors")
    }

    #[test]
    fn all_rejected_items_survive_the_ledger() {
        let items = rejected(250);
        let rejections = Rejections::of(&items);
        let json = serde_json::to_string(&rejections.listed()).expect("JSON");
        assert!(json.starts_with(r#"[{"index":0,"code":"invalid_json","message":"item 0"},{"index":70000,"#));
        let read = Rejections::decode(rejections.encode().as_deref(), listed_again(&json));
        assert_eq!(read, rejections);
        let codes: Vec<_> = items.iter().map(|item| (item.index, item.rejection.code)).collect();
        assert_eq!((read.codes, listed_again(&json).len()), (codes, ERRORS_LISTED_MAX));
        assert_eq!(Rejections::of(&[]).encode(), None);
    }

    #[test]
    fn a_row_of_an_earlier_version_has_what_was_listed() {
        let json = r#"[{"index":3,"code":"too_deep","message":"a"},{"index":9,"code":"payload_nul","message":"b\n"}]"#;
        let read = Rejections::decode(None, listed_again(json));
        assert_eq!(read.codes, [(3, Code::TooDeep), (9, Code::PayloadNul)]);
        assert_eq!(read.listed(), listed_again(json));
    }

    #[test]
    fn a_code_of_a_later_version_takes_its_message_along() {
        let json = r#"[{"index":1,"code":"new","message":"a"},{"index":2,"code":"too_deep","message":"b"}]"#;
        let read = Rejections::decode(Some(&[0, 0, 0, 1, 255, 0, 0, 0, 2, Code::TooDeep as u8]), listed_again(json));
        assert_eq!(read.listed(), listed_again(json)[1..]);
    }
}
