//! What is drawn for a seed: of what came later, a kept seed knows nothing, so that it means what it meant.

/// What is drawn for a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Draws {
    /// What was drawn before escalation, hand-overs, broken glass, ageing clocks and untold ends of jobs.
    Early,
    /// What was drawn before there were clients' own calls, four providers and stubborn pairs.
    Requests,
    All,
}

impl Draws {
    pub(crate) fn named(name: Option<&str>) -> Self {
        match name {
            Some("early") => Self::Early,
            Some("requests") => Self::Requests,
            _ => Self::All,
        }
    }

    /// What to put before a command so that a seed is drawn so.
    pub(crate) const fn setting(self) -> &'static str {
        match self {
            Self::Early => "COVIRT_DRAWS=early ",
            Self::Requests => "COVIRT_DRAWS=requests ",
            Self::All => "",
        }
    }
}
