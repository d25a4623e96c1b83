//! What Tidegate says of itself on /metrics.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tidegate::load::Connection;

use super::common::Result;
use super::sender::TIMEOUT;
use super::target::Target;

/// The text of /metrics: of the process's life, which begins again with every measurement.
pub struct Scrape(String);

impl Scrape {
    pub async fn of(target: &Target) -> Result<Self> {
        let request = Request::get(target.endpoint.path("/metrics")?).body(Full::<Bytes>::default())?;
        let reply = Connection::new(Arc::clone(&target.endpoint)).send(request, TIMEOUT).await?;
        Ok(Self(String::from_utf8(reply.body.to_vec())?))
    }

    /// A metric without labels; none where it was never counted.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    pub fn mean(&self, histogram: &str) -> Option<f64> {
        Some(self.value(&format!("{histogram}_sum"))? / self.value(&format!("{histogram}_count"))?)
    }

    /// Evenly within the bucket that it lies in; the last finite bound where it is beyond all.
    pub fn quantile(&self, histogram: &str, part: f64) -> Option<f64> {
        let wanted = self.value(&format!("{histogram}_count"))? * part;
        let begin = format!("{histogram}_bucket{{le=\"");
        let buckets = self.0.lines().filter_map(|line| line.strip_prefix(&begin)?.split_once("\"} "));
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in buckets {
            let (bound, count): (f64, f64) = (bound.parse().ok()?, count.trim().parse().ok()?);
            if count >= wanted && count > below {
                return Some(if bound.is_finite() {
                    lower + (bound - lower) * (wanted - below) / (count - below)
                } else {
                    lower
                });
            }
            (lower, below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE ticks histogram\nticks_bucket{le=\"0.01\"} 0\nticks_bucket{le=\"0.02\"} 80\n\
                        ticks_bucket{le=\"0.05\"} 90\nticks_bucket{le=\"+Inf\"} 100\nticks_sum 3\nticks_count 100\nticks_more 7\n";

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let scrape = Scrape(TEXT.to_owned());
        let near = |one: Option<f64>, other: f64| one.is_some_and(|one| (one - other).abs() < 1e-9);
        for (part, expected) in [(0.4, 0.015), (0.8, 0.02), (0.85, 0.035), (0.99, 0.05)] {
            assert!(near(scrape.quantile("ticks", part), expected), "{part}: {:?}", scrape.quantile("ticks", part));
        }
        assert!(near(scrape.mean("ticks"), 0.03) && near(scrape.value("ticks_more"), 7.0));
        assert!(scrape.value("ticks").is_none() && scrape.quantile("tocks", 0.5).is_none());
    }
}
