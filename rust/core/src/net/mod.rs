//! Transport connections: sockets, their buffers and the names of their far ends.

pub mod buffer;
pub mod resolve;
pub mod tcp;
pub mod tls;
