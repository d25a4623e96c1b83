//! The index of what payloads contain, by choice: made beside rows, kept by new days, used by reads, taken away, refused.

use crate::env::{Engine, Env, Test, TestResult};
use crate::lifecycle::ended;
use crate::process::Tidegate;
use crate::samples::{array, hours_from_now, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(made_used_and_taken_away, refused_where_it_would_be_of_no_use);
pub const PARTITIONS: &[Test] = tests!(postgres: what_was_cut_short_is_made_whole);

const WANTED: &str = "indexes.payload_gin=true";

/// The layout that may have it.
fn serve(env: &Env, more: &[&str]) -> Tidegate {
    let mut settings = more.to_vec();
    if env.engine == Engine::Timescale {
        settings.push("storage_profile=rowstore");
    }
    env.serve_with(&settings)
}

/// 1,500 events around an hour; one in 500 is of a user of its own.
fn send(tidegate: &Tidegate, hours: i64) {
    let at = hours_from_now(hours);
    let items = (0..1500).map(|n| {
        format!(
            r#"{{"event_type":"t","source_module":"s","timestamp":"{at}","payload":{{"n":{n},"in":{{"user":"u{}","rare":{}}}}}}}"#,
            n % 500,
            n == 7,
        )
    });
    tidegate.client.events(array(items)).accepted(1500, 0);
}

/// Of how many chunks or partitions with rows the index is.
fn indexed(env: &Env) -> (i64, i64) {
    env.sql().run("VACUUM (ANALYZE) tidegate.events");
    let chunks = match env.engine {
        Engine::Timescale => "SELECT public.show_chunks('tidegate.events')",
        Engine::Postgres => "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'events'::regclass",
    };
    let rows = env.sql().rows(
        &format!(
            "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
                JOIN pg_am a ON a.oid = i.relam WHERE x.indrelid = chunk AND a.amname = 'gin' AND x.indisvalid)) \
             FROM ({chunks}) AS c (chunk)"
        ),
        &[],
    );
    (rows[0].get(0), rows[0].get(1))
}

/// How many events a filter finds, and whether an index of payloads found them.
fn found(env: &Env, tidegate: &Tidegate, query: &str) -> (usize, bool) {
    let admin = tidegate.with(&env.key("default", "read,admin"));
    let list = admin.get(&format!("/v1/events?limit=1000&explain=1&{query}")).expect(200);
    assert!(list["next_cursor"].is_null());
    (texts(&list, "id").len(), list["explain"].to_string().contains("payload_"))
}

const RARE: [(&str, usize); 5] = [
    ("payload.in.user=u9", 3),
    ("payload.in.user=u9,u10", 6),
    ("payload.n=1200", 1),
    ("payload.in.rare=true", 1),
    ("payload=%7B%22in%22%3A%7B%22user%22%3A%22u9%22%7D%7D", 3),
];

fn made_used_and_taken_away(env: &Env) -> TestResult {
    env.begin_empty();
    let tidegate = serve(env, &[]);
    send(&tidegate, -49);
    send(&tidegate, -1);
    assert_eq!(indexed(env).1, 0);
    for (query, rows) in RARE {
        assert_eq!(found(env, &tidegate, query), (2 * rows, false), "{query}");
    }
    drop(tidegate);
    assert!(env.cli(&["doctor"]).stdout.contains("none (indexes.payload_gin)"));

    let tidegate = serve(env, &[WANTED]);
    // A day that is born with it.
    send(&tidegate, 26);
    let (chunks, with) = indexed(env);
    assert!(with == chunks && chunks >= 3, "{with} of {chunks}");
    for (query, rows) in RARE {
        assert_eq!(found(env, &tidegate, query), (3 * rows, true), "{query}");
    }
    // What no index tells is found as before.
    for (query, rows) in [("payload.n:gte=1499", 3), ("payload.in.0=1", 0), ("payload.in.user=none", 0)] {
        assert_eq!(found(env, &tidegate, query).0, rows, "{query}");
    }
    drop(tidegate);
    assert!(env.cli(&["doctor"]).stdout.contains("there: events_payload_gin"));

    // Who asks for nothing leaves it, and days that were made ahead meanwhile have it as well.
    drop(serve(env, &[]));
    let (chunks, with) = indexed(env);
    assert_eq!(with, chunks);
    let tidegate = serve(env, &["indexes.payload_gin=false"]);
    assert_eq!(indexed(env).1, 0);
    for (query, rows) in RARE {
        assert_eq!(found(env, &tidegate, query), (3 * rows, false), "{query}");
    }
    Ok(())
}

fn refused_where_it_would_be_of_no_use(env: &Env) -> TestResult {
    let refused = |settings: &[&str], why: &str| {
        let finished = env.serve_fails(settings);
        assert!(finished.code == Some(1) && finished.stderr.contains(why), "{finished:?}");
    };
    if env.engine == Engine::Timescale {
        refused(&[WANTED], "storage_profile = columnstore");
        env.begin_again();
        refused(&[WANTED, "storage_payload=json", "storage_profile=rowstore"], "kept as json");
    } else {
        env.begin_empty();
        refused(&[WANTED, "storage_payload=json"], "kept as json");
    }
    Ok(())
}

/// Of partitions that have a part of it, none, or one that a build left behind.
fn what_was_cut_short_is_made_whole(env: &Env) -> TestResult {
    let tidegate = env.serve();
    // Whether days ahead are made before the end is left open.
    [-4, -30, -60, -90].into_iter().for_each(|hours| send(&tidegate, hours));
    ended(env, tidegate);
    let sql = env.sql();
    sql.run("CREATE INDEX events_payload_gin ON ONLY events USING gin (payload jsonb_path_ops)");
    let partitions: Vec<String> =
        sql.column("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1");
    let bare: Vec<&str> = partitions.iter().map(|name| name.rsplit('.').next().unwrap()).collect();
    let part = |name: &str| format!("CREATE INDEX {name}_payload_gin ON {name} USING gin (payload jsonb_path_ops)");
    sql.run(&part(bare[0]));
    sql.run(&format!("ALTER INDEX events_payload_gin ATTACH PARTITION {}_payload_gin", bare[0]));
    sql.run(&part(bare[1]));
    for _ in 0..2 {
        assert_eq!(env.cli(&["migrate", "--set", WANTED]).code, Some(0));
        let (chunks, with) = indexed(env);
        assert_eq!((with, with > 2), (chunks, true));
        assert!(sql.one::<bool>("SELECT indisvalid FROM pg_index WHERE indexrelid = 'events_payload_gin'::regclass"));
    }
    Ok(())
}
