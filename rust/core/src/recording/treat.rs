//! What must not leave the house, taken out of a recording.
//!
//! Called by `recording::proxy`.

use super::{About, What};

/// What is taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Treatment {}

impl Treatment {
    /// What a recording so treated says of itself.
    #[must_use]
    pub const fn about(self, about: About) -> About {
        about
    }

    /// True when anything is.
    pub const fn is_any(self) -> bool {
        false
    }
}

/// Takes it out.
pub struct Treater {}

impl Treater {
    /// With nothing seen yet.
    pub const fn new(_treatment: Treatment) -> Self {
        Self {}
    }

    /// Takes the next entry and gives what is written.
    pub fn take(&mut self, _connection: u64, what: What, emit: &mut dyn FnMut(What)) {
        emit(what);
    }
}
