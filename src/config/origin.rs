//! Where a value was set.

use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File {
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
    },
    Variable(String),
    Flag(String),
    /// In a file of its own.
    Secret {
        file: PathBuf,
        /// What names the file.
        by: Box<Origin>,
    },
}

impl Origin {
    /// Whether both are of one layer, in which a key is set once. Of flags the last one counts.
    pub fn is_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret { by, .. }, other) | (other, Self::Secret { by, .. }) => by.is_beside(other),
            (Self::File { .. }, Self::File { .. }) | (Self::Variable(_), Self::Variable(_)) => true,
            (Self::Default | Self::File { .. } | Self::Variable(_) | Self::Flag(_), _) => false,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Secret { file, by } => write!(f, "file {}, {by}", file.display()),
        }
    }
}
