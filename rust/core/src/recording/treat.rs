//! What must not leave the house, taken out of a recording.
//!
//! Data sets are left out (their lengths stay), or every value in them is replaced by one of the same
//! length and shape: what was text is `X`, numbers are 0, dates 2000-01-01, pixels black. Instance
//! UIDs become others, the same ones everywhere, in commands too; titles likewise where names are
//! masked. The key of both is made for one run and thrown away. User identities are always taken
//! out then, and bytes that are no PDU become zeros. All lengths stay, so that such a recording is shown and
//! played as any other. A data set that cannot be replaced is left out: a deflated one, one whose
//! transfer syntax is not known, and one that is not as its transfer syntax wants it, as what is taken for
//! a header would stay in clear. TLS passes.
//! Called by `recording::proxy` and `dcmfast._rust`.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::conversation::{Framer, Part, PdvHeader};
use super::file::{Step, Writer, Written};
use super::proxy::is_tls;
use super::source::Source;
use super::{About, Entry, Moment, Notice, Side, What};
use crate::dataset::transfer_syntax::{IMPLICIT_VR_LITTLE_ENDIAN, TransferSyntax};
use crate::dataset::walk::{Order, Place, Visitor, Walk};
use crate::dictionary::vr_of;
use crate::dimse::command_set::Field;
use crate::limits::{RECORDING_KEPT_VALUE_BYTES_MAX, RECORDING_OPEN_MAX};
use crate::tag::{SOP_CLASS_UID, SPECIFIC_CHARACTER_SET, Tag};
use crate::uid::{UID_BYTES_MAX, Uid};
use crate::ul::pdu::{AssociateAc, PDU_HEADER_BYTES, PduType, PresentationResult, UidItem};
use crate::ul::pdu_codec::{decode_associate_ac, decode_associate_rq};
use crate::vr::Vr;

/// What becomes of data sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataSets {
    /// They stay.
    #[default]
    Keep,
    /// Every value becomes another of its length.
    Replace,
    /// Only their lengths stay.
    LeaveOut,
}

/// What is taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Treatment {
    /// Of data sets.
    pub data_sets: DataSets,
    /// AE titles and addresses.
    pub masks_names: bool,
}

impl Treatment {
    /// What a recording so treated says of itself.
    #[must_use]
    pub fn about(self, about: About) -> About {
        About {
            has_left_out: about.has_left_out || self.data_sets == DataSets::LeaveOut,
            is_replaced: about.is_replaced || self.data_sets == DataSets::Replace,
            is_masked: about.is_masked || self.masks_names,
            ..about
        }
    }

    /// True when anything is.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }
}

/// Takes it out, of all connections of one recording.
pub struct Treater {
    treatment: Treatment,
    key: u64,
    open: BTreeMap<u64, Treats>,
}

/// One connection.
#[derive(Default)]
struct Treats {
    sides: [SideState; 2],
    /// Of accepted contexts, where it is one of the standard's.
    syntaxes: BTreeMap<u8, TransferSyntax>,
    is_tls: bool,
    has_begun: bool,
    /// The requestor's first byte, as long as it is alone.
    first: Vec<u8>,
}

#[derive(Default)]
struct SideState {
    framer: Framer,
    pdv: Option<PdvHeader>,
    command: Option<Replacer>,
    data_set: Option<Replacer>,
}

/// What is written: bytes, and what is left out between them.
struct Out<'a> {
    side: Side,
    bytes: Vec<u8>,
    emit: &'a mut dyn FnMut(What),
}

impl Out<'_> {
    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            (self.emit)(What::Bytes(self.side, std::mem::take(&mut self.bytes)));
        }
    }

    fn leave_out(&mut self, count: u64) {
        if count > 0 {
            self.flush();
            (self.emit)(What::LeftOut(self.side, count));
        }
    }
}

impl Treater {
    /// With nothing seen yet, and a key of its own.
    pub fn new(treatment: Treatment) -> Self {
        Self { treatment, key: RandomState::new().hash_one(0), open: BTreeMap::new() }
    }

    /// Takes the next entry and gives what is written.
    pub fn take(&mut self, connection: u64, what: What, emit: &mut dyn FnMut(What)) {
        if !self.open.contains_key(&connection) && self.open.len() >= RECORDING_OPEN_MAX {
            // A recorder has no so many; of a file that has, the rest is left out.
            return;
        }
        let rules = Rules { treatment: self.treatment, key: self.key };
        let treats = self.open.entry(connection).or_default();
        match what {
            What::Opened { .. } if self.treatment.masks_names => {
                let (requestor, acceptor) = ("masked".to_owned(), "masked".to_owned());
                emit(What::Opened { requestor, acceptor });
            }
            What::Bytes(side, mut bytes) => {
                if side == Side::Requestor && !treats.has_begun {
                    // A handshake begins with the client (RFC 8446 §4), and is told by two bytes.
                    treats.first.append(&mut bytes);
                    if treats.first.len() < 2 {
                        return;
                    }
                    bytes = std::mem::take(&mut treats.first);
                    treats.has_begun = true;
                    treats.is_tls = is_tls(&bytes);
                }
                if treats.is_tls {
                    emit(What::Bytes(side, bytes));
                } else {
                    treats.bytes(side, &bytes, rules, emit);
                }
            }
            What::LeftOut(side, count) => {
                treats.begin(side, rules, emit);
                treats.skip(side, count, true, rules, emit);
            }
            What::Missing(side, count) => {
                treats.begin(side, rules, emit);
                treats.skip(side, count, false, rules, emit);
            }
            What::End(side, ending) => {
                treats.begin(side, rules, emit);
                treats.rest(side, emit);
                emit(What::End(side, ending));
            }
            What::Over(reason, text) => {
                for side in Side::BOTH {
                    treats.begin(side, rules, emit);
                    treats.rest(side, emit);
                }
                self.open.remove(&connection);
                emit(What::Over(reason, text));
            }
            other @ What::Opened { .. } => emit(other),
        }
    }
}

impl Treats {
    /// What the side has sent so far is no handshake.
    fn begin(&mut self, side: Side, rules: Rules, emit: &mut dyn FnMut(What)) {
        if side == Side::Requestor && !std::mem::replace(&mut self.has_begun, true) {
            let first = std::mem::take(&mut self.first);
            self.bytes(side, &first, rules, emit);
        }
    }

    fn bytes(&mut self, side: Side, bytes: &[u8], rules: Rules, emit: &mut dyn FnMut(What)) {
        let mut framer = std::mem::take(&mut self.sides[side.index()].framer);
        let mut out = Out { side, bytes: Vec::with_capacity(bytes.len()), emit };
        framer.take(bytes, &mut |part| self.part(side, part, rules, &mut out));
        out.flush();
        self.sides[side.index()].framer = framer;
    }

    fn skip(
        &mut self,
        side: Side,
        count: u64,
        is_left_out: bool,
        rules: Rules,
        emit: &mut dyn FnMut(What),
    ) {
        let mut framer = std::mem::take(&mut self.sides[side.index()].framer);
        let mut out = Out { side, bytes: Vec::new(), emit };
        framer.skip(count, is_left_out, &mut |part| self.part(side, part, rules, &mut out));
        out.flush();
        self.sides[side.index()].framer = framer;
    }

    /// What of a PDU was held when its side ended: its header stays.
    fn rest(&mut self, side: Side, emit: &mut dyn FnMut(What)) {
        let state = std::mem::take(&mut self.sides[side.index()]);
        let mut held = state.framer.held().to_vec();
        if let Some(body) = held.get_mut(PDU_HEADER_BYTES..) {
            body.fill(0);
        }
        if !held.is_empty() {
            emit(What::Bytes(side, held));
        }
    }

    fn part(&mut self, side: Side, part: Part<'_>, rules: Rules, out: &mut Out<'_>) {
        match part {
            Part::Pdu { header, raw } => {
                let start = out.bytes.len();
                out.bytes.extend_from_slice(raw);
                let pdu = out.bytes.get_mut(start..).unwrap_or_default();
                let body = raw.get(PDU_HEADER_BYTES..).unwrap_or_default();
                let is_right = match header.pdu_type {
                    PduType::AssociateRq => decode_associate_rq(body).is_ok(),
                    PduType::AssociateAc => match decode_associate_ac(body) {
                        Ok(accept) if side == Side::Acceptor => {
                            self.learn(&accept);
                            true
                        }
                        accept => accept.is_ok(),
                    },
                    // Four bytes of body (PS3.8 §9.3); what else stands there is nobody's.
                    _ => {
                        pdu.get_mut(PDU_HEADER_BYTES + 4..).unwrap_or_default().fill(0);
                        return;
                    }
                };
                rules.associate(pdu);
                if !is_right {
                    // Where its items are is not known; user identities are among them.
                    pdu.get_mut(ASSOCIATE_ITEMS_AT..).unwrap_or_default().fill(0);
                }
            }
            Part::Data { raw, .. } => out.bytes.extend_from_slice(&raw),
            Part::Pdv { header, raw } => {
                self.sides[side.index()].pdv = Some(header);
                out.bytes.extend_from_slice(&raw);
            }
            Part::Fragment { raw, is_end } => self.fragment(side, raw, is_end, rules, out),
            Part::Gap { bytes, is_left_out, is_end } => {
                out.flush();
                let what = if is_left_out { What::LeftOut } else { What::Missing };
                (out.emit)(what(side, bytes));
                let state = &mut self.sides[side.index()];
                if let Some(pdv) = state.pdv {
                    let place =
                        if pdv.is_command() { &mut state.command } else { &mut state.data_set };
                    // What is behind a gap cannot be told from anything else.
                    *place = (!(is_end && pdv.is_last())).then(Replacer::failed);
                }
            }
            Part::Unreadable { raw, why } => {
                // Of the first ones six bytes of a header stand there, and say what is wrong.
                let is_header = why.is_some();
                let start = out.bytes.len();
                out.bytes.extend_from_slice(raw);
                if !is_header {
                    out.bytes.get_mut(start..).unwrap_or_default().fill(0);
                }
            }
            Part::Lost { bytes } => {
                out.flush();
                (out.emit)(What::Missing(side, bytes));
            }
        }
    }

    fn learn(&mut self, accept: &AssociateAc) {
        for context in &accept.contexts {
            let uid = UidItem::uid(&context.transfer_syntax);
            // How a private one encodes is not known.
            let uid = uid.filter(|uid| uid.as_str().as_bytes().starts_with(STANDARD_ROOT));
            match uid.filter(|_| context.result == PresentationResult::Acceptance) {
                Some(uid) => self.syntaxes.insert(context.id, TransferSyntax::of(&uid)),
                None => self.syntaxes.remove(&context.id),
            };
        }
    }

    fn fragment(&mut self, side: Side, raw: &[u8], is_end: bool, rules: Rules, out: &mut Out<'_>) {
        let implicit = || TransferSyntax::of(&Uid::known(IMPLICIT_VR_LITTLE_ENDIAN));
        let state = &mut self.sides[side.index()];
        let Some(pdv) = state.pdv else { return };
        let is_last = is_end && pdv.is_last();
        let data_sets = rules.treatment.data_sets;
        if pdv.is_command() {
            let replacer = state.command.get_or_insert_with(|| Replacer::new(implicit(), true));
            match replacer.replaced(raw, rules) {
                Some(bytes) => out.bytes.extend(bytes),
                // No command set: it may be anything.
                None => out.bytes.resize(out.bytes.len() + raw.len(), 0),
            }
            if is_last {
                state.command = None;
            }
            return;
        }
        match data_sets {
            DataSets::Keep => out.bytes.extend_from_slice(raw),
            DataSets::LeaveOut => out.leave_out(raw.len() as u64),
            DataSets::Replace => {
                let syntax = self.syntaxes.get(&pdv.context_id);
                let replacer = state.data_set.get_or_insert_with(|| match syntax {
                    Some(syntax) => Replacer::new(*syntax, false),
                    None => Replacer::failed(),
                });
                match replacer.replaced(raw, rules) {
                    Some(bytes) => out.bytes.extend(bytes),
                    None => out.leave_out(raw.len() as u64),
                }
            }
        }
        if is_last {
            state.data_set = None;
        }
    }
}

/// Why there is no copy.
#[derive(Debug)]
pub enum CopyError {
    /// The source cannot be read.
    Read(io::Error),
    /// The copy cannot be written.
    Write(io::Error),
    /// It is not wanted any more.
    Stopped,
}

/// Entries between two questions whether a copy is still wanted.
const STEPS_AT_ONCE: u64 = 256;

/// Writes what `source` has, treated, as long as it `is_wanted`, and gives what there was to say of it.
///
/// # Errors
///
/// See [`CopyError`].
pub fn copy(
    source: &mut Source,
    writer: &Writer,
    treatment: Treatment,
    connection: Option<u64>,
    is_wanted: &mut dyn FnMut() -> bool,
) -> Result<Vec<Notice>, CopyError> {
    let mut treater = Treater::new(treatment);
    let (mut notices, mut at) = (Vec::new(), Moment::default());
    for step in 0_u64.. {
        if step % STEPS_AT_ONCE == 0 && !is_wanted() {
            return Err(CopyError::Stopped);
        }
        match source.step().map_err(CopyError::Read)? {
            Step::Entry(entry) if connection.is_none_or(|wanted| wanted == entry.connection) => {
                at = entry.at;
                let number = entry.connection;
                let mut failed = None;
                let mut write = |what| {
                    let entry = Entry { connection: number, at, what };
                    if let Written::Failed(error) = writer.append(&entry) {
                        failed = Some(error);
                    }
                };
                if treatment.is_any() {
                    treater.take(number, entry.what, &mut write);
                } else {
                    write(entry.what);
                }
                if let Some(error) = failed {
                    return Err(CopyError::Write(error));
                }
            }
            Step::Notice(notice) if notices.len() < NOTICES_KEPT => notices.push(notice),
            Step::Entry(_) | Step::Notice(_) => {}
            Step::End => break,
        }
    }
    writer.finish(at).map_err(CopyError::Write)?;
    Ok(notices)
}

/// Notices that are kept for the end; a damaged file has as many as it has records.
const NOTICES_KEPT: usize = 20;

/// What is done to which value.
#[derive(Clone, Copy)]
struct Rules {
    treatment: Treatment,
    key: u64,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Keep,
    Zero,
    Uid,
    Title,
    Text,
    Age,
    Date,
    Digits,
}

/// Where the items of an A-ASSOCIATE-RQ and -AC begin (PS3.8 §9.3.2).
const ASSOCIATE_ITEMS_AT: usize = 74;

/// Elements whose values say nothing of anybody, and are needed to understand the rest.
const KEPT: &[Tag] = &[
    SPECIFIC_CHARACTER_SET,
    SOP_CLASS_UID,
    Tag::new(0x0008, 0x0052), // Query/Retrieve Level
    Tag::new(0x0008, 0x0060), // Modality
    Tag::new(0x0008, 0x0061), // Modalities in Study
    Tag::new(0x0008, 0x0062), // SOP Classes in Study
    Tag::new(0x0008, 0x1150), // Referenced SOP Class UID
    Tag::new(0x0020, 0x0011), // Series Number
    Tag::new(0x0020, 0x0013), // Instance Number
    Tag::new(0x0028, 0x0002), // Samples per Pixel
    Tag::new(0x0028, 0x0004), // Photometric Interpretation
    Tag::new(0x0028, 0x0006), // Planar Configuration
    Tag::new(0x0028, 0x0008), // Number of Frames
    Tag::new(0x0028, 0x0010), // Rows
    Tag::new(0x0028, 0x0011), // Columns
    Tag::new(0x0028, 0x0100), // Bits Allocated
    Tag::new(0x0028, 0x0101), // Bits Stored
    Tag::new(0x0028, 0x0102), // High Bit
    Tag::new(0x0028, 0x0103), // Pixel Representation
];

impl Rules {
    fn of(self, place: Place, is_command: bool) -> Rule {
        let tag = place.tag;
        // What is longer is no such value, whatever else it is.
        let is_short = place.length.is_some_and(|n| n as usize <= RECORDING_KEPT_VALUE_BYTES_MAX);
        if is_command {
            return match tag.element() {
                0x1000 | 0x1001 if self.treatment.data_sets != DataSets::Keep => Rule::Uid,
                0x0600 | 0x1030 if self.treatment.masks_names => Rule::Title,
                // Texts of people; where any may be.
                0x0902 => Rule::Text,
                number if number == 0 || Field::ALL.iter().any(|f| f.element() == number) => {
                    if is_short {
                        Rule::Keep
                    } else {
                        Rule::Zero
                    }
                }
                // Retired ones (PS3.7 Annex E.2) hold texts, too.
                _ => Rule::Text,
            };
        }
        if tag.element() == 0 {
            return if place.length == Some(4) { Rule::Keep } else { Rule::Zero };
        }
        if KEPT.contains(&tag) && is_short {
            return Rule::Keep;
        }
        match &place.vr.0 {
            b"UI" => Rule::Uid,
            b"AE" if self.treatment.masks_names => Rule::Title,
            b"AE" | b"CS" | b"LO" | b"LT" | b"PN" | b"SH" | b"ST" | b"UC" | b"UR" | b"UT" => {
                Rule::Text
            }
            b"AS" => Rule::Age,
            b"DA" | b"DT" => Rule::Date,
            b"DS" | b"IS" | b"TM" => Rule::Digits,
            _ => Rule::Zero,
        }
    }

    /// An A-ASSOCIATE-RQ or -AC: titles where names are masked, user identity always.
    fn associate(self, pdu: &mut [u8]) {
        if self.treatment.masks_names {
            for start in [10, 26] {
                let mut value = Replacing::new(Rule::Title, self.key);
                if let Some(title) = pdu.get_mut(start..start + 16) {
                    for byte in title {
                        *byte = value.next(*byte);
                    }
                }
            }
        }
        for (kind, at, end) in items(pdu, ASSOCIATE_ITEMS_AT, pdu.len()) {
            if kind != 0x50 {
                continue;
            }
            for (kind, at, end) in items(pdu, at, end) {
                // PS3.7 Annex D.3.3.7: type, response requested, two fields with their lengths.
                if kind == 0x58 {
                    let first = length(pdu, at + 2);
                    let second_at = at + 4 + first;
                    let second = length(pdu, second_at);
                    for (start, count) in [(at + 4, first), (second_at + 2, second)] {
                        let stop = (start + count).min(end);
                        pdu.get_mut(start..stop).unwrap_or_default().fill(b'X');
                    }
                } else if kind == 0x59 {
                    pdu.get_mut((at + 2).min(end)..end).unwrap_or_default().fill(b'X');
                }
            }
        }
    }
}

fn length(pdu: &[u8], at: usize) -> usize {
    let bytes = pdu.get(at..).and_then(<[u8]>::first_chunk::<2>);
    bytes.map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)))
}

/// Type, begin and end of each item between two places.
fn items(pdu: &[u8], mut at: usize, end: usize) -> Vec<(u8, usize, usize)> {
    let mut found = Vec::new();
    while at + 4 <= end.min(pdu.len()) {
        let kind = pdu.get(at).copied().unwrap_or_default();
        let stop = at + 4 + length(pdu, at + 2);
        found.push((kind, at + 4, stop.min(end)));
        at = stop;
    }
    found
}

/// Replaces the values of one data set or command, piece by piece, length by length.
struct Replacer {
    walk: Walk,
    is_command: bool,
    is_failed: bool,
    value: Replacing,
    order: Order,
}

impl Replacer {
    fn new(syntax: TransferSyntax, is_command: bool) -> Self {
        let value = Replacing::new(Rule::Zero, 0);
        // A deflated one has no values that could be replaced in their places.
        let is_failed = syntax.is_deflated;
        Self { walk: Walk::new(syntax), is_command, is_failed, value, order: Order::default() }
    }

    /// One that replaces nothing any more.
    fn failed() -> Self {
        let syntax = TransferSyntax::of(&Uid::known(IMPLICIT_VR_LITTLE_ENDIAN));
        Self { is_failed: true, ..Self::new(syntax, false) }
    }

    /// As many bytes; `None` where the bytes cannot be understood.
    fn replaced(&mut self, raw: &[u8], rules: Rules) -> Option<Vec<u8>> {
        if self.is_failed {
            return None;
        }
        let out = raw.to_vec();
        let Self { walk, is_command, value, order, .. } = self;
        let (base, is_command) = (raw.as_ptr().addr(), *is_command);
        let mut pass = Pass { rules, is_command, value, order, is_right: true, base, out };
        if walk.feed(raw, &mut pass).is_ok() && pass.is_right {
            return Some(pass.out);
        }
        self.is_failed = true;
        None
    }
}

struct Pass<'a> {
    rules: Rules,
    is_command: bool,
    value: &'a mut Replacing,
    order: &'a mut Order,
    /// Every header so far is one.
    is_right: bool,
    /// Where the piece begins that is walked through.
    base: usize,
    out: Vec<u8>,
}

impl Pass<'_> {
    /// True for a header that may stand here. Text that is taken for one, because a length lies or the
    /// transfer syntax is another, is found by its tag, its VR or the order (PS3.5 §7.1).
    fn may_stand_here(&mut self, place: Place) -> bool {
        let Place { tag, vr, .. } = place;
        if self.is_command {
            return tag.group() == 0;
        }
        let is_ordered = self.order.take(&place);
        if tag.group() == 0xFFFE {
            return true;
        }
        let is_private = tag.group() % 2 == 1;
        is_ordered
            && tag.group() >= 8
            && vr.is_known()
            && (is_private || tag.element() == 0 || vr != Vr::UN || vr_of(tag).is_some())
            && !is_vr_for_length(place)
    }
}

/// True where the length is the VR that the tag has, which an explicit one would have there.
fn is_vr_for_length(place: Place) -> bool {
    let [a, b, ..] = place.length.unwrap_or_default().to_le_bytes();
    let is_number = |vr: Vr| matches!(&vr.0, b"US" | b"SS" | b"OB" | b"OW");
    let spelled = Vr([a, b]);
    spelled == place.vr || is_number(spelled) && is_number(place.vr)
}

impl Visitor for Pass<'_> {
    fn header(&mut self, place: Place) {
        self.is_right = self.is_right && self.may_stand_here(place);
        let rule = self.rules.of(place, self.is_command);
        *self.value = Replacing::new(rule, self.rules.key);
    }

    fn value(&mut self, bytes: &[u8], _is_end: bool) {
        // The visitor is given parts of the piece itself; their place in it is theirs in the copy.
        let start = bytes.as_ptr().addr().wrapping_sub(self.base);
        let Some(place) = self.out.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len()))
        else {
            return;
        };
        if self.value.rule == Rule::Zero {
            place.fill(0);
        } else if self.value.rule != Rule::Keep {
            for byte in place {
                *byte = self.value.next(*byte);
            }
        }
    }
}

/// A value that is replaced byte by byte.
struct Replacing {
    rule: Rule,
    key: u64,
    /// Of the bytes so far, since the last backslash.
    state: u64,
    /// Bytes since the last backslash, or digits of a date.
    count: usize,
    is_standard: bool,
    is_first_digit: bool,
    is_offset: bool,
}

/// The root of the standard's own UIDs, which are no instances.
const STANDARD_ROOT: &[u8] = b"1.2.840.10008.";
/// What a date becomes, digit by digit; a time is 0.
const DATE: &[u8] = b"20000101";

impl Replacing {
    const fn new(rule: Rule, key: u64) -> Self {
        Self {
            rule,
            key,
            state: key,
            count: 0,
            is_standard: true,
            is_first_digit: true,
            is_offset: false,
        }
    }

    fn next(&mut self, byte: u8) -> u8 {
        if byte == b'\\' {
            *self = Self::new(self.rule, self.key);
            return byte;
        }
        let replaced = match self.rule {
            Rule::Keep => byte,
            Rule::Zero => 0,
            Rule::Uid => self.uid(byte),
            // Blanks around a title are not significant (PS3.5 §6.2).
            Rule::Title if matches!(byte, b' ' | 0) => return byte,
            Rule::Title => self.title(byte),
            Rule::Text => match byte {
                b' ' | b'^' | b'=' | b'*' | b'?' | 0 => byte,
                _ => b'X',
            },
            // Three digits and a letter (PS3.5 §6.2), whatever else stands there.
            Rule::Age => match byte {
                b'D' | b'W' | b'M' | b'Y' if self.count % 5 == 3 => b'Y',
                b' ' | b'\\' | 0 => byte,
                _ => b'0',
            },
            Rule::Digits => match byte {
                b' ' | b'.' | b'+' | b'-' | b'E' | b'e' | b':' | b'*' | b'?' | 0 => byte,
                _ => b'0',
            },
            Rule::Date => self.date(byte),
        };
        self.state = xxh3_64_with_seed(&[byte], self.state);
        self.count = self.count.wrapping_add(1);
        replaced
    }

    /// Each character is moved among those of its class by what stands before it, so that different
    /// titles stay different, and equal ones equal.
    fn title(&self, byte: u8) -> u8 {
        let is_mark = |byte: &u8| byte.is_ascii_punctuation() && *byte != b'\\';
        let class: Vec<u8> = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => {
                (b'0'..=b'9').chain(b'A'..=b'Z').chain(b'a'..=b'z').collect()
            }
            byte if is_mark(&byte) => (b'!'..=b'~').filter(is_mark).collect(),
            // No character of a title.
            _ => return b'?',
        };
        let at = class.iter().position(|one| *one == byte).unwrap_or_default();
        let moved = (at as u64 + self.state % 1024) % class.len().max(1) as u64;
        class.get(moved as usize).copied().unwrap_or(b'?')
    }

    /// Each digit is moved by what stands before it, so that different UIDs stay different, equal ones
    /// equal, and no component begins with a 0 that did not. Where an UID leaves the standard's root
    /// it does so afterwards, too.
    fn uid(&mut self, byte: u8) -> u8 {
        let mut avoided = 0;
        if self.is_standard {
            let standard = STANDARD_ROOT.get(self.count).copied();
            // Behind the root as far as an UID goes (PS3.5 §9.1), and no further.
            let goes_on = self.count < UID_BYTES_MAX && (byte == b'.' || byte.is_ascii_digit());
            if standard.map_or(goes_on, |standard| standard == byte) {
                self.is_first_digit = byte == b'.';
                return byte;
            }
            avoided = standard.unwrap_or_default();
            self.is_standard = false;
        }
        let is_first = std::mem::replace(&mut self.is_first_digit, byte == b'.');
        if !byte.is_ascii_digit() || is_first && byte == b'0' {
            return if matches!(byte, b'.' | 0 | b' ' | b'*' | b'?' | b'0') { byte } else { b'1' };
        }
        let lowest = if is_first { b'1' } else { b'0' };
        let digits: Vec<u8> = (lowest..=b'9').filter(|digit| *digit != avoided).collect();
        let at = digits.iter().position(|digit| *digit == byte).unwrap_or_default();
        let moved = (at as u64 + self.state % 10) % digits.len().max(1) as u64;
        digits.get(moved as usize).copied().unwrap_or(byte)
    }

    fn date(&mut self, byte: u8) -> u8 {
        match byte {
            b'-' | b'+' => {
                // Of a range the second date; of a date with a time its offset.
                self.is_offset = self.count > DATE.len();
                self.count = usize::MAX;
                byte
            }
            b' ' | b'.' | b':' | b'*' | b'?' | 0 => byte,
            _ if self.is_offset => b'0',
            _ => DATE.get(self.count).copied().unwrap_or(b'0'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::transfer_syntax::EXPLICIT_VR_LITTLE_ENDIAN;
    use proptest::prelude::*;

    const REPLACE: Treatment = Treatment { data_sets: DataSets::Replace, masks_names: true };
    const IMPLICIT: &[u8] = IMPLICIT_VR_LITTLE_ENDIAN.as_bytes();
    const EXPLICIT: &[u8] = EXPLICIT_VR_LITTLE_ENDIAN.as_bytes();

    fn item(kind: u8, content: &[u8]) -> Vec<u8> {
        [&[kind, 0][..], &(content.len() as u16).to_be_bytes(), content].concat()
    }

    /// An A-ASSOCIATE-RQ or -AC with these items.
    fn associate(kind: u8, items: &[u8]) -> Vec<u8> {
        let titles = b"ARCHIVE         MODALITY        ";
        let body = [&[0, 1, 0, 0][..], titles, &[0; 32], items].concat();
        [&[kind, 0][..], &(body.len() as u32).to_be_bytes(), &body].concat()
    }

    /// One that answers for context 1.
    fn accept(result: u8, syntax: &[u8]) -> Vec<u8> {
        let context = [&[1, 0, result, 0][..], &item(0x40, syntax)].concat();
        let user = item(0x51, &[0, 0, 0x40, 0]);
        let items = [
            item(0x10, b"1.2.840.10008.3.1.1.1"),
            item(0x21, &context),
            item(0x50, &[user, item(0x52, b"1.2.3")].concat()),
        ];
        associate(2, &items.concat())
    }

    /// A P-DATA-TF with a data set on context 1.
    fn data(data_set: &[u8]) -> Vec<u8> {
        let length = data_set.len() as u32;
        let lengths = [(length + 6).to_be_bytes(), (length + 2).to_be_bytes()].concat();
        [&[4, 0][..], &lengths, &[1, 2], data_set].concat()
    }

    /// What is written of some bytes, in clear, and how many are left out.
    fn treated(treatment: Treatment, talk: &[(Side, &[u8])]) -> (Vec<u8>, u64) {
        let mut treater = Treater::new(treatment);
        let (mut out, mut left_out) = (Vec::new(), 0);
        for (side, bytes) in talk {
            treater.take(1, What::Bytes(*side, bytes.to_vec()), &mut |what| match what {
                What::Bytes(_, bytes) => out.extend(bytes),
                What::LeftOut(_, count) => left_out += count,
                _ => {}
            });
        }
        (out, left_out)
    }

    fn replaced(rule: Rule, text: &[u8]) -> Vec<u8> {
        let mut value = Replacing::new(rule, 7);
        text.iter().map(|byte| value.next(*byte)).collect()
    }

    #[test]
    fn values_keep_their_shape() {
        assert_eq!(replaced(Rule::Text, b"Doe^Jane="), b"XXX^XXXX=");
        assert_eq!(replaced(Rule::Text, b"DO*"), b"XX*");
        assert_eq!(replaced(Rule::Date, b"19610203"), b"20000101");
        assert_eq!(replaced(Rule::Date, b"19610203-19990405"), b"20000101-20000101");
        assert_eq!(replaced(Rule::Date, b"19610203\\19990405"), b"20000101\\20000101");
        assert_eq!(replaced(Rule::Date, b"20240102030405.5+0130"), b"20000101000000.0+0000");
        assert_eq!(replaced(Rule::Digits, b"-1.5E3 "), b"-0.0E0 ");
        assert_eq!(replaced(Rule::Age, b"045Y"), b"000Y");
        assert_eq!(replaced(Rule::Age, b"045Y\\003M"), b"000Y\\000Y");
        assert_eq!(replaced(Rule::Age, b"JOHN DOE "), b"0000 000 ");
        let class = b"1.2.840.10008.5.1.4.1.1.2\0";
        assert_eq!(replaced(Rule::Uid, class), class);
    }

    /// What cannot be understood for sure is left out to its end, so that nothing of it is in clear.
    #[test]
    fn data_sets_that_are_not_as_they_should_be() {
        let element = |tag: [u16; 2], vr: &[u8], value: &[u8]| {
            let tag = tag.map(u16::to_le_bytes).concat();
            [&tag, vr, &(value.len() as u16).to_le_bytes(), value].concat()
        };
        let plain = |tag: [u16; 2], value: &[u8]| {
            let tag = tag.map(u16::to_le_bytes).concat();
            [&tag[..], &(value.len() as u32).to_le_bytes(), value].concat()
        };
        let name = element([0x10, 0x10], b"PN", b"Doe^Jane");
        let level = element([8, 0x52], b"CS", b"STUDY ");
        let explicit = [level.clone(), name.clone()].concat();
        let implicit = [plain([8, 0x52], b"STUDY "), plain([0x10, 0x10], b"Doe^Jane")].concat();
        let behind = |first: Vec<u8>| [first, name.clone()].concat();
        let rows: [(&str, &[u8], Vec<u8>); 13] = [
            ("explicit under implicit", IMPLICIT, explicit.clone()),
            ("the same, of numbers", IMPLICIT, behind(element([0x28, 0x10], b"US", &[1, 2]))),
            ("the same, of modalities", IMPLICIT, behind(element([8, 0x61], b"CS", b"CT"))),
            ("the same, a text", IMPLICIT, [name.clone(), level.clone()].concat()),
            ("implicit under explicit", EXPLICIT, implicit.clone()),
            ("another order", EXPLICIT, [name.clone(), level.clone()].concat()),
            ("an element twice", EXPLICIT, [name.clone(), name.clone()].concat()),
            ("no such VR", EXPLICIT, behind(element([8, 0x60], b"JA", b"Doe^"))),
            ("no such tag", IMPLICIT, plain([0x4F44, 0x5E44], b"Jane")),
            ("no data set's group", EXPLICIT, behind(element([2, 0x13], b"SH", b"Doe^"))),
            ("a private syntax", b"1.2.840.113619.5.2", explicit.clone()),
            ("deflated", b"1.2.840.10008.1.2.1.99", explicit.clone()),
            ("no syntax", b"", explicit.clone()),
        ];
        for (why, syntax, data_set) in rows {
            let (accept, data) = (accept(0, syntax), data(&data_set));
            let talk = [(Side::Acceptor, &accept[..]), (Side::Requestor, &data[..])];
            let (_, left_out) = treated(REPLACE, &talk);
            assert_eq!(left_out, data_set.len() as u64, "{why}");
        }
        // Not accepted, not captured, and not the acceptor's.
        let data = data(&explicit);
        let (refused, other) = (accept(3, EXPLICIT), accept(0, EXPLICIT));
        let sent = (Side::Requestor, &data[..]);
        for talk in [
            vec![(Side::Acceptor, &refused[..]), sent],
            vec![sent],
            vec![(Side::Requestor, &other), sent],
        ] {
            assert_eq!(treated(REPLACE, &talk).1, explicit.len() as u64);
        }
        let (out, left_out) = treated(REPLACE, &[(Side::Acceptor, &other), sent]);
        assert_eq!(left_out, 0);
        let replaced = [level, element([0x10, 0x10], b"PN", b"XXX^XXXX")].concat();
        assert!(out.ends_with(&replaced));
    }

    /// limits::RECORDING_KEPT_VALUE_BYTES_MAX: what stays is short, whatever its tag.
    #[test]
    fn edges_of_what_is_kept() {
        let of = |tag: [u16; 2], length| {
            let vr = Vr(*b"CS");
            let tag = Tag::new(tag[0], tag[1]);
            let length = Some(length);
            let place =
                Place { tag, vr, length, depth: 0, is_opening: false, is_big_endian: false };
            let rules = Rules { treatment: REPLACE, key: 0 };
            [false, true].map(|is_command| rules.of(place, is_command))
        };
        let most = RECORDING_KEPT_VALUE_BYTES_MAX as u32;
        assert_eq!([most, most + 1].map(|n| of([8, 0x60], n)[0]), [Rule::Keep, Rule::Text]);
        assert_eq!([most, most + 1].map(|n| of([0, 2], n)[1]), [Rule::Keep, Rule::Zero]);
        assert_eq!([4, 6].map(|n| of([0x10, 0], n)[0]), [Rule::Keep, Rule::Zero]);
        // An UID of the standard's stays, and what stands behind one does not.
        let uid = b"1.2.840.10008.1.20.1.1\0\x10\0\x20\0LO\x08\0DOE.JANE1961";
        let out = replaced(Rule::Uid, uid);
        assert!(out.starts_with(b"1.2.840.10008.1.20.1.1\0"));
        assert!(!out.windows(3).any(|part| part == b"DOE" || part == b"196"));
        let long = [b"1.2.840.10008.".as_slice(), &[b'7'; 200]].concat();
        assert!(!replaced(Rule::Uid, &long)[64..].starts_with(b"777777"));
    }

    /// A handshake is told by its first two bytes, however they come; what is none is no TLS.
    #[test]
    fn a_handshake_cut_anywhere() {
        let hello = b"\x16\x03\x01\0\x05secret";
        for (first, rest) in [(1, 1), (1, 3), (2, 2), (5, 5)] {
            let talk = [&hello[..first], &hello[first..rest], &hello[rest..]];
            let talk = talk.map(|bytes| (Side::Requestor, bytes));
            assert_eq!(treated(REPLACE, &talk).0, hello);
        }
        let talk = [(Side::Requestor, &b"\x16"[..]), (Side::Requestor, b"secret of Jane")];
        let out = treated(REPLACE, &talk).0;
        assert_eq!((out.len(), out.windows(4).any(|part| part == b"Jane")), (15, false));
    }

    /// Bodies longer than the standard has them, and items that lie, hide nothing.
    #[test]
    fn pdus_with_more_than_they_should_have() {
        let abort = [b"\x07\0\0\0\0\x0c\0\0\x02\x01".as_slice(), b"Doe^Jane"].concat();
        assert_eq!(
            treated(REPLACE, &[(Side::Requestor, &abort)]).0,
            [&abort[..10], &[0; 8]].concat()
        );
        let mut lying = associate(1, &item(0x50, b"\x58\0\0\x20\x01\0\0\x08Doe^Jane"));
        lying[76..78].copy_from_slice(&[0xFF, 0xFF]);
        let out = treated(REPLACE, &[(Side::Requestor, &lying)]).0;
        assert_eq!(out.len(), lying.len());
        assert!(!out.windows(3).any(|part| part == b"Doe"));
    }

    proptest! {
        /// Titles stay titles: equal ones equal, whatever blanks are around them, others different.
        #[test]
        fn titles(one in "[A-Z0-9_a-z-]{1,4}", other in "[A-Z0-9_a-z-]{1,4}", blanks in 0..4_usize) {
            let padded = format!("{}{other}{}", " ".repeat(blanks), " ".repeat(4 - blanks));
            let [one_out, out, padded] =
                [&one, &other, &padded].map(|text| replaced(Rule::Title, text.as_bytes()));
            prop_assert!(one_out.iter().all(u8::is_ascii_graphic));
            prop_assert_eq!(one == other, one_out == out);
            prop_assert_eq!(padded.trim_ascii(), &out[..]);
        }

        /// UIDs stay UIDs, equal ones equal, different ones different.
        #[test]
        fn uids(one in "(0|[1-9][0-9]{0,6})(\\.(0|[1-9][0-9]{0,6})){1,6}",
                other in "(0|[1-9][0-9]{0,6})(\\.(0|[1-9][0-9]{0,6})){1,6}") {
            let (a, b) = (replaced(Rule::Uid, one.as_bytes()), replaced(Rule::Uid, other.as_bytes()));
            prop_assert_eq!(a.len(), one.len());
            prop_assert_eq!(Uid::new(one.as_bytes()).is_some(), Uid::new(&a).is_some());
            prop_assert_eq!(one == other, a == b);
        }

        /// Whatever comes, cut anywhere: as many bytes leave, or are told to be left out.
        #[test]
        fn lengths_stay(
            stream in prop::collection::vec(any::<u8>(), 0..300),
            is_data in any::<bool>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            if is_data {
                bytes.extend([4, 0]);
                bytes.extend((stream.len() as u32 + 6).to_be_bytes());
                bytes.extend((stream.len() as u32 + 2).to_be_bytes());
                bytes.extend([1, 2]);
            }
            bytes.extend(&stream);
            for treatment in [REPLACE, Treatment { data_sets: DataSets::LeaveOut, masks_names: false }] {
                let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
                let mut treater = Treater::new(treatment);
                let mut count = 0;
                let mut add = |what: What| match what {
                    What::Bytes(_, bytes) => count += bytes.len() as u64,
                    What::LeftOut(_, bytes) => count += bytes,
                    _ => {}
                };
                for part in [first, second] {
                    treater.take(1, What::Bytes(Side::Acceptor, part.to_vec()), &mut add);
                }
                treater.take(1, What::End(Side::Acceptor, super::super::Ending::Closed), &mut add);
                prop_assert_eq!(count, bytes.len() as u64);
            }
        }
    }

    /// PS3.7 Annex D.3.3.7: no user name and no passcode stays; nor a title, where they are masked.
    #[test]
    fn identities_and_titles() {
        let identity = b"\x58\0\0\x12\x02\x01\0\x05alice\0\x07sekret!";
        let context = [&[1, 0, 0, 0][..], &item(0x30, b"1.2"), &item(0x40, b"1.2")].concat();
        let items = [
            item(0x10, b"1.2.840.10008.3.1.1.1"),
            item(0x20, &context),
            item(0x50, &[&item(0x51, &[0, 0, 0x40, 0]), &identity[..]].concat()),
        ];
        let pdu = associate(1, &items.concat());
        let out = treated(REPLACE, &[(Side::Requestor, &pdu)]).0;
        assert_eq!(out.len(), pdu.len());
        let text = String::from_utf8_lossy(&out);
        for gone in ["ARCHIVE", "MODALITY", "alice", "sekret"] {
            assert!(!text.contains(gone), "{gone}");
        }
        assert!(out.windows(5).any(|window| window == b"XXXXX"));
    }
}
