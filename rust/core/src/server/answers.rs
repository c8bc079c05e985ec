//! One table: each layer's error to its answer.
