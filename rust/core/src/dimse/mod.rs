//! PS3.7: commands, messages, services and statuses.

pub mod block;
pub mod command_set;
pub mod message;
pub mod service;
pub mod status;
