//! The spool: requests that the database cannot take now are made safe on disk and drained in order later.
//!
//! An append is answered once it is synced; what was answered is delivered, in order, until it is acknowledged as
//! drained, across any crash. Records may be delivered again after one: the ledger tells. Nothing here knows the
//! database; [`request`] alone knows what a request is.
//!
//! # Files
//!
//! `lock`, `cursor`, `NNNNNNNNNNNNNNNNNNNN.seg` (the name is the sequence of the first record), `quarantine/`, and of
//! what is to go from there `resend/` and `drop/` ([`kept`]). The format is in [`record`]. A segment is made as `.tmp`, synced, renamed, and its folder synced, before a record goes
//! into it. No segment of an earlier process is written to again. A segment is removed only after the cursor that
//! passed it is durable, oldest first, each durably before the next.
//!
//! # Where a segment ends
//!
//! Sequences are given out without a gap, and those of an append that failed are given to the next one. So a segment
//! holds the sequences from its own name up to its successor's, and **the successor's name says where it ends**: a
//! record beyond was never acknowledged, and is not read, however whole it looks.
//!
//! That matters when a sync fails. What was written may be on disk or not, now or later; the kernel may drop it, call
//! the pages clean, and let the next sync of that file succeed. So the file is never synced again, and cutting it is
//! worth nothing, since the cut could not be synced. But its senders are told that it failed, they may send again,
//! without a key, and then nobody could tell the copies apart. So before they are told, the successor is made durable
//! under the sequence that the first of their records had: from then on these records are void, in this process and in
//! any later one. A segment in which nothing was acknowledged yet is replaced by a successor of the same name, in one
//! rename. If even that cannot be made, the answer is [`AppendError::Unsettled`]; nobody can promise more on a disk
//! that takes nothing.
//!
//! After a failed write (a full disk, mostly) nothing was synced since, so the torn record is cut off and the cut
//! synced, which can be believed; the segment then goes on when there is room.
//!
//! # Damage
//!
//! Only the last segment can end in the middle of a record, since every other has a successor: there it is what a
//! crash left of an append that was never answered, and is passed over, unless the record is there in its whole length: it
//! may have been answered, and gone bad since. Anything else that is no record is damage: it
//! is skipped up to the next place where the segment's marker (64 random bits, which no sender can put into a body), a
//! fitting sequence and the CRC agree; the rest is delivered, the file is kept in the quarantine, and
//! `tidegate_spool_quarantined_total` rises. A lost cursor means that everything still there is drained again.
//!
//! # Why no crate
//!
//! Looked at: raft-engine (panics when a sync fails), okaywal (calls itself not for production; last release 2023),
//! open-wal (by its documentation, corruption in the middle of the log is fatal at open), persistent-queue (sits on
//! sled or redb). Of yaque, walogs and wal-db only the pages of their documentation were read. In none of them was it
//! found that damage is skipped and the rest goes on, or that a record whose sync failed is kept void.

mod config;
mod cursor;
mod disk;
mod error;
mod fields;
pub mod fs;
mod fuzz;
mod index;
mod keeper;
pub mod kept;
mod look;
mod lost;
mod memory;
mod original;
mod quarantine;
mod read;
mod record;
mod recover;
pub mod request;
mod scan;
mod state;
mod stats;
mod survey;
mod thread;
mod window;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use uuid::Uuid;

pub use config::SpoolPlace;
pub use disk::Disk;
pub use error::{AppendError, KeepError, SpoolError};
pub use fuzz::recover_bytes;
pub use look::{Look, look};
pub use read::Entry;
pub use record::{Meta, RecordPayload};
pub use recover::Recovery;
pub use request::{PossiblyCommitted, SpooledRequest, SpooledSummary};
pub use state::{Quarantined, Totals};
pub use stats::Stats;

use crate::limits::SPOOL_QUEUE_BYTES;
use fs::Fs;
use keeper::PendingAppend;
use kept::{Action, Kept, LostRequests};
use read::Taken;
use record::{Sequence, fits};
use request::SUMMARY_BYTES_MAX;
use state::Shared;
use thread::KeeperCommand;

/// Permits of the queue are so many bytes each.
const PERMIT_BYTES: usize = 1024;

pub struct Spool {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    shared: Arc<Shared>,
    queue: Arc<Semaphore>,
    commands: Sender<KeeperCommand>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lost: Arc<Mutex<LostRequests>>,
}

impl Spool {
    /// Opens the spool of a folder and starts its thread. Blocks: it reads every segment that is not drained.
    pub fn open(config: SpoolPlace, fs: Arc<dyn Fs>) -> Result<(Arc<Self>, Recovery), SpoolError> {
        let dir = config.dir.clone();
        // Said from the start: an alarm on its growth cannot see a counter that appears with its first file.
        metrics::counter!("tidegate_spool_quarantined_total").increment(0);
        let opened = recover::open(config, Arc::clone(&fs))?;
        let shared = Arc::clone(&opened.keeper.shared);
        let (commands, thread) = thread::start(opened.keeper, opened.lock)
            .map_err(|error| SpoolError::io("start the thread of the spool", &dir, error))?;
        let queue = Arc::new(Semaphore::new(SPOOL_QUEUE_BYTES / PERMIT_BYTES));
        let (thread, lost) = (Mutex::new(Some(thread)), Arc::default());
        let spool = Self { dir, fs, shared, queue, commands, thread, lost };
        Ok((Arc::new(spool), opened.recovery))
    }

    /// Appends a record; resolves once it is durable. If the future is dropped before that, the record is either not
    /// in the spool or whole in it.
    pub async fn append(&self, payload: impl Into<RecordPayload>, meta: Meta) -> Result<Sequence, AppendError> {
        let payload = payload.into();
        if !fits(payload.len()) {
            return Err(AppendError::Failed(format!("{} bytes are too large for a record", payload.len())));
        }
        let permits = payload.len().div_ceil(PERMIT_BYTES).clamp(1, SPOOL_QUEUE_BYTES / PERMIT_BYTES);
        let permits = u32::try_from(permits).expect("the queue has few permits");
        let queued = Arc::clone(&self.queue).acquire_many_owned(permits).await.map_err(|_| AppendError::Closed)?;
        let (appender, answer) = oneshot::channel();
        let pending = PendingAppend { payload, meta };
        self.commands.send(KeeperCommand::Append { pending, appender, queued }).map_err(|_| AppendError::Closed)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// The records after those already read, up to `bytes_max` bytes, but one at least; waits until there is one.
    /// Empty only when the spool is closed. If the future is dropped, nothing counts as read.
    pub async fn next(&self, bytes_max: usize) -> Vec<Entry> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            let closed = self.shared.lock().closed;
            changed.mark_unchanged();
            let shared = Arc::clone(&self.shared);
            let seen = spawn_blocking(move || shared.look(bytes_max)).await.unwrap_or(None);
            match self.shared.take(seen) {
                Taken::Entries(entries) => return entries,
                Taken::Again => {}
                Taken::Nothing if closed => return Vec::new(),
                // The sender is in `shared`, which is alive.
                Taken::Nothing => changed.changed().await.unwrap_or(()),
            }
        }
    }

    /// All records up to `through`, which was read, are drained. Resolves once that is durable.
    pub async fn acknowledge(&self, through: Sequence) -> Result<(), KeepError> {
        if !self.shared.lock().acknowledge(through) {
            return Err(KeepError::NotDelivered);
        }
        let (settler, settled) = oneshot::channel();
        self.commands.send(KeeperCommand::Settle(settler)).map_err(|_| KeepError::Closed)?;
        settled.await.map_err(|_| KeepError::Closed)?.map_err(KeepError::Io)
    }

    /// Whether a tenant's request with this receipt waits in the spool.
    pub async fn find(&self, tenant_id: &str, receipt: Uuid) -> Option<SpooledSummary> {
        let shared = Arc::clone(&self.shared);
        let found = spawn_blocking(move || shared.with_receipt(receipt, SUMMARY_BYTES_MAX)).await.ok()?;
        found
            .iter()
            .filter_map(|bytes| SpooledSummary::decode(bytes).ok())
            .find(|summary| summary.tenant_id == tenant_id)
    }

    /// A tenant's request with this receipt in the quarantine, if there is one.
    pub async fn find_kept(&self, tenant_id: &str, receipt: Uuid) -> Option<SpooledSummary> {
        let found = self.blocking(move |fs, dir| kept::with_receipt(fs, dir, receipt)).await.ok()?;
        found.into_iter().filter_map(|kept| kept.summary()).find(|summary| summary.tenant_id == tenant_id)
    }

    /// A tenant's request with this receipt that was lost to damage, if the segment in the quarantine still names it. It may
    /// have been written before it was damaged.
    pub async fn find_lost(&self, tenant_id: &str, receipt: Uuid) -> Option<SpooledSummary> {
        let (lost, tenant_id) = (Arc::clone(&self.lost), tenant_id.to_owned());
        let found = self.blocking(move |fs, dir| {
            let mut lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
            lost.find(fs, dir, &tenant_id, receipt)
        });
        found.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the quarantine cannot be looked through");
            None
        })
    }

    /// Keeps a record that cannot be drained in the quarantine, durably; it may then be acknowledged.
    pub async fn quarantine(&self, entry: &Entry, reason: &str) -> Result<(), KeepError> {
        let (fs, dir, entry, reason) = (Arc::clone(&self.fs), self.dir.clone(), entry.clone(), reason.to_owned());
        let kept = spawn_blocking(move || quarantine::keep_record(&*fs, &dir, &entry, &reason)).await;
        let bytes = kept.map_err(|_| KeepError::Closed)?.map_err(KeepError::Io)?;
        let mut state = self.shared.lock();
        state.quarantined.files += 1;
        state.quarantined.bytes += bytes;
        Ok(())
    }

    /// What is in the quarantine, and what is to go back from there.
    pub async fn kept(&self) -> io::Result<Vec<Kept>> {
        self.blocking(|fs, dir| {
            let mut kept = kept::quarantined(fs, dir)?;
            kept.extend(kept::asked(fs, dir, Action::Resend)?);
            Ok(kept)
        })
        .await
    }

    /// The files for which an operator asks something.
    pub async fn asked(&self, action: Action) -> io::Result<Vec<Kept>> {
        self.blocking(move |fs, dir| kept::asked(fs, dir, action)).await
    }

    /// Puts a request of the quarantine at the end of the spool; false: it cannot be, and is back where it was. A crash
    /// before its file is gone leaves it there twice, and the ledger knows.
    pub async fn resend(&self, file: &str) -> Result<bool, KeepError> {
        let name = file.to_owned();
        let entry = self.blocking(move |fs, dir| Ok(kept::to_resend(fs, dir, &name))).await;
        match entry.map_err(KeepError::Io)? {
            Ok(entry) => {
                let appended = self.append(entry.payload, entry.meta).await;
                appended.map_err(|error| KeepError::Io(io::Error::other(error.to_string())))?;
                self.done(file, Action::Resend).await.map(|()| true)
            }
            Err(why) => {
                tracing::error!(file, why, "this cannot be sent again; it is put back into the quarantine");
                self.put_back(file, Action::Resend).await.map(|()| false)
            }
        }
    }

    /// Removes a file of the quarantine; false: it cannot be, and is back where it was.
    pub async fn remove(&self, file: &str) -> Result<bool, KeepError> {
        let Err(error) = self.done(file, Action::Drop).await else { return Ok(true) };
        tracing::error!(%error, file, "this cannot be removed; it is put back into the quarantine");
        self.put_back(file, Action::Drop).await.map(|()| false)
    }

    async fn put_back(&self, file: &str, action: Action) -> Result<(), KeepError> {
        let name = file.to_owned();
        self.blocking(move |fs, dir| kept::put_back(fs, dir, &name, action)).await.map_err(KeepError::Io)
    }

    /// Takes away a file for which everything that was asked is done.
    pub async fn done(&self, file: &str, action: Action) -> Result<(), KeepError> {
        let name = file.to_owned();
        let left = self.blocking(move |fs, dir| {
            kept::done(fs, dir, &name, action)?;
            quarantine::contents(fs, dir)
        });
        self.shared.lock().quarantined = left.await.map_err(KeepError::Io)?;
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fs, &std::path::Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (fs, dir) = (Arc::clone(&self.fs), self.dir.clone());
        spawn_blocking(move || work(&*fs, &dir)).await.map_err(io::Error::other)?
    }

    pub fn stats(&self) -> Stats {
        Stats::of(&self.shared.lock(), self.fs.now_us())
    }

    /// Takes no more appends, finishes those that wait, and lets go of the folder.
    pub async fn close(&self) {
        self.queue.close();
        // Fails only if the thread is gone already.
        let _ = self.commands.send(KeeperCommand::Close);
        let thread = self.thread.lock().expect("no code panics while holding it").take();
        if let Some(thread) = thread
            && spawn_blocking(|| thread.join()).await.is_ok_and(|joined| joined.is_err())
        {
            tracing::error!("the thread of the spool failed; this is a bug");
        }
    }
}
