//! What the streams of a tenant ask of the events of one request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::compiled::Compiled;
use super::definition::Mode;
use super::known::Tenant;
use super::warnings::{RequestWarnings, Warnings};
use crate::limits::{
    SCHEMA_LIGHT_LOOKS, SCHEMA_LIGHT_LOOKS_PER_BYTE, SCHEMA_LOOKS_MAX, SCHEMA_LOOKS_PER_BYTE, SCHEMA_POINTER_CHARS_MAX,
};
use crate::schema::{Schema, Violation};
use crate::wire::event::{Asked, Broken, Judge, StreamRules};
use crate::wire::item::{Code, Pointers};

const UNKNOWN: &str =
    "the stream is not defined, and streams.auto_create is off: define it (POST /v1/streams), or name one that is";
const DELETED: &str = "the stream was deleted: define it again (POST /v1/streams), or name another";

/// What is asked, and what came of it.
pub struct TenantRules {
    tenant_id: Arc<str>,
    /// None: the tenant has defined nothing.
    tenant: Option<Arc<Tenant>>,
    /// Streams that are not defined take nothing.
    closed: bool,
    compiled: Arc<Compiled>,
    /// Those that were loaded for this request.
    loaded: HashMap<Box<str>, Arc<Schema>>,
    /// Streams whose schemas must be loaded before the request is decoded again.
    pending: Mutex<Vec<(Box<str>, i32)>>,
    found: Arc<Mutex<Found>>,
    looks_max: u64,
    /// Those of judging where it is read.
    light_looks: u64,
    all_warnings: Arc<Warnings>,
}

/// What judging the events of a request has come to.
struct Found {
    warnings: RequestWarnings,
    refused: u64,
    /// Looks at payloads that are left for the rest of them.
    looks_left: u64,
}

impl Found {
    fn nothing(tenant_id: &Arc<str>, all_warnings: &Arc<Warnings>, looks_left: u64) -> Self {
        Self { warnings: RequestWarnings::new(Arc::clone(tenant_id), Arc::clone(all_warnings)), refused: 0, looks_left }
    }
}

impl TenantRules {
    /// Of a request whose body has so many bytes.
    pub(super) fn new(
        tenant_id: Arc<str>,
        tenant: Option<Arc<Tenant>>,
        closed: bool,
        compiled: Arc<Compiled>,
        all_warnings: Arc<Warnings>,
        body_bytes: usize,
    ) -> Self {
        let looks_max = SCHEMA_LOOKS_MAX + SCHEMA_LOOKS_PER_BYTE * body_bytes as u64;
        let found = Found::nothing(&tenant_id, &all_warnings, looks_max);
        Self {
            tenant_id,
            tenant,
            closed,
            compiled,
            loaded: HashMap::new(),
            pending: Mutex::default(),
            found: Arc::new(Mutex::new(found)),
            looks_max,
            light_looks: SCHEMA_LIGHT_LOOKS + SCHEMA_LIGHT_LOOKS_PER_BYTE * body_bytes as u64,
            all_warnings,
        }
    }

    /// Whether a schema judges events of any of the tenant's streams.
    pub fn judges(&self) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| tenant.judges())
    }

    pub fn tenant(&self) -> Option<&Arc<Tenant>> {
        self.tenant.as_ref()
    }

    pub(super) fn tenant_id(&self) -> &Arc<str> {
        &self.tenant_id
    }

    /// Streams whose schemas were needed and not at hand.
    pub(super) fn pending(&self) -> Vec<(Box<str>, i32)> {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether some were.
    pub fn is_pending(&self) -> bool {
        !self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// It is decoded with few looks, which nearly always are enough: see [`TenantRules::ran_out`].
    pub fn judge_lightly(&self) {
        self.judge_by(self.light_looks);
    }

    /// It is decoded with all looks that there are for it.
    pub fn judge_fully(&self) {
        self.judge_by(self.looks_max);
    }

    fn judge_by(&self, looks: u64) {
        self.pending();
        let found = Found::nothing(&self.tenant_id, &self.all_warnings, looks);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Whether events were judged as too much only because no look was left.
    pub fn ran_out(&self) -> bool {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).looks_left == 0
    }

    /// What came of the request so far does not count: it is decoded again.
    pub fn again(&mut self, loaded: impl IntoIterator<Item = (Box<str>, Arc<Schema>)>) {
        self.loaded.extend(loaded);
        let found = Found::nothing(&self.tenant_id, &self.all_warnings, self.looks_max);
        self.found = Arc::new(Mutex::new(found));
    }

    /// What schemas have warned of; None: of nothing.
    pub fn into_warnings(self) -> Option<RequestWarnings> {
        let found = Arc::into_inner(self.found)?.into_inner().unwrap_or_else(PoisonError::into_inner);
        metrics::counter!("tidegate_schema_violations_total").increment(found.refused);
        Some(found.warnings).filter(|warnings| !warnings.is_empty())
    }
}

impl StreamRules for TenantRules {
    fn asked_by(&self, name: &str) -> Asked {
        let Some(stream) = self.tenant.as_ref().and_then(|tenant| tenant.streams.get(name)) else {
            return if self.closed { Asked::Closed(Code::StreamUnknown, UNKNOWN) } else { Asked::Nothing };
        };
        if stream.deleted {
            return Asked::Closed(Code::StreamDeleted, DELETED);
        }
        let Some(version) = stream.judged_by() else { return Asked::Nothing };
        let cached = || self.compiled.get(&(Arc::clone(&self.tenant_id), name.into(), version));
        let Some(schema) = self.loaded.get(name).cloned().or_else(cached) else {
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).push((name.into(), version));
            return Asked::Nothing;
        };
        if schema.is_stand_in() {
            return Asked::Nothing;
        }
        let (warns, found) = (stream.mode == Mode::Warn, Arc::clone(&self.found));
        Asked::Schema(Arc::new(StreamSchema { stream: name.into(), schema, version, warns, found }))
    }
}

struct StreamSchema {
    stream: Box<str>,
    schema: Arc<Schema>,
    version: i32,
    /// It refuses nothing.
    warns: bool,
    found: Arc<Mutex<Found>>,
}

impl Judge for StreamSchema {
    fn judge(&self, payload: &str) -> Result<i32, Broken> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(violation) = self.schema.judge_within(payload, &mut found.looks_left) else { return Ok(self.version) };
        let pointers = pointers(&violation, self.version);
        if self.warns {
            found.warnings.note(&self.stream, pointers);
            return Ok(self.version);
        }
        found.refused += 1;
        let message = format!("{violation}, version {} of the schema of stream {}", self.version, self.stream);
        Err(Broken { message, pointers })
    }
}

/// As they are kept: without NUL, which PostgreSQL cannot store, and not longer than they may be.
fn pointers(violation: &Violation, version: i32) -> Pointers {
    let kept = |text: &str| -> String {
        let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) };
        text.chars().take(SCHEMA_POINTER_CHARS_MAX).collect()
    };
    Pointers { field: kept(&violation.field), rule: kept(&violation.rule), version }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIB;
    use crate::registry::known::{Changed, Known, Stream};

    /// Of a tenant with a stream whose schema wants numbers in an array.
    fn rules(mode: Mode, warnings: &Arc<Warnings>) -> TenantRules {
        let compiled = Arc::new(Compiled::new(MIB));
        let schema = Schema::compile(r#"{"properties":{"a":{"items":{"type":"integer"}}}}"#).expect("a schema");
        compiled.keep((Arc::from("t"), Box::from("s"), 1), Arc::new(schema));
        let stream = Stream { mode, version: Some(1), masks: Vec::new(), deleted: false };
        let mut known = Known::default();
        known.note([Changed { tenant_id: "t".into(), name: "s".into(), stream, revision: 1 }]);
        let tenant = known.tenants.get("t").cloned();
        TenantRules::new(Arc::from("t"), tenant, false, compiled, Arc::clone(warnings), 0)
    }

    fn judged(rules: &TenantRules, payload: &str) -> Result<i32, Broken> {
        let Asked::Schema(judge) = rules.asked_by("s") else { panic!("it has a schema") };
        judge.judge(payload)
    }

    /// With so many numbers, one of which may be none.
    fn payload(numbers: u64, last: &str) -> String {
        format!(r#"{{"a":[{}{last}]}}"#, "0,".repeat(usize::try_from(numbers).expect("a small number")))
    }

    #[test]
    fn what_runs_out_of_few_looks_is_judged_with_all() {
        let rules = rules(Mode::Enforce, &Arc::default());
        rules.judge_lightly();
        assert_eq!(judged(&rules, &payload(10, "0")).ok(), Some(1));
        assert!(
            judged(&rules, &payload(10, "\"x\"")).is_err() && !rules.ran_out(),
            "it breaks the schema, which was seen"
        );
        let heavy = payload(SCHEMA_LIGHT_LOOKS + 1, "0");
        assert!(judged(&rules, &heavy).is_err() && rules.ran_out());
        rules.judge_fully();
        assert!(!rules.ran_out() && judged(&rules, &heavy).is_ok() && !rules.ran_out());
        let broken = judged(&rules, &payload(SCHEMA_LIGHT_LOOKS + 1, "\"x\"")).expect_err("it breaks the schema");
        assert_eq!(broken.pointers.field, format!("/a/{}", SCHEMA_LIGHT_LOOKS + 1));
    }

    #[test]
    fn what_is_judged_again_counts_once() {
        let all = Arc::default();
        let rules = rules(Mode::Warn, &all);
        rules.judge_lightly();
        assert!(judged(&rules, &payload(SCHEMA_LIGHT_LOOKS + 1, "\"x\"")).is_ok() && rules.ran_out());
        rules.judge_fully();
        assert!(judged(&rules, &payload(1, "0")).is_ok());
        assert!(rules.into_warnings().is_none(), "what the first look warned of is none");
    }
}
