//! UIDs with DCMTK's names, and the storage SOP classes with their file name prefixes.
