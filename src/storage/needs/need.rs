//! One need of the database: what it is, how it stands, what was found, what mends it.

/// How a need stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeedState {
    Met,
    Unmet,
    /// It could not be looked at, or the role may not look.
    Unknown,
}

/// What comes of a need that is unmet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is started: it would not work, or store what cannot be read back.
    Must,
    /// The same, but it passes without an operator: a start waits for it.
    Passes,
    /// It works until a crash or a full load shows otherwise: `doctor` fails, a start warns.
    Should,
    /// `doctor` and a start warn.
    Advice,
}

#[derive(Debug, Clone)]
pub struct Need {
    /// What it is called in `doctor` and in messages; stable.
    pub name: String,
    pub severity: Severity,
    pub state: NeedState,
    pub found: String,
    /// A statement or a setting, unless it is met.
    pub mend: Option<String>,
}

impl Need {
    pub fn met(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), severity: Severity::Must, state: NeedState::Met, found: found.into(), mend: None }
    }

    pub fn unmet(
        name: impl Into<String>,
        severity: Severity,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), severity, state: NeedState::Unmet, found: found.into(), mend: Some(mend.into()) }
    }

    pub fn unknown(name: impl Into<String>, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            severity: Severity::Must,
            state: NeedState::Unknown,
            found: found.into(),
            mend: Some(mend.into()),
        }
    }

    /// Met if `right`, otherwise unmet.
    pub fn expect(
        name: impl Into<String>,
        severity: Severity,
        right: bool,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        if right { Self::met(name, found) } else { Self::unmet(name, severity, found, mend) }
    }

    /// Whether nothing may be started on such a database.
    pub fn forbids_start(&self) -> bool {
        self.state == NeedState::Unmet && matches!(self.severity, Severity::Must | Severity::Passes)
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.found)?;
        match &self.mend {
            Some(mend) => write!(f, "; {mend}"),
            None => Ok(()),
        }
    }
}
