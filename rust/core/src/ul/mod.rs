//! PS3.8: the upper layer protocol as a sans-I/O state machine.

pub mod dump;
pub mod items;
pub mod pdu;
pub mod pdu_codec;
pub mod pdv;
pub mod provider;
pub mod state_table;
