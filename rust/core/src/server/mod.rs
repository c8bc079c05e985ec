//! The acceptor side.

pub mod answers;
pub mod association;
pub mod listener;
pub mod narration;
pub mod store;
