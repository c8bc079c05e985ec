//! Transport connections.

pub mod resolve;
pub mod tcp;
