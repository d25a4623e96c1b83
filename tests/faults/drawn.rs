//! The faults of scenario 50: each is brought about, waited for until it has taken effect, and over again when the call
//! returns, so that any may follow any other.

use jiff::SignedDuration;
use nix::sys::signal::Signal;
use tidegate::storage::embedded::OWNER;

use crate::books::Books;
use crate::cluster::DATABASE;
use crate::draw::Draw;
use crate::env::until;
use crate::postgres::{SUPERUSER, Sql};
use crate::process::Finished;
use crate::proxy::{Cut, Point};
use crate::shim::{Call, Harm, Rule};
use crate::soak::Soak;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    TidegateKilled,
    TidegateKilledSpooling,
    TidegateKilledCommitting,
    TidegateRestarted,
    TidegateFrozen,
    PostmasterKilled,
    ServerCrashed,
    ServerRestarted,
    ServerFrozen,
    ServerReadOnly,
    ServerDiskFull,
    ServerSettings,
    BackendsTerminated,
    RelationLocked,
    TransactionLeftOpen,
    ConnectionsReset,
    DatabaseAway,
    CommitLost,
    SpoolDiskFull,
    SpoolSyncFails,
    ClockAhead,
    ClockBehind,
    LifecycleRun,
}

impl Fault {
    const ALL: [Self; 23] = [
        Self::TidegateKilled,
        Self::TidegateKilledSpooling,
        Self::TidegateKilledCommitting,
        Self::TidegateRestarted,
        Self::TidegateFrozen,
        Self::PostmasterKilled,
        Self::ServerCrashed,
        Self::ServerRestarted,
        Self::ServerFrozen,
        Self::ServerReadOnly,
        Self::ServerDiskFull,
        Self::ServerSettings,
        Self::BackendsTerminated,
        Self::RelationLocked,
        Self::TransactionLeftOpen,
        Self::ConnectionsReset,
        Self::DatabaseAway,
        Self::CommitLost,
        Self::SpoolDiskFull,
        Self::SpoolSyncFails,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::LifecycleRun,
    ];

    fn ends_tidegate(self) -> bool {
        matches!(
            self,
            Self::TidegateKilled
                | Self::TidegateKilledSpooling
                | Self::TidegateKilledCommitting
                | Self::TidegateRestarted
        )
    }

    /// All of them in an order that is drawn; in every second round without those that end the process, so that one grows
    /// old enough for its memory to be looked at.
    pub fn round(number: usize, draw: &mut Draw) -> Vec<Self> {
        let mut faults: Vec<Self> =
            Self::ALL.into_iter().filter(|fault| number.is_multiple_of(2) || !fault.ends_tidegate()).collect();
        draw.shuffle(&mut faults);
        faults
    }

    /// Brings it about, and to its end.
    pub fn strike(self, soak: &mut Soak<'_>) {
        match self {
            Self::TidegateKilled => {
                soak.tidegate.signal(Signal::SIGKILL);
                soak.reborn();
            }
            Self::TidegateKilledSpooling => {
                soak.disk.arm(Rule::once(Call::SYNC, Harm::KillAfter, ".seg", 1));
                soak.proxy.away();
                soak.disk.wait_hit("it dies spooling");
                soak.proxy.back();
                soak.reborn();
            }
            Self::TidegateKilledCommitting => {
                let held = soak.proxy.held();
                soak.proxy.hold_next(Point::Commit);
                until("a writer is held", || (soak.proxy.held() > held).then_some(()));
                soak.tidegate.signal(Signal::SIGKILL);
                soak.proxy.release();
                soak.reborn();
            }
            Self::TidegateRestarted => {
                let code = soak.tidegate.stop();
                assert_eq!(code, Some(0), "SIGTERM under load: {}", soak.tidegate.log());
                soak.reborn();
            }
            Self::TidegateFrozen => {
                soak.tidegate.freeze();
                soak.stays_silent();
                soak.tidegate.signal(Signal::SIGCONT);
            }
            Self::PostmasterKilled => {
                soak.cluster.kill_postmaster();
                soak.senders.spool(4);
                soak.run_server();
            }
            Self::ServerCrashed => {
                soak.cluster.crash();
                soak.senders.spool(4);
                soak.run_server();
            }
            Self::ServerRestarted => {
                soak.cluster.stop();
                soak.run_server();
            }
            Self::ServerFrozen => {
                soak.cluster.freeze();
                soak.is_degraded();
                soak.cluster.thaw();
            }
            Self::ServerReadOnly => {
                let server = Sql::connect(&soak.cluster.url_of(SUPERUSER, "postgres"));
                server.run(&format!("ALTER DATABASE {DATABASE} SET default_transaction_read_only = on"));
                server.run(TERMINATE);
                soak.senders.spool(4);
                server.run(&format!("ALTER DATABASE {DATABASE} RESET default_transaction_read_only"));
                server.run(TERMINATE);
            }
            Self::ServerDiskFull => {
                soak.server_disk.arm(Rule::always(Call::GROW, Harm::Full, ""));
                soak.server_disk.wait_hit("the server's disk is full");
                soak.senders.spool(2);
                soak.server_disk.clear();
            }
            Self::ServerSettings => {
                let server = soak.cluster.superuser();
                server.run("ALTER SYSTEM SET statement_timeout = '150ms'");
                server.run("ALTER SYSTEM SET lock_timeout = '20ms'");
                server.run("ALTER SYSTEM SET idle_in_transaction_session_timeout = '100ms'");
                server.run("SELECT pg_reload_conf()");
                soak.senders.flow(8);
                server.run("ALTER SYSTEM RESET ALL");
                server.run("SELECT pg_reload_conf()");
            }
            Self::BackendsTerminated => {
                let server = soak.cluster.superuser();
                for _ in 0..3 {
                    server.run(TERMINATE);
                    soak.senders.flow(2);
                }
            }
            Self::RelationLocked => {
                let holder = soak.cluster.superuser();
                holder.run("BEGIN; LOCK TABLE ingest_batches, touched IN ACCESS EXCLUSIVE MODE");
                let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
                // Live batches, or the drain, and a job.
                until("several wait for it", || (holder.one::<i64>(waiting) > 1).then_some(()));
                holder.run("ROLLBACK");
            }
            Self::TransactionLeftOpen => {
                let holder = Sql::connect(&soak.cluster.url(OWNER));
                holder.run(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM events; SELECT count(*) FROM metrics",
                );
                soak.senders.flow(40);
                holder.run("ROLLBACK");
            }
            Self::ConnectionsReset => {
                for _ in 0..5 {
                    soak.proxy.reset_all();
                    soak.senders.flow(2);
                }
            }
            Self::DatabaseAway => {
                soak.proxy.away();
                soak.senders.spool(20);
                soak.proxy.back();
            }
            Self::CommitLost => {
                for cut in [Cut::AfterCommit, Cut::BeforeCommit, Cut::AfterCommit] {
                    let cuts = soak.proxy.cuts();
                    soak.proxy.cut_next(cut);
                    until("a COMMIT is lost", || (soak.proxy.cuts() > cuts).then_some(()));
                }
            }
            Self::SpoolDiskFull => {
                soak.proxy.away();
                soak.senders.spool(2);
                soak.disk.arm(Rule::always(Call::WRITE, Harm::Torn, ".seg"));
                soak.senders.fail(8);
                soak.disk.clear();
                soak.senders.spool(2);
                soak.proxy.back();
            }
            Self::SpoolSyncFails => {
                soak.disk.arm(Rule::once(Call::SYNC, Harm::Broken, ".seg", 0));
                soak.disk.wait_hit("an fsync fails");
                soak.disk.clear();
            }
            Self::ClockAhead => soak.clock_is(SignedDuration::from_hours(24)),
            Self::ClockBehind => soak.clock_is(SignedDuration::from_hours(-24)),
            Self::LifecycleRun => soak.command(&["lifecycle", "run"]),
        }
    }
}

/// Every session of the service; the one that says so is another's.
const TERMINATE: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'tidegate' AND pid <> pg_backend_pid() \
     AND usename <> 'postgres'";

impl Soak<'_> {
    /// The process that has ended gets a successor.
    fn reborn(&mut self) {
        self.tidegate.wait();
        self.disk.clear();
        self.begin();
    }

    fn is_degraded(&self) {
        until("it says that something is wrong", || {
            let answer = self.tidegate.client.send("GET", "/readyz", &[], &[]).ok()?;
            (answer.json()["status"] != "ready").then_some(())
        });
    }

    /// The clock of the program, while things go on.
    fn clock_is(&self, off: SignedDuration) {
        self.clock.set(off);
        self.senders.flow(40);
        self.clock.set(SignedDuration::ZERO);
        self.senders.flow(8);
    }

    /// A command beside the running process.
    fn command(&self, arguments: &[&str]) {
        let finished = Finished::run(self.env, &self.cluster.variables(), arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
        Books::of(&self.tidegate.client).assert_balanced();
    }
}
