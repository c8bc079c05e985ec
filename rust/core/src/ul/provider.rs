//! UpperLayer: bytes to events, requests to bytes, timers.
