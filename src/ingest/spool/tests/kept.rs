//! What is asked of the quarantine, with a process that dies at every step of it.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::sim::Sim;
use crate::ingest::spool::kept::{self, Action, KeptWhat};
use crate::ingest::spool::record::Meta;
use crate::ingest::spool::{Entry, Spool, SpoolPlace};

fn place() -> SpoolPlace {
    SpoolPlace { dir: PathBuf::from("/spool"), max_bytes: 1 << 20, segment_bytes: 1 << 16 }
}

fn open(sim: &Sim) -> Arc<Spool> {
    Spool::open(place(), Arc::new(sim.clone())).unwrap().0
}

/// A spool whose one request is in the quarantine.
async fn quarantined(sim: &Sim) -> (Entry, String) {
    let spool = open(sim);
    spool.append(vec![7; 300], Meta { receipt: Uuid::now_v7(), items: 3 }).await.unwrap();
    let entry = spool.next(1).await.remove(0);
    spool.quarantine(&entry, "refused: why").await.unwrap();
    spool.acknowledge(entry.sequence).await.unwrap();
    spool.close().await;
    let kept = kept::quarantined(sim, &place().dir).unwrap().remove(0);
    let KeptWhat::Request { entry: found, reason, .. } = kept.what else { panic!("{kept:?}") };
    assert_eq!((found.payload.as_ref(), found.meta, reason.as_str()), (&[7; 300][..], entry.meta, "refused: why"));
    (entry, kept.file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_again_whenever_the_process_dies() {
    let mut died = 0;
    for step in 1.. {
        let sim = Sim::new(step);
        let (entry, file) = quarantined(&sim).await;
        kept::ask(&sim, &place().dir, &file, Action::Resend).unwrap();
        sim.restart(false);
        let spool = open(&sim);
        {
            let world = &mut *sim.0.lock().unwrap();
            world.dies_at = Some(world.calls + step);
        }
        let sent = spool.resend(&file).await;
        let dead = sim.dead();
        spool.close().await;
        sim.restart(step % 2 == 0);
        let spool = open(&sim);
        for again in kept::asked(&sim, &place().dir, Action::Resend).unwrap() {
            spool.resend(&again.file).await.unwrap();
        }
        let delivered = spool.next(1 << 20).await;
        assert!(!delivered.is_empty(), "step {step}: it is lost");
        assert!(
            delivered.iter().all(|again| again.payload == entry.payload && again.meta == entry.meta),
            "step {step}"
        );
        assert!(kept::asked(&sim, &place().dir, Action::Resend).unwrap().is_empty());
        spool.close().await;
        if !dead {
            sent.unwrap();
            break;
        }
        died += 1;
    }
    assert!(died > 3, "the process died {died} times only");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_no_request_goes_back() {
    let sim = Sim::new(1);
    let (_, file) = quarantined(&sim).await;
    kept::ask(&sim, &place().dir, &file, Action::Resend).unwrap();
    sim.alter(&place().dir.join("resend").join(&file), |bytes| bytes.iter_mut().skip(100).for_each(|byte| *byte ^= 1));
    sim.restart(false);
    let spool = open(&sim);
    spool.resend(&file).await.unwrap();
    let kept = kept::quarantined(&sim, &place().dir).unwrap();
    assert!(matches!(&kept[..], [one] if one.file == file && matches!(one.what, KeptWhat::Unreadable(_))), "{kept:?}");
    spool.close().await;
}
