//! A recording in words: PDUs, PDVs, commands and data sets, as lines for people or JSON for programs.
//!
//! What is shown is made entry by entry and handed out, so that a recording of any size takes no more
//! memory than its open associations do. Bytes are judged by nobody: what peers sent stands there,
//! and where it is no PDU, that. Every value is escaped. In JSON each line is one object. Called by
//! `dcmfast._rust`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::conversation::{Conversation, Event, command_set};
use super::describe::{arrow, associate_ac, associate_rq, command_name, pdv, short, status};
use super::proxy::is_tls;
use super::tree::{Tree, Value};
use super::{Entry, Moment, Notice, Side, What};
use crate::dataset::character_set::CharacterSet;
use crate::dataset::dump::Shown;
use crate::dataset::scan::Scanner;
use crate::dataset::transfer_syntax::{IMPLICIT_VR_LITTLE_ENDIAN, TransferSyntax};
use crate::dataset::walk::{Place, Visitor, Walk};
use crate::dictionary::keyword_of;
use crate::dictionary::uids::name_of;
use crate::limits::{RECORDING_OPEN_MAX, RECORDING_SHOWN_VALUE_BYTES};
use crate::log::escaped;
use crate::tag::{ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, SPECIFIC_CHARACTER_SET};
use crate::uid::Uid;
use crate::ul::pdu_codec::PduHeader;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// As JSON objects, one a line.
    pub is_json: bool,
    /// With the elements of data sets.
    pub has_data_sets: bool,
    /// Only this connection.
    pub connection: Option<u64>,
}

/// Prints a recording.
pub struct Show {
    options: Options,
    open: BTreeMap<u64, Shows>,
    /// Connections that were not shown because too many were open.
    dropped: u64,
}

/// One connection that is being shown.
#[derive(Default)]
struct Shows {
    conversation: Conversation,
    /// When it was opened.
    begun_ns: u64,
    is_tls: bool,
    has_begun: [bool; 2],
    data_sets: [Option<DataSet>; 2],
    /// Bytes that were no PDU.
    unreadable: [u64; 2],
}

/// A data set that passes by.
struct DataSet {
    walk: Walk,
    /// Inflates where that is needed.
    inflater: Option<Box<Scanner>>,
    syntax: TransferSyntax,
    bytes: u64,
    missing: u64,
    is_left_out: bool,
    /// Why nothing more of it is shown.
    end: Option<String>,
    elements: Elements,
}

impl Show {
    /// With nothing shown yet.
    pub fn new(options: Options) -> Self {
        Self { options, open: BTreeMap::new(), dropped: 0 }
    }

    /// Appends what `entry` shows.
    pub fn take(&mut self, entry: &Entry, out: &mut String) {
        if self.options.connection.is_some_and(|wanted| wanted != entry.connection) {
            return;
        }
        if !self.open.contains_key(&entry.connection) && self.open.len() >= RECORDING_OPEN_MAX {
            self.dropped += 1;
            return;
        }
        let shows = self
            .open
            .entry(entry.connection)
            .or_insert_with(|| Shows { begun_ns: entry.at.monotonic_ns, ..Shows::default() });
        let lines = Lines {
            connection: entry.connection,
            at: entry.at,
            begun_ns: shows.begun_ns,
            options: self.options,
        };
        shows.take(&entry.what, &lines, out);
        if matches!(entry.what, What::Over(..)) {
            self.open.remove(&entry.connection);
        }
    }

    /// Appends what there is to say of the recording itself.
    pub fn notice(&self, notice: &Notice, out: &mut String) {
        if self.options.is_json {
            let kind = if notice.is_damage() { "damage" } else { "notice" };
            Tree::default().text("event", kind).text("text", notice).json(out);
            out.push('\n');
        } else {
            let _ = writeln!(out, "# {notice}");
        }
    }

    /// Appends what there is to say at its end.
    pub fn finish(&mut self, out: &mut String) {
        for (connection, shows) in std::mem::take(&mut self.open) {
            let at = Moment::default();
            let lines = Lines { connection, at, begun_ns: 0, options: self.options };
            shows.cut(&lines, out);
        }
        if self.dropped > 0 {
            let text = format!("{} entries are not shown: too many connections", self.dropped);
            self.notice(&Notice::Capture(text), out);
        }
    }
}

/// Writes the lines of one entry.
struct Lines {
    connection: u64,
    at: Moment,
    begun_ns: u64,
    options: Options,
}

impl Lines {
    /// An event and its fields.
    fn event(&self, side: Option<Side>, name: &str, fields: Tree, out: &mut String) {
        if self.options.is_json {
            let mut tree = self.head(side, name);
            tree.0.extend(fields.0);
            tree.json(out);
            out.push('\n');
            return;
        }
        self.prefix(side, out);
        out.push_str(name);
        out.push('\n');
        fields.lines(6, out);
    }

    /// What every JSON object begins with.
    fn head(&self, side: Option<Side>, name: &str) -> Tree {
        let since = self.at.monotonic_ns.saturating_sub(self.begun_ns);
        let mut tree = Tree::default()
            .number("association", self.connection)
            .number("ns", since)
            .text("time", utc(self.at.wall_ns));
        if let Some(side) = side {
            tree = tree.text("from", side.name());
        }
        tree.text("event", name)
    }

    fn prefix(&self, side: Option<Side>, out: &mut String) {
        let since = self.at.monotonic_ns.saturating_sub(self.begun_ns) / 1000;
        let (seconds, micros) = (since / 1_000_000, since % 1_000_000);
        let arrow = side.map_or("--", arrow);
        let _ = write!(out, "[{}] {seconds:>4}.{micros:06} {arrow} ", self.connection);
    }
}

/// A wall clock time, in UTC.
pub fn utc(ns: u64) -> String {
    let (seconds, nanos) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01: years begin in March, so that the leap day is a year's last.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let micros = nanos / 1000;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06} UTC")
}

impl Shows {
    fn take(&mut self, what: &What, lines: &Lines, out: &mut String) {
        match what {
            What::Opened { requestor, acceptor } => {
                let fields = Tree::default()
                    .text("requestor", requestor)
                    .text("acceptor", acceptor)
                    .text("at", utc(lines.at.wall_ns));
                lines.event(None, "transport connection opened", fields, out);
            }
            What::End(side, ending) => {
                self.cut_of(*side, lines, out);
                let name = match ending {
                    super::Ending::Closed => "closed its side (FIN)",
                    super::Ending::Reset => "reset the connection (RST)",
                };
                lines.event(Some(*side), name, Tree::default(), out);
            }
            What::Over(reason, text) => {
                self.cut(lines, out);
                let mut fields = Tree::default().text("reason", reason.text());
                if !text.is_empty() {
                    fields = fields.text("text", text);
                }
                lines.event(None, "transport connection over", fields, out);
            }
            What::Bytes(side, bytes) => {
                if !std::mem::replace(&mut self.has_begun[side.index()], true)
                    && *side == Side::Requestor
                    && is_tls(bytes)
                {
                    self.is_tls = true;
                    let fields =
                        Tree::default().text("note", "what is in it cannot be shown without keys");
                    lines.event(None, "TLS", fields, out);
                }
                if self.is_tls {
                    let fields = Tree::default().number("bytes", bytes.len() as u64);
                    lines.event(Some(*side), "bytes of TLS", fields, out);
                } else {
                    self.talk(what, lines, out);
                }
            }
            What::LeftOut(..) | What::Missing(..) => self.talk(what, lines, out),
        }
    }

    fn talk(&mut self, what: &What, lines: &Lines, out: &mut String) {
        let Self { conversation, data_sets, unreadable, .. } = self;
        conversation.take(what, &mut |conversation, side, event| match event {
            Event::AssociateRq(request, header) => {
                let fields = request.as_ref().map(associate_rq);
                whole(lines, side, header, fields.map_err(ToString::to_string), out);
            }
            Event::AssociateAc(accept, header) => {
                let fields = accept.as_ref().map(associate_ac);
                whole(lines, side, header, fields.map_err(ToString::to_string), out);
            }
            Event::Short(header, body) => whole(lines, side, header, Ok(short(header, body)), out),
            Event::Data(header) => whole(lines, side, header, Ok(Tree::default()), out),
            Event::Pdv(header) => {
                let fields = pdv(header);
                if lines.options.is_json {
                    lines.event(Some(side), "Presentation-data-value Item", fields, out);
                } else {
                    Tree::default()
                        .with("Presentation-data-value Item", Value::Tree(fields))
                        .lines(6, out);
                }
            }
            Event::Command { context_id, bytes, missing } => {
                command(lines, side, conversation, context_id, bytes, missing, out);
            }
            Event::DataSet { context_id, bytes, missing, is_left_out, is_last } => {
                let place = &mut data_sets[side.index()];
                let data_set = place
                    .get_or_insert_with(|| DataSet::new(conversation.transfer_syntax(context_id)));
                data_set.take(bytes, missing, is_left_out, lines, side, out);
                if is_last {
                    data_set.finish(lines, side, context_id, out);
                    *place = None;
                }
            }
            Event::Unreadable(bytes, why) => {
                if let Some(why) = why {
                    let fields = Tree::default().text("why", why).text("bytes", escaped(bytes));
                    lines.event(Some(side), "bytes that are no PDU or PDV", fields, out);
                }
                unreadable[side.index()] += bytes.len() as u64;
            }
            Event::Lost(count) => {
                let fields = Tree::default().number("missing", count);
                lines.event(
                    Some(side),
                    "bytes are missing; PDUs are lost from here on",
                    fields,
                    out,
                );
            }
        });
    }

    /// Says what did not come to its end.
    fn cut(&self, lines: &Lines, out: &mut String) {
        for side in Side::BOTH {
            self.cut_of(side, lines, out);
        }
    }

    fn cut_of(&self, side: Side, lines: &Lines, out: &mut String) {
        if self.unreadable[side.index()] > 0 {
            let fields = Tree::default().number("bytes", self.unreadable[side.index()]);
            lines.event(Some(side), "all bytes that are no PDU or PDV", fields, out);
        }
        if let Some(held) = self.conversation.cut(side).filter(|_| !self.is_tls) {
            let fields = Tree::default().text("begins", escaped(held));
            lines.event(Some(side), "PDU that is not complete", fields, out);
        }
    }
}

/// A whole PDU.
fn whole(
    lines: &Lines,
    side: Side,
    header: PduHeader,
    fields: Result<Tree, String>,
    out: &mut String,
) {
    let mut tree = Tree::default().number("PDU-length", header.length);
    match fields {
        Ok(fields) => tree.0.extend(fields.0),
        Err(why) => tree = tree.text("unreadable", why),
    }
    lines.event(Some(side), header.pdu_type.name(), tree, out);
}

/// A complete command, element by element.
fn command(
    lines: &Lines,
    side: Side,
    conversation: &Conversation,
    context_id: u8,
    bytes: &[u8],
    missing: u64,
    out: &mut String,
) {
    let context = conversation.context(context_id);
    let mut fields = Tree::default().number("Presentation-context-ID", context_id);
    if let Some(uid) = context.abstract_syntax {
        let name = name_of(uid.as_bytes());
        fields = fields.with("Abstract-syntax-name", Value::Uid(uid.as_str().to_owned(), name));
    }
    let set = match command_set(bytes, missing) {
        Ok(set) => set,
        Err(why) => {
            lines.event(Some(side), "command", fields.text("unreadable", why), out);
            return;
        }
    };
    let name = command_name(&set);
    if let Some((status, text)) = status(&set) {
        fields = fields.text("Status", format_args!("{:04X}H ({text})", status.0));
    }
    // A command set is Implicit VR Little Endian, PS3.7 §6.3.1.
    let syntax = TransferSyntax::of(&Uid::known(IMPLICIT_VR_LITTLE_ENDIAN));
    let mut elements = Elements::default();
    let mut walk = Walk::new(syntax);
    let mut text = String::new();
    let is_json = lines.options.is_json;
    let mut printing = Printing { elements: &mut elements, is_json, head: None, out: &mut text };
    // `CommandSet::decode` has read it already.
    let _ = walk.feed(bytes, &mut printing);
    if is_json {
        let mut tree = lines.head(Some(side), "command").text("command", &name);
        tree.0.extend(fields.0);
        tree.json(out);
        // Before the brace that ends the object.
        out.pop();
        let objects: Vec<&str> = text.lines().collect();
        let _ = writeln!(out, ",\"elements\":[{}]}}", objects.join(","));
    } else {
        lines.event(Some(side), &name, fields, out);
        indented(&text, out);
    }
}

fn indented(text: &str, out: &mut String) {
    for line in text.lines() {
        let _ = writeln!(out, "        {line}");
    }
}

impl DataSet {
    fn new(syntax: TransferSyntax) -> Self {
        Self {
            walk: Walk::new(syntax),
            inflater: syntax.is_deflated.then(|| Box::new(Scanner::new(syntax, &[]))),
            syntax,
            bytes: 0,
            missing: 0,
            is_left_out: false,
            end: None,
            elements: Elements::default(),
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        missing: u64,
        is_left_out: bool,
        lines: &Lines,
        side: Side,
        out: &mut String,
    ) {
        self.bytes += bytes.len() as u64;
        self.missing += missing;
        self.is_left_out |= is_left_out;
        if missing > 0 && self.end.is_none() {
            let why = if is_left_out { "left out" } else { "bytes are missing" };
            self.end = Some(why.into());
        }
        if self.end.is_some() || !lines.options.has_data_sets {
            return;
        }
        let is_json = lines.options.is_json;
        let head = is_json.then(|| lines.head(Some(side), "element"));
        let Self { walk, inflater, elements, .. } = self;
        let mut text = String::new();
        let mut printing = Printing { elements, is_json, head, out: &mut text };
        let result = match inflater {
            None => walk.feed(bytes, &mut printing),
            Some(inflater) => {
                let mut inner = Ok(());
                let outer = inflater.feed_and_show(bytes, |bytes| {
                    if inner.is_ok() {
                        inner = walk.feed(bytes, &mut printing);
                    }
                });
                outer.and(inner)
            }
        };
        if let Err(error) = result {
            self.end = Some(error.to_string());
        }
        if is_json { out.push_str(&text) } else { indented(&text, out) }
    }

    fn finish(&mut self, lines: &Lines, side: Side, context_id: u8, out: &mut String) {
        if self.end.is_none() && lines.options.has_data_sets && !self.walk.is_whole() {
            self.end = Some("ends inside an element".into());
        }
        let mut fields = Tree::default()
            .number("Presentation-context-ID", context_id)
            .text("encoding", self.syntax.words())
            .number("bytes", self.bytes + self.missing);
        if self.missing > 0 {
            let name = if self.is_left_out { "left out" } else { "missing" };
            fields = fields.number(name, self.missing);
        }
        if let Some(why) = self.end.as_ref().filter(|_| !self.is_left_out) {
            fields = fields.text("not shown further", why);
        }
        lines.event(Some(side), "Data Set", fields, out);
    }
}

/// What is kept between two pieces of a data set.
#[derive(Default)]
struct Elements {
    place: Option<Place>,
    /// The first bytes of the value in hand.
    value: Vec<u8>,
    /// PS3.3 §C.12.1.1.2: of the whole; an item's own is not followed here.
    character_set: CharacterSet,
}

struct Printing<'a> {
    elements: &'a mut Elements,
    is_json: bool,
    /// What each JSON object begins with.
    head: Option<Tree>,
    out: &'a mut String,
}

impl Printing<'_> {
    fn print(&mut self) {
        let Some(place) = self.elements.place.take() else { return };
        let value = std::mem::take(&mut self.elements.value);
        if place.tag == SPECIFIC_CHARACTER_SET && place.depth == 0 {
            self.elements.character_set = CharacterSet::parse(&value);
        }
        let set = self.elements.character_set;
        let Place { tag, vr, length, depth, is_opening, is_big_endian } = place;
        let shown = Shown { tag, vr, length, value: &value, depth, is_opening, is_big_endian };
        if self.is_json {
            self.object(&shown, set);
        } else {
            self.out.push_str(&shown.line(set));
        }
        self.elements.value = value;
        self.elements.value.clear();
    }

    fn object(&mut self, shown: &Shown<'_>, set: CharacterSet) {
        let (text, count) = shown.text(set);
        let is_named = !matches!(shown.tag, ITEM | ITEM_DELIMITATION | SEQUENCE_DELIMITATION);
        let mut tree = self.head.clone().unwrap_or_default().text("tag", shown.tag);
        if is_named {
            tree = tree.text("vr", shown.vr);
            tree = tree.text("keyword", keyword_of(shown.tag).unwrap_or_default());
        }
        tree = tree.number("depth", shown.depth as u64);
        if let Some(length) = shown.length {
            tree = tree.number("length", length);
        }
        tree.number("values", count as u64).text("value", text).json(self.out);
        self.out.push('\n');
    }
}

impl Visitor for Printing<'_> {
    fn header(&mut self, place: Place) {
        self.elements.place = Some(place);
        self.elements.value.clear();
        if place.is_opening {
            self.print();
        }
    }

    fn value(&mut self, bytes: &[u8], is_end: bool) {
        let value = &mut self.elements.value;
        let room = RECORDING_SHOWN_VALUE_BYTES.saturating_sub(value.len());
        value.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        if is_end {
            self.print();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000000 UTC");
        assert_eq!(utc(951_782_399_999_999_000), "2000-02-28 23:59:59.999999 UTC");
        assert_eq!(utc(951_782_400_000_000_000), "2000-02-29 00:00:00.000000 UTC");
        assert_eq!(utc(1_795_294_639_123_456_789), "2026-11-21 20:57:19.123456 UTC");
        assert_eq!(utc(u64::MAX).len(), 30);
    }

    fn shown(options: Options, whats: Vec<What>) -> String {
        let (mut show, mut out) = (Show::new(options), String::new());
        for what in whats {
            show.take(&Entry { connection: 1, at: Moment::default(), what }, &mut out);
        }
        show.finish(&mut out);
        out
    }

    const TEXT: Options = Options { is_json: false, has_data_sets: true, connection: None };
    const JSON: Options = Options { is_json: true, ..TEXT };

    /// One P-DATA-TF whose data set is one LO element in Implicit VR Little Endian.
    fn data_set(value: &[u8]) -> What {
        let mut element = b"\x10\0\x20\0".to_vec();
        element.extend((value.len() as u32).to_le_bytes());
        element.extend_from_slice(value);
        let mut pdu = vec![4, 0];
        pdu.extend((element.len() as u32 + 6).to_be_bytes());
        pdu.extend((element.len() as u32 + 2).to_be_bytes());
        pdu.extend([1, 2]);
        pdu.extend(element);
        What::Bytes(Side::Requestor, pdu)
    }

    /// limits::RECORDING_SHOWN_VALUE_BYTES: of a longer value the first bytes, and that it is cut.
    #[test]
    fn edge_of_a_shown_value() {
        let whole = "x".repeat(RECORDING_SHOWN_VALUE_BYTES);
        let text = shown(TEXT, vec![data_set(whole.as_bytes())]);
        assert!(text.contains(&format!("LO [{whole}] #")), "{text}");
        let longer = format!("{whole}yy");
        let text = shown(TEXT, vec![data_set(longer.as_bytes())]);
        assert!(text.contains(&format!("LO [{whole}]...")) && !text.contains("xyy"), "{text}");
    }

    /// limits::RECORDING_OPEN_MAX
    #[test]
    fn edge_of_open_connections() {
        let (mut show, mut out) = (Show::new(TEXT), String::new());
        let opened = || What::Opened { requestor: "a".into(), acceptor: "b".into() };
        let entry = |connection| Entry { connection, at: Moment::default(), what: opened() };
        for connection in 1..=RECORDING_OPEN_MAX as u64 + 1 {
            show.take(&entry(connection), &mut out);
        }
        assert_eq!(out.matches("opened").count(), RECORDING_OPEN_MAX);
        out.clear();
        show.finish(&mut out);
        assert_eq!(out, "# 1 entries are not shown: too many connections\n");
    }

    /// No peer writes lines of its own, in neither way.
    #[test]
    fn values_are_escaped() {
        let evil = b"a\n[9] forged \x1b[2J\"\\ ";
        let text = shown(TEXT, vec![data_set(evil)]);
        assert!(!text.contains("\n[9]") && !text.contains('\x1b'), "{text}");
        let json = shown(JSON, vec![data_set(evil)]);
        assert!(!json.contains('\x1b'), "{json}");
        assert!(json.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{json}");
        let garbage = What::Bytes(Side::Acceptor, b"HTTP/1.1 400\r\n".to_vec());
        let text = shown(TEXT, vec![garbage]);
        assert!(text.contains("bytes that are no PDU") && text.contains("unknown PDU type 48H"));
        assert!(text.contains("bytes: 14"), "{text}");
    }

    /// A PDU that never ends is told, and so is TLS.
    #[test]
    fn what_is_cut() {
        let text = shown(TEXT, vec![What::Bytes(Side::Requestor, b"\x01\0\0\0\x01\0ab".to_vec())]);
        assert!(text.contains("PDU that is not complete"), "{text}");
        let text = shown(TEXT, vec![What::Bytes(Side::Requestor, b"\x16\x03\x01\0".to_vec())]);
        assert!(text.contains("TLS") && !text.contains("PDU"), "{text}");
    }
}
