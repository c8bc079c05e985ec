//! One association after the other, one operation after the other: what a thread of a run does.
//!
//! A worker takes the number of the next operation, waits until it is due, does it and counts. What
//! fails costs the association and is counted, never hidden; a worker to which nothing but failures
//! happen gives up, so that a peer that is gone ends the run. Called by `Run`.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::ledger::Entry;
use super::query::{Answers, Asking, Came, Objects, STUDY_ROOT, context_of, entity_of, identifier};
use super::source::Source;
use super::{Action, Plan, Shared, Tally};
use crate::client::send::DataSet;
use crate::client::{ClientError, Proposal, Requestor};
use crate::dataset::transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};
use crate::dimse::service::{DataSetType, Priority, QueryService, StoreRequest};
use crate::dimse::status::{Operation, Status, StatusClass};
use crate::limits::{
    LOAD_FAILURES_IN_A_ROW_MAX, LOAD_HELD_OBJECT_BYTES, LOAD_OPERATION_OBJECTS_MAX,
};
use crate::mixing::mixed;
use crate::uid::Uid;
use crate::ul::pdu::RoleSelection;

const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Longest time that a worker sleeps before it looks whether it shall stop.
const NAP: Duration = Duration::from_millis(50);
/// How often something that is stored is looked for, for an operation that asks for it.
const PICKS: u64 = 32;

/// The timetable of a run.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Instant,
    rate: Option<f64>,
    duration: Duration,
}

impl Pace {
    /// `rate` operations a second from `start` on, or as fast as they are answered.
    pub fn new(start: Instant, rate: Option<f64>, duration: Duration) -> Self {
        Self { start, rate, duration }
    }

    /// When the `number`-th operation is due; `None` in a closed loop.
    pub fn due(&self, number: u32) -> Option<Instant> {
        let rate = self.rate?;
        Some(self.start + Duration::from_secs_f64(f64::from(number) / rate))
    }

    /// True when an operation that would begin at `at` is too late for this run.
    pub fn is_over(&self, at: Instant) -> bool {
        at.saturating_duration_since(self.start) >= self.duration
    }

    /// How many operations are due before `elapsed` has passed.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn due_until(&self, elapsed: Duration) -> u64 {
        self.rate.map_or(0, |rate| (elapsed.as_secs_f64() * rate).ceil() as u64)
    }

    /// Latency and service time of the `number`-th operation. In an open loop the latency counts from
    /// when it was due, so that what it waited for a stalled peer is part of it.
    pub fn times(&self, number: u32, begun: Instant, ended: Instant) -> (Duration, Duration) {
        let due = self.due(number).unwrap_or(begun).min(begun);
        (ended.saturating_duration_since(due), ended.saturating_duration_since(begun))
    }
}

/// What came of one operation.
struct Done {
    status: Option<Status>,
    objects: u64,
    bytes: u64,
    /// What was wrong, in words; none for a success.
    failure: Option<String>,
    /// The association is of no more use.
    is_lost: bool,
}

impl Done {
    fn lost(error: &ClientError) -> Self {
        Self { is_lost: true, ..Self::failed(words(error)) }
    }

    fn failed(failure: String) -> Self {
        Self { status: None, objects: 0, bytes: 0, failure: Some(failure), is_lost: false }
    }
}

/// An error of the association in words that tell one from another; DCMTK's are the same for many.
pub fn words(error: &ClientError) -> String {
    match error {
        ClientError::PeerAborted(abort) => {
            format!(
                "the peer aborted the association (source {}, reason {})",
                abort.source, abort.reason
            )
        }
        ClientError::PeerGone(None) => "the peer closed the connection".into(),
        ClientError::PeerGone(Some(error)) => format!("the connection broke: {error}"),
        ClientError::PeerReleased => "the peer released the association in the middle".into(),
        ClientError::TimedOut => "the peer did not answer in time".into(),
        ClientError::Tls(fault) => format!("{fault}: {}", fault.explanation),
        ClientError::Protocol(what) => format!("the peer broke the protocol: {what}"),
        error => error.to_string(),
    }
}

/// What a run's associations ask for.
pub fn proposal_of(plan: &Plan) -> Proposal {
    let mut contexts = Vec::new();
    let mut roles: Vec<RoleSelection> = Vec::new();
    if plan.has(Action::Echo) {
        let syntax = Uid::known(IMPLICIT_VR_LITTLE_ENDIAN);
        contexts.push((Uid::known(VERIFICATION), vec![syntax]));
    }
    for (action, model) in [Action::Find, Action::Move, Action::Get].into_iter().zip(STUDY_ROOT) {
        if plan.has(action) {
            contexts.push((Uid::known(model), query_syntaxes()));
        }
    }
    if plan.has(Action::Store) || plan.has(Action::Get) {
        for (class, syntax) in plan.source.contexts() {
            contexts.push((class, vec![syntax]));
            let is_new = roles.iter().all(|role| role.sop_class_uid != class.text());
            if plan.has(Action::Get) && is_new {
                let scu = plan.has(Action::Store);
                roles.push(RoleSelection { sop_class_uid: class.text(), scu, scp: true });
            }
        }
    }
    Proposal { contexts, roles, ..plan.proposal.clone() }
}

/// Transfer syntaxes of identifiers.
pub fn query_syntaxes() -> Vec<Uid> {
    vec![Uid::known(EXPLICIT_VR_LITTLE_ENDIAN), Uid::known(IMPLICIT_VR_LITTLE_ENDIAN)]
}

/// A thread's work.
pub struct Worker {
    shared: Arc<Shared>,
    pace: Pace,
    proposal: Proposal,
    requestor: Option<Requestor>,
    /// Operations of this association.
    operations: u32,
    failures_in_a_row: u32,
    last_failure: String,
    tally: Tally,
    /// A small object, made here.
    buffer: Vec<u8>,
}

impl Worker {
    /// A worker that has not begun.
    pub fn new(shared: Arc<Shared>, pace: Pace) -> Self {
        Self {
            proposal: proposal_of(&shared.plan),
            shared,
            pace,
            requestor: None,
            operations: 0,
            failures_in_a_row: 0,
            last_failure: String::new(),
            tally: Tally::default(),
            buffer: Vec::new(),
        }
    }

    /// Works until the run is over.
    pub fn work(mut self) -> Tally {
        let shared = Arc::clone(&self.shared);
        while !shared.stop.is_raised() {
            if self.pace.is_over(Instant::now()) {
                break;
            }
            let taken = shared.next.fetch_update(Ordering::AcqRel, Ordering::Acquire, |next| {
                (next < shared.plan.count).then_some(next + 1)
            });
            let Ok(number) = taken else { break };
            if !self.wait_until_due(number) {
                // Taken, and not begun.
                break;
            }
            self.tally.begun += 1;
            self.operate(number);
            if self.failures_in_a_row >= LOAD_FAILURES_IN_A_ROW_MAX {
                // The others go on: a peer may serve fewer associations than there are.
                self.tally.gave_up = Some(std::mem::take(&mut self.last_failure));
                break;
            }
        }
        self.end_association();
        self.tally
    }

    /// Sleeps until the operation is due; false if the run is over before.
    fn wait_until_due(&self, number: u32) -> bool {
        let Some(due) = self.pace.due(number) else { return true };
        loop {
            if self.shared.stop.is_raised() || self.pace.is_over(due) {
                return false;
            }
            match due.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::sleep(left.min(NAP)),
                _ => return true,
            }
        }
    }

    fn operate(&mut self, number: u32) {
        let begun = Instant::now();
        let (action, object) = self.choose(number);
        let done = match self.associated() {
            Ok(()) => match action {
                Action::Store => self.store(object),
                Action::Find => self.find(object),
                Action::Get | Action::Move => self.retrieve(action, object),
                Action::Echo => self.echo(),
            },
            Err(failure) => {
                if action == Action::Store {
                    self.enter(object, Entry::Unsent);
                }
                Done::failed(failure)
            }
        };
        let ended = Instant::now();
        self.operations += 1;
        let (latency, service) = self.pace.times(number, begun, ended);
        let at = ended.saturating_duration_since(self.pace.start);
        self.tally.timeline.record(at, latency, done.failure.is_some(), done.bytes);
        let figures = self.tally.actions.entry(action).or_default();
        figures.latency.record(latency);
        if self.pace.rate.is_some() {
            figures.service.record(service);
        }
        figures.bytes += done.bytes;
        figures.objects += done.objects;
        if let Some(status) = done.status {
            *figures.statuses.entry(status.0).or_default() += 1;
        }
        let is_warning = done.status.is_some_and(|status| status.class() == StatusClass::Warning);
        let outcome = match (&done.failure, is_warning) {
            (Some(_), _) => &mut figures.failed,
            (None, true) => &mut figures.warned,
            (None, false) => &mut figures.succeeded,
        };
        *outcome += 1;
        self.shared.note(done.failure.is_some(), done.bytes);
        match done.failure {
            Some(failure) => {
                self.failures_in_a_row += 1;
                self.last_failure = format!("{}: {failure}", action.text());
                self.tally.error(self.last_failure.clone(), 1);
            }
            None => self.failures_in_a_row = 0,
        }
        let per_association = self.shared.plan.per_association;
        if done.is_lost {
            if let Some(requestor) = self.requestor.take() {
                requestor.abort();
            }
        } else if per_association > 0 && self.operations >= per_association {
            self.end_association();
        }
    }

    /// What the `number`-th operation is, and of which object: of a store, the number of the store.
    fn choose(&self, number: u32) -> (Action, u32) {
        let plan = &self.shared.plan;
        let random = mixed(plan.seed ^ mixed(u64::from(number)));
        let parts: u64 = plan.mix.iter().map(|(_, parts)| u64::from(*parts)).sum();
        let mut at = random % parts.max(1);
        let mut action = Action::Echo;
        for (one, parts) in &plan.mix {
            action = *one;
            if at < u64::from(*parts) {
                break;
            }
            at -= u64::from(*parts);
        }
        match action {
            Action::Echo => (action, 0),
            Action::Store => (action, self.next_store()),
            _ => match self.stored_object(random) {
                Some(object) => (action, object),
                // Nothing is there that could be asked for: it is put there.
                None if plan.has(Action::Store) => (Action::Store, self.next_store()),
                None => (action, 0),
            },
        }
    }

    fn next_store(&self) -> u32 {
        self.shared.stores.fetch_add(1, Ordering::AcqRel)
    }

    /// An object that is there: by the plan, or because the peer said so.
    fn stored_object(&self, random: u64) -> Option<u32> {
        let plan = &self.shared.plan;
        let begun = self.shared.stores.load(Ordering::Acquire);
        let all = u64::from(plan.known) + u64::from(begun);
        if all == 0 {
            return None;
        }
        (0..PICKS).find_map(|attempt| {
            let pick = u32::try_from(mixed(random.wrapping_add(attempt)) % all).ok()?;
            match pick.checked_sub(plan.known) {
                None => Some(plan.source.object_of(pick)),
                Some(store) => {
                    let is_there = self.shared.ledger.entry(store).is_acknowledged();
                    is_there.then(|| plan.source.object_of(pick))
                }
            }
        })
    }

    fn enter(&self, store: u32, entry: Entry) {
        self.shared.ledger.enter(store, entry);
    }

    /// Sees to it that there is an association.
    fn associated(&mut self) -> Result<(), String> {
        if self.requestor.is_some() {
            return Ok(());
        }
        let begun = Instant::now();
        match Requestor::associate(&self.shared.plan.addresses, &self.proposal) {
            Ok(requestor) => {
                self.tally.associate.record(begun.elapsed());
                self.requestor = Some(requestor);
                self.operations = 0;
                Ok(())
            }
            Err(error) => {
                self.tally.associations_failed += 1;
                Err(words(&error))
            }
        }
    }

    fn end_association(&mut self) {
        if let Some(requestor) = self.requestor.take() {
            if let Err(error) = requestor.release() {
                self.tally.associations_failed += 1;
                self.tally.error(format!("release: {}", words(&error)), 1);
            }
        }
    }

    fn echo(&mut self) -> Done {
        let Some(requestor) = &mut self.requestor else { return Done::failed(String::new()) };
        let Some((context_id, _)) = context_of(requestor, VERIFICATION) else {
            return Done::failed(not_accepted("verification"));
        };
        match requestor.echo(context_id) {
            Ok(status) => judged(status, Operation::Echo, 0, 0),
            Err(error) => Done::lost(&error),
        }
    }

    /// Sends the object of the `store`-th store.
    fn store(&mut self, store: u32) -> Done {
        let Self { shared, requestor, buffer, .. } = self;
        let Some(requestor) = requestor else { return Done::failed(String::new()) };
        let source = &shared.plan.source;
        let object = source.object_of(shared.plan.known.saturating_add(store));
        let names = source.names(object);
        let enter = |entry| shared.ledger.enter(store, entry);
        let context = source.context_of(object, requestor);
        let Some((id, syntax)) = context.and_then(|one| Some((one.id, one.transfer_syntax?)))
        else {
            enter(Entry::Unsent);
            return Done::failed(not_accepted("this SOP class in this transfer syntax"));
        };
        let request = StoreRequest {
            message_id: 0,
            affected_sop_class_uid: Some(names.class),
            affected_sop_instance_uid: Some(names.instance),
            priority: Some(Priority::Medium),
            move_originator_ae_title: None,
            move_originator_message_id: None,
            data_set_type: DataSetType::Present,
        };
        let (sent, bytes) = if small_object(source, object, &syntax, buffer) {
            enter(Entry::InHand);
            let sent = requestor.begin_store(id, &request, DataSet::Memory(buffer));
            (sent, buffer.len() as u64)
        } else {
            match source.data_set(object, &syntax) {
                Ok((bytes, mut stream)) => {
                    enter(Entry::InHand);
                    let data_set = DataSet::Stream(&mut stream);
                    (requestor.begin_store(id, &request, data_set), bytes)
                }
                Err(error) => {
                    enter(Entry::Unsent);
                    return Done::failed(format!("cannot read the object: {error}"));
                }
            }
        };
        match sent.and_then(|message_id| requestor.store_status(message_id)) {
            Ok(status) => {
                enter(Entry::Answered(status));
                judged(status, Operation::Store, 1, bytes)
            }
            Err(error @ ClientError::Unsent(_)) => {
                enter(Entry::Unsent);
                Done::failed(words(&error))
            }
            Err(error) => {
                enter(Entry::Unanswered);
                Done::lost(&error)
            }
        }
    }

    fn find(&mut self, object: u32) -> Done {
        let plan = &self.shared.plan;
        let Some(requestor) = &mut self.requestor else { return Done::failed(String::new()) };
        let Some((context_id, encoding)) = context_of(requestor, STUDY_ROOT[0]) else {
            return Done::failed(not_accepted("C-FIND of study root"));
        };
        let names = plan.source.names(object);
        let level = plan.find_level;
        let wanted = entity_of(level, &names);
        let asked = identifier(level, &names, Asking::Find, encoding);
        let (mut right, mut wrong) = (0_u64, 0_u64);
        let mut each = |uid| {
            let count = if uid == wanted { &mut right } else { &mut wrong };
            *count += 1;
        };
        let left = LOAD_OPERATION_OBJECTS_MAX;
        let mut answers = Answers { encoding, level, left, each: &mut each };
        match requestor.operate(QueryService::Find, context_id, None, &asked, &mut answers) {
            Ok(last) => {
                let mut done = judged(last.status, Operation::Find, right + wrong, 0);
                if done.failure.is_none() && (right, wrong) != (1, 0) {
                    done.failure = Some(format!(
                        "{right} answers with the UID asked for and {wrong} others, where one \
                         is right"
                    ));
                }
                done
            }
            Err(error) => Done::lost(&error),
        }
    }

    fn retrieve(&mut self, action: Action, object: u32) -> Done {
        let plan = &self.shared.plan;
        let Some(requestor) = &mut self.requestor else { return Done::failed(String::new()) };
        let (service, model, operation, destination) = match action {
            Action::Move => (QueryService::Move, STUDY_ROOT[1], Operation::Move, plan.destination),
            _ => (QueryService::Get, STUDY_ROOT[2], Operation::Get, None),
        };
        let Some((context_id, encoding)) = context_of(requestor, model) else {
            return Done::failed(not_accepted("this service of study root"));
        };
        let names = plan.source.names(object);
        let asked = identifier(plan.retrieve_level, &names, Asking::Retrieve, encoding);
        let (mut objects, mut bytes, mut strange) = (0_u64, 0_u64, 0_u64);
        let mut each = |came: Came| {
            objects += 1;
            bytes += came.bytes;
            let known = came.instance.and_then(|uid| plan.source.object_named(&uid));
            let is_right = known.is_some_and(|known| {
                let theirs = plan.source.names(known);
                entity_of(plan.retrieve_level, &theirs) == entity_of(plan.retrieve_level, &names)
            });
            strange += u64::from(!is_right);
        };
        let left = LOAD_OPERATION_OBJECTS_MAX;
        let mut taker = Objects::new(requestor, None, left, &mut each);
        let result = requestor.operate(service, context_id, destination, &asked, &mut taker);
        let last = match result {
            Ok(last) => last,
            Err(error) => return Done::lost(&error),
        };
        if service == QueryService::Move {
            objects = last
                .sub_operations
                .map_or(0, |counts| u64::from(counts.completed) + u64::from(counts.warning));
        }
        let mut done = judged(last.status, operation, objects, bytes);
        let has_failed = last.sub_operations.is_some_and(|counts| counts.failed > 0);
        if has_failed || last.status.class() == StatusClass::Warning {
            done.failure.get_or_insert_with(|| "some sub-operations failed".into());
        } else if objects == 0 {
            done.failure.get_or_insert_with(|| "nothing was sent, where something is right".into());
        } else if strange > 0 {
            done.failure.get_or_insert_with(|| "objects that were not asked for".into());
        }
        done
    }
}

/// Makes an object in `buffer` if it is small; true if it is.
fn small_object(source: &Source, object: u32, syntax: &Uid, buffer: &mut Vec<u8>) -> bool {
    let Source::Recipe(recipe) = source else { return false };
    let pixels = recipe.pixel_length(object);
    let Some(length) = usize::try_from(pixels).ok().filter(|n| *n <= LOAD_HELD_OBJECT_BYTES) else {
        return false;
    };
    buffer.clear();
    recipe.append_head(object, syntax.as_str() == EXPLICIT_VR_LITTLE_ENDIAN, buffer);
    let begin = buffer.len();
    buffer.resize(begin + length, 0);
    let (_, rest) = buffer.split_at_mut(begin);
    recipe.pixels(object).read_exact(rest).is_ok()
}

fn not_accepted(what: &str) -> String {
    format!("the peer does not accept {what}")
}

/// An operation with this final status.
fn judged(status: Status, operation: Operation, objects: u64, bytes: u64) -> Done {
    let failure = match status.class() {
        StatusClass::Success | StatusClass::Warning => None,
        _ => Some(format!("status {:04X}H: {}", status.0, status.text(operation))),
    };
    Done { status: Some(status), objects, bytes, failure, is_lost: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An open loop counts from when an operation was due: a stall of a second, in which a hundred
    /// operations were due, is in the latencies of all of them, and in the service time of one.
    #[test]
    fn a_stall_is_in_the_latency_of_all_that_waited() {
        let start = Instant::now();
        let pace = Pace::new(start, Some(100.0), Duration::from_secs(60));
        let answer = Duration::from_millis(1);
        let mut free = start;
        let (mut latency, mut service) = (Vec::new(), Vec::new());
        for number in 0..300 {
            let due = pace.due(number).unwrap();
            assert_eq!(due, start + Duration::from_millis(10) * number);
            let begun = due.max(free);
            let stall = if number == 100 { Duration::from_secs(1) } else { Duration::ZERO };
            free = begun + answer + stall;
            let (one, other) = pace.times(number, begun, free);
            latency.push(one);
            service.push(other);
        }
        let long = |times: &[Duration]| times.iter().filter(|t| **t > answer * 20).count();
        assert_eq!(long(&service), 1);
        assert!((90..=115).contains(&long(&latency)), "{}", long(&latency));
        assert_eq!(latency.iter().max(), service.iter().max());
    }

    /// A closed loop has no timetable, and both times are the same.
    #[test]
    fn a_closed_loop_counts_from_the_begin() {
        let start = Instant::now();
        let pace = Pace::new(start, None, Duration::from_secs(1));
        let (begun, ended) = (start + Duration::from_secs(2), start + Duration::from_secs(3));
        assert_eq!(pace.times(7, begun, ended), (Duration::from_secs(1), Duration::from_secs(1)));
        assert_eq!((pace.due(7), pace.due_until(Duration::from_secs(9))), (None, 0));
        assert!(pace.is_over(start + Duration::from_secs(1)) && !pace.is_over(start));
    }

    /// What was due and not begun is told: the loop cannot hide that it fell behind.
    #[test]
    fn what_is_due() {
        let pace = Pace::new(Instant::now(), Some(50.0), Duration::from_secs(9));
        assert_eq!(pace.due_until(Duration::from_secs(2)), 100);
        assert_eq!(pace.due_until(Duration::from_millis(2010)), 101);
    }
}
