use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::limits::{KIB, MIB};
use crate::query::log::amount::Look;
use crate::query::log::batches::LoggedBatch;
use crate::query::log::logged::LoggedEvent;

fn of(stream: &str) -> Arc<Selection> {
    Arc::new(Selection { tenant_id: "acme".into(), stream: stream.into(), event_types: Vec::new() })
}

/// A log of batches of ten.
fn log(first_id: i64) -> Vec<LoggedBatch> {
    let at = Timestamp::UNIX_EPOCH;
    let batch = |n| LoggedBatch { base: n * 10, span: 10, batch_id: first_id + n, events: 10, oldest: at, newest: at };
    (0..100_000).map(batch).collect()
}

/// A piece of so many events of so many bytes each.
fn piece(log: &[LoggedBatch], from: i64, events: usize, bytes: usize, took: Duration) -> Piece {
    let stretch = Stretch::of(&log[usize::try_from(from / 10).expect("a batch")..], from, events);
    let found = (stretch.from..stretch.to).map(|offset| LoggedEvent::example(offset, 0, bytes)).collect();
    let mut piece = Piece::new(&stretch, found);
    piece.look = Some(Look::after(None, events, piece.bytes, false, took));
    piece
}

fn find(ahead: &Arc<ReadAhead>, of: &Arc<Selection>, log: &[LoggedBatch], at: i64, events: usize) -> Found {
    ahead.find(of, at, events, &Stretch::of(&log[usize::try_from(at / 10).expect("a batch")..], at, events))
}

fn missing(found: Found) -> Flight {
    match found {
        Found::Missing(flight) => flight,
        other => panic!("{other:?}"),
    }
}

const QUICK: Duration = Duration::from_millis(1);

#[tokio::test]
async fn one_reads_and_the_others_wait() {
    let (ahead, of, log) = (ReadAhead::new(MIB), of("s"), log(1));
    let flight = missing(find(&ahead, &of, &log, 100, 50));
    let Found::UnderWay(done) = find(&ahead, &of, &log, 120, 50) else { panic!("it is being read") };
    assert!(done.try_lock().is_err());
    // What is not in it, and what is of other types or another stream, is another's.
    for (other, at) in [(&of, 150), (&of, 99), (&self::of("t"), 100)] {
        drop(missing(find(&ahead, other, &log, at, 1)));
    }
    let landed = flight.land(piece(&log, 100, 50, 100, QUICK));
    assert!(done.try_lock().is_ok());
    let Found::Here(here) = find(&ahead, &of, &log, 120, 50) else { panic!("it was read") };
    assert!(Arc::ptr_eq(&landed, &here) && here.within(120..125).len() == 5);
    // Nobody reads what is here already.
    assert_eq!(missing(find(&ahead, &of, &log, 60, 500)).before, 100);
}

#[tokio::test]
async fn who_gives_up_leaves_it_to_the_next() {
    let (ahead, of, log) = (ReadAhead::new(MIB), of("s"), log(1));
    let flight = missing(find(&ahead, &of, &log, 0, 50));
    let Found::UnderWay(done) = find(&ahead, &of, &log, 0, 50) else { panic!("it is being read") };
    drop(flight);
    assert!(done.try_lock().is_ok());
    drop(missing(find(&ahead, &of, &log, 0, 50)));
    assert!(ahead.state().logs.is_empty(), "nothing is left of what was not read");
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_what_is_used_stays() {
    let (bytes_max, log) = (256 * KIB, log(1));
    let ahead = ReadAhead::new(bytes_max);
    let used = of("used");
    missing(find(&ahead, &used, &log, 0, 20)).land(piece(&log, 0, 20, 100, QUICK));
    for n in 0..2000_i64 {
        let of = of(&format!("s{}", n % 7));
        let events = usize::try_from(n % 97).expect("few") + 1;
        let flight = missing(find(&ahead, &of, &log, n * 100, events));
        flight.land(piece(&log, n * 100, events, 300, QUICK));
        assert!(ahead.bytes() <= bytes_max, "{n}: {}", ahead.bytes());
        assert!(matches!(find(&ahead, &used, &log, 5, 1), Found::Here(_)), "{n}");
    }
    let pieces: usize = ahead.state().logs.values().map(|log| log.pieces.len()).sum();
    assert!(pieces > 3 && pieces == ahead.state().uses.len());
    // One that is larger than all is handed out, and not kept.
    let landed = missing(find(&ahead, &used, &log, 50_000, 4000)).land(piece(&log, 50_000, 4000, 300, QUICK));
    assert!(landed.within(50_000..54_000).len() == 4000 && ahead.bytes() <= bytes_max);
    assert!(matches!(find(&ahead, &used, &log, 50_000, 1), Found::Missing(_)));
}

#[tokio::test]
async fn what_is_read_has_its_memory_before_it_comes() {
    let (bytes_max, of, log) = (32 * MIB, of("s"), log(1));
    let ahead = ReadAhead::new(bytes_max);
    let dear = |from, events| piece(&log, from, events, 700, Duration::from_millis(200));
    missing(find(&ahead, &of, &log, 0, 10_000)).land(dear(0, 10_000));
    let kept = ahead.bytes();
    let mut flights: Vec<Flight> = Vec::new();
    for n in 0..3 {
        let mut flight = missing(find(&ahead, &of, &log, 10_000, 1));
        let Amount { events, bytes, .. } = flight.amount;
        assert!(events > 10_000 && bytes > 8 * MIB, "{events} {bytes}");
        let promised = flight.promise();
        assert!(promised <= ahead.piece_bytes_max() && (n < 2) == (promised > 0), "{n}: {promised}");
        assert!(ahead.bytes() <= bytes_max);
        // As if others read elsewhere.
        ahead.state().logs.get_mut(&of).expect("it is there").flights.clear();
        flights.push(flight);
        if n == 0 {
            assert!(matches!(find(&ahead, &of, &log, 0, 1), Found::Here(_)));
        }
        if ahead.state().kept_bytes == 0 {
            break;
        }
    }
    drop(flights);
    assert!(ahead.bytes() <= kept, "what was promised is given back");
}

#[tokio::test]
async fn who_goes_on_gets_more_where_it_is_dear() {
    let (ahead, of, log) = (ReadAhead::new(64 * MIB), of("s"), log(1));
    let dear = Duration::from_millis(200);
    missing(find(&ahead, &of, &log, 0, 100)).land(piece(&log, 0, 100, 500, dear));
    assert_eq!((ahead.amount(&of, 100, 100), ahead.amount(&of, 0, 100), ahead.amount(&of, 101, 100)), (400, 100, 100));
    assert_eq!(missing(find(&ahead, &of, &log, 100, 100)).amount.events, 400);
    assert_eq!(missing(find(&ahead, &of, &log, 5000, 100)).amount.events, 100, "elsewhere nothing is known");
}

#[tokio::test]
async fn nothing_is_taken_of_another_history_nor_of_long_ago() {
    let (ahead, of, log_before, log_now) = (ReadAhead::new(MIB), of("s"), log(1), log(500_000));
    missing(find(&ahead, &of, &log_before, 0, 50)).land(piece(&log_before, 0, 50, 100, QUICK));
    missing(find(&ahead, &of, &log_now, 20, 10)).land(piece(&log_now, 20, 10, 100, QUICK));
    assert!(matches!(find(&ahead, &of, &log_now, 25, 1), Found::Here(_)));
    for kept in ahead.state().logs.get_mut(&of).expect("it is there").pieces.values_mut() {
        kept.read_at = kept.read_at.checked_sub(READ_AHEAD_KEPT).expect("the machine runs for longer");
    }
    drop(missing(find(&ahead, &of, &log_now, 25, 1)));
    assert_eq!((ahead.bytes(), ahead.state().uses.len()), (0, 0));
}
