//! Requests and responses as types.
