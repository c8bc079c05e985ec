//! Transport Layer Security: what one process offers and demands, and how a connection becomes
//! secure.
//!
//! [`TlsContext`] is made once from plain values (`--enable-tls` and all that goes with it) and
//! shared by every association; `stream` runs over a socket what it says; `suites` is the table of
//! profiles; `fault` puts into words why a handshake failed. Source: PS3.15 Annex B, RFC 8446, RFC
//! 9325. The work is the system's OpenSSL, which no other part names. Reads no file itself but
//! lists of certificates, which OpenSSL knows how to read. Called by `net::tcp`.

use std::fmt;
use std::sync::{Arc, Mutex};

use openssl::bn::BigNum;
use openssl::dh::Dh;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Params, Private};
use openssl::ssl::{
    ClientHelloResponse, NameType, SniError, Ssl, SslAlert, SslContext, SslContextBuilder,
    SslFiletype, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVerifyMode,
};
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509StoreBuilder, X509StoreBuilderRef, X509StoreRef};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509StoreContext};

use self::fault::{Story, subject_and_issuer};
use self::sessions::Sessions;
use self::suites::{Profile, library_name, strength};
use crate::limits::{TLS_CERTIFICATE_CHAIN_MAX, TLS_SESSIONS_MAX};
use crate::log::Level;

mod details;
pub mod fault;
mod seed;
mod sessions;
pub mod stream;
pub mod suites;

pub use fault::TlsFault;
pub use stream::HandshakeEnd;

/// Which side of the handshake this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts associations: TLS's server.
    Acceptor,
    /// Requests them: TLS's client.
    Requestor,
}

/// What is asked of the peer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAuthentication {
    /// There must be one, and it is verified (`--require-peer-cert`).
    Require,
    /// It is verified if there is one (`--verify-peer-cert`).
    VerifyIfPresent,
    /// None is asked for, or it is not looked at (`--ignore-peer-cert`).
    Ignore,
}

/// Whose revocation is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationCheck {
    /// Nobody's.
    Off,
    /// The peer's (`--enable-crl-vfy`).
    Leaf,
    /// The whole chain's (`--enable-crl-all`).
    Chain,
}

/// How keys and certificates are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    /// `--pem-keys`.
    Pem,
    /// `--der-keys`.
    Der,
}

impl KeyFormat {
    const fn file_type(self) -> SslFiletype {
        match self {
            Self::Pem => SslFiletype::PEM,
            Self::Der => SslFiletype::ASN1,
        }
    }
}

/// A file that the front end has read.
pub struct NamedFile {
    /// As it was typed.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Our own key and certificate.
pub struct Identity {
    /// The private key.
    pub key: NamedFile,
    /// The certificate; in PEM with those of the authorities between it and the root.
    pub certificate: NamedFile,
    /// Opens an encrypted key; `None` until the user was asked.
    pub password: Option<Vec<u8>>,
}

/// What the front end decided.
pub struct TlsPlan {
    /// Which side we are.
    pub role: Role,
    /// `None` for a requestor that stays anonymous.
    pub identity: Option<Identity>,
    /// How the files are written.
    pub format: KeyFormat,
    /// Files of trusted certificates, and of revocation lists.
    pub authority_files: Vec<String>,
    /// Directories of trusted certificates, by hash of their names.
    pub authority_directories: Vec<String>,
    /// Files of revocation lists.
    pub revocation_files: Vec<String>,
    /// Whose revocation is looked up.
    pub revocation_check: RevocationCheck,
    /// The profile in force.
    pub profile: &'static Profile,
    /// Suites added to it.
    pub added_suites: Vec<String>,
    /// Diffie-Hellman parameters (PEM) instead of RFC 3526's.
    pub dh_parameters: Option<NamedFile>,
    /// What is asked of the peer's certificate.
    pub peer_authentication: PeerAuthentication,
    /// The name that an acceptor goes by, or a requestor asks for.
    pub server_name: Option<String>,
    /// What is stirred into the random generator.
    pub seed: Option<Vec<u8>>,
}

/// A line for the log.
pub type Line = (Level, String);

/// Why there is no context.
#[derive(Debug)]
pub enum StartFault {
    /// The private key is encrypted, and no password was given.
    PasswordNeeded,
    /// These lines say why; the last one is what DCMTK ends with.
    Refused(Vec<Line>),
}

/// What a process offers and demands in every handshake.
#[derive(Clone)]
pub struct TlsContext {
    context: SslContext,
    role: Role,
    server_name: Option<Arc<str>>,
    story: Index<Ssl, Mutex<Story>>,
    terms: Arc<Terms>,
    /// What a requestor resumes.
    sessions: Option<Arc<Sessions>>,
}

/// What a failed handshake is explained with.
#[derive(Debug)]
struct Terms {
    profile: &'static Profile,
    format: KeyFormat,
    suites: Vec<String>,
    own_certificate: Option<String>,
}

impl fmt::Debug for TlsContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsContext").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl TlsContext {
    /// Takes over the plan; what is worth a warning comes with the context.
    ///
    /// # Errors
    ///
    /// See [`StartFault`].
    pub fn new(plan: &TlsPlan) -> Result<(Self, Vec<Line>), StartFault> {
        let mut lines = Vec::new();
        match Self::build(plan, &mut lines) {
            Ok(context) => Ok((context, lines)),
            Err(Stop::PasswordNeeded) => Err(StartFault::PasswordNeeded),
            Err(Stop::Because(last)) => {
                lines.push((Level::Fatal, last));
                Err(StartFault::Refused(lines))
            }
        }
    }

    fn build(plan: &TlsPlan, lines: &mut Vec<Line>) -> Result<Self, Stop> {
        let cannot = |stack: ErrorStack| {
            Stop::Because(format!(
                "000b:0001 Unable to create TLS transport layer: {}",
                first_reason(&stack)
            ))
        };
        if let Some(seed) = &plan.seed {
            seed::stir(seed);
        }
        let method = match plan.role {
            Role::Acceptor => SslMethod::tls_server(),
            Role::Requestor => SslMethod::tls_client(),
        };
        let mut builder = SslContext::builder(method).map_err(cannot)?;
        let profile = plan.profile;
        builder.set_security_level(profile.security_level);
        builder.set_min_proto_version(Some(profile.versions.0)).map_err(cannot)?;
        builder.set_max_proto_version(Some(profile.versions.1)).map_err(cannot)?;
        builder.set_options(
            SslOptions::NO_RENEGOTIATION
                | SslOptions::NO_COMPRESSION
                | SslOptions::CIPHER_SERVER_PREFERENCE
                | SslOptions::SINGLE_DH_USE,
        );
        builder.set_mode(SslMode::RELEASE_BUFFERS);
        // Whole blocks from the socket instead of a header and then a record.
        builder.set_read_ahead(true);
        builder.set_session_id_context(b"dcmfast").map_err(cannot)?;
        builder.set_session_cache_size(TLS_SESSIONS_MAX);
        builder.set_verify_depth(TLS_CERTIFICATE_CHAIN_MAX);

        trust(&mut builder, plan, lines);
        let own_certificate = match &plan.identity {
            Some(identity) => Some(identify(&mut builder, identity, plan, lines)?),
            None => None,
        };
        let suites = choose_suites(&mut builder, plan, lines)?;
        if plan.role == Role::Acceptor && plan.server_name.is_some() {
            // RFC 6066 §3: no session goes on under another name. Before TLS 1.3 the library shows
            // the name of the session then, and not the one that is asked for.
            builder.set_session_cache_mode(SslSessionCacheMode::OFF);
            builder.set_options(SslOptions::NO_TICKET);
        }
        if plan.role == Role::Acceptor {
            choose_dh_parameters(&mut builder, plan, lines).map_err(cannot)?;
        }
        let story = Ssl::new_ex_index().map_err(cannot)?;
        listen_in(&mut builder, plan, story);
        let sessions = match plan.role {
            Role::Acceptor => None,
            Role::Requestor => Some(Sessions::keep_all(&mut builder).map_err(cannot)?),
        };
        Ok(Self {
            context: builder.build(),
            role: plan.role,
            server_name: plan.server_name.as_deref().map(Arc::from),
            story,
            terms: Arc::new(Terms { profile, format: plan.format, suites, own_certificate }),
            sessions,
        })
    }

    /// Which side we are.
    pub(in crate::net) fn role(&self) -> Role {
        self.role
    }

    /// Why the certificate in `bytes`, with the chain behind it in PEM, would be refused of a peer
    /// whose role is not looked at; `None` if it would not (`--verify-cert`).
    pub fn refusal_of(&self, bytes: &[u8]) -> Option<String> {
        let mut chain = match certificates(bytes, self.terms.format) {
            Ok(chain) => chain.into_iter(),
            Err(why) => return Some(why),
        };
        let Some(certificate) = chain.next() else { return Some("no certificate".to_owned()) };
        let verified = Stack::new().and_then(|mut between| {
            for one in chain {
                between.push(one)?;
            }
            verify(self.context.cert_store(), &certificate, &between)
        });
        verified.unwrap_or_else(|stack| Some(first_reason(&stack)))
    }
}

/// True when the certificate in `bytes` is its own authority (`--is-root-cert`).
///
/// # Errors
///
/// There is no certificate in them.
pub fn is_root_certificate(bytes: &[u8], format: KeyFormat) -> Result<bool, String> {
    let Some(certificate) = certificates(bytes, format)?.into_iter().next() else {
        return Err("no certificate".to_owned());
    };
    let refusal = (|| {
        let mut store = X509StoreBuilder::new()?;
        store.add_cert(certificate.clone())?;
        verify(&store.build(), &certificate, &Stack::new()?)
    })();
    Ok(matches!(refusal, Ok(None)))
}

/// Why `store` does not vouch for `certificate`, if it does not.
fn verify(
    store: &X509StoreRef,
    certificate: &X509,
    between: &Stack<X509>,
) -> Result<Option<String>, ErrorStack> {
    let mut context = X509StoreContext::new()?;
    context.init(store, certificate, between, |context| {
        let is_good = context.verify_cert()?;
        Ok((!is_good).then(|| context.error().error_string().to_owned()))
    })
}

fn certificates(bytes: &[u8], format: KeyFormat) -> Result<Vec<X509>, String> {
    let found = match format {
        KeyFormat::Pem => X509::stack_from_pem(bytes),
        KeyFormat::Der => X509::from_der(bytes).map(|one| vec![one]),
    };
    found.map_err(|stack| first_reason(&stack))
}

/// `count` bytes of the random generator, for `--write-seed`.
///
/// # Errors
///
/// The generator's, which says why.
pub fn random_bytes(count: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; count];
    match openssl::rand::rand_bytes(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(stack) => Err(first_reason(&stack)),
    }
}

/// The library at work, with its version.
pub fn library() -> &'static str {
    openssl::version::version()
}

/// Why the building of a context stops.
enum Stop {
    PasswordNeeded,
    Because(String),
}

/// The reason of the first error, which is the deepest.
fn first_reason(stack: &ErrorStack) -> String {
    let reason = stack.errors().first().and_then(openssl::error::Error::reason);
    reason.unwrap_or("unknown error").to_owned()
}

/// DCMTK's line about an error of the library.
fn library_line(stack: &ErrorStack) -> Line {
    let code = stack.errors().first().map_or(0, openssl::error::Error::code);
    (Level::Error, format!("OpenSSL error {code:08x}: {}", first_reason(stack)))
}

/// Trusted certificates and revocation lists; one that cannot be read is a warning, as with DCMTK.
fn trust(builder: &mut SslContextBuilder, plan: &TlsPlan, lines: &mut Vec<Line>) {
    let file_type = plan.format.file_type();
    let store = builder.cert_store_mut();
    for name in &plan.authority_files {
        if load(store, name, file_type, true).is_err() {
            warn(lines, format!("unable to load certificate file '{name}', ignoring"));
        }
    }
    for name in &plan.authority_directories {
        let lookup = store.add_lookup(X509Lookup::hash_dir());
        if lookup.and_then(|lookup| lookup.add_dir(name, file_type)).is_err() {
            warn(lines, format!("unable to load certificates from directory '{name}', ignoring"));
        }
    }
    for name in &plan.revocation_files {
        if load(store, name, file_type, false).is_err() {
            warn(lines, format!("unable to load CRL file '{name}', ignoring"));
        }
    }
    let flags = match plan.revocation_check {
        RevocationCheck::Off => return,
        RevocationCheck::Leaf => X509VerifyFlags::CRL_CHECK,
        RevocationCheck::Chain => X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL,
    };
    // The store's own flags are those of `--verify-cert`.
    let is_set = store.set_flags(flags).and_then(|()| builder.verify_param_mut().set_flags(flags));
    if is_set.is_err() {
        warn(lines, "revocation lists cannot be looked at".to_owned());
    }
}

/// Loads a file that may hold certificates, revocation lists or both.
fn load(
    store: &mut X509StoreBuilderRef,
    name: &str,
    file_type: SslFiletype,
    holds_certificates: bool,
) -> Result<(), ErrorStack> {
    let lookup = store.add_lookup(X509Lookup::file())?;
    let certificates = lookup.load_cert_file(name, file_type).map(drop);
    let lists = lookup.load_crl_file(name, file_type).map(drop);
    if holds_certificates { certificates.or(lists) } else { lists }
}

fn warn(lines: &mut Vec<Line>, text: String) {
    lines.push((Level::Warn, text));
}

/// Puts in our key and certificate, and gives the certificate's name.
fn identify(
    builder: &mut SslContextBuilder,
    identity: &Identity,
    plan: &TlsPlan,
    lines: &mut Vec<Line>,
) -> Result<String, Stop> {
    let Identity { key: key_file, certificate: certificate_file, password } = identity;
    let no_key = |lines: &mut Vec<Line>, stack: &ErrorStack| {
        lines.push(library_line(stack));
        Stop::Because(format!("000b:0004 Unable to load private TLS key from '{}'", key_file.name))
    };
    let no_certificate = |lines: &mut Vec<Line>, stack: &ErrorStack| {
        lines.push(library_line(stack));
        Stop::Because(format!(
            "000b:0005 Unable to load certificate from '{}'",
            certificate_file.name
        ))
    };
    let key = match private_key(&key_file.bytes, plan.format, password.as_deref()) {
        Ok(key) => key,
        Err(None) => return Err(Stop::PasswordNeeded),
        Err(Some(stack)) => return Err(no_key(lines, &stack)),
    };
    let chain = match plan.format {
        KeyFormat::Pem => X509::stack_from_pem(&certificate_file.bytes),
        KeyFormat::Der => X509::from_der(&certificate_file.bytes).map(|one| vec![one]),
    };
    let mut chain = match chain {
        Ok(chain) => chain.into_iter(),
        Err(stack) => return Err(no_certificate(lines, &stack)),
    };
    let Some(certificate) = chain.next() else {
        return Err(Stop::Because(format!(
            "000b:0005 Unable to load certificate from '{}': it holds none",
            certificate_file.name
        )));
    };
    judge(&certificate, &certificate_file.name, plan.profile, lines)?;
    let is_matching = certificate.public_key().is_ok_and(|public_key| public_key.public_eq(&key));
    if !is_matching {
        return Err(Stop::Because(format!(
            "000b:0006 Private key '{}' and certificate '{}' do not match",
            key_file.name, certificate_file.name
        )));
    }
    builder.set_certificate(&certificate).map_err(|stack| no_certificate(lines, &stack))?;
    for authority in chain {
        builder.add_extra_chain_cert(authority).map_err(|stack| no_certificate(lines, &stack))?;
    }
    builder.set_private_key(&key).map_err(|stack| no_key(lines, &stack))?;
    Ok(subject_and_issuer(&certificate))
}

/// The private key; an error of `None` asks for the password.
fn private_key(
    bytes: &[u8],
    format: KeyFormat,
    password: Option<&[u8]>,
) -> Result<PKey<Private>, Option<ErrorStack>> {
    let mut is_asked = false;
    let give = |buffer: &mut [u8]| {
        is_asked = true;
        let password = password.unwrap_or_default();
        let count = password.len().min(buffer.len());
        buffer[..count].copy_from_slice(&password[..count]);
        Ok(count)
    };
    let key = match format {
        KeyFormat::Pem => PKey::private_key_from_pem_callback(bytes, give),
        KeyFormat::Der => PKey::private_key_from_der(bytes)
            // An encrypted one is PKCS #8's.
            .or_else(|plain| PKey::private_key_from_pkcs8_callback(bytes, give).map_err(|_| plain)),
    };
    key.map_err(|stack| (!is_asked || password.is_some()).then_some(stack))
}

/// What RFC 9325 asks of our own certificate: short keys and weak hashes are refused by the profiles
/// that say so, and are a warning elsewhere.
fn judge(
    certificate: &X509,
    name: &str,
    profile: &Profile,
    lines: &mut Vec<Line>,
) -> Result<(), Stop> {
    let is_strict = profile.security_level >= 2;
    let refused = |why: &str| {
        Stop::Because(format!("000b:0005 Unable to load certificate from '{name}': {why}"))
    };
    let Ok(key) = certificate.public_key() else {
        return Err(refused("its public key cannot be read"));
    };
    let (bits, id) = (key.bits(), key.id());
    let (kind, wanted) = if id == Id::RSA { ("RSA", 2048) } else { ("ECDSA", 224) };
    if matches!(id, Id::RSA | Id::EC) && bits < wanted {
        let short = format!(
            "Key length of {kind} public key too short: RFC 9325 recommends at least {wanted} bits \
             for {kind} keys, but the key in certificate file '{name}' is only {bits} bits."
        );
        if is_strict {
            lines.push((Level::Error, short));
            return Err(refused(&format!("the {} needs longer keys", profile.title)));
        }
        warn(lines, short);
    }
    if id == Id::DSA && profile.versions.1 == openssl::ssl::SslVersion::TLS1_3 && is_strict {
        return Err(refused("TLS 1.3 has no DSA"));
    }
    let algorithm = certificate.signature_algorithm().object().nid();
    let hash = algorithm.signature_algorithms().map(|found| found.digest);
    if let Some(hash @ (Nid::SHA1 | Nid::MD5)) = hash {
        let hash = hash.short_name().unwrap_or("?");
        let weak = format!(
            "Possibly weak certificate hash key: RFC 9325 recommends the use of SHA-256 (or better) \
             for certificates, but certificate file '{name}' uses '{hash}'."
        );
        if is_strict {
            lines.push((Level::Error, weak));
            return Err(refused(&format!("the {} needs a better hash", profile.title)));
        }
        warn(lines, weak);
    }
    Ok(())
}

/// Sets the suites of the profile and those added, and gives them by name, the best first.
fn choose_suites(
    builder: &mut SslContextBuilder,
    plan: &TlsPlan,
    lines: &mut Vec<Line>,
) -> Result<Vec<String>, Stop> {
    let profile = plan.profile;
    let lacks = |suite: &str| {
        format!("Ciphersuite '{suite}' not supported by the OpenSSL library used ({})", library())
    };
    let mut chosen: Vec<String> = Vec::new();
    for suite in profile.suites {
        if library_name(suite).is_none() {
            let why = format!("000b:0003 TLS ciphersuite unknown or not supported: {suite}");
            let title = profile.title;
            return Err(Stop::Because(format!("{why}; the {title} needs it. {}", lacks(suite))));
        }
        chosen.push((*suite).to_owned());
    }
    if let Some(suite) = profile.optional_suite {
        if library_name(suite).is_some() {
            chosen.push(suite.to_owned());
        } else {
            let loss = "no backward compatibility with DICOM Basic TLS profile.";
            warn(lines, format!("{}, {loss}", lacks(suite)));
        }
    }
    for suite in &plan.added_suites {
        if !suites::SUITES.contains(&&**suite) {
            return Err(Stop::Because(format!(
                "0001:0007 Illegal call, perhaps wrong parameters: no TLS ciphersuite is named \
                 '{suite}' (--list-ciphers shows the names)"
            )));
        }
        if library_name(suite).is_none() {
            lines.push((Level::Fatal, lacks(suite)));
            return Err(Stop::Because(format!(
                "000b:0003 TLS ciphersuite unknown or not supported: {suite}"
            )));
        }
        if let Some(why) = profile.refusal_of(suite) {
            lines.push((Level::Fatal, why));
            let rule = "Ciphersuite not allowed in current DICOM security profile";
            return Err(Stop::Because(format!("000b:000a {rule}: {suite}")));
        }
        for doubt in profile.doubts_about(suite) {
            warn(lines, doubt);
        }
        if !chosen.contains(suite) {
            chosen.push(suite.clone());
        }
    }
    // RFC 9325 §4.2.1: the server's order counts, and the strongest comes first.
    chosen.sort_by_key(|suite| std::cmp::Reverse(strength(suite)));
    let names: Vec<_> = chosen.iter().filter_map(|suite| library_name(suite)).collect();
    let cannot = |stack: ErrorStack| {
        let reason = first_reason(&stack);
        Stop::Because(format!("000b:0002 Unable to set selected cipher suites: {reason}"))
    };
    builder.set_cipher_list(&names.join(":")).map_err(cannot)?;
    if !profile.tls13_suites.is_empty() {
        builder.set_ciphersuites(&profile.tls13_suites.join(":")).map_err(cannot)?;
    }
    Ok(chosen)
}

/// Parameters of DHE suites: the file's, or RFC 3526's group of 2048 bits.
fn choose_dh_parameters(
    builder: &mut SslContextBuilder,
    plan: &TlsPlan,
    lines: &mut Vec<Line>,
) -> Result<(), ErrorStack> {
    let from_file = plan.dh_parameters.as_ref();
    let parameters = match from_file.and_then(|file| dh_parameters_of(file, plan.profile, lines)) {
        Some(parameters) => parameters,
        None => Dh::from_pqg(BigNum::get_rfc3526_prime_2048()?, None, BigNum::from_u32(2)?)?,
    };
    builder.set_tmp_dh(&parameters)
}

fn dh_parameters_of(
    file: &NamedFile,
    profile: &Profile,
    lines: &mut Vec<Line>,
) -> Option<Dh<Params>> {
    let name = &file.name;
    let ignored = format!("unable to load temporary DH parameter file '{name}', ignoring");
    let Ok(parameters) = Dh::params_from_pem(&file.bytes) else {
        warn(lines, ignored);
        return None;
    };
    let bits = parameters.prime_p().num_bits();
    if bits < 2048 {
        warn(
            lines,
            format!(
                "Key length of Diffie-Hellman parameter file too short: RFC 9325 recommends at \
                 least 2048 bits, but the key in file '{name}' is only {bits} bits."
            ),
        );
        if profile.security_level >= 2 {
            warn(lines, ignored);
            return None;
        }
    }
    Some(parameters)
}

/// Callbacks that note why a handshake will fail, for [`fault`].
fn listen_in(builder: &mut SslContextBuilder, plan: &TlsPlan, story: Index<Ssl, Mutex<Story>>) {
    let mode = match plan.peer_authentication {
        PeerAuthentication::Require => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        PeerAuthentication::VerifyIfPresent => SslVerifyMode::PEER,
        PeerAuthentication::Ignore => SslVerifyMode::NONE,
    };
    let is_verifying = plan.peer_authentication != PeerAuthentication::Ignore;
    builder.set_verify_callback(mode, move |is_good, context| {
        if !is_good && is_verifying {
            Story::note_refusal(context, story);
        }
        // A client that ignores certificates is asked all the same.
        is_good || !is_verifying
    });
    if plan.role == Role::Requestor {
        return;
    }
    builder.set_client_hello_callback(move |ssl, _alert| {
        let ciphers = ssl.client_hello_ciphers().map(<[u8]>::to_vec).unwrap_or_default();
        let version = ssl.client_hello_legacy_version();
        Story::write(ssl.ex_data(story), |told| told.offer = Some((version, ciphers)));
        Ok(ClientHelloResponse::SUCCESS)
    });
    if let Some(expected) = plan.server_name.clone() {
        builder.set_servername_callback(move |ssl, alert| {
            // Nothing is lost for a peer that names nobody; most devices do not.
            let Some(asked) = ssl.servername_raw(NameType::HOST_NAME) else { return Ok(()) };
            if asked.eq_ignore_ascii_case(expected.as_bytes()) {
                return Ok(());
            }
            let asked = asked.to_vec();
            Story::write(ssl.ex_data(story), |told| {
                told.wrong_name = Some((asked, expected.clone()));
            });
            *alert = SslAlert::UNRECOGNIZED_NAME;
            Err(SniError::ALERT_FATAL)
        });
    }
}
