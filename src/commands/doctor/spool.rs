//! What `doctor` says of the spool. It looks from outside and takes no lock, so that it can be asked while `serve` runs.

use std::sync::Arc;

use super::disk::gib;
use super::finding::{Finding, FindingState, bad, expect, ok};
use crate::config::Config;
use crate::files::free_bytes;
use crate::ingest::spool::{Disk, Look, SpoolPlace, look};

/// The findings on the spool of a data directory.
pub fn findings(config: &Config) -> Vec<Finding> {
    let spool = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
    let dir = spool.dir.display();
    let seen = match look(&*Arc::new(Disk), &spool.dir) {
        Ok(seen) => seen,
        Err(error) => {
            let advice = "see that the folder can be read by this user; it belongs to the one that serve runs as";
            return vec![bad("spool", FindingState::Warning, format!("{dir}: {error}"), advice)];
        }
    };
    let mut findings = vec![match &seen {
        None if config.spool.enabled => ok("spool", format!("{dir}: nothing there yet")),
        None => ok("spool", "off: while the database is away, requests are answered 503"),
        Some(seen) => waiting(&spool, config.spool.enabled, seen),
    }];
    findings.extend(seen.as_ref().map(|seen| quarantine(&spool, seen)));
    findings.extend(seen.as_ref().and_then(odd));
    if config.spool.enabled {
        findings.push(room(config, &spool, seen.map_or(0, |seen| seen.stats.disk_bytes)));
    }
    findings
}

fn waiting(spool: &SpoolPlace, enabled: bool, seen: &Look) -> Finding {
    let stats = &seen.stats;
    let found = format!(
        "{}: {} requests ({} items, {:.1} MiB) wait, the oldest for {} s; {:.2} of {:.2} GiB on disk",
        spool.dir.display(),
        stats.undrained.records,
        stats.undrained.items,
        mib(stats.undrained.bytes),
        stats.oldest_age_us / 1_000_000,
        gib(stats.disk_bytes),
        gib(spool.max_bytes),
    );
    if stats.undrained.records == 0 {
        return ok("spool", found);
    }
    let advice = if enabled {
        "they are safe, and are written once the database takes them; if their number does not fall while serve runs, \
         look at what doctor says of the database, and at the log of serve"
    } else {
        "they are safe, but spool.enabled is false: start serve once with spool.enabled = true to have them written"
    };
    bad("spool", FindingState::Warning, found, advice)
}

fn quarantine(spool: &SpoolPlace, seen: &Look) -> Finding {
    let kept = seen.stats.quarantined;
    let mut found = format!("{} files, {:.1} MiB", kept.files, mib(kept.bytes));
    if seen.damages > 0 {
        found += &format!("; {} damaged or missing stretches in the spool", seen.damages);
    }
    if seen.cursor_lost {
        found += "; the cursor cannot be read";
    }
    let advice = format!(
        "requests were answered 202 and some cannot be written: `tidegate spool list` says which and why. Mend the reason, \
         then `tidegate spool resend`, or `drop`. Of damaged segments, check the disk; they are in {}",
        spool.dir.join("quarantine").display()
    );
    expect("spool quarantine", kept.files == 0 && seen.damages == 0 && !seen.cursor_lost, found, &advice)
}

fn odd(seen: &Look) -> Option<Finding> {
    let named: Vec<String> = seen.odd.iter().map(|(name, why)| format!("{name} ({why})")).collect();
    let advice = "serve does not start on it: put back the file that was there, or move what is there out of the spool's \
                  folder if nothing of it is missed";
    (!named.is_empty()).then(|| bad("spool files", FindingState::Failed, named.join(", "), advice))
}

fn room(config: &Config, spool: &SpoolPlace, used: u64) -> Finding {
    let growth = spool.max_bytes.saturating_sub(used);
    match free_bytes(&config.data_dir) {
        Ok(free) => expect(
            "spool room",
            free >= growth,
            format!("it may grow by {:.2} GiB, {:.2} GiB are free", gib(growth), gib(free)),
            "make room, or lower spool.max_bytes: on a full disk requests are answered 503 before the spool is full",
        ),
        Err(error) => bad("spool room", FindingState::Warning, error.to_string(), "check that data_dir can be reached"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use uuid::Uuid;

    use super::*;
    use crate::config::{Layers, Origin};
    use crate::ingest::spool::{Meta, Spool};

    fn config(data_dir: &std::path::Path) -> Config {
        let mut layers = Layers::new();
        layers.set("data_dir", data_dir.to_str().unwrap().into(), Origin::Default).unwrap();
        Config::from_layers(&layers).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_spool_in_use_is_looked_at_without_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let state = |nth: usize| findings(&config)[nth].state;
        assert_eq!((state(0), findings(&config).len()), (FindingState::Ok, 2), "there is none yet");
        let spool = SpoolPlace::of(dir.path(), config.spool.max_bytes);
        let (spool, _) = Spool::open(spool, Arc::new(Disk)).unwrap();
        assert_eq!((state(0), state(1)), (FindingState::Ok, FindingState::Ok), "there is nothing in it");
        spool.append(vec![1; 100], Meta { receipt: Uuid::now_v7(), items: 7 }).await.unwrap();
        let waiting = findings(&config).remove(0);
        assert_eq!(waiting.state, FindingState::Warning);
        assert!(waiting.found.contains("1 requests (7 items"), "{}", waiting.found);
        let entry = spool.next(1).await.remove(0);
        spool.quarantine(&entry, "a test").await.unwrap();
        assert_eq!(state(1), FindingState::Warning);
        spool.close().await;
    }
}
