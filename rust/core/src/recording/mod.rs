//! Recordings of associations: made by a proxy, shown, and played again.
//!
//! A recording is a sequence of [`Entry`]s: what was opened, the bytes of either side with the time at
//! which they passed, how each side ended. [`mod@format`] gives it bytes and [`mod@file`] a file
//! (`RECORDING.md` beside this one says every byte); [`proxy`] makes one between two peers, and
//! [`capture`] reads one from a packet capture. [`conversation`] finds PDUs, commands and data sets in
//! it, [`show`] prints them, [`replay`] plays one side against a peer, and [`treat`] takes out what must not leave the house. All are bounded
//! whatever a peer or a file says. Called by `dcmfast._rust`, never back.

use std::fmt;

pub mod capture;
pub mod conversation;
pub mod describe;
pub mod file;
pub mod format;
pub mod fragments;
pub mod proxy;
pub mod reassembly;
pub mod replay;
pub mod show;
pub mod source;
pub mod stand_in;
pub mod treat;
pub mod tree;

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The association requestor, who opened the connection.
    Requestor,
    /// The association acceptor.
    Acceptor,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Requestor, Self::Acceptor];

    /// The standard's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requestor => "requestor",
            Self::Acceptor => "acceptor",
        }
    }

    /// The one who receives it.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Requestor => Self::Acceptor,
            Self::Acceptor => Self::Requestor,
        }
    }

    /// For tables with a place for each.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// When something passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Since the recording began, by a clock that never jumps, in nanoseconds.
    pub monotonic_ns: u64,
    /// Since 1970-01-01 00:00 UTC, in nanoseconds.
    pub wall_ns: u64,
}

/// How one side of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// TCP FIN: nothing more comes from this side.
    Closed,
    /// TCP RST, or another failure of the transport.
    Reset,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Both sides ended, or one was reset.
    Ended,
    /// The acceptor could not be reached.
    NotConnected,
    /// The recorder was stopped.
    Stopped,
}

impl Reason {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ended => "ended by the peers",
            Self::NotConnected => "the acceptor could not be reached",
            Self::Stopped => "ended because recording was stopped",
        }
    }
}

/// What happened to one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was opened; addresses of both ends.
    Opened {
        /// Who opened it.
        requestor: String,
        /// To whom.
        acceptor: String,
    },
    /// Bytes, in the order of the stream.
    Bytes(Side, Vec<u8>),
    /// So many bytes of a data set that the recording leaves out on purpose.
    LeftOut(Side, u64),
    /// So many bytes that are not known: lost by a capture, or damaged.
    Missing(Side, u64),
    /// Nothing more comes from this side.
    End(Side, Ending),
    /// It is over.
    Over(Reason, String),
}

/// One entry of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of the connection, from 1.
    pub connection: u64,
    /// When.
    pub at: Moment,
    /// What.
    pub what: What,
}

/// What a recording says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// When it began, since 1970-01-01 00:00 UTC, in nanoseconds.
    pub begun_wall_ns: u64,
    /// Data sets were left out.
    pub has_left_out: bool,
    /// Values were replaced.
    pub is_replaced: bool,
    /// Titles and addresses were masked.
    pub is_masked: bool,
}

/// Something about a source that its user should know; what could be read goes on, or ends there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The file ends in the middle of a record: its writer was killed, or the disk was full.
    Cut {
        /// Where the record begins.
        offset: u64,
    },
    /// The file ends without the record that ends it.
    NotEnded,
    /// It ends because it had reached its bound.
    Full,
    /// A record's content does not fit its checksum; it is left out.
    Damaged {
        /// Where the record begins.
        offset: u64,
    },
    /// What stands there is no record; nothing behind it can be read.
    Unreadable {
        /// Where.
        offset: u64,
        /// Why.
        why: &'static str,
    },
    /// A record of a kind that this version does not know; it is passed over.
    UnknownKind {
        /// Where.
        offset: u64,
        /// Its number.
        kind: u8,
    },
    /// So many bytes of associations are not in a capture.
    Missing {
        /// This many.
        bytes: u64,
    },
    /// What a capture holds beside associations.
    Capture(String),
}

impl Notice {
    /// True where the file is not what was written.
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Unreadable { .. } | Self::Missing { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { offset } => {
                write!(formatter, "cut: the record at offset {offset} is not complete")
            }
            Self::NotEnded => {
                formatter.write_str("not ended: whoever wrote it was killed, or still writes")
            }
            Self::Full => formatter.write_str("full: what came later was not recorded"),
            Self::Damaged { offset } => {
                write!(formatter, "damaged: the record at offset {offset} is left out")
            }
            Self::Unreadable { offset, why } => {
                write!(formatter, "damaged: {why} at offset {offset}; nothing behind it is shown")
            }
            Self::UnknownKind { offset, kind } => {
                write!(formatter, "the record at offset {offset} is of unknown kind {kind}")
            }
            Self::Missing { bytes } => {
                write!(formatter, "lost: {bytes} bytes of associations were not captured")
            }
            Self::Capture(text) => formatter.write_str(text),
        }
    }
}
