//! The requestor's side of an association, as `load` and `query` need it.
//!
//! It trusts the peer's lengths and believes nothing else: a PDU of another type, or a response to
//! another message, ends the run with an error.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use openssl::ssl::SslConnector;

use crate as wire;
use crate::stream::Stream;
use crate::{PDU_HEADER_BYTES, PDV_HEADER_BYTES};

/// A peer that says nothing for this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How much is read from the socket at once; a C-GET's data sets come this way.
const READ_BYTES: usize = 256 * 1024;

/// An accepted association.
pub struct Association {
    /// TCP_NODELAY is set, and a deadline for reading and writing.
    reader: BufReader<Stream>,
    /// Largest PDU body that the peer takes.
    pub peer_max: usize,
    body: Vec<u8>,
}

/// One DIMSE message as it was received.
#[derive(Default)]
pub struct Message {
    /// Presentation context it came on.
    pub context_id: u8,
    /// Command set.
    pub command: Vec<u8>,
    /// Data set; empty when the command has none.
    pub data_set: Vec<u8>,
}

impl Message {
    /// A two-byte element of the command set.
    pub fn u16(&self, element: u16) -> Option<u16> {
        wire::command_u16(&self.command, element)
    }

    /// Command Field (0000,0100).
    pub fn command_field(&self) -> u16 {
        self.u16(0x0100).unwrap_or(0)
    }

    /// Status (0000,0900); FFFFH stands for none.
    pub fn status(&self) -> u16 {
        self.u16(0x0900).unwrap_or(0xFFFF)
    }
}

/// Associates with one context per abstract syntax, over TLS where a connector is given; all must be
/// accepted.
pub fn associate(
    port: u16,
    called: &str,
    abstract_syntaxes: &[&str],
    as_scp: &[&str],
    tls: Option<&SslConnector>,
) -> io::Result<Association> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut stream = Stream::connect(stream, tls)?;
    stream.write_all(&wire::associate_rq(called, abstract_syntaxes, as_scp))?;
    let mut reader = BufReader::with_capacity(READ_BYTES, stream);
    let mut body = Vec::new();
    match wire::read_pdu(&mut reader, &mut body)? {
        Some(wire::A_ASSOCIATE_AC) => {}
        other => return Err(io::Error::other(format!("PDU type {other:?} for our request"))),
    }
    let (accepted, peer_max) = wire::read_associate_ac(&body);
    if accepted.len() != abstract_syntaxes.len() {
        return Err(io::Error::other("presentation context not accepted"));
    }
    // 0 means no limit (PS3.8 Annex D.1); DCMTK's largest is a sensible choice then.
    let peer_max = if peer_max == 0 { 131_072 } else { peer_max as usize };
    Ok(Association { reader, peer_max, body: Vec::new() })
}

/// Asks for the release of an association and waits for the answer.
pub fn release(mut association: Association) -> io::Result<()> {
    association.stream().write_all(&wire::pdu(wire::A_RELEASE_RQ, &[0; 4]))?;
    match wire::read_pdu(&mut association.reader, &mut Vec::new())? {
        Some(wire::A_RELEASE_RP) => Ok(()),
        other => Err(io::Error::other(format!("PDU type {other:?} for our release request"))),
    }
}

impl Association {
    /// Where to write.
    pub fn stream(&mut self) -> &mut Stream {
        self.reader.get_mut()
    }

    /// Reads one whole message into `message`, whose buffers are used again.
    pub fn read(&mut self, message: &mut Message) -> io::Result<()> {
        match read_message(&mut self.reader, &mut self.body, message)? {
            Some(wire::P_DATA_TF) => Ok(()),
            other => Err(io::Error::other(format!("PDU type {other:?} instead of a message"))),
        }
    }
}

/// Reads PDUs until a message is whole; returns the type of the last one, which is P-DATA-TF then.
pub fn read_message(
    reader: &mut impl io::Read,
    body: &mut Vec<u8>,
    message: &mut Message,
) -> io::Result<Option<u8>> {
    message.command.clear();
    message.data_set.clear();
    loop {
        let kind = wire::read_pdu(reader, body)?;
        if kind != Some(wire::P_DATA_TF) {
            return Ok(kind);
        }
        let mut rest = body.as_slice();
        while rest.len() >= PDV_HEADER_BYTES {
            let length = wire::be_u32(rest) as usize;
            let fragment = rest
                .get(PDV_HEADER_BYTES..4 + length)
                .ok_or_else(|| io::Error::other("PDV beyond its PDU"))?;
            let control = rest[5];
            message.context_id = rest[4];
            if control & 0b01 != 0 {
                message.command.extend_from_slice(fragment);
            } else {
                message.data_set.extend_from_slice(fragment);
            }
            // PS3.7 Annex E.1: Command Data Set Type 0101H says that nothing follows.
            let whole = match control & 0b11 {
                0b11 => wire::command_u16(&message.command, 0x0800) == Some(0x0101),
                0b10 => true,
                _ => false,
            };
            if whole {
                return Ok(kind);
            }
            rest = &rest[4 + length..];
        }
    }
}

/// Header of a PDU that holds one PDV of `length` bytes.
pub fn pdv_header(
    context_id: u8,
    control: u8,
    length: usize,
) -> [u8; PDU_HEADER_BYTES + PDV_HEADER_BYTES] {
    let mut out = [0; PDU_HEADER_BYTES + PDV_HEADER_BYTES];
    out[0] = wire::P_DATA_TF;
    out[2..6].copy_from_slice(&((length + PDV_HEADER_BYTES) as u32).to_be_bytes());
    out[6..10].copy_from_slice(&((length + 2) as u32).to_be_bytes());
    out[10] = context_id;
    out[11] = control;
    out
}

/// Appends a PDU with one PDV.
pub fn put_pdv(out: &mut Vec<u8>, context_id: u8, control: u8, fragment: &[u8]) {
    out.extend(pdv_header(context_id, control, fragment.len()));
    out.extend(fragment);
}

/// The bytes of a C-STORE-RSP with status 0000H to `request`.
pub fn store_response(request: &Message) -> Vec<u8> {
    let mut elements = Vec::new();
    for tag in [0x0002, 0x0100, 0x0120, 0x0800, 0x0900, 0x1000] {
        match tag {
            0x0100 => {
                wire::put_command_element(&mut elements, tag, &wire::C_STORE_RSP.to_le_bytes());
            }
            0x0120 => {
                let id = wire::command_element(&request.command, 0x0110).unwrap_or(&[0, 0]);
                wire::put_command_element(&mut elements, tag, id);
            }
            0x0800 => wire::put_command_element(&mut elements, tag, &0x0101u16.to_le_bytes()),
            0x0900 => wire::put_command_element(&mut elements, tag, &[0, 0]),
            _ => {
                if let Some(value) = wire::command_element(&request.command, tag) {
                    wire::put_command_element(&mut elements, tag, value);
                }
            }
        }
    }
    let mut out = Vec::new();
    put_pdv(&mut out, request.context_id, 0b11, &wire::with_group_length(&elements));
    out
}
