//! One side of a recording, played against a peer: the first difference in what that peer does.
//!
//! What our side sent is sent again, in the recorded order: before each message of ours, everything that
//! the peer had sent by then is awaited and compared, event by event: whole PDUs, commands, data sets, the
//! end of the connection. How a message is cut into PDUs is nobody's business (PS3.8 Annex E): it is not
//! compared, and ours are cut to what this peer receives. Nor is what the protocol leaves open: where in
//! a message of ours an event of the peer stands, when a C-CANCEL comes, how much of an operation is
//! done by then (`cancel`). Times are not compared, and kept only where that is wished. What a peer names
//! anew each time is learned and put in its place where we answer: message IDs, SOP Instance UIDs of its
//! own requests, AE titles of its association. Data sets that were left out are replaced by ones of
//! the same length (`stand_in`), or not compared. Memory is bounded by one PDU and twice
//! `limits::REPLAY_COMPARED_BYTES_MAX`. Called by `dcmfast._rust`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use self::cancel::{Cancel, cancelled_by, is_end_of_cancelled};
use super::conversation::{Conversation, Event, Framer, Part, PdvHeader, command_set};
use super::describe::{command_name, result, short, status};
use super::file::Step;
use super::source::{OpenError, Source};
use super::stand_in::StandIn;
use super::tree::one_line;
use super::{Ending, Entry, Moment, Notice, Reason, Side, What};
use crate::ae_title::AeTitle;
use crate::dataset::character_set::CharacterSet;
use crate::dataset::dump::Shown;
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dataset::walk::{Place, Visitor, Walk};
use crate::dimse::command_set::{CommandSet, Field};
use crate::dimse::service::command_field::{C_CANCEL_RQ, RESPONSE_BIT};
use crate::limits::{
    CLOSE_TIMEOUT_S, MAX_PDU_BYTES_MAX, RECORDING_SHOWN_VALUE_BYTES, REPLAY_COMPARED_BYTES_MAX,
    REPLAY_NAMES_MAX, REPLAY_REAL_TIME_S_MAX, SLOWEST_PEER_BYTES_PER_S,
};
use crate::net::tcp::{Connection, ReadEnd, SLICE, SocketAddr, StopFlag, TransportOptions};
use crate::uid::UidText;
use crate::ul::pdu::{
    AssociateAc, AssociateRq, PDU_HEADER_BYTES, PduType, TitleFields, UserInformation,
};
use crate::ul::pdv::{DATA_HEADER_BYTES, FragmentKind, PDV_HEADER_BYTES, data_header};
use crate::vr::Vr;

mod cancel;

/// What may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// AE titles of association and commands.
    Titles,
    /// Maximum length received.
    MaximumLength,
    /// Implementation class UID and version name.
    Implementation,
    /// Message IDs of the peer's own requests.
    MessageIds,
    /// Error Comment.
    Comments,
    /// SOP Instance UIDs of the peer's own requests, and UIDs in data sets.
    Uids,
    /// Numbers of sub-operations.
    Counters,
    /// Dates and times in data sets.
    Dates,
    /// Data sets altogether.
    DataSets,
}

impl Aspect {
    /// All, with the words in options.
    pub const ALL: [(&'static str, Self); 9] = [
        ("titles", Self::Titles),
        ("maximum-length", Self::MaximumLength),
        ("implementation", Self::Implementation),
        ("message-ids", Self::MessageIds),
        ("comments", Self::Comments),
        ("uids", Self::Uids),
        ("counters", Self::Counters),
        ("dates", Self::Dates),
        ("data-sets", Self::DataSets),
    ];
}

/// Where the peer is.
pub enum Peer {
    /// It is connected to; addresses in order.
    At(Vec<SocketAddr>),
    /// It connects to us.
    Comes(TcpListener),
}

/// What is played.
pub struct Plan {
    /// The recording.
    pub path: PathBuf,
    /// Whose side is ours.
    pub ours: Side,
    /// The other side.
    pub peer: Peer,
    /// Only this connection.
    pub connection: Option<u64>,
    /// Differences that are none.
    pub ignored: BTreeSet<Aspect>,
    /// Titles in our A-ASSOCIATE-RQ in place of the recorded ones: called, calling.
    pub titles: [Option<AeTitle>; 2],
    /// How long an event of the peer is awaited.
    pub patience: Duration,
    /// How long connecting may take.
    pub connect_timeout: Option<Duration>,
    /// Of the socket.
    pub transport: TransportOptions,
    /// How fast time passes, where the recorded times are kept: 2 for twice as fast.
    pub speed: Option<f64>,
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In which connection of the recording.
    pub connection: u64,
    /// At which event of the peer's, from 1.
    pub event: u64,
    /// When it had come in the recording, in nanoseconds since the connection was opened.
    pub at_ns: u64,
    /// What the recording has.
    pub expected: String,
    /// What came.
    pub came: String,
    /// Where they differ.
    pub differs: String,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Connections played.
    pub connections: u64,
    /// Events of the peer that matched.
    pub matched: u64,
    /// PDUs of ours that were sent.
    pub sent: u64,
    /// The first difference.
    pub difference: Option<Difference>,
    /// What there is to say of the recording.
    pub notices: Vec<Notice>,
}

/// Why nothing was played, or not to the end.
#[derive(Debug)]
pub enum ReplayError {
    /// The recording cannot be read.
    Source(OpenError),
    /// It holds nothing that can be played.
    Nothing(String),
    /// No connection.
    Connect(io::Error),
    /// The user stopped it.
    Stopped,
}

impl From<io::Error> for ReplayError {
    fn from(error: io::Error) -> Self {
        Self::Source(OpenError::Io(error))
    }
}

/// Plays a recording.
///
/// # Errors
///
/// See [`ReplayError`]. A difference is none: it stands in the outcome.
pub fn replay(plan: &Plan, stop: &StopFlag) -> Result<Outcome, ReplayError> {
    let mut outcome = Outcome::default();
    for connection in connections(plan, &mut outcome)? {
        let mut play = Play::new(plan, stop, connection)?;
        let played = play.run(&mut outcome);
        outcome.connections += 1;
        match played {
            Ok(()) => {}
            Err(End::Differs(difference)) => {
                outcome.difference = Some(*difference);
                return Ok(outcome);
            }
            Err(End::Failed(error)) => return Err(error),
        }
    }
    Ok(outcome)
}

/// The connections to be played, in their order; those that never came to be are none.
fn connections(plan: &Plan, outcome: &mut Outcome) -> Result<Vec<u64>, ReplayError> {
    let mut source = Source::open(&plan.path).map_err(ReplayError::Source)?;
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut not_connected = BTreeSet::new();
    loop {
        match source.step()? {
            Step::Entry(Entry { connection, what, .. }) => match what {
                What::Over(Reason::NotConnected, _) => {
                    not_connected.insert(connection);
                }
                _ if seen.len() < REPLAY_NAMES_MAX && seen.insert(connection) => {
                    found.push(connection);
                }
                _ => {}
            },
            Step::Notice(notice) if outcome.notices.len() < 20 => outcome.notices.push(notice),
            Step::Notice(_) => {}
            Step::End => break,
        }
    }
    found.retain(|connection| {
        !not_connected.contains(connection)
            && plan.connection.is_none_or(|wanted| wanted == *connection)
    });
    if found.is_empty() {
        return Err(ReplayError::Nothing("it holds no such connection".into()));
    }
    Ok(found)
}

/// Why playing ends early.
enum End {
    Differs(Box<Difference>),
    Failed(ReplayError),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A data set, as far as it is compared.
#[derive(Clone, Default)]
struct Gathered {
    bytes: Vec<u8>,
    total: u64,
    left_out: u64,
    digest: Xxh3,
    syntax: Option<TransferSyntax>,
}

impl Gathered {
    fn add(&mut self, bytes: &[u8], missing: u64) {
        self.total += bytes.len() as u64 + missing;
        self.left_out += missing;
        self.digest.update(bytes);
        let room = REPLAY_COMPARED_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.total
    }
}

/// Something that a peer did.
enum Happened {
    AssociateRq(Box<AssociateRq>),
    AssociateAc(Box<AssociateAc>),
    Short(PduType, Vec<u8>),
    Command { context_id: u8, bytes: Vec<u8> },
    DataSet { context_id: u8, data_set: Box<Gathered> },
    Unreadable(String),
    Closed,
    Reset,
}

impl Happened {
    /// In the standard's words.
    fn text(&self) -> String {
        match self {
            Self::AssociateRq(request) => {
                format!("A-ASSOCIATE-RQ with {} presentation contexts", request.contexts.len())
            }
            Self::AssociateAc(accept) => {
                format!("A-ASSOCIATE-AC with {} presentation contexts", accept.contexts.len())
            }
            Self::Short(kind, body) => {
                let mut text = kind.name().to_owned();
                let header =
                    crate::ul::pdu_codec::PduHeader { pdu_type: *kind, length: body.len() as u32 };
                let mut lines = String::new();
                short(header, body).lines(0, &mut lines);
                for line in lines.lines() {
                    let _ = write!(text, ", {line}");
                }
                text
            }
            Self::Command { context_id, bytes } => match command_set(bytes, 0) {
                Ok(set) => {
                    let mut text = command_name(&set);
                    let _ = write!(text, " on presentation context {context_id}");
                    if let Some((status, words)) = status(&set) {
                        let _ = write!(text, ", Status (0000,0900) = {:04X}H ({words})", status.0);
                    }
                    text
                }
                Err(why) => why,
            },
            Self::DataSet { context_id, data_set } => {
                let total = data_set.total;
                format!("Data Set of {total} bytes on presentation context {context_id}")
            }
            Self::Unreadable(why) => format!("bytes that are no PDU or PDV: {}", one_line(why)),
            Self::Closed => "transport connection closed".into(),
            Self::Reset => "transport connection reset".into(),
        }
    }
}

/// Collects what one side did from the events of a conversation.
#[derive(Default)]
struct Watch {
    queue: VecDeque<Happened>,
    data_set: Gathered,
    has_garbage: bool,
}

impl Watch {
    fn take(&mut self, conversation: &mut Conversation, side: Side, what: &What) {
        conversation.take(what, &mut |conversation, from, event| {
            if from == side {
                self.event(conversation, &event);
            }
        });
    }

    fn event(&mut self, conversation: &Conversation, event: &Event<'_>) {
        let happened = match *event {
            Event::AssociateRq(Ok(request), _) => Happened::AssociateRq(Box::new(request.clone())),
            Event::AssociateAc(Ok(accept), _) => Happened::AssociateAc(Box::new(accept.clone())),
            Event::AssociateRq(Err(error), _) | Event::AssociateAc(Err(error), _) => {
                Happened::Unreadable(error.to_string())
            }
            Event::Short(header, body) => Happened::Short(header.pdu_type, body.to_vec()),
            Event::Data(_) | Event::Pdv(_) => return,
            Event::Command { context_id, bytes, .. } => {
                Happened::Command { context_id, bytes: bytes.to_vec() }
            }
            Event::DataSet { context_id, bytes, missing, is_last, .. } => {
                self.data_set.add(bytes, missing);
                if !is_last {
                    return;
                }
                let mut data_set = Box::new(std::mem::take(&mut self.data_set));
                data_set.syntax = Some(conversation.transfer_syntax(context_id));
                Happened::DataSet { context_id, data_set }
            }
            Event::Unreadable(_, why) => {
                // Once: how it is cut says nothing.
                if std::mem::replace(&mut self.has_garbage, true) {
                    return;
                }
                Happened::Unreadable(why.unwrap_or_default().to_owned())
            }
            Event::Lost(count) => Happened::Unreadable(format!("{count} bytes are missing")),
        };
        self.queue.push_back(happened);
    }
}

/// What the peer calls otherwise this time: recorded name → today's.
#[derive(Default)]
struct Names {
    message_ids: BTreeMap<u16, u16>,
    uids: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Names {
    fn learn_uid(&mut self, recorded: &[u8], today: &[u8]) {
        if recorded != today && self.uids.len() < REPLAY_NAMES_MAX {
            self.uids.insert(recorded.to_vec(), today.to_vec());
        }
    }
}

/// One connection that is played.
struct Play<'a> {
    plan: &'a Plan,
    stop: &'a StopFlag,
    number: u64,
    /// Lengths of our data sets of which something was left out, in order.
    lengths: VecDeque<u64>,
    live: Option<Connection>,
    /// What the peer does.
    live_talk: Conversation,
    live_watch: Watch,
    has_ended: bool,
    /// What the recording has.
    talk: Conversation,
    watch: Watch,
    /// Our own bytes of the recording.
    framer: Framer,
    sending: Sending,
    /// The longest P-DATA-TF that the peer receives.
    pdu_bytes_max: u32,
    names: Names,
    /// Of the peer's A-ASSOCIATE-RQ.
    titles: Option<TitleFields>,
    events: u64,
    begun_ns: u64,
    now: Moment,
    /// The association is over: what ends the connection is nobody's business.
    is_done: bool,
    /// Class and instance of our last request.
    command: (Option<UidText>, Option<UidText>),
    /// We are in the middle of a message: command or data set are not complete.
    is_in_message: bool,
    cancel: Cancel,
    /// Bytes that the peer's next event may have to be given time for.
    slack_bytes: u64,
    /// When the connection was opened this time.
    begun: Instant,
}

/// Our P-DATA-TF that is being put together.
#[derive(Default)]
struct Sending {
    /// It fits the peer, so it is sent as it was.
    pdu: Vec<u8>,
    wanted: usize,
    /// It does not: PDVs are cut anew.
    is_cut: bool,
    pdv: Option<PdvHeader>,
    stand_in: Option<StandIn>,
    /// Bytes of the command that goes by.
    command: Vec<u8>,
}

impl<'a> Play<'a> {
    fn new(plan: &'a Plan, stop: &'a StopFlag, number: u64) -> Result<Self, ReplayError> {
        Ok(Self {
            plan,
            stop,
            number,
            lengths: lengths(plan, number)?,
            live: None,
            live_talk: Conversation::default(),
            live_watch: Watch::default(),
            has_ended: false,
            talk: Conversation::default(),
            watch: Watch::default(),
            framer: Framer::default(),
            sending: Sending::default(),
            pdu_bytes_max: MAX_PDU_BYTES_MAX,
            names: Names::default(),
            titles: None,
            events: 0,
            begun_ns: 0,
            now: Moment::default(),
            is_done: false,
            command: (None, None),
            is_in_message: false,
            cancel: Cancel::default(),
            slack_bytes: 0,
            begun: Instant::now(),
        })
    }

    fn run(&mut self, outcome: &mut Outcome) -> Result<(), End> {
        let source = Source::open(&self.plan.path).map_err(ReplayError::Source);
        let mut source = source.map_err(End::Failed)?;
        let mut has_begun = false;
        loop {
            let entry = match source.step()? {
                Step::Entry(entry) if entry.connection == self.number => entry,
                Step::Entry(_) | Step::Notice(_) => continue,
                Step::End => break,
            };
            if !std::mem::replace(&mut has_begun, true) {
                self.begun_ns = entry.at.monotonic_ns;
                self.open()?;
            }
            self.now = entry.at;
            let is_over = matches!(entry.what, What::Over(..));
            self.entry(entry.what, outcome)?;
            if is_over {
                break;
            }
        }
        self.finish(outcome)
    }

    /// The connection to the peer.
    fn open(&mut self) -> Result<(), End> {
        let failed = |error| End::Failed(ReplayError::Connect(error));
        let connection = match &self.plan.peer {
            Peer::At(addresses) => {
                let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
                let mut found = None;
                for address in addresses {
                    let timeout = self.plan.connect_timeout;
                    match Connection::connect(*address, timeout, self.plan.transport) {
                        Ok(connection) => {
                            found = Some(connection);
                            break;
                        }
                        Err(error) => last = error,
                    }
                }
                found.ok_or_else(|| failed(last))?
            }
            Peer::Comes(listener) => loop {
                if self.stop.is_raised() {
                    return Err(End::Failed(ReplayError::Stopped));
                }
                match listener.accept() {
                    Ok((stream, _)) => {
                        break Connection::new(stream, self.plan.transport).map_err(failed)?;
                    }
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::WouldBlock
                                | io::ErrorKind::TimedOut
                                | io::ErrorKind::Interrupted
                                | io::ErrorKind::ConnectionAborted
                        ) => {}
                    Err(error) => return Err(failed(error)),
                }
            },
        };
        self.live = Some(connection);
        self.begun = Instant::now();
        Ok(())
    }

    /// Waits until what is sent now is due, where the recorded times are kept.
    fn wait_until_due(&self) -> Result<(), End> {
        let Some(speed) = self.plan.speed else { return Ok(()) };
        let due =
            self.begun + due_after(self.now.monotonic_ns.saturating_sub(self.begun_ns), speed);
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
            if self.stop.is_raised() {
                return Err(End::Failed(ReplayError::Stopped));
            }
            std::thread::sleep(left.min(SLICE));
        }
        Ok(())
    }

    fn theirs(&self) -> Side {
        self.plan.ours.other()
    }

    fn entry(&mut self, what: What, outcome: &mut Outcome) -> Result<(), End> {
        let theirs = self.theirs();
        let mut talk = std::mem::take(&mut self.talk);
        self.watch.take(&mut talk, theirs, &what);
        self.talk = talk;
        match what {
            What::Bytes(side, bytes) if side == self.plan.ours => {
                self.wait_until_due()?;
                let mut parts = Vec::new();
                let mut framer = std::mem::take(&mut self.framer);
                framer.take(&bytes, &mut |part| parts.push(Owned::of(&part)));
                self.framer = framer;
                for part in parts {
                    self.part(part, outcome)?;
                }
            }
            What::LeftOut(side, count) | What::Missing(side, count) if side == self.plan.ours => {
                let mut parts = Vec::new();
                let mut framer = std::mem::take(&mut self.framer);
                framer.skip(count, true, &mut |part| parts.push(Owned::of(&part)));
                self.framer = framer;
                for part in parts {
                    self.part(part, outcome)?;
                }
            }
            What::End(side, ending) if side == self.plan.ours => {
                self.is_in_message = false;
                self.wait_until_due()?;
                self.rest(outcome)?;
                self.end_ours(ending);
            }
            What::End(_, ending) if !self.is_done => {
                self.watch.queue.push_back(match ending {
                    Ending::Closed => Happened::Closed,
                    Ending::Reset => Happened::Reset,
                });
            }
            _ => {}
        }
        // What the peer had done by now is awaited; in the middle of a message of ours it cannot be what
        // that waits for.
        if self.is_in_message {
            return Ok(());
        }
        while let Some(expected) = self.watch.queue.pop_front() {
            self.expect(&expected, outcome)?;
        }
        Ok(())
    }

    /// What of our last PDU was recorded, and never came to its end.
    fn rest(&mut self, outcome: &mut Outcome) -> Result<(), End> {
        let mut rest = std::mem::take(&mut self.sending.pdu);
        rest.extend_from_slice(self.framer.held());
        self.framer = Framer::default();
        if rest.is_empty() { Ok(()) } else { self.write(&rest, outcome) }
    }

    fn end_ours(&mut self, ending: Ending) {
        let Some(live) = &self.live else { return };
        let stream = live.handle();
        if ending == Ending::Reset {
            let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            self.live = None;
        } else {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Sends a part of ours.
    fn part(&mut self, part: Owned, outcome: &mut Outcome) -> Result<(), End> {
        match part {
            Owned::Pdu(kind, raw) => self.pdu(kind, raw, outcome),
            Owned::Data(length, raw) => {
                self.sending.is_cut = length > self.pdu_bytes_max;
                self.sending.pdu.clear();
                self.sending.wanted = PDU_HEADER_BYTES + length as usize;
                if !self.sending.is_cut {
                    self.sending.pdu.extend_from_slice(&raw);
                }
                Ok(())
            }
            Owned::Pdv(header, raw) => {
                self.sending.pdv = Some(header);
                if !self.sending.is_cut {
                    self.sending.pdu.extend_from_slice(&raw);
                }
                self.whole(outcome)
            }
            Owned::Fragment(raw, is_end) => self.fragment(&raw, is_end, outcome),
            Owned::Gap(count, is_end) => {
                let mut left = count;
                while left > 0 {
                    let piece = left.min(16 * 1024);
                    left -= piece;
                    let bytes = self.stood_in(piece as usize);
                    self.fragment(&bytes, is_end && left == 0, outcome)?;
                }
                Ok(())
            }
            Owned::Raw(raw) => self.write(&raw, outcome),
            Owned::Nothing => Ok(()),
        }
    }

    /// Bytes in the place of what was left out.
    fn stood_in(&mut self, count: usize) -> Vec<u8> {
        let Some(pdv) = self.sending.pdv else { return Vec::new() };
        let mut bytes = Vec::new();
        if self.sending.stand_in.is_none() {
            let total = self.lengths.pop_front().unwrap_or_default();
            let syntax = self.live_talk.context(pdv.context_id).transfer_syntax;
            let syntax = syntax.as_ref().map(TransferSyntax::of);
            let syntax = syntax.unwrap_or_else(|| self.talk.transfer_syntax(pdv.context_id));
            let (class, instance) = self.command;
            self.sending.stand_in = Some(StandIn::new(syntax, total, class, instance));
        }
        if let Some(stand_in) = &mut self.sending.stand_in {
            stand_in.fill(&mut bytes, count);
        }
        bytes
    }

    fn fragment(&mut self, raw: &[u8], is_end: bool, outcome: &mut Outcome) -> Result<(), End> {
        let Some(pdv) = self.sending.pdv else { return Ok(()) };
        let is_last = is_end && pdv.is_last();
        self.is_in_message = true;
        if pdv.is_command() {
            self.sending.command.extend_from_slice(raw);
        }
        if self.sending.is_cut {
            self.cut(pdv, raw, is_last, outcome)?;
        } else {
            self.sending.pdu.extend_from_slice(raw);
        }
        if is_last {
            self.sending.stand_in = None;
            // A command goes on with the data set that it announces.
            self.is_in_message = false;
            if pdv.is_command() {
                let command = std::mem::take(&mut self.sending.command);
                self.is_in_message = self.command(&command);
            }
        }
        self.whole(outcome)
    }

    /// Notes what our command names; true where a data set follows.
    fn command(&mut self, bytes: &[u8]) -> bool {
        let Ok(set) = CommandSet::decode(bytes) else { return false };
        self.command =
            (set.uid(Field::AffectedSopClassUid), set.uid(Field::AffectedSopInstanceUid));
        if set.us(Field::CommandField) == Some(C_CANCEL_RQ) {
            self.cancel.ours.extend(set.us(Field::MessageIdBeingRespondedTo));
        }
        set.announces_data_set()
    }

    /// A fragment in PDUs that the peer receives.
    fn cut(
        &mut self,
        pdv: PdvHeader,
        raw: &[u8],
        is_last: bool,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        let kind = if pdv.is_command() { FragmentKind::Command } else { FragmentKind::DataSet };
        let most = (self.pdu_bytes_max as usize).saturating_sub(PDV_HEADER_BYTES) & !1;
        let most = most.max(2);
        let mut rest = raw;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(most));
            rest = after;
            let is_end = rest.is_empty();
            if piece.is_empty() && !is_last {
                return Ok(());
            }
            let header = data_header(pdv.context_id, kind, is_last && is_end, piece.len());
            self.write(&[&header[..], piece].concat(), outcome)?;
            if is_end {
                return Ok(());
            }
        }
    }

    /// Sends the P-DATA-TF in hand once it is complete.
    fn whole(&mut self, outcome: &mut Outcome) -> Result<(), End> {
        if self.sending.is_cut || self.sending.pdu.len() < self.sending.wanted {
            return Ok(());
        }
        let pdu = std::mem::take(&mut self.sending.pdu);
        if pdu.is_empty() {
            return Ok(());
        }
        self.await_cancel(&pdu, outcome)?;
        let pdu = self.renamed(&pdu).unwrap_or(pdu);
        self.write(&pdu, outcome)
    }

    /// Our response with today's names, where the PDU is one whole command that has others.
    fn renamed(&self, pdu: &[u8]) -> Option<Vec<u8>> {
        let (header, command) = pdu.split_first_chunk::<DATA_HEADER_BYTES>()?;
        let [.., a, b, c, d, context_id, control] = *header;
        let item_length = u32::from_be_bytes([a, b, c, d]) as usize;
        if control & 3 != 3 || item_length != command.len() + 2 {
            return None;
        }
        let set = CommandSet::decode(command).ok()?;
        if set.us(Field::CommandField)? & RESPONSE_BIT == 0 {
            return None;
        }
        let mut changed = BTreeMap::new();
        let recorded = set.us(Field::MessageIdBeingRespondedTo)?;
        if let Some(id) = self.names.message_ids.get(&recorded).filter(|id| **id != recorded) {
            changed.insert(Field::MessageIdBeingRespondedTo.element(), id.to_le_bytes().to_vec());
        }
        let uid = set.value(Field::AffectedSopInstanceUid).map(trimmed);
        if let Some(uid) = uid.and_then(|uid| self.names.uids.get(uid)) {
            let mut uid = uid.clone();
            if uid.len() % 2 == 1 {
                uid.push(0);
            }
            changed.insert(Field::AffectedSopInstanceUid.element(), uid);
        }
        if changed.is_empty() {
            return None;
        }
        let command = rewritten(command, &changed);
        let header = data_header(context_id, FragmentKind::Command, true, command.len());
        Some([&header[..], &command].concat())
    }

    /// Sends a whole PDU of ours.
    fn pdu(&mut self, kind: PduType, mut raw: Vec<u8>, outcome: &mut Outcome) -> Result<(), End> {
        match kind {
            PduType::AssociateRq => {
                for (start, title) in [10, 26].into_iter().zip(self.plan.titles) {
                    if let (Some(title), Some(place)) = (title, raw.get_mut(start..start + 16)) {
                        place.copy_from_slice(&title.padded());
                    }
                }
            }
            // PS3.8 §9.3.3: the fields of the request come back unchanged.
            PduType::AssociateAc => {
                if let (Some(titles), Some(place)) = (self.titles, raw.get_mut(10..74)) {
                    place.copy_from_slice(titles.as_bytes());
                }
            }
            PduType::ReleaseRp | PduType::Abort | PduType::AssociateRj => self.is_done = true,
            _ => {}
        }
        self.write(&raw, outcome)
    }

    /// Sends bytes; what the peer did instead of taking them is a difference.
    fn write(&mut self, bytes: &[u8], outcome: &mut Outcome) -> Result<(), End> {
        if self.cancel.skipped.is_some() {
            // An answer to what the peer did not come to ask this time.
            return Ok(());
        }
        let ours = self.plan.ours;
        // So that what is accepted is known by today's association as well.
        let mut live_talk = std::mem::take(&mut self.live_talk);
        live_talk.take(&What::Bytes(ours, bytes.to_vec()), &mut |_, _, _| {});
        self.live_talk = live_talk;
        let result = self.live.as_mut().map(|live| live.write(bytes));
        match result {
            Some(Ok(())) => {
                outcome.sent += 1;
                Ok(())
            }
            // Ours is the side that ends it.
            _ if self.is_done => Ok(()),
            _ => {
                let expected = "the peer takes what is sent";
                let came = self.next().map_or_else(|| "nothing".into(), |came| came.text());
                Err(self.differs(expected, came, "the peer does not go on".into()))
            }
        }
    }

    /// The peer's next event; `None` when none comes in time.
    fn next(&mut self) -> Option<Happened> {
        let theirs = self.theirs();
        let mut deadline = Instant::now() + self.plan.patience;
        let mut block = vec![0; 64 * 1024];
        loop {
            if let Some(happened) = self.live_watch.queue.pop_front() {
                return Some(happened);
            }
            if self.has_ended {
                return Some(Happened::Closed);
            }
            // Looked at before every read: who drips or floods is as good as silent.
            if self.stop.is_raised() || Instant::now() >= deadline {
                return None;
            }
            let live = self.live.as_mut()?;
            match live.read(&mut block, Some(deadline), Some((self.stop, Duration::ZERO))) {
                Ok(count) => {
                    // A long data set takes its time, but not any, and not more than a long one does.
                    let counted = (count as u64).min(self.slack_bytes);
                    self.slack_bytes -= counted;
                    let bytes_per_ms = u64::from(SLOWEST_PEER_BYTES_PER_S / 1000);
                    deadline += Duration::from_millis(counted / bytes_per_ms);
                    let bytes = block.get(..count).unwrap_or_default().to_vec();
                    let mut talk = std::mem::take(&mut self.live_talk);
                    self.live_watch.take(&mut talk, theirs, &What::Bytes(theirs, bytes));
                    self.live_talk = talk;
                }
                Err(ReadEnd::Closed) => {
                    self.has_ended = true;
                    return Some(Happened::Closed);
                }
                Err(ReadEnd::Broken(_)) => {
                    self.has_ended = true;
                    return Some(Happened::Reset);
                }
                Err(ReadEnd::TimedOut | ReadEnd::Stopped | ReadEnd::Interrupted) => return None,
            }
        }
    }

    /// Awaits what the recording has.
    fn expect(&mut self, expected: &Happened, outcome: &mut Outcome) -> Result<(), End> {
        if self.is_done && matches!(expected, Happened::Closed | Happened::Reset) {
            return Ok(());
        }
        if self.is_left_open(expected, outcome)? {
            return Ok(());
        }
        self.events += 1;
        let came = self.awaited(expected)?;
        if self.stops_early(expected, &came) {
            self.live_watch.queue.push_front(came);
            return Ok(());
        }
        self.matches(expected, &came, outcome)
    }

    /// The peer's next event, which is no C-CANCEL unless that is expected.
    fn awaited(&mut self, expected: &Happened) -> Result<Happened, End> {
        self.slack_bytes = match expected {
            // It may be encoded otherwise.
            Happened::DataSet { data_set, .. } => data_set.total.saturating_mul(2),
            _ => 0,
        };
        loop {
            let Some(came) = self.next() else {
                if self.stop.is_raised() {
                    return Err(End::Failed(ReplayError::Stopped));
                }
                let patience = self.plan.patience.as_secs();
                let came = format!("nothing within {patience} s");
                return Err(self.differs(&expected.text(), came, "the event did not come".into()));
            };
            // It comes whenever the peer's user likes (PS3.7 §9.3.2.3).
            let is_early = cancelled_by(&came).is_some() && cancelled_by(expected).is_none();
            if !is_early || self.cancel.early.len() >= REPLAY_NAMES_MAX {
                return Ok(came);
            }
            self.cancel.early.push_back(came);
        }
    }

    /// Compares two events.
    fn matches(
        &mut self,
        expected: &Happened,
        came: &Happened,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        if let Some(differs) = self.compare(expected, came) {
            return Err(self.differs(&expected.text(), came.text(), differs));
        }
        self.learn(came);
        outcome.matched += 1;
        Ok(())
    }

    fn learn(&mut self, came: &Happened) {
        let maximum = match came {
            Happened::AssociateRq(request) => {
                self.titles = Some(request.titles);
                request.maximum_length()
            }
            Happened::AssociateAc(accept) => accept.maximum_length(),
            Happened::Short(PduType::ReleaseRp | PduType::Abort | PduType::AssociateRj, _)
            | Happened::Closed
            | Happened::Reset => {
                self.is_done = true;
                return;
            }
            _ => return,
        };
        // PS3.8 Annex D.1: what it receives.
        let most = maximum.unwrap_or(MAX_PDU_BYTES_MAX).min(MAX_PDU_BYTES_MAX);
        self.pdu_bytes_max = most.max(8);
    }

    fn differs(&self, expected: &str, came: String, differs: String) -> End {
        End::Differs(Box::new(Difference {
            connection: self.number,
            event: self.events,
            at_ns: self.now.monotonic_ns.saturating_sub(self.begun_ns),
            expected: expected.to_owned(),
            came,
            differs,
        }))
    }

    /// The end: whatever the peer still does was not recorded.
    fn finish(&mut self, outcome: &mut Outcome) -> Result<(), End> {
        while let Some(expected) = self.watch.queue.pop_front() {
            self.expect(&expected, outcome)?;
        }
        self.await_all_cancels(outcome)?;
        if let Some(extra) = self.cancel.early.pop_front() {
            self.events += 1;
            let text = extra.text();
            return Err(self.differs(
                "nothing more",
                text,
                "the recording has no such event".into(),
            ));
        }
        let Some(live) = &self.live else { return Ok(()) };
        let _ = live.handle().shutdown(std::net::Shutdown::Write);
        if self.is_done {
            let deadline = Instant::now() + Duration::from_secs(u64::from(CLOSE_TIMEOUT_S));
            if let Some(live) = self.live.as_mut() {
                let mut block = [0; 4096];
                // The peer closes; that it does so is not awaited for ever.
                while Instant::now() < deadline
                    && !self.stop.is_raised()
                    && live
                        .read(&mut block, Some(deadline), Some((self.stop, Duration::ZERO)))
                        .is_ok()
                {}
            }
            return Ok(());
        }
        match self.next() {
            None | Some(Happened::Closed | Happened::Reset) => Ok(()),
            Some(came) => {
                self.events += 1;
                let text = came.text();
                Err(self.differs("nothing more", text, "the recording ends here".into()))
            }
        }
    }

    fn is_ignored(&self, aspect: Aspect) -> bool {
        self.plan.ignored.contains(&aspect)
    }

    /// Where two events differ; `None` where they do not.
    fn compare(&mut self, expected: &Happened, came: &Happened) -> Option<String> {
        match (expected, came) {
            (Happened::AssociateRq(expected), Happened::AssociateRq(came)) => {
                self.requests(expected, came)
            }
            (Happened::AssociateAc(expected), Happened::AssociateAc(came)) => {
                self.accepts(expected, came)
            }
            (Happened::Short(one, expected), Happened::Short(other, came)) if one == other => {
                // Reserved fields are not tested (PS3.8 §9.3).
                let significant: &[usize] = match one {
                    PduType::AssociateRj => &[1, 2, 3],
                    PduType::Abort if expected.get(2) == Some(&0) => &[2],
                    PduType::Abort => &[2, 3],
                    _ => &[],
                };
                let names = ["", "Result", "Source", "Reason/Diag."];
                let at = significant.iter().find(|at| expected.get(**at) != came.get(**at))?;
                let (one, other) = (expected.get(*at), came.get(*at));
                let name = names.get(*at).copied().unwrap_or_default();
                Some(format!("{name}: expected {}, came {}", number(one), number(other)))
            }
            (
                Happened::Command { context_id, bytes },
                Happened::Command { context_id: other, bytes: came },
            ) => {
                if context_id != other {
                    let text = "Presentation-context-ID";
                    return Some(format!("{text}: expected {context_id}, came {other}"));
                }
                self.commands(bytes, came)
            }
            (
                Happened::DataSet { context_id, data_set },
                Happened::DataSet { context_id: other, data_set: came },
            ) => {
                if context_id != other {
                    let text = "Presentation-context-ID";
                    return Some(format!("{text}: expected {context_id}, came {other}"));
                }
                self.data_sets(data_set, came)
            }
            (Happened::Unreadable(_), Happened::Unreadable(_))
            | (Happened::Closed | Happened::Reset, Happened::Closed | Happened::Reset) => None,
            _ => Some("another event".into()),
        }
    }

    fn requests(&self, expected: &AssociateRq, came: &AssociateRq) -> Option<String> {
        self.titles_of(&expected.titles, &came.titles)
            .or_else(|| {
                let one = expected.application_context.to_string();
                let other = came.application_context.to_string();
                differing("Application-context-name", &one, &other)
            })
            .or_else(|| {
                let all = |request: &AssociateRq| -> Vec<(u8, String)> {
                    let one = |context: &crate::ul::pdu::ProposedContext| {
                        let mut text = context.abstract_syntax.to_string();
                        for syntax in &context.transfer_syntaxes {
                            let _ = write!(text, " {}", String::from_utf8_lossy(syntax.as_bytes()));
                        }
                        (context.id, text)
                    };
                    request.contexts.iter().map(one).collect()
                };
                contexts(&all(expected), &all(came))
            })
            .or_else(|| {
                self.users(expected.user_information.as_ref(), came.user_information.as_ref())
            })
    }

    fn accepts(&self, expected: &AssociateAc, came: &AssociateAc) -> Option<String> {
        let all = |accept: &AssociateAc| -> Vec<(u8, String)> {
            let one = |context: &crate::ul::pdu::ContextResult| {
                let byte = context.result.byte();
                let mut text = format!("Result/Reason {byte} ({})", result(context.result));
                // Not significant for a refused one (PS3.8 §9.3.3.2).
                if byte == 0 {
                    let _ = write!(text, ", Transfer-syntax-name {}", context.transfer_syntax);
                }
                (context.id, text)
            };
            accept.contexts.iter().map(one).collect()
        };
        contexts(&all(expected), &all(came)).or_else(|| {
            self.users(expected.user_information.as_ref(), came.user_information.as_ref())
        })
    }

    fn titles_of(&self, expected: &TitleFields, came: &TitleFields) -> Option<String> {
        if self.is_ignored(Aspect::Titles) {
            return None;
        }
        let text = |title: AeTitle| crate::log::escaped(title.as_bytes()).to_string();
        let called = (text(expected.called_ae_title()), text(came.called_ae_title()));
        let calling = (text(expected.calling_ae_title()), text(came.calling_ae_title()));
        differing("Called-AE-title", &called.0, &called.1)
            .or_else(|| differing("Calling-AE-title", &calling.0, &calling.1))
    }

    fn users(
        &self,
        expected: Option<&UserInformation>,
        came: Option<&UserInformation>,
    ) -> Option<String> {
        let (Some(expected), Some(came)) = (expected, came) else {
            let word = |is_there: bool| if is_there { "present" } else { "absent" };
            let (one, other) = (word(expected.is_some()), word(came.is_some()));
            return differing("User Information Item", one, other);
        };
        if !self.is_ignored(Aspect::MaximumLength) && expected.maximum_length != came.maximum_length
        {
            let text =
                |bytes: Option<u32>| bytes.map_or("absent".into(), |bytes| bytes.to_string());
            let (one, other) = (text(expected.maximum_length), text(came.maximum_length));
            return differing("Maximum-length-received", &one, &other);
        }
        if !self.is_ignored(Aspect::Implementation) {
            let text = |information: &UserInformation| {
                let name = information.implementation_version_name.as_deref().unwrap_or_default();
                let class = information.implementation_class_uid;
                format!("{class} {}", crate::log::escaped(name))
            };
            let differs = differing("Implementation", &text(expected), &text(came));
            if differs.is_some() {
                return differs;
            }
        }
        let roles = |information: &UserInformation| format!("{:?}", information.roles);
        differing("SCP/SCU Role Selection", &roles(expected), &roles(came))
            .or_else(|| {
                let extended = |information: &UserInformation| {
                    format!("{:?}", information.extended_negotiation)
                };
                differing("SOP Class Extended Negotiation", &extended(expected), &extended(came))
            })
            .or_else(|| {
                let common =
                    |one: &UserInformation| format!("{:?}", one.common_extended_negotiation);
                let name = "SOP Class Common Extended Negotiation";
                differing(name, &common(expected), &common(came))
            })
            .or_else(|| {
                let window = |information: &UserInformation| {
                    information.asynchronous_operations.map_or_else(
                        || "absent".into(),
                        |window| {
                            format!("{} invoked, {} performed", window.invoked, window.performed)
                        },
                    )
                };
                differing("Asynchronous Operations Window", &window(expected), &window(came))
            })
            .or_else(|| {
                differing("User Identity Negotiation", &identity(expected), &identity(came))
            })
            .or_else(|| {
                let response = |information: &UserInformation| {
                    let response = information.user_identity_response.as_ref();
                    response.map_or("absent", |_| "present")
                };
                let name = "User Identity Negotiation, response";
                differing(name, response(expected), response(came))
            })
    }

    fn commands(&mut self, expected: &[u8], came: &[u8]) -> Option<String> {
        let (expected, came) = match (command_set(expected, 0), command_set(came, 0)) {
            (Ok(expected), Ok(came)) => (expected, came),
            (Err(one), Err(other)) => return differing("Command Set", &one, &other),
            (Ok(_), Err(why)) | (Err(why), Ok(_)) => return Some(why),
        };
        // The command itself says most, then its status.
        let first = [Field::CommandField, Field::Status];
        let rest = Field::ALL.into_iter().filter(|field| !first.contains(field));
        for field in first.into_iter().chain(rest) {
            let differs = self.field(field, &expected, &came);
            if differs.is_some() {
                return differs;
            }
        }
        None
    }

    /// Where the two have another value in `field`; what may differ in requests is learned.
    fn field(
        &mut self,
        field: Field,
        expected: &CommandSet<'_>,
        came: &CommandSet<'_>,
    ) -> Option<String> {
        let command = came.us(Field::CommandField).unwrap_or_default();
        let is_request = command & RESPONSE_BIT == 0;
        let pair = (expected.value(field).map(trimmed), came.value(field).map(trimmed));
        let is_ignored = match field {
            // It came in time, or it did not.
            Field::Status if self.cancel.is_comparing_finals => is_end_of_cancelled(expected, came),
            Field::NumberOfRemainingSubOperations
            | Field::NumberOfCompletedSubOperations
            | Field::NumberOfFailedSubOperations
            | Field::NumberOfWarningSubOperations
                if self.cancel.is_comparing =>
            {
                true
            }
            Field::ErrorComment if self.cancel.is_comparing_finals => true,
            Field::ErrorComment | Field::ErrorId => self.is_ignored(Aspect::Comments),
            Field::MoveDestination | Field::MoveOriginatorApplicationEntityTitle => {
                self.is_ignored(Aspect::Titles)
            }
            Field::MoveOriginatorMessageId => self.is_ignored(Aspect::MessageIds),
            Field::NumberOfRemainingSubOperations
            | Field::NumberOfCompletedSubOperations
            | Field::NumberOfFailedSubOperations
            | Field::NumberOfWarningSubOperations => self.is_ignored(Aspect::Counters),
            Field::MessageId => {
                let ids = &mut self.names.message_ids;
                if let (Some(one), Some(other)) = (expected.us(field), came.us(field)) {
                    // 65,536 are all that there are.
                    ids.insert(one, other);
                }
                self.is_ignored(Aspect::MessageIds)
            }
            // C-CANCEL names the peer's own request.
            Field::MessageIdBeingRespondedTo if command == C_CANCEL_RQ => {
                self.is_ignored(Aspect::MessageIds)
            }
            Field::AffectedSopInstanceUid | Field::RequestedSopInstanceUid if is_request => {
                if let (Some(one), Some(other)) = pair {
                    self.names.learn_uid(one, other);
                }
                self.is_ignored(Aspect::Uids)
            }
            // Any other number than 0101H says the same (PS3.7 Annex E.1).
            Field::CommandDataSetType => expected.announces_data_set() == came.announces_data_set(),
            _ => false,
        };
        if is_ignored || pair.0 == pair.1 {
            return None;
        }
        let tag = crate::tag::Tag::new(0, field.element());
        let name = crate::dictionary::keyword_of(tag).unwrap_or_default();
        let text = |set: &CommandSet<'_>, value: Option<&[u8]>| match (value, set.us(field)) {
            (None, _) => "absent".into(),
            (Some(_), Some(word)) if field == Field::Status => format!("{word:04X}H"),
            (Some(_), Some(word)) if field == Field::CommandField => format!("{word:04X}H"),
            (Some(value), _) if is_text(field) => crate::log::escaped(value).to_string(),
            (Some(_), Some(word)) => word.to_string(),
            (Some(value), None) => crate::log::escaped(value).to_string(),
        };
        let (one, other) = (text(expected, pair.0), text(came, pair.1));
        Some(format!("{name} {tag}: expected {one}, came {other}"))
    }

    fn data_sets(&self, expected: &Gathered, came: &Gathered) -> Option<String> {
        if self.is_ignored(Aspect::DataSets) || expected.left_out > 0 {
            return None;
        }
        if expected.total == came.total && expected.digest.digest() == came.digest.digest() {
            return None;
        }
        let lenient = self.is_ignored(Aspect::Uids) || self.is_ignored(Aspect::Dates);
        if !expected.is_whole() || !came.is_whole() {
            let (one, other) = (expected.total, came.total);
            if lenient {
                return None;
            }
            return Some(format!("Data Set: expected {one} bytes, came {other}, or others"));
        }
        let ignored = |vr: Vr| match &vr.0 {
            b"UI" => self.is_ignored(Aspect::Uids),
            b"DA" | b"DT" | b"TM" => self.is_ignored(Aspect::Dates),
            _ => false,
        };
        let ((one, is_one_whole), (other, is_other_whole)) = (elements(expected), elements(came));
        for (expected, came) in one.iter().zip(&other) {
            let is_same = expected.place == came.place || {
                // The length of a value that may differ may differ, too.
                let lengths = Place { length: came.place.length, ..expected.place };
                lengths == came.place
            };
            if is_same && (ignored(expected.place.vr) || expected.value == came.value) {
                continue;
            }
            return Some(format!("Data Set: expected {}, came {}", expected.text, came.text));
        }
        match (one.get(other.len()), other.get(one.len())) {
            (Some(missing), _) => {
                Some(format!("Data Set: expected {}, came nothing", missing.text))
            }
            (_, Some(extra)) => {
                Some(format!("Data Set: expected nothing more, came {}", extra.text))
            }
            // What differs is padding of what was compared, or what may differ.
            _ if is_one_whole && is_other_whole && !one.is_empty() => None,
            _ => Some("Data Set: other bytes behind what can be read".into()),
        }
    }
}

/// When something is due that was recorded so long after the begin.
fn due_after(since_ns: u64, speed: f64) -> Duration {
    // Whatever a file says, no clock goes further.
    let most = Duration::from_secs(REPLAY_REAL_TIME_S_MAX);
    Duration::from_nanos(since_ns).min(most).div_f64(speed).min(most)
}

/// A part of ours that is sent.
enum Owned {
    Pdu(PduType, Vec<u8>),
    Data(u32, [u8; PDU_HEADER_BYTES]),
    Pdv(PdvHeader, [u8; PDV_HEADER_BYTES]),
    Fragment(Vec<u8>, bool),
    Gap(u64, bool),
    Raw(Vec<u8>),
    Nothing,
}

impl Owned {
    fn of(part: &Part<'_>) -> Self {
        match part {
            Part::Pdu { header, raw } => Self::Pdu(header.pdu_type, raw.to_vec()),
            Part::Data { header, raw } => Self::Data(header.length, *raw),
            Part::Pdv { header, raw } => Self::Pdv(*header, *raw),
            Part::Fragment { raw, is_end } => Self::Fragment(raw.to_vec(), *is_end),
            Part::Gap { bytes, is_end, .. } => Self::Gap(*bytes, *is_end),
            Part::Unreadable { raw, .. } => Self::Raw(raw.to_vec()),
            Part::Lost { .. } => Self::Nothing,
        }
    }
}

/// Lengths of our data sets of which something is left out.
fn lengths(plan: &Plan, number: u64) -> Result<VecDeque<u64>, ReplayError> {
    let mut source = Source::open(&plan.path).map_err(ReplayError::Source)?;
    let (mut found, mut total, mut has_gap) = (VecDeque::new(), 0, false);
    let mut talk = Conversation::default();
    loop {
        let what = match source.step()? {
            Step::Entry(entry) if entry.connection == number => entry.what,
            Step::Entry(_) | Step::Notice(_) => continue,
            Step::End => return Ok(found),
        };
        if matches!(&what, What::Bytes(_, bytes) if super::proxy::is_tls(bytes)) && total == 0 {
            let why = format!("connection {number} is TLS, which is recorded and cannot be played");
            return Err(ReplayError::Nothing(why));
        }
        let is_over = matches!(what, What::Over(..));
        talk.take(&what, &mut |_, side, event| {
            if let (true, Event::DataSet { bytes, missing, is_last, .. }) =
                (side == plan.ours, event)
            {
                total += bytes.len() as u64 + missing;
                has_gap |= missing > 0;
                if is_last {
                    if has_gap && found.len() < REPLAY_NAMES_MAX {
                        found.push_back(total);
                    }
                    (total, has_gap) = (0, false);
                }
            }
        });
        if is_over {
            return Ok(found);
        }
    }
}

/// A value without its padding.
fn trimmed(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| *byte != 0 && *byte != b' ').map_or(0, |at| at + 1);
    // A number may end in zero bytes.
    if value.len() <= 4 { value } else { value.get(..end).unwrap_or_default() }
}

const fn is_text(field: Field) -> bool {
    matches!(
        field,
        Field::ErrorComment
            | Field::MoveDestination
            | Field::MoveOriginatorApplicationEntityTitle
            | Field::AffectedSopClassUid
            | Field::RequestedSopClassUid
            | Field::AffectedSopInstanceUid
            | Field::RequestedSopInstanceUid
    )
}

/// A user identity without what it says, which no recording that is shared has (`treat`) and which may be
/// another each time (a token): its type, what is asked for, and which fields are there.
fn identity(information: &UserInformation) -> String {
    information.user_identity.as_ref().map_or_else(
        || "absent".into(),
        |identity| {
            let asks =
                if identity.positive_response_requested { "a response" } else { "no response" };
            let [one, other] = [&identity.primary_field, &identity.secondary_field]
                .map(|field| if field.is_empty() { "empty" } else { "present" });
            let kind = identity.identity_type;
            format!("type {kind}, {asks} requested, fields {one} and {other}")
        },
    )
}

fn number(byte: Option<&u8>) -> String {
    byte.map_or_else(|| "nothing".into(), ToString::to_string)
}

fn differing(name: &str, expected: &str, came: &str) -> Option<String> {
    (expected != came).then(|| format!("{name}: expected {expected}, came {came}"))
}

/// Where two lists of presentation contexts differ.
fn contexts(expected: &[(u8, String)], came: &[(u8, String)]) -> Option<String> {
    for (id, one) in expected {
        let other = came.iter().find(|(other, _)| other == id);
        let other = other.map_or("nothing", |(_, other)| other.as_str());
        if one != other {
            return Some(format!("Presentation Context {id}: expected {one}, came {other}"));
        }
    }
    let extra = came.iter().find(|(id, _)| !expected.iter().any(|(other, _)| other == id));
    extra.map(|(id, text)| format!("Presentation Context {id}: expected nothing, came {text}"))
}

/// A command with other values in some elements, and its group length.
fn rewritten(command: &[u8], changed: &BTreeMap<u16, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(command.len() + 64);
    let mut rest = command;
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let [g0, g1, e0, e1, a, b, c, d] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let (value, after) = after.split_at(length.min(after.len()));
        rest = after;
        let value = changed.get(&u16::from_le_bytes([e0, e1])).map_or(value, Vec::as_slice);
        out.extend([g0, g1, e0, e1]);
        out.extend((value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
    }
    // PS3.7 §6.3.1: it stands first, and counts what comes behind it.
    if out.starts_with(&[0, 0, 0, 0, 4, 0, 0, 0]) {
        let length = (out.len() as u32).saturating_sub(12).to_le_bytes();
        if let Some(place) = out.get_mut(8..12) {
            place.copy_from_slice(&length);
        }
    }
    out
}

/// An element of a data set that is compared.
struct Compared {
    place: Place,
    value: Vec<u8>,
    text: String,
}

#[derive(Default)]
struct Gathering {
    done: Vec<Compared>,
    place: Option<Place>,
    value: Vec<u8>,
}

impl Gathering {
    fn put(&mut self) {
        let Some(place) = self.place.take() else { return };
        let value = std::mem::take(&mut self.value);
        let Place { tag, vr, length, depth, is_opening, is_big_endian } = place;
        let shown = value.get(..value.len().min(RECORDING_SHOWN_VALUE_BYTES)).unwrap_or_default();
        let shown = Shown { tag, vr, length, value: shown, depth, is_opening, is_big_endian };
        let (text, _) = shown.text(CharacterSet::default());
        let keyword = crate::dictionary::keyword_of(tag).unwrap_or_default();
        let text = format!("{tag} {vr} {keyword} {text}");
        self.done.push(Compared { place, value, text });
    }
}

impl Visitor for Gathering {
    fn header(&mut self, place: Place) {
        self.place = Some(place);
        self.value.clear();
        if place.is_opening {
            self.put();
        }
    }

    fn value(&mut self, bytes: &[u8], is_end: bool) {
        self.value.extend_from_slice(bytes);
        if is_end {
            self.put();
        }
    }
}

/// The elements of a data set that is held whole, and whether that is all; those before what is none.
fn elements(data_set: &Gathered) -> (Vec<Compared>, bool) {
    let Some(syntax) = data_set.syntax else { return (Vec::new(), false) };
    let mut gathering = Gathering::default();
    let mut walk = Walk::new(syntax);
    let walked = if syntax.is_deflated {
        let inflated = crate::dataset::identifier::inflated(syntax, &data_set.bytes);
        inflated.is_ok_and(|bytes| walk.feed(&bytes, &mut gathering).is_ok())
    } else {
        walk.feed(&data_set.bytes, &mut gathering).is_ok()
    };
    (gathering.done, walked && walk.is_whole())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// limits::REPLAY_COMPARED_BYTES_MAX and REPLAY_NAMES_MAX.
    #[test]
    fn edges_of_what_is_held() {
        let mut data_set = Gathered::default();
        data_set.add(&vec![1; REPLAY_COMPARED_BYTES_MAX], 0);
        assert!(data_set.is_whole());
        data_set.add(b"x", 0);
        assert!(!data_set.is_whole() && data_set.bytes.len() == REPLAY_COMPARED_BYTES_MAX);
        let mut names = Names::default();
        for number in 0..=REPLAY_NAMES_MAX {
            names.learn_uid(number.to_string().as_bytes(), b"1.2");
        }
        assert_eq!(names.uids.len(), REPLAY_NAMES_MAX);
    }

    /// limits::REPLAY_REAL_TIME_S_MAX, whatever a recording says.
    #[test]
    fn edge_of_real_time() {
        let most = Duration::from_secs(REPLAY_REAL_TIME_S_MAX);
        let ns = REPLAY_REAL_TIME_S_MAX * 1_000_000_000;
        assert_eq!(due_after(ns - 1_000_000_000, 1.0).as_secs(), REPLAY_REAL_TIME_S_MAX - 1);
        assert_eq!([ns, ns + 1, u64::MAX].map(|ns| due_after(ns, 1.0)), [most; 3]);
        assert_eq!((due_after(u64::MAX, 0.001), due_after(ns, 1000.0)), (most, most / 1000));
        assert_eq!(due_after(3_000_000_000, 2.0), Duration::from_millis(1500));
    }

    /// PS3.7 §6.3.1: the group length counts what is behind it, whatever was put in place.
    #[test]
    fn a_command_with_another_uid() {
        let mut command = Vec::new();
        let uid = UidText::new(b"1.2.3").unwrap();
        crate::dimse::command_set::Encoder::new(&mut command)
            .us(Field::CommandField, 0x8001)
            .us(Field::MessageIdBeingRespondedTo, 5)
            .uid(Field::AffectedSopInstanceUid, &uid)
            .finish();
        let changed = BTreeMap::from([(0x0120, vec![9, 0]), (0x1000, b"1.2.840.1\0".to_vec())]);
        let new = rewritten(&command, &changed);
        let set = CommandSet::decode(&new).unwrap();
        assert_eq!(set.us(Field::MessageIdBeingRespondedTo), Some(9));
        assert_eq!(set.uid(Field::AffectedSopInstanceUid).unwrap().as_bytes(), b"1.2.840.1");
        assert_eq!(new[8..12], (new.len() as u32 - 12).to_le_bytes());
    }
}
