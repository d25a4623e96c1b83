//! What a key may do.

use std::fmt;

use crate::model::listed;

listed! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Scope {
        /// Send events and metrics.
        Ingest = 1,
        /// Read what is stored.
        Read = 2,
        Consume = 4,
        /// Manage the key's own organization.
        Admin = 8,
        /// Everything, in the operator's name.
        Operator = 16,
    }
}

impl Scope {
    /// Its name in commands, answers and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Consume => "consume",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether the set allows what needs `scope`; `operator` allows everything.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (scope as u8 | Scope::Operator as u8) != 0
    }

    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope as u8)
    }

    /// Parses `ingest,read`; an unknown or missing name is an error that lists the known ones.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut scopes = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == name).ok_or_else(|| {
                format!("unknown scope `{name}`; known are ingest, read, consume, admin and operator")
            })?;
            scopes = scopes.with(scope);
        }
        if scopes == Self::default() {
            return Err("name at least one scope of ingest, read, consume, admin and operator".into());
        }
        Ok(scopes)
    }

    pub fn names(self) -> Vec<&'static str> {
        Scope::ALL.into_iter().filter(|scope| self.0 & *scope as u8 != 0).map(Scope::as_str).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_allow_only_what_they_name() {
        let scopes = Scopes::parse("ingest, consume").expect("known names");
        assert!(scopes.allow(Scope::Ingest) && scopes.allow(Scope::Consume));
        assert!(!scopes.allow(Scope::Read) && !scopes.allow(Scope::Admin) && !scopes.allow(Scope::Operator));
        assert_eq!(scopes.to_string(), "ingest,consume");
        assert!(Scopes::parse("operator").expect("known").allow(Scope::Read));
    }

    #[test]
    fn unknown_and_empty_are_refused() {
        assert!(Scopes::parse("ingest,write").expect_err("unknown").contains("`write`"));
        assert!(Scopes::parse(" , ").is_err());
    }
}
