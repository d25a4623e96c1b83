//! Which request comes next, for which tenant, when: shared by all connections of a measurement.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::common::{TENANTS, as_f64};
use super::templates::{Template, templates};

/// Events of a pool.
const POOL_EVENTS: u64 = 200_000;

/// When a measurement is over.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many requests.
    Requests(u64),
    /// When the time is up; requests under way are finished.
    Elapsed(Duration),
}

/// The requests of one measurement.
pub struct Feed {
    templates: Vec<Template>,
    /// Template and tenant of each request; begun again at its end.
    plan: Vec<(u32, u32)>,
    until: Until,
    /// Between two requests, when they are sent by the clock and not as soon as a connection is free.
    every: Option<Duration>,
    next: AtomicU64,
}

/// A request to send.
pub struct Shot<'a> {
    /// Counts up from 0.
    pub number: u64,
    /// Its body.
    pub template: &'a Template,
    /// Its tenant, an index.
    pub tenant: usize,
    /// How often the plan was begun again.
    pub round: u32,
    /// When it is to be sent, counted from the start; none: at once.
    pub due: Option<Duration>,
}

impl Feed {
    /// One template after another, each to the next of `tenants` tenants.
    pub fn in_turn(templates: Vec<Template>, tenants: usize, until: Until) -> Self {
        let index = |number: usize| u32::try_from(number).expect("a plan has fewer than 2^32 requests");
        let plan = (0..templates.len()).map(|n| (index(n), index(n % tenants))).collect();
        Self::planned(templates, plan, until)
    }

    /// Bodies of `batch` events for the tenants in turn, sent again and again with new timestamps and correlations.
    pub fn pool(batch: u64, until: Until) -> Self {
        Self::in_turn(templates((POOL_EVENTS / batch).max(TENANTS as u64), batch), TENANTS, until)
    }

    /// As `plan` says.
    pub fn planned(templates: Vec<Template>, plan: Vec<(u32, u32)>, until: Until) -> Self {
        assert!(!plan.is_empty(), "a plan has requests");
        Self { templates, plan, until, every: None, next: AtomicU64::new(0) }
    }

    /// Sends by the clock: so many events a second, all templates being of one size.
    pub fn paced(mut self, events_per_second: f64) -> Self {
        let events = as_f64(self.templates[0].events);
        self.every = Some(Duration::from_secs_f64(events / events_per_second.max(1.0)));
        self
    }

    /// The next request; none when the measurement, begun at `started`, is over.
    pub fn take(&self, started: Instant) -> Option<Shot<'_>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = self.every.map(|every| every.mul_f64(as_f64(number)));
        match self.until {
            Until::Requests(count) if number >= count => return None,
            Until::Elapsed(length) if due.unwrap_or_else(|| started.elapsed()) >= length => return None,
            _ => {}
        }
        let length = self.plan.len() as u64;
        let (template, tenant) = self.plan[usize::try_from(number % length).expect("below a length")];
        let round = u32::try_from(number / length).expect("a measurement ends before");
        Some(Shot { number, template: &self.templates[template as usize], tenant: tenant as usize, round, due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(until: Until) -> Feed {
        Feed::in_turn(templates(8, 10), 4, until)
    }

    #[test]
    fn tenants_take_turns_and_a_plan_that_begins_again_is_another_round() {
        let (feed, started) = (feed(Until::Requests(9)), Instant::now());
        let shot = |shot: Shot<'_>| (shot.number, shot.tenant, shot.round);
        let shots: Vec<_> = std::iter::from_fn(|| feed.take(started)).map(shot).collect();
        assert_eq!(shots[..5], [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 0, 0)]);
        assert_eq!(shots[8..], [(8, 0, 1)]);
    }

    #[test]
    fn pacing_spreads_requests_until_the_time_is_up() {
        let feed = feed(Until::Elapsed(Duration::from_millis(50))).paced(1000.0);
        let dues: Vec<_> = std::iter::from_fn(|| feed.take(Instant::now())).filter_map(|shot| shot.due).collect();
        assert_eq!(dues, [0, 10, 20, 30, 40].map(Duration::from_millis));
    }
}
