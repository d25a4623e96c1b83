//! The spool's quarantine by command: what is no spool, and what nobody of Tidegate's put there.

use serde_json::Value;

use crate::env::{Env, Test, TestResult, until};
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres: where_there_is_no_spool, what_is_no_file_is_left_alone);

fn where_there_is_no_spool(env: &Env) -> TestResult {
    let file = env.path().join("a_file");
    std::fs::write(&file, "")?;
    for folder in [env.path().join("typo"), env.path().to_owned(), file] {
        let folder = folder.display().to_string();
        for arguments in [&["list"][..], &["list", "--json"], &["resend", "--all"], &["drop", "--all", "--yes"]] {
            let finished = env.cli(&[&["spool"], arguments, &["--data-dir", &folder]].concat());
            assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
            let said = format!("there is no spool: {folder}/spool");
            assert!(finished.stderr.contains(&said) && finished.stderr.contains("--data-dir"), "{finished:?}");
        }
    }
    // An empty one is none of these.
    drop(env.serve());
    let listed = env.cli(&["spool", "list", "--json"]).json();
    assert_eq!(listed, Value::Array(Vec::new()));
    Ok(())
}

fn what_is_no_file_is_left_alone(env: &Env) -> TestResult {
    let mut tidegate = env.serve();
    let spool = env.path().join(".tidegate/spool");
    let at = |name: &str| spool.join("quarantine").join(name);
    std::fs::create_dir(at("0-theirs"))?;
    std::fs::write(at("0-theirs/notes.txt"), "kept")?;
    std::fs::write(at("1-junk.record"), "junk")?;
    let listed = env.cli(&["spool", "list", "--json"]).json();
    let reason = |file: &str| {
        let found =
            listed.as_array().unwrap().iter().find(|row| row["file"] == file).unwrap_or_else(|| panic!("{listed}"));
        found["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("0-theirs").contains("a folder") && !reason("1-junk.record").is_empty());
    for action in ["drop", "resend"] {
        let refused = env.cli(&["spool", action, "0-theirs"]);
        assert!(refused.code == Some(1) && refused.stderr.contains("by hand"), "{refused:?}");
    }
    let dropped = env.cli(&["spool", "drop", "--all", "--yes"]);
    assert!(dropped.code == Some(0) && dropped.stdout.starts_with("1 dropped"), "{dropped:?}");
    assert!(at("0-theirs/notes.txt").exists() && !at("1-junk.record").exists());
    // Moved there by hand, it holds up nobody either, and no start.
    std::fs::create_dir_all(spool.join("drop"))?;
    let theirs = |folder: &str| spool.join(folder).join("0-theirs");
    for running in [true, false] {
        if !running {
            assert_eq!(tidegate.stop(), Some(0));
        }
        std::fs::write(spool.join("drop/1-junk.record"), "junk")?;
        std::fs::rename(theirs("quarantine"), theirs("drop"))?;
        if !running {
            tidegate = env.serve();
        }
        until("the file is dropped, and the folder is back", || {
            (!spool.join("drop/1-junk.record").exists() && theirs("quarantine").exists()).then_some(())
        });
    }
    Ok(())
}
