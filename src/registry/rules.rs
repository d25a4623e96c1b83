//! What the streams of a tenant ask of the events of one request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::compiled::Compiled;
use super::definition::Mode;
use super::known::Tenant;
use super::warnings::{RequestWarnings, Warnings};
use crate::limits::SCHEMA_POINTER_CHARS_MAX;
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
    warnings: Arc<Mutex<RequestWarnings>>,
    all_warnings: Arc<Warnings>,
}

impl TenantRules {
    pub(super) fn new(
        tenant_id: Arc<str>,
        tenant: Option<Arc<Tenant>>,
        closed: bool,
        compiled: Arc<Compiled>,
        all_warnings: Arc<Warnings>,
    ) -> Self {
        let warnings = RequestWarnings::new(Arc::clone(&tenant_id), Arc::clone(&all_warnings));
        Self {
            tenant_id,
            tenant,
            closed,
            compiled,
            loaded: HashMap::new(),
            pending: Mutex::default(),
            warnings: Arc::new(Mutex::new(warnings)),
            all_warnings,
        }
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

    /// What came of the request so far does not count: it is decoded again.
    pub(super) fn again(&mut self, loaded: impl IntoIterator<Item = (Box<str>, Arc<Schema>)>) {
        self.loaded.extend(loaded);
        self.warnings =
            Arc::new(Mutex::new(RequestWarnings::new(Arc::clone(&self.tenant_id), Arc::clone(&self.all_warnings))));
    }

    /// What schemas have warned of; None: of nothing.
    pub fn into_warnings(self) -> Option<RequestWarnings> {
        let found = Arc::into_inner(self.warnings)?.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(found).filter(|found| !found.is_empty())
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
        let warns = (stream.mode == Mode::Warn).then(|| Arc::clone(&self.warnings));
        Asked::Schema(Arc::new(StreamSchema { stream: name.into(), schema, version, warns }))
    }
}

struct StreamSchema {
    stream: Box<str>,
    schema: Arc<Schema>,
    version: i32,
    /// Where what it finds is noted; None: it refuses.
    warns: Option<Arc<Mutex<RequestWarnings>>>,
}

impl Judge for StreamSchema {
    fn judge(&self, payload: &str) -> Result<i32, Broken> {
        let Err(violation) = self.schema.judge(payload) else { return Ok(self.version) };
        let pointers = pointers(&violation, self.version);
        match &self.warns {
            Some(warnings) => {
                warnings.lock().unwrap_or_else(PoisonError::into_inner).note(&self.stream, pointers);
                Ok(self.version)
            }
            None => {
                metrics::counter!("tidegate_schema_violations_total").increment(1);
                let message = format!("{violation}, version {} of the schema of stream {}", self.version, self.stream);
                Err(Broken { message, pointers })
            }
        }
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
