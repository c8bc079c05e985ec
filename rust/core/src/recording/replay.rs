//! One side of a recording, played against a peer: the first difference in what that peer does.
//!
//! What our side sent is sent again, in the recorded order: before each message of ours, everything that
//! the peer had sent by then is awaited and compared, event by event: whole PDUs, commands, data sets, the
//! end of the connection. Connections that were open at the same time are open at the same time again,
//! and the order is that of all of them; clients that come at the same time are known by what they ask
//! (`guests`), whoever comes first. How a message is cut into PDUs is nobody's business (PS3.8
//! Annex E): it is not compared, and ours are cut to what this peer receives. Nor is what the protocol
//! leaves open: where in a message of ours an event of the peer stands, when a C-CANCEL comes, how much
//! of an operation is done by then (`play::cancel`), in which order operations are answered that go on
//! at the same time (`play::early`). Times are not compared, and kept only where that is wished. What a
//! peer names anew each time is learned and put in its place where we answer: message IDs, SOP Instance
//! UIDs of its own requests, AE titles of its association. Data sets that were left out are replaced
//! by ones of the same length (`stand_in`), or not compared. Memory is bounded, for each connection that
//! is open, by one PDU and twice `limits::REPLAY_COMPARED_BYTES_MAX`. Called by `dcmfast._rust`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use self::guests::{Guest, Guests};
use self::play::{End, Play};
use self::recorded::Recorded;
use super::file::Step;
use super::source::{OpenError, Source};
use super::{Notice, Side, What};
use crate::ae_title::AeTitle;
use crate::net::tcp::{SocketAddr, StopFlag, TransportOptions};

mod guests;
mod happened;
mod play;
mod recorded;

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

impl Plan {
    /// Where the peers come to us.
    const fn listener(&self) -> Option<&TcpListener> {
        match &self.peer {
            Peer::At(_) => None,
            Peer::Comes(listener) => Some(listener),
        }
    }

    const fn awaits_peers(&self) -> bool {
        self.listener().is_some()
    }
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
    let Recorded { connections, openings, notices } = Recorded::of(plan)?;
    let mut outcome = Outcome { notices, ..Outcome::default() };
    let peers = match plan.listener() {
        Some(listener) => Peers::Come(Guests::new(plan, stop, listener, openings)),
        None => Peers::AreCalled,
    };
    match play(plan, stop, connections, peers, &mut outcome) {
        Err(End::Differs(difference)) => outcome.difference = Some(*difference),
        Err(End::Failed(error)) => return Err(error),
        Ok(()) => {}
    }
    Ok(outcome)
}

/// Who plays the other side.
enum Peers<'a> {
    /// Whoever listens there.
    AreCalled,
    /// Whoever comes.
    Come(Guests<'a>),
    /// This one, for one connection.
    IsHere(Option<Box<Guest>>),
}

/// Plays all entries of the connections that are wanted, in the order of the file; but a peer that
/// came before its turn has its whole connection then.
fn play(
    plan: &Plan,
    stop: &StopFlag,
    mut wanted: BTreeMap<u64, std::collections::VecDeque<u64>>,
    mut peers: Peers<'_>,
    outcome: &mut Outcome,
) -> Result<(), End> {
    let source = Source::open(&plan.path).map_err(ReplayError::Source);
    let mut source = source.map_err(End::Failed)?;
    let mut open: BTreeMap<u64, Play<'_>> = BTreeMap::new();
    loop {
        let entry = match source.step()? {
            Step::Entry(entry) => entry,
            Step::Notice(_) => continue,
            Step::End => break,
        };
        let number = entry.connection;
        // Each has its lengths until it is opened.
        if let Some(lengths) = wanted.remove(&number) {
            let guest = match &mut peers {
                Peers::AreCalled => None,
                Peers::IsHere(guest) => guest.take().map(|guest| *guest),
                Peers::Come(guests) => loop {
                    let (who, guest) = guests.take(number).map_err(End::Failed)?;
                    if who == number {
                        break Some(guest);
                    }
                    let alone = wanted.remove_entry(&who).into_iter().collect();
                    play(plan, stop, alone, Peers::IsHere(Some(Box::new(guest))), outcome)?;
                },
            };
            let mut play = Play::open(plan, stop, lengths, &entry, guest).map_err(End::Failed)?;
            if let Some(before) = open.values().next() {
                play.keep_time_with(before);
            }
            outcome.connections += 1;
            open.insert(number, play);
        }
        if let What::Over(..) = entry.what {
            if let Some(mut play) = open.remove(&number) {
                play.take(entry, outcome)?;
                play.finish(outcome)?;
            }
        } else if let Some(play) = open.get_mut(&number) {
            play.take(entry, outcome)?;
        }
    }
    open.into_values().try_for_each(|mut play| play.finish(outcome))
}
