//! Peers that come to us, where the recording has several at once: which of them is which.
//!
//! Clients that race come in another order each time, so each is known by what it asks: its
//! A-ASSOCIATE-RQ, and where connections that were open at the same time have the same one, its first
//! message, for which it is given the answer that all of them had. Where the one that is due does not
//! come and another of them is here, that one's turn is now: clients that come one by one come in any
//! order, too. One that nobody asked like in time is taken in the order of coming, and what differs is
//! said where it is compared. Called by `recording::replay`, for the acceptor's side.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::happened::{Happened, Watch};
use super::play::compare::are_alike;
use super::play::sending::answer_for;
use super::recorded::Opening;
use super::{Plan, ReplayError};
use crate::net::tcp::{Connection, Interrupt, StopFlag};
use crate::recording::conversation::Conversation;
use crate::recording::{Side, What};
use crate::ul::pdu::PduType;

/// So long one that is not asked like is waited for, beside others that are here: who races comes soon.
const RACE: Duration = Duration::from_secs(1);
/// Between two looks at those who are here.
const LOOK: Duration = Duration::from_millis(5);

/// A peer that has come.
pub struct Guest {
    pub connection: Connection,
    pub talk: Conversation,
    pub watch: Watch,
    /// Its request was accepted, in the recorded words.
    pub is_answered: bool,
    has_ended: bool,
}

/// Those who have come, and those who are still to come.
pub struct Guests<'a> {
    plan: &'a Plan,
    stop: &'a StopFlag,
    listener: &'a TcpListener,
    /// Connections of the recording that have not been opened.
    openings: BTreeMap<u64, Opening>,
    here: VecDeque<Guest>,
}

impl<'a> Guests<'a> {
    pub fn new(
        plan: &'a Plan,
        stop: &'a StopFlag,
        listener: &'a TcpListener,
        openings: BTreeMap<u64, Opening>,
    ) -> Self {
        Self { plan, stop, listener, openings, here: VecDeque::new() }
    }

    /// The peer that plays the connection `number`; or that of another connection, with its number,
    /// which is to be played before.
    ///
    /// # Errors
    ///
    /// The listener's, or a stop.
    pub fn take(&mut self, number: u64) -> Result<(u64, Guest), ReplayError> {
        let wanted = self.openings.remove(&number).unwrap_or_default();
        let rivals: BTreeSet<u64> = self
            .openings
            .iter()
            .filter(|(_, opening)| opening.group == wanted.group)
            .map(|(number, _)| *number)
            .collect();
        if rivals.is_empty() && self.here.is_empty() {
            return Ok((number, self.next()?));
        }
        if self.here.is_empty() {
            let guest = self.next()?;
            self.here.push_back(guest);
        }
        let begun = Instant::now();
        loop {
            if self.stop.is_raised() {
                return Err(ReplayError::Stopped);
            }
            self.let_in(rivals.len() + 1)?;
            self.here.iter_mut().for_each(|guest| guest.listen(self.plan.ours.other()));
            if let Some(at) = self.right_one(&wanted, &rivals) {
                return Ok((number, self.here.remove(at).ok_or(ReplayError::Stopped)?));
            }
            if begun.elapsed() >= RACE.min(self.plan.patience) {
                let (who, at) = match self.rival_here(&rivals) {
                    Some((rival, at)) => {
                        self.openings.insert(number, wanted);
                        self.openings.remove(&rival);
                        (rival, at)
                    }
                    None => (number, self.next_best(&wanted, &rivals)),
                };
                return Ok((who, self.here.remove(at).ok_or(ReplayError::Stopped)?));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for the next peer.
    fn next(&self) -> Result<Guest, ReplayError> {
        loop {
            if self.stop.is_raised() {
                return Err(ReplayError::Stopped);
            }
            if let Some(guest) = self.accepted()? {
                return Ok(guest);
            }
        }
    }

    /// Lets in who waits at the door, as far as there is room.
    fn let_in(&mut self, most: usize) -> Result<(), ReplayError> {
        self.listener.set_nonblocking(true).map_err(ReplayError::Connect)?;
        let mut result = Ok(());
        while self.here.len() < most {
            match self.accepted() {
                Ok(Some(guest)) => self.here.push_back(guest),
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.listener.set_nonblocking(false).map_err(ReplayError::Connect)?;
        result
    }

    fn accepted(&self) -> Result<Option<Guest>, ReplayError> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::ConnectionAborted
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(ReplayError::Connect(error)),
        };
        let connection = opened(stream, self.plan, self.stop)?;
        let (talk, watch) = Default::default();
        Ok(Some(Guest { connection, talk, watch, is_answered: false, has_ended: false }))
    }

    /// Who asks what is wanted, and what no rival asks; answers those of whom that is not known yet.
    fn right_one(&mut self, wanted: &Opening, rivals: &BTreeSet<u64>) -> Option<usize> {
        let alike: Vec<&Opening> = rivals
            .iter()
            .filter_map(|number| self.openings.get(number))
            .filter(|rival| match (rival.events.first(), wanted.events.first()) {
                (Some(one), Some(other)) => are_alike(self.plan, one, other),
                _ => false,
            })
            .collect();
        for (at, guest) in self.here.iter_mut().enumerate() {
            if !guest.asks(self.plan, wanted, 1) {
                continue;
            }
            // Whoever asks first is as good as anybody where all say the same to the end, or cannot be
            // told apart because they were answered otherwise.
            let is_told_apart = alike.iter().any(|rival| !rival.is_like(self.plan, wanted));
            let have_one_answer = alike.iter().all(|rival| rival.answer == wanted.answer);
            if !is_told_apart || (!have_one_answer && !guest.is_answered) {
                return Some(at);
            }
            guest.answer(self.plan, wanted.answer.as_deref());
            if guest.asks(self.plan, wanted, wanted.events.len()) {
                return Some(at);
            }
        }
        None
    }

    /// Somebody who asks all that a rival asks, and which one.
    fn rival_here(&self, rivals: &BTreeSet<u64>) -> Option<(u64, usize)> {
        self.here.iter().enumerate().find_map(|(at, guest)| {
            let asks_like = |number: &&u64| {
                self.openings.get(number).is_some_and(|rival| {
                    !rival.events.is_empty() && guest.asks(self.plan, rival, rival.events.len())
                })
            };
            rivals.iter().find(asks_like).map(|rival| (*rival, at))
        })
    }

    /// Who comes nearest, and is not what a rival wants.
    fn next_best(&self, wanted: &Opening, rivals: &BTreeSet<u64>) -> usize {
        let is_a_rivals = |guest: &Guest| {
            let mut rivals = rivals.iter().filter_map(|number| self.openings.get(number));
            rivals.any(|rival| guest.asks(self.plan, rival, rival.events.len()))
        };
        let place = |is_good: &dyn Fn(&Guest) -> bool| self.here.iter().position(is_good);
        place(&|guest| guest.asks(self.plan, wanted, 1) && !is_a_rivals(guest))
            .or_else(|| place(&|guest| guest.asks(self.plan, wanted, 1)))
            .or_else(|| place(&|guest| !is_a_rivals(guest)))
            .unwrap_or(0)
    }
}

/// A connection, whoever opened it.
pub fn opened(stream: TcpStream, plan: &Plan, stop: &StopFlag) -> Result<Connection, ReplayError> {
    let mut connection = Connection::new(stream, plan.transport).map_err(ReplayError::Connect)?;
    // A peer that does not read keeps nobody who asks us to stop.
    let stop = stop.clone();
    connection.interrupted_by(Interrupt::new(move || stop.is_raised()));
    Ok(connection)
}

impl Opening {
    /// True where both peers do the same, as far as it was looked at.
    fn is_like(&self, plan: &Plan, other: &Self) -> bool {
        self.events.len() == other.events.len()
            && self.events.iter().zip(&other.events).all(|(one, other)| are_alike(plan, one, other))
    }
}

impl Guest {
    /// Takes in what it has sent, up to its first message.
    fn listen(&mut self, theirs: Side) {
        let mut block = [0; 16 * 1024];
        while !self.has_ended && self.watch.queue.len() < Opening::EVENTS_MAX {
            match self.connection.read_now(&mut block) {
                Ok(0) => return,
                Ok(count) => {
                    let bytes = block.get(..count).unwrap_or_default().to_vec();
                    self.watch.take(&mut self.talk, theirs, &What::Bytes(theirs, bytes));
                }
                // Met again by who plays with it.
                Err(_) => self.has_ended = true,
            }
        }
    }

    /// True where the first `count` things that it did are those of `opening`.
    fn asks(&self, plan: &Plan, opening: &Opening, count: usize) -> bool {
        let count = count.min(opening.events.len());
        self.watch.queue.len() >= count
            && opening
                .events
                .iter()
                .zip(&self.watch.queue)
                .take(count)
                .all(|(expected, came)| are_alike(plan, expected, came))
    }

    /// Accepts its request, once.
    fn answer(&mut self, plan: &Plan, recorded: Option<&[u8]>) {
        let Some(Happened::AssociateRq(request)) = self.watch.queue.front() else { return };
        if self.is_answered {
            return;
        }
        let is_accept =
            recorded.is_some_and(|raw| raw.first() == Some(&(PduType::AssociateAc as u8)));
        let Some(recorded) = recorded.filter(|_| is_accept) else { return };
        let answer = answer_for(recorded, request.titles);
        self.talk.take(&What::Bytes(plan.ours, answer.clone()), &mut |_, _, _| {});
        // One that takes nothing is met again by who plays with it.
        self.is_answered = self.connection.write(&answer).is_ok();
    }
}
