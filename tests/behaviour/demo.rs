//! What somebody sees first: the demo's story, and which build it is.

use crate::env::{Env, Test, TestResult};
use crate::process::Finished;
use crate::tests;

pub const TESTS: &[Test] = tests!(the_demo_shows_each_part);

pub const VERSION: &[Test] = tests!(postgres: the_build_says_what_it_is);

/// Its own server, of the test's installation and engine: the variables of the test's database are not given.
fn the_demo_shows_each_part(env: &Env) -> TestResult {
    let variables = [("TMPDIR".to_owned(), env.path().display().to_string())];
    let demo = Finished::run(env, &variables, &["demo", "--duration", "1s", "--engine", env.engine.as_str()]);
    assert_eq!(demo.code, Some(0), "{demo:?}");
    let parts = [
        &format!("engine: {}", env.engine.as_str()),
        "stream orders: 3 accepted, 1 rejected",
        "is a dead letter: missing_field, event_type is missing",
        "the group billing was handed offset 0: order.created",
        "2 committed, 1 left to read",
        "a correlation was found: ",
        ", causal, strength ",
        "events by type:",
        "metrics:",
        "without --once it stays",
    ];
    // In this order.
    let mut rest = demo.stdout.as_str();
    for part in parts {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("{part:?} is not in {rest}\n{demo:?}")).1;
    }
    assert_eq!(demo.stdout.matches("conservation  ok").count(), 2, "{demo:?}");
    assert!(!demo.stdout.contains("tg_"), "a key of what is gone: {demo:?}");
    let left = std::fs::read_dir(env.path())?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("tidegate-demo"));
    assert_eq!(left.count(), 0, "its folder is removed");
    Ok(())
}

fn the_build_says_what_it_is(env: &Env) -> TestResult {
    let short = Finished::run(env, &[], &["-V"]);
    assert_eq!(short.stdout.trim(), concat!("tidegate ", env!("CARGO_PKG_VERSION")), "{short:?}");
    let long = Finished::run(env, &[], &["--version"]).stdout;
    let lines: Vec<&str> = long.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["tidegate", "commit:", "build:", "features:"], "{long}");
    assert!(long.contains(std::env::consts::ARCH) && long.contains("rustc 1."), "{long}");
    Ok(())
}
