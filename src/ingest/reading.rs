//! A request read by what its streams ask: masked before anything of it is kept, decoded, and judged by schemas.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::intake::Intake;
use super::received::Received;
use crate::limits::{KIB, MASK_LIGHT_STEPS, MASK_LIGHT_STEPS_PER_BYTE, MASKED_BESIDES_BYTES, MASKED_TIMES_MAX};
use crate::model::Kind;
use crate::payload::MaskKey;
use crate::registry::{NotKnown, Registry, RequestWarnings, TenantRules, Turn};
use crate::storage::StorageError;
use crate::wire::event::{MaskBounds, Unmasked, WITHHELD, is_structure, masked};
use crate::wire::item::{BodyError, Decoded};

/// Between two tries to read a request of the spool.
const PAUSE: Duration = Duration::from_secs(5);
/// From this size on handing over what else the thread has to do costs little beside decoding.
const MANY_BYTES: usize = 16 * KIB;

/// What was read of a request.
pub struct Reading {
    pub decoded: Result<Decoded, BodyError>,
    /// What schemas have warned of.
    pub warnings: Option<RequestWarnings>,
    /// Schemas that should have judged it could not be had, and why: it may be spooled, and is judged when it is drained.
    pub undecided: Option<StorageError>,
}

/// Why nothing of a request may be kept.
#[derive(Debug)]
pub enum NotRead {
    /// It is not known what its streams mask.
    Unknown,
    /// There is no secret to mask with.
    NoSecret(io::Error),
    /// Masked it would be many times as large.
    Grown,
}

impl From<NotKnown> for NotRead {
    fn from(_: NotKnown) -> Self {
        Self::Unknown
    }
}

/// Reads a request; its body becomes the masked one. Schemas that are not at hand are loaded where `may_load`.
pub async fn read(
    intake: &Intake,
    registry: &Registry,
    received: &mut Received,
    may_load: bool,
) -> Result<Reading, NotRead> {
    let origin = if received.replay.is_none() { Origin::Sender } else { Origin::Letter };
    read_from(intake, registry, received, may_load, origin).await
}

/// What a request with a key of its sender's would stand for if its tenant's masks were not there, or were still; None: there are none,
/// and were none that this process knows of. Asked before it is read.
pub fn digest_before(registry: &Registry, received: &Received) -> Option<[u8; 32]> {
    let tenant = registry.tenant(&received.tenant_id).filter(|_| received.kind == Kind::Events)?;
    if tenant.has_masks() {
        return Some(received.sha256());
    }
    let key = MaskKey::of(registry.known_secret()?, &received.tenant_id);
    let sent_digest = Some(key.body_digest(received.told_apart_by()));
    Some(Received { sent_digest, ..received.clone() }.sha256())
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Sender,
    /// A dead letter: it is kept already, and has nobody who could send less of it.
    Letter,
    /// The same, and requests of all tenants wait behind it.
    Spool,
}

impl Origin {
    /// Waits for its turn: that of its tenant; the spool has one of its own, so that no tenant's crowd is before it.
    async fn turn(self, registry: &Registry, tenant_id: &Arc<str>) -> Turn {
        match self {
            Self::Sender | Self::Letter => registry.turn(tenant_id).await,
            Self::Spool => registry.turn(&Arc::from("")).await,
        }
    }
}

async fn read_from(
    intake: &Intake,
    registry: &Registry,
    received: &mut Received,
    may_load: bool,
    origin: Origin,
) -> Result<Reading, NotRead> {
    let rules = match received.kind {
        Kind::Events => registry.rules(&received.tenant_id, received.body.len())?,
        Kind::Metrics => None,
    };
    // Nearly all: their tenants have defined nothing.
    let Some(mut rules) = rules else {
        return Ok(Reading { decoded: intake.decode(received, None), warnings: None, undecided: None });
    };
    let unreadable = match rules.tenant().filter(|tenant| tenant.has_masks()) {
        Some(_) => mask(intake, registry, received, &rules, origin).await?,
        None => Vec::new(),
    };
    let mut decoded = decode(intake, registry, received, &rules, origin).await;
    let mut undecided = None;
    if rules.is_pending() {
        let loaded = match may_load {
            true => registry.load(&mut rules).await,
            false => Err(StorageError::retryable("the database is away")),
        };
        match loaded {
            Ok(()) => decoded = decode(intake, registry, received, &rules, origin).await,
            Err(error) => undecided = Some(error),
        }
    }
    if !unreadable.is_empty() {
        withhold(received, &unreadable);
        rules.again([]);
        // What is withheld may be split otherwise; nearly always it is not, and then it was said better what is wrong. What its sender
        // was told of a request of the spool stays true.
        let kept = decode(intake, registry, received, &rules, origin).await;
        let items = |decoded: &Result<Decoded, BodyError>| {
            decoded.as_ref().map(|decoded| (decoded.items, decoded.rows.rows.len())).ok()
        };
        if origin != Origin::Spool && items(&kept) != items(&decoded) {
            decoded = kept;
        }
        if rules.is_pending() {
            undecided.get_or_insert_with(|| StorageError::retryable("a schema was put away meanwhile"));
        }
    }
    Ok(Reading { decoded, warnings: rules.into_warnings(), undecided })
}

/// Reads a request of the spool by what its streams ask now; waits for schemas for as long as they cannot be had.
pub async fn read_spooled(intake: &Intake, registry: &Registry, received: &mut Received) -> Reading {
    loop {
        match read_from(intake, registry, received, true, Origin::Spool).await {
            Ok(reading) if reading.undecided.is_none() => return reading,
            Ok(reading) => tracing::warn!(error = ?reading.undecided, "spooled events wait for a schema"),
            Err(NotRead::Unknown) => tracing::warn!("spooled events wait until it is known what is masked"),
            Err(NotRead::NoSecret(error)) => tracing::error!(%error, "spooled events wait for the secret of masks"),
            // Asked of new ones alone.
            Err(NotRead::Grown) => tracing::error!("spooled events would be too large when they are masked"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Decodes by what streams ask. How long judging takes depends on schema and payload, and shows only when it is done: it is tried
/// with few looks, and what needs more waits for its turn, so that workers stay free for others.
async fn decode(
    intake: &Intake,
    registry: &Registry,
    received: &Received,
    rules: &TenantRules,
    origin: Origin,
) -> Result<Decoded, BodyError> {
    let decode = || intake.decode(received, Some(rules));
    if !rules.judges() {
        return decode();
    }
    rules.judge_lightly();
    let decoded = if received.body.len() < MANY_BYTES { decode() } else { beside(decode) };
    if !rules.ran_out() {
        return decoded;
    }
    drop(decoded);
    let _turn = origin.turn(registry, &received.tenant_id).await;
    rules.judge_fully();
    beside(decode)
}

/// What else this thread has to do is done by others meanwhile.
fn beside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

/// Masks the body; says where it holds what cannot be masked. As with judging, what takes long waits for its turn.
async fn mask(
    intake: &Intake,
    registry: &Registry,
    received: &mut Received,
    rules: &TenantRules,
    origin: Origin,
) -> Result<Vec<Range<usize>>, NotRead> {
    let Some(tenant) = rules.tenant() else { return Ok(Vec::new()) };
    let key = MaskKey::of(registry.secret().map_err(NotRead::NoSecret)?, &received.tenant_id);
    let length = received.body.len();
    let bytes = match origin {
        Origin::Sender => masked_bytes_max(length, intake.item_bytes_max()),
        Origin::Letter | Origin::Spool => usize::MAX,
    };
    let within = |steps| {
        let bounds = MaskBounds { steps, bytes };
        masked(&received.body, received.form, &received.defaults, intake.item_bytes_max(), &**tenant, &key, bounds)
    };
    let light = || within(MASK_LIGHT_STEPS + MASK_LIGHT_STEPS_PER_BYTE * length as u64);
    let masked = match if length < MANY_BYTES { light() } else { beside(light) } {
        Err(Unmasked::TooLong) => {
            let _turn = origin.turn(registry, &received.tenant_id).await;
            beside(|| within(u64::MAX))
        }
        done => done,
    };
    let masked = masked.map_err(|_| NotRead::Grown)?;
    // Equal bodies are known again by what was sent, of which no more is told than that they are equal.
    let sent_digest = received.sent_digest.unwrap_or_else(|| key.body_digest(received.told_apart_by()));
    received.sent_digest = Some(sent_digest);
    received.body = masked.bytes.into();
    // It holds what is masked.
    let original = received.original.take();
    received.original = original.map(|original| Arc::new(original.without_what_was_sent()));
    Ok(masked.unreadable)
}

/// How large a body of this length may become, where `body_bytes` is the largest that may be sent: what was decoded of it has to fit
/// beside it.
fn masked_bytes_max(length: usize, body_bytes: usize) -> usize {
    (length * MASKED_TIMES_MAX + MASKED_BESIDES_BYTES).min(body_bytes.max(length + length / 2))
}

/// Puts a string of the same length in the place of each, so that what stands behind it is still found; not where nothing does.
fn withhold(received: &mut Received, ranges: &[Range<usize>]) {
    let mut body = Vec::from(std::mem::take(&mut received.body));
    let length = body.len();
    for range in ranges {
        let item = &mut body[range.clone()];
        if is_structure(item) {
            continue;
        }
        item.fill(WITHHELD);
        if let [first, .., last] = item
            && range.end < length
        {
            (*first, *last) = (b'"', b'"');
        }
    }
    received.body = body.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_may_become_is_bounded_by_itself_and_by_the_largest() {
        assert_eq!(masked_bytes_max(0, 1 << 20), MASKED_BESIDES_BYTES);
        assert_eq!(masked_bytes_max(1 << 10, 1 << 20), MASKED_TIMES_MAX * (1 << 10) + MASKED_BESIDES_BYTES);
        assert_eq!(masked_bytes_max(1 << 19, 1 << 20), 1 << 20, "no larger than what may be sent");
        assert_eq!(masked_bytes_max(1 << 20, 1 << 20), 3 << 19, "but for what grows a little");
    }
}
