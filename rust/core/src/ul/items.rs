//! Variable items and user-information sub-items.
