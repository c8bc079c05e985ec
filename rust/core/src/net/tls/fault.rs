//! Why a handshake failed, in words: which certificate and why, what the peer offered, or that it
//! speaks something else.
//!
//! DCMTK gives the library's reason with a number; that is the fault's condition. Beside it stands
//! an explanation for whoever has to cure it, put together from what the callbacks noted
//! ([`Story`]), the alert that came and the first bytes of the peer. What peers send is escaped.
//! Sources: RFC 8446 §6.2 (alerts), RFC 5280 (certificates). Called by `net::tls`.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use openssl::asn1::Asn1StringRef;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslRef, SslVersion};
use openssl::x509::{X509NameRef, X509Ref, X509StoreContext, X509StoreContextRef};

use super::{Role, Terms};
use crate::limits::TLS_SUITES_SHOWN_MAX;
use crate::log::escaped;

/// DCMTK numbers its conditions of the library's TLS errors from here on.
const CONDITION_BASE: i32 = 2048;
/// OpenSSL numbers alerts that came from here on.
const ALERT_BASE: i32 = 1000;
/// Alerts of RFC 5246 §7.2.2 that are heard after a renegotiation was refused.
const HANDSHAKE_FAILURE: i32 = 40;
const NO_RENEGOTIATION: i32 = 100;
/// OpenSSL's reason for a connection that ends without farewell.
const UNEXPECTED_EOF: (i32, &str) = (294, "unexpected eof while reading");

/// What the callbacks noted while the handshake ran.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The first certificate that was refused, and why.
    refused: Option<String>,
    /// The peer's newest version by its hello, and its suites.
    pub(super) offer: Option<(Option<SslVersion>, Vec<u8>)>,
    /// The server name asked for, and ours.
    pub(super) wrong_name: Option<(Vec<u8>, String)>,
}

impl Story {
    /// Writes into the story of a handshake.
    pub(super) fn write(place: Option<&Mutex<Self>>, note: impl FnOnce(&mut Self)) {
        if let Some(place) = place {
            note(&mut place.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Notes the certificate that the library is about to refuse.
    pub(super) fn note_refusal(context: &X509StoreContextRef, story: Index<Ssl, Mutex<Self>>) {
        let Ok(index) = X509StoreContext::ssl_idx() else { return };
        let Some(ssl) = context.ex_data(index) else { return };
        let why = context.error().error_string();
        let what = match (context.current_cert(), context.error_depth()) {
            (None, _) => "its certificate".to_owned(),
            (Some(certificate), 0) => format!("its certificate {}", shown(certificate)),
            (Some(certificate), depth) => {
                format!("the authority {depth} above its certificate, {},", shown(certificate))
            }
        };
        Self::write(ssl.ex_data(story), |told| {
            told.refused.get_or_insert_with(|| format!("{what} is refused: {why}"));
        });
    }
}

/// A certificate with what matters when it is refused.
fn shown(certificate: &X509Ref) -> String {
    format!(
        "{}, valid from {} to {}",
        subject_and_issuer(certificate),
        certificate.not_before(),
        certificate.not_after()
    )
}

/// Whose certificate it is, and who signed it.
pub(super) fn subject_and_issuer(certificate: &X509Ref) -> String {
    format!(
        "'{}' issued by '{}'",
        name_text(certificate.subject_name()),
        name_text(certificate.issuer_name())
    )
}

fn name_text(name: &X509NameRef) -> String {
    let value = |data: &Asn1StringRef| match data.to_string() {
        Ok(text) => text.into_bytes(),
        Err(_) => data.as_slice().to_vec(),
    };
    let mut bytes = Vec::new();
    for entry in name.entries() {
        if !bytes.is_empty() {
            bytes.extend_from_slice(b", ");
        }
        let kind = entry.object().nid().short_name().unwrap_or("?");
        bytes.extend_from_slice(kind.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(&value(entry.data()));
    }
    escaped(&bytes).to_string()
}

/// A failed handshake, or a connection that TLS ended later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// DCMTK's number of the condition, in module 000bH.
    pub code: u16,
    /// DCMTK's text of the condition.
    pub condition: String,
    /// What happened, for whoever has to cure it; begins with "the peer" or "its".
    pub explanation: String,
    /// The cause is the server name alone, which is a warning (D18).
    pub is_wrong_name: bool,
}

impl TlsFault {
    /// The connection broke in the handshake.
    pub(in crate::net) fn of_connection(error: &dyn fmt::Display, role: Role) -> Self {
        let perhaps = match role {
            Role::Acceptor => "",
            Role::Requestor => "; perhaps its port expects no TLS",
        };
        Self {
            code: 0x17,
            condition: "OpenSSL I/O error (SSL_ERROR_SYSCALL)".to_owned(),
            explanation: format!("the connection broke in the handshake: {error}{perhaps}"),
            is_wrong_name: false,
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "000b:{:04x} {}", self.code, self.condition)
    }
}

impl std::error::Error for TlsFault {}

/// What is known when a handshake has failed.
pub(super) struct Evidence<'a> {
    pub(super) ssl: &'a SslRef,
    pub(super) error: &'a openssl::ssl::Error,
    pub(super) story: Option<&'a Mutex<Story>>,
    pub(super) terms: &'a Terms,
    pub(super) role: Role,
    /// The handshake was done before.
    pub(super) is_established: bool,
    /// The first bytes that the peer sent.
    pub(super) first_bytes: &'a [u8],
}

impl Evidence<'_> {
    /// Puts it into words.
    pub(super) fn fault(&self) -> TlsFault {
        let stack = self.error.ssl_error();
        let reasons = stack.map_or(&[][..], |stack| stack.errors());
        let first = reasons.first();
        let (number, reason) = match first {
            Some(error) => (error.reason_code(), error.reason().unwrap_or("unknown error")),
            None => UNEXPECTED_EOF,
        };
        let code = u16::try_from(CONDITION_BASE + number).unwrap_or(u16::MAX);
        let story = self.story.map(|story| story.lock().unwrap_or_else(PoisonError::into_inner));
        let wrong_name = story.as_ref().and_then(|story| story.wrong_name.as_ref());
        let explanation = match (wrong_name, story.as_ref().and_then(|story| story.refused.clone()))
        {
            (Some((asked, ours)), _) => {
                format!("asked for server '{}', this one is '{ours}'", escaped(asked))
            }
            (None, Some(refused)) => refused,
            (None, None) => {
                let offer = story.as_ref().and_then(|story| story.offer.as_ref());
                self.explanation(number, reason, offer)
            }
        };
        TlsFault {
            code,
            condition: format!("TLS error: {reason}"),
            explanation,
            is_wrong_name: wrong_name.is_some(),
        }
    }

    fn explanation(
        &self,
        number: i32,
        reason: &str,
        offer: Option<&(Option<SslVersion>, Vec<u8>)>,
    ) -> String {
        if let Some(words) = other_protocol(self.first_bytes, self.role) {
            return words.to_owned();
        }
        if let Some(alert) = number.checked_sub(ALERT_BASE).filter(|alert| (0..256).contains(alert))
        {
            return self.alert(alert);
        }
        match (reason, offer) {
            ("peer did not return a certificate", _) => {
                "it sent no certificate, and one is required (--require-peer-cert)".to_owned()
            }
            ("unexpected eof while reading", _) if self.role == Role::Requestor => {
                "it closed the connection in the handshake; perhaps its port expects no TLS"
                    .to_owned()
            }
            ("unexpected eof while reading", _) => {
                "it closed the connection in the handshake".to_owned()
            }
            ("unsupported protocol" | "version too low", Some((Some(version), _))) => format!(
                "it offers {} at most; the {} needs {}",
                version_name(*version),
                self.terms.profile.title,
                version_name(self.terms.profile.versions.0)
            ),
            ("no shared cipher" | "no suitable signature algorithm", Some((_, suites))) => {
                format!(
                    "no cipher suite serves both: it offers {}; the {} has {}, as far as the key \
                     of {} allows",
                    self.offered(suites),
                    self.terms.profile.title,
                    self.terms.suites.join(", "),
                    self.terms.own_certificate.as_deref().unwrap_or("no certificate")
                )
            }
            (reason, _) => reason.to_owned(),
        }
    }

    /// The names of the suites in a hello.
    fn offered(&self, suites: &[u8]) -> String {
        let Ok(lists) = self.ssl.bytes_to_cipher_list(suites, self.ssl.client_hello_isv2()) else {
            return "what cannot be read".to_owned();
        };
        let list = lists.suites;
        suites_shown(list.iter().map(|suite| suite.standard_name().unwrap_or_else(|| suite.name())))
    }

    fn alert(&self, alert: i32) -> String {
        let own = self.terms.own_certificate.as_deref();
        if self.is_established && matches!(alert, HANDSHAKE_FAILURE | NO_RENEGOTIATION) {
            return "it gave up when this side refused a new handshake (renegotiation of TLS 1.2)"
                .to_owned();
        }
        let Some((name, cure)) = ALERTS.iter().find(|row| row.0 == alert).map(|row| (row.1, row.2))
        else {
            return format!("it refused with alert {alert}");
        };
        match own {
            Some(own) if cure.contains("certificate") => {
                format!("it refused with alert '{name}': {cure} ({own})")
            }
            _ => format!("it refused with alert '{name}': {cure}"),
        }
    }
}

/// Names of cipher suites, as far as a line goes.
fn suites_shown<'n>(mut suites: impl ExactSizeIterator<Item = &'n str>) -> String {
    let names: Vec<_> = suites.by_ref().take(TLS_SUITES_SHOWN_MAX).collect();
    match (names.is_empty(), suites.len()) {
        (true, _) => "none that is known here".to_owned(),
        (_, 0) => names.join(", "),
        (_, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// RFC 8446 §6.2: number, name and what it says about this side.
const ALERTS: &[(i32, &str, &str)] = &[
    (0, "close_notify", "it gave up"),
    (10, "unexpected_message", "it did not expect what was sent"),
    (20, "bad_record_mac", "a record was damaged on the way"),
    (40, "handshake_failure", "nothing of what was offered serves both sides"),
    (42, "bad_certificate", "it cannot use this side's certificate"),
    (43, "unsupported_certificate", "it has no use for this kind of certificate"),
    (44, "certificate_revoked", "this side's certificate is revoked"),
    (45, "certificate_expired", "this side's certificate has expired"),
    (46, "certificate_unknown", "it does not accept this side's certificate"),
    (47, "illegal_parameter", "it calls what was sent inconsistent"),
    (48, "unknown_ca", "it does not know the authority of this side's certificate"),
    (49, "access_denied", "this side's certificate is good, but not admitted"),
    (50, "decode_error", "it cannot read what was sent"),
    (51, "decrypt_error", "it cannot verify what was sent"),
    (70, "protocol_version", "it speaks none of the versions that were offered"),
    (71, "insufficient_security", "it wants stronger suites"),
    (80, "internal_error", "it failed for reasons of its own"),
    (86, "inappropriate_fallback", "an older version was offered than need be"),
    (90, "user_canceled", "it gave up"),
    (112, "unrecognized_name", "no server there has the name asked for"),
    (116, "certificate_required", "it requires a certificate, and this side sent none"),
    (120, "no_application_protocol", "it does not speak the protocol asked for"),
];

fn version_name(version: SslVersion) -> &'static str {
    const NAMES: [(SslVersion, &str); 5] = [
        (SslVersion::SSL3, "SSL 3.0"),
        (SslVersion::TLS1, "TLS 1.0"),
        (SslVersion::TLS1_1, "TLS 1.1"),
        (SslVersion::TLS1_2, "TLS 1.2"),
        (SslVersion::TLS1_3, "TLS 1.3"),
    ];
    NAMES.iter().find(|(known, _)| *known == version).map_or("an unknown version", |row| row.1)
}

/// What a peer speaks whose first bytes are no TLS.
fn other_protocol(first_bytes: &[u8], role: Role) -> Option<&'static str> {
    let acceptor = role == Role::Acceptor;
    match first_bytes {
        // Handshake and alert records.
        [] | [0x15 | 0x16, ..] => None,
        [0x01, 0x00, ..] if acceptor => Some("it speaks DICOM without TLS; this port expects TLS"),
        [0x02..=0x07, 0x00, ..] if !acceptor => {
            Some("it answered in DICOM without TLS; its port expects no TLS")
        }
        [b'G' | b'P' | b'H' | b'C' | b'D' | b'O' | b'T', second, ..]
            if second.is_ascii_uppercase() =>
        {
            Some("it speaks HTTP, not TLS")
        }
        _ => Some("it speaks something that is no TLS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a stranger sends first, it is called by its name or by none.
    #[test]
    fn strangers_are_recognized() {
        let acceptor = |bytes: &[u8]| other_protocol(bytes, Role::Acceptor);
        assert!(acceptor(b"\x01\x00\x00\x00").unwrap().contains("without TLS"));
        assert!(acceptor(b"GET / HT").unwrap().contains("HTTP"));
        assert!(acceptor(b"\x80\x00").unwrap().contains("no TLS"));
        assert_eq!(acceptor(b"\x16\x03\x01"), None);
        assert_eq!(acceptor(b""), None);
        let requestor = other_protocol(b"\x07\x00\x00\x00", Role::Requestor);
        assert!(requestor.unwrap().contains("without TLS"));
    }

    /// limits::TLS_SUITES_SHOWN_MAX names; of more, how many.
    #[test]
    fn edge_of_suites_shown() {
        assert_eq!(suites_shown([].into_iter()), "none that is known here");
        for (count, end) in [(-1, "N, N"), (0, "N, N"), (1, "N and 1 more")] {
            let count = TLS_SUITES_SHOWN_MAX.saturating_add_signed(count);
            let text = suites_shown(vec!["N"; count].into_iter());
            assert_eq!(text.matches('N').count(), count.min(TLS_SUITES_SHOWN_MAX));
            assert!(text.ends_with(end), "{text}");
        }
    }

    /// The table has each alert once, in order.
    #[test]
    fn alerts_are_in_order() {
        assert!(ALERTS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
