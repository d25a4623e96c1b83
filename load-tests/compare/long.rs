//! The long run: a hundred million rows into one table at full speed, the rate of every million, and memory every 5 s.
//! It shows at once whether throughput falls as the table grows, and whether memory does not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::feed::Until;
use super::meter::{Meter, Sampler, growth, unevenness};
use super::report::{Long, Run, mean};
use super::sender::Sender;
use super::target::Target;
use super::{BATCH_ROWS, Result, as_f64, machine, runs};

const MILLION: u64 = 1_000_000;
const GIB: u64 = 1 << 30;
const TICK: Duration = Duration::from_millis(20);
const SAMPLE: Duration = Duration::from_secs(5);
const WARM_UP: Duration = Duration::from_secs(30);
/// Millions at each end that are compared: one alone takes a few seconds, and is noise.
const ENDS: usize = 5;

/// Sends `rows` rows on fresh tables; fewer when the table would pass `disk_bytes` or nearly fill the disk.
pub async fn run(target: &mut Target, rows: u64, disk_bytes: u64, connections: usize) -> Result<Long> {
    target.fresh().await?;
    let (rows, stopped_early) = fitting(target, rows, disk_bytes, connections).await?;
    target.fresh().await?;
    let feed = runs::pool(BATCH_ROWS, Until::Requests(rows.div_ceil(BATCH_ROWS)));
    let sender = Sender::new(target)?;
    let (safe, watched) = (Arc::clone(&sender.safe), Arc::clone(&sender.safe));
    let sampler = Sampler::start(target.pid(), SAMPLE, move || safe.load(Ordering::Relaxed));
    let millions = tokio::spawn(async move {
        let (mut moments, mut ticks) = (vec![Instant::now()], tokio::time::interval(TICK));
        while moments.len() as u64 <= rows / MILLION {
            ticks.tick().await;
            let done = watched.load(Ordering::Relaxed);
            while moments.len() as u64 * MILLION <= done.min(rows) {
                moments.push(Instant::now());
            }
        }
        moments.windows(2).map(|pair| as_f64(MILLION) / (pair[1] - pair[0]).as_secs_f64()).collect::<Vec<f64>>()
    });
    let meter = Meter::start(target);
    let sent = sender.send(feed, connections).await?;
    let usage = meter.stop(target);
    let (samples, millions) = (sampler.stop().await?, millions.await?);
    target.check_stored(sent.accepted()).await?;
    let run = Run {
        batch: BATCH_ROWS,
        connections,
        p50_ms: sent.latency_ms(500),
        p99_ms: sent.latency_ms(990),
        memory_unevenness: unevenness(&samples, WARM_UP),
        memory_growth: growth(&samples, WARM_UP),
        usage,
        sent,
        samples,
        rows_per_batch: None,
    };
    let bytes_per_event = target.bytes_per_event(run.sent.accepted()).await?;
    Ok(Long { last_to_first: last_to_first(&millions), run, millions, bytes_per_event, stopped_early })
}

/// How many rows fit, judged by what the first million takes; and why, when that is fewer than asked for.
async fn fitting(target: &Target, rows: u64, disk_bytes: u64, connections: usize) -> Result<(u64, Option<String>)> {
    let probe = MILLION.min(rows);
    let feed = runs::pool(BATCH_ROWS, Until::Requests(probe.div_ceil(BATCH_ROWS)));
    Sender::new(target)?.send(feed, connections).await?;
    let bytes = target.stored_bytes().await? * MILLION / probe;
    let room = disk_bytes.min(machine::free_bytes().saturating_sub(machine::FREE_BYTES_MIN));
    let fit = room / bytes.max(1) * MILLION;
    if fit >= rows {
        return Ok((rows, None));
    }
    let room = format!("{} GiB hold {} million rows of {} bytes", room / GIB, fit / MILLION, bytes / MILLION);
    if fit == 0 { Err(room.into()) } else { Ok((fit, Some(room))) }
}

/// The mean rate of the last millions to that of the first; none when there are too few to tell.
fn last_to_first(millions: &[f64]) -> Option<f64> {
    let ends = |rates: &[f64]| mean(rates.iter().copied());
    let (first, last) = (millions.get(..ENDS)?, &millions[millions.len() - ENDS..]);
    (millions.len() >= 2 * ENDS).then_some(ends(last)? / ends(first)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_compared() {
        let rates: Vec<f64> = (0..20).map(|n| if n < 10 { 100.0 } else { 90.0 }).collect();
        assert!((last_to_first(&rates).expect("twenty millions") - 0.9).abs() < 1e-9);
        assert_eq!([0, 4, 9].map(|length| last_to_first(&rates[..length])), [None; 3]);
    }
}
