//! Roles, extended negotiation, user identity, asynchronous window.
