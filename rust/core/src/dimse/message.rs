//! PDVs to command and data-set stream, and back.
