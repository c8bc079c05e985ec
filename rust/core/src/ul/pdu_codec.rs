//! Bytes to PDU and back.
