//! What must be synced before a response, and how groups share it.
