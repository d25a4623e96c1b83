//! A thousand tenants with one to ten rows a request beside four busy ones with a thousand.

use tidegate::model::Kind;

use super::common::{BATCH_ROWS, Result};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::paths::{Begun, HTTP, over_http};
use super::target::Target;
use super::templates::Template;

const SMALL_TENANTS: usize = 1000;
const BUSY_TENANTS: usize = 4;
/// In a round each small tenant sends one request, and each busy one this many.
const BUSY_REQUESTS: usize = 5;
/// Largest request of a small tenant, in rows.
const SMALL_ROWS_MAX: u64 = 10;
/// As many as keep about one request of each busy tenant and 200 small ones under way.
const HTTP_CONNECTIONS: usize = 204;

/// The templates of one round, and tenant of each: one busy request, then fifty small ones, and so on.
struct Mix {
    templates: Vec<Template>,
    tenants: Vec<usize>,
}

impl Mix {
    fn new(rounds: usize) -> Self {
        let (mut templates, mut tenants) = (Vec::new(), Vec::new());
        let small_between = SMALL_TENANTS / (BUSY_TENANTS * BUSY_REQUESTS);
        for round in 0..rounds {
            for turn in 0..BUSY_TENANTS * BUSY_REQUESTS {
                tenants.push(turn % BUSY_TENANTS);
                tenants.extend((0..small_between).map(|n| BUSY_TENANTS + turn * small_between + n));
            }
            for (&tenant, number) in tenants[templates.len()..].iter().zip(templates.len() as u64..) {
                // Another size in each round, and all sizes equally often.
                let small = (tenant + round) as u64 % SMALL_ROWS_MAX + 1;
                let events = if tenant < BUSY_TENANTS { BATCH_ROWS } else { small };
                templates.push(Template::new(number, events));
            }
        }
        Self { templates, tenants }
    }

    fn events(&self) -> u64 {
        self.templates.iter().map(|template| template.events).sum()
    }

    /// The requests, each sent once.
    fn feed(self) -> Feed {
        let requests = Until::Requests(self.templates.len() as u64);
        let index = |number: usize| u32::try_from(number).expect("far fewer than 2^32 requests");
        let plan = self.tenants.iter().enumerate().map(|(n, &tenant)| (index(n), index(tenant))).collect();
        Feed::planned(self.templates, plan, requests)
    }
}

pub async fn run(target: &mut Target, rounds: usize, figures: &mut Figures) -> Result<()> {
    target.add_tenants(BUSY_TENANTS + SMALL_TENANTS).await?;
    let mix = Mix::new(rounds);
    let (events, begun) = (mix.events(), Begun::new(target).await?);
    let usage = over_http(target, Kind::Events, mix.feed(), HTTP_CONNECTIONS).await?;
    begun.figures(target, figures, HTTP, Kind::Events, events, &usage).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_tenant_sends_once_a_round_beside_busy_ones() {
        let mix = Mix::new(2);
        let of = |wanted: usize| mix.tenants.iter().filter(|&&tenant| tenant == wanted).count();
        assert_eq!(mix.templates.len(), 2 * (SMALL_TENANTS + BUSY_TENANTS * BUSY_REQUESTS));
        assert_eq!((of(0), of(3), of(4), of(SMALL_TENANTS + BUSY_TENANTS - 1)), (10, 10, 2, 2));
        let small = mix.templates.iter().zip(&mix.tenants).filter(|(_, tenant)| **tenant >= BUSY_TENANTS);
        assert!(small.clone().all(|(template, _)| (1..=SMALL_ROWS_MAX).contains(&template.events)));
        assert_eq!(mix.events(), 2 * 20 * BATCH_ROWS + 2 * 5500);
    }
}
