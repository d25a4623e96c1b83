//! What operators ask of the quarantine (`tidegate spool resend`, `drop`): their command moves a file into a folder, and
//! this does the rest, where the spool is written and the books are kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::conservation::{Conservation, Settled};
use super::spool::Spool;
use super::spool::kept::{Action, Kept};

/// Between two looks for something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks until told to stop.
pub async fn run(spool: Arc<Spool>, conservation: Arc<Conservation>, mut stop: watch::Receiver<bool>) {
    let look = async {
        loop {
            for action in Action::ALL {
                match spool.asked(action).await {
                    Ok(asked) => attend(&spool, &conservation, action, asked).await,
                    Err(error) => tracing::error!(%error, "what was asked of the quarantine cannot be looked at"),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = look => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn attend(spool: &Spool, conservation: &Arc<Conservation>, action: Action, asked: Vec<Kept>) {
    for kept in asked {
        let summary = kept.summary();
        let receipt = summary.as_ref().map(|summary| summary.receipt.to_string()).unwrap_or_default();
        let done = match action {
            Action::Resend => spool.resend(&kept.file).await,
            Action::Drop => spool.remove(&kept.file).await,
        };
        match done {
            Ok(true) => tracing::warn!(file = kept.file, receipt, ?action, "done, as an operator asked"),
            // One that nothing can be done about holds up none of the others.
            Ok(false) => continue,
            Err(error) => {
                tracing::error!(%error, file = kept.file, ?action, "what an operator asked cannot be done yet");
                match action {
                    // The spool takes none of the others either.
                    Action::Resend => return,
                    Action::Drop => continue,
                }
            }
        }
        if let (Action::Drop, Some(summary)) = (action, summary) {
            let items = u64::from(summary.items);
            let held = conservation.in_spool(&summary.tenant_id.into(), items);
            held.settle(Settled { refused: items, ..Settled::default() });
        }
    }
}

/// Books what an earlier process left in the quarantine, and finishes what was asked of that process.
pub async fn begin(spool: &Spool, conservation: &Conservation) -> Result<(), String> {
    for kept in spool.asked(Action::Drop).await.map_err(|error| error.to_string())? {
        match spool.remove(&kept.file).await {
            Ok(true) => tracing::warn!(file = kept.file, "dropped, as an operator asked"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, file = kept.file, "what an operator asked to drop is still there"),
        }
    }
    for kept in spool.kept().await.map_err(|error| error.to_string())? {
        if let Some(summary) = kept.summary() {
            conservation.recover(summary.items.into());
            conservation.recover_of(&summary.tenant_id.into(), summary.items.into());
        }
    }
    Ok(())
}
