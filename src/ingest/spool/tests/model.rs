//! The spool against a model of what was promised, through failures, full disks, crashes and power cuts at every step.
//!
//! A failing seed is printed; `SPOOL_SEED=<seed> cargo test --lib spool::tests::model` runs it alone, and
//! `SPOOL_SEEDS=<count>` runs more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::rng::Rng;
use super::sim::Sim;
use crate::ingest::spool::SpoolPlace;
use crate::ingest::spool::error::AppendError;
use crate::ingest::spool::keeper::{Keeper, PendingAppend};
use crate::ingest::spool::read::Entry;
use crate::ingest::spool::record::Meta;
use crate::ingest::spool::recover;

const SEEDS: u64 = 3000;
/// Calls of one process; more of them for the few steps of a test is an endless loop.
const CALLS_MAX: u64 = 100_000;

/// What the sender of a record was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Safe(u64),
    Refused,
    /// Nothing, or that nobody knows. Which process's: that one does not deliver it.
    Unknown {
        incarnation: u32,
        unsettled: bool,
    },
}

struct Model {
    seed: u64,
    rng: Rng,
    sim: Sim,
    config: SpoolPlace,
    keeper: Keeper,
    incarnation: u32,
    told: BTreeMap<u64, Told>,
    /// Drained for good: the acknowledgement was answered.
    drained: BTreeSet<u64>,
    /// Drained, but not saved yet.
    acknowledged: BTreeSet<u64>,
    /// Drained in a process that died before it heard that this was saved.
    perhaps_drained: BTreeSet<u64>,
    /// A crash hit a group that was being written: some of its records may be there in their whole length and wrong, which
    /// nobody can tell from damage.
    torn_group: bool,
    /// Read since the last start, and not acknowledged.
    delivered: Vec<(u64, u64)>,
    /// The sequence that was read last since then.
    last_read: u64,
}

fn payload(id: u64, length: u64) -> Vec<u8> {
    let filler = (0..length).map(|n| u8::try_from((id + n) % 251).unwrap());
    id.to_le_bytes().into_iter().chain(filler).collect()
}

fn receipt(id: u64) -> Uuid {
    // Nearly in order, as those of requests that arrive at once.
    Uuid::from_u128(u128::from(id ^ 3))
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let sim = Sim::new(rng.next());
        let segment_bytes = 150 + rng.below(1500);
        let max_bytes = segment_bytes * 8 + rng.below(4000);
        let config = SpoolPlace { dir: PathBuf::from("/spool"), max_bytes, segment_bytes };
        let keeper = recover::open(config.clone(), Arc::new(sim.clone())).unwrap().keeper;
        let (told, drained, acknowledged, perhaps_drained) = Default::default();
        let (incarnation, torn_group, delivered, last_read) = (0, false, Vec::new(), 0);
        Self {
            seed,
            rng,
            sim,
            config,
            keeper,
            incarnation,
            told,
            drained,
            acknowledged,
            perhaps_drained,
            torn_group,
            delivered,
            last_read,
        }
    }

    fn append(&mut self) {
        let count = 1 + self.rng.below(4);
        let from = self.told.len() as u64;
        let group: Vec<_> = (from..from + count)
            .map(|id| {
                let length = if self.rng.chance(5) { 700 } else { self.rng.below(120) };
                let meta = Meta { receipt: receipt(id), items: u32::try_from(id % 5).unwrap() };
                PendingAppend { payload: payload(id, length).into(), meta }
            })
            .collect();
        let answers = self.keeper.commit(&group);
        let incarnation = self.incarnation;
        if answers.iter().any(Result::is_ok) {
            // Without one, what a failed sync left behind may be there again.
            let used = self.keeper.shared.lock().disk_bytes();
            assert!(used <= self.config.max_bytes, "{used} bytes in a spool of {}", self.config.max_bytes);
        }
        for (id, answer) in (from..).zip(answers) {
            let told = match answer {
                _ if self.sim.dead() => Told::Unknown { incarnation, unsettled: false },
                Ok(sequence) => Told::Safe(sequence),
                Err(AppendError::Unsettled(_)) => Told::Unknown { incarnation, unsettled: true },
                Err(_) => Told::Refused,
            };
            self.told.insert(id, told);
        }
    }

    fn read(&mut self) {
        let bytes_max = usize::try_from(1 + self.rng.below(600)).unwrap();
        let entries = self.keeper.shared.read(bytes_max);
        self.check(&entries);
    }

    fn check(&mut self, entries: &[Entry]) {
        for entry in entries {
            let id = u64::from_le_bytes(entry.payload[..8].try_into().unwrap());
            assert_eq!(entry.payload, payload(id, entry.payload.len() as u64 - 8), "the payload of {id}");
            assert_eq!(
                (entry.meta.receipt, u64::from(entry.meta.items)),
                (receipt(id), id % 5),
                "what is known of {id}"
            );
            assert!(
                entry.sequence > self.last_read,
                "{id} is out of order: {} after {}",
                entry.sequence,
                self.last_read
            );
            self.last_read = entry.sequence;
            assert!(!self.drained.contains(&id), "{id} was drained");
            match self.told[&id] {
                Told::Safe(sequence) => assert_eq!(entry.sequence, sequence, "the sequence of {id}"),
                Told::Refused => panic!("{id} was refused, and is delivered"),
                Told::Unknown { incarnation, .. } => {
                    assert!(incarnation < self.incarnation, "{id} is not known to be safe, and is delivered");
                }
            }
            self.delivered.push((entry.sequence, id));
        }
    }

    fn acknowledge(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        let count = 1 + usize::try_from(self.rng.below(self.delivered.len() as u64)).unwrap();
        let through = self.delivered[count - 1].0;
        let ids: Vec<_> = self.delivered.drain(..count).map(|(_, id)| id).collect();
        assert!(self.keeper.shared.lock().acknowledge(through));
        self.acknowledged.extend(ids);
        // Removing what is drained may fail after the cursor is saved.
        let _ = self.keeper.settle();
        let drained = self.keeper.shared.lock().drained().sequence;
        if self.keeper.saved >= drained && !self.sim.dead() {
            self.drained.extend(std::mem::take(&mut self.acknowledged));
        }
    }

    fn restart(&mut self, power_cut: bool) {
        self.torn_group |= self.sim.has_pending(".seg");
        self.sim.restart(power_cut);
        self.incarnation += 1;
        let opened = recover::open(self.config.clone(), Arc::new(self.sim.clone())).unwrap();
        self.keeper = opened.keeper;
        (self.delivered, self.last_read) = (Vec::new(), 0);
        self.perhaps_drained.append(&mut self.acknowledged);
        let recovery = opened.recovery;
        if self.sim.0.lock().unwrap().syncs_failed == 0 {
            let torn = self.torn_group;
            let [damaged, gaps] =
                [recovery.damaged_stretches, recovery.gaps].map(|alarms| if torn { 0 } else { alarms });
            let alarms = (damaged, recovery.unreadable_segments, gaps, recovery.cursor_lost);
            assert_eq!(alarms, (0, 0, 0, false), "an alarm without damage");
        }
    }

    fn find(&mut self) {
        let waiting: Vec<_> = self.waiting().collect();
        if waiting.is_empty() {
            return;
        }
        let id = waiting[usize::try_from(self.rng.below(waiting.len() as u64)).unwrap()];
        let found = self.keeper.shared.with_receipt(receipt(id), 8);
        assert_eq!(found, [id.to_le_bytes().to_vec()], "the receipt of {id}");
    }

    /// Safe and neither drained nor acknowledged.
    fn waiting(&self) -> impl Iterator<Item = u64> {
        let safe = self.told.iter().filter(|(_, told)| matches!(told, Told::Safe(_))).map(|(id, _)| *id);
        safe.filter(|id| ![&self.drained, &self.acknowledged, &self.perhaps_drained].iter().any(|set| set.contains(id)))
    }

    fn step(&mut self) {
        if self.rng.chance(10) {
            let world = &mut *self.sim.0.lock().unwrap();
            world.dies_at = Some(world.calls + 1 + self.rng.below(12));
        }
        match self.rng.below(100) {
            0..45 => self.append(),
            45..65 => self.read(),
            65..90 => self.acknowledge(),
            90..93 => self.restart(self.rng.0.is_multiple_of(2)),
            93..96 => self.find(),
            _ => {
                // The disk is full, nearly, or not any more.
                let room =
                    if self.rng.chance(50) { usize::MAX } else { usize::try_from(self.rng.below(4000)).unwrap() };
                self.sim.0.lock().unwrap().room = room;
            }
        }
        if self.sim.dead() {
            self.restart(self.rng.0.is_multiple_of(3));
        }
        assert!(self.sim.0.lock().unwrap().calls < CALLS_MAX, "an endless loop");
    }

    /// With a disk that works: all that waits is delivered, once, and the spool is empty afterwards.
    fn finish(&mut self) {
        {
            let world = &mut *self.sim.0.lock().unwrap();
            (world.failing_percent, world.room, world.dies_at) = (0, usize::MAX, None);
        }
        self.restart(self.rng.0.is_multiple_of(2));
        loop {
            let before = self.delivered.len();
            self.read();
            if self.delivered.len() == before {
                break;
            }
        }
        let delivered: BTreeSet<_> = self.delivered.iter().map(|(_, id)| *id).collect();
        let lost: Vec<_> = self.waiting().filter(|id| !delivered.contains(id)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert_eq!(self.keeper.shared.lock().undrained.records, delivered.len() as u64);
        self.append();
        self.read();
        if let Some((through, _)) = self.delivered.last() {
            assert!(self.keeper.shared.lock().acknowledge(*through));
            self.keeper.settle().unwrap();
        }
        self.restart(true);
        self.read();
    }
}

fn run(seed: u64) -> (u64, usize) {
    let mut model = Model::new(seed);
    model.sim.0.lock().unwrap().failing_percent = [0, 0, 3, 15][usize::try_from(model.seed % 4).unwrap()];
    for _ in 0..60 {
        model.step();
    }
    model.finish();
    let unsettled = model.told.values().filter(|told| matches!(told, Told::Unknown { unsettled: true, .. })).count();
    let calls = model.sim.0.lock().unwrap().calls;
    (calls, unsettled)
}

#[test]
fn nothing_promised_is_lost_and_nothing_refused_comes_back() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SPOOL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SPOOL_SEEDS").unwrap_or(SEEDS),
    };
    let (mut calls, mut unsettled) = (0, 0);
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok((some_calls, some)) => {
                calls += some_calls;
                unsettled += some;
            }
            Err(_) => panic!("SPOOL_SEED={seed} fails; what it says is above"),
        }
    }
    println!("{calls} calls of the file system, {unsettled} appends unsettled");
}
