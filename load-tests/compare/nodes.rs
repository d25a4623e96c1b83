//! One, two and four nodes on one database, as processes of this machine, beside raw COPY of the same layout in the
//! same run. On the same processors more nodes bring no more events: what counts is how many of them a second of
//! processor is, of all nodes, PostgreSQL and the sender, against that of COPY and its client.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate::load::Endpoint;
use tidegate::model::Kind;

use super::common::{BATCH_ROWS, CONNECTIONS, Result, TENANTS, mean, within_a_minute};
use super::feed::{Feed, Until};
use super::figures::Figures;
use super::machine;
use super::meter::{Meter, Usage};
use super::options::Options;
use super::proc;
use super::raw;
use super::rows::streams;
use super::sender::Sender;
use super::target::Target;
use super::templates::templates;

const COUNTS: [usize; 3] = [1, 2, 4];
const RAW: &str = "raw COPY";

/// Measures COPY and each number of nodes in turn, so often as there are rounds.
pub async fn run(target: &mut Target, options: &Options, figures: &mut Figures) -> Result<()> {
    let requests = options.events.div_ceil(BATCH_ROWS);
    let events = requests * BATCH_ROWS;
    let (mut raw_us, mut nodes_us) = (Vec::new(), vec![Vec::new(); COUNTS.len()]);
    for _ in 0..options.rounds {
        target.settings.clear();
        target.fresh().await?;
        let made = templates(requests, BATCH_ROWS);
        let streams = streams(Kind::Events, &made, &target.tenants[..TENANTS], target.stored_json)?;
        let usage = raw::run(target, Kind::Events, streams, CONNECTIONS).await?;
        target.check_stored("events", events).await?;
        usage.add(figures, RAW, "event", events);
        raw_us.push(usage.us(events));
        for (count, all) in COUNTS.iter().zip(&mut nodes_us) {
            let usage = of(target, *count, requests, options.connections).await?;
            target.check_stored("events", events).await?;
            usage.add(figures, &name(*count), "event", events);
            all.push(usage.us(events));
        }
    }
    target.settings.clear();
    for (count, all) in COUNTS.iter().zip(&nodes_us) {
        figures.add(&format!("{} / {RAW}, per processor second", name(*count)), "ratio", mean(&raw_us) / mean(all));
    }
    Ok(())
}

fn name(count: usize) -> String {
    format!("nodes_{count}")
}

/// Sends all requests to so many nodes, each its part, over so many connections in all. Writers are as many in all as one
/// node has that nobody configures, and each node has one.
async fn of(target: &mut Target, count: usize, requests: u64, connections: usize) -> Result<Usage> {
    let writers = format!("writers={}", (machine::processors() / count).max(1));
    target.settings = vec![writers.clone()];
    target.fresh().await?;
    let mut others = Vec::new();
    for number in 1..count {
        others.push(Node::start(target, number, &writers)?);
    }
    let mut endpoints = vec![Arc::clone(&target.endpoint)];
    for node in &others {
        endpoints.push(Arc::new(Endpoint::parse(&node.url)?));
    }
    let others_cpu_s = || others.iter().map(|node| proc::cpu_seconds(node.child.id())).sum::<f64>();
    let parts = shares(requests, count);
    let feeds = parts.iter().map(|part| Feed::in_turn(templates(*part, BATCH_ROWS), TENANTS, Until::Requests(*part)));
    let feeds: Vec<Feed> = feeds.collect();
    within_a_minute().await;
    let (meter, before) = (Meter::start(target), others_cpu_s());
    let mut sending = tokio::task::JoinSet::new();
    for (feed, endpoint) in feeds.into_iter().zip(endpoints) {
        let sender = Sender::new(target, Kind::Events, &target.keys)?.to(endpoint);
        sending.spawn(sender.send(feed, (connections / count).max(1)));
    }
    while let Some(sent) = sending.join_next().await {
        let sent = sent??;
        if sent.committed != sent.events {
            return Err(format!("{} of {} committed: {:?}", sent.committed, sent.events, sent.statuses).into());
        }
    }
    let mut usage = meter.stop(target);
    usage.tidegate_cpu_s += others_cpu_s() - before;
    others.into_iter().try_for_each(Node::stop)?;
    Ok(usage)
}

/// So many parts of the requests, as equal as can be.
fn shares(requests: u64, count: usize) -> Vec<u64> {
    let count = count as u64;
    (0..count).map(|part| requests / count + u64::from(part < requests % count)).collect()
}

/// A node beside the target's own, on its database; dropped it is killed.
struct Node {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(target: &Target, number: usize, writers: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-compare-node-").tempdir()?;
        let name = format!("node.name=node-{number}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--set", "log.level=warn", "--set", writers, "--set", &name])
            .arg("--data-dir")
            .arg(folder.path())
            .envs(target.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let mut node = Self { child, url: String::new(), _folder: folder };
        let mut line = String::new();
        BufReader::new(stdout.ok_or("no standard output")?).read_line(&mut line)?;
        node.url = line.trim().strip_prefix("Tidegate is ready at ").ok_or("a node did not start")?.to_owned();
        Ok(node)
    }

    fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("a node ended with {status}").into()) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The error of a measurement that failed is told already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_of_one_node() {
        for (requests, count) in [(1000, 1), (1001, 2), (1003, 4), (3, 4)] {
            let parts = shares(requests, count);
            assert_eq!((parts.len(), parts.iter().sum::<u64>()), (count, requests));
            assert!(parts.iter().max() <= parts.iter().min().map(|least| least + 1).as_ref());
        }
    }
}
