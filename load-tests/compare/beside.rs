//! What ingestion notices of work beside it: other tenants send at half the maximum rate, alone and then while the first
//! tenant's work is done again and again.

use std::sync::atomic::{AtomicBool, Ordering};

use super::common::{Result, TENANTS};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::options::Options;
use super::runs::{LATENCY_BATCH, LATENCY_CONNECTIONS, Run};
use super::target::Target;
use super::templates::templates;

/// Bodies, and requests of a plan.
const BODIES: u32 = 2000;

/// What went in meanwhile, and what the work took.
pub struct Beside {
    pub accepted: u64,
    /// Of each time that it was done.
    pub all_s: Vec<f64>,
}

/// `work` says how many seconds it took; `what` names it.
pub async fn beside(
    target: &Target,
    options: &Options,
    rate: f64,
    work: impl AsyncFn() -> Result<f64>,
    what: &str,
    figures: &mut Figures,
) -> Result<Beside> {
    let feed = || {
        let others = u32::try_from(TENANTS).expect("few") - 1;
        let plan = (0..BODIES).map(|number| (number, 1 + number % others)).collect();
        Feed::planned(templates(BODIES.into(), LATENCY_BATCH), plan, Until::Elapsed(options.short())).paced(rate)
    };
    let before = Run::of(target, feed(), LATENCY_CONNECTIONS).await?;
    let over = AtomicBool::new(false);
    let work = async {
        let mut all_s = Vec::new();
        while !over.load(Ordering::Relaxed) {
            all_s.push(work().await?);
        }
        Result::Ok(all_s)
    };
    let ingest = async {
        let run = Run::of(target, feed(), LATENCY_CONNECTIONS).await;
        over.store(true, Ordering::Relaxed);
        run
    };
    let (all_s, during) = tokio::join!(work, ingest);
    let (all_s, during) = (all_s?, during?);
    before.add(figures, "ingestion at half rate, before");
    during.add(figures, &format!("ingestion at half rate, during {what}"));
    let ratio = during.sent.latencies.ms().p99 / before.sent.latencies.ms().p99;
    figures.add(&format!("p99 of ingestion during {what} / before"), "ratio", ratio);
    Ok(Beside { accepted: before.sent.accepted() + during.sent.accepted(), all_s })
}
