//! The little of PS3.8 and PS3.7 that a receiver without checks and a load generator need.
//!
//! Source: PS3.8 §9.3 (PDU layouts), PS3.7 §9.3 and Annex E (command sets, Implicit VR Little
//! Endian). Lengths of a peer are trusted here where dcmfast would check them: both programs only
//! ever meet each other, or receivers under test, on the loopback interface.
//!
//! Used by the programs in `bin/`; dcmfast itself uses none of it.

use std::fmt::Write as _;
use std::io::{self, Read};

pub mod association;
pub mod instances;
pub mod stream;

/// P-DATA-TF, PS3.8 Table 9-22.
pub const P_DATA_TF: u8 = 0x04;
/// A-ASSOCIATE-RQ, PS3.8 Table 9-11.
pub const A_ASSOCIATE_RQ: u8 = 0x01;
/// A-ASSOCIATE-AC, PS3.8 Table 9-17.
pub const A_ASSOCIATE_AC: u8 = 0x02;
/// A-RELEASE-RQ, PS3.8 Table 9-24.
pub const A_RELEASE_RQ: u8 = 0x05;
/// A-RELEASE-RP, PS3.8 Table 9-25.
pub const A_RELEASE_RP: u8 = 0x06;

/// PDU header: type, reserved, length (PS3.8 §9.3.1).
pub const PDU_HEADER_BYTES: usize = 6;
/// PDV header: item length, presentation context ID, message control header (PS3.8 Table 9-23).
pub const PDV_HEADER_BYTES: usize = 6;
/// What both programs announce, as DCMTK's tools and dcmfast do by default.
pub const MAX_PDU_BYTES: u32 = 16_384;

/// C-STORE-RQ and C-STORE-RSP, C-ECHO-RQ and C-ECHO-RSP: Command Field values (PS3.7 Annex E.1).
pub const C_STORE_RQ: u16 = 0x0001;
/// See [`C_STORE_RQ`].
pub const C_STORE_RSP: u16 = 0x8001;
/// See [`C_STORE_RQ`].
pub const C_GET_RQ: u16 = 0x0010;
/// See [`C_STORE_RQ`].
pub const C_FIND_RQ: u16 = 0x0020;
/// See [`C_STORE_RQ`].
pub const C_MOVE_RQ: u16 = 0x0021;
/// See [`C_STORE_RQ`].
pub const C_ECHO_RQ: u16 = 0x0030;
/// See [`C_STORE_RQ`].
pub const C_ECHO_RSP: u16 = 0x8030;

const APPLICATION_CONTEXT: &[u8] = b"1.2.840.10008.3.1.1.1";
const IMPLEMENTATION_CLASS_UID: &[u8] = b"2.25.161803398874989484820458683436563811772";

/// A PDU of `pdu_type` around `body`.
pub fn pdu(pdu_type: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PDU_HEADER_BYTES + body.len());
    out.extend([pdu_type, 0]);
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    out
}

/// An item or sub-item of an A-ASSOCIATE PDU: type, reserved, two-byte length, value.
fn item(item_type: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![item_type, 0];
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
    out
}

/// User information: maximum length, implementation class UID and version name.
fn user_information_value(version_name: &[u8]) -> Vec<u8> {
    let mut value = item(0x51, &MAX_PDU_BYTES.to_be_bytes());
    value.extend(item(0x52, IMPLEMENTATION_CLASS_UID));
    value.extend(item(0x55, version_name));
    value
}

/// Our own title, which archives want to know.
pub const CALLING: &str = "LOAD";

/// A-ASSOCIATE-RQ with a presentation context for each abstract syntax (IDs 1, 3, 5 …), all with
/// Explicit VR Little Endian.
///
/// For those in `as_scp` the requestor takes the SCP's role alone (PS3.7 Annex D.3.3.4), as C-GET
/// wants it.
pub fn associate_rq(called: &str, abstract_syntaxes: &[&str], as_scp: &[&str]) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend(format!("{called:<16}").bytes());
    body.extend(format!("{CALLING:<16}").bytes());
    body.extend([0; 32]);
    body.extend(item(0x10, APPLICATION_CONTEXT));
    for (index, uid) in abstract_syntaxes.iter().enumerate() {
        let mut context = vec![2 * index as u8 + 1, 0, 0, 0];
        context.extend(item(0x30, uid.as_bytes()));
        context.extend(item(0x40, EXPLICIT_VR_LITTLE_ENDIAN.as_bytes()));
        body.extend(item(0x20, &context));
    }
    let mut user = user_information_value(b"BENCH_LOAD");
    for uid in as_scp {
        let mut role = (uid.len() as u16).to_be_bytes().to_vec();
        role.extend(uid.bytes());
        role.extend([0, 1]);
        user.extend(item(0x54, &role));
    }
    body.extend(item(0x50, &user));
    pdu(A_ASSOCIATE_RQ, &body)
}

/// One presentation context as proposed, with the transfer syntax that is accepted unseen.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// Presentation context ID.
    pub context_id: u8,
    /// Explicit VR Little Endian where it is among those proposed, else the first.
    pub transfer_syntax_uid: Vec<u8>,
}

/// What all data sets of the benchmarks are encoded in.
pub const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

/// Splits `bytes` into (item type, value) pairs; stops at the first item that does not fit.
fn items(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let [item_type, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > rest.len() {
            break;
        }
        found.push((*item_type, &rest[..length]));
        bytes = &rest[length..];
    }
    found
}

/// Bytes of an A-ASSOCIATE-RQ or -AC body before its variable items (PS3.8 Table 9-11).
const FIXED_BYTES: usize = 68;

/// The contexts of an A-ASSOCIATE-RQ body, and the maximum length its sender announced.
pub fn read_associate_rq(body: &[u8]) -> (Vec<Proposed>, u32) {
    let mut contexts = Vec::new();
    let mut peer_max = 0;
    for (item_type, value) in items(body.get(FIXED_BYTES..).unwrap_or_default()) {
        match item_type {
            0x20 if value.len() >= 4 => {
                let mut syntaxes: Vec<&[u8]> = items(&value[4..])
                    .into_iter()
                    .filter_map(|(kind, uid)| (kind == 0x40).then_some(uid))
                    .collect();
                syntaxes.sort_by_key(|uid| *uid != EXPLICIT_VR_LITTLE_ENDIAN.as_bytes());
                contexts.push(Proposed {
                    context_id: value[0],
                    transfer_syntax_uid: syntaxes.first().map_or(Vec::new(), |uid| uid.to_vec()),
                });
            }
            0x50 => peer_max = maximum_length(value),
            _ => {}
        }
    }
    (contexts, peer_max)
}

fn maximum_length(user_information: &[u8]) -> u32 {
    items(user_information)
        .into_iter()
        .find_map(|(kind, value)| (kind == 0x51).then(|| be_u32(value)))
        .unwrap_or(0)
}

/// The answer to an A-ASSOCIATE-RQ body that accepts every context as proposed.
pub fn associate_ac(rq_body: &[u8], contexts: &[Proposed]) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    // Called and calling AE titles and the reserved bytes come back as they were sent.
    body.extend(rq_body.get(4..FIXED_BYTES).unwrap_or(&[b' '; FIXED_BYTES - 4]));
    body.extend(item(0x10, APPLICATION_CONTEXT));
    for context in contexts {
        let mut value = vec![context.context_id, 0, 0, 0];
        value.extend(item(0x40, &context.transfer_syntax_uid));
        body.extend(item(0x21, &value));
    }
    body.extend(item(0x50, &user_information_value(b"BENCH_LIMIT")));
    pdu(A_ASSOCIATE_AC, &body)
}

/// Reads an A-ASSOCIATE-AC body: the accepted context IDs, and the peer's maximum length.
pub fn read_associate_ac(body: &[u8]) -> (Vec<u8>, u32) {
    let mut accepted = Vec::new();
    let mut peer_max = 0;
    for (item_type, value) in items(body.get(FIXED_BYTES..).unwrap_or_default()) {
        match item_type {
            0x21 if value.len() >= 4 && value[2] == 0 => accepted.push(value[0]),
            0x50 => peer_max = maximum_length(value),
            _ => {}
        }
    }
    (accepted, peer_max)
}

/// Appends one element of a command set: Implicit VR Little Endian, group 0000.
pub fn put_command_element(out: &mut Vec<u8>, element: u16, value: &[u8]) {
    out.extend([0, 0]);
    out.extend(element.to_le_bytes());
    out.extend((value.len() as u32).to_le_bytes());
    out.extend(value);
}

/// A UID as it stands in a command set or data set: padded with NUL to an even length (PS3.5 §9).
pub fn padded_uid(uid: &[u8]) -> Vec<u8> {
    let mut out = uid.to_vec();
    if out.len() % 2 == 1 {
        out.push(0);
    }
    out
}

/// Puts Command Group Length (0000,0000) ahead of `elements`.
pub fn with_group_length(elements: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 + elements.len());
    put_command_element(&mut out, 0x0000, &(elements.len() as u32).to_le_bytes());
    out.extend(elements);
    out
}

/// The value of one element of a command set, or nothing.
pub fn command_element(mut command: &[u8], wanted: u16) -> Option<&[u8]> {
    while command.len() >= 8 {
        let element = u16::from_le_bytes([command[2], command[3]]);
        let length = le_u32(&command[4..8]) as usize;
        let value = command.get(8..8 + length)?;
        if element == wanted {
            return Some(value);
        }
        command = &command[8 + length..];
    }
    None
}

/// A two-byte element of a command set, such as Status (0000,0900).
pub fn command_u16(command: &[u8], wanted: u16) -> Option<u16> {
    let value = command_element(command, wanted)?;
    Some(u16::from_le_bytes([*value.first()?, *value.get(1)?]))
}

/// The value of one element of a data set in Explicit VR Little Endian, or nothing.
///
/// Only elements with a two-byte length are passed over: identifiers of the benchmark hold no others.
pub fn data_element(mut data_set: &[u8], wanted: (u16, u16)) -> Option<&[u8]> {
    while let [g0, g1, e0, e1, _, _, l0, l1, rest @ ..] = data_set {
        let tag = (u16::from_le_bytes([*g0, *g1]), u16::from_le_bytes([*e0, *e1]));
        let length = usize::from(u16::from_le_bytes([*l0, *l1]));
        let value = rest.get(..length)?;
        if tag == wanted {
            return Some(value);
        }
        data_set = &rest[length..];
    }
    None
}

/// A big-endian length; 0 where fewer than four bytes are left.
pub fn be_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |four| u32::from_be_bytes(*four))
}

/// A little-endian length; 0 where fewer than four bytes are left.
pub fn le_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four))
}

/// Reads one whole PDU into `buffer` and returns its type; `None` at the end of the stream.
///
/// `reader` should be buffered: a peer may send header and body in two segments.
pub fn read_pdu(reader: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<u8>> {
    let mut header = [0; PDU_HEADER_BYTES];
    match reader.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = be_u32(&header[2..]) as usize;
    // Associate PDUs and responses are small; a length beyond this is a lost stream.
    if length > 1 << 20 {
        return Err(io::Error::other(format!("PDU of {length} bytes from the peer")));
    }
    buffer.resize(length, 0);
    reader.read_exact(buffer)?;
    Ok(Some(header[0]))
}

/// A JSON string with its quotes.
pub fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            character if character < ' ' => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            character => out.push(character),
        }
    }
    out.push('"');
    out
}
