//! C-STORE from first fragment to response.
