//! A secure connection in DCMTK 3.6.7's words: the block of `-d`, from "Transport connection" to the
//! peer's certificate.
//!
//! Built only where it is shown. What stands in a peer's certificate is escaped, and cut as every
//! value of a peer. Where DCMTK gives up (a serial number that is longer than a `long` is -1, an EC
//! key unknown) the value itself is shown. Called by `net::tls::stream`.

use std::fmt::Write;

use openssl::pkey::Id;
use openssl::ssl::SslRef;
use openssl::x509::{X509NameRef, X509Ref};

use crate::log::LOGGED_VALUE_BYTES_MAX;

/// The lines between the block's first and last.
pub(super) fn details(ssl: &SslRef) -> String {
    let mut text = String::from("Transport connection: TLS over TCP/IP\n");
    let (suite, bits) =
        ssl.current_cipher().map_or(("none", 0), |suite| (suite.name(), suite.bits().secret));
    let _ = writeln!(text, "  Protocol    : {}", ssl.version_str());
    let _ = writeln!(text, "  Ciphersuite : {suite}, encryption: {bits} bits");
    match ssl.peer_certificate() {
        Some(certificate) => write_certificate(&mut text, &certificate),
        None => text.push_str(
            "Peer did not provide a certificate or certificate verification is disabled.",
        ),
    }
    text
}

fn write_certificate(text: &mut String, certificate: &X509Ref) {
    let _ = writeln!(text, "Peer X.509v{} Certificate", certificate.version() + 1);
    let _ = writeln!(text, "  Subject     : {}", one_line(certificate.subject_name()));
    let _ = writeln!(text, "  Issued by   : {}", one_line(certificate.issuer_name()));
    let _ = writeln!(text, "  Serial no.  : {}", serial_number(certificate));
    let _ = writeln!(
        text,
        "  Validity    : not before {}, not after {}",
        certificate.not_before(),
        certificate.not_after()
    );
    let (kind, bits) = match certificate.public_key() {
        Ok(key) => (key_name(key.id()), key.bits()),
        Err(_) => ("unknown", 0),
    };
    let _ = write!(text, "  Public key  : {kind}, {bits} bits");
}

fn key_name(id: Id) -> &'static str {
    // Constants, but no enumeration.
    match id {
        id if id == Id::RSA => "RSA",
        id if id == Id::DSA => "DSA",
        id if id == Id::DH => "DH",
        id if id == Id::EC => "EC",
        id if id == Id::ED25519 => "Ed25519",
        id if id == Id::ED448 => "Ed448",
        _ => "unknown",
    }
}

/// Decimal, as DCMTK; in hexadecimal where that has no number for it.
fn serial_number(certificate: &X509Ref) -> String {
    let number = certificate.serial_number().to_bn();
    let shown = number.and_then(|number| {
        let is_short = number.num_bits() < 64;
        let digits = if is_short { number.to_dec_str() } else { number.to_hex_str() }?;
        Ok(format!("{}{digits}", if is_short { "" } else { "0x" }))
    });
    shown.unwrap_or_else(|_| "-1".to_owned())
}

/// A name as OpenSSL's one-line form has it: `/CN=…`, all but printable ASCII as `\xC3`.
fn one_line(name: &X509NameRef) -> String {
    let mut text = String::new();
    for entry in name.entries() {
        let _ = write!(text, "/{}=", entry.object().nid().short_name().unwrap_or("?"));
        for &byte in entry.data().as_slice() {
            if text.len() >= LOGGED_VALUE_BYTES_MAX {
                text.push_str("...");
                return text;
            }
            if (0x20..0x7F).contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "\\x{byte:02X}");
            }
        }
    }
    text
}
