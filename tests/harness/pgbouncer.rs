//! A private PgBouncer in front of a test's server.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tidegate::storage::embedded::{OWNER, READER, WRITER};

use crate::env::{Env, until};
use crate::postgres::Sql;

/// The part of a pooler's name that PgBouncer asks for when it makes no TCP port.
const PORT: u16 = 6432;
const ADMIN: &str = "pooler_admin";

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join("pgbouncer")).find(|program| program.is_file())
}

/// What the machine lacks for tests with it.
pub fn missing() -> Option<String> {
    program().is_none().then(|| "there is no pgbouncer".to_owned())
}

pub struct PgBouncer {
    child: Child,
    dir: TempDir,
    database: String,
    server: PathBuf,
}

impl PgBouncer {
    /// A pooler of the test's database in `mode`, with at most `size` server connections for a user.
    pub fn start(env: &Env, mode: &str, size: usize) -> Self {
        let dir = crate::postgres::temp_dir();
        let server = env.socket();
        // It refuses to run as root; the account of the server can reach its socket.
        let owner = std::fs::metadata(&server).unwrap();
        let root = nix::unistd::geteuid().is_root();
        std::fs::write(
            dir.path().join("users"),
            [OWNER, WRITER, READER, ADMIN].map(|user| format!("\"{user}\" \"\"\n")).concat(),
        )
        .unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new(program().expect("`missing` was asked"));
        command.arg("-q").arg(dir.path().join("pgbouncer.ini")).current_dir(dir.path());
        if root {
            chown(dir.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
            command.uid(owner.uid()).gid(owner.gid());
        }
        let database = env.database().to_owned();
        write(&dir, &server, &database, mode, size);
        let log = std::fs::File::create(env.log_file("pgbouncer")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let pooler = Self { child, dir, database, server };
        until("PgBouncer listens", || Sql::try_connect(&pooler.admin_url()).ok().map(drop));
        pooler
    }

    /// Another mode for what is connected as well, from each connection's next transaction on.
    pub fn set_mode(&self, mode: &str, size: usize) {
        write(&self.dir, &self.server, &self.database, mode, size);
        Sql::bare(&self.admin_url()).run("RELOAD");
    }

    /// Other server processes from each connection's next transaction on; on these it has said nothing so far.
    pub fn reconnect(&self) {
        Sql::bare(&self.admin_url()).run("RECONNECT");
    }

    fn admin_url(&self) -> String {
        format!("host={} port={PORT} user={ADMIN} dbname=pgbouncer", self.dir.path().display())
    }

    pub fn url(&self, role: &str) -> String {
        format!("host={} port={PORT} user={role} dbname={}", self.dir.path().display(), self.database)
    }
}

fn write(dir: &TempDir, server: &std::path::Path, database: &str, mode: &str, size: usize) {
    let (host, port) = (server.parent().unwrap().display(), server.extension().unwrap().to_string_lossy());
    let here = dir.path().display();
    let text = format!(
        "[databases]\n{database} = host={host} port={port}\n[pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\n\
         unix_socket_dir = {here}\nauth_type = trust\nauth_file = {here}/users\nadmin_users = {ADMIN}\n\
         pool_mode = {mode}\ndefault_pool_size = {size}\nmax_client_conn = 500\n"
    );
    std::fs::write(dir.path().join("pgbouncer.ini"), text).unwrap();
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
