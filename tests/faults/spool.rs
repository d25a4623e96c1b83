//! The spool fills up, its disk fails, its files are damaged, or are wanted by two (scenarios 5, 7, 8, 10 to 12).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate::ingest::spool::{Disk, Spool, SpoolPlace};

use crate::books::Books;
use crate::client::Client;
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::process::{Finished, Tidegate};
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::shim::{self, Call, Harm, Rule};
use crate::stage::Stage;
use crate::told::{Record, Told};
use crate::traffic::Patience;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s05_database_away_until_the_spool_is_full),
    scenario!(s07_spool_disk_full_inside_a_record).needs(shim::missing),
    scenario!(s07_a_torn_tail_is_discarded).needs(shim::missing),
    scenario!(s08_a_failed_fsync_is_final).needs(shim::missing),
    scenario!(s10_the_last_segment_ends_early).slow(),
    scenario!(s11_a_flipped_bit),
    scenario!(s12_two_processes_one_spool),
];

/// Fills the spool until it takes no more; the refusal.
fn fill(told: &Told, client: &Client) {
    let answer = until("the spool is full", || {
        let answer = told.send(client, &told.request_of(false, 20, 0, 2000))?;
        (answer.status != 202).then_some(answer)
    });
    assert_refused(&answer);
}

fn assert_refused(answer: &crate::client::Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds >= 1), "{answer:?}");
}

/// One more request is refused.
fn refused(told: &Told, client: &Client) {
    assert_refused(&told.send(client, &told.request(true, 3, 1)).expect("an answer"));
}

fn readiness(client: &Client, status: u16, said: &str) {
    let body = client.get("/readyz").expect(status);
    assert_eq!(body["status"], said, "{body}");
    assert!(said == "ready" || body["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{body}");
}

fn s05_database_away_until_the_spool_is_full(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let tidegate = stage.serve();
    until("it is ready", || (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(()));
    stage.away(&tidegate);
    readiness(&tidegate.client, 200, "degraded");
    let senders = Senders::start(&stage.told, &tidegate.client, Patience::Retry);
    senders.spool(20);
    fill(&stage.told, &tidegate.client);
    senders.fail(20);
    readiness(&tidegate.client, 503, "not_ready");
    let books = Books::of(&tidegate.client);
    assert!(books.get("tidegate_database_available") < 0.5 && books.items("spooled") > 500);
    stage.proxy.back();
    senders.flow(20);
    senders.finish();
    stage.drained(&tidegate);
    until("it is ready again", || (tidegate.client.get("/readyz").json()["status"] == "ready").then_some(()));
    stage.assert_invariants(&tidegate, "s05_database_away_until_the_spool_is_full");
    Ok(())
}

fn s07_spool_disk_full_inside_a_record(env: &Env) -> TestResult {
    let stage = Stage::with_shim(env);
    let tidegate = stage.serve();
    stage.away(&tidegate);
    stage.shim().arm(Rule::always(Call::WRITE, Harm::Torn, ".seg"));
    for _ in 0..3 {
        refused(&stage.told, &tidegate.client);
    }
    assert!(stage.shim().hits() >= 3, "the disk was not full");
    // There is room again.
    stage.shim().clear();
    stage.told.both(&tidegate.client, 202);
    stage.proxy.back();
    stage.drained(&tidegate);
    stage.told.both(&tidegate.client, 200);
    stage.assert_invariants(&tidegate, "s07_spool_disk_full_inside_a_record");
    Ok(())
}

fn s07_a_torn_tail_is_discarded(env: &Env) -> TestResult {
    let stage = Stage::with_shim(env);
    let mut tidegate = stage.serve();
    stage.away(&tidegate);
    // Half a record is written, and the process dies before it cuts it off.
    let torn = Rule::always(Call::WRITE, Harm::Torn, ".seg");
    stage.shim().arm_all(&[torn, Rule::once(Call::TRUNCATE, Harm::KillBefore, ".seg", 0)]);
    let lost = stage.told.send(&tidegate.client, &stage.told.request(true, 3, 1));
    assert!(lost.is_none(), "nobody could answer");
    tidegate.wait();
    assert!(stage.shim().hits() > 0, "nothing was torn");
    stage.shim().clear();
    stage.proxy.back();
    tidegate = stage.serve();
    stage.drained(&tidegate);
    let books = Books::of(&tidegate.client);
    assert!(books.get("tidegate_spool_quarantined_total") < 0.5, "a torn tail is no damage");
    stage.assert_invariants(&tidegate, "s07_a_torn_tail_is_discarded");
    Ok(())
}

fn s08_a_failed_fsync_is_final(env: &Env) -> TestResult {
    let stage = Stage::with_shim(env);
    let mut tidegate = stage.serve();
    stage.away(&tidegate);
    let poisoned = stage.segments().pop().expect("a segment");
    let name = poisoned.file_name().unwrap().to_str().unwrap();
    // One append is inside its fsync while others arrive: together they are in the next one, which fails.
    stage.shim().arm(Rule::always(Call::SYNC, Harm::Hold, name));
    let (told, client) = (&stage.told, &tidegate.client);
    let before = Books::of(client).items("in_flight");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || scope.spawn(|| told.send(client, &told.request(false, 3, 1)).expect("an answer").status);
        let first = send();
        stage.shim().wait_hit("an append is inside its fsync");
        let others: Vec<_> = (0..3).map(|_| send()).collect();
        until("the others are there", || (Books::of(client).items("in_flight") == before + 16).then_some(()));
        stage.shim().arm(Rule::always(Call::SYNC, Harm::Broken, name));
        assert_eq!(first.join().unwrap(), 202, "its own fsync went well");
        others.into_iter().map(|other| other.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 202 | 503)), "{statuses:?}");
    assert!(statuses.contains(&503), "nobody was told: {statuses:?}");
    let failures = stage.shim().hits();
    assert!(failures >= 1, "no fsync failed");
    // The file is never synced again: what the kernel says about it cannot be believed any more.
    stage.told.both(&tidegate.client, 202);
    stage.told.both(&tidegate.client, 202);
    assert_eq!(stage.shim().hits(), failures, "a poisoned segment was synced again");
    assert!(stage.segments().len() > 1, "no other segment was begun");
    tidegate.kill();
    stage.proxy.back();
    tidegate = stage.serve();
    stage.drained(&tidegate);
    assert_eq!(stage.shim().hits(), failures, "a poisoned segment was synced by the next process");
    stage.assert_invariants(&tidegate, "s08_a_failed_fsync_is_final");
    Ok(())
}

/// Copies the spool's files into a data directory of its own.
fn copy_spool(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn s10_the_last_segment_ends_early(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let mut tidegate = stage.serve();
    stage.told.both(&tidegate.client, 200);
    stage.proxy.away();
    // The end of the segment after each promise.
    let mut ends: Vec<u64> = Vec::new();
    let mut segment: Option<PathBuf> = None;
    let first = stage.told.records().len();
    for n in 0..5 {
        let request = stage.told.request(n % 2 == 0, 2, 1);
        stage.told.send(&tidegate.client, &request).expect("an answer").expect(202);
        let last = stage.segments().pop().unwrap();
        assert!(segment.replace(last.clone()).is_none_or(|before| before == last), "one segment");
        ends.push(std::fs::metadata(last)?.len());
    }
    tidegate.kill();
    stage.proxy.back();
    let (segment, spool) = (segment.unwrap(), stage.spool());
    let records = stage.told.records();
    // Every offset, by the spool's own code; a process for each would take an hour.
    let name = segment.file_name().unwrap();
    for cut in 0..=ends[4] {
        let copy = env.path().join("cut").join("spool");
        copy_spool(&spool, &copy);
        File::options().write(true).open(copy.join(name))?.set_len(cut)?;
        let config = SpoolPlace { dir: copy.clone(), max_bytes: 1 << 20, segment_bytes: 1 << 17 };
        let (opened, recovery) = Spool::open(config, Arc::new(Disk))?;
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(recovery.undrained.records, whole as u64, "of a segment of {cut} bytes; records end at {ends:?}");
        drop(opened);
        std::fs::remove_dir_all(&copy)?;
    }
    // The same by processes, around every boundary and inside every record. From the shortest on: what a file has given once is a duplicate.
    let mut cuts: Vec<u64> = vec![0, 1, ends[0] / 2];
    for (n, end) in ends.iter().enumerate() {
        let next = ends.get(n + 1).copied().unwrap_or(*end);
        cuts.extend([end - 1, *end, end + 1, (end + next) / 2].into_iter().filter(|cut| *cut <= ends[4]));
    }
    cuts.sort_unstable();
    cuts.dedup();
    for (n, cut) in cuts.iter().enumerate() {
        let data_dir = env.path().join(format!("cut-{n}"));
        let copy = data_dir.join("spool");
        copy_spool(&spool, &copy);
        File::options().write(true).open(copy.join(name))?.set_len(*cut)?;
        let flags = ["--data-dir", data_dir.to_str().unwrap()].map(str::to_owned);
        let next = Tidegate::serve(env, &env.variables(), &flags);
        stage.drained(&next);
        let whole = ends.iter().filter(|end| *end <= cut).count();
        assert_eq!(recovered(env, &records[first..]), whole, "of a segment of {cut} bytes; records end at {ends:?}");
        tidegate = next;
    }
    stage.assert_invariants(&tidegate, "s10_the_last_segment_ends_early");
    Ok(())
}

/// How many of these requests are stored; they must be the first ones.
fn recovered(env: &Env, records: &[Record]) -> usize {
    let sql = env.sql();
    let stored = |record: &Record| {
        let id = record.good[0];
        !sql.rows("SELECT 1 FROM events WHERE id = $1", &[&id]).is_empty()
    };
    let there: Vec<bool> = records.iter().map(stored).collect();
    let count = there.iter().take_while(|there| **there).count();
    assert!(there[count..].iter().all(|there| !there), "a gap: {there:?}");
    count
}

fn s11_a_flipped_bit(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let mut tidegate = stage.serve();
    stage.away(&tidegate);
    until("there are three segments", || {
        let request = stage.told.request_of(false, 20, 1, 500);
        stage.told.send(&tidegate.client, &request).expect("an answer").expect(202);
        (stage.segments().len() >= 3).then_some(())
    });
    tidegate.kill();
    // In the middle of the middle segment, in what a request carries.
    let damaged = &stage.segments()[1];
    let mut bytes = std::fs::read(damaged)?;
    let middle = bytes.len() / 2;
    let at = middle + bytes[middle..].windows(40).position(|part| part == [b'x'; 40]).expect("padding") + 20;
    bytes[at] ^= 1;
    std::fs::write(damaged, &bytes)?;
    stage.proxy.back();
    tidegate = stage.serve();
    stage.drained(&tidegate);
    let books = Books::of(&tidegate.client);
    assert!(books.get("tidegate_spool_quarantined_total") > 0.5, "no alarm");
    stage.told.both(&tidegate.client, 200);
    let sql = env.sql();
    let missing = Scene::new(env, &tidegate, &sql, &stage.told).check("s11_a_flipped_bit");
    // What was lost to the flipped bit is where it was put aside, and it is the only one.
    assert_eq!(missing.len(), 1, "{missing:?}");
    let listed = env.cli(&["spool", "list", "--json"]).json();
    let lost: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row["lost"].as_array().unwrap())
        .map(|id| id.as_str().unwrap())
        .collect();
    assert_eq!(lost.len(), 1, "{listed}");
    let receipt = tidegate.client.get(&format!("/v1/receipts/{}", lost[0])).expect(200);
    assert_eq!((&receipt["status"], &receipt["accepted"]), (&"quarantined".into(), &20.into()), "{receipt}");
    let other = env.key("other", "read");
    tidegate.with(&other).get(&format!("/v1/receipts/{}", lost[0])).problem(404, "not_found");
    let kept: Vec<u8> = std::fs::read_dir(stage.spool().join("quarantine"))?
        .flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    for id in missing[0].ids() {
        let text = id.to_string();
        assert!(kept.windows(text.len()).any(|part| part == text.as_bytes()), "{id} is not in the quarantine");
    }
    Ok(())
}

fn s12_two_processes_one_spool(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let tidegate = stage.serve();
    stage.away(&tidegate);
    // Same working directory, same data directory; its own connections to the same database are fine.
    let second = Finished::run(env, &env.variables(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("in use by process"), "{second:?}");
    stage.told.both(&tidegate.client, 202);
    stage.proxy.back();
    stage.drained(&tidegate);
    stage.assert_invariants(&tidegate, "s12_two_processes_one_spool");
    Ok(())
}
