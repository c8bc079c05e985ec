//! A TCP transport connection: options, deadlines, addresses.
