//! What groups cost ingestion at the full rate: with three groups of the first tenant's stream, one with a member, one with
//! three and one with three in the order of an asset, and without, in turn on fresh tables. Once with the load of all
//! tenants, of which the groups read one's; once with all load the first tenant's, so that each group reads everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::common::{BATCH_ROWS, Result, TENANTS, as_f64, mean};
use super::super::feed::{Feed, Until};
use super::super::figures::Figures;
use super::super::options::Options;
use super::super::runs::Run;
use super::super::target::Target;
use super::super::templates::templates;
use super::client::Client;
use super::member::{Group, Member, Way};
use super::{CONSUMER, POLL, stored};

/// Members of the groups that may have several.
const MEMBERS: usize = 3;
const BODIES: u64 = 200;
/// For groups to come to the end of what went in faster than they read.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(600);

pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    for (tenants, load) in [(TENANTS, "one tenant of 40 read"), (1, "everything read")] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 1..=options.rounds {
            let feed = || Feed::in_turn(templates(BODIES, BATCH_ROWS), tenants, Until::Elapsed(options.short()));
            target.fresh().await?;
            let run = Run::of(target, feed(), options.connections).await?;
            run.add(figures, &format!("without groups, {load}, round {round}"));
            target.check_stored("events", run.sent.accepted()).await?;
            without.push(run.rate());

            target.fresh().await?;
            let groups = Groups::start(target, options).await?;
            let run = Run::of(target, feed(), options.connections).await?;
            let at_end = AtEnd::of(&groups);
            let name = format!("with 3 groups, {load}, round {round}");
            run.add(figures, &name);
            target.check_stored("events", run.sent.accepted()).await?;
            groups.catch_up(target, at_end, run.usage.elapsed_s, figures, &name).await?;
            with.push(run.rate());
        }
        figures.add(&format!("with 3 groups / without, {load}"), "ratio", mean(&with) / mean(&without));
    }
    Ok(())
}

/// Groups whose members are at work; they end with this.
struct Groups {
    members: JoinSet<Result<()>>,
    /// Events that came to each.
    read: Vec<(Way, Arc<AtomicU64>)>,
}

impl Groups {
    async fn start(target: &Target, options: &Options) -> Result<Self> {
        let key = target.add_key(0, CONSUMER).await?;
        let mut client = Client::new(target, &key)?;
        let (mut members, mut read) = (JoinSet::new(), Vec::new());
        for (way, name) in Way::ALL.into_iter().zip(["alone", "shared", "ordered"]) {
            let group = Group::create(&mut client, way, name, "earliest").await?;
            let count = Arc::new(AtomicU64::new(0));
            let names: Vec<Option<String>> = match way {
                Way::Alone => vec![None],
                Way::Shared | Way::Ordered => (1..=MEMBERS).map(|number| Some(format!("member-{number}"))).collect(),
            };
            for name in names {
                members.spawn(Member::new(target, &key, &group, name, options.group_limit)?.work(Arc::clone(&count)));
            }
            read.push((way, count));
        }
        Ok(Self { members, read })
    }

    /// How far each group was when ingestion ended, and how long it takes to its end. Every event must come.
    async fn catch_up(
        mut self,
        target: &Target,
        at_end: AtEnd,
        ingested_s: f64,
        figures: &mut Figures,
        name: &str,
    ) -> Result<()> {
        let (events, mut behind_s) = (stored(target).await?, vec![None; self.read.len()]);
        while behind_s.contains(&None) && at_end.at.elapsed() < CAUGHT_UP_WITHIN {
            if let Some(ended) = self.members.try_join_next() {
                // Only after an error.
                ended??;
            }
            for ((_, read), behind_s) in self.read.iter().zip(&mut behind_s) {
                if behind_s.is_none() && read.load(Ordering::Relaxed) >= events {
                    *behind_s = Some(at_end.at.elapsed().as_secs_f64());
                }
            }
            tokio::time::sleep(POLL).await;
        }
        self.members.shutdown().await;
        for (((way, read), read_at_end), behind_s) in self.read.iter().zip(at_end.read).zip(behind_s) {
            let name = format!("{name}: {}", way.name());
            let read = read.load(Ordering::Relaxed);
            let values = [
                ("events/s read meanwhile", as_f64(read_at_end) / ingested_s),
                ("events behind at the end", as_f64(events.saturating_sub(read_at_end))),
                ("events read twice", as_f64(read.saturating_sub(events))),
            ];
            figures.add_all(&name, &values);
            match behind_s {
                Some(s) => figures.add(&name, "s until all were read", s),
                None => figures
                    .fail(format!("{name}: {read} events of {events} were read {CAUGHT_UP_WITHIN:?} after the last")),
            }
        }
        Ok(())
    }
}

/// When ingestion ended, and how many events had come to each group then.
struct AtEnd {
    at: Instant,
    read: Vec<u64>,
}

impl AtEnd {
    fn of(groups: &Groups) -> Self {
        let read = groups.read.iter().map(|(_, read)| read.load(Ordering::Relaxed)).collect();
        Self { at: Instant::now(), read }
    }
}
