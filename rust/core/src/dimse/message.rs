//! DIMSE messages: PDVs → commands and data-set fragments, and commands → PDUs.
//!
//! Source: PS3.7 §6.3 (a message is a command set and, if that says so, a data set) and PS3.8 Annex
//! E (fragments of one message travel on one presentation context, in order). [`MessageAssembler`]
//! is shown each PDV as it comes. A data-set fragment is handed on at once, borrowed; a command
//! that fits one PDV is read where it lies, and only one that was split is collected, up to
//! `limits::COMMAND_SET_BYTES_MAX`. Memory does not grow with the object.
//!
//! What the command means is `service`'s; whether it may be done is `server`'s. No I/O.

use core::fmt;

use crate::dimse::command_set::{CommandSet, CommandSetError};
use crate::limits::{COMMAND_SET_BYTES_MAX, EMPTY_PDVS_IN_A_ROW_MAX};
use crate::ul::pdu::Abort;
use crate::ul::pdv::{ContextIds, DATA_HEADER_BYTES, FragmentKind, Fragmenter, Pdv, data_header};

/// What one PDV meant.
#[derive(Clone, Copy, Debug)]
pub enum Step<'m> {
    /// A part of a command; more is to come.
    Progress,
    /// A complete command.
    Command {
        /// The presentation context of the message.
        context_id: u8,
        /// The command set; `service::Command::of` reads it.
        set: CommandSet<'m>,
        /// A data set follows, as [`Step::DataSet`] steps up to the last one.
        data_set_follows: bool,
    },
    /// A fragment of the data set that the last command announced; may be empty.
    DataSet {
        /// The presentation context of the message.
        context_id: u8,
        /// The bytes.
        fragment: &'m [u8],
        /// The message is complete.
        is_last: bool,
    },
}

/// Why a PDV does not fit the message it came in. Every one is the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// The presentation context was not accepted.
    ContextNotAccepted(u8),
    /// A PDV on another presentation context than that of the message under way.
    OtherContext {
        /// The context of the message.
        message: u8,
        /// The context of the PDV.
        pdv: u8,
    },
    /// A data-set PDV where a command must come.
    DataSetBeforeCommand,
    /// A data-set PDV before the last command PDV.
    DataSetInsideCommand,
    /// A command PDV before the last data-set PDV.
    CommandInsideDataSet,
    /// More empty PDVs in a row than `limits::EMPTY_PDVS_IN_A_ROW_MAX`.
    TooManyEmptyPdvs,
    /// The command set is none, or too long.
    CommandSet(CommandSetError),
}

impl MessageError {
    /// Source and reason of the A-ABORT that answers this.
    ///
    /// A PDV that is well formed but comes at the wrong time is an unexpected parameter (2/5), one
    /// that cannot be is an invalid value (2/6), and what only DIMSE can see is the user's (0/0).
    pub const fn abort(&self) -> Abort {
        match self {
            Self::ContextNotAccepted(_) | Self::OtherContext { .. } | Self::TooManyEmptyPdvs => {
                Abort::INVALID_PDU_PARAMETER
            }
            Self::DataSetBeforeCommand
            | Self::DataSetInsideCommand
            | Self::CommandInsideDataSet => Abort::UNEXPECTED_PDU_PARAMETER,
            Self::CommandSet(_) => Abort::USER,
        }
    }
}

impl From<CommandSetError> for MessageError {
    fn from(error: CommandSetError) -> Self {
        Self::CommandSet(error)
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContextNotAccepted(id) => {
                write!(formatter, "PDV on presentation context {id}, which was not accepted")
            }
            Self::OtherContext { message, pdv } => write!(
                formatter,
                "PDV on presentation context {pdv} in a message on presentation context {message}"
            ),
            Self::DataSetBeforeCommand => formatter.write_str("data-set PDV without a command"),
            Self::DataSetInsideCommand => {
                formatter.write_str("data-set PDV before the end of the command")
            }
            Self::CommandInsideDataSet => {
                formatter.write_str("command PDV before the end of the data set")
            }
            Self::TooManyEmptyPdvs => {
                write!(formatter, "more than {EMPTY_PDVS_IN_A_ROW_MAX} empty PDVs in a row")
            }
            Self::CommandSet(error) => write!(formatter, "{error}"),
        }
    }
}

impl core::error::Error for MessageError {}

/// Where in a message the next PDV belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BetweenMessages,
    Command { context_id: u8 },
    DataSet { context_id: u8 },
}

/// Joins the PDVs of one direction of an association to messages. After an error it is not used
/// again.
#[derive(Debug)]
pub struct MessageAssembler {
    contexts: ContextIds,
    place: Place,
    /// A command in parts; empty while none is split.
    collected: Vec<u8>,
    empty_pdvs: usize,
}

impl MessageAssembler {
    /// More than this is given back after a split command; ordinary ones are under 1 KiB.
    const COLLECTED_BYTES_KEPT: usize = 4096;

    /// An assembler for an association on which `contexts` were accepted.
    pub const fn new(contexts: ContextIds) -> Self {
        Self { contexts, place: Place::BetweenMessages, collected: Vec::new(), empty_pdvs: 0 }
    }

    /// True when no message has begun, or the last one is complete.
    pub fn is_between_messages(&self) -> bool {
        self.place == Place::BetweenMessages
    }

    /// The data set that the last command announced will not come, or is of no interest: the next
    /// message begins.
    pub fn forget_data_set(&mut self) {
        if matches!(self.place, Place::DataSet { .. }) {
            self.place = Place::BetweenMessages;
        }
    }

    /// Takes the next PDV.
    #[inline]
    pub fn feed<'m>(&'m mut self, pdv: Pdv<'m>) -> Result<Step<'m>, MessageError> {
        let Pdv { context_id, is_command, is_last, fragment } = pdv;
        if !self.contexts.contains(context_id) {
            return Err(MessageError::ContextNotAccepted(context_id));
        }
        match self.place {
            Place::Command { context_id: message } | Place::DataSet { context_id: message }
                if message != context_id =>
            {
                return Err(MessageError::OtherContext { message, pdv: context_id });
            }
            _ => {}
        }
        self.note_empty(fragment.is_empty() && !is_last)?;
        match (self.place, is_command) {
            (Place::DataSet { .. }, false) => {
                if is_last {
                    self.place = Place::BetweenMessages;
                }
                Ok(Step::DataSet { context_id, fragment, is_last })
            }
            (Place::BetweenMessages, true) if is_last => {
                let set = CommandSet::decode(fragment)?;
                Ok(Self::command(&mut self.place, context_id, set))
            }
            (Place::BetweenMessages | Place::Command { .. }, true) => {
                self.collect(context_id, fragment, is_last)
            }
            (Place::BetweenMessages, false) => Err(MessageError::DataSetBeforeCommand),
            (Place::Command { .. }, false) => Err(MessageError::DataSetInsideCommand),
            (Place::DataSet { .. }, true) => Err(MessageError::CommandInsideDataSet),
        }
    }

    /// A part of a split command.
    fn collect<'m>(
        &'m mut self,
        context_id: u8,
        fragment: &[u8],
        is_last: bool,
    ) -> Result<Step<'m>, MessageError> {
        if self.place == Place::BetweenMessages {
            self.collected.clear();
            self.collected.shrink_to(Self::COLLECTED_BYTES_KEPT);
            self.place = Place::Command { context_id };
        }
        let bytes = self.collected.len() + fragment.len();
        if bytes > COMMAND_SET_BYTES_MAX {
            return Err(CommandSetError::TooLong { bytes }.into());
        }
        self.collected.extend_from_slice(fragment);
        if !is_last {
            return Ok(Step::Progress);
        }
        let set = CommandSet::decode(&self.collected)?;
        Ok(Self::command(&mut self.place, context_id, set))
    }

    /// Notes what a complete command says of the data set. Takes the field and not `self`, because
    /// `set` may borrow what was collected.
    fn command<'m>(place: &mut Place, context_id: u8, set: CommandSet<'m>) -> Step<'m> {
        let data_set_follows = set.announces_data_set();
        *place =
            if data_set_follows { Place::DataSet { context_id } } else { Place::BetweenMessages };
        Step::Command { context_id, set, data_set_follows }
    }

    /// An empty PDV that ends nothing makes no progress, so that their number is bounded.
    fn note_empty(&mut self, is_idle: bool) -> Result<(), MessageError> {
        if !is_idle {
            self.empty_pdvs = 0;
            return Ok(());
        }
        self.empty_pdvs += 1;
        if self.empty_pdvs > EMPTY_PDVS_IN_A_ROW_MAX {
            return Err(MessageError::TooManyEmptyPdvs);
        }
        Ok(())
    }
}

/// Appends a command that `encode` writes, as the PDUs that carry it.
///
/// With `out` kept between messages a response costs no allocation, and leaves in one write. A
/// command that fits the peer's maximum, as all but the strangest do, is written in its place.
pub fn append_command(
    out: &mut Vec<u8>,
    fragmenter: &Fragmenter,
    context_id: u8,
    encode: impl FnOnce(&mut Vec<u8>),
) {
    let header = out.len();
    let start = header + DATA_HEADER_BYTES;
    out.resize(start, 0);
    encode(out);
    let bytes = out.len() - start;
    if bytes <= fragmenter.fragment_bytes_max() {
        let filled = data_header(context_id, FragmentKind::Command, true, bytes);
        out[header..start].copy_from_slice(&filled);
    } else {
        let command = out.split_off(start);
        out.truncate(header);
        fragmenter.append(out, context_id, FragmentKind::Command, &command);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dimse::service::{Command, DataSetType, EchoRequest, Priority, StoreRequest};
    use crate::dimse::status::Status;
    use crate::uid::UidText;
    use crate::ul::pdv::split_first;

    fn assembler() -> MessageAssembler {
        MessageAssembler::new([1, 3].into_iter().collect())
    }

    fn pdv(context_id: u8, is_command: bool, is_last: bool, fragment: &[u8]) -> Pdv<'_> {
        Pdv { context_id, is_command, is_last, fragment }
    }

    fn store(data_set_type: DataSetType) -> Vec<u8> {
        let mut out = Vec::new();
        StoreRequest {
            message_id: 1,
            affected_sop_class_uid: UidText::new(b"1.2"),
            affected_sop_instance_uid: UidText::new(b"1.2.3"),
            priority: Some(Priority::Medium),
            move_originator_ae_title: None,
            move_originator_message_id: None,
            data_set_type,
        }
        .encode(&mut out);
        out
    }

    /// PS3.7 §6.3: command, then data set, both on one context; two messages in a row.
    #[test]
    fn whole_messages() {
        let command = store(DataSetType::Present);
        let mut assembler = assembler();
        for _ in 0..2 {
            assert!(assembler.is_between_messages());
            let step = assembler.feed(pdv(3, true, true, &command)).unwrap();
            let Step::Command { context_id: 3, set, data_set_follows: true } = step else {
                panic!("{step:?}");
            };
            assert!(matches!(Command::of(&set), Ok(Command::Store(_))));
            assert!(!assembler.is_between_messages());
            for (fragment, last) in [(&b"ab"[..], false), (b"", false), (b"c", false), (b"", true)]
            {
                let step = assembler.feed(pdv(3, false, last, fragment)).unwrap();
                assert!(
                    matches!(step, Step::DataSet { context_id: 3, fragment: found, is_last }
                        if found == fragment && is_last == last),
                    "{step:?}"
                );
            }
        }
    }

    /// PS3.8 Annex E: a command in fragments of any length is the same command.
    #[test]
    fn split_commands() {
        let command = store(DataSetType::Absent);
        for chunk in 1..command.len() {
            let mut assembler = assembler();
            let last = command.chunks(chunk).len() - 1;
            for (index, part) in command.chunks(chunk).enumerate() {
                match assembler.feed(pdv(1, true, index == last, part)).unwrap() {
                    Step::Progress => assert_ne!(index, last),
                    Step::Command { set, data_set_follows: false, .. } => {
                        assert_eq!(set.as_bytes(), command);
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert!(assembler.is_between_messages());
        }
    }

    /// PROMISES.md §2.3: each PDV out of place, with its answer.
    #[test]
    fn out_of_place() {
        let with = store(DataSetType::Present);
        let without = store(DataSetType::Absent);
        let cases: [(&[Pdv<'_>], MessageError, Abort); 7] = [
            (
                &[pdv(5, true, true, &with)],
                MessageError::ContextNotAccepted(5),
                Abort::INVALID_PDU_PARAMETER,
            ),
            (
                &[pdv(1, false, true, b"x")],
                MessageError::DataSetBeforeCommand,
                Abort::UNEXPECTED_PDU_PARAMETER,
            ),
            (
                &[pdv(1, true, false, b"x"), pdv(1, false, true, b"x")],
                MessageError::DataSetInsideCommand,
                Abort::UNEXPECTED_PDU_PARAMETER,
            ),
            (
                &[pdv(1, true, true, &with), pdv(1, true, true, &with)],
                MessageError::CommandInsideDataSet,
                Abort::UNEXPECTED_PDU_PARAMETER,
            ),
            (
                &[pdv(1, true, true, &without), pdv(1, false, true, b"x")],
                MessageError::DataSetBeforeCommand,
                Abort::UNEXPECTED_PDU_PARAMETER,
            ),
            (
                &[pdv(1, true, true, &with), pdv(3, false, true, b"x")],
                MessageError::OtherContext { message: 1, pdv: 3 },
                Abort::INVALID_PDU_PARAMETER,
            ),
            (
                &[pdv(1, true, true, b"\x08\0\x05\0\0\0\0\0")],
                MessageError::CommandSet(CommandSetError::ForeignGroup { group: 8, element: 5 }),
                Abort::USER,
            ),
        ];
        for (pdvs, expected, abort) in cases {
            let mut assembler = assembler();
            let (last, before) = pdvs.split_last().unwrap();
            for pdv in before {
                assembler.feed(*pdv).unwrap();
            }
            let error = assembler.feed(*last).unwrap_err();
            assert_eq!((error, error.abort()), (expected, abort));
        }
    }

    /// limits::EMPTY_PDVS_IN_A_ROW_MAX are legal, one more is not; a byte begins a new row.
    #[test]
    fn empty_pdvs() {
        let command = store(DataSetType::Present);
        let mut assembler = assembler();
        assembler.feed(pdv(1, true, true, &command)).unwrap();
        for _ in 0..2 {
            for _ in 0..EMPTY_PDVS_IN_A_ROW_MAX {
                assembler.feed(pdv(1, false, false, b"")).unwrap();
            }
            assembler.feed(pdv(1, false, false, b"x")).unwrap();
        }
        for _ in 0..EMPTY_PDVS_IN_A_ROW_MAX {
            assembler.feed(pdv(1, false, false, b"")).unwrap();
        }
        assert_eq!(
            assembler.feed(pdv(1, false, false, b"")).unwrap_err(),
            MessageError::TooManyEmptyPdvs
        );
    }

    /// A command that grows past its bound ends with the fragment that passes it.
    #[test]
    fn endless_command() {
        let mut assembler = assembler();
        let part = [0; 4096];
        for _ in 0..COMMAND_SET_BYTES_MAX / part.len() {
            assert!(matches!(assembler.feed(pdv(1, true, false, &part)), Ok(Step::Progress)));
        }
        assert_eq!(
            assembler.feed(pdv(1, true, false, b"x")).unwrap_err(),
            MessageError::CommandSet(CommandSetError::TooLong { bytes: COMMAND_SET_BYTES_MAX + 1 })
        );
    }

    /// What is written is read back, in one PDU and in many.
    #[test]
    fn append_and_read() {
        let echo = EchoRequest {
            message_id: 1,
            affected_sop_class_uid: UidText::new(b"1.2.840.10008.1.1"),
            data_set_type: DataSetType::Absent,
        };
        let response = echo.response(Status::SUCCESS);
        for maximum in [8, 16, 100, 16384] {
            let fragmenter = Fragmenter::new(Some(maximum)).unwrap();
            let mut out = vec![0xEE];
            append_command(&mut out, &fragmenter, 1, |out| response.encode(out));
            let mut assembler = assembler();
            let mut rest = &out[1..];
            let mut commands = 0;
            while let Some((header, after)) = rest.split_first_chunk::<6>() {
                let length = u32::from_be_bytes(*header.last_chunk().unwrap());
                assert!(length <= maximum);
                let (body, after) = after.split_at(length as usize);
                let step = assembler.feed(split_first(body).unwrap().0).unwrap();
                if let Step::Command { set, .. } = step {
                    assert_eq!(Command::of(&set), Ok(Command::Response(response)));
                    commands += 1;
                }
                rest = after;
            }
            assert_eq!((commands, rest.len()), (1, 0), "{maximum}");
        }
    }
}
