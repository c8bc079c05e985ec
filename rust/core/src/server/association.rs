//! The loop of one association.
