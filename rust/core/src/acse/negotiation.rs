//! Proposed contexts against the policy table.
