//! What was written and is not there any more, or not as it was: every byte offset, every bit of a byte.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::rng::Rng;
use super::sim::Sim;
use crate::ingest::spool::keeper::PendingAppend;
use crate::ingest::spool::record::{HEADER_BYTES, Meta, segment_name};
use crate::ingest::spool::recover::{self, Opened};
use crate::ingest::spool::{SpoolPlace, look, recover_bytes};

const RECORDS: u64 = 12;

/// A file system whose spool holds records 1 to 12 in segments of four; none of them is drained.
fn filled(seed: u64) -> (Sim, SpoolPlace) {
    let sim = Sim::new(seed);
    let config = SpoolPlace { dir: PathBuf::from("/spool"), max_bytes: 1 << 20, segment_bytes: 350 };
    let mut keeper = open(&sim, &config).keeper;
    for n in 1..=RECORDS {
        let meta = Meta { receipt: Uuid::from_u128(n.into()), items: 1 };
        let pending = PendingAppend { payload: payload(n).into(), meta };
        assert_eq!(keeper.commit(&[pending])[0], Ok(n));
    }
    (sim, config)
}

fn payload(n: u64) -> Vec<u8> {
    vec![u8::try_from(n).unwrap(); 20]
}

fn open(sim: &Sim, config: &SpoolPlace) -> Opened {
    sim.restart(false);
    recover::open(config.clone(), Arc::new(sim.clone())).unwrap()
}

fn path(config: &SpoolPlace, first: u64) -> PathBuf {
    config.dir.join(segment_name(first))
}

/// Opens, drains everything, and says which records came; each must be as it was written, and in order.
fn drain(sim: &Sim, config: &SpoolPlace) -> (BTreeSet<u64>, Opened) {
    let mut opened = open(sim, config);
    let mut read = Vec::new();
    loop {
        let entries = opened.keeper.shared.read(100);
        let Some(last) = entries.last() else { break };
        read.extend(entries.iter().map(|entry| {
            assert_eq!(entry.payload, payload(entry.sequence));
            entry.sequence
        }));
        assert!(opened.keeper.shared.lock().acknowledge(last.sequence));
    }
    assert!(read.is_sorted_by(|a, b| a < b), "{read:?}");
    opened.keeper.settle().unwrap();
    let state = opened.keeper.shared.lock();
    assert_eq!((state.undrained.records, state.segments.len()), (0, 0), "everything is drained and gone");
    drop(state);
    (read.into_iter().collect(), opened)
}

fn all_but(lost: &[u64]) -> BTreeSet<u64> {
    (1..=RECORDS).filter(|n| !lost.contains(n)).collect()
}

fn kept(sim: &Sim) -> usize {
    sim.paths().iter().filter(|path| path.starts_with("/spool/quarantine")).count()
}

#[test]
fn a_look_from_outside_sees_what_recovery_sees_and_changes_nothing() {
    let (sim, config) = filled(8);
    sim.alter(&path(&config, 5), |bytes| bytes[100] ^= 1);
    let (paths, calls) = (sim.paths(), sim.0.lock().unwrap().calls);
    let seen = look(&sim, &config.dir).unwrap().unwrap();
    assert_eq!((seen.damages, seen.cursor_lost, seen.stats.segments), (1, false, 3));
    assert!(seen.stats.oldest_age_us > 0);
    assert_eq!((sim.paths(), sim.0.lock().unwrap().calls), (paths, calls), "it only reads");
    assert_eq!(seen.stats.undrained, open(&sim, &config).recovery.undrained);
    assert_eq!(seen.stats.undrained.records, RECORDS - 1);
}

#[test]
fn the_last_segment_cut_at_every_byte() {
    let (sim, config) = filled(1);
    let last = sim.bytes_of(&path(&config, 9)).unwrap();
    let record = (last.len() - HEADER_BYTES) / 4;
    for cut in 0..=last.len() {
        let (sim, config) = filled(1);
        sim.alter(&path(&config, 9), |bytes| bytes.truncate(cut));
        let (read, mut opened) = drain(&sim, &config);
        let whole = cut.saturating_sub(HEADER_BYTES) / record;
        assert_eq!(read, (1..=8 + whole as u64).collect(), "cut at {cut}");
        // Without its beginning nothing of the file can be told; only a lost synced header looks so.
        assert_eq!(kept(&sim), usize::from(cut < HEADER_BYTES), "cut at {cut}");
        let recovery = &opened.recovery;
        let torn = if cut < HEADER_BYTES { 0 } else { (cut - HEADER_BYTES) % record };
        assert_eq!((recovery.torn_bytes, recovery.damaged_stretches, recovery.gaps), (torn as u64, 0, 0));
        // It goes on behind what is there, and the next start reads both.
        let meta = Meta { receipt: Uuid::nil(), items: 1 };
        let next =
            opened.keeper.commit(&[PendingAppend { payload: b"after".to_vec().into(), meta }])[0].clone().unwrap();
        assert!(next > 8 + whole as u64);
        let opened = open(&sim, &config);
        assert_eq!(opened.keeper.shared.read(100)[0].sequence, next);
        assert_eq!(opened.recovery.undrained.records, 1);
    }
}

#[test]
fn a_torn_last_segment_stays_quiet_once_it_has_a_successor() {
    let (sim, config) = filled(1);
    sim.alter(&path(&config, 9), |bytes| bytes.truncate(bytes.len() - 3));
    let mut opened = open(&sim, &config);
    assert_eq!(opened.recovery.torn_bytes, 70);
    let meta = Meta { receipt: Uuid::nil(), items: 1 };
    let pending = PendingAppend { payload: payload(12).into(), meta };
    assert_eq!(opened.keeper.commit(&[pending])[0], Ok(12), "the torn record's sequence is given out again");
    let (read, opened) = drain(&sim, &config);
    assert_eq!(read, all_but(&[]));
    assert_eq!((opened.recovery.damaged_stretches, opened.recovery.gaps, kept(&sim)), (0, 0, 0));
}

#[test]
fn a_bit_flipped_at_every_byte() {
    let (sim, config) = filled(2);
    let length = sim.bytes_of(&path(&config, 5)).unwrap().len();
    let record = (length - HEADER_BYTES) / 4;
    for (first, at) in [5, 9].into_iter().flat_map(|first| (0..length).map(move |at| (first, at))) {
        let (sim, config) = filled(2);
        sim.alter(&path(&config, first), |bytes| bytes[at] ^= 1 << (at % 8));
        let hit = at.checked_sub(HEADER_BYTES).map(|behind| first + (behind / record) as u64);
        let (read, opened) = drain(&sim, &config);
        // All that is lost is the record that was hit; a header is not needed to read the records behind it, but for
        // its version, which cannot be told from that of a file that a later Tidegate made.
        assert_eq!(read, all_but(&hit.into_iter().collect::<Vec<_>>()), "byte {at} of segment {first}");
        // The last record of all looks like one that was never finished, if its head does not say that it was.
        let unfinished = hit == Some(RECORDS) && opened.recovery.damaged_stretches == 0;
        let of_head = at.checked_sub(HEADER_BYTES).is_some_and(|behind| behind % record <= 20);
        assert!(!unfinished || of_head, "byte {at} of segment {first}: it was there in its whole length");
        assert_eq!(kept(&sim), usize::from(!unfinished), "byte {at} of segment {first}");
        assert_eq!(opened.recovery.damaged_stretches, u64::from(!unfinished), "byte {at} of segment {first}");
        assert_eq!(opened.recovery.gaps, 0);
    }
}

#[test]
fn garbage_of_any_kind_never_keeps_it_from_opening() {
    for seed in 0..2000 {
        let mut rng = Rng(seed);
        let (sim, config) = filled(seed);
        for first in [1, 5, 9] {
            let below = |rng: &mut Rng, bound: usize| usize::try_from(rng.below(bound as u64 + 1)).unwrap();
            sim.alter(&path(&config, first), |bytes| match rng.below(6) {
                0 => bytes.truncate(below(&mut rng, bytes.len())),
                1 => {
                    let from = below(&mut rng, bytes.len());
                    let to = from + below(&mut rng, bytes.len() - from);
                    bytes[from..to].fill(0);
                }
                2 => {
                    let from = below(&mut rng, bytes.len());
                    bytes.drain(from..from + (bytes.len() - from).min(5));
                }
                3 => {
                    // A stretch of the file a second time.
                    let from = below(&mut rng, bytes.len());
                    let copy = bytes[from..].to_vec();
                    bytes.extend(copy);
                }
                4 => bytes.iter_mut().for_each(|byte| *byte = u8::try_from(rng.below(256)).unwrap()),
                _ => {}
            });
        }
        for first in [1, 5, 9] {
            recover_bytes(&sim.bytes_of(&path(&config, first)).unwrap());
        }
        // What comes is right, in order, once; that, and that it ends, is checked there.
        let (read, _) = drain(&sim, &config);
        assert!(read.is_subset(&all_but(&[])), "seed {seed}");
    }
}

#[test]
fn a_missing_segment_is_a_gap() {
    let (sim, config) = filled(3);
    let fs: &dyn crate::ingest::spool::fs::Fs = &sim;
    fs.unlink(&path(&config, 5)).unwrap();
    let (read, opened) = drain(&sim, &config);
    assert_eq!(read, all_but(&[5, 6, 7, 8]));
    assert_eq!(opened.recovery.gaps, 1);
}

#[test]
fn a_lost_cursor_replays_everything_that_is_left() {
    for corrupt in [false, true] {
        let (sim, config) = filled(4);
        let mut keeper = open(&sim, &config).keeper;
        while keeper.shared.read(100).last().unwrap().sequence < 6 {}
        assert!(keeper.shared.lock().acknowledge(6));
        keeper.settle().unwrap();
        assert_eq!(sim.bytes_of(&path(&config, 1)), None, "the first segment is drained");
        let undamaged = open(&sim, &config);
        assert_eq!(undamaged.keeper.shared.read(1)[0].sequence, 7);
        sim.alter(&config.dir.join("cursor"), |bytes| if corrupt { bytes.fill(0xAA) } else { bytes.clear() });
        let (read, opened) = drain(&sim, &config);
        assert_eq!(read, (5..=RECORDS).collect());
        assert!(opened.recovery.cursor_lost);
        assert_eq!(opened.recovery.gaps, 0);
    }
}

#[test]
fn a_segment_of_an_unknown_version_is_set_aside_whole() {
    let (sim, config) = filled(5);
    let mut before = Vec::new();
    sim.alter(&path(&config, 5), |bytes| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
        before.clone_from(bytes);
    });
    let (read, opened) = drain(&sim, &config);
    assert_eq!(read, all_but(&[5, 6, 7, 8]));
    assert_eq!(opened.recovery.unreadable_segments, 1);
    let kept: Vec<_> = sim.paths().into_iter().filter(|path| path.starts_with("/spool/quarantine")).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(sim.bytes_of(&kept[0]).unwrap(), before);
}

#[test]
fn a_body_that_looks_like_a_record_is_none() {
    // A sender that knows the format, but not the marker, puts a whole record of a foreign segment into its body.
    let (foreign, config) = filled(6);
    let forged = foreign.bytes_of(&path(&config, 1)).unwrap()[HEADER_BYTES..].to_vec();
    let sim = Sim::new(7);
    let mut keeper = open(&sim, &config).keeper;
    let meta = Meta { receipt: Uuid::nil(), items: 1 };
    for payload in [forged, payload(2)] {
        keeper.commit(&[PendingAppend { payload: payload.into(), meta }])[0].clone().unwrap();
    }
    sim.alter(&path(&config, 1), |bytes| bytes[HEADER_BYTES] ^= 1);
    let (read, _) = drain(&sim, &config);
    assert_eq!(read, [2].into_iter().collect(), "only the record behind the damaged one");
}
