//! C-MOVE sub-operations against scripted destinations, good and bad.
//!
//! The requestor is a list of what it was answered; the destination is a thread on a real socket
//! that speaks as the script says. Nothing sleeps: every wait ends by an event or a deadline of the
//! engine's.

use std::fmt;
use std::io::{self, Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dcmfast_core::acse::negotiation::negotiate;
use dcmfast_core::acse::user_information::{LocalIdentity, associate_ac};
use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::dimse::message::{MessageAssembler, Step, append_command};
use dcmfast_core::dimse::service::{Command, Priority, StoreRequest, SubOperations};
use dcmfast_core::dimse::status::Status;
use dcmfast_core::index::{FileLocation, InstanceKey};
use dcmfast_core::limits::{
    FAILED_UIDS_BYTES_MAX, RETRIEVE_HELD_BYTES_MAX, RETRIEVE_PAGE_INSTANCES,
};
use dcmfast_core::net::tcp::{StopFlag, TransportOptions};
use dcmfast_core::policy::{AcceptorEntry, AcceptorTable};
use dcmfast_core::server::destinations::{Destination, Destinations};
use dcmfast_core::server::retrieve::keys::{MatchKeys, Matched};
use dcmfast_core::server::retrieve::lines::{Asker, MoveLine, MoveOptions, Originator};
use dcmfast_core::server::retrieve::object::{Held, StoredFile};
use dcmfast_core::server::retrieve::{FailedUids, Selection, Stock, send_all};
use dcmfast_core::uid::{Uid, UidText};
use dcmfast_core::ul::pdu::{Abort, AssociateRj};
use dcmfast_core::ul::pdu_codec::encode_abort;
use dcmfast_core::ul::pdv::{Fragmenter, split_first};
use dcmfast_core::ul::provider::{Indication, UpperLayer};
use xxhash_rust::xxh3::xxh3_128;

const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const BIG: &str = "1.2.840.10008.1.2.2";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const MR: &str = "1.2.840.10008.5.1.4.1.1.4";

// ---- The archive ------------------------------------------------------------------------------

/// Objects in memory, by number from 1 on; a number without one is gone.
#[derive(Default)]
struct Shelf(Vec<Option<(Held, Vec<u8>)>>);

impl Shelf {
    fn add(&mut self, class: &str, syntax: &str, pixels: usize) -> &mut (Held, Vec<u8>) {
        let number = self.0.len() + 1;
        let data_set = data_set(pixels);
        let held = Held {
            sop_class: UidText::new(class.as_bytes()).unwrap(),
            sop_instance: UidText::new(format!("1.2.3.{number}").as_bytes()).unwrap(),
            transfer_syntax: UidText::new(syntax.as_bytes()).unwrap(),
            location: FileLocation::Own(number as u64),
            file_bytes: 132 + data_set.len() as u64,
            data_set_offset: 132,
            digest: xxh3_128(&data_set),
        };
        self.0.push(Some((held, [vec![0; 132], data_set].concat())));
        self.0.last_mut().unwrap().as_mut().unwrap()
    }

    fn keys(&self) -> MatchKeys {
        let mut keys = MatchKeys::default();
        for number in 1..=self.0.len() as u64 {
            keys.push(InstanceKey { series: 1, number }, format!("1.2.3.{number}").as_bytes());
        }
        keys
    }
}

/// Pixel data alone, Explicit VR Little Endian.
fn data_set(pixels: usize) -> Vec<u8> {
    let mut bytes = b"\xE0\x7F\x10\0OW\0\0".to_vec();
    bytes.extend((pixels as u32).to_le_bytes());
    bytes.extend((0..pixels).map(|at| (at % 251) as u8));
    bytes
}

impl Stock for Shelf {
    fn look_up(&self, wanted: &[Matched], found: &mut Vec<Option<Held>>) -> Result<(), String> {
        let held = |matched: &Matched| {
            let object = self.0.get(matched.key.number as usize - 1)?.as_ref();
            object.map(|(held, _)| held.clone())
        };
        found.extend(wanted.iter().map(held));
        Ok(())
    }

    fn open(&self, held: &Held) -> io::Result<Box<dyn StoredFile>> {
        let FileLocation::Own(number) = held.location else { unreachable!() };
        match &self.0[number as usize - 1] {
            Some((_, file)) if !file.is_empty() => Ok(Box::new(Cursor::new(file.clone()))),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

// ---- The requestor ----------------------------------------------------------------------------

/// Status, the four counts, and the failed list of one response.
type Answer = (u16, Option<u16>, u16, u16, u16, String);

#[derive(Default)]
struct Log {
    answers: Vec<Answer>,
    told: Vec<String>,
    flushed: usize,
}

/// Collects answers, and cancels once it has seen enough of them.
struct Collector {
    log: Arc<Mutex<Log>>,
    cancel_after: usize,
    gone_after: usize,
    /// So often it is asked in vain whether it has cancelled.
    patience: usize,
}

impl Asker for Collector {
    type Ended = ();

    fn respond(
        &mut self,
        status: Status,
        counts: SubOperations,
        failed: &FailedUids,
    ) -> Result<(), ()> {
        let SubOperations { remaining, completed, failed: not_done, warning } = counts;
        let list = String::from_utf8(failed.value().to_vec()).unwrap();
        let answer = (status.0, remaining, completed, not_done, warning, list);
        self.log.lock().unwrap().answers.push(answer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        let mut log = self.log.lock().unwrap();
        log.flushed = log.answers.len();
        if log.flushed >= self.gone_after { Err(()) } else { Ok(()) }
    }

    fn is_cancelled(&mut self) -> Result<bool, ()> {
        let is_impatient = self.patience == 0;
        self.patience = self.patience.saturating_sub(1);
        Ok(is_impatient || self.log.lock().unwrap().answers.len() >= self.cancel_after)
    }

    fn tell(&self, text: fmt::Arguments<'_>) {
        self.log.lock().unwrap().told.push(text.to_string());
    }
}

// ---- The destination --------------------------------------------------------------------------

/// What a destination does.
#[derive(Clone)]
struct Script {
    /// Accepted classes with their transfer syntaxes.
    accepts: Vec<(&'static str, Vec<&'static str>)>,
    /// What the objects are answered with, the last one for all that follow.
    statuses: Vec<u16>,
    /// What happens in place of the answer to the object of this number, counted from 0.
    instead: Option<(usize, Fault)>,
    /// Answers the request for association with a rejection.
    rejects: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Abort,
    Close,
    Nonsense,
    OtherMessage,
    Silence,
}

impl Script {
    fn good() -> Self {
        let all = vec![EXPLICIT, BIG, IMPLICIT, JPEG];
        Self {
            accepts: vec![(CT, all.clone()), (MR, all)],
            statuses: vec![0],
            instead: None,
            rejects: false,
        }
    }
}

/// What a destination has received: requests, transfer syntaxes and data sets; and how many
/// contexts each association proposed.
#[derive(Default)]
struct Received {
    objects: Vec<(StoreRequest, Uid, Vec<u8>)>,
    proposed: Vec<usize>,
    cut: usize,
}

struct Scp {
    port: u16,
    received: Arc<Mutex<Received>>,
}

fn destination(script: Script) -> Scp {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Arc::<Mutex<Received>>::default();
    let shared = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &script, &shared);
        }
    });
    Scp { port, received }
}

fn serve(mut stream: TcpStream, script: &Script, received: &Mutex<Received>) {
    let mut ul = UpperLayer::acceptor(16_384);
    let mut buffer = Vec::new();
    let mut assembler = None;
    let mut contexts = Vec::new();
    let mut in_hand: Option<(StoreRequest, Uid, Vec<u8>)> = None;
    loop {
        let step = ul.receive(&buffer);
        let (consumed, reaction) = (step.consumed, step.reaction);
        let mut out = reaction.send.map_or_else(Vec::new, |pdu| pdu.to_vec());
        match step.indication {
            Indication::NeedMore { .. } => {
                let mut block = vec![0; 65_536];
                match stream.read(&mut block) {
                    Ok(count) if count > 0 => buffer.extend_from_slice(&block[..count]),
                    _ => {
                        received.lock().unwrap().cut += usize::from(in_hand.is_some());
                        return;
                    }
                }
                continue;
            }
            Indication::AssociateRequest(request) => {
                received.lock().unwrap().proposed.push(request.contexts.len());
                if script.rejects {
                    let reaction = ul.reject(AssociateRj::NO_REASON).unwrap();
                    stream.write_all(&reaction.send.unwrap()).unwrap();
                    return;
                }
                let mut table = AcceptorTable::default();
                for (class, syntaxes) in &script.accepts {
                    table.entries.insert(
                        Uid::known(class),
                        AcceptorEntry {
                            transfer_syntaxes: syntaxes.iter().map(|uid| Uid::known(uid)).collect(),
                            roles: None,
                            extended_negotiation: None,
                        },
                    );
                }
                let negotiation = negotiate(&request, &table);
                let identity = LocalIdentity {
                    max_pdu_bytes: 16_384,
                    implementation_class_uid: Uid::known("1.2.3"),
                    implementation_version_name: "SCRIPT".into(),
                };
                let accepted = negotiation.accepted();
                contexts = accepted.iter().copied().collect();
                assembler = Some(MessageAssembler::new(accepted.ids()));
                out = ul.accept(&associate_ac(&request, &negotiation, &table, &identity)).unwrap();
            }
            Indication::Data(body) => {
                let mut body = body.to_vec();
                while !body.is_empty() {
                    let (pdv, rest) = split_first(&body).unwrap();
                    let mut is_complete = false;
                    match assembler.as_mut().unwrap().feed(pdv).unwrap() {
                        Step::Progress => {}
                        Step::Command { context_id, set, .. } => {
                            let Ok(Command::Store(request)) = Command::of(&set) else { panic!() };
                            let of =
                                |context: &&dcmfast_core::acse::negotiation::AcceptedContext| {
                                    context.id == context_id
                                };
                            let context = contexts.iter().find(of).unwrap();
                            in_hand = Some((request, context.transfer_syntax, vec![context_id]));
                        }
                        Step::DataSet { fragment, is_last, .. } => {
                            in_hand.as_mut().unwrap().2.extend_from_slice(fragment);
                            is_complete = is_last;
                        }
                    }
                    let rest = rest.to_vec();
                    if is_complete {
                        let (request, syntax, mut bytes) = in_hand.take().unwrap();
                        let context_id = bytes.remove(0);
                        let number = received.lock().unwrap().objects.len();
                        let fault = script.instead.filter(|(at, _)| *at == number);
                        let last = script.statuses.len() - 1;
                        let status = Status(script.statuses[number.min(last)]);
                        let mut response = request.response(status);
                        received.lock().unwrap().objects.push((request, syntax, bytes));
                        match fault.map(|(_, fault)| fault) {
                            None => {}
                            Some(Fault::Abort) => {
                                stream.write_all(&encode_abort(Abort::USER)).unwrap();
                                return;
                            }
                            Some(Fault::Close) => return,
                            Some(Fault::Nonsense) => {
                                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
                                return;
                            }
                            Some(Fault::OtherMessage) => {
                                response.message_id_being_responded_to += 7;
                            }
                            Some(Fault::Silence) => {
                                // Until the other side gives up.
                                let _ = stream.read_to_end(&mut Vec::new());
                                return;
                            }
                        }
                        let fragmenter = Fragmenter::new(None).unwrap();
                        append_command(&mut out, &fragmenter, context_id, |bytes| {
                            response.encode(bytes);
                        });
                    }
                    body = rest;
                }
            }
            Indication::ReleaseRequest { .. } => {
                let reply = ul.release_reply().unwrap();
                stream.write_all(&reply.send.unwrap()).unwrap();
                return;
            }
            _ => {
                received.lock().unwrap().cut += usize::from(in_hand.is_some());
                return;
            }
        }
        buffer.drain(..consumed);
        if !out.is_empty() && stream.write_all(&out).is_err() {
            return;
        }
    }
}

// ---- A move -----------------------------------------------------------------------------------

struct Move {
    listed: Vec<&'static str>,
    asks: usize,
    cancel_after: usize,
    gone_after: usize,
    patience: Duration,
    dimse_timeout: Option<Duration>,
    socket_timeout: Option<Duration>,
    answer_timeout: Duration,
    is_whole: bool,
}

impl Default for Move {
    fn default() -> Self {
        Self {
            listed: vec![EXPLICIT, BIG, IMPLICIT],
            asks: usize::MAX,
            cancel_after: usize::MAX,
            gone_after: usize::MAX,
            patience: Duration::from_secs(20),
            dimse_timeout: None,
            socket_timeout: None,
            answer_timeout: Duration::from_secs(20),
            is_whole: true,
        }
    }
}

impl Move {
    fn selection(&self, shelf: &Shelf) -> Selection {
        Selection { keys: shelf.keys(), is_whole: self.is_whole }
    }

    fn run(&self, shelf: &Shelf, port: u16) -> (Result<(), ()>, Log) {
        let log = Arc::<Mutex<Log>>::default();
        let collector = Collector {
            log: Arc::clone(&log),
            cancel_after: self.cancel_after,
            gone_after: self.gone_after,
            patience: self.asks,
        };
        let destinations = Destinations {
            table: vec![Destination {
                ae_title: AeTitle::new(b"THERE"),
                host: "127.0.0.1".into(),
                port,
                addresses: Vec::new(),
            }],
            transfer_syntaxes: self.listed.iter().map(|uid| Uid::known(uid)).collect(),
            ..Destinations::default()
        };
        let options = MoveOptions {
            max_pdu_bytes: 16_384,
            transport: TransportOptions::default(),
            acse_timeout: self.patience,
            dimse_timeout: self.dimse_timeout,
            socket_timeout: self.socket_timeout,
            answer_timeout: self.answer_timeout,
            stop: StopFlag::default(),
        };
        let originator = Originator {
            called: AeTitle::new(b"QR"),
            calling: AeTitle::new(b"WS"),
            message_id: 77,
            priority: Priority::High,
        };
        let destination = &destinations.table[0];
        let mut line = MoveLine::new(collector, &destinations, destination, options, originator);
        let result = send_all(&mut line, shelf, &self.selection(shelf));
        line.close();
        drop(line);
        (result, Arc::into_inner(log).unwrap().into_inner().unwrap())
    }
}

fn shelf(count: usize) -> Shelf {
    let mut shelf = Shelf::default();
    for _ in 0..count {
        shelf.add(CT, EXPLICIT, 100);
    }
    shelf
}

fn answer(status: u16, remaining: Option<u16>, counts: [u16; 3], failed: &str) -> Answer {
    (status, remaining, counts[0], counts[1], counts[2], failed.to_owned())
}

/// PS3.4 §C.4.2: every object arrives as it is stored, with the move originator; one pending
/// response each, and a final one without remaining.
#[test]
fn all_objects_arrive() {
    let scp = destination(Script::good());
    let (result, log) = Move::default().run(&shelf(3), scp.port);
    assert_eq!(result, Ok(()));
    assert_eq!(
        log.answers,
        [
            answer(0xFF00, Some(2), [1, 0, 0], ""),
            answer(0xFF00, Some(1), [2, 0, 0], ""),
            answer(0xFF00, Some(0), [3, 0, 0], ""),
            answer(0x0000, None, [3, 0, 0], ""),
        ]
    );
    assert_eq!((log.flushed, log.told.len()), (4, 0), "{:?}", log.told);
    let received = scp.received.lock().unwrap();
    assert_eq!(received.proposed, [2]);
    for (number, (request, syntax, bytes)) in received.objects.iter().enumerate() {
        assert_eq!(*bytes, data_set(100));
        assert_eq!(syntax.as_str(), EXPLICIT);
        let uid = format!("1.2.3.{}", number + 1);
        assert_eq!(request.affected_sop_instance_uid, UidText::new(uid.as_bytes()));
        assert_eq!(request.priority, Some(Priority::High));
        assert_eq!(request.move_originator_ae_title, Some(AeTitle::new(b"WS")));
        assert_eq!(request.move_originator_message_id, Some(77));
    }
}

/// Each final status of the table in `retrieve/mod.rs`, with its counts and its list.
#[test]
fn final_statuses() {
    for (statuses, last) in [
        (vec![0xB000], answer(0xB000, None, [0, 0, 3], "")),
        (vec![0, 0xA700], answer(0xB000, None, [1, 2, 0], r"1.2.3.2\1.2.3.3")),
        (vec![0xA700], answer(0xA702, None, [0, 3, 0], r"1.2.3.1\1.2.3.2\1.2.3.3")),
        (vec![0xC000, 0xB006, 0], answer(0xB000, None, [1, 1, 1], "1.2.3.1")),
        // PS3.7 Annex C calls 0116H a warning, but not one that says that the object was stored.
        (vec![0x0116], answer(0xA702, None, [0, 3, 0], r"1.2.3.1\1.2.3.2\1.2.3.3")),
    ] {
        let scp = destination(Script { statuses: statuses.clone(), ..Script::good() });
        let (result, log) = Move::default().run(&shelf(3), scp.port);
        assert_eq!((result, log.answers.last()), (Ok(()), Some(&last)), "{statuses:04X?}");
        assert_eq!(log.answers.len(), 4);
    }
}

/// What was stored last could not be looked up (a full disk): what was found is sent and counted, and
/// the end is no success, unless the requestor wanted it before.
#[test]
fn a_selection_that_is_not_whole() {
    for (statuses, last) in [
        (vec![0], answer(0xA702, None, [3, 0, 0], "")),
        (vec![0xB000], answer(0xA702, None, [0, 0, 3], "")),
        (vec![0, 0xA700], answer(0xA702, None, [1, 2, 0], r"1.2.3.2\1.2.3.3")),
    ] {
        let scp = destination(Script { statuses, ..Script::good() });
        let (_, log) = Move { is_whole: false, ..Move::default() }.run(&shelf(3), scp.port);
        assert_eq!(log.answers.last(), Some(&last));
    }
    let scp = destination(Script::good());
    let cancelled = Move { is_whole: false, cancel_after: 2, ..Move::default() };
    let (_, log) = cancelled.run(&shelf(5), scp.port);
    assert_eq!(log.answers.last(), Some(&answer(0xFE00, Some(3), [2, 0, 0], "")));
}

/// C-CANCEL ends it with what remains; earlier failures speak louder.
#[test]
fn cancel() {
    let scp = destination(Script::good());
    let cancelled = Move { cancel_after: 2, ..Move::default() };
    let (_, log) = cancelled.run(&shelf(5), scp.port);
    assert_eq!(log.answers.last(), Some(&answer(0xFE00, Some(3), [2, 0, 0], "")));
    assert_eq!(scp.received.lock().unwrap().objects.len(), 2);
    let scp = destination(Script { statuses: vec![0, 0xA700], ..Script::good() });
    let (_, log) = cancelled.run(&shelf(5), scp.port);
    assert_eq!(log.answers.last(), Some(&answer(0xB000, None, [1, 1, 0], "1.2.3.2")));
}

/// C-CANCEL is seen while the destination owes an answer, which may take long: what became of the
/// object is not known, and it remains. The destination is told by A-ABORT.
#[test]
fn cancel_while_the_destination_is_silent() {
    let scp = destination(Script { instead: Some((1, Fault::Silence)), ..Script::good() });
    let started = Instant::now();
    let (_, log) = Move { asks: 5, ..Move::default() }.run(&shelf(5), scp.port);
    assert_eq!(log.answers.last(), Some(&answer(0xFE00, Some(4), [1, 0, 0], "")));
    assert!(started.elapsed() < Duration::from_secs(10), "the answer was waited for");
}

/// Instances that are gone take no place where nobody looks for a C-CANCEL.
#[test]
fn cancel_among_deleted_instances() {
    let scp = destination(Script::good());
    let mut shelf = shelf(50);
    shelf.0.iter_mut().skip(1).for_each(|object| *object = None);
    let (_, log) = Move { cancel_after: 6, ..Move::default() }.run(&shelf, scp.port);
    assert_eq!(log.answers.len(), 7, "{:?}", log.answers);
}

/// PS3.4 §C.4.2.1.4.2: (0008,0058) names each failed sub-operation, also one whose instance was deleted
/// between its match and its turn.
#[test]
fn deleted_instances_are_named() {
    let scp = destination(Script::good());
    let mut some = shelf(4);
    some.0[1] = None;
    some.0[3] = None;
    let (_, log) = Move::default().run(&some, scp.port);
    let failed = "1.2.3.2\\1.2.3.4";
    assert_eq!(log.answers.last(), Some(&answer(0xB000, None, [2, 2, 0], failed)));
    // And where nobody can be reached.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_, log) = Move::default().run(&some, closed);
    let all = "1.2.3.1\\1.2.3.2\\1.2.3.3\\1.2.3.4";
    assert_eq!(log.answers.last(), Some(&answer(0xA702, None, [0, 4, 0], all)));
}

/// A requestor that is gone ends the move, and nothing more is sent.
#[test]
fn a_requestor_that_vanishes() {
    let scp = destination(Script::good());
    let (result, _) = Move { gone_after: 2, ..Move::default() }.run(&shelf(50), scp.port);
    assert_eq!(result, Err(()));
    assert!(scp.received.lock().unwrap().objects.len() <= 3);
}

/// A destination that owes an answer is waited for as long as `-td` says, else `-ts`, else, with `-ts 0`,
/// as a bound does (limits::MOVE_ANSWER_TIMEOUT_S, shorter here): it never holds a place for good.
#[test]
fn a_silent_destination_ends_by_the_first_bound_that_is_given() {
    let (short, long) = (Duration::from_millis(400), Duration::from_secs(120));
    for (dimse_timeout, socket_timeout, answer_timeout) in
        [(Some(short), Some(long), long), (None, Some(short), long), (None, None, short)]
    {
        let scp = destination(Script { instead: Some((1, Fault::Silence)), ..Script::good() });
        let silent = Move { dimse_timeout, socket_timeout, answer_timeout, ..Move::default() };
        let began = Instant::now();
        let (result, log) = silent.run(&shelf(3), scp.port);
        assert_eq!(result, Ok(()));
        let failed = answer(0xB000, None, [1, 2, 0], r"1.2.3.2\1.2.3.3");
        assert_eq!(log.answers.last(), Some(&failed));
        assert!((short..long / 4).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}

/// A destination that goes in the middle: what was answered counts, all others fail in turn.
#[test]
fn a_destination_that_fails_in_the_middle() {
    for fault in [Fault::Abort, Fault::Close, Fault::Nonsense, Fault::OtherMessage, Fault::Silence]
    {
        let scp = destination(Script { instead: Some((1, fault)), ..Script::good() });
        let bound = Duration::from_millis(if fault == Fault::Silence { 400 } else { 20_000 });
        let in_time = Move { dimse_timeout: Some(bound), ..Move::default() };
        let (result, log) = in_time.run(&shelf(4), scp.port);
        assert_eq!(result, Ok(()));
        let failed = r"1.2.3.2\1.2.3.3\1.2.3.4";
        assert_eq!(log.answers.last(), Some(&answer(0xB000, None, [1, 3, 0], failed)));
        assert_eq!(log.answers.len(), 5);
        // Told once, and how many more there were.
        assert_eq!(log.told.len(), 2, "{:?}", log.told);
        assert!(log.told[0].contains("lost move destination THERE"), "{}", log.told[0]);
        assert_eq!(scp.received.lock().unwrap().proposed.len(), 1);
    }
}

/// Nobody there, or an association that is rejected: A702H with all UIDs, and no pending response.
#[test]
fn a_destination_that_cannot_be_reached() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rejecting = destination(Script { rejects: true, ..Script::good() });
    for (port, why) in [(closed, "Connection refused"), (rejecting.port, "Rejected")] {
        let (result, log) = Move::default().run(&shelf(2), port);
        assert_eq!(result, Ok(()));
        assert_eq!(log.answers, [answer(0xA702, None, [0, 2, 0], r"1.2.3.1\1.2.3.2")]);
        assert!(log.told[0].contains(why), "{:?}", log.told);
    }
}

/// A destination that takes the connection and never answers is left after the timeout.
#[test]
fn a_destination_that_never_speaks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let patience = Duration::from_millis(300);
    let (_, log) = Move { patience, ..Move::default() }.run(&shelf(2), port);
    assert_eq!(log.answers, [answer(0xA702, None, [0, 2, 0], r"1.2.3.1\1.2.3.2")]);
    assert!(log.told[0].contains("No answer in time"), "{:?}", log.told);
}

/// Uncompressed objects are converted to what the destination takes, compressed ones fail with the
/// reason, and a class that it does not take fails alone.
#[test]
fn transfer_syntaxes() {
    let mut shelf = Shelf::default();
    shelf.add(CT, EXPLICIT, 100);
    shelf.add(CT, JPEG, 100);
    shelf.add(MR, EXPLICIT, 100);
    for (takes, length) in [(IMPLICIT, 108), (BIG, 112), (EXPLICIT, 112)] {
        let scp = destination(Script { accepts: vec![(CT, vec![takes])], ..Script::good() });
        let (_, log) = Move::default().run(&shelf, scp.port);
        let failed = r"1.2.3.2\1.2.3.3";
        assert_eq!(log.answers.last(), Some(&answer(0xB000, None, [1, 2, 0], failed)));
        assert!(log.told[0].contains("CTImageStorage as"), "{}", log.told[0]);
        assert!(log.told[0].contains("JPEGBaseline"), "{}", log.told[0]);
        assert!(log.told[1].contains("no presentation context for MRImageStorage"));
        let received = scp.received.lock().unwrap();
        let (_, syntax, bytes) = &received.objects[0];
        assert_eq!((syntax.as_str(), bytes.len()), (takes, length));
    }
    // Compressed objects go as they are where they are taken.
    let scp = destination(Script::good());
    let (_, log) = Move::default().run(&shelf, scp.port);
    assert_eq!(log.answers.last(), Some(&answer(0x0000, None, [3, 0, 0], "")));
    assert_eq!(scp.received.lock().unwrap().objects[1].1.as_str(), JPEG);
    // `-xi`: uncompressed objects are offered in no other way, even if they are stored so.
    let scp = destination(Script::good());
    let implicit_only = Move { listed: vec![IMPLICIT], ..Move::default() };
    assert_eq!(implicit_only.run(&shelf, scp.port).0, Ok(()));
    assert_eq!(scp.received.lock().unwrap().objects[0].1.as_str(), IMPLICIT);
}

/// DIFFERENCES.md C13: more classes than one association can propose take several.
#[test]
fn more_classes_than_contexts() {
    let classes: Vec<&'static str> =
        (1..=150).map(|number| &*format!("1.2.826.0.1.{number}").leak()).collect();
    let mut shelf = Shelf::default();
    for class in &classes {
        shelf.add(class, EXPLICIT, 10);
    }
    let accepts = classes.iter().map(|class| (*class, vec![EXPLICIT])).collect();
    let scp = destination(Script { accepts, ..Script::good() });
    let (_, log) = Move::default().run(&shelf, scp.port);
    assert_eq!(log.answers.last(), Some(&answer(0x0000, None, [150, 0, 0], "")));
    let received = scp.received.lock().unwrap();
    assert_eq!(received.proposed, [128, 128, 44]);
    assert_eq!(received.objects.len(), 150);
}

/// P14: objects that are not what was stored fail, small ones before anything of them is sent,
/// large ones without their end; those behind them arrive.
#[test]
fn damaged_objects() {
    const LARGE: usize = 3 * 1024 * 1024;
    for pixels in [100, LARGE] {
        let mut shelf = Shelf::default();
        shelf.add(CT, EXPLICIT, pixels);
        *shelf.add(CT, EXPLICIT, pixels).1.last_mut().unwrap() ^= 1;
        let shortened = &mut shelf.add(CT, EXPLICIT, pixels).1;
        shortened.truncate(shortened.len() - 1);
        shelf.add(CT, EXPLICIT, pixels).1.clear();
        shelf.add(CT, EXPLICIT, pixels);
        shelf.0.push(None);
        let scp = destination(Script::good());
        let (result, log) = Move::default().run(&shelf, scp.port);
        assert_eq!(result, Ok(()));
        let failed = r"1.2.3.2\1.2.3.3\1.2.3.4\1.2.3.6";
        assert_eq!(log.answers.last(), Some(&answer(0xB000, None, [2, 4, 0], failed)));
        assert!(log.told[0].contains("digest"), "{}", log.told[0]);
        assert!(log.told[1].contains("bytes, not"), "{}", log.told[1]);
        assert!(log.told[3].contains("deleted meanwhile"), "{}", log.told[3]);
        let received = scp.received.lock().unwrap();
        assert_eq!(received.objects.len(), 2);
        assert!(received.objects.iter().all(|(_, _, bytes)| *bytes == data_set(pixels)));
        // A large one is noticed while it passes: its message is cut, and a new association made.
        let associations = if pixels == LARGE { 2 } else { 1 };
        assert_eq!((received.proposed.len(), received.cut), (associations, associations - 1));
    }
}

/// The failed list holds what one value can, and the counts what 16 bits can.
#[test]
fn many_failures_are_bounded() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_, log) = Move::default().run(&shelf(70_000), closed);
    let (status, remaining, completed, failed, warning, list) = log.answers.last().unwrap();
    assert_eq!((*status, *remaining), (0xA702, None));
    assert_eq!((*completed, *failed, *warning), (0, u16::MAX, 0));
    // The next one found no room.
    assert!(list.len() <= FAILED_UIDS_BYTES_MAX, "{}", list.len());
    assert!(list.len() + 1 + "1.2.3.70000".len() > FAILED_UIDS_BYTES_MAX, "{}", list.len());
}

/// limits::RETRIEVE_PAGE_INSTANCES and RETRIEVE_HELD_BYTES_MAX, at n - 1, n and n + 1: all arrive.
#[test]
fn edges_of_pages_and_of_what_is_held() {
    for count in RETRIEVE_PAGE_INSTANCES - 1..=RETRIEVE_PAGE_INSTANCES + 1 {
        let scp = destination(Script::good());
        let (_, log) = Move::default().run(&shelf(count), scp.port);
        let done = u16::try_from(count).unwrap();
        assert_eq!(log.answers.last(), Some(&answer(0x0000, None, [done, 0, 0], "")));
    }
    // The head of a file and that of its pixel data.
    let around = 132 + data_set(0).len();
    let mut shelf = Shelf::default();
    for bytes in RETRIEVE_HELD_BYTES_MAX - 1..=RETRIEVE_HELD_BYTES_MAX + 1 {
        let (held, _) = shelf.add(CT, EXPLICIT, bytes - around);
        assert_eq!(held.file_bytes, bytes as u64);
    }
    let scp = destination(Script::good());
    let (_, log) = Move::default().run(&shelf, scp.port);
    assert_eq!(log.answers.last(), Some(&answer(0x0000, None, [3, 0, 0], "")));
    let received = scp.received.lock().unwrap();
    for (at, (_, _, bytes)) in received.objects.iter().enumerate() {
        let pixels = RETRIEVE_HELD_BYTES_MAX - 1 + at - around;
        let mut expected = data_set(pixels);
        if pixels % 2 == 1 {
            // PS3.8 §9.3.5.1: a fragment has an even length.
            expected[8..12].copy_from_slice(&(pixels as u32 + 1).to_le_bytes());
            expected.push(0);
        }
        assert!(*bytes == expected, "{pixels}");
    }
}
