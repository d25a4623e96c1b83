//! A network of a test's own: each node and the database in a network namespace with addresses of its own, made by
//! iproute2.
//!
//! Nodes, and the tests as their clients, are on a switch (in the namespace `hub`); from each node a cable of its own
//! leads to the database, so that a node can be cut from the database while clients and other nodes reach it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Addresses for trials of networks (RFC 2544): they are nobody's on any network.
pub const ADDRESSES: &str = "198.18.0.0/15";
/// Networks that the machine may have at a time, by all suites that run on it.
const NETWORKS: u32 = 256;
/// What namespaces are called, before the process that made them.
const PREFIX: &str = "tidegate-";
/// As in the kernel and in `ip`.
const NAMESPACES: &str = "/run/netns";

pub struct Network {
    name: String,
    /// Its byte in addresses.
    number: u32,
    spaces: Vec<String>,
}

impl Network {
    /// A switch, the database's place, and places for so many nodes.
    pub fn with_nodes(nodes: usize) -> Self {
        Self::make(nodes).unwrap_or_else(|error| panic!("{error}"))
    }

    fn make(nodes: usize) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let mut network = Self { name, number: 0, spaces: Vec::new() };
        for place in ["hub", "db"].map(str::to_owned).into_iter().chain((0..nodes).map(|node| node.to_string())) {
            let space = network.space(&place);
            ip(&format!("netns add {space}"))?;
            ip(&format!("-n {space} link set lo up"))?;
            network.spaces.push(space);
        }
        let (hub, database) = (network.space("hub"), network.space("db"));
        ip(&format!("-n {hub} link add name switch type bridge"))?;
        ip(&format!("-n {hub} link set switch up"))?;
        network.number = network.plug_in_the_tests(&hub)?;
        let number = network.number;
        for node in 0..nodes {
            let space = network.space(&node.to_string());
            ip(&format!("link add name port{node} netns {hub} type veth peer name clients netns {space}"))?;
            ip(&format!("-n {hub} link set port{node} master switch up"))?;
            ip(&format!("-n {space} addr add {}/24 dev clients", network.address(node)))?;
            ip(&format!("-n {space} link set clients up"))?;
            ip(&format!("link add name node{node} netns {database} type veth peer name database netns {space}"))?;
            ip(&format!("-n {database} addr add {}/30 dev node{node}", network.database(node)))?;
            ip(&format!("-n {database} link set node{node} up"))?;
            ip(&format!("-n {space} addr add 198.19.{number}.{}/30 dev database", 4 * node + 2))?;
            ip(&format!("-n {space} link set database up"))?;
        }
        Ok(network)
    }

    /// The cable from the tests to the switch: its name is taken once on a machine, and with it the number.
    fn plug_in_the_tests(&self, hub: &str) -> Result<u32, String> {
        let mut taken = String::new();
        for number in (0..NETWORKS).map(|step| (std::process::id() + step) % NETWORKS) {
            match ip(&format!("link add name tidegate{number} type veth peer name tests netns {hub}")) {
                Ok(()) => {
                    ip(&format!("-n {hub} link set tests master switch up"))?;
                    ip(&format!("addr add 198.18.{number}.254/24 dev tidegate{number}"))?;
                    ip(&format!("link set tidegate{number} up"))?;
                    return Ok(number);
                }
                Err(error) if error.contains("File exists") => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    fn space(&self, place: &str) -> String {
        format!("{}-{place}", self.name)
    }

    /// The namespace of a node.
    pub fn node(&self, node: usize) -> PathBuf {
        PathBuf::from(NAMESPACES).join(self.space(&node.to_string()))
    }

    /// The namespace of the database.
    pub fn of_database(&self) -> PathBuf {
        PathBuf::from(NAMESPACES).join(self.space("db"))
    }

    /// Where clients and other nodes reach a node.
    pub fn address(&self, node: usize) -> String {
        format!("198.18.{}.{}", self.number, node + 1)
    }

    /// Where a node reaches the database.
    pub fn database(&self, node: usize) -> String {
        format!("198.19.{}.{}", self.number, 4 * node + 1)
    }

    /// Pulls the cable from a node to the database, at the database's end: what is sent is lost without a word.
    pub fn cut(&self, node: usize) {
        ip(&format!("-n {} link set node{node} down", self.space("db"))).unwrap();
    }

    /// Plugs it in again.
    pub fn join(&self, node: usize) {
        ip(&format!("-n {} link set node{node} up", self.space("db"))).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // With its namespace a cable goes, at both ends.
        for space in &self.spaces {
            let _ = ip(&format!("netns del {space}"));
        }
    }
}

/// What this machine lacks for it; asked once a run, by making one.
pub fn missing() -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let look = || {
        if !cfg!(target_os = "linux") || !nix::unistd::geteuid().is_root() {
            return Some("network namespaces are made by root, on Linux".into());
        }
        if Command::new("nsenter").arg("--version").output().is_err() {
            return Some("there is no nsenter (util-linux)".into());
        }
        remove_left();
        Network::make(1).err().map(|error| format!("no network namespaces: {error}"))
    };
    MISSING.get_or_init(look).clone()
}

/// Removes those of runs that were killed.
fn remove_left() {
    for entry in std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| !PathBuf::from(format!("/proc/{process}")).exists()) {
            // Another run may do the same.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("there is no ip (iproute2): {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("ip {arguments}: {}", said.trim())) }
}
