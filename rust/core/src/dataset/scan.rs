//! The incremental scanner that watches a data set go by.
