//! Where to look: the three URLs, and what a process will ask of them.

use crate::config::ConnectionUrl;

/// Where to look.
pub struct Place<'a> {
    pub owner: &'a ConnectionUrl,
    pub writer: &'a ConnectionUrl,
    pub reader: &'a ConnectionUrl,
    /// Whether the URLs were configured, not made for the embedded server.
    pub external: bool,
    /// Connections that a process may open at once.
    pub connections_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Owner,
    Writer,
    Reader,
}

impl Path {
    /// The key of the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Self::Owner => "database_url",
            Self::Writer => "writer_url",
            Self::Reader => "reader_url",
        }
    }

    /// The role that its sessions need the rights of.
    pub fn role(self) -> &'static str {
        match self {
            Self::Owner => "tidegate_owner",
            Self::Writer => "tidegate_writer",
            Self::Reader => "tidegate_reader",
        }
    }
}
