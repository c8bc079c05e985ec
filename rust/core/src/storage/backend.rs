//! The only file that names std::fs.
