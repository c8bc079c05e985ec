//! PS3.8 §7, PS3.7 Annex D: association negotiation.

pub mod block;
pub mod negotiation;
pub mod user_information;
