//! What the suite knows of a scenario before it runs.

use crate::env::{Engine, Env, TestResult};

/// A trial on each of its engines.
pub struct Scenario {
    /// `sNN_what_happens`.
    pub name: &'static str,
    pub engines: &'static [Engine],
    pub run: fn(&Env) -> TestResult,
    /// Part of every `make test`; the others are of `make test-faults` only.
    pub quick: bool,
    /// What the machine lacks for it.
    pub missing: fn() -> Option<String>,
}

impl Scenario {
    pub const fn new(name: &'static str, run: fn(&Env) -> TestResult) -> Self {
        Self { name, engines: &Engine::ALL, run, quick: true, missing: || None }
    }

    /// Takes more than some seconds.
    pub const fn slow(mut self) -> Self {
        self.quick = false;
        self
    }

    pub const fn needs(mut self, missing: fn() -> Option<String>) -> Self {
        self.missing = missing;
        self
    }

    /// Only these engines have it.
    pub const fn of(mut self, engines: &'static [Engine]) -> Self {
        self.engines = engines;
        self
    }

    /// The database does not matter.
    pub const fn on_one_engine(mut self) -> Self {
        self.engines = &[Engine::Postgres];
        self
    }
}

/// A scenario by the name of its function.
#[macro_export]
macro_rules! scenario {
    ($name:ident) => {
        $crate::scenario::Scenario::new(stringify!($name), $name)
    };
}
