//! What a measurement costs: time, processor time of each process, memory; and samples of progress and memory while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::common::{Result, as_f64, per_row};
use super::figures::Figures;
use super::proc;
use super::target::Target;

/// What one measurement cost.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// From the first request to the last answer, in seconds.
    pub elapsed_s: f64,
    /// User and system time of the tidegate process, in seconds.
    pub tidegate_cpu_s: f64,
    /// Of all PostgreSQL processes, those that ended included.
    pub postgres_cpu_s: f64,
    /// Of this process: the generator, or the client of the raw paths.
    pub sender_cpu_s: f64,
    /// Largest resident memory of the tidegate process meanwhile, in MiB.
    pub tidegate_peak_mib: f64,
}

impl Usage {
    pub fn rate(&self, rows: u64) -> f64 {
        as_f64(rows) / self.elapsed_s
    }

    /// Processor time of an event, of everybody, in microseconds.
    pub fn us(&self, events: u64) -> f64 {
        per_row((self.tidegate_cpu_s + self.postgres_cpu_s + self.sender_cpu_s) * 1e6, events)
    }

    /// Its figures; `of` is what a row is called.
    pub fn add(&self, figures: &mut Figures, name: &str, of: &str, rows: u64) {
        figures.add(name, &format!("{of}s"), as_f64(rows));
        figures.add(name, &format!("{of}s/s"), self.rate(rows));
        let seconds = [self.tidegate_cpu_s, self.postgres_cpu_s, self.sender_cpu_s];
        for (process, seconds) in ["Tidegate", "PostgreSQL", "sender"].into_iter().zip(seconds) {
            figures.add(name, &format!("{process} us/{of}"), per_row(seconds * 1e6, rows));
        }
        figures.add(name, "MiB at most", self.tidegate_peak_mib);
    }
}

/// A running measurement.
pub struct Meter {
    started: Instant,
    before: [f64; 3],
}

impl Meter {
    /// Starts the clock.
    pub fn start(target: &Target) -> Self {
        proc::reset_peak(target.pid());
        Self { before: cpu_seconds(target), started: Instant::now() }
    }

    pub fn stop(&self, target: &Target) -> Usage {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let now = cpu_seconds(target);
        let [tidegate_cpu_s, postgres_cpu_s, sender_cpu_s] = std::array::from_fn(|n| now[n] - self.before[n]);
        let tidegate_peak_mib = proc::peak_mib(target.pid());
        Usage { elapsed_s, tidegate_cpu_s, postgres_cpu_s, sender_cpu_s, tidegate_peak_mib }
    }
}

/// Of Tidegate, PostgreSQL and this process so far.
fn cpu_seconds(target: &Target) -> [f64; 3] {
    [proc::cpu_seconds(target.pid()), target.postgres_cpu_s(), proc::cpu_seconds(std::process::id())]
}

/// Takes samples of resident memory until it is stopped.
pub struct Sampler(JoinHandle<Vec<Sample>>, tokio::sync::oneshot::Sender<()>);

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: Duration,
    /// Events answered so far.
    pub events: u64,
    pub resident_mib: f64,
}

impl Sampler {
    /// Every `every`; `safe` counts the events that were answered.
    pub fn start(pid: u32, every: Duration, safe: Arc<AtomicU64>) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (started, mut ticks, mut samples) = (Instant::now(), tokio::time::interval(every), Vec::new());
            loop {
                tokio::select! {
                    _ = ticks.tick() => samples.push(Sample {
                        at: started.elapsed(),
                        events: safe.load(Ordering::Relaxed),
                        resident_mib: proc::resident_mib(pid),
                    }),
                    _ = &mut stopped => return samples,
                }
            }
        });
        Self(task, stop)
    }

    pub async fn stop(self) -> Result<Vec<Sample>> {
        // It has ended by itself only when it panicked, which the join says.
        let _ = self.1.send(());
        Ok(self.0.await?)
    }
}

/// Fewer samples say nothing about flatness.
const SAMPLES_MIN: usize = 8;
/// Pools fill, and the allocator finds its size, in this time.
const WARM_UP: Duration = Duration::from_secs(15);

/// How flat memory was after the warm-up, where there are samples enough to tell: the largest distance of any from their
/// median, as a part of it; and its growth, the highest of the later half against the highest of the earlier, less 1.
pub fn flatness(samples: &[Sample]) -> Option<(f64, f64)> {
    let steady = samples.iter().filter(|sample| sample.at >= WARM_UP);
    let mut sizes: Vec<f64> = steady.map(|sample| sample.resident_mib).collect();
    if sizes.len() < SAMPLES_MIN {
        return None;
    }
    let (early, late) = sizes.split_at(sizes.len() / 2);
    let highest = |sizes: &[f64]| sizes.iter().copied().fold(0.0, f64::max);
    let growth = highest(late) / highest(early) - 1.0;
    sizes.sort_by(f64::total_cmp);
    let (median, lowest, highest) = (sizes[sizes.len() / 2], sizes[0], highest(&sizes));
    Some(((median - lowest).max(highest - median) / median, growth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_costs_what_everybody_used_for_it() {
        let usage = Usage { tidegate_cpu_s: 1.0, postgres_cpu_s: 5.0, sender_cpu_s: 0.5, ..Usage::default() };
        assert!((usage.us(1_000_000) - 6.5).abs() < 1e-9);
    }

    #[test]
    fn flat_is_measured_from_the_median_after_the_warm_up_and_growth_is_of_the_later_half() {
        let of = |sizes: &[f64], first_s| {
            let at = |(resident_mib, at_s): (&f64, u64)| Sample {
                at: Duration::from_secs(at_s),
                events: 0,
                resident_mib: *resident_mib,
            };
            flatness(&sizes.iter().zip(first_s..).map(at).collect::<Vec<_>>())
        };
        let sizes = [10.0, 100.0, 95.0, 108.0, 100.0, 100.0, 100.0, 101.0, 99.0];
        let near = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(of(&sizes, 14).is_some_and(|(uneven, growth)| near(uneven, 0.08) && near(growth, 101.0 / 108.0 - 1.0)));
        assert!(of(&sizes, 15).is_some_and(|(uneven, _)| uneven > 0.8));
        assert!(of(&sizes, 13).is_none(), "too few");
    }
}
