//! The bytes of a connection as PDUs, PDVs, commands and data sets.
//!
//! Source: PS3.8 §9.3 (PDUs), Annex E (PDVs), PS3.7 §6.3 (messages). [`Framer`] finds where each byte
//! of one side belongs and holds no more than one PDU that is not P-DATA-TF; [`Conversation`] joins
//! both sides and knows what was negotiated. Unlike `ul::provider` it judges nothing: a recording
//! shows what peers did, right or wrong. What cannot be read is handed out as such, and reading goes
//! on where the protocol allows that. Called by `recording::{show, replay, treat}`.

use std::collections::BTreeMap;

use super::{Side, What};
use crate::dataset::transfer_syntax::{IMPLICIT_VR_LITTLE_ENDIAN, TransferSyntax};
use crate::dimse::command_set::CommandSet;
use crate::limits::COMMAND_SET_BYTES_MAX;
use crate::uid::Uid;
use crate::ul::pdu::{
    AssociateAc, AssociateRq, PDU_HEADER_BYTES, PduType, PresentationResult, UidItem,
};
use crate::ul::pdu_codec::{
    DecodeError, PduHeader, decode_associate_ac, decode_associate_rq, decode_header,
};
use crate::ul::pdv::PDV_HEADER_BYTES;

/// A PDV without its fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PdvHeader {
    /// Item length: the fragment and two bytes.
    pub item_length: u32,
    /// Presentation context ID.
    pub context_id: u8,
    /// Message control header.
    pub control: u8,
}

impl PdvHeader {
    /// A command fragment; else one of a data set.
    pub const fn is_command(self) -> bool {
        self.control & 1 != 0
    }

    /// The last one of its command or data set.
    pub const fn is_last(self) -> bool {
        self.control & 2 != 0
    }

    /// Bytes of the fragment.
    pub const fn fragment_bytes(self) -> u32 {
        self.item_length - 2
    }
}

/// What some bytes of one side are. All of them together, with what a part calls `raw`, are the bytes
/// that came, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A whole PDU other than P-DATA-TF.
    Pdu {
        /// Type and length.
        header: PduHeader,
        /// With its header.
        raw: &'a [u8],
    },
    /// The header of a P-DATA-TF.
    Data {
        /// Type and length.
        header: PduHeader,
        /// The six bytes.
        raw: [u8; PDU_HEADER_BYTES],
    },
    /// The header of a PDV.
    Pdv {
        /// Its fields.
        header: PdvHeader,
        /// The six bytes.
        raw: [u8; PDV_HEADER_BYTES],
    },
    /// Bytes of the PDV's fragment.
    Fragment {
        /// These.
        raw: &'a [u8],
        /// The fragment ends with them.
        is_end: bool,
    },
    /// So many bytes of the PDV's fragment are not there.
    Gap {
        /// This many.
        bytes: u64,
        /// They were left out on purpose.
        is_left_out: bool,
        /// The fragment ends with them.
        is_end: bool,
    },
    /// Bytes that are no PDU, or no PDV.
    Unreadable {
        /// These.
        raw: &'a [u8],
        /// Why, with the first of them.
        why: Option<String>,
    },
    /// So many bytes are not there, where a PDU cannot do without.
    Lost {
        /// This many.
        bytes: u64,
    },
}

/// Where the next byte belongs.
#[derive(Clone, Copy, Debug)]
enum Place {
    Header,
    Body(PduHeader),
    PdvHeader {
        pdu_left: u32,
    },
    Fragment {
        left: u32,
        pdu_left: u32,
    },
    /// The rest of a P-DATA-TF in which no PDV can be found.
    Unreadable {
        left: u32,
    },
    /// No PDU can be found any more.
    Nowhere,
}

/// Finds the parts of one side's bytes.
#[derive(Debug)]
pub struct Framer {
    place: Place,
    /// What of a header or body is there.
    held: Vec<u8>,
}

impl Default for Framer {
    fn default() -> Self {
        Self { place: Place::Header, held: Vec::new() }
    }
}

impl Framer {
    /// Bytes of a header or PDU that is not complete.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// True where a PDU ended, or none began.
    pub fn is_between_pdus(&self) -> bool {
        matches!(self.place, Place::Header) && self.held.is_empty()
    }

    /// True when bytes are no longer understood.
    pub const fn is_lost(&self) -> bool {
        matches!(self.place, Place::Nowhere)
    }

    /// Takes the next bytes.
    pub fn take<'a>(&'a mut self, mut bytes: &'a [u8], emit: &mut dyn FnMut(Part<'_>)) {
        while !bytes.is_empty() {
            match self.place {
                Place::Header => {
                    if let Some(raw) = self.gather::<PDU_HEADER_BYTES>(&mut bytes) {
                        self.header(raw, emit);
                    }
                }
                Place::Body(header) => {
                    let missing = header.total_bytes().saturating_sub(self.held.len());
                    let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
                    self.held.extend_from_slice(taken);
                    bytes = rest;
                    if self.held.len() == header.total_bytes() {
                        emit(Part::Pdu { header, raw: &self.held });
                        self.between();
                    }
                }
                Place::PdvHeader { pdu_left } => {
                    if (pdu_left as usize) < PDV_HEADER_BYTES && self.held.is_empty() {
                        self.place = Place::Unreadable { left: pdu_left };
                        let why = format!("{pdu_left} bytes left in the PDU are no PDV");
                        emit(Part::Unreadable { raw: &[], why: Some(why) });
                    } else if let Some(raw) = self.gather::<PDV_HEADER_BYTES>(&mut bytes) {
                        self.pdv_header(raw, pdu_left, emit);
                    }
                }
                Place::Fragment { left, pdu_left } => {
                    let (raw, rest) = bytes.split_at(bytes.len().min(left as usize));
                    bytes = rest;
                    // At most `left`.
                    self.advance(left, pdu_left, raw.len() as u32);
                    emit(Part::Fragment { raw, is_end: raw.len() == left as usize });
                }
                Place::Unreadable { left } => {
                    let (raw, rest) = bytes.split_at(bytes.len().min(left as usize));
                    bytes = rest;
                    let left = left - raw.len() as u32;
                    self.place = Place::Unreadable { left };
                    if left == 0 {
                        self.between();
                    }
                    emit(Part::Unreadable { raw, why: None });
                }
                Place::Nowhere => {
                    emit(Part::Unreadable { raw: bytes, why: None });
                    return;
                }
            }
        }
    }

    /// The next `bytes` are not there.
    pub fn skip(&mut self, mut bytes: u64, is_left_out: bool, emit: &mut dyn FnMut(Part<'_>)) {
        while bytes > 0 {
            let Place::Fragment { left, pdu_left } = self.place else {
                self.held.clear();
                self.place = Place::Nowhere;
                emit(Part::Lost { bytes });
                return;
            };
            let count = bytes.min(u64::from(left));
            bytes -= count;
            self.advance(left, pdu_left, count as u32);
            emit(Part::Gap { bytes: count, is_left_out, is_end: count == u64::from(left) });
        }
    }

    /// A header of so many bytes, once all are there.
    fn gather<const COUNT: usize>(&mut self, bytes: &mut &[u8]) -> Option<[u8; COUNT]> {
        let missing = COUNT.saturating_sub(self.held.len());
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.held.extend_from_slice(taken);
        *bytes = rest;
        let whole = self.held.first_chunk::<COUNT>().copied()?;
        self.held.clear();
        Some(whole)
    }

    fn between(&mut self) {
        self.held.clear();
        // An A-ASSOCIATE PDU may have been long; what follows is not held.
        self.held.shrink_to(4096);
        self.place = Place::Header;
    }

    fn header(&mut self, raw: [u8; PDU_HEADER_BYTES], emit: &mut dyn FnMut(Part<'_>)) {
        match decode_header(&raw, u32::MAX) {
            Ok(header) if header.pdu_type == PduType::DataTf => {
                self.place = Place::PdvHeader { pdu_left: header.length };
                emit(Part::Data { header, raw });
            }
            // A-ABORT may have any length; a long one is not held.
            Ok(header) if header.pdu_type == PduType::Abort && header.length > 64 => {
                self.place = Place::Nowhere;
                let why = format!("A-ABORT of length {}", header.length);
                emit(Part::Unreadable { raw: &raw, why: Some(why) });
            }
            Ok(header) if header.length == 0 => {
                emit(Part::Pdu { header, raw: &raw });
                self.between();
            }
            Ok(header) => {
                self.held.extend_from_slice(&raw);
                self.place = Place::Body(header);
            }
            Err(error) => {
                self.place = Place::Nowhere;
                emit(Part::Unreadable { raw: &raw, why: Some(error.to_string()) });
            }
        }
    }

    fn pdv_header(
        &mut self,
        raw: [u8; PDV_HEADER_BYTES],
        pdu_left: u32,
        emit: &mut dyn FnMut(Part<'_>),
    ) {
        let [a, b, c, d, context_id, control] = raw;
        let item_length = u32::from_be_bytes([a, b, c, d]);
        // Six bytes of the PDU were there.
        let after = pdu_left - PDV_HEADER_BYTES as u32;
        if item_length < 2 || item_length - 2 > after {
            let why = format!("PDV of length {item_length} where {} bytes are left", after + 2);
            self.place = Place::Unreadable { left: after };
            if after == 0 {
                self.between();
            }
            emit(Part::Unreadable { raw: &raw, why: Some(why) });
            return;
        }
        let header = PdvHeader { item_length, context_id, control };
        let left = item_length - 2;
        emit(Part::Pdv { header, raw });
        self.place = Place::Fragment { left, pdu_left: after };
        if left == 0 {
            self.advance(0, after, 0);
            emit(Part::Fragment { raw: &[], is_end: true });
        }
    }

    /// `count` bytes of a fragment have passed.
    fn advance(&mut self, left: u32, pdu_left: u32, count: u32) {
        let (left, pdu_left) = (left - count, pdu_left - count);
        self.place = if left > 0 {
            Place::Fragment { left, pdu_left }
        } else if pdu_left > 0 {
            Place::PdvHeader { pdu_left }
        } else {
            Place::Header
        };
    }
}

/// Something that one side did.
#[derive(Debug)]
pub enum Event<'a> {
    /// A-ASSOCIATE-RQ.
    AssociateRq(&'a Result<AssociateRq, DecodeError>, PduHeader),
    /// A-ASSOCIATE-AC.
    AssociateAc(&'a Result<AssociateAc, DecodeError>, PduHeader),
    /// Another whole PDU: A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP, A-ABORT.
    Short(PduHeader, &'a [u8]),
    /// A P-DATA-TF begins.
    Data(PduHeader),
    /// A PDV begins.
    Pdv(PdvHeader),
    /// A command is complete.
    Command {
        /// Its presentation context.
        context_id: u8,
        /// Its bytes; cut at `COMMAND_SET_BYTES_MAX`.
        bytes: &'a [u8],
        /// Bytes of it that are not there.
        missing: u64,
    },
    /// Bytes of a data set.
    DataSet {
        /// Its presentation context.
        context_id: u8,
        /// These; none where some are not there.
        bytes: &'a [u8],
        /// So many are not there.
        missing: u64,
        /// They were left out on purpose.
        is_left_out: bool,
        /// The data set is complete.
        is_last: bool,
    },
    /// Bytes that are no PDU, or no PDV; with the first of them, why.
    Unreadable(&'a [u8], Option<&'a str>),
    /// So many bytes are missing that nothing behind them can be read.
    Lost(u64),
}

/// A presentation context, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Proposed.
    pub abstract_syntax: Option<Uid>,
    /// Accepted.
    pub transfer_syntax: Option<Uid>,
}

#[derive(Debug, Default)]
struct SideState {
    framer: Framer,
    pdv: Option<PdvHeader>,
    command: Vec<u8>,
    command_missing: u64,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Conversation {
    sides: [SideState; 2],
    contexts: BTreeMap<u8, Context>,
}

impl Conversation {
    /// A presentation context by its ID.
    pub fn context(&self, id: u8) -> Context {
        self.contexts.get(&id).copied().unwrap_or_default()
    }

    /// The transfer syntax of a presentation context; Implicit VR Little Endian where none is known.
    pub fn transfer_syntax(&self, id: u8) -> TransferSyntax {
        let uid = self.context(id).transfer_syntax;
        TransferSyntax::of(&uid.unwrap_or_else(|| Uid::known(IMPLICIT_VR_LITTLE_ENDIAN)))
    }

    /// What of a side's last PDU is there, when it is not complete.
    pub fn cut(&self, side: Side) -> Option<&[u8]> {
        let framer = &self.sides[side.index()].framer;
        (!framer.is_between_pdus() && !framer.is_lost()).then(|| framer.held())
    }

    /// Takes what happened; everything but bytes says nothing here.
    pub fn take(&mut self, what: &What, emit: &mut dyn FnMut(&Self, Side, Event<'_>)) {
        let (side, parts) = match what {
            What::Bytes(side, _) | What::LeftOut(side, _) | What::Missing(side, _) => {
                // Taken out, so that each part may look at the other side.
                (*side, std::mem::take(&mut self.sides[side.index()].framer))
            }
            _ => return,
        };
        let mut framer = parts;
        let mut each = |part: Part<'_>| self.part(side, part, emit);
        match what {
            What::Bytes(_, bytes) => framer.take(bytes, &mut each),
            What::LeftOut(_, count) => framer.skip(*count, true, &mut each),
            What::Missing(_, count) => framer.skip(*count, false, &mut each),
            _ => {}
        }
        self.sides[side.index()].framer = framer;
    }

    fn part(&mut self, side: Side, part: Part<'_>, emit: &mut dyn FnMut(&Self, Side, Event<'_>)) {
        match part {
            Part::Pdu { header, raw } => self.pdu(side, header, raw, emit),
            Part::Data { header, .. } => emit(self, side, Event::Data(header)),
            Part::Pdv { header, .. } => {
                self.sides[side.index()].pdv = Some(header);
                emit(self, side, Event::Pdv(header));
            }
            Part::Fragment { raw, is_end } => self.fragment(side, raw, (0, false), is_end, emit),
            Part::Gap { bytes, is_left_out, is_end } => {
                self.fragment(side, &[], (bytes, is_left_out), is_end, emit);
            }
            Part::Unreadable { raw, why } => {
                emit(self, side, Event::Unreadable(raw, why.as_deref()));
            }
            Part::Lost { bytes } => emit(self, side, Event::Lost(bytes)),
        }
    }

    fn pdu(
        &mut self,
        side: Side,
        header: PduHeader,
        raw: &[u8],
        emit: &mut dyn FnMut(&Self, Side, Event<'_>),
    ) {
        let body = raw.get(PDU_HEADER_BYTES..).unwrap_or_default();
        match header.pdu_type {
            PduType::AssociateRq => {
                let request = decode_associate_rq(body);
                if let Ok(request) = &request {
                    self.contexts.clear();
                    for context in &request.contexts {
                        let abstract_syntax = context.abstract_syntax.uid();
                        let known = Context { abstract_syntax, transfer_syntax: None };
                        self.contexts.insert(context.id, known);
                    }
                }
                emit(self, side, Event::AssociateRq(&request, header));
            }
            PduType::AssociateAc => {
                let accept = decode_associate_ac(body);
                if let Ok(accept) = &accept {
                    for result in &accept.contexts {
                        if result.result == PresentationResult::Acceptance {
                            let known = self.contexts.entry(result.id).or_default();
                            known.transfer_syntax = UidItem::uid(&result.transfer_syntax);
                        }
                    }
                }
                emit(self, side, Event::AssociateAc(&accept, header));
            }
            _ => emit(self, side, Event::Short(header, body)),
        }
    }

    fn fragment(
        &mut self,
        side: Side,
        raw: &[u8],
        (missing, is_left_out): (u64, bool),
        is_end: bool,
        emit: &mut dyn FnMut(&Self, Side, Event<'_>),
    ) {
        let state = &mut self.sides[side.index()];
        let Some(pdv) = state.pdv else { return };
        let is_last = is_end && pdv.is_last();
        let context_id = pdv.context_id;
        if !pdv.is_command() {
            let event = Event::DataSet { context_id, bytes: raw, missing, is_left_out, is_last };
            emit(self, side, event);
            return;
        }
        let room = COMMAND_SET_BYTES_MAX.saturating_sub(state.command.len());
        let kept = raw.get(..raw.len().min(room)).unwrap_or_default();
        state.command.extend_from_slice(kept);
        state.command_missing += missing + (raw.len() - kept.len()) as u64;
        if is_last {
            let bytes = std::mem::take(&mut state.command);
            let missing = std::mem::take(&mut state.command_missing);
            emit(self, side, Event::Command { context_id, bytes: &bytes, missing });
        }
    }
}

/// A command set, where the bytes are one.
pub fn command_set(bytes: &[u8], missing: u64) -> Result<CommandSet<'_>, String> {
    if missing > 0 {
        return Err(format!("command set: {missing} bytes are missing"));
    }
    CommandSet::decode(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes of all parts; a gap stands for as many zeros.
    fn joined(chunks: &[&[u8]]) -> (Vec<u8>, Vec<String>) {
        let (mut framer, mut bytes, mut names) = (Framer::default(), Vec::new(), Vec::new());
        for chunk in chunks {
            framer.take(chunk, &mut |part| match part {
                Part::Pdu { raw, header } => {
                    bytes.extend_from_slice(raw);
                    names.push(header.pdu_type.name().to_owned());
                }
                Part::Data { raw, .. } => {
                    bytes.extend_from_slice(&raw);
                    names.push("P-DATA-TF".into());
                }
                Part::Pdv { raw, header } => {
                    bytes.extend_from_slice(&raw);
                    names.push(format!("PDV {}", header.item_length));
                }
                Part::Fragment { raw, is_end } => {
                    bytes.extend_from_slice(raw);
                    if is_end {
                        names.push("end".into());
                    }
                }
                Part::Unreadable { raw, why } => {
                    bytes.extend_from_slice(raw);
                    names.extend(why);
                }
                Part::Gap { .. } | Part::Lost { .. } => panic!("nothing was skipped"),
            });
        }
        bytes.extend_from_slice(framer.held());
        (bytes, names)
    }

    const RELEASE: &[u8] = b"\x05\0\0\0\0\x04\0\0\0\0";
    const DATA: &[u8] = b"\x04\0\0\0\0\x0f\0\0\0\x05\x01\x03abc\0\0\0\x02\x01\x02";

    #[test]
    fn parts_of_pdus() {
        let stream = [RELEASE, DATA, RELEASE].concat();
        let (bytes, names) = joined(&[&stream]);
        assert_eq!(bytes, stream);
        let data = ["P-DATA-TF", "PDV 5", "end", "PDV 2", "end"];
        let want = [&["A-RELEASE-RQ"][..], &data, &["A-RELEASE-RQ"]].concat();
        assert_eq!(names, want);
    }

    /// A PDV that lies costs its PDU, a PDU that lies the rest.
    #[test]
    fn lies() {
        let lying = b"\x04\0\0\0\0\x08\xff\xff\xff\xff\x01\x03ab";
        let stream = [&lying[..], RELEASE].concat();
        let (bytes, names) = joined(&[&stream]);
        assert_eq!((bytes.as_slice(), names.len()), (stream.as_slice(), 3));
        assert_eq!(names.last().map(String::as_str), Some("A-RELEASE-RQ"));
        let unknown = [b"\x09\0\0\0\0\x04abcd", RELEASE].concat();
        let (bytes, names) = joined(&[&unknown]);
        assert_eq!(bytes, unknown);
        assert_eq!(names, ["unknown PDU type 09H"]);
        // 4 GiB are announced, and awaited in no memory.
        let huge = b"\x04\0\xff\xff\xff\xff\xff\xff\xff\xf0\x01\x00abc";
        assert_eq!(joined(&[huge]).1, ["P-DATA-TF", "PDV 4294967280"]);
        let long = b"\x01\0\xff\xff\xff\xffabc";
        assert_eq!(joined(&[long]).0, long);
    }

    proptest! {
        /// Any bytes, split anywhere, come out as they went in, and mean the same.
        #[test]
        fn nothing_is_lost(
            parts in prop::collection::vec(prop_oneof![
                Just(RELEASE.to_vec()), Just(DATA.to_vec()),
                prop::collection::vec(any::<u8>(), 0..20),
            ], 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream = parts.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut rest = &stream[..];
            let mut at = 0;
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut - at);
                (rest, at) = (after, cut);
                chunks.push(chunk);
            }
            chunks.push(rest);
            let (bytes, names) = joined(&chunks);
            prop_assert_eq!(&bytes, &stream);
            prop_assert_eq!(names, joined(&[&stream]).1);
        }
    }

    /// What is left out of a fragment costs nothing else; what is missing elsewhere costs the rest.
    #[test]
    fn gaps() {
        let mut framer = Framer::default();
        let (mut gaps, mut ends, mut lost) = (0, 0, 0);
        let mut count = |part: Part<'_>| match part {
            Part::Gap { bytes, is_end, .. } => {
                gaps += bytes;
                ends += u32::from(is_end);
            }
            Part::Lost { bytes } => lost += bytes,
            _ => {}
        };
        framer.take(&DATA[..12], &mut count);
        framer.skip(3, true, &mut count);
        framer.take(&DATA[15..], &mut count);
        assert!(framer.is_between_pdus());
        framer.take(&DATA[..3], &mut count);
        framer.skip(2, false, &mut count);
        assert!(framer.is_lost());
        assert_eq!((gaps, ends, lost), (3, 1, 2));
    }
}
