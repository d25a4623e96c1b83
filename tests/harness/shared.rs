//! One running program for each place, which trials share where each needs no more than an organization of its own: a start, its
//! database and their end cost more than most of them.
//!
//! What such a trial sees by SQL are the rows of its organization, by views with the names of the relations. What it must not do is
//! what others would see: change settings, relations or rows of other organizations, count what the program counts of all, stop it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate::tenancy::{Scopes, admin};

use crate::books::Books;
use crate::client::{Client, Key};
use crate::env::{Env, caught, tail};
use crate::postgres::{Servers, Sql};
use crate::process::Tidegate;

/// The scopes of the key of a first start.
const SCOPES: &str = "ingest,read,consume,admin";

/// How long a program is kept that no trial shares: idle it costs in this time what another start does.
const KEPT: Duration = Duration::from_secs(15);

/// A view of each relation with its organization's rows, once for all of them.
const VIEWS: &str = "CREATE SCHEMA mine; DO $views$ DECLARE relation name; BEGIN \
    FOR relation IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
        WHERE c.relnamespace = 'tidegate'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition \
          AND a.attname = 'tenant_id' LOOP \
        EXECUTE format('CREATE VIEW mine.%1$I AS SELECT * FROM tidegate.%1$I \
            WHERE tenant_id = current_setting(''tests.organization'')', relation); \
    END LOOP; END $views$";

/// The program of a place, while trials share one.
#[derive(Default)]
pub struct Sharing(Mutex<State>);

#[derive(Default)]
struct State {
    shared: Option<Arc<Shared>>,
    /// So many trials have joined it that have not ended.
    trials: usize,
    left_at: Option<Instant>,
    /// Why it could not be started: it is not tried again.
    failed: Option<String>,
    /// One has ended as it should not have.
    is_wrong: bool,
}

impl Sharing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program, started if none runs, for a trial that will leave.
    pub fn join(&self, servers: &Arc<Servers>, place: usize) -> Result<Arc<Shared>, String> {
        let mut state = self.state();
        if let Some(error) = &state.failed {
            return Err(format!("no program to share: {error}"));
        }
        if let Some(dead) = state.shared.take_if(|shared| shared.ended().is_some()) {
            // Trials that had joined it fail; others need not.
            eprintln!("{}", dead.told());
            state.is_wrong = true;
        }
        if state.shared.is_none() {
            let started = Shared::start(servers, place).inspect_err(|error| state.failed = Some(error.clone()))?;
            state.shared = Some(Arc::new(started));
        }
        state.trials += 1;
        Ok(Arc::clone(state.shared.as_ref().expect("it runs")))
    }

    pub fn leave(&self) {
        let mut state = self.state();
        state.trials -= 1;
        state.left_at = Some(Instant::now());
    }

    /// Ends the program where no trial has shared it for a while.
    pub fn end_idle(&self) {
        let mut state = self.state();
        let is_idle = state.trials == 0 && state.left_at.is_some_and(|at| at.elapsed() >= KEPT);
        let idle = if is_idle { state.shared.take() } else { None };
        drop(state);
        self.end(idle);
    }

    /// Ends it in every case; whether that, and all before, went well.
    pub fn stop(&self) -> bool {
        let last = self.state().shared.take();
        self.end(last);
        !self.state().is_wrong
    }

    fn end(&self, shared: Option<Arc<Shared>>) {
        if let Some(Err(error)) = shared.map(|shared| shared.stop()) {
            eprintln!("{error}");
            self.state().is_wrong = true;
        }
    }
}

/// A program that trials share.
pub struct Shared {
    pub database: String,
    address: String,
    log: PathBuf,
    /// Makes organizations and keys.
    owner: Mutex<Sql>,
    /// Taken at the end. The program ends before its database.
    running: Mutex<Option<(Tidegate, Env)>>,
}

impl Shared {
    /// Starts it; the error is why it did not, with what it logged.
    fn start(servers: &Arc<Servers>, place: usize) -> Result<Self, String> {
        let env = Env::new(place, "shared", Arc::clone(servers));
        let started = caught(|| {
            let (tidegate, owner) = (env.serve(), env.sql());
            owner.run(VIEWS);
            Ok((tidegate, owner))
        });
        let (tidegate, owner) = started.map_err(|error| format!("{error}\n{}", env.log_tails()))?;
        Ok(Self {
            database: env.database().to_owned(),
            address: tidegate.client.address.clone(),
            log: tidegate.log_path().to_owned(),
            owner: Mutex::new(owner),
            running: Mutex::new(Some((tidegate, env))),
        })
    }

    /// A client with a key of an organization as a first start makes it.
    pub fn client(&self, organization: &str) -> Client {
        Client::new(&self.address, Some(&self.key(organization, SCOPES).text))
    }

    /// A key of an organization, which is made if need be.
    pub fn key(&self, organization: &str, scopes: &str) -> Key {
        make_key(&self.owner.lock().unwrap_or_else(PoisonError::into_inner), organization, scopes)
    }

    /// A session in which relations have the rows of one organization.
    pub fn sql(&self, url: &str, organization: &str) -> Sql {
        let sql = Sql::connect(url);
        sql.run(&format!("SET search_path = mine, tidegate, public; SET tests.organization = '{organization}'"));
        sql
    }

    fn running(&self) -> MutexGuard<'_, Option<(Tidegate, Env)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it ended, once it has.
    fn ended(&self) -> Option<String> {
        let status = self.running().as_mut()?.0.ended()?;
        Some(format!("the program that trials share ended with {status}"))
    }

    /// Whether it still runs, and what it logged last, of all that share it.
    pub fn told(&self) -> String {
        let state = self.ended().unwrap_or_else(|| "the program that trials share still runs".to_owned());
        format!("{state}\n{}", tail(&self.log))
    }

    /// Ends it as an operator does; the error is what was wrong with that, or with its books.
    fn stop(&self) -> Result<(), String> {
        let Some((mut tidegate, env)) = self.running().take() else { return Ok(()) };
        let stopped = caught(|| {
            Books::of(&tidegate.client).assert_balanced();
            let code = tidegate.stop();
            if code == Some(0) { Ok(()) } else { Err(format!("it ended with {code:?}").into()) }
        });
        drop(tidegate);
        stopped.map_err(|error| format!("the program that trials shared: {error}\n{}", env.log_tails()))
    }
}

/// A key of an organization, which is made if need be, as `tidegate orgs create` and `tidegate keys create` make them.
pub fn make_key(owner: &Sql, organization: &str, scopes: &str) -> Key {
    let made = owner.with(async |client| {
        if !admin::list_organizations(client).await?.iter().any(|found| found.tenant_id == organization) {
            // Its slug is the name itself, which ends in whatever the name of a test was cut at.
            admin::create_organization(client, organization, Some(organization)).await?;
        }
        admin::create_key(client, organization, Scopes::parse(scopes).expect("scopes"), "made by a test", None).await
    });
    let made = made.unwrap_or_else(|error| panic!("no key of {organization}: {error}"));
    Key { text: made.key, id: Some(made.id.to_string()) }
}
