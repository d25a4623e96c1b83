//! Dead letters that are sent again. Each is a request of one item, judged by the rules of now, and written under an
//! idempotency key of its own, so that it is stored once however often and from wherever it is replayed. What came of it
//! is noted on the letter in the same transaction; one that fails again makes no other letter. It is never spooled: while
//! the database does not take it, it is safe where it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

use super::received::{Received, Replay};
use super::request::Request;
use super::submission::Submission;
use crate::budget::Reservation;
use crate::model::Kind;
use crate::wire::event::Defaults;
use crate::wire::item::{BodyError, BodyForm, Code, Decoded, RejectedItem, Rejection, Rows, Stage};

const NOTE: &str = include_str!("../../sql/queries/dead_letters_replayed.sql");

/// A dead letter, and all that its meaning depends on.
pub struct Letter {
    pub id: Uuid,
    pub tenant_id: Arc<str>,
    /// The key that sent it.
    pub api_key_id: Uuid,
    /// Days that the organization keeps such items now.
    pub keep_days: Option<i32>,
    /// When it came in, in unix microseconds.
    pub received_at_us: i64,
    pub route: String,
    pub kind: Kind,
    pub form: BodyForm,
    pub defaults: Defaults,
    pub raw: Vec<u8>,
}

impl Letter {
    /// The request that it is, sent at `at_us`.
    pub fn into_request(self, at_us: i64, reservation: Reservation) -> Request {
        let received = Received {
            tenant_id: self.tenant_id,
            api_key_id: self.api_key_id,
            keep_days: self.keep_days,
            receipt: Uuid::now_v7(),
            received_at_us: self.received_at_us,
            route: self.route.into(),
            kind: self.kind,
            form: self.form,
            defaults: self.defaults,
            body: as_body(self.form, self.raw),
            original: None,
            sent_digest: None,
            replay: Some(Replay { dead_letter: self.id, at_us }),
        };
        Request {
            received,
            idempotency_key: None,
            dedupe_body: false,
            ack_spooled: false,
            waited: Duration::ZERO,
            reservation,
            // Who may replay may replay all there is, some at a time.
            admit: Box::new(|_items| Ok(())),
        }
    }
}

/// A body of just this item: in an array, so that an array that was sent as an item is not taken for its elements.
fn as_body(form: BodyForm, raw: Vec<u8>) -> Bytes {
    match form {
        BodyForm::Json | BodyForm::CloudEventBatch => [b"[", &*raw, b"]"].concat().into(),
        BodyForm::Ndjson | BodyForm::CloudEvent | BodyForm::Converted => raw.into(),
    }
}

/// What was decoded, as the one item that it was before. It may be older than `oldest_us`, which is asked of times that
/// items name: one that names none has the time when it came in.
pub fn as_one_item(decoded: Result<Decoded, BodyError>, body_bytes: usize, oldest_us: i64) -> Decoded {
    let is_old = |decoded: &Decoded| decoded.rows.rows.iter().any(|row| row.timestamp_us < oldest_us);
    let refused = |code, message: &str| Rejection::new(Stage::Validate, code, message);
    let rejection = match decoded {
        Ok(decoded) if decoded.items == 1 && !is_old(&decoded) => return decoded,
        Ok(decoded) if decoded.items == 1 => {
            refused(Code::OutOfWindow, "it names no timestamp, and came in before what is kept now")
        }
        Ok(decoded) => decoded.rejected.into_iter().next().map_or_else(
            || refused(Code::InvalidJson, "it holds several items; send them as a request of their own"),
            |item| item.rejection,
        ),
        Err(BodyError::Empty) => refused(Code::InvalidJson, "it holds no item"),
        Err(error @ (BodyError::MaskedTooLarge | BodyError::TooMuchMade { .. })) => {
            refused(Code::ItemTooLarge, &error.to_string())
        }
        Err(BodyError::TooManyItems { max }) => {
            refused(Code::ItemTooLarge, &format!("it has more than {max} values; send them in several items"))
        }
    };
    let raw = 0..u32::try_from(body_bytes).expect("bodies are smaller than 4 GiB");
    let rejected = vec![RejectedItem { index: 0, raw, event_id: None, rejection }];
    Decoded { rows: Rows::default(), rejected, items: 1, not_json: false }
}

/// Notes what comes of the replays among the submissions named by `written`, if the transaction commits. Nothing is sent
/// when there are none.
pub async fn note(
    client: &Client,
    batch: &[Submission],
    written: impl Iterator<Item = usize>,
) -> Result<(), tokio_postgres::Error> {
    let replays: Vec<(&Submission, Replay)> =
        written.filter_map(|index| Some((&batch[index], batch[index].received.replay?))).collect();
    if replays.is_empty() {
        return Ok(());
    }
    let of_each = |what: fn(&Rejection) -> &str| -> Vec<Option<&str>> {
        replays.iter().map(|(one, _)| Some(what(&one.decoded.rejected.first()?.rejection))).collect()
    };
    let tenants: Vec<&str> = replays.iter().map(|(one, _)| &*one.received.tenant_id).collect();
    let ids: Vec<Uuid> = replays.iter().map(|(_, replay)| replay.dead_letter).collect();
    let at = |(_, replay): &(&Submission, Replay)| Timestamp::from_microsecond(replay.at_us).unwrap_or(Timestamp::MAX);
    let times: Vec<Timestamp> = replays.iter().map(at).collect();
    let stored = |(one, _): &(&Submission, Replay)| if one.decoded.rejected.is_empty() { "stored" } else { "failed" };
    let outcomes: Vec<&str> = replays.iter().map(stored).collect();
    let codes = of_each(|rejection| rejection.code.as_str());
    let details = of_each(|rejection| &rejection.message);
    client.execute(NOTE, &[&tenants, &ids, &times, &outcomes, &codes, &details]).await.map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event;
    use crate::wire::item::{ItemContext, StoredJson, TimeBounds};

    const NOW_US: i64 = 1_763_700_000_000_000;

    fn decoded(form: BodyForm, raw: &str) -> Decoded {
        let body = as_body(form, raw.into());
        let origin = ItemContext {
            tenant_id: "a",
            api_key_id: Uuid::nil(),
            receipt: Uuid::nil(),
            received_at_us: NOW_US,
            bounds: TimeBounds { oldest_us: 0, newest_us: NOW_US },
            item_bytes_max: 1 << 20,
            stored_json: StoredJson::Jsonb,
            projections: |_| 0,
        };
        let decoded = event::Decoder::new().decode(&body, form, &Defaults::default(), &origin);
        as_one_item(decoded, body.len(), 0)
    }

    const EVENT: &str = r#"{"event_type":"a","source_module":"b","payload":{}}"#;

    #[test]
    fn an_item_is_read_as_the_item_that_it_was() {
        for form in [BodyForm::Json, BodyForm::Ndjson] {
            let one = decoded(form, EVENT);
            assert_eq!((one.items, one.rows.rows.len()), (1, 1), "{form:?}");
            let array = decoded(form, &format!("[{EVENT}]"));
            assert_eq!((array.items, array.rejected[0].rejection.code), (1, Code::NotAnObject), "{form:?}");
        }
    }

    #[test]
    fn whatever_is_no_item_is_one_that_is_refused() {
        for (raw, code) in [
            ("", Code::InvalidJson),
            (" ", Code::InvalidJson),
            (", ", Code::InvalidJson),
            ("]", Code::InvalidJson),
            (format!("{EVENT}], [{EVENT}").as_str(), Code::InvalidJson),
            (format!("{EVENT}, {EVENT}").as_str(), Code::InvalidJson),
            ("{\"a\": } {}", Code::InvalidJson),
            ("{}", Code::MissingField),
        ] {
            let one = decoded(BodyForm::Json, raw);
            assert_eq!((one.items, one.rejected.len(), one.rows.rows.len()), (1, 1, 0), "{raw}");
            assert_eq!(one.rejected[0].rejection.code, code, "{raw}");
        }
    }

    #[test]
    fn what_names_no_time_may_have_become_too_old() {
        let one = decoded(BodyForm::Ndjson, EVENT);
        assert_eq!(one.rows.rows[0].timestamp_us, NOW_US);
        let kept = as_one_item(Ok(one.clone()), EVENT.len(), NOW_US);
        assert_eq!(kept.accepted(), 1);
        let old = as_one_item(Ok(one), EVENT.len(), NOW_US + 1);
        assert_eq!((old.accepted(), old.rejected[0].rejection.code), (0, Code::OutOfWindow));
    }
}
