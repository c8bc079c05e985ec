//! PDVs of a P-DATA-TF; fragmenting to the peer's maximum length.
