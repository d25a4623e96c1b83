//! A background job that does not run while a test looks at what it would change.

use crate::env::{Env, until};
use crate::postgres::Sql;
use crate::process::Tidegate;

/// A job that no process leads while this lives, however long the test takes.
pub struct HeldJob {
    sql: Sql,
    job: &'static str,
}

impl HeldJob {
    /// Returns when no run is under way any more.
    pub fn hold(env: &Env, job: &'static str) -> Self {
        let held = Self { sql: env.sql(), job };
        held.lock();
        held
    }

    fn lock(&self) {
        self.sql.run(&format!("BEGIN; LOCK TABLE tidegate.lock_job_{} IN EXCLUSIVE MODE", self.job));
    }

    /// Lets others lead it meanwhile.
    pub fn aside<T>(&self, run: impl FnOnce() -> T) -> T {
        self.sql.run("COMMIT");
        let ran = run();
        self.lock();
        ran
    }

    /// Ends the program, and lets the job go when nobody is at anything in the database any more: what a session was at goes on
    /// for a while, with its locks.
    pub fn alone(self, env: &Env, tidegate: Tidegate) {
        drop(tidegate);
        let sql = env.sql();
        let sessions = "SELECT count(*) FROM pg_stat_activity \
                        WHERE datname = current_database() AND application_name LIKE 'tidegate %'";
        until("its sessions have ended", || (sql.one::<i64>(sessions) == 0).then_some(()));
    }
}
