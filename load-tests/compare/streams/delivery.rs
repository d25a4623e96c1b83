//! From COMMIT to a consumer: 20,000 events/s (`--delivery-rate`) of one tenant by the clock, in requests as agents send them,
//! and one consumer of its stream. Counted from the moment when a request's answer, which follows its COMMIT, was read, to the
//! one when the event had come; an event that came before its answer counts as no time at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use memchr::memmem;
use tidegate::load::Latencies;
use tidegate::model::Kind;
use uuid::Uuid;

use super::super::common::{DAY_US, GIB, Result, as_f64};
use super::super::feed::{Feed, Until};
use super::super::figures::Figures;
use super::super::machine;
use super::super::newest::{fill_on, wait_until_closed};
use super::super::options::{DELIVERY_RATE, Options};
use super::super::runs::{A_MINUTE, BEGINNING, LATENCY_BATCH, LATENCY_CONNECTIONS, Run};
use super::super::sender::Sender;
use super::super::stream::follow;
use super::super::target::Target;
use super::super::templates::templates;
use super::client::Client;
use super::member::{Group, Member, Way};
use super::{CONSUMER, SETTLE, STREAM, logged, stored};

const BODIES: u64 = 2000;
/// Lines end when nothing has come for so long: longer than any COMMIT.
const SILENCE: &str = "10s";
/// Deriving from a full day takes its time.
const CLOSED_WITHIN: Duration = Duration::from_secs(1800);
/// In an event's metadata.
const RECEIPT: &[u8] = b"\"receipt\": \"";
const UUID_CHARS: usize = 36;
/// Generous: what an event of a day takes with all that is kept about it.
const BYTES_TIMESCALE: u64 = 200;
const BYTES_POSTGRES: u64 = 1200;

#[derive(Clone, Copy)]
enum Consumer {
    /// GET .../events as NDJSON, with `wait`.
    Lines,
    /// The only member of a group, by long polls.
    Group,
}

impl Consumer {
    fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Group => "a group",
        }
    }
}

/// Where answers and events meet.
#[derive(Default)]
struct Deliveries {
    answered_at: HashMap<Uuid, Instant>,
    latencies: Latencies,
    arrived: u64,
    /// Of them, those that came before the answer to their request.
    early: u64,
}

impl Deliveries {
    fn answer(&mut self, receipt: Uuid, at: Instant) {
        self.answered_at.insert(receipt, at);
    }

    fn arrive(&mut self, at: Instant, receipts: &[(Uuid, u64)]) {
        for (receipt, events) in receipts {
            let answered_at = self.answered_at.get(receipt);
            self.early += if answered_at.is_none() { *events } else { 0 };
            let took = answered_at.map_or(Duration::ZERO, |answered_at| at.saturating_duration_since(*answered_at));
            (0..*events).for_each(|_| self.latencies.record(took));
            self.arrived += events;
        }
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Deliveries>>);

impl Shared {
    fn with<T>(&self, what: impl FnOnce(&mut Deliveries) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    for consumer in [Consumer::Lines, Consumer::Group] {
        target.fresh().await?;
        measure(target, options, consumer, "an empty day", figures).await?;
    }
    target.fresh().await?;
    let per_event = if target.is_timescale() { BYTES_TIMESCALE } else { BYTES_POSTGRES };
    let room = machine::room_bytes(options.disk_gib * GIB) / per_event;
    for &wanted in &options.day_events {
        if wanted > room {
            figures.fail(format!("delivery on {}: there is room for {room} events", day(wanted)));
            continue;
        }
        let (there, filled_on) = (target.count("SELECT count(*) FROM events").await?, today());
        // What was measured before is in it as well.
        if wanted > there {
            fill_on(target, there, wanted - there, options.connections).await?;
        }
        // As it is in a day that was written over hours: derived from, with statistics, and no checkpoint due.
        wait_until_closed(target, CLOSED_WITHIN).await?;
        target.owner.batch_execute("ANALYZE events").await?;
        target.checkpoint().await?;
        for consumer in [Consumer::Lines, Consumer::Group] {
            measure(target, options, consumer, &day(wanted), figures).await?;
        }
        if today() != filled_on {
            return Err(format!("{}: midnight in UTC came meanwhile; the day was not the full one", day(wanted)).into());
        }
    }
    Ok(())
}

/// The UTC day, whose chunk is written to.
fn today() -> i64 {
    jiff::Timestamp::now().as_microsecond().div_euclid(DAY_US)
}

fn day(events: u64) -> String {
    match (events / 1_000_000, events % 1_000_000) {
        (millions, 0) => format!("a day of {millions} million"),
        _ => format!("a day of {events}"),
    }
}

async fn measure(
    target: &Target,
    options: &Options,
    consumer: Consumer,
    state: &str,
    figures: &mut Figures,
) -> Result<()> {
    let rate = options.delivery_rate;
    let state = if rate == DELIVERY_RATE { state.to_owned() } else { format!("{state} at {rate}/s") };
    let name = format!("COMMIT to delivery, {}, {state}", consumer.name());
    let feed = |length| Feed::in_turn(templates(BODIES, LATENCY_BATCH), 1, Until::Elapsed(length)).paced(rate.into());
    // A day's first rows wait until its chunk is made, and the stream is there when it is read.
    Run::of(target, feed(BEGINNING), LATENCY_CONNECTIONS).await?;
    let before = stored(target).await?;
    let from = logged(target, before).await?;

    let (deliveries, expected) = (Shared::default(), AtomicU64::new(u64::MAX));
    let heard = deliveries.clone();
    let sender = Sender::new(target, Kind::Events, &target.keys)?
        .heard_by(move |receipt, at| heard.with(|all| all.answer(receipt, at)));
    let length = if options.quick { options.short() } else { A_MINUTE };
    let send = async {
        let run = Run::by(target, sender, feed(length), LATENCY_CONNECTIONS).await;
        // Where it failed there is nothing to wait for.
        expected.store(run.as_ref().map_or(0, |run| run.sent.accepted()), Ordering::Relaxed);
        run
    };
    let consume = async {
        match consumer {
            Consumer::Lines => lines(target, from, &deliveries).await,
            Consumer::Group => group(target, options, from, &deliveries, &expected).await,
        }
    };
    let consume = tokio::time::timeout(length + SETTLE, consume);
    let (run, consumed) = tokio::join!(send, consume);
    let run = run?;
    consumed.map_err(|_| format!("{name}: not all events came within {SETTLE:?} after the last was sent"))??;
    let (ms, arrived, early) = deliveries.with(|all| (all.latencies.ms(), all.arrived, all.early));
    if arrived != run.sent.accepted() {
        return Err(format!("{name}: {arrived} events came of {}", run.sent.accepted()).into());
    }
    run.add(figures, &format!("{name}: ingestion"));
    let part = as_f64(early) / as_f64(arrived);
    let values = [("p50 ms", ms.p50), ("p99 ms", ms.p99), ("ms at most", ms.max), ("part before its answer", part)];
    figures.add_all(&name, &values);
    target.check_stored("events", before + arrived).await
}

async fn lines(target: &Target, from: u64, deliveries: &Shared) -> Result<()> {
    let key = target.add_key(0, CONSUMER).await?;
    let path = format!("/v1/streams/{STREAM}/events?offset={from}&wait={SILENCE}");
    let mut begun_line = Vec::new();
    let see = |data: &[u8]| {
        let at = Instant::now();
        let Some(end) = memchr::memrchr(b'\n', data) else { return begun_line.extend_from_slice(data) };
        begun_line.extend_from_slice(&data[..end]);
        let receipts = receipts(begun_line.split(|byte| *byte == b'\n'));
        deliveries.with(|all| all.arrive(at, &receipts));
        begun_line.clear();
        begun_line.extend_from_slice(&data[end + 1..]);
    };
    follow(target, &path, "application/x-ndjson", &key, see).await.map(drop)
}

async fn group(target: &Target, options: &Options, from: u64, deliveries: &Shared, expected: &AtomicU64) -> Result<()> {
    let key = target.add_key(0, CONSUMER).await?;
    let mut client = Client::new(target, &key)?;
    let name = Uuid::now_v7().to_string();
    let group = Group::create(&mut client, Way::Alone, &name, &from.to_string()).await?;
    let mut member = Member::new(target, &key, &group, None, options.group_limit)?;
    while deliveries.with(|all| all.arrived) < expected.load(Ordering::Relaxed) {
        let see = |events: &[&serde_json::value::RawValue]| {
            let receipts = receipts(events.iter().map(|event| event.get().as_bytes()));
            deliveries.with(|all| all.arrive(Instant::now(), &receipts));
        };
        // Looks now and then whether it is over.
        member.next("1s", see).await?;
    }
    member.end().await
}

/// The receipts of events, and how many events in a row have each.
fn receipts<'a>(events: impl Iterator<Item = &'a [u8]>) -> Vec<(Uuid, u64)> {
    let finder = memmem::Finder::new(RECEIPT);
    let mut found: Vec<(Uuid, u64)> = Vec::new();
    for event in events {
        let at = finder.find(event).map(|at| at + RECEIPT.len());
        let receipt = at.and_then(|at| Uuid::try_parse_ascii(event.get(at..at + UUID_CHARS)?).ok());
        // One without a receipt is nobody's: it has come, and is told by the count alone.
        let receipt = receipt.unwrap_or_default();
        match found.last_mut() {
            Some((last, events)) if *last == receipt => *events += 1,
            _ => found.push((receipt, 1)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_counted_in_a_row() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let event = |receipt: Uuid| format!(r#"{{"payload":{{}},"metadata":{{"receipt": "{receipt}", "a": 1}}}}"#);
        let lines = [event(one), event(one), event(two), event(one), "{}".to_owned()].join("\n");
        let found = receipts(lines.as_bytes().split(|byte| *byte == b'\n'));
        assert_eq!(found, [(one, 2), (two, 1), (one, 1), (Uuid::nil(), 1)]);
    }

    #[test]
    fn what_comes_before_its_answer_took_no_time() {
        let (mut all, at, receipt) = (Deliveries::default(), Instant::now(), Uuid::from_u128(1));
        all.arrive(at, &[(receipt, 2)]);
        assert_eq!((all.arrived, all.early, all.latencies.ms().max), (2, 2, 0.0));
        all.answer(receipt, at);
        all.arrive(at + Duration::from_millis(40), &[(receipt, 1)]);
        assert_eq!((all.arrived, all.early, all.latencies.ms().max), (3, 2, 40.0));
    }

    #[test]
    fn days_are_named_by_their_millions() {
        assert_eq!((day(20_000_000), day(60_000)), ("a day of 20 million".into(), "a day of 60000".into()));
    }
}
