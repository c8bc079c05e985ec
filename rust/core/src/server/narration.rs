//! What DCMTK's tools say at each event.
