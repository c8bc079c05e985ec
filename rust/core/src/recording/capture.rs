//! A packet capture as entries: who reads one needs no recorder.
//!
//! Source: the file formats of libpcap ("classic" pcap in both byte orders, with micro- or nanoseconds)
//! and pcapng (draft-ietf-opsawg-pcapng: sections, interfaces, enhanced, simple and old packet blocks);
//! Ethernet and Linux cooked (both versions) with VLAN tags, BSD loopback and raw IP; IPv4, IPv6 with
//! extension headers. Fragments of IP are joined in `fragments`; packets become the bytes of connections
//! in `reassembly`. Every length is compared with what is there before it is used. Called by
//! `recording::source`.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::file::{Step, read_up_to};
use super::fragments::{Fragment, Fragments, Key};
use super::reassembly::{Reassembly, Segment};
use super::{Moment, Notice};
use crate::limits::{CAPTURE_BLOCK_BYTES_MAX, CAPTURE_INTERFACES_MAX, CAPTURE_PACKET_BYTES_MAX};
use crate::net::tcp::{IpAddr, SocketAddr};

/// Why bytes are no capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Other bytes stand at the beginning.
    NotACapture,
    /// Packets of a kind that is not known.
    LinkType(u32),
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// Of the clock's units in a second.
    units_per_s: u64,
    offset_s: u64,
}

#[derive(Debug)]
enum Format {
    Classic { is_big: bool, interface: Interface },
    Blocks { is_big: bool, interfaces: Vec<Interface> },
}

/// A capture that is read.
pub struct Capture<R> {
    input: R,
    format: Format,
    offset: u64,
    is_over: bool,
    steps: VecDeque<Step>,
    reassembly: Reassembly,
    first_ns: Option<u64>,
    last_ns: u64,
    fragments: Fragments,
    /// Fragments that are cut.
    cut_fragments: u64,
    others: u64,
}

/// What follows a packet.
enum Next {
    More,
    End,
    EndWith(Notice),
}

const SECTION: u32 = 0x0A0D_0D0A;
const BYTE_ORDER: u32 = 0x1A2B_3C4D;

/// Link types that are understood (tcpdump.org/linktypes.html).
const LINKS: &[u32] = &[0, 1, 12, 14, 101, 108, 113, 228, 229, 276];

fn u16_at(bytes: &[u8], at: usize, is_big: bool) -> Option<u16> {
    let bytes = *bytes.get(at..)?.first_chunk::<2>()?;
    Some(if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
}

fn u32_at(bytes: &[u8], at: usize, is_big: bool) -> Option<u32> {
    let bytes = *bytes.get(at..)?.first_chunk::<4>()?;
    Some(if is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

impl<R: Read> Capture<R> {
    /// Reads its header.
    ///
    /// # Errors
    ///
    /// The system's; in the inner place, what is no capture.
    pub fn new(mut input: R) -> io::Result<Result<Self, HeaderError>> {
        let mut head = [0; 24];
        let count = read_up_to(&mut input, &mut head[..8])?;
        if count < 8 {
            return Ok(Err(HeaderError::NotACapture));
        }
        if u32_at(&head, 0, true) == Some(SECTION) {
            // Its length is in the byte order that the section names behind it.
            if read_up_to(&mut input, &mut head[8..12])? < 4 {
                return Ok(Err(HeaderError::NotACapture));
            }
            let is_big = match u32_at(&head, 8, true) {
                Some(BYTE_ORDER) => true,
                Some(order) if order.swap_bytes() == BYTE_ORDER => false,
                _ => return Ok(Err(HeaderError::NotACapture)),
            };
            let length = u32_at(&head, 4, is_big).unwrap_or_default() as usize;
            if !(28..=CAPTURE_BLOCK_BYTES_MAX).contains(&length) {
                return Ok(Err(HeaderError::NotACapture));
            }
            let mut rest = vec![0; length - 12];
            read_up_to(&mut input, &mut rest)?;
            let format = Format::Blocks { is_big, interfaces: Vec::new() };
            return Ok(Ok(Self::with(input, format, length as u64)));
        }
        if read_up_to(&mut input, &mut head[8..])? < 16 {
            return Ok(Err(HeaderError::NotACapture));
        }
        let (is_big, units_per_s) = match u32_at(&head, 0, true) {
            Some(0xA1B2_C3D4) => (true, 1_000_000),
            Some(0xA1B2_3C4D) => (true, 1_000_000_000),
            Some(0xD4C3_B2A1) => (false, 1_000_000),
            Some(0x4D3C_B2A1) => (false, 1_000_000_000),
            _ => return Ok(Err(HeaderError::NotACapture)),
        };
        // The upper bits say whether frames end with a checksum.
        let link = u32_at(&head, 20, is_big).unwrap_or_default() & 0xFFFF;
        if !LINKS.contains(&link) {
            return Ok(Err(HeaderError::LinkType(link)));
        }
        let interface = Interface { link, units_per_s, offset_s: 0 };
        Ok(Ok(Self::with(input, Format::Classic { is_big, interface }, 24)))
    }

    fn with(input: R, format: Format, offset: u64) -> Self {
        Self {
            input,
            format,
            offset,
            is_over: false,
            steps: VecDeque::new(),
            reassembly: Reassembly::default(),
            first_ns: None,
            last_ns: 0,
            fragments: Fragments::default(),
            cut_fragments: 0,
            others: 0,
        }
    }

    /// The next step.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Ok(step);
            }
            if self.is_over {
                return Ok(Step::End);
            }
            let next = match self.format {
                Format::Classic { is_big, interface } => self.packet(is_big, interface)?,
                Format::Blocks { is_big, .. } => self.block(is_big)?,
            };
            match next {
                Next::More => {}
                Next::End => self.finish(None),
                Next::EndWith(notice) => self.finish(Some(notice)),
            }
        }
    }

    /// The end, and why unless the file just ends.
    fn finish(&mut self, notice: Option<Notice>) {
        self.is_over = true;
        let at = self.moment(self.last_ns);
        let steps = &mut self.steps;
        self.reassembly.finish(at, &mut |entry| steps.push_back(Step::Entry(entry)));
        let mut told: Vec<Notice> = notice.into_iter().collect();
        let missing = self.reassembly.missing();
        told.extend((missing > 0).then_some(Notice::Missing { bytes: missing }));
        told.extend(self.reassembly.notices().into_iter().map(Notice::Capture));
        let fragments = self.fragments.lost() + self.cut_fragments;
        if fragments > 0 {
            let text = format!(
                "{fragments} fragments of IP packets were not joined: others are missing, or they do not \
                 fit together"
            );
            told.push(Notice::Capture(text));
        }
        if self.others > 0 {
            let text =
                format!("{} packets of unknown or broken layers were passed over", self.others);
            told.push(Notice::Capture(text));
        }
        self.steps.extend(told.into_iter().map(Step::Notice));
    }

    fn moment(&self, ns: u64) -> Moment {
        let since = ns.saturating_sub(self.first_ns.unwrap_or(ns));
        Moment { monotonic_ns: since, wall_ns: ns }
    }

    /// A packet of classic pcap.
    fn packet(&mut self, is_big: bool, interface: Interface) -> io::Result<Next> {
        let offset = self.offset;
        let mut header = [0; 16];
        let count = read_up_to(&mut self.input, &mut header)?;
        if count == 0 {
            return Ok(Next::End);
        }
        if count < header.len() {
            return Ok(Next::EndWith(Notice::Cut { offset }));
        }
        let field = |at| u32_at(&header, at, is_big).unwrap_or_default();
        let (seconds, units, length) = (field(0), field(4), field(8) as usize);
        if length > CAPTURE_PACKET_BYTES_MAX {
            let why = "a packet that is longer than any may be";
            return Ok(Next::EndWith(Notice::Unreadable { offset, why }));
        }
        let mut packet = vec![0; length];
        let count = read_up_to(&mut self.input, &mut packet)?;
        self.offset += 16 + count as u64;
        let nanos = u64::from(units).saturating_mul(1_000_000_000 / interface.units_per_s);
        let ns = u64::from(seconds).saturating_mul(1_000_000_000).saturating_add(nanos);
        if count < length {
            return Ok(Next::EndWith(Notice::Cut { offset }));
        }
        self.frame(interface.link, &packet, ns);
        Ok(Next::More)
    }

    /// A block of pcapng.
    fn block(&mut self, is_big: bool) -> io::Result<Next> {
        let offset = self.offset;
        let mut header = [0; 8];
        let count = read_up_to(&mut self.input, &mut header)?;
        if count == 0 {
            return Ok(Next::End);
        }
        if count < header.len() {
            return Ok(Next::EndWith(Notice::Cut { offset }));
        }
        let kind = u32_at(&header, 0, is_big).unwrap_or_default();
        if kind == SECTION {
            return self.section(offset, header);
        }
        let length = u32_at(&header, 4, is_big).unwrap_or_default() as usize;
        if !(12..=CAPTURE_BLOCK_BYTES_MAX).contains(&length) || length % 4 != 0 {
            let why = "a block whose length none may have";
            return Ok(Next::EndWith(Notice::Unreadable { offset, why }));
        }
        let mut body = vec![0; length - 8];
        let count = read_up_to(&mut self.input, &mut body)?;
        self.offset += 8 + count as u64;
        if count < body.len() {
            return Ok(Next::EndWith(Notice::Cut { offset }));
        }
        // The length stands behind it again.
        body.truncate(body.len().saturating_sub(4));
        let Format::Blocks { interfaces, .. } = &mut self.format else { return Ok(Next::More) };
        match kind {
            1 if interfaces.len() < CAPTURE_INTERFACES_MAX => {
                interfaces.push(interface_of(&body, is_big));
            }
            // Enhanced, and the packet block that came before it.
            2 | 6 => {
                let number = if kind == 6 {
                    u32_at(&body, 0, is_big)
                } else {
                    u16_at(&body, 0, is_big).map(u32::from)
                };
                let number = number.unwrap_or(u32::MAX) as usize;
                let interface = interfaces.get(number).copied();
                let high = u32_at(&body, 4, is_big).unwrap_or_default();
                let low = u32_at(&body, 8, is_big).unwrap_or_default();
                let length = u32_at(&body, 12, is_big).unwrap_or_default() as usize;
                let packet = body.get(20..).and_then(|rest| rest.get(..length));
                if let (Some(interface), Some(packet)) = (interface, packet) {
                    let units = u64::from(high) << 32 | u64::from(low);
                    self.frame(interface.link, packet, interface.ns(units));
                } else {
                    self.others += 1;
                }
            }
            3 => {
                let interface = interfaces.first().copied();
                let length = u32_at(&body, 0, is_big).unwrap_or_default() as usize;
                let packet = body.get(4..).map(|rest| rest.get(..length).unwrap_or(rest));
                if let (Some(interface), Some(packet)) = (interface, packet) {
                    let ns = self.last_ns;
                    self.frame(interface.link, packet, ns);
                }
            }
            _ => {}
        }
        Ok(Next::More)
    }

    /// The head of a further section: files may stand behind one another, each with a byte order and
    /// interfaces of its own.
    fn section(&mut self, offset: u64, header: [u8; 8]) -> io::Result<Next> {
        let mut magic = [0; 4];
        if read_up_to(&mut self.input, &mut magic)? < magic.len() {
            return Ok(Next::EndWith(Notice::Cut { offset }));
        }
        let is_big = match u32::from_be_bytes(magic) {
            BYTE_ORDER => true,
            order if order.swap_bytes() == BYTE_ORDER => false,
            _ => {
                let why = "a section whose byte order is none";
                return Ok(Next::EndWith(Notice::Unreadable { offset, why }));
            }
        };
        let length = u32_at(&header, 4, is_big).unwrap_or_default() as usize;
        if !(28..=CAPTURE_BLOCK_BYTES_MAX).contains(&length) || length % 4 != 0 {
            let why = "a block whose length none may have";
            return Ok(Next::EndWith(Notice::Unreadable { offset, why }));
        }
        let mut rest = vec![0; length - 12];
        let count = read_up_to(&mut self.input, &mut rest)?;
        self.offset += 12 + count as u64;
        if count < rest.len() {
            return Ok(Next::EndWith(Notice::Cut { offset }));
        }
        self.format = Format::Blocks { is_big, interfaces: Vec::new() };
        Ok(Next::More)
    }

    /// A link layer frame.
    fn frame(&mut self, link: u32, frame: &[u8], ns: u64) {
        // Clocks of captures go back now and then; entries do not.
        self.last_ns = self.last_ns.max(ns);
        self.first_ns.get_or_insert(self.last_ns);
        let at = self.moment(self.last_ns);
        match ip_of(link, frame).map_or(Layer::Other, segment_of) {
            Layer::Segment(segment) => self.segment(&segment, at),
            Layer::Fragment(fragment) => {
                let Some(payload) = self.fragments.take(&fragment, at.wall_ns) else { return };
                let Key { from, to, protocol, .. } = fragment.key;
                match upper(from, to, protocol, &payload) {
                    Layer::Segment(segment) => self.segment(&segment, at),
                    Layer::Foreign => {}
                    _ => self.others += 1,
                }
            }
            Layer::CutFragment => self.cut_fragments += 1,
            Layer::Foreign => {}
            Layer::Other => self.others += 1,
        }
    }
}

impl<R> Capture<R> {
    fn segment(&mut self, segment: &Segment<'_>, at: Moment) {
        let steps = &mut self.steps;
        self.reassembly.take(segment, at, &mut |entry| steps.push_back(Step::Entry(entry)));
    }
}

impl Interface {
    fn ns(self, units: u64) -> u64 {
        let ns = u128::from(units) * 1_000_000_000 / u128::from(self.units_per_s.max(1));
        let ns = ns + u128::from(self.offset_s) * 1_000_000_000;
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// An interface description block.
fn interface_of(body: &[u8], is_big: bool) -> Interface {
    let link = u32::from(u16_at(body, 0, is_big).unwrap_or_default());
    let mut interface = Interface { link, units_per_s: 1_000_000, offset_s: 0 };
    let mut at = 8;
    while let (Some(code), Some(length)) = (u16_at(body, at, is_big), u16_at(body, at + 2, is_big))
    {
        let value = at + 4;
        match code {
            0 => break,
            // if_tsresol: a power of 10, or of 2 with the highest bit.
            9 => {
                let power = body.get(value).copied().unwrap_or(6);
                let exponent = u32::from(power & 0x7F);
                let base: u64 = if power & 0x80 == 0 { 10 } else { 2 };
                interface.units_per_s = base.checked_pow(exponent).unwrap_or(1_000_000);
            }
            14 => {
                let parts = (u32_at(body, value, is_big), u32_at(body, value + 4, is_big));
                let (high, low) = if is_big { parts } else { (parts.1, parts.0) };
                let high = u64::from(high.unwrap_or_default());
                interface.offset_s = high << 32 | u64::from(low.unwrap_or_default());
            }
            _ => {}
        }
        at = value + usize::from(length).next_multiple_of(4);
    }
    interface
}

/// The IP packet of a frame; `None` for a frame that is cut or of no known link.
fn ip_of(link: u32, frame: &[u8]) -> Option<&[u8]> {
    match link {
        // Family first, in the byte order of who captured; the packet itself says its version.
        0 | 108 => frame.get(4..),
        1 => untagged(frame, 12, 14),
        12 | 14 | 101 | 228 | 229 => Some(frame),
        113 => untagged(frame, 14, 16),
        276 => untagged(frame, 0, 20),
        _ => None,
    }
}

/// What stands behind the link's header, whose protocol stands at `kind`, and the tags of IEEE 802.1Q
/// and 802.1ad, as many as there are.
fn untagged(frame: &[u8], mut kind: usize, mut at: usize) -> Option<&[u8]> {
    while matches!(u16_at(frame, kind, true)?, 0x8100 | 0x88A8 | 0x9100) {
        kind = at + 2;
        at += 4;
    }
    frame.get(at..)
}

enum Layer<'a> {
    Segment(Segment<'a>),
    /// A part of an IP packet.
    Fragment(Fragment<'a>),
    /// Not even all of that.
    CutFragment,
    /// Not TCP.
    Foreign,
    /// Not IP, or broken.
    Other,
}

/// The TCP segment of an IP packet.
fn segment_of(packet: &[u8]) -> Layer<'_> {
    let parsed = match packet.first().map(|byte| byte >> 4) {
        Some(4) => ipv4(packet),
        Some(6) => ipv6(packet),
        _ => return Layer::Foreign,
    };
    parsed.unwrap_or(Layer::Other)
}

fn ipv4(packet: &[u8]) -> Option<Layer<'_>> {
    let header = usize::from(packet.first()? & 0xF) * 4;
    let total = usize::from(u16_at(packet, 2, true)?);
    let identification = u32::from(u16_at(packet, 4, true)?);
    let fragment = u16_at(packet, 6, true)?;
    let protocol = *packet.get(9)?;
    let from = IpAddr::from(*packet.get(12..)?.first_chunk::<4>()?);
    let to = IpAddr::from(*packet.get(16..)?.first_chunk::<4>()?);
    if protocol != TCP {
        return Some(Layer::Foreign);
    }
    // 0 where the network card cuts packets; padding of short frames is no payload.
    let end = if total == 0 { packet.len() } else { total.min(packet.len()) };
    if header < 20 {
        return None;
    }
    let bytes = packet.get(header..end)?;
    let (offset, has_more) = (usize::from(fragment & 0x1FFF) * 8, fragment & 0x2000 != 0);
    if offset == 0 && !has_more {
        return Some(upper(from, to, protocol, bytes));
    }
    if total > packet.len() {
        return Some(Layer::CutFragment);
    }
    let key = Key { from, to, identification, protocol };
    Some(Layer::Fragment(Fragment { key, offset, has_more, bytes }))
}

fn ipv6(packet: &[u8]) -> Option<Layer<'_>> {
    let length = usize::from(u16_at(packet, 4, true)?);
    let next = *packet.get(6)?;
    let from = IpAddr::from(*packet.get(8..)?.first_chunk::<16>()?);
    let to = IpAddr::from(*packet.get(24..)?.first_chunk::<16>()?);
    let end = if length == 0 { packet.len() } else { (40 + length).min(packet.len()) };
    let layer = upper(from, to, next, packet.get(40..end)?);
    let is_cut = 40 + length > packet.len() && matches!(layer, Layer::Fragment(_));
    Some(if is_cut { Layer::CutFragment } else { layer })
}

/// Protocol numbers.
const TCP: u8 = 6;
const FRAGMENT: u8 = 44;

/// What is in a payload, behind the extension headers of IPv6 (RFC 8200 §4).
fn upper(from: IpAddr, to: IpAddr, mut next: u8, mut bytes: &[u8]) -> Layer<'_> {
    // Each extension header has eight bytes at least, so this ends.
    loop {
        let Some(header) = bytes.first_chunk::<8>().filter(|_| next != TCP) else {
            return match next {
                TCP => tcp(from, to, bytes).map_or(Layer::Other, Layer::Segment),
                0 | 43 | 60 | FRAGMENT => Layer::Other,
                _ => Layer::Foreign,
            };
        };
        let [after, length, high, low, a, b, c, d] = *header;
        let skipped = match next {
            0 | 43 | 60 => 8 + usize::from(length) * 8,
            FRAGMENT => 8,
            _ => return Layer::Foreign,
        };
        bytes = bytes.get(skipped..).unwrap_or_default();
        let place = u16::from_be_bytes([high, low]);
        // One that is alone is whole (RFC 6946).
        if next == FRAGMENT && place & 0xFFF9 != 0 {
            let identification = u32::from_be_bytes([a, b, c, d]);
            if !matches!(after, TCP | 0 | 43 | 60) {
                return Layer::Foreign;
            }
            let key = Key { from, to, identification, protocol: after };
            let (offset, has_more) = (usize::from(place & 0xFFF8), place & 1 != 0);
            return Layer::Fragment(Fragment { key, offset, has_more, bytes });
        }
        next = after;
    }
}

fn tcp(from: IpAddr, to: IpAddr, bytes: &[u8]) -> Option<Segment<'_>> {
    let (source, target) = (u16_at(bytes, 0, true)?, u16_at(bytes, 2, true)?);
    let (sequence, acknowledged) = (u32_at(bytes, 4, true)?, u32_at(bytes, 8, true)?);
    let header = usize::from(*bytes.get(12)? >> 4) * 4;
    let flags = *bytes.get(13)?;
    if header < 20 {
        return None;
    }
    Some(Segment {
        from: SocketAddr::new(from, source),
        to: SocketAddr::new(to, target),
        sequence,
        is_syn: flags & 2 != 0,
        is_fin: flags & 1 != 0,
        is_rst: flags & 4 != 0,
        acknowledged: (flags & 16 != 0).then_some(acknowledged),
        bytes: bytes.get(header..)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Side, What};
    use super::*;
    use proptest::prelude::*;

    const RQ: &[u8] = b"\x01\0\0\0\0\x44\0\x01\0\0";
    const A: u16 = 40_000;
    const B: u16 = 104;

    fn segment(from: u16, to: u16, sequence: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(from.to_be_bytes());
        tcp.extend(to.to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend([0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        tcp.extend(bytes);
        tcp
    }

    /// Each port has a host of its own.
    fn ends(tcp: &[u8]) -> (u8, u8) {
        if tcp.starts_with(&B.to_be_bytes()) { (2, 1) } else { (1, 2) }
    }

    fn over_ipv4(tcp: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0];
        packet.extend((20 + tcp.len() as u16).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
        let (from, to) = ends(tcp);
        packet.extend([10, 0, 0, from, 10, 0, 0, to]);
        packet.extend(tcp);
        packet
    }

    fn over_ipv6(tcp: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((8 + tcp.len() as u16).to_be_bytes());
        packet.extend([60, 64]);
        let (from, to) = ends(tcp);
        packet.extend([from; 16]);
        packet.extend([to; 16]);
        // A destination options header before TCP.
        packet.extend([6, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend(tcp);
        packet
    }

    fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
        let mut out = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0".to_vec();
        out.extend(link.to_le_bytes());
        for (index, frame) in (0_u32..).zip(frames) {
            out.extend(1_700_000_000_u32.to_le_bytes());
            out.extend(index.to_le_bytes());
            out.extend((frame.len() as u32).to_le_bytes());
            out.extend((frame.len() as u32).to_le_bytes());
            out.extend(frame);
        }
        out
    }

    fn pcapng(link: u16, frames: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut block = |kind: u32, body: &[u8]| {
            let padding = body.len().next_multiple_of(4) - body.len();
            let length = (12 + body.len() + padding) as u32;
            out.extend(kind.to_le_bytes());
            out.extend(length.to_le_bytes());
            out.extend(body);
            out.extend(vec![0; padding]);
            out.extend(length.to_le_bytes());
        };
        let mut section = BYTE_ORDER.to_le_bytes().to_vec();
        section.extend([1, 0, 0, 0]);
        section.extend([0xFF; 8]);
        block(SECTION, &section);
        let mut interface = link.to_le_bytes().to_vec();
        interface.extend([0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        block(1, &interface);
        for (index, frame) in (0_u64..).zip(frames) {
            let ns = 1_700_000_000_000_000_000_u64 + index;
            let mut body = 0_u32.to_le_bytes().to_vec();
            body.extend(((ns >> 32) as u32).to_le_bytes());
            body.extend((ns as u32).to_le_bytes());
            body.extend((frame.len() as u32).to_le_bytes());
            body.extend((frame.len() as u32).to_le_bytes());
            body.extend(frame);
            block(6, &body);
        }
        out
    }

    fn read(bytes: &[u8]) -> (Vec<Entry>, Vec<Notice>) {
        let mut capture = Capture::new(bytes).unwrap().unwrap();
        let (mut entries, mut notices) = (Vec::new(), Vec::new());
        for _ in 0..10 * bytes.len() + 10 {
            match capture.step().unwrap() {
                Step::Entry(entry) => entries.push(entry),
                Step::Notice(notice) => notices.push(notice),
                Step::End => return (entries, notices),
            }
        }
        panic!("no end");
    }

    fn bytes_of(entries: &[Entry], side: Side) -> Vec<u8> {
        let mut all = Vec::new();
        for entry in entries {
            match &entry.what {
                What::Bytes(from, bytes) if *from == side => all.extend(bytes),
                What::Missing(from, count) if *from == side => {
                    all.extend(vec![b'?'; *count as usize]);
                }
                _ => {}
            }
        }
        all
    }

    type Wrap<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

    /// Each link type and IP version, in both formats, means the same.
    #[test]
    fn links_and_formats() {
        let ethernet = |ip: &[u8], kind: &[u8]| {
            let vlan = [&[0; 12][..], &[0x81, 0, 0, 5], kind, ip];
            vlan.concat()
        };
        let wraps: [(u32, Wrap<'_>); 9] = [
            (101, &over_ipv4),
            (101, &over_ipv6),
            (228, &over_ipv4),
            (229, &over_ipv6),
            (1, &|tcp| ethernet(&over_ipv4(tcp), &[8, 0])),
            (0, &|tcp| [&[2, 0, 0, 0][..], &over_ipv4(tcp)].concat()),
            (108, &|tcp| [&[0, 0, 0, 30][..], &over_ipv6(tcp)].concat()),
            (113, &|tcp| [&[0; 16][..], &over_ipv4(tcp)].concat()),
            (276, &|tcp| [&[0; 20][..], &over_ipv6(tcp)].concat()),
        ];
        for (link, wrap) in wraps {
            let frames = talk(wrap);
            for file in [pcap(link, &frames), pcapng(link as u16, &frames)] {
                let (entries, notices) = read(&file);
                assert_eq!(notices, [], "{link}");
                assert_eq!(bytes_of(&entries, Side::Requestor), RQ);
                assert_eq!(bytes_of(&entries, Side::Acceptor), b"answer");
                assert!(
                    matches!(&entries[0].what, What::Opened { requestor, .. }
                    if requestor.ends_with(":40000")),
                    "{:?}",
                    entries[0]
                );
                assert!(matches!(entries.last().unwrap().what, What::Over(..)), "{entries:?}");
                assert_eq!(entries[0].at.wall_ns / 1_000_000_000, 1_700_000_000);
            }
        }
    }

    /// A conversation of six packets.
    fn talk(wrap: Wrap<'_>) -> Vec<Vec<u8>> {
        vec![
            wrap(&segment(A, B, 99, 2, b"")),
            wrap(&segment(B, A, 500, 0x12, b"")),
            wrap(&segment(A, B, 100, 0x10, RQ)),
            wrap(&segment(B, A, 501, 0x10, b"answer")),
            wrap(&segment(A, B, 110, 0x11, b"")),
            wrap(&segment(B, A, 507, 0x11, b"")),
        ]
    }

    fn is_talk(file: &[u8]) {
        let (entries, notices) = read(file);
        assert_eq!(notices, []);
        assert_eq!(bytes_of(&entries, Side::Requestor), RQ);
        assert_eq!(bytes_of(&entries, Side::Acceptor), b"answer");
        assert!(matches!(entries.last().unwrap().what, What::Over(..)), "{entries:?}");
    }

    /// Tags of VLANs, one or two, behind every link that may have them.
    #[test]
    fn tagged_frames() {
        let tags: [&[u8]; 3] =
            [&[8, 0], &[0x81, 0, 0, 5, 8, 0], &[0x88, 0xA8, 0, 7, 0x81, 0, 0, 5, 8, 0]];
        for tag in tags {
            let (kind, rest) = tag.split_at(2);
            is_talk(&pcap(1, &talk(&|tcp| [&[0; 12][..], tag, &over_ipv4(tcp)].concat())));
            is_talk(&pcap(113, &talk(&|tcp| [&[0; 14][..], tag, &over_ipv4(tcp)].concat())));
            let cooked = |tcp: &[u8]| [kind, &[0; 18][..], rest, &over_ipv4(tcp)].concat();
            is_talk(&pcapng(276, &talk(&cooked)));
        }
    }

    /// Classic files in both byte orders, with micro- and nanoseconds, mean the same times.
    #[test]
    fn byte_orders_and_clocks() {
        let frames = talk(&over_ipv4);
        for (magic, is_nano) in [(0xA1B2_C3D4_u32, false), (0xA1B2_3C4D, true)] {
            for is_big in [false, true] {
                let number =
                    |n: u32| if is_big { n.to_be_bytes() } else { n.to_le_bytes() }.to_vec();
                let version = if is_big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
                let mut file =
                    [number(magic), version.to_vec(), vec![0; 8], number(65535)].concat();
                // The upper bits of the link type say something about checksums.
                file.extend(number(0x2400_0065));
                for frame in &frames {
                    file.extend(number(1_700_000_000));
                    file.extend(number(if is_nano { 7_000 } else { 7 }));
                    file.extend(number(frame.len() as u32));
                    file.extend(number(frame.len() as u32));
                    file.extend(frame);
                }
                is_talk(&file);
                assert_eq!(read(&file).0[0].at.wall_ns, 1_700_000_000_000_007_000);
            }
        }
    }

    /// pcapng in big endian, several files behind one another, and packet blocks of the old kind.
    #[test]
    fn sections_and_old_blocks() {
        let mut big = Vec::new();
        let mut block = |kind: u32, body: &[u8]| {
            let padding = body.len().next_multiple_of(4) - body.len();
            let length = ((12 + body.len() + padding) as u32).to_be_bytes();
            let parts = [&kind.to_be_bytes()[..], &length, body, &vec![0; padding], &length];
            big.extend(parts.concat());
        };
        let section = [&BYTE_ORDER.to_be_bytes()[..], &[0, 1, 0, 0], &[0xFF; 8]].concat();
        block(SECTION, &section);
        block(1, &[0, 101, 0, 0, 0, 0, 0, 0]);
        for frame in talk(&over_ipv6) {
            let length = (frame.len() as u32).to_be_bytes();
            let head = [&[0; 4][..], &[0, 6, 10, 0, 0, 0, 0, 0], &length, &length].concat();
            block(2, &[&head[..], &frame].concat());
        }
        is_talk(&big);
        // Four conversations: the byte order and the interfaces are each section's own.
        let little = pcapng(101, &talk(&over_ipv4));
        let (entries, notices) = read(&[&little[..], &big, &little, &big].concat());
        assert_eq!(notices, []);
        assert_eq!(entries.iter().map(|entry| entry.connection).max(), Some(4));
        assert_eq!(bytes_of(&entries, Side::Acceptor), b"answer".repeat(4));
        for cut in [little.len() + 3, little.len() + 10, little.len() + 20] {
            let (_, notices) = read(&[&little[..], &big].concat()[..cut]);
            assert_eq!(notices, [Notice::Cut { offset: little.len() as u64 }], "{cut}");
        }
        let mut wrong = [&little[..], &big].concat();
        wrong[little.len() + 8] ^= 1;
        assert!(read(&wrong).1[0].is_damage());
    }

    /// An IP packet in fragments of so many bytes.
    fn in_fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
        let is_ipv6 = packet[0] >> 4 == 6;
        let (head, payload) = packet.split_at(if is_ipv6 { 40 } else { 20 });
        let count = payload.len().div_ceil(size);
        let fragment = |(number, part): (usize, &[u8])| {
            let place = (number * size) as u16;
            let has_more = number + 1 < count;
            let mut head = head.to_vec();
            if is_ipv6 {
                let extension = [head[6], 0, 0, 0, 1, 2, 3, 4];
                head[6] = FRAGMENT;
                head[4..6].copy_from_slice(&(8 + part.len() as u16).to_be_bytes());
                head.extend(extension);
                head[42..44].copy_from_slice(&(place | u16::from(has_more)).to_be_bytes());
            } else {
                head[2..4].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
                let place = (place / 8) | (u16::from(has_more) << 13);
                head[6..8].copy_from_slice(&place.to_be_bytes());
            }
            [&head[..], part].concat()
        };
        payload.chunks(size).enumerate().map(fragment).collect()
    }

    /// Fragments of both versions, in any order, are the packet that they were; what is missing is told.
    #[test]
    fn fragments_are_joined() {
        for over in [&over_ipv4 as Wrap<'_>, &over_ipv6] {
            let long: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
            let request = [RQ, &long].concat();
            let mut pieces = in_fragments(&over(&segment(A, B, 100, 0x10, &request)), 1480);
            assert_eq!(pieces.len(), 4);
            let begin = [over(&segment(A, B, 99, 2, b"")), over(&segment(B, A, 500, 0x12, b""))];
            for _ in 0..4 {
                pieces.rotate_left(1);
                let (entries, notices) = read(&pcap(101, &[&begin[..], &pieces].concat()));
                assert_eq!(
                    (bytes_of(&entries, Side::Requestor), notices),
                    (request.clone(), vec![])
                );
            }
            let without = [&begin[..], &pieces[1..]].concat();
            let (entries, notices) = read(&pcap(101, &without));
            assert_eq!(bytes_of(&entries, Side::Requestor), b"");
            assert!(
                notices[0].to_string().starts_with("3 fragments of IP packets were not joined")
            );
            // Cut by whoever captured.
            let mut cut = pieces.clone();
            cut[2].truncate(100);
            let (_, notices) = read(&pcap(101, &[&begin[..], &cut].concat()));
            assert!(notices[0].to_string().starts_with("4 fragments"), "{notices:?}");
        }
    }

    /// Of segments that overlap with other bytes the first ones count, however they come.
    #[test]
    fn contradicting_segments() {
        let part = |at: u32, bytes: &[u8]| over_ipv4(&segment(A, B, 1 + at, 0x10, bytes));
        let frames = [
            part(0, RQ),
            part(20, b"first"),
            part(20, b"XXXXX!"),
            part(4, b"YYYYYY0123456789"),
            part(0, b"ZZZZ"),
        ];
        let (entries, notices) = read(&pcap(101, &frames));
        let expected = [RQ, b"0123456789first!"].concat();
        assert_eq!((bytes_of(&entries, Side::Requestor), notices), (expected, vec![]));
    }

    /// Out of order, sent again, overlapping, across the end of the sequence numbers: the same bytes.
    #[test]
    fn order_is_restored() {
        let text: Vec<u8> = RQ.iter().copied().chain(b'a'..=b'z').collect();
        let start = u32::MAX - 8;
        let part = |from: usize, to: usize| {
            let sequence = start.wrapping_add(1 + from as u32);
            over_ipv4(&segment(A, B, sequence, 0x10, &text[from..to]))
        };
        let syn = over_ipv4(&segment(A, B, start, 2, b""));
        let frames = [
            syn.clone(),
            syn,
            part(20, 30),
            part(0, 10),
            part(5, 12),
            part(30, 36),
            part(10, 25),
            part(0, 36),
        ];
        let (entries, notices) = read(&pcap(101, &frames));
        assert_eq!((bytes_of(&entries, Side::Requestor), notices), (text.clone(), Vec::new()));
        // What was never captured is told.
        let frames = [part(0, 10), part(20, 36)];
        let (entries, _) = read(&pcap(101, &frames));
        let all = bytes_of(&entries, Side::Requestor);
        assert_eq!(all, [&text[..10], b"??????????", &text[20..]].concat());
    }

    /// What is no association is counted, not shown.
    #[test]
    fn other_connections() {
        let one = |port, bytes: &[u8]| over_ipv4(&segment(port, B, 1, 0x10, bytes));
        let frames =
            [one(1, b"GET / HTTP/1.1\r\n"), one(2, b"\x16\x03\x01\x02\0abcde"), one(3, RQ)];
        let (entries, notices) = read(&pcap(101, &frames));
        assert_eq!(bytes_of(&entries, Side::Requestor), RQ);
        let told: Vec<String> = notices.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|text| text.contains("1 of them TLS")), "{told:?}");
    }

    /// limits::CAPTURE_PACKET_BYTES_MAX, CAPTURE_BLOCK_BYTES_MAX and CAPTURE_INTERFACES_MAX.
    #[test]
    fn edges_of_lengths() {
        let whole = vec![0x45; CAPTURE_PACKET_BYTES_MAX];
        let (_, notices) = read(&pcap(101, std::slice::from_ref(&whole)));
        assert!(notices.iter().all(|notice| !notice.is_damage()), "{notices:?}");
        let mut longer = pcap(101, &[[whole, vec![0]].concat()]);
        let (_, notices) = read(&longer);
        assert!(notices[0].is_damage());
        longer.truncate(24 + 16);
        longer[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&longer).1[0].is_damage());
        let mut blocks = pcapng(101, &[]);
        let block = |length: usize| {
            let mut block = 77_u32.to_le_bytes().to_vec();
            block.extend((length as u32).to_le_bytes());
            block.resize(length, 0);
            block
        };
        blocks.extend(block(CAPTURE_BLOCK_BYTES_MAX));
        assert_eq!(read(&blocks).1, []);
        blocks.extend(block(CAPTURE_BLOCK_BYTES_MAX + 4));
        assert!(read(&blocks).1[0].is_damage());
        let mut many = pcapng(101, &[]);
        let interface = many[28..].to_vec();
        for _ in 1..=CAPTURE_INTERFACES_MAX {
            many.extend(&interface);
        }
        let capture = {
            let mut capture = Capture::new(&many[..]).unwrap().unwrap();
            while capture.step().unwrap() != Step::End {}
            capture
        };
        let Format::Blocks { interfaces, .. } = capture.format else { panic!("no blocks") };
        assert_eq!(interfaces.len(), CAPTURE_INTERFACES_MAX);
    }

    proptest! {
        /// Lying lengths and random bytes are never a panic or a loop; a cut file is told.
        #[test]
        fn random_changes(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            end in any::<prop::sample::Index>(),
            is_new in any::<bool>(),
        ) {
            let frames = [
                over_ipv4(&segment(A, B, 1, 2, b"")),
                over_ipv4(&segment(A, B, 2, 0x10, RQ)),
                over_ipv6(&segment(B, A, 2, 0x18, b"answer")),
                over_ipv4(&segment(A, B, 40, 0x11, b"later")),
            ];
            let mut file = if is_new { pcapng(101, &frames) } else { pcap(101, &frames) };
            let length = file.len();
            for (at, byte) in changes {
                file[at.index(length)] = byte;
            }
            file.truncate(end.index(length + 1));
            if let Ok(Ok(mut capture)) = Capture::new(&file[..]) {
                let mut steps = 0;
                while capture.step().unwrap() != Step::End {
                    steps += 1;
                    prop_assert!(steps < 1000);
                }
            }
        }
    }
}
