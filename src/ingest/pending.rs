//! A request of the spool on its way to the database: read by what its streams ask, and read again where they ask something else before
//! it is written.

use std::sync::Arc;
use std::time::Instant;

use super::conservation::Conservation;
use super::intake::Intake;
use super::reading::{Reading, read_spooled};
use super::received::{Idempotency, Received};
use super::spool::{Entry, PossiblyCommitted, SpooledRequest};
use super::submission::Submission;
use super::trials::Trials;
use crate::model::Kind;
use crate::registry::{Registry, RequestWarnings, Tenant};
use crate::wire::item::{Code, Decoded, Rejection, Stage};

pub struct Pending {
    pub submission: Submission,
    pub attempt: Option<PossiblyCommitted>,
    /// As it was in the spool.
    pub entry: Entry,
    pub trials: Trials,
    pub read: Read,
}

/// How a request was read.
pub struct Read {
    /// What was known of its tenant's streams then.
    by: Option<Arc<Tenant>>,
    /// Another request was written under its key: all of its items are refused.
    is_refused: bool,
}

impl Pending {
    /// Reads a request; an error says why it cannot be.
    pub async fn read(
        request: SpooledRequest,
        entry: &Entry,
        recovered: bool,
        (intake, registry, conservation): (&Intake, &Registry, &Arc<Conservation>),
    ) -> Result<Self, String> {
        let SpooledRequest { mut received, idempotency, items, attempt, .. } = request;
        // Of what is in the spool, which may be masked further now.
        let sha256 = received.sha256();
        let by = registry.tenant(&received.tenant_id);
        let (decoded, warnings) = decoded(&mut received, items, intake, registry).await?;
        let own = || Idempotency { key: own_key(received.receipt), sha256, before: None };
        let idempotency = Some(idempotency.unwrap_or_else(own));
        if recovered {
            conservation.recover_of(&received.tenant_id, items.into());
        }
        let held = conservation.in_spool(&received.tenant_id, items.into());
        let arrived = Instant::now();
        let submission =
            Submission { received, idempotency, decoded, arrived, held, reservation: None, warnings, reply: None };
        let read = Read { by, is_refused: false };
        Ok(Self { submission, attempt, entry: entry.clone(), trials: Trials::default(), read })
    }

    /// Reads it once more, as it is in the spool, if its tenant's streams have been defined otherwise since it was read, however long
    /// ago that was. An error says why it cannot be.
    pub async fn read_again(&mut self, intake: &Intake, registry: &Registry) -> Result<(), String> {
        let by = registry.tenant(&self.submission.received.tenant_id);
        let is_same = match (&by, &self.read.by) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            (None, None) => true,
            _ => false,
        };
        if is_same || self.submission.received.kind != Kind::Events {
            return Ok(());
        }
        let request = SpooledRequest::decode(&self.entry.payload).map_err(|error| error.to_string())?;
        let SpooledRequest { mut received, items, .. } = request;
        let (decoded, warnings) = decoded(&mut received, items, intake, registry).await?;
        self.submission.received = received;
        (self.submission.decoded, self.submission.warnings) = (decoded, warnings);
        self.read.by = by;
        if self.read.is_refused {
            self.refuse_reused();
        }
        Ok(())
    }

    /// Refuses a request that was acknowledged, and whose key then went to another one: its items are kept as dead letters.
    pub fn refuse_reused(&mut self) {
        let message = "another request with the same Idempotency-Key was written while this one was in the spool";
        let Submission { received, idempotency, decoded, .. } = &mut self.submission;
        decoded.reject_all(&Rejection::new(Stage::Write, Code::IdempotencyKeyReused, message));
        if let Some(idempotency) = idempotency {
            idempotency.key = own_key(received.receipt);
        }
        self.read.is_refused = true;
    }
}

/// The items of a request, which must be as many as there were when it was taken; what its streams mask is gone from its body then.
async fn decoded(
    received: &mut Received,
    items: u32,
    intake: &Intake,
    registry: &Registry,
) -> Result<(Decoded, Option<RequestWarnings>), String> {
    let Reading { decoded, warnings, .. } = read_spooled(intake, registry, received).await;
    let decoded = decoded.map_err(|error| error.to_string())?;
    match decoded.items == items {
        true => Ok((decoded, warnings)),
        false => Err(format!("it holds {} items and held {items} when it was taken", decoded.items)),
    }
}

/// The ledger key of a spooled request that was sent without one. No sender's key has a blank.
pub fn own_key(receipt: uuid::Uuid) -> String {
    format!("spool {receipt}")
}
