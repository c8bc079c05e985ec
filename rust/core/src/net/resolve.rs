//! Host names of peers, looked up off the hot path.
