//! Messages that become one request.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::Instant;

use crate::budget::Reservation;
use crate::limits::{SYSLOG_BATCH_BYTES, SYSLOG_BATCH_MESSAGES_MAX, SYSLOG_LINGER};
use crate::protocols::syslog::{Context, ROUTE, convert};
use crate::protocols::{Converter, Problem, ProblemCode};
use crate::wire::item::Original;

struct Message {
    place: Range<usize>,
    cut: bool,
    sender: IpAddr,
}

/// Messages, one behind the other, each with who sent it.
pub struct Batch {
    bytes: Vec<u8>,
    messages: Vec<Message>,
    /// When the first one came.
    pub received_at_us: i64,
    /// Until when it waits for others.
    pub due: Instant,
    /// Room for it in the tenant's memory; None: none was there, or it is taken.
    pub reservation: Option<Reservation>,
}

/// The items of a batch, as ingestion takes them.
pub struct Items {
    pub items: Bytes,
    pub original: Arc<Original>,
}

impl Batch {
    /// A batch whose first message comes now.
    pub fn begin(reservation: Option<Reservation>) -> Self {
        Self {
            bytes: Vec::new(),
            messages: Vec::new(),
            received_at_us: Timestamp::now().as_microsecond(),
            due: Instant::now() + SYSLOG_LINGER,
            reservation,
        }
    }

    pub fn push(&mut self, message: &[u8], cut: bool, sender: IpAddr) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.messages.push(Message { place: start..self.bytes.len(), cut, sender });
        self.bytes.push(b'\n');
    }

    /// Whether no more is to be waited for.
    pub fn is_full(&self) -> bool {
        self.messages.len() >= SYSLOG_BATCH_MESSAGES_MAX || self.bytes.len() >= SYSLOG_BATCH_BYTES
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    /// The messages as items, on the account of `reservation`. A problem: there was no room for them.
    pub fn items(&self, zone: &TimeZone, reservation: &mut Reservation) -> Result<Items, Problem> {
        let sent = self.bytes.len();
        let no_room = |_| Problem::unavailable(ProblemCode::Overloaded, "no memory for messages", 1);
        let room = |bytes: usize| reservation.grow_to(sent + bytes).map_err(no_room);
        let mut into = Converter::new(Box::new(room));
        let mut sender = String::new();
        let mut last = None;
        for message in &self.messages {
            if last != Some(message.sender) {
                last = Some(message.sender);
                sender = message.sender.to_canonical().to_string();
            }
            let context = Context { received_at_us: self.received_at_us, zone, sender: &sender };
            let text = &self.bytes[message.place.clone()];
            convert(text, message.place.clone(), message.cut, context, &mut into);
        }
        let made = into.finish(Bytes::copy_from_slice(&self.bytes))?;
        for (note, count) in made.notes {
            metrics::counter!("tidegate_conversion_notes_total", "route" => ROUTE, "note" => note).increment(count);
        }
        Ok(Items { items: made.items, original: Arc::new(made.original) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::budget::{Budget, HeldFor, Shares};

    #[test]
    fn messages_become_the_items_of_one_request() {
        let budget = Budget::new(Shares { total: 100_000, tenant: 100_000, answers: 1, tenant_answers: 1 });
        let mut reservation = budget.reserve(&"acme".into(), HeldFor::Body, 10).unwrap();
        let mut batch = Batch::begin(None);
        batch.push(b"<13>Nov 29 10:00:00 t: a", false, "192.0.2.1".parse().unwrap());
        batch.push(b" ", false, "192.0.2.1".parse().unwrap());
        batch.push(b"<14>1 - h - - - - b", true, "::ffff:192.0.2.2".parse().unwrap());
        assert!(!batch.is_full() && batch.len() == 3);
        let made = batch.items(&TimeZone::UTC, &mut reservation).unwrap();
        let lines: Vec<serde_json::Value> =
            made.items.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!((lines.len(), made.original.places.len()), (2, 2), "what is blank is none");
        assert_eq!((&lines[0]["asset_id"], &lines[1]["asset_id"]), (&"192.0.2.1".into(), &"h".into()));
        assert_eq!(lines[1]["metadata"]["syslog"]["sender"], "192.0.2.2");
        assert_eq!(made.original.of(1), b"<14>1 - h - - - - b");
        assert!(reservation.bytes() > batch.bytes());
        (3..SYSLOG_BATCH_MESSAGES_MAX).for_each(|_| batch.push(b"x", false, "::1".parse().unwrap()));
        assert!(batch.is_full());
    }

    #[test]
    fn a_batch_without_room_is_refused_whole() {
        let budget = Budget::new(Shares { total: 100, tenant: 100, answers: 1, tenant_answers: 1 });
        let mut reservation = budget.reserve(&"acme".into(), HeldFor::Body, 10).unwrap();
        let mut batch = Batch::begin(None);
        batch.push(b"<13>t: a", false, "192.0.2.1".parse().unwrap());
        assert!(batch.items(&TimeZone::UTC, &mut reservation).is_err());
    }
}
