//! What a measurement costs: time, processor time of each process, memory; and samples of a value while it runs.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::proc;
use super::target::Target;

/// What one measurement cost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// From the first request to the last answer, in seconds.
    pub elapsed_s: f64,
    /// User and system time of the tidegate process, in seconds.
    pub tidegate_cpu_s: f64,
    /// Of all PostgreSQL processes, those that ended included.
    pub postgres_cpu_s: f64,
    /// Of this process: the generator, or the client of the raw paths.
    pub generator_cpu_s: f64,
    /// Largest resident memory of the tidegate process meanwhile, in MiB.
    pub tidegate_peak_mib: f64,
}

/// A running measurement.
pub struct Meter {
    started: Instant,
    tidegate_cpu_s: f64,
    postgres_cpu_s: f64,
    generator_cpu_s: f64,
}

impl Meter {
    /// Starts the clock.
    pub fn start(target: &Target) -> Self {
        proc::reset_peak(target.pid());
        Self {
            tidegate_cpu_s: proc::cpu_seconds(target.pid()),
            postgres_cpu_s: target.postgres_cpu_s(),
            generator_cpu_s: proc::cpu_seconds(std::process::id()),
            started: Instant::now(),
        }
    }

    /// Stops it.
    pub fn stop(&self, target: &Target) -> Usage {
        Usage {
            elapsed_s: self.started.elapsed().as_secs_f64(),
            tidegate_cpu_s: proc::cpu_seconds(target.pid()) - self.tidegate_cpu_s,
            postgres_cpu_s: target.postgres_cpu_s() - self.postgres_cpu_s,
            generator_cpu_s: proc::cpu_seconds(std::process::id()) - self.generator_cpu_s,
            tidegate_peak_mib: proc::peak_mib(target.pid()),
        }
    }
}

/// A value at a time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Since the start of the measurement, in seconds.
    pub at_s: f64,
    /// Events answered so far.
    pub events: f64,
    /// Resident memory of the tidegate process, in MiB.
    pub resident_mib: f64,
}

/// Takes samples until it is stopped.
pub struct Sampler(JoinHandle<Vec<Sample>>, tokio::sync::oneshot::Sender<()>);

impl Sampler {
    /// Every `every`; `events` tells how many events were answered.
    pub fn start(pid: u32, every: Duration, events: impl Fn() -> u64 + Send + 'static) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let started = Instant::now();
            let mut ticks = tokio::time::interval(every);
            let mut samples = Vec::new();
            loop {
                tokio::select! {
                    _ = ticks.tick() => samples.push(Sample {
                        at_s: started.elapsed().as_secs_f64(),
                        events: super::as_f64(events()),
                        resident_mib: proc::resident_mib(pid),
                    }),
                    _ = &mut stopped => return samples,
                }
            }
        });
        Self(task, stop)
    }

    /// What was sampled.
    pub async fn stop(self) -> super::Result<Vec<Sample>> {
        // It has ended by itself only when it panicked, which the join says.
        let _ = self.1.send(());
        Ok(self.0.await?)
    }
}

/// Fewer samples say nothing about flatness.
const SAMPLES_MIN: usize = 8;

/// Resident memory of the samples after the first `warm_up`, in which pools and buffers fill; none when they are few.
fn steady(samples: &[Sample], warm_up: Duration) -> Option<Vec<f64>> {
    let steady = samples.iter().filter(|sample| sample.at_s >= warm_up.as_secs_f64());
    let sizes: Vec<f64> = steady.map(|sample| sample.resident_mib).collect();
    (sizes.len() >= SAMPLES_MIN).then_some(sizes)
}

/// How flat memory was: the largest distance of any sample from the median of all, as a part of the median.
pub fn unevenness(samples: &[Sample], warm_up: Duration) -> Option<f64> {
    let mut sizes = steady(samples, warm_up)?;
    sizes.sort_by(f64::total_cmp);
    let median = *sizes.get(sizes.len() / 2)?;
    let farthest = (median - sizes.first()?).max(sizes.last()? - median);
    (median > 0.0).then_some(farthest / median)
}

/// Whether memory grew: the highest sample of the later half against the highest of the earlier half, less 1.
pub fn growth(samples: &[Sample], warm_up: Duration) -> Option<f64> {
    let sizes = steady(samples, warm_up)?;
    let (early, late) = sizes.split_at(sizes.len() / 2);
    let highest = |sizes: &[f64]| sizes.iter().copied().reduce(f64::max);
    Some(highest(late)? / highest(early)? - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(sizes: &[f64]) -> Vec<Sample> {
        let sample =
            |(resident_mib, at): (&f64, u32)| Sample { at_s: f64::from(at), events: 0.0, resident_mib: *resident_mib };
        sizes.iter().zip(0..).map(sample).collect()
    }

    #[test]
    fn flat_is_measured_from_the_median_after_the_warm_up() {
        let samples = samples(&[10.0, 100.0, 95.0, 108.0, 100.0, 100.0, 100.0, 101.0, 99.0]);
        let unevenness = |warm_up_s| unevenness(&samples, Duration::from_secs(warm_up_s));
        assert!((unevenness(1).expect("eight samples") - 0.08).abs() < 1e-9);
        assert!(unevenness(0).expect("nine samples") > 0.8);
        assert_eq!(unevenness(2), None, "too few");
    }

    #[test]
    fn growth_is_of_the_later_half() {
        let growth = |last| {
            let sizes = [50.0, 100.0, 60.0, 60.0, 60.0, 70.0, 70.0, last];
            growth(&samples(&sizes), Duration::ZERO).expect("eight samples")
        };
        assert!((growth(120.0) - 0.2).abs() < 1e-9);
        assert!(growth(99.0) < 0.0);
    }
}
