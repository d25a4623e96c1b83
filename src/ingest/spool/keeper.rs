//! The one writer of a spool: appends groups of records, saves the cursor, takes drained segments away. Plain code
//! that blocks; [`super::thread`] runs it, and tests drive it through every failure.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::config::SpoolPlace;
use super::cursor::Cursor;
use super::error::AppendError;
use super::fs::{File, Fs};
use super::index::Index;
use super::quarantine;
use super::record::{
    HEAD_BYTES, HEADER_BYTES, Header, Meta, RecordHead, RecordPayload, RecordType, Sequence, fits, segment_name,
};
use super::state::{Segment, Shared, Totals};

/// A record on its way into the spool.
pub struct PendingAppend {
    pub payload: RecordPayload,
    pub meta: Meta,
}

/// The segment that is written to. It holds nothing but acknowledged records up to `end`.
struct Active {
    first: u64,
    marker: u64,
    file: Arc<dyn File>,
    end: u64,
}

pub struct Keeper {
    pub fs: Arc<dyn Fs>,
    pub config: SpoolPlace,
    pub shared: Arc<Shared>,
    pub cursor: Cursor,
    /// What the cursor on disk says.
    pub saved: u64,
    active: Option<Active>,
}

impl Keeper {
    pub fn new(fs: Arc<dyn Fs>, config: SpoolPlace, shared: Arc<Shared>, cursor: Cursor, saved: u64) -> Self {
        Self { fs, config, shared, cursor, saved, active: None }
    }

    /// Appends what there is room for with one write and one sync; an answer for each, in order.
    pub fn commit(&mut self, group: &[PendingAppend]) -> Vec<Result<Sequence, AppendError>> {
        let mut answers = vec![Err(AppendError::Full); group.len()];
        let mut chosen = self.choose(group);
        if chosen.len() < group.len() && self.retire_drained() {
            chosen = self.choose(group);
        }
        if chosen.is_empty() {
            return answers;
        }
        let written = self.write(group, &chosen);
        for (nth, at) in chosen.into_iter().enumerate() {
            answers[at] = written.clone().map(|first| first + nth as u64);
        }
        answers
    }

    /// Those of the group that `max_bytes` has room for.
    fn choose(&self, group: &[PendingAppend]) -> Vec<usize> {
        let mut room = self.config.max_bytes.saturating_sub(self.shared.lock().disk_bytes() + HEADER_BYTES as u64);
        let mut chosen = Vec::new();
        for (at, pending) in group.iter().enumerate() {
            let bytes = record_bytes(pending);
            if bytes <= room && fits(pending.payload.len()) {
                room -= bytes;
                chosen.push(at);
            }
        }
        chosen
    }

    /// Writes the chosen ones; the sequence of the first.
    fn write(&mut self, group: &[PendingAppend], chosen: &[usize]) -> Result<Sequence, AppendError> {
        let bytes: u64 = chosen.iter().map(|at| record_bytes(&group[*at])).sum();
        let next = self.shared.lock().next;
        let full = |active: &Active| active.end > HEADER_BYTES as u64 && active.end + bytes > self.segment_bytes();
        if self.active.as_ref().is_none_or(full) {
            self.active = None;
            // Nothing of this group was written, so nothing of it can come back.
            self.begin_segment(next).map_err(|error| AppendError::Failed(error.to_string()))?;
        }
        let active = self.active.as_mut().expect("it was begun above");
        let now_us = self.fs.now_us();
        let mut heads = Vec::with_capacity(chosen.len());
        for (sequence, at) in (next..).zip(chosen) {
            let PendingAppend { payload, meta } = &group[*at];
            heads.push(RecordHead::new(active.marker, sequence, RecordType::Request, now_us, *meta, payload));
        }
        let encoded: Vec<_> = heads.iter().map(RecordHead::encode).collect();
        let mut parts: Vec<_> = encoded
            .iter()
            .zip(chosen)
            .flat_map(|(head, at)| [&head[..], &group[*at].payload.head, &group[*at].payload.body])
            .map(IoSlice::new)
            .collect();
        if let Err(error) = active.file.write_at(&mut parts, active.end) {
            return Err(self.undo_write(&error));
        }
        if let Err(error) = active.file.sync() {
            return Err(self.abandon(&error));
        }
        let mut offset = active.end;
        active.end += bytes;
        let mut state = self.shared.lock();
        state.next += heads.len() as u64;
        let next_sequence = state.next;
        let segment = state.segments.back_mut().expect("the active segment is the last");
        for head in &heads {
            segment.index.add(offset, head.appended_us, head.meta.receipt);
            offset += head.bytes;
        }
        (segment.end, segment.disk_bytes, segment.next) = (active.end, active.end, next_sequence);
        let items = heads.iter().map(|head| u64::from(head.meta.items)).sum();
        state.undrained += Totals { records: heads.len() as u64, items, bytes };
        drop(state);
        self.shared.announce();
        Ok(next)
    }

    /// After a failed write: cuts off what it left. The file was not synced since, so a sync of the cut can be
    /// believed.
    fn undo_write(&mut self, error: &io::Error) -> AppendError {
        tracing::error!(%error, "the spool could not be written; requests are answered 503");
        let Some(active) = &self.active else { return AppendError::Failed(error.to_string()) };
        match active.file.truncate(active.end).and_then(|()| active.file.sync()) {
            Ok(()) => AppendError::Failed(error.to_string()),
            Err(second) => self.abandon(&second),
        }
    }

    /// After a failed sync: the segment ends where it was durable before, and its successor's name says so.
    fn abandon(&mut self, error: &io::Error) -> AppendError {
        tracing::error!(%error, "a segment of the spool could not be synced; it is written to no more");
        metrics::counter!("tidegate_spool_sync_failures_total").increment(1);
        if let Some(active) = self.active.take() {
            if no_room(error) {
                // Nothing depends on the cut, but the successor needs the room.
                let _ = active.file.truncate(active.end);
            }
            // What is void takes room as well, until the segment is drained.
            if let (Ok(bytes), Some(segment)) = (active.file.bytes(), self.shared.lock().segments.back_mut()) {
                segment.disk_bytes = bytes;
            }
        }
        let next = self.shared.lock().next;
        match self.begin_segment(next) {
            Ok(()) => AppendError::Failed(error.to_string()),
            Err(second) => AppendError::Unsettled(format!("{error}; then {second}")),
        }
    }

    /// Makes the segment whose first record will be `first`, durably and in one step. It may take the place of a
    /// segment in which nothing was ever acknowledged.
    fn begin_segment(&mut self, first: u64) -> io::Result<()> {
        let header = Header { first, marker: self.fs.random()?, made_us: self.fs.now_us() };
        let path = self.config.dir.join(segment_name(first));
        let new = path.with_extension("tmp");
        // From an attempt that failed or was cut short.
        let _ = self.fs.unlink(&new);
        let file = self.fs.create_new(&new)?;
        let made = file
            .write_at(&mut [IoSlice::new(&header.encode())], 0)
            .and_then(|()| file.sync())
            .and_then(|()| self.fs.rename(&new, &path));
        if let Err(error) = made {
            let _ = self.fs.unlink(&new);
            return Err(error);
        }
        self.fs.sync_dir(&self.config.dir)?;
        let end = HEADER_BYTES as u64;
        let segment = Segment {
            first,
            file: Arc::clone(&file),
            marker: header.marker,
            made_us: header.made_us,
            end,
            next: first,
            disk_bytes: end,
            index: Index::default(),
            damaged: false,
        };
        let mut state = self.shared.lock();
        if state.segments.back().is_some_and(|last| last.first == first) {
            state.segments.pop_back();
        }
        state.segments.push_back(segment);
        drop(state);
        self.active = Some(Active { first, marker: header.marker, file, end });
        Ok(())
    }

    /// Saves how far the spool is drained and takes away what that has passed.
    pub fn settle(&mut self) -> io::Result<()> {
        let drained = self.shared.lock().drained().sequence;
        if drained > self.saved || !self.cursor.is_confirmed() {
            self.cursor.save(&*self.fs, drained)?;
            self.saved = drained;
        }
        // A segment that is drained while it is written to is worth a new one only if it is large.
        let large = |active: &Active| active.end > self.segment_bytes() / 8;
        if self.shared.lock().is_drained() && self.active.as_ref().is_some_and(large) {
            self.active = None;
        }
        self.remove_drained()
    }

    /// Makes room by ending a segment that is wholly drained; true if there was one.
    fn retire_drained(&mut self) -> bool {
        let held = self.active.as_ref().is_none_or(|active| active.end > HEADER_BYTES as u64);
        if !held || !self.shared.lock().is_drained() || self.shared.lock().segments.is_empty() {
            return false;
        }
        self.active = None;
        self.settle().is_ok()
    }

    /// Oldest first, each gone durably before the next: a segment's name also says where the one before it ends.
    fn remove_drained(&mut self) -> io::Result<()> {
        loop {
            let oldest = self.shared.lock().segments.front().cloned();
            let Some(oldest) = oldest else { return Ok(()) };
            let active = self.active.as_ref().is_some_and(|active| active.first == oldest.first);
            if active || oldest.next > self.saved {
                return Ok(());
            }
            if oldest.damaged
                && let Err(error) = self.quarantine_segment(&oldest)
            {
                tracing::warn!(%error, "a damaged segment could not be linked into the quarantine; moving it");
                quarantine::move_segment(&*self.fs, &self.config.dir, &oldest)?;
            }
            remove(&*self.fs, &self.config.dir, oldest.first)?;
            self.shared.lock().segments.pop_front();
        }
    }

    /// Gives a damaged segment a second name in the quarantine; it stays where it is until it is drained.
    pub fn quarantine_segment(&self, segment: &Segment) -> io::Result<()> {
        if quarantine::link_segment(&*self.fs, &self.config.dir, segment)? {
            let mut state = self.shared.lock();
            state.quarantined.files += 1;
            state.quarantined.bytes += segment.disk_bytes;
        }
        Ok(())
    }

    fn segment_bytes(&self) -> u64 {
        // A small spool has several segments as well, so that draining gives room back.
        self.config.segment_bytes.min(self.config.max_bytes / 8)
    }
}

/// Takes a segment away durably.
fn remove(fs: &dyn Fs, dir: &Path, first: u64) -> io::Result<()> {
    match fs.unlink(&dir.join(segment_name(first))) {
        // By an attempt whose sync failed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    fs.sync_dir(dir)
}

fn record_bytes(pending: &PendingAppend) -> u64 {
    (HEAD_BYTES + pending.payload.len()) as u64
}

fn no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
