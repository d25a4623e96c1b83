//! A Tidegate on a shared server whose database can be taken away, with faults of the file system at its spool.

use std::path::PathBuf;
use std::sync::Arc;

use crate::env::{Env, until};
use crate::invariants::Scene;
use crate::process::Tidegate;
use crate::proxy::Proxy;
use crate::shim::Shim;
use crate::told::Told;

/// Small enough to be filled, and large enough for several segments.
const SPOOL_BYTES: usize = 1 << 20;

/// The variables that make a spool small; a body must fit into it a few times.
pub fn small_spool() -> [(String, String); 2] {
    [("TIDEGATE_SPOOL_MAX_BYTES", SPOOL_BYTES), ("TIDEGATE_LIMITS_BODY_BYTES", SPOOL_BYTES / 16)]
        .map(|(name, bytes)| (name.to_owned(), bytes.to_string()))
}

/// What the processes of a test have in common.
pub struct Stage<'a> {
    pub env: &'a Env,
    pub proxy: Proxy,
    pub told: Arc<Told>,
    shim: Option<Shim>,
}

impl<'a> Stage<'a> {
    pub fn new(env: &'a Env) -> Self {
        Self { env, proxy: Proxy::start(&env.socket()), told: Arc::default(), shim: None }
    }

    /// The same, with a spool that can be harmed.
    pub fn with_shim(env: &'a Env) -> Self {
        let data_dir = env.path().join(".tidegate");
        std::fs::create_dir_all(&data_dir).unwrap();
        Self { shim: Some(Shim::new(env.path(), &data_dir)), ..Self::new(env) }
    }

    pub fn shim(&self) -> &Shim {
        self.shim.as_ref().expect("a stage with a shim")
    }

    /// The folder of the spool.
    pub fn spool(&self) -> PathBuf {
        self.env.path().join(".tidegate/spool")
    }

    /// Its segments, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.spool()).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
        found.sort();
        found
    }

    /// Starts a process, ready.
    pub fn serve(&self) -> Tidegate {
        self.serve_with(&[])
    }

    /// The same, with more variables.
    pub fn serve_with(&self, more: &[(String, String)]) -> Tidegate {
        let mut variables = self.env.variables_through(&self.proxy);
        variables.extend(self.shim.iter().flat_map(Shim::variables));
        variables.extend_from_slice(more);
        variables.extend(small_spool());
        Tidegate::serve(self.env, &variables, &[])
    }

    /// Takes the database away, once the process knows a key, and waits until requests go to the spool.
    pub fn away(&self, tidegate: &Tidegate) {
        self.told.both(&tidegate.client, 200);
        self.proxy.away();
        self.told.both(&tidegate.client, 202);
    }

    /// Waits until nothing is left in the spool.
    pub fn drained(&self, tidegate: &Tidegate) {
        until("the spool drains", || {
            let books = crate::books::Books::of(&tidegate.client);
            (books.get("tidegate_spool_records") < 0.5 && books.items("spooled") == 0).then_some(())
        });
    }

    pub fn assert_invariants(&self, tidegate: &Tidegate, name: &str) {
        Scene::new(self.env, tidegate, &self.env.sql(), &self.told).assert_invariants(name);
    }
}
