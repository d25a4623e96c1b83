//! Catching up: all of a tenant's day, by a group with one member and as lines without a group, as written and compacted;
//! and what ingestion notices of it.

use std::time::Instant;

use tidegate::model::Kind;
use uuid::Uuid;

use super::super::beside::beside;
use super::super::common::{Result, as_f64, mean};
use super::super::compact::compact;
use super::super::figures::Figures;
use super::super::meter::Meter;
use super::super::newest::fill_open_day;
use super::super::options::Options;
use super::super::runs::maximum;
use super::super::stream::get;
use super::super::target::Target;
use super::client::Client;
use super::member::{Group, Member, Way};
use super::{CONSUMER, STREAM, logged};

/// `known` is the maximum rate where another part has measured it.
pub async fn run(target: &mut Target, options: &Options, known: Option<f64>, figures: &mut Figures) -> Result<()> {
    let maximum = maximum(target, options, known, figures).await?;
    let events = fill_open_day(target, options.catch_up_events, options.connections).await?;
    logged(target, events).await?;
    read(target, options, events, "hot", figures).await?;

    let by_group = async || by_group(target, options, events).await;
    let beside = beside(target, options, maximum / 2.0, by_group, "catch-ups", figures).await?;
    let rates: Vec<f64> = beside.all_s.iter().map(|s| as_f64(events) / s).collect();
    let values = [("events/s", mean(&rates)), ("catch-ups", as_f64(rates.len() as u64))];
    figures.add_all("catch-up of a group beside ingestion at half rate", &values);
    let all = events + beside.accepted;
    target.check_stored("events", all).await?;

    if target.is_timescale() {
        compact(target, Kind::Events, figures).await?;
        target.check_stored("events", all).await?;
        read(target, options, events, "compacted", figures).await?;
    }
    Ok(())
}

/// Both ways in turn, as many rounds as are asked for.
async fn read(target: &Target, options: &Options, events: u64, state: &str, figures: &mut Figures) -> Result<()> {
    let (mut group_rates, mut line_rates) = (Vec::new(), Vec::new());
    let (group_name, line_name) = (format!("catch-up of a group, {state}"), format!("catch-up by lines, {state}"));
    for round in 1..=options.rounds {
        let meter = Meter::start(target);
        by_group(target, options, events).await?;
        let usage = meter.stop(target);
        usage.add(figures, &format!("{group_name}, round {round}"), "event", events);
        group_rates.push(usage.rate(events));

        let meter = Meter::start(target);
        by_lines(target, events).await?;
        let usage = meter.stop(target);
        usage.add(figures, &format!("{line_name}, round {round}"), "event", events);
        line_rates.push(usage.rate(events));
    }
    figures.add(&group_name, "events/s", mean(&group_rates));
    figures.add(&line_name, "events/s", mean(&line_rates));
    Ok(())
}

/// A new group from the stream's beginning to its end, all of it committed; the seconds that took.
async fn by_group(target: &Target, options: &Options, events: u64) -> Result<f64> {
    let key = target.add_key(0, CONSUMER).await?;
    let started = Instant::now();
    let name = Uuid::now_v7().to_string();
    let group = Group::create(&mut Client::new(target, &key)?, Way::Alone, &name, "earliest").await?;
    let mut member = Member::new(target, &key, &group, None, options.group_limit)?;
    let mut read = 0;
    while read < events {
        let taken = member.next("1s", |_| {}).await?;
        if taken == 0 {
            return Err(format!("the group's stream ended at {read} events of {events}").into());
        }
        read += taken;
    }
    member.end().await?;
    let elapsed_s = started.elapsed().as_secs_f64();
    if read == events { Ok(elapsed_s) } else { Err(format!("{read} events came of {events}").into()) }
}

async fn by_lines(target: &Target, events: u64) -> Result<()> {
    let key = target.add_key(0, CONSUMER).await?;
    let path = format!("/v1/streams/{STREAM}/events?offset=earliest");
    let lines = get(target, &path, "application/x-ndjson", &key).await?.lines;
    if lines == events { Ok(()) } else { Err(format!("{lines} lines came of {events} events").into()) }
}
