//! Connections whose server processes stand behind others for processors: those of exports, where the server runs on this
//! machine under an account that this process may tell so, which is the embedded one.

use deadpool_postgres::{ClientWrapper, Hook, HookError};
use rustix::process::{Pid, getpriority_process, setpriority_process};

use crate::limits::EXPORT_NICENESS;

/// Lets the process of each new connection stand behind. Where that fails the connection serves all the same.
pub fn stands_behind() -> Hook {
    Hook::async_fn(|client: &mut ClientWrapper, _| {
        Box::pin(async move {
            let row = client.query_one("SELECT pg_backend_pid()", &[]).await.map_err(HookError::Backend)?;
            if let Some(pid) = Pid::from_raw(row.get(0)) {
                step_behind(pid);
            }
            Ok(())
        })
    })
}

fn step_behind(pid: Pid) {
    // Only ever further behind: an operator may have put the whole server there.
    let stepped = getpriority_process(Some(pid)).and_then(|now| {
        let wanted = now.max(EXPORT_NICENESS);
        setpriority_process(Some(pid), wanted).map(|()| wanted)
    });
    match stepped {
        // Linux may share processors out by session first (sched(7), "The autogroup feature"), and each of the server's
        // processes has its own.
        Ok(niceness) => {
            let _ = std::fs::write(format!("/proc/{}/autogroup", pid.as_raw_nonzero()), niceness.to_string());
        }
        Err(error) => tracing::debug!(%error, "an export's server process has the same priority as others"),
    }
}
