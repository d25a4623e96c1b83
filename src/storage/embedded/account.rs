//! The system account that the server runs as. PostgreSQL refuses to run as root, so a Tidegate that is root gives its
//! server to an unprivileged account and hands that account the cluster's files; any other Tidegate uses its own.

use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;
use std::process::Stdio;

use nix::unistd::{User, geteuid};
use tokio::process::Command;

use super::error::EmbeddedError;

/// Tried in this order when Tidegate is root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];
/// Variables that the server's programs may see. PG* ones would change what they do.
const ENVIRONMENT_KEPT: [&str; 4] = ["PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// Who runs the server and owns its files.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerAccount {
    uid: u32,
    gid: u32,
    /// Tidegate is root, and becomes this account for every program that it starts.
    switch: bool,
}

impl ServerAccount {
    /// The account for a new cluster.
    pub fn for_new_cluster() -> Result<Self, EmbeddedError> {
        if !geteuid().is_root() {
            return Ok(Self::current());
        }
        UNPRIVILEGED
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), switch: true })
            .ok_or_else(|| {
                EmbeddedError::new(
                    "PostgreSQL does not run as root, and this system has neither a user \"postgres\" nor \"nobody\": \
                     create one, or run tidegate as an ordinary user",
                )
            })
    }

    /// The account that owns an existing cluster.
    pub fn of_cluster(cluster: &Path) -> Result<Self, EmbeddedError> {
        let owner = std::fs::metadata(cluster).map_err(|e| EmbeddedError::io("read", cluster, e))?;
        if geteuid().is_root() && owner.uid() != 0 {
            return Ok(Self { uid: owner.uid(), gid: owner.gid(), switch: true });
        }
        if owner.uid() == geteuid().as_raw() && owner.uid() != 0 {
            return Ok(Self::current());
        }
        Err(EmbeddedError::new(format!(
            "the PostgreSQL cluster {} belongs to user id {}, and this tidegate runs as {}: run it as the user that made \
             the cluster (or as root, if that user is not root), or choose another data_dir",
            cluster.display(),
            owner.uid(),
            geteuid()
        )))
    }

    fn current() -> Self {
        Self { uid: geteuid().as_raw(), gid: nix::unistd::getegid().as_raw(), switch: false }
    }

    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// A command run as this account, with nothing inherited that could steer it. Where std switches the user it also
    /// drops root's supplementary groups.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        for name in ENVIRONMENT_KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Whose its files are to be, if not this process's.
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.switch.then_some((self.uid, self.gid))
    }

    /// Gives a file or directory to the account.
    pub fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        if !self.switch {
            return Ok(());
        }
        lchown(path, Some(self.uid), Some(self.gid)).map_err(|e| EmbeddedError::io("change the owner of", path, e))
    }

    /// Whether the account can reach `dir`: a program of its own is started there, which asks the kernel about modes,
    /// ACLs and mounts alike. `program` must be one that the account can run.
    pub async fn can_enter(&self, dir: &Path, program: &Path) -> bool {
        let mut probe = self.command(program);
        probe.arg("--version").current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().await.is_ok_and(|status| status.success())
    }
}
