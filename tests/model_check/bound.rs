//! Where a walk ends although there were more states: what is bounded besides the scene itself.

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// How many faults there are on a path at most.
    pub(crate) faults: usize,
    pub(crate) journal: Journal,
}

/// How the journal keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    /// Two appends may wait for it, whatever else happens meanwhile.
    Slow,
    /// One append waits for it, during which nothing else happens but that something goes wrong; afterwards none does.
    Prompt,
}

impl Bound {
    /// How many appends may wait for the journal at once.
    pub(crate) const fn unconfirmed(self) -> usize {
        match self.journal {
            Journal::Slow => 2,
            Journal::Prompt => 1,
        }
    }
}
