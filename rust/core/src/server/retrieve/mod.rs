//! C-MOVE and C-GET: matched instances become C-STORE sub-operations, one pending response each.
//!
//! Match first; nothing matched is a success, whatever the destination (DIFFERENCES.md C10). Then
//! one object after the other: while the receiver answers, the next one is read and checked
//! (`object`), so that disk, wire and the other side's work overlap; one C-STORE is under way at a
//! time, because asynchronous operations are not negotiated. No read transaction is open while a
//! socket is waited for: what matched is remembered in a few bytes each (`keys`) and looked up again
//! a page at a time. The two lines on which objects travel are `lines`: an association of our own to
//! a move destination, or the requestor's own one.
//!
//! Final statuses (PS3.4 §C.4.2.1.6, §C.4.3.1.4, as DCMTK 3.6.7): 0000H all done; B000H some failed
//! or warned; A702H all failed; FE00H cancelled before anything failed, the only one that tells the
//! remaining; and, which DCMTK has not got, A702H too where not all that was stored could be looked
//! through, with the counts of what was sent, or A701H where nothing was. With a list of the failed SOP Instance UIDs where any failed. A sub-operation fails on
//! a receiver's status other than 0000H and Bxxx, on a missing context, and on a file that is not
//! what was stored; the reason is told in the log. After a lost association to a destination every
//! object left fails.
//!
//! Called by `server::association`.

use std::fmt;
use std::io;
use std::time::Duration;

use super::destinations::Destinations;
use super::peer::{Ended, Operation, Peer};
use crate::dimse::service::{QueryRequest, QueryService, Response, SubOperations};
use crate::dimse::status::{Status, StatusClass};
use crate::limits::{
    FAILED_UIDS_BYTES_MAX, MOVE_ANSWER_TIMEOUT_S, RETRIEVE_PAGE_INSTANCES,
    RETRIEVE_WINDOW_INSTANCES,
};
use crate::uid::{Uid, UidText};

pub mod keys;
pub mod lines;
pub mod object;
pub mod select;
pub mod stock;

use self::keys::{Iter, MatchKeys, Matched};
use self::lines::{GetLine, MoveLine, MoveOptions, Originator, PeerAsker};
use self::object::{Body, Held, StoredFile, load};

/// Silence of a move destination that nothing shorter ends.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(MOVE_ANSWER_TIMEOUT_S as u64);

/// Where matched instances are: an archive's index and files.
pub trait Stock {
    /// Looks up `wanted` in one short read transaction; `None` for one that is gone.
    ///
    /// # Errors
    ///
    /// The index cannot be read; in words for the log.
    fn look_up(&self, wanted: &[Matched], found: &mut Vec<Option<Held>>) -> Result<(), String>;

    /// Opens the file of `held`.
    ///
    /// # Errors
    ///
    /// The system's.
    fn open(&self, held: &Held) -> io::Result<Box<dyn StoredFile>>;
}

/// Why one object could not be sent.
#[derive(Debug)]
pub enum Failure<E> {
    /// This object only; the reason, for the log.
    Object(String),
    /// The requestor cancelled while something was waited for.
    Cancelled,
    /// The association with the requestor ended.
    Ended(E),
}

/// How far it went.
enum Reached {
    /// Through all objects.
    End,
    /// Up to the requestor's C-CANCEL.
    Cancel,
    /// Nowhere: the first association could not be opened.
    Nothing(String),
}

/// Why one object is left out, or all that come after it.
enum Stop<E> {
    Object(String),
    Nothing(String),
    Cancel,
    Ended(E),
}

/// On what an object of a class can travel now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On this context, in this transfer syntax.
    Context(u8, Uid),
    /// Not on this association; a new one might take it.
    NewAssociation,
}

/// The association on which objects travel, beside the one with the requestor.
pub trait Line {
    /// How the association with the requestor may end.
    type Ended;

    /// How `held` can travel.
    ///
    /// # Errors
    ///
    /// Why it cannot, in words for the log.
    fn way(&self, held: &Held) -> Result<Way, String>;

    /// Opens a new association that can carry `wanted`, most urgent first: class and stored
    /// transfer syntax. Nothing is under way.
    ///
    /// # Errors
    ///
    /// Why there is none, in words for the log.
    fn associate(&mut self, wanted: &[(Uid, Uid)]) -> Result<(), Failure<Self::Ended>>;

    /// Sends an object and does not wait; gives the message ID of its request.
    fn send(
        &mut self,
        context_id: u8,
        held: &Held,
        body: Body,
    ) -> Result<u16, Failure<Self::Ended>>;

    /// Waits for the answer to `message_id`.
    fn answer(&mut self, message_id: u16) -> Result<Status, Failure<Self::Ended>>;

    /// A buffer to read the next object into.
    fn spare(&mut self) -> Vec<u8>;

    /// Queues a response to the requestor.
    fn respond(
        &mut self,
        status: Status,
        counts: SubOperations,
        failed: &FailedUids,
    ) -> Result<(), Self::Ended>;

    /// Sends what is queued for the requestor.
    fn flush(&mut self) -> Result<(), Self::Ended>;

    /// True once the requestor has cancelled.
    fn is_cancelled(&mut self) -> Result<bool, Self::Ended>;

    /// Tells the log why something failed.
    fn tell(&self, text: fmt::Arguments<'_>);
}

/// The SOP Instance UIDs of failed sub-operations, for (0008,0058): as many as one value may hold.
#[derive(Clone, Debug, Default)]
pub struct FailedUids {
    value: Vec<u8>,
    /// UIDs that found no room.
    left_out: u64,
}

impl FailedUids {
    fn push(&mut self, uid: &UidText) {
        let uid = uid.as_bytes();
        if self.value.len() + 1 + uid.len() > FAILED_UIDS_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        if !self.value.is_empty() {
            self.value.push(b'\\');
        }
        self.value.extend_from_slice(uid);
    }

    /// True when there is no room for another one.
    fn is_full(&self) -> bool {
        self.left_out > 0
    }

    /// The value, without padding.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// The instances that a request asks for.
#[derive(Debug, Default)]
pub struct Selection {
    /// Where they are in the index.
    pub keys: MatchKeys,
    /// False when there may be more: what was acknowledged last could not be brought into the index.
    pub is_whole: bool,
}

/// What has become of the sub-operations.
#[derive(Debug, Default)]
struct Tally {
    total: u64,
    completed: u64,
    failed: u64,
    warning: u64,
    uids: FailedUids,
    /// The last reason told: a lost association fails a million objects for one reason.
    last_reason: String,
    untold: u64,
}

impl Tally {
    fn remaining(&self) -> u64 {
        self.total.saturating_sub(self.completed + self.failed + self.warning)
    }

    /// The counts as a response carries them: 16 bits, and what is more says 65535.
    fn counts(&self, has_remaining: bool) -> SubOperations {
        let short = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
        SubOperations {
            remaining: has_remaining.then(|| short(self.remaining())),
            completed: short(self.completed),
            failed: short(self.failed),
            warning: short(self.warning),
        }
    }

    /// PS3.4 Tables C.4-2 and C.4-3.
    fn final_status(&self, is_cancelled: bool, is_whole: bool) -> Status {
        match (self.failed > 0, self.completed + self.warning > 0) {
            (false, _) if is_cancelled => Status::CANCEL,
            // B000H would say that all which is missing is in the list.
            _ if !is_whole => Status::SUB_OPERATIONS_FAILED,
            (true, false) => Status::SUB_OPERATIONS_FAILED,
            (true, true) => Status::SUB_OPERATIONS_WARNING,
            (false, _) if self.warning > 0 => Status::SUB_OPERATIONS_WARNING,
            (false, _) => Status::SUCCESS,
        }
    }

    fn note<L: Line>(&mut self, line: &L, uid: Option<&UidText>, result: Result<Status, String>) {
        let reason = match result {
            Ok(status) => match status.class() {
                StatusClass::Success => {
                    self.completed += 1;
                    return;
                }
                // PS3.7 Annex C: of the warnings, only Bxxx says that the object was stored.
                StatusClass::Warning if status.0 & 0xF000 == 0xB000 => {
                    self.warning += 1;
                    return;
                }
                _ => format!("the receiver answered {:04x}H", status.0),
            },
            Err(reason) => reason,
        };
        self.failed += 1;
        if let Some(uid) = uid {
            self.uids.push(uid);
        }
        if reason == self.last_reason {
            self.untold += 1;
            return;
        }
        self.tell_untold(line);
        match uid {
            Some(uid) => line.tell(format_args!("sub-operation for {uid:?} failed: {reason}")),
            None => line.tell(format_args!("sub-operation failed: {reason}")),
        }
        self.last_reason = reason;
    }

    fn tell_untold<L: Line>(&mut self, line: &L) {
        if self.untold > 0 {
            line.tell(format_args!("{} more sub-operations failed for this reason", self.untold));
            self.untold = 0;
        }
    }
}

/// Matched instances, looked up a page at a time.
struct Pages<'k, 's> {
    stock: &'s dyn Stock,
    keys: Iter<'k>,
    /// What was looked up last, and what was found.
    wanted: Vec<Matched>,
    page: Vec<Option<Held>>,
    at: usize,
}

/// The next matched instance.
enum Next {
    Here(Held),
    /// It was deleted since it matched; its UID, where that is known.
    Gone(Option<UidText>),
    End,
}

impl<'k, 's> Pages<'k, 's> {
    fn new(stock: &'s dyn Stock, keys: Iter<'k>) -> Self {
        Self { stock, keys, wanted: Vec::new(), page: Vec::new(), at: 0 }
    }

    fn next(&mut self) -> Result<Next, String> {
        if self.at == self.wanted.len() {
            self.wanted.clear();
            self.wanted.extend(self.keys.by_ref().take(RETRIEVE_PAGE_INSTANCES));
            self.page.clear();
            self.at = 0;
            if self.wanted.is_empty() {
                return Ok(Next::End);
            }
            self.stock.look_up(&self.wanted, &mut self.page)?;
            self.page.resize(self.wanted.len(), None);
        }
        let next = self.page.get_mut(self.at).and_then(Option::take);
        let uid = self.wanted.get(self.at).and_then(|matched| matched.sop_instance);
        self.at += 1;
        Ok(next.map_or(Next::Gone(uid), Next::Here))
    }

    /// What has taken the place of `held`, the last that was given, since it was looked up.
    fn newer(&self, held: &Held) -> Option<Held> {
        let matched = self.wanted.get(self.at.checked_sub(1)?)?;
        let mut found = Vec::new();
        self.stock.look_up(core::slice::from_ref(matched), &mut found).ok()?;
        found.pop().flatten().filter(|newer| newer.location != held.location)
    }

    /// The UIDs of all that were not given yet.
    fn left(&mut self) -> impl Iterator<Item = Option<UidText>> {
        let looked = self.wanted.get(self.at..).unwrap_or_default().iter().copied();
        looked.chain(self.keys.by_ref()).map(|matched| matched.sop_instance)
    }

    /// What the next association has to carry, `first` ahead: of as many objects as a window holds,
    /// each class and transfer syntax once.
    fn wanted(&self, first: &Held) -> Vec<(Uid, Uid)> {
        let mut wanted = Vec::new();
        let mut note = |held: &Held| {
            let pair = (held.sop_class.to_uid(), held.transfer_syntax.to_uid());
            if let (Some(class), Some(syntax)) = pair {
                if !wanted.contains(&(class, syntax)) {
                    wanted.push((class, syntax));
                }
            }
        };
        note(first);
        self.page.iter().flatten().for_each(&mut note);
        let mut keys = self.keys.clone();
        let (mut page, mut seen) = (Vec::new(), self.page.len());
        while seen < RETRIEVE_WINDOW_INSTANCES {
            let count = RETRIEVE_PAGE_INSTANCES.min(RETRIEVE_WINDOW_INSTANCES - seen);
            let next: Vec<_> = keys.by_ref().take(count).collect();
            page.clear();
            // What cannot be looked up now is told when its turn comes.
            if next.is_empty() || self.stock.look_up(&next, &mut page).is_err() {
                break;
            }
            page.iter().flatten().for_each(&mut note);
            seen += next.len();
        }
        wanted
    }
}

/// A C-STORE whose answer is due.
struct UnderWay {
    message_id: u16,
    uid: UidText,
}

/// Sends all of `selection` over `line` and answers the requestor, from the first pending response to the
/// final one.
///
/// # Errors
///
/// The association with the requestor ended; nobody is left to answer.
pub fn send_all<L: Line>(
    line: &mut L,
    stock: &dyn Stock,
    selection: &Selection,
) -> Result<(), L::Ended> {
    let Selection { keys, is_whole } = selection;
    let mut run = Run {
        tally: Tally { total: keys.len(), ..Tally::default() },
        under_way: None,
        pages: Pages::new(stock, keys.iter()),
    };
    let is_cancelled = match run.send(line)? {
        Reached::End => false,
        Reached::Cancel => true,
        Reached::Nothing(reason) => return fail_all(line, stock, keys, &reason),
    };
    run.tally.tell_untold(line);
    if run.tally.uids.is_full() {
        let left_out = run.tally.uids.left_out;
        line.tell(format_args!("{left_out} failed SOP Instance UIDs have no room in the response"));
    }
    let status = run.tally.final_status(is_cancelled, *is_whole);
    let counts = run.tally.counts(status == Status::CANCEL);
    line.respond(status, counts, &run.tally.uids)?;
    line.flush()
}

/// Answers that none of `keys` was sent, for `reason`: the destination cannot be reached.
fn fail_all<L: Line>(
    line: &mut L,
    stock: &dyn Stock,
    keys: &MatchKeys,
    reason: &str,
) -> Result<(), L::Ended> {
    line.tell(format_args!("{reason}"));
    let mut tally = Tally { total: keys.len(), failed: keys.len(), ..Tally::default() };
    let mut pages = Pages::new(stock, keys.iter());
    while !tally.uids.is_full() {
        match pages.next() {
            Ok(Next::Here(held)) => tally.uids.push(&held.sop_instance),
            Ok(Next::Gone(uid)) => uid.iter().for_each(|uid| tally.uids.push(uid)),
            Ok(Next::End) => break,
            Err(reason) => {
                line.tell(format_args!("{reason}"));
                pages.left().flatten().for_each(|uid| tally.uids.push(&uid));
                break;
            }
        }
    }
    line.respond(Status::SUB_OPERATIONS_FAILED, tally.counts(false), &tally.uids)?;
    line.flush()
}

/// The response to a request that matched nothing, or was refused before anything was sent: counts
/// of 0, no identifier.
pub fn nothing_sent(request: &QueryRequest, status: Status) -> Response<'static> {
    Response { sub_operations: Some(SubOperations::default()), ..request.response(status, false) }
}

struct Run<'k, 's> {
    tally: Tally,
    under_way: Option<UnderWay>,
    pages: Pages<'k, 's>,
}

impl Run<'_, '_> {
    fn send<L: Line>(&mut self, line: &mut L) -> Result<Reached, L::Ended> {
        loop {
            let held = match self.pages.next() {
                Ok(Next::Here(held)) => held,
                Ok(Next::Gone(uid)) => {
                    if self.settle(line)? {
                        return Ok(Reached::Cancel);
                    }
                    let reason = "the instance was deleted meanwhile".to_owned();
                    self.tally.note(line, uid.as_ref(), Err(reason));
                    self.pending(line)?;
                    if line.is_cancelled()? {
                        return Ok(Reached::Cancel);
                    }
                    continue;
                }
                Ok(Next::End) => {
                    let is_cancelled = self.settle(line)?;
                    return Ok(if is_cancelled { Reached::Cancel } else { Reached::End });
                }
                Err(reason) => {
                    // No status says that the list itself broke off: what is left has failed.
                    if self.settle(line)? {
                        return Ok(Reached::Cancel);
                    }
                    let left = self.tally.remaining();
                    self.tally.note(line, None, Err(reason));
                    self.tally.failed += left.saturating_sub(1);
                    let uids = &mut self.tally.uids;
                    self.pages.left().flatten().for_each(|uid| uids.push(&uid));
                    return Ok(Reached::End);
                }
            };
            let mut sent = self.send_one(line, &held);
            if let Err(Stop::Object(_)) = sent {
                // Replaced since its page was looked up: the file is gone, and another one is there.
                if let Some(newer) = self.pages.newer(&held) {
                    sent = self.send_one(line, &newer);
                }
            }
            match sent {
                Ok(()) => {}
                Err(Stop::Object(reason)) => {
                    if self.settle(line)? {
                        return Ok(Reached::Cancel);
                    }
                    self.tally.note(line, Some(&held.sop_instance), Err(reason));
                    self.pending(line)?;
                    if line.is_cancelled()? {
                        return Ok(Reached::Cancel);
                    }
                }
                Err(Stop::Nothing(reason)) => return Ok(Reached::Nothing(reason)),
                Err(Stop::Cancel) => return Ok(Reached::Cancel),
                Err(Stop::Ended(ended)) => return Err(ended),
            }
        }
    }

    /// Prepares `held` while the object before it is under way, waits for that one's answer, and
    /// sends.
    fn send_one<L: Line>(&mut self, line: &mut L, held: &Held) -> Result<(), Stop<L::Ended>> {
        let (context_id, syntax) = self.way(line, held)?;
        let stock = self.pages.stock;
        let body = load(held, &syntax, line.spare(), &mut || stock.open(held))
            .map_err(|error| Stop::Object(error.to_string()))?;
        if self.settle(line).map_err(Stop::Ended)? || line.is_cancelled().map_err(Stop::Ended)? {
            return Err(Stop::Cancel);
        }
        // The answer just waited for may have been the end of the association.
        if line.way(held) != Ok(Way::Context(context_id, syntax)) {
            let (again, as_before) = self.way(line, held)?;
            if (again, as_before) != (context_id, syntax) {
                return Err(Stop::Object("the association was lost, and a new one differs".into()));
            }
        }
        // The pending response of the object before goes out behind, or with, this object.
        match line.send(context_id, held, body) {
            Ok(message_id) => {
                self.under_way = Some(UnderWay { message_id, uid: held.sop_instance });
                line.flush().map_err(Stop::Ended)
            }
            Err(failure) => Err(stop(failure)),
        }
    }

    /// The context for `held`, on a new association where the one that is there has none.
    fn way<L: Line>(&mut self, line: &mut L, held: &Held) -> Result<(u8, Uid), Stop<L::Ended>> {
        if let Way::Context(id, syntax) = line.way(held).map_err(Stop::Object)? {
            return Ok((id, syntax));
        }
        if self.settle(line).map_err(Stop::Ended)? {
            return Err(Stop::Cancel);
        }
        let is_first = self.tally.remaining() == self.tally.total;
        match line.associate(&self.pages.wanted(held)) {
            Ok(()) => {}
            Err(Failure::Object(reason)) if is_first => return Err(Stop::Nothing(reason)),
            Err(failure) => return Err(stop(failure)),
        }
        match line.way(held).map_err(Stop::Object)? {
            Way::Context(id, syntax) => Ok((id, syntax)),
            Way::NewAssociation => {
                Err(Stop::Object("no presentation context could be proposed for it".into()))
            }
        }
    }

    /// Waits for the answer that is due, if one is, and queues its pending response. True when the
    /// requestor has cancelled meanwhile: what became of the object is not known, and it remains.
    fn settle<L: Line>(&mut self, line: &mut L) -> Result<bool, L::Ended> {
        let Some(UnderWay { message_id, uid }) = self.under_way.take() else { return Ok(false) };
        let result = match line.answer(message_id) {
            Ok(status) => Ok(status),
            Err(Failure::Object(reason)) => Err(reason),
            Err(Failure::Cancelled) => return Ok(true),
            Err(Failure::Ended(ended)) => return Err(ended),
        };
        self.tally.note(line, Some(&uid), result);
        self.pending(line)?;
        Ok(false)
    }

    fn pending<L: Line>(&mut self, line: &mut L) -> Result<(), L::Ended> {
        line.respond(Status::PENDING, self.tally.counts(true), &FailedUids::default())
    }
}

fn stop<E>(failure: Failure<E>) -> Stop<E> {
    match failure {
        Failure::Object(reason) => Stop::Object(reason),
        Failure::Cancelled => Stop::Cancel,
        Failure::Ended(ended) => Stop::Ended(ended),
    }
}

/// Performs a C-MOVE or C-GET whose identifier matched `selection`.
///
/// # Errors
///
/// The association with the requestor ended.
pub fn perform(
    peer: &mut Peer<'_, '_>,
    operation: &Operation,
    selection: &Selection,
    stock: &dyn Stock,
    destinations: &Destinations,
) -> Result<(), Ended> {
    let Operation { request, .. } = operation;
    if selection.keys.is_empty() {
        // A701H: the number of matches cannot be told. What was just stored may be one.
        let none = if selection.is_whole { Status::SUCCESS } else { Status::TOO_MANY_MATCHES };
        return peer.respond(operation, &nothing_sent(request, none), None);
    }
    if request.service == QueryService::Get {
        let mut line = GetLine::new(PeerAsker { peer, operation });
        return send_all(&mut line, stock, selection);
    }
    let (calling, called) = (peer.calling_ae_title(), peer.called_ae_title());
    let service = peer.service();
    let host = || service.host_names.name(peer.address().ip()).to_string();
    let destination = match destinations.find(request.move_destination, calling, host) {
        Ok(destination) => destination,
        Err(error) => {
            peer.narrator().destination_refused(calling, &error);
            let response = nothing_sent(request, Status::MOVE_DESTINATION_UNKNOWN);
            return peer.respond(operation, &response, None);
        }
    };
    let options = MoveOptions {
        max_pdu_bytes: service.max_pdu_bytes,
        transport: service.transport,
        acse_timeout: service.acse_timeout,
        dimse_timeout: service.dimse_timeout,
        socket_timeout: service.socket_timeout,
        answer_timeout: ANSWER_TIMEOUT,
        stop: peer.stop(),
    };
    let originator = Originator {
        called,
        calling,
        message_id: request.message_id,
        priority: request.priority.unwrap_or_default(),
    };
    let asker = PeerAsker { peer, operation };
    let mut line = MoveLine::new(asker, destinations, destination, options, originator);
    let result = send_all(&mut line, stock, selection);
    line.close();
    result
}
