//! Properties of each transfer syntax.
