//! Cipher suites, and the secure transport connection profiles that are made of them.
//!
//! Sources: PS3.15 Annex B (the profiles, retired ones too), RFC 9325 (what BCP 195 asks of them
//! today) and the manual page of storescp 3.6.8. Suites go by their names of the IANA registry; which
//! of them exist is the library's business, so it is asked. TLS 1.3 has suites of its own, which
//! only one profile restricts. Does no input or output. Called by `net::tls`.

use openssl::ssl::{SslContext, SslMethod, SslVersion, cipher_name};

/// What a tool may negotiate before TLS 1.3, from the weakest to the strongest: forward secrecy
/// first, then the key's length, then the hash. A server takes the strongest that both sides have.
pub const SUITES: [&str; 41] = [
    "TLS_RSA_WITH_NULL_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_DSS_WITH_AES_128_CBC_SHA",
    "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA",
    "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_DSS_WITH_AES_256_CBC_SHA",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA",
    "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA",
    "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
];

/// The suite of the Basic profile, which current libraries are built without.
pub const TRIPLE_DES: &str = "TLS_RSA_WITH_3DES_EDE_CBC_SHA";

/// A secure transport connection profile of PS3.15 Annex B.
#[derive(Debug)]
pub struct Profile {
    /// What the front ends call it.
    pub word: &'static str,
    /// Its name in log lines, DCMTK's.
    pub title: &'static str,
    /// Oldest and newest version of the protocol.
    pub versions: (SslVersion, SslVersion),
    /// OpenSSL's level: 2 asks for 112 bits of security of keys and hashes (RSA 2048, no SHA-1), 0
    /// for none, without which no version before TLS 1.2 works.
    pub security_level: u32,
    /// Suites that it is made of, strongest last.
    pub suites: &'static [&'static str],
    /// A suite that is negotiated with old peers where the library has it.
    pub optional_suite: Option<&'static str>,
    /// TLS 1.3's suites; empty for the library's own.
    pub tls13_suites: &'static [&'static str],
    /// `--cipher` may add suites.
    pub is_extensible: bool,
    /// A suite that `--cipher` adds must have a better hash than SHA-1 (RFC 9325 §4.1).
    pub is_sha1_refused: bool,
}

/// RFC 9325 §4.2, PS3.15 §B.12.
const RECOMMENDED: &[&str] = &[
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
];
/// PS3.15 §B.10 (retired), from RFC 7525 §4.2.
const NON_DOWNGRADING: &[&str] = &[
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
];

/// The profiles of the manual pages.
pub const PROFILES: [Profile; 8] = [
    Profile {
        word: "8996",
        title: "BCP 195 RFC 8996 TLS Profile",
        versions: (SslVersion::TLS1_2, SslVersion::TLS1_3),
        security_level: 2,
        suites: RECOMMENDED,
        optional_suite: None,
        tls13_suites: &[],
        is_extensible: true,
        is_sha1_refused: true,
    },
    Profile {
        word: "8996-mod",
        title: "Modified BCP 195 RFC 8996 TLS Profile",
        versions: (SslVersion::TLS1_2, SslVersion::TLS1_3),
        security_level: 2,
        suites: &[
            "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ],
        optional_suite: None,
        tls13_suites: &[
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_AES_128_GCM_SHA256",
            "TLS_AES_128_CCM_SHA256",
        ],
        is_extensible: false,
        is_sha1_refused: true,
    },
    Profile {
        word: "bcp195-nd",
        title: "Non-downgrading BCP 195 TLS Profile",
        versions: (SslVersion::TLS1_2, SslVersion::TLS1_3),
        security_level: 0,
        suites: NON_DOWNGRADING,
        optional_suite: None,
        tls13_suites: &[],
        is_extensible: true,
        is_sha1_refused: false,
    },
    Profile {
        word: "bcp195",
        title: "BCP 195 TLS Profile",
        versions: (SslVersion::TLS1, SslVersion::TLS1_3),
        security_level: 0,
        suites: &[
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
        ],
        optional_suite: Some(TRIPLE_DES),
        tls13_suites: &[],
        is_extensible: true,
        is_sha1_refused: false,
    },
    Profile {
        word: "bcp195-ex",
        title: "Extended BCP 195 TLS Profile",
        versions: (SslVersion::TLS1_2, SslVersion::TLS1_2),
        security_level: 2,
        suites: &[
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ],
        optional_suite: None,
        tls13_suites: &[],
        is_extensible: false,
        is_sha1_refused: false,
    },
    Profile {
        word: "basic",
        title: "Basic TLS Secure Transport Connection Profile",
        versions: (SslVersion::TLS1, SslVersion::TLS1_2),
        security_level: 0,
        suites: &[TRIPLE_DES],
        optional_suite: None,
        tls13_suites: &[],
        is_extensible: true,
        is_sha1_refused: false,
    },
    Profile {
        word: "aes",
        title: "AES TLS Secure Transport Connection Profile",
        versions: (SslVersion::TLS1, SslVersion::TLS1_2),
        security_level: 0,
        suites: &["TLS_RSA_WITH_AES_128_CBC_SHA"],
        optional_suite: Some(TRIPLE_DES),
        tls13_suites: &[],
        is_extensible: true,
        is_sha1_refused: false,
    },
    Profile {
        word: "null",
        title: "Authenticated unencrypted communication",
        versions: (SslVersion::TLS1, SslVersion::TLS1_2),
        security_level: 0,
        suites: &["TLS_RSA_WITH_NULL_SHA"],
        optional_suite: None,
        tls13_suites: &[],
        is_extensible: true,
        is_sha1_refused: false,
    },
];

impl Profile {
    /// The profile that the front ends call `word`.
    pub fn named(word: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.word == word)
    }

    /// True for the profile that does not encrypt.
    pub fn is_unencrypted(&self) -> bool {
        self.suites.iter().any(|suite| is_unencrypted(suite))
    }

    /// Why `--cipher` may not add `suite` to this profile, in DCMTK's words.
    pub fn refusal_of(&self, suite: &str) -> Option<String> {
        let title = self.title;
        if !self.is_extensible {
            return Some(format!(
                "Additional ciphersuites not permitted with security profile '{title}'"
            ));
        }
        if is_unencrypted(suite) && !self.is_unencrypted() {
            return Some(format!(
                "Unencrypted ciphersuite '{suite}' not permitted with security profile '{title}'"
            ));
        }
        (self.is_sha1_refused && suite.ends_with("_SHA")).then(|| {
            format!(
                "Ciphersuite '{suite}' using SHA-1 MAC not permitted with security profile '{title}'"
            )
        })
    }

    /// What RFC 9325 says against `suite`, which `--cipher` adds all the same.
    pub fn doubts_about(&self, suite: &str) -> Vec<String> {
        if self.is_unencrypted() {
            return Vec::new();
        }
        let kind = [
            (suite.starts_with("TLS_RSA_"), "RSA key transport"),
            (suite.starts_with("TLS_DHE_"), "ephemeral finite-field Diffie-Hellman key agreement"),
            (suite.contains("_CBC_"), "CBC mode of operation"),
        ];
        kind.iter()
            .filter(|(is_so, _)| *is_so)
            .map(|(_, what)| {
                format!(
                    "Ciphersuite '{suite}' uses {what}. RFC 9325 recommends that such cipher \
                     suites should not be used."
                )
            })
            .collect()
    }
}

fn is_unencrypted(suite: &str) -> bool {
    suite.contains("_NULL_")
}

/// OpenSSL's name of the suite that the registry calls `name`, if the library has it.
pub fn library_name(name: &str) -> Option<&'static str> {
    let library_name = cipher_name(name);
    if library_name == "(NONE)" {
        return None;
    }
    let mut context = SslContext::builder(SslMethod::tls()).ok()?;
    // Without it the weak ones are hidden.
    context.set_security_level(0);
    context.set_cipher_list(library_name).ok()?;
    Some(library_name)
}

/// The suites of [`SUITES`] that the library has, in that order (`--list-ciphers`).
pub fn supported() -> Vec<&'static str> {
    SUITES.into_iter().filter(|suite| library_name(suite).is_some()).collect()
}

/// How strong a suite is: its place among [`SUITES`].
pub fn strength(suite: &str) -> usize {
    // CCM stands in one profile only, and below GCM with a key of the same length.
    let known = suite.replace("_CCM", "_GCM_SHA256").replace("256_GCM_SHA256", "256_GCM_SHA384");
    let place = SUITES.iter().position(|other| *other == suite || *other == known);
    place.map_or(0, |place| place * 2 + usize::from(known == suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a profile is made of is in the table or, for one profile, a CCM suite beside it; and no
    /// profile but the one that says so goes unencrypted.
    #[test]
    fn profiles_are_made_of_known_suites() {
        for profile in &PROFILES {
            for suite in profile.suites {
                assert!(SUITES.contains(suite) || suite.contains("_CCM"), "{suite}");
                assert_eq!(is_unencrypted(suite), profile.word == "null");
            }
            assert_eq!(Profile::named(profile.word).unwrap().title, profile.title);
        }
        assert!(Profile::named("ssl3").is_none());
    }

    /// D17: nothing before TLS 1.2 without asking; the retired profiles ask.
    #[test]
    fn the_default_profile_is_tls_1_2_and_1_3() {
        let default = Profile::named("8996").unwrap();
        assert_eq!(default.versions, (SslVersion::TLS1_2, SslVersion::TLS1_3));
        let old: Vec<_> = PROFILES
            .iter()
            .filter(|profile| profile.versions.0 != SslVersion::TLS1_2)
            .map(|profile| profile.word)
            .collect();
        assert_eq!(old, ["bcp195", "basic", "aes", "null"]);
    }

    /// `--cipher` never weakens a profile.
    #[test]
    fn suites_that_may_not_be_added() {
        let refusal = |word: &str, suite| Profile::named(word).unwrap().refusal_of(suite);
        assert!(refusal("8996", "TLS_RSA_WITH_NULL_SHA").unwrap().contains("Unencrypted"));
        assert!(refusal("8996", "TLS_RSA_WITH_AES_128_CBC_SHA").unwrap().contains("SHA-1"));
        assert!(refusal("bcp195", "TLS_RSA_WITH_NULL_SHA").is_some());
        assert!(refusal("bcp195-ex", "TLS_RSA_WITH_AES_256_GCM_SHA384").is_some());
        assert!(refusal("8996-mod", "TLS_RSA_WITH_AES_256_GCM_SHA384").is_some());
        assert_eq!(refusal("8996", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"), None);
        assert_eq!(refusal("aes", "TLS_RSA_WITH_AES_256_CBC_SHA"), None);
        assert_eq!(refusal("null", "TLS_RSA_WITH_NULL_SHA"), None);
    }

    /// The library is asked, so a suite that it lacks is not listed.
    #[test]
    fn the_library_knows_what_it_has() {
        let supported = supported();
        for suite in RECOMMENDED {
            assert!(supported.contains(suite), "{suite}");
        }
        assert_eq!(library_name("TLS_NO_SUCH_SUITE"), None);
    }

    /// Stronger comes later, CCM included.
    #[test]
    fn suites_have_an_order() {
        let order = [
            "TLS_RSA_WITH_NULL_SHA",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
            "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ];
        assert!(order.is_sorted_by_key(|suite| strength(suite)));
        assert!(strength(order[2]) < strength(order[3]));
        assert!(strength(order[4]) < strength(order[5]));
    }
}
