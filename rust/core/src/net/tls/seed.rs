//! A seed file for the random generator (`--seed`).
//!
//! OpenSSL seeds itself from the system; what a file holds is stirred in besides, and counted as
//! worth nothing, so that a file that somebody knows does no harm.

/// Stirs `bytes` into the random generator.
#[allow(unsafe_code)]
pub(super) fn stir(bytes: &[u8]) {
    for part in bytes.chunks(4096) {
        let count = libc::c_int::try_from(part.len()).unwrap_or(0);
        // SAFETY: the pointer is readable for the length passed, at most 4096, and the library
        // keeps none of it; no entropy is claimed, so any bytes will do.
        unsafe {
            openssl_sys::RAND_add(part.as_ptr().cast(), count, 0.0);
        }
    }
}
