//! Bytes an event takes on disk, as written and compacted, with the function that the product's policy calls.

use std::time::Instant;

use super::Result;
use super::report::Stored;
use super::target::Target;

/// What `policy_compression` does to a chunk that is old enough, done to all of them now.
const COMPACT: &str = "SELECT public.compress_chunk(c, if_not_compressed => true, recompress => true) \
     FROM public.show_chunks('tidegate.events') c";

/// The table as it was written.
pub async fn hot(target: &Target) -> Result<Stored> {
    let events = target.stored(0).await?;
    let hot = target.bytes_per_event(events).await?;
    Ok(Stored { events, hot, compacted: None, compacting_s: None })
}

/// Compacts every chunk; nothing to do on the engine that has no columnstore.
pub async fn compact(target: &Target, stored: &mut Stored) -> Result<()> {
    if !target.is_timescale() {
        return Ok(());
    }
    let started = Instant::now();
    target.owner.query(COMPACT, &[]).await?;
    stored.compacting_s = Some(started.elapsed().as_secs_f64());
    target.check_stored(stored.events).await?;
    stored.compacted = Some(target.bytes_per_event(stored.events).await?);
    Ok(())
}
