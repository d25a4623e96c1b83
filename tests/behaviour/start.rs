//! Starts that fail leave nothing behind, and mistakes are named before anything is touched.

use std::net::TcpListener;

use serde_json::json;

use crate::env::{Env, Test, TestResult};
use crate::process::Finished;
use crate::tests;

pub const TESTS: &[Test] = tests!(
    a_taken_port_costs_no_key,
    a_mistyped_variable,
    a_mistyped_level,
    a_mistyped_folder,
    a_writer_without_an_owner,
    a_command_in_an_empty_folder,
);

fn a_taken_port_costs_no_key(env: &Env) -> TestResult {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let finished = env.cli(&["serve", "--listen", &address]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
    assert!(finished.stderr.contains(&format!("cannot listen on {address}")), "{finished:?}");
    // Nor a folder, let alone a cluster.
    let data_dir = env.path().join("data");
    let arguments = ["serve", "--listen", &address, "--data-dir", data_dir.to_str().unwrap()];
    let finished = Finished::run(env, &[], &arguments);
    assert!(finished.code == Some(1) && finished.stderr.contains("cannot listen on"), "{finished:?}");
    assert!(!data_dir.exists(), "{} was made", data_dir.display());
    assert_eq!(env.cli(&["orgs", "list", "--json"]).json(), json!([]));
    assert_eq!(env.cli(&["keys", "list", "--json"]).json(), json!([]));
    let tidegate = env.serve();
    assert!(tidegate.welcome.contains("\n  API key   tg_"), "{}", tidegate.welcome);
    tidegate.client.get("/v1/events").expect(200);
    Ok(())
}

/// Refused with exit code 64, the words in the message, and no database made in the folder.
fn refused(env: &Env, name: &str, value: &str, words: &[&str]) {
    let data_dir = env.path().join("data");
    let variables = [(name.to_owned(), value.to_owned())];
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"], &["keys", "list"]] {
        let arguments = [command, &["--data-dir", data_dir.to_str().unwrap()]].concat();
        let finished = Finished::run(env, &variables, &arguments);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(64), ""), "{finished:?}");
        for word in words {
            assert!(finished.stderr.contains(word), "{word}: {finished:?}");
        }
        assert!(!data_dir.exists(), "{arguments:?} made {}", data_dir.display());
    }
}

fn a_mistyped_variable(env: &Env) -> TestResult {
    let url = env.variables().swap_remove(0).1;
    refused(env, "TIDEGATE_DATABSE_URL", &url, &["TIDEGATE_DATABSE_URL", "did you mean TIDEGATE_DATABASE_URL"]);
    Ok(())
}

fn a_mistyped_level(env: &Env) -> TestResult {
    refused(env, "TIDEGATE_LOG_LEVEL", "inof", &["log.level", "TIDEGATE_LOG_LEVEL", "inof", "info"]);
    Ok(())
}

/// A folder that cannot have been meant is told, not made, nor filled beside what others have in it.
fn a_mistyped_folder(env: &Env) -> TestResult {
    let (deep, foreign) = (env.path().join("typo/data"), env.path().join("foreign"));
    std::fs::create_dir(&foreign)?;
    std::fs::write(foreign.join("photo.jpg"), "")?;
    for (data_dir, words) in [(&deep, "there is no folder"), (&foreign, "photo.jpg")] {
        for variables in [env.variables(), Vec::new()] {
            let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()];
            let finished = Finished::run(env, &variables, &arguments);
            assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
            assert!(finished.stderr.contains("data_dir") && finished.stderr.contains(words), "{finished:?}");
        }
        let finished = Finished::run(env, &[], &["migrate", "--data-dir", data_dir.to_str().unwrap()]);
        assert_eq!(finished.code, Some(1), "{finished:?}");
    }
    assert!(!env.path().join("typo").exists(), "something was made");
    assert_eq!(std::fs::read_dir(&foreign)?.count(), 1, "something was made");
    Ok(())
}

fn a_writer_without_an_owner(env: &Env) -> TestResult {
    let url = env.variables().swap_remove(0).1;
    refused(env, "TIDEGATE_WRITER_URL", &url, &["writer_url", "TIDEGATE_WRITER_URL", "database_url"]);
    refused(env, "TIDEGATE_READER_URL", &url, &["reader_url", "TIDEGATE_READER_URL", "database_url"]);
    Ok(())
}

fn a_command_in_an_empty_folder(env: &Env) -> TestResult {
    let (empty, absent) = (env.path().join("empty"), env.path().join("absent"));
    std::fs::create_dir(&empty)?;
    for data_dir in [&empty, &absent] {
        for command in [&["keys", "list"][..], &["orgs", "list"]] {
            let arguments = [command, &["--data-dir", data_dir.to_str().unwrap()]].concat();
            let finished = Finished::run(env, &[], &arguments);
            assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
            assert!(finished.stderr.contains("no database is configured"), "{finished:?}");
        }
    }
    assert_eq!(std::fs::read_dir(&empty)?.count(), 0, "something was made in {}", empty.display());
    assert!(!absent.exists(), "{} was made", absent.display());
    Ok(())
}
