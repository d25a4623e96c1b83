//! What `sql/schema` says a database is, and databases that came to be in every way there is. `TIDEGATE_TEST_BLESS=yes` writes the files
//! of `sql/schema` from what the migrations make.

use std::path::{Path, PathBuf};

use serde_json::json;
use tidegate::authority::{Layer, Snapshot, parse, write};

use crate::env::{Engine, Env, Test, TestResult};
use crate::epochs::dumped;
use crate::old;
use crate::postgres::SUPERUSER;
use crate::process::Finished;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    what_migrations_make_is_what_is_expected,
    a_database_that_was_upgraded_is_expected,
    a_restored_dump_is_expected
);
pub const TIMESCALE: &[Test] = tests!(timescale: rowstores_are_expected);

/// With which last migration databases are brought up to date: each where another one does more than add.
const UPGRADED: [i32; 6] = [4, 8, 17, 19, 26, 32];

/// Asserts that `schema verify` has nothing to say.
pub fn assert_clean(env: &Env, settings: &[&str]) {
    let verified = verified(env, settings);
    assert!(verified.code == Some(0), "{verified:?}");
    assert_eq!(verified.json(), json!({ "clean": true, "findings": [] }));
}

pub fn verified(env: &Env, settings: &[&str]) -> Finished {
    let flags = settings.iter().flat_map(|setting| ["--set", setting]);
    env.cli(&["schema", "verify", "--json"].into_iter().chain(flags).collect::<Vec<_>>())
}

pub fn show(env: &Env) -> Snapshot {
    let shown = env.cli(&["schema", "show"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    parse(&shown.stdout).unwrap_or_else(|error| panic!("{error}"))
}

/// An empty database where migrations find pgvector, if the machine has it, or do not.
fn begin(env: &Env, vectors: bool) -> bool {
    let superuser = env.sql_as(SUPERUSER);
    let is_there: bool = superuser.one("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')");
    if vectors && is_there {
        superuser.run("CREATE EXTENSION vector SCHEMA public");
    }
    is_there
}

fn migrate(env: &Env, settings: &[&str]) {
    let flags = settings.iter().flat_map(|setting| ["--set", setting]);
    let migrated = env.cli(&["migrate"].into_iter().chain(flags).collect::<Vec<_>>());
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
}

/// Asserts that a layer is what its database has beside those below, or writes it so.
pub fn layer(env: &Env, layer: Layer, below: &Snapshot, database: &Snapshot) {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/schema").join(layer.file());
    let made = write(&database.over(below));
    if std::env::var_os("TIDEGATE_TEST_BLESS").is_some() {
        std::fs::write(file, made).unwrap();
    } else if env.installation().major == 15 {
        // Views are written otherwise by later versions.
        let kept = std::fs::read_to_string(&file).unwrap();
        let differing = std::iter::zip(made.lines(), kept.lines()).find(|(made, kept)| made != kept);
        assert!(
            made == kept,
            "{} is not what the migrations make (TIDEGATE_TEST_BLESS=yes writes it): {differing:?}",
            file.display()
        );
    }
}

fn what_migrations_make_is_what_is_expected(env: &Env) -> TestResult {
    let (own, other) = match env.engine {
        Engine::Timescale => (Layer::Timescale, Layer::Json),
        Engine::Postgres => (Layer::Postgres, Layer::NoVectors),
    };
    env.begin_empty();
    let vectors = begin(env, true);
    migrate(env, &[]);
    let base = show(env);
    if vectors {
        layer(env, own, &Snapshot::default(), &base);
        assert!(base.items.len() > 500 && base == parse(&write(&base))?);
    }
    if std::env::var_os("TIDEGATE_TEST_BLESS").is_none() {
        assert_clean(env, &[]);
    }
    // Json and arrays are the same on both engines: one of each is written, and all are verified.
    for (which, with_vectors, settings) in
        [(Layer::Json, true, &["storage_payload=json"][..]), (Layer::NoVectors, false, &[][..])]
    {
        env.begin_again();
        begin(env, with_vectors);
        migrate(env, settings);
        if vectors && which == other {
            layer(env, which, &base, &show(env));
        }
        if std::env::var_os("TIDEGATE_TEST_BLESS").is_none() {
            assert_clean(env, &[]);
        }
    }
    Ok(())
}

fn rowstores_are_expected(env: &Env) -> TestResult {
    env.begin_empty();
    let vectors = begin(env, true);
    migrate(env, &["storage_profile=rowstore", "partitions.events=6", "chunk_interval=12h"]);
    let made = show(env);
    if vectors {
        env.begin_again();
        begin(env, true);
        migrate(env, &["storage_profile=rowstore"]);
        let rowstore = show(env);
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/schema").join(Layer::Timescale.file());
        let mut base = if env.installation().major == 15 { parse(&std::fs::read_to_string(kept)?)? } else { show(env) };
        layer(env, Layer::Rowstore, &base, &rowstore);
        base.lay(rowstore.over(&base));
        migrate(env, &["storage_profile=rowstore", "indexes.payload_gin=true"]);
        layer(env, Layer::PayloadIndex, &base, &show(env));
        if std::env::var_os("TIDEGATE_TEST_BLESS").is_some() {
            return Ok(());
        }
        assert_clean(env, &["storage_profile=rowstore"]);
        assert_clean(env, &["storage_profile=rowstore", "indexes.payload_gin=true"]);
        let other = verified(env, &["storage_profile=rowstore", "partitions.events=6", "chunk_interval=12h"]);
        assert_eq!(other.code, Some(1), "{other:?}");
        assert_ne!(made, rowstore);
    }
    env.begin_again();
    migrate(env, &["storage_profile=rowstore", "storage_payload=json"]);
    assert_clean(env, &["storage_profile=rowstore"]);
    Ok(())
}

fn a_database_that_was_upgraded_is_expected(env: &Env) -> TestResult {
    env.begin_empty();
    for version in UPGRADED {
        env.begin_again();
        let sql = env.sql();
        old::install(&sql, env.engine, version);
        if version == UPGRADED[0] {
            old::put_events(&sql, env.engine);
        }
        drop(sql);
        migrate(env, &[]);
        assert_clean(env, &[]);
    }
    Ok(())
}

fn a_restored_dump_is_expected(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(crate::samples::batch(3)).accepted(3, 0);
    // Beside live traffic.
    assert_clean(env, &[]);
    drop(tidegate);
    let into = format!("{}_restored", env.database());
    drop(dumped(env, &into));
    let variables: Vec<(String, String)> =
        env.variables().into_iter().map(|(name, value)| (name, value.replace(env.database(), &into))).collect();
    let verified = Finished::run(env, &variables, &["schema", "verify", "--json"]);
    env.sql_as(SUPERUSER).run(&format!("DROP DATABASE {into} WITH (FORCE)"));
    assert_eq!((verified.code, verified.json()), (Some(0), json!({ "clean": true, "findings": [] })), "{verified:?}");
    Ok(())
}
