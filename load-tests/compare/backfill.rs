//! A year of history: events of the last 365 days, sent as a file is loaded, in the order of time; the same events again with
//! times of the moment; and days in no order at all.

use tidegate::model::Kind;

use super::common::{ASSETS, BATCH_ROWS, Result, as_f64};
use super::dataset::{Dataset, Span};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::meter::Meter;
use super::options::Options;
use super::sender::Sender;
use super::target::Target;
use super::templates::Template;

/// A little less than a year, so that the oldest is not too old by the time that it is sent.
const DAYS: u32 = 364;
const TENANTS: usize = 4;
/// Shuffled days are measured with one in so many of the events.
const SHUFFLED: u64 = 10;
/// An odd prime: a step through the year that comes back to each day only after all others.
const STEP: u64 = 7919;

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let events = options.million().next_multiple_of(TENANTS as u64 * BATCH_ROWS);
    let live = send(target, bodies(events, true), options, figures, "the same events, of the moment").await?;
    let year = send(target, bodies(events, false), options, figures, "a year of history").await?;
    figures.add("a year of history / live rate", "ratio", year / live);
    let shuffled = shuffled(events / SHUFFLED);
    let shuffled = send(target, shuffled, options, figures, "days in no order").await?;
    figures.add("days in no order / live rate", "ratio", shuffled / live);
    Ok(())
}

fn dataset(events: u64) -> Dataset {
    let span = Span::last_days(DAYS, events / TENANTS as u64);
    Dataset { tenants: TENANTS, assets: ASSETS, metrics_per_asset: 1, dimension_sets: 0, events: span, samples: span }
}

/// Bodies of a tenant's events that follow each other, the tenants in turn.
fn bodies(events: u64, of_the_moment: bool) -> Vec<Template> {
    let dataset = dataset(events);
    let firsts = (0..dataset.events.per_tenant / BATCH_ROWS).map(|body| body * BATCH_ROWS);
    let one = |first, tenant| Template::events(&dataset, tenant, first..first + BATCH_ROWS, of_the_moment);
    firsts.flat_map(|first| (0..TENANTS).map(move |tenant| (first, tenant))).map(|(f, t)| one(f, t)).collect()
}

/// Bodies whose events are each of another day.
fn shuffled(events: u64) -> Vec<Template> {
    let dataset = dataset(events.max(TENANTS as u64 * BATCH_ROWS));
    let of_a_tenant = dataset.events.per_tenant;
    let mut made = Vec::new();
    for body in 0..of_a_tenant / BATCH_ROWS {
        for tenant in 0..TENANTS {
            let mut bytes = Vec::new();
            for number in body * BATCH_ROWS..(body + 1) * BATCH_ROWS {
                let number = number * STEP % of_a_tenant;
                bytes.extend(dataset.body(Kind::Events, tenant, number..number + 1));
            }
            made.push(Template::fixed(bytes, BATCH_ROWS));
        }
    }
    made
}

/// Sends all of it to fresh tables; events a second, until the last is in the database.
async fn send(
    target: &mut Target,
    made: Vec<Template>,
    options: &Options,
    figures: &mut Figures,
    name: &str,
) -> Result<f64> {
    target.fresh().await?;
    let (requests, table) = (made.len() as u64, Kind::Events.table());
    let feed = Feed::in_turn(made, TENANTS, Until::Requests(requests));
    let sender = Sender::new(target, Kind::Events, &target.keys)?;
    let meter = Meter::start(target);
    let sent = sender.send(feed, options.connections).await?;
    // What was spooled is written only then; looking for it takes a little of the time.
    if sent.spooled > 0 {
        target.check_stored(table, sent.accepted()).await?;
    }
    let usage = meter.stop(target);
    if sent.rejected > 0 {
        return Err(format!("{} of {} events were rejected", sent.rejected, sent.events).into());
    }
    target.check_stored(table, sent.accepted()).await?;
    usage.add(figures, name, "event", sent.accepted());
    let ms = sent.latencies.ms();
    let values = [("p50 ms", ms.p50), ("p99 ms", ms.p99), ("spooled", as_f64(sent.spooled))];
    figures.add_all(name, &values);
    figures.add(name, "bytes/event", target.bytes_per_event(sent.accepted()).await?);
    Ok(usage.rate(sent.accepted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The days of a body's events, in their order.
    fn days(template: &Template) -> Vec<String> {
        let mut body = Vec::new();
        template.append(&mut body, 0, 1);
        let events = serde_json::Deserializer::from_slice(&body).into_iter::<serde_json::Value>();
        events.map(|event| event.expect("JSON")["timestamp"].as_str().expect("text")[..10].to_owned()).collect()
    }

    #[test]
    fn history_goes_through_the_year_in_order_and_keeps_its_times() {
        let made = bodies(40_000, false);
        let of_the_first: Vec<String> = made.iter().step_by(TENANTS).flat_map(days).collect();
        assert_eq!((made.len(), of_the_first.len()), (40, 10_000));
        assert!(of_the_first.is_sorted());
        let distinct = of_the_first.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!((364..=365).contains(&distinct), "{distinct}");
        let moment = days(&bodies(40_000, true)[0]);
        assert!(moment.iter().all(|day| *day == "1970-01-01"), "{}", moment[0]);
    }

    #[test]
    fn shuffled_days_have_every_event_once() {
        let made = shuffled(8000);
        let days = made.iter().step_by(TENANTS).flat_map(days).collect::<Vec<_>>();
        assert!(days.len() == 2000 && !days.is_sorted());
        let mut bytes = Vec::new();
        made.iter().for_each(|template| template.append(&mut bytes, 0, 0));
        let ids = serde_json::Deserializer::from_slice(&bytes).into_iter::<serde_json::Value>();
        let ids: std::collections::BTreeSet<_> = ids.map(|e| e.expect("JSON")["id"].to_string()).collect();
        assert_eq!(ids.len(), 8000);
    }
}
