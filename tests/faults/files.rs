//! Files of the spool that are not as Tidegate left them, and a disk that is full in one place (scenarios 40 and 49).

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

use crate::books::Books;
use crate::cluster::Cluster;
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::process::Tidegate;
use crate::samples::array;
use crate::scenario;
use crate::scenario::Scenario;
use crate::shim::{self, Call, Harm, Rule, Shim};
use crate::stage::Stage;
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s40_what_is_not_a_file_of_ours_is_refused),
    scenario!(s40_files_are_for_their_owner_whatever_the_umask).on_one_engine(),
    scenario!(s49_wal_disk_full).needs(shim::missing),
    scenario!(s49_temp_disk_full).needs(shim::missing),
];

/// What somebody did to a file; `away` is where it is meanwhile.
type Change = fn(&Path, &Path);

const CHANGES: [(&str, Change); 5] = [
    ("it is a symbolic link", |path, away| {
        std::fs::rename(path, away).unwrap();
        symlink(away, path).unwrap();
    }),
    ("it is a named pipe", |path, away| {
        std::fs::rename(path, away).unwrap();
        mkfifo(path, Mode::S_IRWXU).unwrap();
    }),
    ("it is a folder", |path, away| {
        std::fs::rename(path, away).unwrap();
        std::fs::create_dir(path).unwrap();
    }),
    ("everybody may write to it", |path, away| {
        std::fs::copy(path, away).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    }),
    ("it belongs to user id 12345", |path, away| {
        std::fs::copy(path, away).unwrap();
        chown(path, Some(12345), None).unwrap();
    }),
];

fn put_back(path: &Path, away: &Path) {
    if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) }.unwrap();
    std::fs::rename(away, path).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn s40_what_is_not_a_file_of_ours_is_refused(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    let mut tidegate = stage.serve();
    stage.away(&tidegate);
    // A second process goes on behind the segment of the first.
    tidegate.kill();
    let segment = stage.segments().pop().expect("a segment");
    let bytes = std::fs::read(&segment)?;
    let away = env.path().join("away");
    let refused = |path: &Path, why: &str| {
        let finished = env.serve_fails(&[]);
        assert_eq!(finished.code, Some(1), "{path:?} {why}: {finished:?}");
        assert!(finished.stderr.contains(why), "{path:?} {why}: {finished:?}");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(finished.stderr.contains(name) || name == "lock", "{path:?}: {finished:?}");
    };
    for path in [segment.clone(), stage.spool().join("cursor"), stage.spool().join("lock")] {
        if !path.exists() {
            // Nothing was drained yet.
            std::fs::write(&path, "")?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
        for (why, change) in CHANGES {
            if why.contains("user id") && !geteuid().is_root() {
                continue;
            }
            let before = std::fs::read(&path)?;
            change(&path, &away);
            refused(&path, why);
            assert_eq!(std::fs::read(&away)?, before, "what a link leads to was changed");
            put_back(&path, &away);
        }
        if path.ends_with("cursor") {
            std::fs::remove_file(&path)?;
        }
    }
    // A name that only a segment can have had.
    let mistyped = stage.spool().join("7.seg");
    std::fs::write(&mistyped, "x")?;
    refused(&mistyped, "no segment has such a name");
    std::fs::remove_file(&mistyped)?;
    let folder = std::fs::metadata(stage.spool())?.permissions();
    std::fs::set_permissions(stage.spool(), Permissions::from_mode(0o777))?;
    refused(&stage.spool(), "everybody may write to it");
    std::fs::set_permissions(stage.spool(), folder)?;
    assert_eq!(std::fs::read(&segment)?, bytes, "the segment is as it was");
    stage.proxy.back();
    tidegate = stage.serve();
    stage.drained(&tidegate);
    stage.assert_invariants(&tidegate, "s40_what_is_not_a_file_of_ours_is_refused");
    Ok(())
}

/// Everything below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

fn s40_files_are_for_their_owner_whatever_the_umask(env: &Env) -> TestResult {
    let data_dir = env.path().join("data");
    let mut child = Command::new("sh")
        .args(["-c", "umask 000 && exec \"$0\" serve --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_tidegate")])
        .current_dir(env.path())
        .envs(env.variables())
        .env("TIDEGATE_DATA_DIR", &data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(env.log_file("serve"))?)
        .spawn()?;
    until("the spool is there", || data_dir.join("spool/lock").exists().then_some(()));
    let open: Vec<String> = below(&data_dir)
        .iter()
        .filter_map(|path| {
            let mode = std::fs::symlink_metadata(path).ok()?.mode() & 0o777;
            // It may be passed through where root has a server run as somebody else.
            (mode & 0o066 != 0).then(|| format!("{} {mode:o}", path.display()))
        })
        .collect();
    child.kill()?;
    child.wait()?;
    assert!(open.is_empty(), "{open:?}");
    Ok(())
}

fn s49_wal_disk_full(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let shim = Shim::new(&cluster.folder("shim"), &cluster.data().join("pg_wal"));
    cluster.run_with(&shim);
    let tidegate = Tidegate::serve(env, &cluster.variables(), &[]);
    let told = Arc::new(Told::default());
    told.both(&tidegate.client, 200);
    shim.arm(Rule::always(Call::GROW, Harm::Full, ""));
    // Without room for its log the server goes down, and does not come back before there is some.
    until("the log is full and requests are spooled", || {
        let answer = told.send(&tidegate.client, &told.request_of(false, 20, 2, 500)).expect("an answer");
        assert!(matches!(answer.status, 200 | 202), "{}: {}", answer.status, answer.text());
        (answer.status == 202 && shim.hits() > 0).then_some(())
    });
    shim.clear();
    cluster.crash();
    cluster.run(&[]);
    until("it is written again", || {
        let answer = told.send(&tidegate.client, &told.request(true, 3, 1))?;
        (answer.status == 200).then_some(())
    });
    Scene::new(env, &tidegate, &cluster.sql(), &told).assert_invariants("s49_wal_disk_full");
    Ok(())
}

fn s49_temp_disk_full(env: &Env) -> TestResult {
    let mut cluster = Cluster::start(env);
    let shim = Shim::new(&cluster.folder("shim"), &cluster.data().join("base"));
    cluster.run_with(&shim);
    let superuser = cluster.superuser();
    superuser.run("ALTER SYSTEM SET work_mem = '64kB'");
    superuser.run("ALTER SYSTEM SET hash_mem_multiplier = 1");
    superuser.run("SELECT pg_reload_conf()");
    let tidegate = Tidegate::serve(env, &cluster.variables(), &[]);
    let client = &tidegate.client;
    for batch in 0..5 {
        let event = |n| {
            let asset = "a".repeat(60);
            format!(r#"{{"event_type":"t","source_module":"s","asset_id":"{asset}{batch}-{n}","payload":{{}}}}"#)
        };
        let body = array((0..1000).map(event));
        client.send("POST", "/v1/events", &[("content-type", "application/json")], &body)?.accepted(1000, 0);
    }
    let counts = "/v1/events/counts?from=-7d&bucket=1h&group_by=asset_id&limit=10000";
    shim.arm(Rule::always(Call::GROW, Harm::Full, "pgsql_tmp"));
    // A read that needs room and finds none is told so; writing goes on.
    let told = client.get(counts);
    assert!(shim.hits() > 0, "it needed no room: {}", told.text());
    assert_eq!(told.status, 503, "{}", told.text());
    assert!(told.header("retry-after").parse::<u32>().is_ok(), "{told:?}");
    let event = br#"{"event_type":"t","source_module":"s","payload":{}}"#;
    client.send("POST", "/v1/events", &[("content-type", "application/json")], event)?.expect(200);
    assert_eq!(Books::of(client).items("spooled"), 0, "a read is no reason to spool");
    shim.clear();
    client.get(counts).expect(200);
    Ok(())
}
