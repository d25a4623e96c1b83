//! The thread that writes a spool: while one sync is under way the appends that arrive wait, and the next write and
//! sync make all of them safe together.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::AppendError;
use super::fs::LockGuard;
use super::keeper::{Keeper, PendingAppend};
use super::record::Sequence;
use super::state::Shared;
use crate::limits::SPOOL_GROUP_BYTES;

/// Who appended, to be answered; nobody listens once its future is dropped, which changes nothing for the record.
type Appender = oneshot::Sender<Result<Sequence, AppendError>>;
/// Who waits for the cursor.
type Settler = oneshot::Sender<io::Result<()>>;

/// What the thread is asked to do.
pub enum KeeperCommand {
    Append { pending: PendingAppend, appender: Appender, queued: OwnedSemaphorePermit },
    Settle(Settler),
    Close,
}

/// Starts the thread; it ends at [`Command::Close`], or when nobody can send any more, and lets go of the lock.
pub fn start(keeper: Keeper, lock: LockGuard) -> io::Result<(Sender<KeeperCommand>, JoinHandle<()>)> {
    let (sender, commands) = channel();
    let work = move || {
        let _lock = lock;
        let _ended = Ended(Arc::clone(&keeper.shared));
        run(keeper, &commands);
    };
    let thread = std::thread::Builder::new().name("spool".into()).spawn(work)?;
    Ok((sender, thread))
}

/// Tells the readers that nothing comes any more, also if the thread panics.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.announce();
    }
}

fn run(mut keeper: Keeper, commands: &Receiver<KeeperCommand>) {
    let mut open = true;
    // After Close only what was sent before it is done.
    while let Some(first) = if open { commands.recv().ok() } else { commands.try_recv().ok() } {
        let (mut group, mut appenders, mut settlers, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                KeeperCommand::Append { pending, appender, queued } => {
                    bytes += pending.payload.len();
                    group.push(pending);
                    appenders.push((appender, queued));
                }
                KeeperCommand::Settle(settler) => settlers.push(settler),
                KeeperCommand::Close => open = false,
            }
            next = if bytes < SPOOL_GROUP_BYTES { commands.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            let records = u32::try_from(group.len()).unwrap_or(u32::MAX);
            metrics::histogram!("tidegate_spool_group_records").record(records);
            let answers = keeper.commit(&group);
            for ((appender, _queued), answer) in appenders.into_iter().zip(answers) {
                let _ = appender.send(answer);
            }
        }
        if !settlers.is_empty() {
            let settled = keeper.settle();
            for settler in settlers {
                let copy = settled.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()));
                let _ = settler.send(copy);
            }
        }
    }
}
