//! Real servers in temporary directories: each test starts, breaks and restarts its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use std::path::Path;
use std::time::Duration;

use tidegate::storage::embedded::{DATABASE, EmbeddedConfig, EmbeddedServer, OWNER, READER, WRITER, locate_running};

/// A directory that the server's account can reach, also when the tests run as root.
fn temp_dir() -> TempDir {
    temp_dir_with_mode(0o755)
}

fn temp_dir_with_mode(mode: u32) -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempdir().expect("a temp dir")
}

fn config(data_dir: &Path, preload_timescaledb: bool) -> EmbeddedConfig {
    EmbeddedConfig {
        data_dir: data_dir.to_owned(),
        bin_dir: None,
        start_timeout: Duration::from_secs(60),
        durable: false,
        preload_timescaledb,
        extra_settings: vec![("shared_buffers".into(), "32MB".into())],
    }
}

async fn start(data_dir: &Path) -> EmbeddedServer {
    EmbeddedServer::start(config(data_dir, false)).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server accepts the role");
    tokio::spawn(connection);
    client
}

async fn setting(client: &Client, name: &str) -> String {
    client.query_one("SELECT current_setting($1)", &[&name]).await.expect("a known setting").get(0)
}

async fn write_row(server: &EmbeddedServer) {
    let owner = connect(&server.url(OWNER, DATABASE)).await;
    // Synchronous, so that it survives the server's being killed even where the tests switch that off.
    let sql = "SET synchronous_commit = on; CREATE SCHEMA tidegate; CREATE TABLE kept AS SELECT 42 AS answer";
    owner.batch_execute(sql).await.expect("the owner may create");
}

async fn read_row(server: &EmbeddedServer) -> i32 {
    let owner = connect(&server.url(OWNER, DATABASE)).await;
    owner.query_one("SELECT answer FROM kept", &[]).await.expect("the row is there").get(0)
}

fn is_alive(pid: u32) -> bool {
    kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), None).is_ok()
}

#[tokio::test]
async fn data_outlives_a_stop() {
    let dir = temp_dir();
    let server = start(dir.path()).await;
    assert!(server.socket_dir().ends_with("postgres/run"), "{}", server.socket_dir().display());
    let found = locate_running(dir.path()).expect("published");
    assert_eq!((found.socket_dir.as_path(), found.port), (server.socket_dir(), server.port()));
    write_row(&server).await;
    let pid = server.server_pid();
    server.stop().await.expect("a server that stops");
    assert!(!is_alive(pid));
    assert_eq!(locate_running(dir.path()), None);

    let server = start(dir.path()).await;
    assert_eq!(read_row(&server).await, 42);
    server.stop().await.expect("a server that stops");
}

#[tokio::test]
async fn the_allocator_keeps_what_a_backend_frees() {
    let dir = temp_dir();
    let server = start(dir.path()).await;
    let environment = std::fs::read(format!("/proc/{}/environ", server.server_pid())).expect("our own server's");
    let mut names: Vec<&[u8]> =
        environment.split(|byte| *byte == 0).filter(|line| line.starts_with(b"MALLOC_")).collect();
    names.sort_unstable();
    let expected = ["MALLOC_MMAP_THRESHOLD_=536870912", "MALLOC_TOP_PAD_=67108864", "MALLOC_TRIM_THRESHOLD_=536870912"];
    assert_eq!(names, expected.map(str::as_bytes));
    server.stop().await.expect("a server that stops");
}

#[tokio::test]
async fn a_second_start_on_the_same_directory_is_refused() {
    let dir = temp_dir();
    let server = start(dir.path()).await;
    let error = EmbeddedServer::start(config(dir.path(), false)).await.expect_err("the directory is in use");
    assert!(error.is_locked(), "{error}");
    assert!(is_alive(server.server_pid()));
    server.stop().await.expect("a server that stops");
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_recovers() {
    let dir = temp_dir();
    let mut server = start(dir.path()).await;
    write_row(&server).await;
    // A backend that is busy does not see its postmaster die, and holds the shared memory.
    let busy = connect(&server.url(READER, DATABASE)).await;
    let loops = tokio::spawn(async move { busy.batch_execute("DO $$ BEGIN LOOP END LOOP; END $$").await });
    let owner = connect(&server.url("postgres", DATABASE)).await;
    let running = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'";
    while owner.query(running, &[]).await.expect("a live server").is_empty() {
        tokio::task::yield_now().await;
    }
    kill(Pid::from_raw(i32::try_from(server.server_pid()).expect("a pid")), Signal::SIGKILL).expect("our own server");
    server.wait().await.expect("an exit status");
    drop(server);

    let server = start(dir.path()).await;
    assert!(loops.await.expect("no panic").is_err());
    assert_eq!(read_row(&server).await, 42);
    server.stop().await.expect("a server that stops");
}

#[tokio::test]
async fn an_orphan_is_stopped_first() {
    let dir = temp_dir();
    let server = start(dir.path()).await;
    write_row(&server).await;
    let orphan = server.server_pid();
    drop(server);
    assert!(is_alive(orphan));

    let server = start(dir.path()).await;
    assert_ne!(server.server_pid(), orphan);
    assert_eq!(read_row(&server).await, 42);
    server.stop().await.expect("a server that stops");
}

#[tokio::test]
async fn a_long_path_gets_a_socket_elsewhere() {
    let dir = temp_dir();
    let long = dir.path().join("a long directory's name, with a comma".repeat(3));
    std::fs::create_dir(&long).expect("a writable dir");
    let server = start(&long).await;
    assert!(server.socket_dir().as_os_str().len() < 100);
    let mode = std::fs::metadata(server.socket_dir()).expect("a directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    write_row(&server).await;
    let socket_dir = server.socket_dir().to_owned();
    server.stop().await.expect("a server that stops");
    std::fs::remove_dir(socket_dir).expect("an empty directory");
}

#[tokio::test]
async fn a_directory_that_the_servers_user_cannot_reach_gets_a_link() {
    if !geteuid().is_root() {
        return;
    }
    let dir = temp_dir_with_mode(0o700);
    let server = start(dir.path()).await;
    let home = dir.path().join("postgres").canonicalize().expect("a link");
    assert!(home.starts_with("/var/lib/tidegate"), "{}", home.display());
    write_row(&server).await;
    server.stop().await.expect("a server that stops");
    let server = start(dir.path()).await;
    assert_eq!(read_row(&server).await, 42);
    server.stop().await.expect("a server that stops");

    // The data directory is deleted and created again: the old rows must not come back, nor be destroyed.
    std::fs::remove_file(dir.path().join("postgres")).expect("a link");
    let server = start(dir.path()).await;
    let owner = connect(&server.url(OWNER, DATABASE)).await;
    assert!(owner.query("SELECT FROM kept", &[]).await.is_err());
    server.stop().await.expect("a server that stops");
    let name = home.file_name().expect("a name").to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/var/lib/tidegate").expect("readable").flatten();
    let ours: Vec<_> = entries.filter(|e| e.file_name().to_string_lossy().starts_with(&name)).collect();
    assert_eq!(ours.len(), 2);
    ours.iter().for_each(|e| std::fs::remove_dir_all(e.path()).expect("removable"));
}

#[tokio::test]
async fn roles_have_their_settings_and_no_more_rights() {
    let dir = temp_dir();
    let server = start(dir.path()).await;
    for role in [OWNER, WRITER, READER] {
        let client = connect(&server.url(role, DATABASE)).await;
        assert_eq!(setting(&client, "search_path").await, "tidegate, public");
        assert_eq!(setting(&client, "lc_messages").await, "C");
        assert_eq!(setting(&client, "is_superuser").await, "off");
        assert_eq!(setting(&client, "max_locks_per_transaction").await, "1024");
        assert!(client.batch_execute("CREATE TABLE public.planted ()").await.is_err() || role == OWNER);
        let monitors = client.query_one("SELECT pg_has_role(current_user, 'pg_monitor', 'MEMBER')", &[]).await;
        assert_eq!(monitors.expect("a row").get::<_, bool>(0), role == OWNER);
    }
    let client = connect(&server.url(READER, DATABASE)).await;
    assert_eq!(setting(&client, "listen_addresses").await, "");
    assert_eq!(setting(&client, "data_checksums").await, "on");
    assert_eq!(setting(&client, "server_encoding").await, "UTF8");
    assert!(!server.has_timescaledb());
    let installed = client.query("SELECT FROM pg_extension WHERE extname = 'timescaledb'", &[]).await;
    assert!(installed.expect("readable").is_empty());
    server.stop().await.expect("a server that stops");
}

#[tokio::test]
async fn timescaledb_is_used_where_it_is_installed() {
    let dir = temp_dir();
    // Twice: the second start meets an extension that is there.
    for _ in 0..2 {
        let server = EmbeddedServer::start(config(dir.path(), true)).await.unwrap_or_else(|error| panic!("{error}"));
        let client = connect(&server.url(OWNER, DATABASE)).await;
        let installed = client.query("SELECT FROM pg_extension WHERE extname = 'timescaledb'", &[]).await;
        assert_eq!(installed.expect("readable").len(), usize::from(server.has_timescaledb()));
        if server.has_timescaledb() {
            assert_eq!(setting(&client, "timescaledb.telemetry_level").await, "off");
        }
        server.stop().await.expect("a server that stops");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let dir = temp_dir();
    let mut broken = config(dir.path(), false);
    broken.extra_settings.push(("max_connections".into(), "many".into()));
    let error = EmbeddedServer::start(broken).await.expect_err("an impossible setting");
    assert!(error.to_string().contains("max_connections"), "{error}");
    start(dir.path()).await.stop().await.expect("a server that stops");
}
