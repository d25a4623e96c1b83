//! What was read of logs, kept for a while for others who come to the same place: other groups of the stream, other members of an
//! ordered group, and who goes on behind it where more was read than was asked for.
//!
//! One reader reads, the others wait for it. What is kept is bounded for the node and goes by its last use; the log itself says
//! each time which batches come next, so that nothing is taken of a history that is over.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use metrics::counter;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::amount::{Look, a_second};
use super::batches::Stretch;
use super::piece::Piece;
use crate::limits::READ_AHEAD_KEPT;

/// Whose events, of which types (none: of all).
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    pub tenant_id: String,
    pub stream: String,
    pub event_types: Vec<String>,
}

/// Pieces of logs.
#[derive(Debug)]
pub struct ReadAhead {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    logs: HashMap<Arc<Selection>, Log>,
    /// What is kept by its last use.
    uses: BTreeMap<u64, (Arc<Selection>, i64)>,
    /// Counts uses and flights.
    number: u64,
    kept_bytes: usize,
    /// For pieces that are being read.
    promised_bytes: usize,
    is_swept: bool,
}

#[derive(Debug, Default)]
struct Log {
    /// By where they begin.
    pieces: BTreeMap<i64, Kept>,
    flights: Vec<UnderWay>,
}

#[derive(Debug)]
struct Kept {
    piece: Arc<Piece>,
    used: u64,
    read_at: Instant,
}

/// A piece that somebody reads.
#[derive(Debug)]
struct UnderWay {
    number: u64,
    from: i64,
    /// About.
    to: i64,
    done: Arc<AsyncMutex<()>>,
}

/// What there is at a place.
#[derive(Debug)]
pub enum Found {
    Here(Arc<Piece>),
    /// Another reads it, and holds this until it has.
    UnderWay(Arc<AsyncMutex<()>>),
    /// It is to be read.
    Missing(Flight),
}

/// How much is to be read from a place on.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    pub events: usize,
    /// What they take in memory, about.
    pub bytes: usize,
    /// How what lies before them was read.
    pub look: Option<Look>,
    /// How many a cursor is to go through, where that is better.
    pub pass: Option<usize>,
}

/// The right to read a piece that others wait for; dropped, it is another's.
#[derive(Debug)]
pub struct Flight {
    ahead: Arc<ReadAhead>,
    of: Arc<Selection>,
    number: u64,
    pub amount: Amount,
    /// Where what comes next is here already.
    pub before: i64,
    promised: usize,
    _done: OwnedMutexGuard<()>,
}

impl ReadAhead {
    /// That keeps so many bytes at most.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, state: Mutex::default() })
    }

    /// Bytes of what is kept, and of what is being read to be kept.
    pub fn bytes(&self) -> usize {
        let state = self.state();
        state.kept_bytes + state.promised_bytes
    }

    /// What one piece may take: the next one is read while it is still used.
    pub fn piece_bytes_max(&self) -> usize {
        self.bytes_max / 2
    }

    /// How many events a reader that needs so many should ask for from a place on.
    pub fn amount(&self, of: &Arc<Selection>, from: i64, events: usize) -> usize {
        let state = self.state();
        let log = state.logs.get(of).filter(|log| log.at(from).is_none());
        log.map_or(events, |log| log.amount(from, events, self.piece_bytes_max()).events)
    }

    /// The piece in which an offset lies, of a log that goes on there with this stretch.
    pub fn find(self: &Arc<Self>, of: &Arc<Selection>, at: i64, events: usize, stretch: &Stretch<'_>) -> Found {
        let mut state = self.state();
        if let Some((from, is_good)) = state.logs.get(of).and_then(|log| {
            let kept = log.at(at)?;
            Some((kept.piece.from, kept.read_at.elapsed() < READ_AHEAD_KEPT && kept.piece.is_of(stretch)))
        }) {
            if is_good {
                counter!("tidegate_read_ahead_total", "found" => "here").increment(1);
                return Found::Here(state.touch(of, from));
            }
            state.forget(of, from);
        }
        state.number += 1;
        let number = state.number;
        let log = state.logs.entry(Arc::clone(of)).or_default();
        if let Some(flight) = log.flights.iter().find(|flight| (flight.from..flight.to).contains(&at)) {
            counter!("tidegate_read_ahead_total", "found" => "under_way").increment(1);
            return Found::UnderWay(Arc::clone(&flight.done));
        }
        counter!("tidegate_read_ahead_total", "found" => "missing").increment(1);
        let amount = log.amount(at, events, self.piece_bytes_max());
        let before = log.pieces.range(at + 1..).next().map_or(i64::MAX, |(from, _)| *from);
        let done = Arc::new(AsyncMutex::new(()));
        let held = Arc::clone(&done).try_lock_owned().expect("nobody else has it yet");
        let to = at.saturating_add(i64::try_from(amount.events).unwrap_or(i64::MAX)).min(before);
        log.flights.push(UnderWay { number, from: at, to, done });
        let (ahead, of) = (Arc::clone(self), Arc::clone(of));
        Found::Missing(Flight { ahead, of, number, amount, before, promised: 0, _done: held })
    }

    /// Forgets what is too old, until there is nothing.
    async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(READ_AHEAD_KEPT).await;
            let mut state = self.state();
            let State { logs, .. } = &*state;
            let is_old = |kept: &Kept| kept.read_at.elapsed() >= READ_AHEAD_KEPT;
            let old: Vec<(Arc<Selection>, i64)> = logs
                .iter()
                .flat_map(|(of, log)| log.pieces.iter().map(move |(from, kept)| (of, from, kept)))
                .filter(|(_, _, kept)| is_old(kept))
                .map(|(of, from, _)| (Arc::clone(of), *from))
                .collect();
            for (of, from) in old {
                state.forget(&of, from);
            }
            if state.uses.is_empty() {
                state.is_swept = false;
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn at(&self, offset: i64) -> Option<&Kept> {
        self.pieces.range(..=offset).next_back().map(|(_, kept)| kept).filter(|kept| offset < kept.piece.to)
    }

    /// How much from here on, by what those before them took, for who needs so many.
    fn amount(&self, from: i64, needed: usize, bytes_max: usize) -> Amount {
        let before = self.pieces.range(..from).next_back().map(|(_, kept)| kept).filter(|kept| kept.piece.to == from);
        let Some((kept, look)) = before.and_then(|kept| Some((kept, kept.piece.look?))) else {
            return Amount { events: needed, bytes: 0, look: None, pass: None };
        };
        let events = look.next(needed, bytes_max);
        let offsets = usize::try_from(kept.piece.to - kept.piece.from).unwrap_or_default();
        let pace = a_second(offsets, kept.read_at.elapsed());
        Amount { events, bytes: look.bytes_of(events), look: Some(look), pass: look.pass(bytes_max, pace) }
    }
}

impl State {
    fn touch(&mut self, of: &Arc<Selection>, from: i64) -> Arc<Piece> {
        self.number += 1;
        let kept = self.logs.get_mut(of).and_then(|log| log.pieces.get_mut(&from)).expect("it was just found");
        let (of, from) = self.uses.remove(&kept.used).expect("what is kept has a use");
        kept.used = self.number;
        self.uses.insert(self.number, (of, from));
        Arc::clone(&kept.piece)
    }

    fn keep(&mut self, of: &Arc<Selection>, piece: &Arc<Piece>) {
        self.forget(of, piece.from);
        self.number += 1;
        self.kept_bytes += piece.bytes;
        self.uses.insert(self.number, (Arc::clone(of), piece.from));
        let kept = Kept { piece: Arc::clone(piece), used: self.number, read_at: Instant::now() };
        self.logs.entry(Arc::clone(of)).or_default().pieces.insert(piece.from, kept);
    }

    fn forget(&mut self, of: &Arc<Selection>, from: i64) {
        let Some(log) = self.logs.get_mut(of) else { return };
        if let Some(kept) = log.pieces.remove(&from) {
            self.uses.remove(&kept.used);
            self.kept_bytes -= kept.piece.bytes;
        }
        if log.pieces.is_empty() && log.flights.is_empty() {
            self.logs.remove(of);
        }
    }

    /// Forgets what was used longest ago, until so many bytes are free, or nothing is kept.
    fn make_room(&mut self, bytes: usize, bytes_max: usize) {
        while self.kept_bytes + self.promised_bytes + bytes > bytes_max {
            let Some((_, (of, from))) = self.uses.pop_first() else { return };
            self.forget(&of, from);
        }
    }
}

impl Flight {
    /// Takes memory for what is to be read; returns how much of it there is.
    pub fn promise(&mut self) -> usize {
        let mut state = self.ahead.state();
        let free = self.ahead.bytes_max.saturating_sub(state.promised_bytes);
        self.promised = self.amount.bytes.min(free).min(self.ahead.piece_bytes_max());
        state.make_room(self.promised, self.ahead.bytes_max);
        state.promised_bytes += self.promised;
        self.promised
    }

    /// It has been read.
    pub fn land(mut self, piece: Piece) -> Arc<Piece> {
        let piece = Arc::new(piece);
        let mut state = self.ahead.state();
        state.promised_bytes -= std::mem::take(&mut self.promised);
        let bytes_max = self.ahead.bytes_max;
        if piece.bytes <= bytes_max.saturating_sub(state.promised_bytes) && piece.to > piece.from {
            state.make_room(piece.bytes, bytes_max);
            state.keep(&self.of, &piece);
            if !std::mem::replace(&mut state.is_swept, true) {
                tokio::spawn(Arc::clone(&self.ahead).sweep());
            }
        }
        drop(state);
        piece
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.ahead.state();
        state.promised_bytes -= self.promised;
        if let Some(log) = state.logs.get_mut(&self.of) {
            log.flights.retain(|flight| flight.number != self.number);
        }
        // Where nothing was kept of the log, nothing is left of it.
        if state.logs.get(&self.of).is_some_and(|log| log.pieces.is_empty() && log.flights.is_empty()) {
            state.logs.remove(&self.of);
        }
    }
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
