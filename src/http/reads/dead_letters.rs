//! GET /v1/dead-letters and /v1/dead-letters/{id}.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use uuid::Uuid;

use super::list::{ListAnswer, ListRequest, problem, window};
use crate::budget::Reservation;
use crate::groups::PARKED_CODES;
use crate::http::Api;
use crate::http::response::{Body, answer, held_json, streamed};
use crate::limits::KIB;
use crate::processor::UNFIT_CODES;
use crate::protocols::params::Params;
use crate::protocols::problem::Problem;
use crate::query::{DeadLetter, DeadLettersQuery, OUTCOMES, ReadError, STAGES};
use crate::tenancy::Principal;
use crate::wire::item::Code;

/// Of what was sent, in bytes, that one piece of the answer holds; a multiple of three, so that base64 has no padding
/// within.
const PIECE_BYTES: usize = 48 * KIB;

pub async fn dead_letters(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let query = dead_letters_query(&mut params)?;
    request.answer(api, params, query).await
}

/// Why there are dead letters: what refused an item, why an event is parked, why a projection cannot take one.
fn codes() -> Vec<&'static str> {
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    codes.extend(PARKED_CODES.iter().chain(&UNFIT_CODES));
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// Which dead letters are meant.
pub fn dead_letters_query(params: &mut Params) -> Result<DeadLettersQuery, Problem> {
    Ok(DeadLettersQuery {
        outcomes: params.take_list_of("outcome", &OUTCOMES)?,
        stages: params.take_list_of("stage", &STAGES)?,
        codes: params.take_list_of("code", &codes())?,
        window: window(params, Timestamp::now())?,
    })
}

pub async fn dead_letter(api: &Api, principal: &Principal, id: &str, params: Params) -> ListAnswer {
    params.finish()?;
    let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found("dead letter")) };
    let readers = &api.home(&principal.tenant_id)?.reads;
    let made = async {
        let reads = readers.begin(&principal.tenant_id).await?;
        let (letter, sent) = reads.dead_letter(&principal.tenant_id, id).await?;
        let room = reads.into_reservation();
        Ok(match sent {
            None => held_json(&letter, room)?,
            Some(sent) => with_sent(&letter, sent, room),
        })
    };
    made.await.map_err(|error: ReadError| problem(api, error))
}

/// GET /v1/dead-letters/{id}/original
pub async fn original(api: &Api, principal: &Principal, id: &str, params: Params) -> ListAnswer {
    params.finish()?;
    let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found("dead letter")) };
    let readers = &api.home(&principal.tenant_id)?.reads;
    let made = async {
        let reads = readers.begin(&principal.tenant_id).await?;
        let sent = reads.original(&principal.tenant_id, id).await?;
        let mut room = reads.into_reservation();
        room.shrink_to(sent.len());
        let pieces = [Bytes::from_owner(Held { sent, _room: room })].map(Ok);
        Ok(answer(StatusCode::OK, "application/octet-stream", streamed(stream::iter(pieces))))
    };
    made.await.map_err(|error: ReadError| problem(api, error))
}

/// What was sent, until it is out.
struct Held {
    sent: Vec<u8>,
    _room: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.sent
    }
}

/// A large one, written out while it is sent: as text and in base64 it is many times what was sent.
fn with_sent(letter: &DeadLetter, sent: Vec<u8>, mut room: Reservation) -> Response<Body> {
    room.shrink_to(sent.len());
    let letter = serde_json::to_string(letter).expect("answers are made of plain values");
    let pieces = Written::new(&letter, sent).map(move |piece| {
        // Until the last piece is out.
        let _held = &room;
        Ok(piece)
    });
    answer(StatusCode::OK, "application/json", streamed(stream::iter(pieces)))
}

/// The pieces of a letter's JSON with what was sent in its last two members.
struct Written {
    sent: Vec<u8>,
    is_text: bool,
    part: Part,
}

enum Part {
    Letter(String),
    /// From this byte on.
    Text(usize),
    Base64(usize),
    End,
}

impl Written {
    fn new(letter: &str, sent: Vec<u8>) -> Self {
        let before = letter.strip_suffix(r#""raw":null,"raw_base64":null}"#);
        let before = before.expect("these are the last columns, and null when there is more").to_owned();
        Self { is_text: std::str::from_utf8(&sent).is_ok(), sent, part: Part::Letter(before) }
    }

    /// The next characters of what was sent.
    fn text(&self, from: usize) -> &str {
        let mut to = self.sent.len().min(from + PIECE_BYTES);
        while self.sent.get(to).is_some_and(|byte| byte & 0xc0 == 0x80) {
            to -= 1;
        }
        std::str::from_utf8(&self.sent[from..to]).expect("it is text, cut between characters")
    }
}

impl Iterator for Written {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let (piece, next) = match &self.part {
            Part::Letter(before) if self.is_text => (format!("{before}\"raw\":\""), Part::Text(0)),
            Part::Letter(before) => (format!("{before}\"raw\":null,\"raw_base64\":\""), Part::Base64(0)),
            Part::Text(from) if *from == self.sent.len() => ("\",\"raw_base64\":\"".to_owned(), Part::Base64(0)),
            Part::Text(from) => {
                let text = self.text(*from);
                let quoted = serde_json::to_string(text).expect("text is JSON");
                (quoted[1..quoted.len() - 1].to_owned(), Part::Text(from + text.len()))
            }
            Part::Base64(from) if *from == self.sent.len() => ("\"}".to_owned(), Part::End),
            Part::Base64(from) => {
                let to = self.sent.len().min(from + PIECE_BYTES);
                (STANDARD.encode(&self.sent[*from..to]), Part::Base64(to))
            }
            Part::End => return None,
        };
        self.part = next;
        Some(piece.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::http::operation::OPENAPI;

    #[test]
    fn the_codes_are_those_that_are_described() {
        let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
        let listed = |pointer: &str| document.pointer(pointer).and_then(Value::as_array).expect(pointer).iter();
        let described = listed("/components/schemas/RejectionCode/enum")
            .chain(listed("/components/schemas/DeadLetterCode/anyOf/1/enum"))
            .map(|code| code.as_str().expect("text"));
        assert_eq!(described.collect::<BTreeSet<_>>(), codes().into_iter().collect());
    }

    #[test]
    fn a_letter_is_written_as_one_would_write_it_at_once() {
        let letter = r#"{"id":1,"raw":null,"raw_base64":null}"#;
        // Characters of two and four bytes across the ends of pieces, what is escaped, and what is no text.
        let texts = ["ü".repeat(PIECE_BYTES), format!("x{}", "😀\"\u{1}".repeat(PIECE_BYTES / 4)), "a".to_owned()];
        for text in texts {
            let whole: Vec<u8> = Written::new(letter, text.clone().into_bytes()).flatten().collect();
            let read: Value = serde_json::from_slice(&whole).expect("JSON");
            assert_eq!(read, json!({ "id": 1, "raw": text, "raw_base64": STANDARD.encode(&text) }));
        }
        let binary = vec![0xff; 2 * PIECE_BYTES + 1];
        let whole: Vec<u8> = Written::new(letter, binary.clone()).flatten().collect();
        let read: Value = serde_json::from_slice(&whole).expect("JSON");
        assert_eq!(read, json!({ "id": 1, "raw": null, "raw_base64": STANDARD.encode(binary) }));
    }
}
