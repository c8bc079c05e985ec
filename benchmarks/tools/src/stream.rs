//! A transport connection, in the clear or through the system's OpenSSL.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod, SslStream, SslVersion};

/// Whom the benchmark's certificate names.
pub const HOST: &str = "localhost";

/// A connection to one peer.
pub enum Stream {
    /// TCP alone.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<SslStream<TcpStream>>),
}

/// Makes the acceptor of TLS 1.3 with a certificate and its key, PEM files both.
pub fn acceptor(certificate: &str, key: &str) -> io::Result<SslAcceptor> {
    let mut builder = SslAcceptor::mozilla_modern_v5(SslMethod::tls())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_certificate_file(certificate, SslFiletype::PEM)?;
    builder.set_private_key_file(key, SslFiletype::PEM)?;
    Ok(builder.build())
}

/// Makes the connector that believes the authority of a PEM file.
pub fn connector(authority: &str) -> io::Result<SslConnector> {
    let mut builder = SslConnector::builder(SslMethod::tls())?;
    builder.set_ca_file(authority)?;
    Ok(builder.build())
}

impl Stream {
    /// The accepting side: the handshake is made where `acceptor` is given.
    pub fn accept(stream: TcpStream, acceptor: Option<&SslAcceptor>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        match acceptor {
            None => Ok(Self::Plain(stream)),
            Some(acceptor) => Ok(Self::Tls(Box::new(
                acceptor.accept(stream).map_err(|error| io::Error::other(error.to_string()))?,
            ))),
        }
    }

    /// The connecting side of the same.
    pub fn connect(stream: TcpStream, connector: Option<&SslConnector>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        match connector {
            None => Ok(Self::Plain(stream)),
            Some(connector) => Ok(Self::Tls(Box::new(
                connector
                    .connect(HOST, stream)
                    .map_err(|error| io::Error::other(error.to_string()))?,
            ))),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_vectored(slices),
            // One record at a time; the slices are fragments of 16 KiB and more.
            Self::Tls(stream) => slices
                .iter()
                .find(|slice| !slice.is_empty())
                .map_or(Ok(0), |slice| stream.write(slice)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
