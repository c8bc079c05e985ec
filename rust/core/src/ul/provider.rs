//! The upper layer service provider: bytes become indications, requests become bytes, and the state
//! follows Table 9-10.
//!
//! Source: PS3.8 §7 (services) and §9.2 (state machine). Sans-I/O: [`UpperLayer`] reads no socket
//! and no clock. Its caller shows it unread bytes ([`UpperLayer::receive`]), tells it of the local
//! user's wishes (`accept`, `release`, …), of the transport ([`UpperLayer::transport_closed`]) and
//! of the timer ([`UpperLayer::artim_expired`]), and carries out each [`Reaction`]: send these
//! bytes, start or stop ARTIM, close. The answer to bytes does not depend on how TCP split them.
//! `server` and `client` use deadlines of their own for ARTIM and drop the provider when the
//! transport ends; the two events are here so that the table is whole, and for callers that keep it.
//!
//! Nothing is allocated for P-DATA-TF. What the PDVs mean is not known here (`dimse::message`), nor
//! which association is acceptable (`acse`, `server`); only the protocol version is judged, as the
//! provider's own part of AE-6. Called by `server::association` and `client`.

use core::fmt;

use crate::ul::pdu::{Abort, AssociateAc, AssociateRj, AssociateRq, PDU_HEADER_BYTES, PduType};
use crate::ul::pdu_codec::{
    DecodeError, EncodeError, PduHeader, SHORT_PDU_BYTES, SHORT_PDU_LENGTH, ShortPdu, decode_abort,
    decode_associate_ac, decode_associate_rj, decode_associate_rq, decode_header, encode_abort,
    encode_associate_ac, encode_associate_rj, encode_associate_rq, encode_release_rp,
    encode_release_rq,
};
use crate::ul::state_table::{Action, Cell, Evt, State, cell};

/// What the caller must do with the ARTIM timer (PS3.8 §9.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artim {
    /// Start it, or start it again.
    Start,
    /// Stop it if it runs.
    Stop,
}

/// What the caller must do, in this order: send, set the timer, close the transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Reaction {
    /// A whole PDU to send.
    pub send: Option<ShortPdu>,
    /// What becomes of ARTIM.
    pub artim: Option<Artim>,
    /// Close the transport connection.
    pub close: bool,
}

impl Reaction {
    /// Nothing to do.
    pub const NONE: Self = Self { send: None, artim: None, close: false };

    const fn send(pdu: ShortPdu) -> Self {
        Self { send: Some(pdu), ..Self::NONE }
    }

    /// Send, then wait for the peer to close, but not for ever.
    const fn send_and_await_close(pdu: ShortPdu) -> Self {
        Self { send: Some(pdu), artim: Some(Artim::Start), close: false }
    }

    const STOP: Self = Self { send: None, artim: Some(Artim::Stop), close: false };
    const CLOSE: Self = Self { send: None, artim: None, close: true };
    const STOP_AND_CLOSE: Self = Self { send: None, artim: Some(Artim::Stop), close: true };
}

/// What the peer did, as one look at the unread bytes tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indication<'b> {
    /// The PDU at the front is not complete; show the bytes again when `total_bytes` are there.
    NeedMore {
        /// Bytes of the PDU with its header; 6 while the header itself is not complete.
        total_bytes: usize,
    },
    /// A-ASSOCIATE indication. Answer with `accept` or `reject`.
    AssociateRequest(Box<AssociateRq>),
    /// The request was rejected by the provider itself: its protocol version has no bit 0.
    AssociateRejectedByProvider {
        /// What was asked.
        request: Box<AssociateRq>,
        /// What was answered.
        rejection: AssociateRj,
    },
    /// A-ASSOCIATE confirmation: accepted.
    AssociateAccept(Box<AssociateAc>),
    /// A-ASSOCIATE confirmation: rejected.
    AssociateReject(AssociateRj),
    /// P-DATA indication: the P-DATA-TF without its header, for `pdv::split_first`.
    Data(&'b [u8]),
    /// A-RELEASE indication. Answer with `release_reply` as soon as
    /// [`UpperLayer::awaits_release_reply`]; at once, unless the acceptor is in a collision.
    ReleaseRequest {
        /// Both sides asked for the release (PS3.8 §7.2.2.7).
        is_collision: bool,
    },
    /// A-RELEASE confirmation.
    ReleaseReply,
    /// A-ABORT or A-P-ABORT indication from the peer.
    PeerAbort(Abort),
    /// The peer broke the protocol; [`field@Reaction::send`] holds our A-ABORT.
    Fault(Fault),
    /// Bytes of no effect while the transport is about to close.
    Ignored,
}

/// What a peer did wrong at this layer; to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes that are no PDU (Evt19).
    Invalid(DecodeError),
    /// A PDU that has no place in this state.
    Unexpected {
        /// The PDU.
        pdu_type: PduType,
        /// The state it arrived in.
        state: State,
    },
}

impl Fault {
    /// Source and reason of the A-ABORT that answers this.
    ///
    /// In Sta2, AA-1 names the service user as the source of the abort. So it is for a PDU out of
    /// place, as DCMTK does; where the bytes are wrong the reason says more, and peers send it
    /// there, too.
    pub const fn abort(&self) -> Abort {
        match self {
            Self::Invalid(error) => error.abort(),
            Self::Unexpected { state: State::Sta2, .. } => Abort::USER,
            Self::Unexpected { .. } => Abort::UNEXPECTED_PDU,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => write!(formatter, "{error}"),
            Self::Unexpected { pdu_type, state } => {
                write!(formatter, "unexpected {} in {}", pdu_type.name(), state.name())
            }
        }
    }
}

/// The result of one look at the unread bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Received<'b> {
    /// Bytes that are done with.
    pub consumed: usize,
    /// What they meant.
    pub indication: Indication<'b>,
    /// What must be done.
    pub reaction: Reaction,
}

impl Received<'_> {
    const fn need(total_bytes: usize) -> Self {
        Self {
            consumed: 0,
            indication: Indication::NeedMore { total_bytes },
            reaction: Reaction::NONE,
        }
    }

    const fn ignored(consumed: usize) -> Self {
        Self { consumed, indication: Indication::Ignored, reaction: Reaction::NONE }
    }
}

/// A request of the local user that Table 9-10 does not allow, or that cannot be encoded. Nothing
/// was sent and the state is as before: always a fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalProtocolError {
    /// The cell of the table is empty.
    NotAllowed {
        /// The state.
        state: State,
        /// What was asked for.
        event: Evt,
    },
    /// The PDU cannot be written.
    Encode(EncodeError),
}

impl From<EncodeError> for LocalProtocolError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl fmt::Display for LocalProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed { state, event } => {
                write!(formatter, "{} is not allowed in {}", event.name(), state.name())
            }
            Self::Encode(error) => write!(formatter, "{error}"),
        }
    }
}

impl core::error::Error for LocalProtocolError {}

/// How an association was when its transport closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportEnd {
    /// Before an association was asked for (AA-5), or when nothing was open.
    BeforeAssociation,
    /// In the middle of an association (AA-4): an A-P-ABORT for the local user.
    Aborted,
    /// After release, rejection or abort (AR-5): as it should be.
    Orderly,
}

/// One step through Table 9-10; for log lines and tests: `Sta6 + Evt10 → DT-2 → Sta6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The event.
    pub event: Evt,
    /// The action.
    pub action: Action,
    /// The state after.
    pub to: State,
}

impl fmt::Display for Transition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, event, action, to } = self;
        write!(formatter, "{} + {} → {} → {}", from.name(), event.name(), action.name(), to.name())
    }
}

/// The state machine of one association.
#[derive(Clone, Debug)]
pub struct UpperLayer {
    state: State,
    is_requestor: bool,
    max_pdu_bytes: u32,
    /// Bytes of a refused or ignored PDU that are still to come, in Sta13 only.
    skip_bytes: u64,
    /// The bytes were no PDU: where the next one begins is unknown, so nothing more is understood.
    is_deaf: bool,
    last: Option<Transition>,
}

impl UpperLayer {
    /// An acceptor whose peer has just connected: AE-5 is done, Sta2, and the caller started ARTIM.
    ///
    /// `max_pdu_bytes` is the maximum length that will be announced; it bounds every P-DATA-TF.
    pub const fn acceptor(max_pdu_bytes: u32) -> Self {
        Self::new(State::Sta2, false, max_pdu_bytes)
    }

    /// A requestor whose caller is opening the transport connection: AE-1 is done, Sta4. When it is
    /// open, [`UpperLayer::associate`] gives what to send first.
    pub const fn requestor(max_pdu_bytes: u32) -> Self {
        Self::new(State::Sta4, true, max_pdu_bytes)
    }

    const fn new(state: State, is_requestor: bool, max_pdu_bytes: u32) -> Self {
        Self { state, is_requestor, max_pdu_bytes, skip_bytes: 0, is_deaf: false, last: None }
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The last step through the table.
    pub const fn last_transition(&self) -> Option<Transition> {
        self.last
    }

    /// True when P-DATA may be sent (Evt9 has a cell): Sta6, and Sta8 while the peer awaits our
    /// reply to its release.
    pub const fn may_send_data(&self) -> bool {
        cell(self.state, Evt::Evt9).is_some()
    }

    /// True when the peer awaits our A-RELEASE-RP (Evt14 has a cell).
    pub const fn awaits_release_reply(&self) -> bool {
        cell(self.state, Evt::Evt14).is_some()
    }

    /// Looks at the unread bytes and handles the one PDU at their front.
    ///
    /// The caller drops `consumed` bytes, carries out the reaction, and calls again while bytes are
    /// left and more was not asked for. A header that shows a fault is answered without its body.
    pub fn receive<'b>(&mut self, bytes: &'b [u8]) -> Received<'b> {
        if self.is_deaf {
            return Received::ignored(bytes.len());
        }
        if self.skip_bytes > 0 {
            let consumed = bytes.len().min(usize::try_from(self.skip_bytes).unwrap_or(usize::MAX));
            self.skip_bytes -= consumed as u64;
            return Received::ignored(consumed);
        }
        let Some((header, rest)) = bytes.split_first_chunk::<PDU_HEADER_BYTES>() else {
            return Received::need(PDU_HEADER_BYTES);
        };
        let header = match decode_header(header, self.max_pdu_bytes) {
            Ok(header) => header,
            Err(error) => return self.invalid(error, bytes.len()),
        };
        let event = event_of(header.pdu_type);
        let Some(cell) = cell(self.state, event) else {
            // Sta1 and Sta4: there is no transport connection that bytes could come from.
            return Received {
                consumed: bytes.len(),
                indication: Indication::Ignored,
                reaction: Reaction::CLOSE,
            };
        };
        match cell.action {
            Action::Aa1 | Action::Aa7 | Action::Aa8 => self.unexpected(header, event, cell, bytes),
            Action::Aa6 => {
                self.step(event, cell, cell.next);
                Received::ignored(self.skip(header, bytes))
            }
            Action::Aa2 | Action::Aa3 => self.peer_abort(header, event, cell, rest),
            _ => {
                let Some(body) = rest.get(..header.length as usize) else {
                    return Received::need(header.total_bytes());
                };
                self.expected(header, event, cell, body)
            }
        }
    }

    /// A PDU that the table expects here, complete.
    #[inline]
    fn expected<'b>(
        &mut self,
        header: PduHeader,
        event: Evt,
        cell: Cell,
        body: &'b [u8],
    ) -> Received<'b> {
        let consumed = header.total_bytes();
        let mut next = cell.next;
        let (indication, reaction) = match cell.action {
            Action::Dt2 | Action::Ar6 => (Indication::Data(body), Reaction::NONE),
            Action::Ae6 => match decode_associate_rq(body) {
                // PS3.8 §9.3.2: bit 0 is version 1; nothing else is tested.
                Ok(request) if request.protocol_version & 1 == 0 => {
                    next = State::Sta13;
                    let rejection = AssociateRj::PROTOCOL_VERSION_NOT_SUPPORTED;
                    (
                        Indication::AssociateRejectedByProvider {
                            request: Box::new(request),
                            rejection,
                        },
                        Reaction::send_and_await_close(encode_associate_rj(rejection)),
                    )
                }
                Ok(request) => (Indication::AssociateRequest(Box::new(request)), Reaction::STOP),
                Err(error) => return self.invalid(error, consumed),
            },
            Action::Ae3 => match decode_associate_ac(body) {
                Ok(accept) => (Indication::AssociateAccept(Box::new(accept)), Reaction::NONE),
                Err(error) => return self.invalid(error, consumed),
            },
            Action::Ae4 => {
                let rejection = decode_associate_rj(short_body(body));
                (Indication::AssociateReject(rejection), Reaction::CLOSE)
            }
            Action::Ar2 => (Indication::ReleaseRequest { is_collision: false }, Reaction::NONE),
            Action::Ar8 => {
                if !self.is_requestor {
                    next = State::Sta10;
                }
                (Indication::ReleaseRequest { is_collision: true }, Reaction::NONE)
            }
            Action::Ar10 => (Indication::ReleaseReply, Reaction::NONE),
            // The table gives a received PDU no action but these and AR-3.
            _ => (Indication::ReleaseReply, Reaction::CLOSE),
        };
        self.step(event, cell, next);
        Received { consumed, indication, reaction }
    }

    /// Evt19.
    #[cold]
    fn invalid<'b>(&mut self, error: DecodeError, consumed: usize) -> Received<'b> {
        self.is_deaf = true;
        let fault = Fault::Invalid(error);
        let reaction = if let Some(cell) = cell(self.state, Evt::Evt19) {
            self.step(Evt::Evt19, cell, cell.next);
            Reaction::send_and_await_close(encode_abort(fault.abort()))
        } else {
            Reaction::CLOSE
        };
        Received { consumed, indication: Indication::Fault(fault), reaction }
    }

    /// A PDU out of place: answered after its header, its body skipped.
    #[cold]
    fn unexpected<'b>(
        &mut self,
        header: PduHeader,
        event: Evt,
        cell: Cell,
        bytes: &'b [u8],
    ) -> Received<'b> {
        let fault = Fault::Unexpected { pdu_type: header.pdu_type, state: self.state };
        self.step(event, cell, cell.next);
        Received {
            consumed: self.skip(header, bytes),
            indication: Indication::Fault(fault),
            reaction: Reaction::send_and_await_close(encode_abort(fault.abort())),
        }
    }

    /// A-ABORT is never answered, however it looks.
    #[cold]
    fn peer_abort<'b>(
        &mut self,
        header: PduHeader,
        event: Evt,
        cell: Cell,
        rest: &'b [u8],
    ) -> Received<'b> {
        let (abort, consumed) = if header.length == SHORT_PDU_LENGTH {
            let Some((body, _)) = rest.split_first_chunk() else {
                return Received::need(SHORT_PDU_BYTES);
            };
            (decode_abort(body), SHORT_PDU_BYTES)
        } else {
            (Abort::USER, PDU_HEADER_BYTES + rest.len())
        };
        self.step(event, cell, cell.next);
        self.is_deaf = true;
        Received {
            consumed,
            indication: Indication::PeerAbort(abort),
            reaction: Reaction::STOP_AND_CLOSE,
        }
    }

    /// Takes what is there of a PDU and notes what is still to come of it.
    fn skip(&mut self, header: PduHeader, bytes: &[u8]) -> usize {
        let consumed = header.total_bytes().min(bytes.len());
        self.skip_bytes = (header.total_bytes() - consumed) as u64;
        consumed
    }

    const fn step(&mut self, event: Evt, cell: Cell, to: State) {
        self.last = Some(Transition { from: self.state, event, action: cell.action, to });
        self.state = to;
    }

    /// The cell for a request of the local user.
    const fn allowed(&self, event: Evt) -> Result<Cell, LocalProtocolError> {
        match cell(self.state, event) {
            Some(cell) => Ok(cell),
            None => Err(LocalProtocolError::NotAllowed { state: self.state, event }),
        }
    }

    /// The transport connection is open: the A-ASSOCIATE-RQ to send (AE-2).
    pub fn associate(&mut self, request: &AssociateRq) -> Result<Vec<u8>, LocalProtocolError> {
        let cell = self.allowed(Evt::Evt2)?;
        let pdu = encode_associate_rq(request)?;
        self.step(Evt::Evt2, cell, cell.next);
        Ok(pdu)
    }

    /// A-ASSOCIATE response, accept: the A-ASSOCIATE-AC to send (AE-7).
    pub fn accept(&mut self, accept: &AssociateAc) -> Result<Vec<u8>, LocalProtocolError> {
        let cell = self.allowed(Evt::Evt7)?;
        let pdu = encode_associate_ac(accept)?;
        self.step(Evt::Evt7, cell, cell.next);
        Ok(pdu)
    }

    /// A-ASSOCIATE response, reject (AE-8).
    pub fn reject(&mut self, rejection: AssociateRj) -> Result<Reaction, LocalProtocolError> {
        let cell = self.allowed(Evt::Evt8)?;
        self.step(Evt::Evt8, cell, cell.next);
        Ok(Reaction::send_and_await_close(encode_associate_rj(rejection)))
    }

    /// A-RELEASE request (AR-1).
    pub fn release(&mut self) -> Result<Reaction, LocalProtocolError> {
        let cell = self.allowed(Evt::Evt11)?;
        self.step(Evt::Evt11, cell, cell.next);
        Ok(Reaction::send(encode_release_rq()))
    }

    /// A-RELEASE response (AR-4; AR-9 for a requestor in a collision, which then awaits the peer's
    /// own reply).
    pub fn release_reply(&mut self) -> Result<Reaction, LocalProtocolError> {
        let cell = self.allowed(Evt::Evt14)?;
        self.step(Evt::Evt14, cell, cell.next);
        let pdu = encode_release_rp();
        Ok(match cell.action {
            Action::Ar4 => Reaction::send_and_await_close(pdu),
            _ => Reaction::send(pdu),
        })
    }

    /// A-ABORT request (AA-1, AA-2): by the user with [`Abort::USER`], or on behalf of a layer
    /// above that found a fault of the peer, or of a timer.
    ///
    /// Always possible. Without an association (Sta1, Sta2, Sta4) the transport is only closed; in
    /// Sta13 the association has ended already.
    pub const fn abort(&mut self, abort: Abort) -> Reaction {
        match (self.state, cell(self.state, Evt::Evt15)) {
            (State::Sta13, _) => Reaction::NONE,
            (_, Some(cell)) => {
                self.step(Evt::Evt15, cell, cell.next);
                match cell.action {
                    Action::Aa1 => Reaction::send_and_await_close(encode_abort(abort)),
                    _ => Reaction::STOP_AND_CLOSE,
                }
            }
            (_, None) => Reaction::STOP_AND_CLOSE,
        }
    }

    /// The transport connection closed, by whichever side (Evt17). ARTIM is to be stopped.
    pub const fn transport_closed(&mut self) -> TransportEnd {
        let Some(cell) = cell(self.state, Evt::Evt17) else {
            return TransportEnd::BeforeAssociation;
        };
        self.step(Evt::Evt17, cell, cell.next);
        match cell.action {
            Action::Ar5 => TransportEnd::Orderly,
            Action::Aa5 => TransportEnd::BeforeAssociation,
            _ => TransportEnd::Aborted,
        }
    }

    /// ARTIM ran out (Evt18, AA-2). A timer that runs out in another state was not stopped in time
    /// and has no effect.
    pub const fn artim_expired(&mut self) -> Reaction {
        match cell(self.state, Evt::Evt18) {
            Some(cell) => {
                self.step(Evt::Evt18, cell, cell.next);
                Reaction::CLOSE
            }
            None => Reaction::NONE,
        }
    }
}

/// The event that a PDU is.
const fn event_of(pdu_type: PduType) -> Evt {
    match pdu_type {
        PduType::AssociateRq => Evt::Evt6,
        PduType::AssociateAc => Evt::Evt3,
        PduType::AssociateRj => Evt::Evt4,
        PduType::DataTf => Evt::Evt10,
        PduType::ReleaseRq => Evt::Evt12,
        PduType::ReleaseRp => Evt::Evt13,
        PduType::Abort => Evt::Evt16,
    }
}

/// The four bytes of a short PDU; `decode_header` let no other length pass.
fn short_body(body: &[u8]) -> &[u8; SHORT_PDU_LENGTH as usize] {
    body.first_chunk().unwrap_or(&[0; SHORT_PDU_LENGTH as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ae_title::AeTitle;
    use crate::ul::pdu::{TitleFields, UidItem};

    const MAX: u32 = 16384;

    fn request(protocol_version: u16) -> Vec<u8> {
        encode_associate_rq(&AssociateRq {
            protocol_version,
            titles: TitleFields::new(AeTitle::new(b"CALLED"), AeTitle::new(b"CALLING")),
            application_context: UidItem::Absent,
            contexts: Vec::new(),
            user_information: None,
        })
        .unwrap()
    }

    fn answer() -> AssociateAc {
        AssociateAc {
            protocol_version: 1,
            titles: TitleFields::new(AeTitle::new(b"CALLED"), AeTitle::new(b"CALLING")),
            application_context: UidItem::Absent,
            contexts: Vec::new(),
            user_information: None,
        }
    }

    /// An acceptor in Sta6.
    fn accepted() -> UpperLayer {
        let mut acceptor = UpperLayer::acceptor(MAX);
        let bytes = request(1);
        let received = acceptor.receive(&bytes);
        assert!(matches!(received.indication, Indication::AssociateRequest(_)));
        assert_eq!((received.consumed, received.reaction), (bytes.len(), Reaction::STOP));
        acceptor.accept(&answer()).unwrap();
        assert_eq!(acceptor.state(), State::Sta6);
        acceptor
    }

    /// A requestor in Sta6.
    fn associated() -> UpperLayer {
        let mut requestor = UpperLayer::requestor(MAX);
        let request = decode_associate_rq(&request(1)[6..]).unwrap();
        requestor.associate(&request).unwrap();
        let bytes = encode_associate_ac(&answer()).unwrap();
        let received = requestor.receive(&bytes);
        assert!(matches!(received.indication, Indication::AssociateAccept(_)));
        assert_eq!(requestor.state(), State::Sta6);
        requestor
    }

    fn short(pdu_type: PduType) -> ShortPdu {
        [pdu_type as u8, 0, 0, 0, 0, 4, 0, 1, 2, 3]
    }

    fn expect_abort(received: &Received<'_>, abort: Abort) {
        assert!(matches!(received.indication, Indication::Fault(_)), "{received:?}");
        assert_eq!(received.reaction, Reaction::send_and_await_close(encode_abort(abort)));
    }

    /// PS3.8 §7: associate, data, release by the peer.
    #[test]
    fn acceptor_life() {
        let mut acceptor = accepted();
        assert!(acceptor.may_send_data());
        let received = acceptor.receive(b"\x04\0\0\0\0\x08\0\0\0\x04\x01\x03OK\x05\0");
        assert_eq!(received.consumed, 14);
        assert_eq!(received.indication, Indication::Data(b"\0\0\0\x04\x01\x03OK"));
        let transition = acceptor.last_transition().unwrap().to_string();
        assert_eq!(transition, "Sta6 + Evt10 → DT-2 → Sta6");

        let pdu = short(PduType::ReleaseRq);
        let received = acceptor.receive(&pdu);
        assert_eq!(received.indication, Indication::ReleaseRequest { is_collision: false });
        assert!(acceptor.may_send_data() && acceptor.awaits_release_reply());
        let reaction = acceptor.release_reply().unwrap();
        assert_eq!(reaction, Reaction::send_and_await_close(encode_release_rp()));
        assert_eq!(acceptor.transport_closed(), TransportEnd::Orderly);
        assert_eq!(acceptor.state(), State::Sta1);
    }

    /// PS3.8 §7.2: the requestor's own release; data that was on its way is still delivered (AR-6).
    #[test]
    fn requestor_life() {
        let mut requestor = associated();
        assert_eq!(requestor.release(), Ok(Reaction::send(encode_release_rq())));
        assert!(!requestor.may_send_data());
        let received = requestor.receive(b"\x04\0\0\0\0\x06\0\0\0\x02\x01\x03");
        assert!(matches!(received.indication, Indication::Data(_)));
        let pdu = short(PduType::ReleaseRp);
        let received = requestor.receive(&pdu);
        assert_eq!(received.indication, Indication::ReleaseReply);
        assert_eq!((received.reaction, requestor.state()), (Reaction::CLOSE, State::Sta1));
    }

    /// PS3.8 §7.2.2.7: release collision, both sides to the end.
    #[test]
    fn release_collision() {
        let (mut requestor, mut acceptor) = (associated(), accepted());
        let _ = requestor.release().unwrap();
        let _ = acceptor.release().unwrap();
        let pdu = short(PduType::ReleaseRq);
        for side in [&mut requestor, &mut acceptor] {
            let received = side.receive(&pdu);
            assert_eq!(received.indication, Indication::ReleaseRequest { is_collision: true });
        }
        assert_eq!((requestor.state(), acceptor.state()), (State::Sta9, State::Sta10));
        assert!(acceptor.release_reply().is_err());
        assert_eq!(requestor.release_reply(), Ok(Reaction::send(encode_release_rp())));
        assert_eq!(requestor.state(), State::Sta11);

        let pdu = short(PduType::ReleaseRp);
        assert_eq!(acceptor.receive(&pdu).indication, Indication::ReleaseReply);
        assert_eq!(acceptor.state(), State::Sta12);
        let _ = acceptor.release_reply().unwrap();
        assert_eq!(acceptor.state(), State::Sta13);
        assert_eq!(requestor.receive(&pdu).reaction, Reaction::CLOSE);
        assert_eq!(requestor.state(), State::Sta1);
    }

    /// PROMISES.md §2.1: a known PDU out of place, before and on an association, is
    /// answered after its header alone.
    #[test]
    fn unexpected_pdus() {
        for pdu in [b"\x04\0\0\0\x10\0", b"\x02\0\0\0\x10\0"] {
            let mut acceptor = UpperLayer::acceptor(MAX);
            expect_abort(&acceptor.receive(pdu), Abort::USER);
            assert_eq!(acceptor.state(), State::Sta13);
        }
        let mut acceptor = accepted();
        expect_abort(&acceptor.receive(b"\x01\0\0\0\x10\0"), Abort::UNEXPECTED_PDU);
        // The rest of that PDU is skipped, and what follows it is seen again.
        assert_eq!(acceptor.receive(&[0; 0x1000]), Received::ignored(0x1000));
        let abort = short(PduType::Abort);
        let received = acceptor.receive(&abort);
        assert_eq!(received.indication, Indication::PeerAbort(Abort { source: 2, reason: 3 }));
        assert!(received.reaction.close);
    }

    /// PROMISES.md §2.1: HTTP, TLS and absurd lengths are answered after 6 bytes.
    #[test]
    fn no_dicom_at_all() {
        for (bytes, abort) in [
            (b"GET / ", Abort::UNRECOGNIZED_PDU),
            (b"\x16\x03\x01\x02\0\x01", Abort::UNRECOGNIZED_PDU),
            (b"\x01\0\xFF\xFF\xFF\xFF", Abort::INVALID_PDU_PARAMETER),
            (b"\x01\0\0\0\0\x43", Abort::INVALID_PDU_PARAMETER),
            (b"\x04\0\0\0\x40\x01", Abort::INVALID_PDU_PARAMETER),
        ] {
            let mut acceptor = UpperLayer::acceptor(MAX);
            expect_abort(&acceptor.receive(bytes), abort);
            // Whatever follows is not understood any more, and is answered once only.
            assert_eq!(acceptor.receive(b"GET / HTTP/1.1"), Received::ignored(14));
        }
    }

    /// A P-DATA-TF of the announced maximum passes; one byte more is refused after its header.
    #[test]
    fn data_length_bound() {
        let mut acceptor = accepted();
        assert_eq!(
            acceptor.receive(b"\x04\0\0\0\x40\0").indication,
            Indication::NeedMore { total_bytes: 6 + 16384 }
        );
        expect_abort(&acceptor.receive(b"\x04\0\0\0\x40\x01"), Abort::INVALID_PDU_PARAMETER);
    }

    /// PS3.8 §9.3.2: without bit 0 the provider rejects; version 3 has bit 0.
    #[test]
    fn protocol_version() {
        let mut acceptor = UpperLayer::acceptor(MAX);
        let bytes = request(2);
        let received = acceptor.receive(&bytes);
        assert!(matches!(received.indication, Indication::AssociateRejectedByProvider { .. }));
        assert_eq!(received.reaction.send, Some(*b"\x03\0\0\0\0\x04\0\x01\x02\x02"));
        assert_eq!(acceptor.state(), State::Sta13);
        let mut acceptor = UpperLayer::acceptor(MAX);
        let bytes = request(3);
        assert!(matches!(acceptor.receive(&bytes).indication, Indication::AssociateRequest(_)));
    }

    /// An A-ABORT is never answered, whatever its length says, and never awaited beyond its header.
    #[test]
    fn peer_aborts() {
        for bytes in [&b"\x07\0\0\0\0\x04\0\0\x02\x06"[..], b"\x07\0\0\0\0\0", b"\x07\0\xFF\0\0\0"]
        {
            let mut acceptor = accepted();
            let received = acceptor.receive(bytes);
            assert!(matches!(received.indication, Indication::PeerAbort(_)), "{received:?}");
            assert_eq!(received.reaction, Reaction::STOP_AND_CLOSE);
            assert_eq!((received.consumed, acceptor.state()), (bytes.len(), State::Sta1));
        }
        assert_eq!(
            accepted().receive(b"\x07\0\0\0\0\x04\0").indication,
            Indication::NeedMore { total_bytes: 10 }
        );
    }

    /// Rejection, ARTIM and the end of the transport.
    #[test]
    fn rejection_and_timers() {
        let mut acceptor = UpperLayer::acceptor(MAX);
        let bytes = request(1);
        let _ = acceptor.receive(&bytes);
        assert_eq!(acceptor.artim_expired(), Reaction::NONE);
        let reaction = acceptor.reject(AssociateRj::CALLED_AE_TITLE_NOT_RECOGNIZED).unwrap();
        assert_eq!(reaction.send, Some(*b"\x03\0\0\0\0\x04\0\x01\x01\x07"));
        assert_eq!(acceptor.artim_expired(), Reaction::CLOSE);

        assert_eq!(UpperLayer::acceptor(MAX).artim_expired(), Reaction::CLOSE);
        let mut acceptor = UpperLayer::acceptor(MAX);
        assert_eq!(acceptor.transport_closed(), TransportEnd::BeforeAssociation);
        assert_eq!(accepted().transport_closed(), TransportEnd::Aborted);
    }

    /// AA-7: in Sta13 a new request is aborted, other PDUs are ignored.
    #[test]
    fn after_the_release() {
        let mut acceptor = accepted();
        let release = short(PduType::ReleaseRq);
        let _ = acceptor.receive(&release);
        let _ = acceptor.release_reply().unwrap();
        assert_eq!(acceptor.receive(b"\x04\0\0\0\0\x08abcdefgh"), Received::ignored(14));
        let bytes = request(1);
        expect_abort(&acceptor.receive(&bytes), Abort::UNEXPECTED_PDU);
    }

    /// A request out of place changes nothing.
    #[test]
    fn local_mistakes() {
        let mut acceptor = UpperLayer::acceptor(MAX);
        assert_eq!(
            acceptor.accept(&answer()),
            Err(LocalProtocolError::NotAllowed { state: State::Sta2, event: Evt::Evt7 })
        );
        assert!(acceptor.release().is_err() && acceptor.release_reply().is_err());
        assert!(acceptor.reject(AssociateRj::NO_REASON).is_err());
        assert_eq!(acceptor.state(), State::Sta2);
    }

    /// An abort by a layer above, in every state that can be reached here.
    #[test]
    fn local_abort() {
        let mut acceptor = accepted();
        let reaction = acceptor.abort(Abort::INVALID_PDU_PARAMETER);
        assert_eq!(
            reaction,
            Reaction::send_and_await_close(encode_abort(Abort::INVALID_PDU_PARAMETER))
        );
        assert_eq!(acceptor.abort(Abort::USER), Reaction::NONE);
        assert_eq!(UpperLayer::acceptor(MAX).abort(Abort::USER), Reaction::STOP_AND_CLOSE);
        assert_eq!(UpperLayer::requestor(MAX).abort(Abort::USER), Reaction::STOP_AND_CLOSE);
    }
}
