//! Who reads a chunk that is being recompressed reads all of it: what waits for the chunk has a snapshot from after it.

use jiff::{SignedDuration, Timestamp};

use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::postgres::Sql;
use crate::process::Finished;
use crate::samples::array;
use crate::tests;

pub const TESTS: &[Test] = tests!(timescale: exports_have_all_rows, backups_have_all_rows);

const ROWS: usize = 600;

/// Yesterday's events, in a chunk that the session has begun to recompress; it ends with COMMIT.
fn recompressing(env: &Env, client: &Client) -> Sql {
    let session = env.sql();
    // The job would do the same, and sooner or later than it is wanted here.
    session.run("BEGIN; LOCK TABLE lock_job_lifecycle IN EXCLUSIVE MODE");
    let start = Timestamp::now().checked_sub(SignedDuration::from_hours(30)).unwrap();
    for part in 0..3 {
        let items = (0..ROWS / 3).map(|n| {
            let at = start.checked_add(SignedDuration::from_millis(i64::try_from(part * 1000 + n).unwrap())).unwrap();
            format!(
                r#"{{"event_type":"t","source_module":"s","asset_id":"a{}","timestamp":"{at}","payload":{{"n":{n}}}}}"#,
                n % 7
            )
        });
        client.events(array(items)).accepted(ROWS as u64 / 3, 0);
    }
    let chunks: i64 = session
        .one("SELECT count(public.compress_chunk(c, recompress => true)) FROM public.show_chunks('tidegate.events') c");
    assert!(chunks >= 1, "there is a chunk");
    session
}

/// Waits until somebody waits for what the session holds, and lets them have it.
fn release(watching: &Sql, session: &Sql, application: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE NOT l.granted AND a.datname = current_database() AND a.application_name LIKE '{application}'"
    );
    until("it waits for the chunk", || (watching.one::<i64>(&waiting) > 0).then_some(()));
    session.run("COMMIT");
}

/// What is done while the chunk is being recompressed, by whom has this name, and goes on when that is done.
fn beside<T>(env: &Env, session: Sql, application: &'static str, work: impl FnOnce() -> T) -> T {
    let watching = env.sql();
    std::thread::scope(|scope| {
        scope.spawn(move || release(&watching, &session, application));
        work()
    })
}

fn exports_have_all_rows(env: &Env) -> TestResult {
    let tidegate = env.serve();
    for order in ["desc", "asc", "none"] {
        let session = recompressing(env, &tidegate.client);
        let lines = beside(env, session, "tidegate export", || {
            let path = format!("/v1/events?order={order}&event_type=t");
            let answer = tidegate.client.get_as(&path, &[("accept", "application/x-ndjson")]);
            assert_eq!(answer.status, 200);
            answer.text().lines().count()
        });
        assert_eq!(lines, ROWS, "{order}");
        env.sql().alter("DELETE FROM events");
    }
    Ok(())
}

fn backups_have_all_rows(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let session = recompressing(env, &tidegate.client);
    let folder = format!("backup.dir={}", env.path().join("backups").display());
    let run = |arguments: &[&str]| {
        let all = [&["backup"], arguments, &["--json", "--set", &folder]].concat();
        Finished::run(env, &env.variables(), &all)
    };
    let made = beside(env, session, "tidegate%", || run(&["create"]));
    assert_eq!(made.code, Some(0), "{made:?}");
    // Counted by the snapshot that was dumped; the dump, restored, is compared with that.
    assert_eq!(run(&["list"]).json()[0]["events"], ROWS, "{made:?}");
    let found = run(&["verify", "--restore"]).json();
    assert_eq!((&found["good"], &found["restored"]), (&true.into(), &true.into()), "{found}");
    Ok(())
}
