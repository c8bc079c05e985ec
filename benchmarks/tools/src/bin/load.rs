//! The load generator: N associations, each sending M instances and waiting for each response.
//!
//! Every receiver is driven by this one program, so that the sender costs each of them the same.
//! It sends as well as it can: TCP_NODELAY, prepared PDUs, one write for a small message and large
//! ones for a big message, fragments of the size that the peer announced. It believes nothing: each
//! response must carry the message ID of its request and status 0000H.
//!
//! `instances.rs` says what an instance is. What differs between instances has the same length in
//! all of them and is patched into command set and data set.
//!
//! Usage: `load --port P [--called AE] INSTANCES --associations N --objects M [--first F] [--queue]`
//! `[--refusals] [--hold] [--short] [--tls AUTHORITY]`. Prints one line of JSON.
//!
//! `--short` gives each object an association of its own. `--tls` speaks TLS to a peer whose certificate
//! is signed by the authority in a PEM file.
//! With `--refusals` a status other than 0000H is counted and ends nothing.
//! With `--first` the objects of all associations are numbered on from F, so that studies are sent
//! one after the other; without it an association's number stands in its first three digits.
//! `--queue` is for receivers that serve one association at a time: the clock starts before the
//! first connect, and each association is released as soon as it is done. Otherwise all
//! associations are established first, and the clock starts when all stand.
//! `--hold` keeps associations open (without `--queue`) and the program alive until its standard
//! input ends, so that the runner can read CPU time and memory of a living process tree.

use std::fmt::Write as _;
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Instant;

use dcmfast_bench_tools as wire;
use openssl::ssl::SslConnector;
use wire::association::{Association, Message, associate, pdv_header, put_pdv, release};
use wire::instances::Instances;
use wire::stream::connector;
use wire::{PDU_HEADER_BYTES, PDV_HEADER_BYTES};

/// Up to here a message is prepared as one buffer; above, it is sent as slices of the pattern, so
/// that 210 MB need no memory.
const PREPARED_MAX_BYTES: usize = 32 << 20;

/// PDUs in one vectored write of an unprepared message: about 1 MiB, under Linux's 1024 slices.
const PDUS_PER_WRITE: usize = 64;

/// The presentation context that `associate` proposes first.
const CONTEXT_ID: u8 = 1;

struct Plan {
    port: u16,
    called: String,
    instances: Instances,
    associations: usize,
    objects: usize,
    first: Option<usize>,
    queue: bool,
    refusals: bool,
    hold: bool,
    short: bool,
    tls: Option<SslConnector>,
}

/// What one association did.
#[derive(Default)]
struct Outcome {
    stored: usize,
    refused: usize,
    failure: Option<String>,
    latencies_us: Vec<u32>,
    started: Option<Instant>,
    ended: Option<Instant>,
}

fn main() -> io::Result<()> {
    let plan = Arc::new(read_arguments().map_err(io::Error::other)?);
    let barrier = Arc::new(Barrier::new(plan.associations));
    let connected_from = Instant::now();
    let kept: Arc<Mutex<Vec<Association>>> = Arc::default();
    let workers: Vec<_> = (0..plan.associations)
        .map(|number| {
            let (plan, barrier, kept) =
                (Arc::clone(&plan), Arc::clone(&barrier), Arc::clone(&kept));
            thread::spawn(move || {
                let mut outcome = Outcome::default();
                match plan.associate() {
                    Ok(mut association) => {
                        if !plan.queue {
                            barrier.wait();
                        }
                        if let Err(error) = send_all(&mut association, &plan, number, &mut outcome)
                        {
                            outcome.failure = Some(error.to_string());
                        }
                        if plan.queue {
                            if let Err(error) = release(association) {
                                outcome.failure.get_or_insert(error.to_string());
                            }
                        } else if let Ok(mut kept) = kept.lock() {
                            kept.push(association);
                        }
                    }
                    Err(error) => {
                        outcome.failure = Some(format!("no association: {error}"));
                        if !plan.queue {
                            barrier.wait(); // The others must not wait for ever.
                        }
                    }
                }
                outcome
            })
        })
        .collect();
    let outcomes: Vec<Outcome> = workers
        .into_iter()
        .map(|worker| {
            worker.join().unwrap_or_else(|_| Outcome {
                failure: Some("a sending thread panicked".to_owned()),
                ..Outcome::default()
            })
        })
        .collect();
    println!("{}", report(&plan, connected_from, &outcomes));
    if plan.hold {
        io::stdin().read_to_end(&mut Vec::new())?;
    }
    if let Ok(mut kept) = kept.lock() {
        for association in kept.drain(..) {
            // What counted is reported already; a peer that is gone by now is not an error.
            let _ = release(association);
        }
    }
    Ok(())
}

fn read_arguments() -> Result<Plan, String> {
    let mut plan = Plan {
        port: 0,
        called: "ANY-SCP".to_owned(),
        instances: Instances::default(),
        associations: 1,
        objects: 1,
        first: None,
        queue: false,
        refusals: false,
        hold: false,
        short: false,
        tls: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--queue" => plan.queue = true,
            "--refusals" => plan.refusals = true,
            "--hold" => plan.hold = true,
            "--short" => plan.short = true,
            _ => {
                let value = arguments.next().ok_or(format!("{name} wants a value"))?;
                let number = || value.parse::<usize>().map_err(|error| format!("{name}: {error}"));
                match name.as_str() {
                    "--port" => {
                        plan.port = value.parse().map_err(|error| format!("{name}: {error}"))?;
                    }
                    "--associations" => plan.associations = number()?,
                    "--objects" => plan.objects = number()?,
                    "--first" => plan.first = Some(number()?),
                    "--called" => plan.called = value,
                    "--tls" => {
                        let made =
                            connector(&value).map_err(|error| format!("{value}: {error}"))?;
                        plan.tls = Some(made);
                    }
                    _ if plan.instances.take_argument(&name, &value)? => {}
                    _ => return Err(format!("unknown argument {name}")),
                }
            }
        }
    }
    plan.instances.check()?;
    Ok(plan)
}

impl Plan {
    fn associate(&self) -> io::Result<Association> {
        let classes = [self.instances.sop_class.as_str()];
        associate(self.port, &self.called, &classes, &[], self.tls.as_ref())
    }

    /// The number of an object: counted on from `--first`, or three digits for the association and
    /// eight for the object.
    fn number(&self, association: usize, object: usize) -> usize {
        match self.first {
            Some(first) => first + association * self.objects + object,
            None => association * 100_000_000 + object,
        }
    }
}

fn send_all(
    association: &mut Association,
    plan: &Plan,
    number: usize,
    outcome: &mut Outcome,
) -> io::Result<()> {
    let mut message = if plan.instances.bytes() <= PREPARED_MAX_BYTES {
        Some(Prepared::new(plan, association.peer_max))
    } else {
        None
    };
    let mut response = Message::default();
    outcome.latencies_us.reserve(plan.objects);
    outcome.started = Some(Instant::now());
    for object in 0..plan.objects {
        if plan.short && object > 0 {
            let before = std::mem::replace(association, plan.associate()?);
            release(before)?;
        }
        let n = plan.number(number, object);
        let message_id = (object % 0xFFFF) as u16 + 1;
        let sent_from = Instant::now();
        match &mut message {
            Some(prepared) => {
                prepared.patch(&plan.instances, n, message_id);
                association.stream().write_all(&prepared.bytes)?;
            }
            None => send_streamed(association, plan, n, message_id)?,
        }
        association.read(&mut response)?;
        let status = check_response(&response, message_id)?;
        let now = Instant::now();
        outcome.latencies_us.push((now - sent_from).as_micros() as u32);
        match status {
            0 => outcome.stored += 1,
            _ if plan.refusals => outcome.refused += 1,
            _ => return Err(io::Error::other(format!("status {status:04X}H"))),
        }
        outcome.ended = Some(now);
    }
    Ok(())
}

/// Sends a message too large to prepare: headers and slices of the pattern, many to a write.
fn send_streamed(
    association: &mut Association,
    plan: &Plan,
    n: usize,
    message_id: u16,
) -> io::Result<()> {
    let head = plan.instances.head(n);
    let pattern = &plan.instances.pattern;
    let mut start = Vec::new();
    put_pdv(&mut start, CONTEXT_ID, 0b11, &store_rq(&plan.instances, n, message_id).0);
    association.stream().write_all(&start)?;

    let fragment_max = association.peer_max - PDV_HEADER_BYTES;
    let total = plan.instances.bytes();
    let mut sent = 0;
    let mut headers = [[0; PDU_HEADER_BYTES + PDV_HEADER_BYTES]; PDUS_PER_WRITE];
    while sent < total {
        let mut fragments = Vec::with_capacity(PDUS_PER_WRITE);
        for header in &mut headers {
            let length = fragment_max.min(total - sent);
            if length == 0 {
                break;
            }
            let control = if sent + length == total { 0b10 } else { 0 };
            *header = pdv_header(CONTEXT_ID, control, length);
            fragments.push((sent, length));
            sent += length;
        }
        let mut slices = Vec::with_capacity(4 * PDUS_PER_WRITE);
        for (header, (mut at, mut length)) in headers.iter().zip(fragments) {
            slices.push(IoSlice::new(header));
            while length > 0 {
                let source = if at < head.len() {
                    &head[at..]
                } else {
                    &pattern[(at - head.len()) % pattern.len()..]
                };
                let piece = &source[..length.min(source.len())];
                slices.push(IoSlice::new(piece));
                at += piece.len();
                length -= piece.len();
            }
        }
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let written = association.stream().write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, written);
        }
    }
    Ok(())
}

/// A whole message as it goes over the wire, and where it changes from instance to instance.
struct Prepared {
    bytes: Vec<u8>,
    message_id_at: usize,
    uid_in_command_at: usize,
    fragment_max: usize,
    /// Where the first byte of the data set stands.
    data_set_from: usize,
}

impl Prepared {
    fn new(plan: &Plan, peer_max: usize) -> Self {
        let instances = &plan.instances;
        let (command, message_id_at, uid_in_command) = store_rq(instances, 0, 1);
        let mut bytes = Vec::new();
        put_pdv(&mut bytes, CONTEXT_ID, 0b11, &command);
        let headers = PDU_HEADER_BYTES + PDV_HEADER_BYTES;
        let data_set_from = bytes.len() + headers;

        let mut data_set = instances.head.clone();
        data_set.extend(instances.pattern.iter().cycle().take(instances.pixel_bytes));
        let fragment_max = peer_max - PDV_HEADER_BYTES;
        let last = data_set.len().div_ceil(fragment_max) - 1;
        for (index, fragment) in data_set.chunks(fragment_max).enumerate() {
            put_pdv(&mut bytes, CONTEXT_ID, if index == last { 0b10 } else { 0 }, fragment);
        }
        Prepared {
            bytes,
            message_id_at: headers + message_id_at,
            uid_in_command_at: headers + uid_in_command,
            fragment_max,
            data_set_from,
        }
    }

    fn patch(&mut self, instances: &Instances, n: usize, message_id: u16) {
        self.bytes[self.message_id_at..self.message_id_at + 2]
            .copy_from_slice(&message_id.to_le_bytes());
        let uid = instances.uid(n);
        self.bytes[self.uid_in_command_at..self.uid_in_command_at + uid.len()]
            .copy_from_slice(uid.as_bytes());
        for (offset, text) in instances.varying(n) {
            // Byte by byte: a fragment may end within a value.
            for (at, byte) in (offset..).zip(text.bytes()) {
                let headers = at / self.fragment_max * (PDU_HEADER_BYTES + PDV_HEADER_BYTES);
                self.bytes[self.data_set_from + headers + at] = byte;
            }
        }
    }
}

/// C-STORE-RQ, PS3.7 Table 9.3-1; with the offsets of Message ID and SOP Instance UID.
fn store_rq(instances: &Instances, n: usize, message_id: u16) -> (Vec<u8>, usize, usize) {
    let mut elements = Vec::new();
    let sop_class = wire::padded_uid(instances.sop_class.as_bytes());
    wire::put_command_element(&mut elements, 0x0002, &sop_class);
    wire::put_command_element(&mut elements, 0x0100, &wire::C_STORE_RQ.to_le_bytes());
    wire::put_command_element(&mut elements, 0x0110, &message_id.to_le_bytes());
    let message_id_end = elements.len();
    wire::put_command_element(&mut elements, 0x0700, &[0, 0]);
    wire::put_command_element(&mut elements, 0x0800, &1u16.to_le_bytes());
    let padded = wire::padded_uid(instances.uid(n).as_bytes());
    wire::put_command_element(&mut elements, 0x1000, &padded);
    let uid_from = elements.len() - padded.len();
    let command = wire::with_group_length(&elements);
    let shift = command.len() - elements.len();
    (command, message_id_end - 2 + shift, uid_from + shift)
}

/// PS3.7 §9.3.1.2: the response names the request; returns its status, of which 0000H is success.
fn check_response(response: &Message, message_id: u16) -> io::Result<u16> {
    if response.command_field() != wire::C_STORE_RSP {
        return Err(io::Error::other("not a C-STORE-RSP"));
    }
    if response.u16(0x0120) != Some(message_id) {
        return Err(io::Error::other("response to another message"));
    }
    Ok(response.status())
}

fn report(plan: &Plan, connected_from: Instant, outcomes: &[Outcome]) -> String {
    let stored: usize = outcomes.iter().map(|outcome| outcome.stored).sum();
    let started = outcomes.iter().filter_map(|outcome| outcome.started).min();
    let ended = outcomes.iter().filter_map(|outcome| outcome.ended).max();
    let with_associations = ended.map_or(0.0, |end| (end - connected_from).as_secs_f64());
    // With --queue nothing but the whole is meaningful: the second association waits for the first.
    let seconds = match (plan.queue, started, ended) {
        (false, Some(start), Some(end)) => (end - start).as_secs_f64(),
        _ => with_associations,
    };
    let mut latencies: Vec<u32> =
        outcomes.iter().flat_map(|outcome| outcome.latencies_us.iter().copied()).collect();
    latencies.sort_unstable();
    let quantile = |per_cent: usize| {
        latencies.get((latencies.len() * per_cent / 100).min(latencies.len().saturating_sub(1)))
    };
    let per_second = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
    let object_bytes = plan.instances.bytes();
    let failures: Vec<&String> =
        outcomes.iter().filter_map(|outcome| outcome.failure.as_ref()).collect();
    let mut out = String::from("{");
    let _ = write!(out, "\"objects\": {stored}, \"object_bytes\": {object_bytes}");
    let _ = write!(out, ", \"seconds\": {seconds:.6}");
    let _ = write!(out, ", \"seconds_with_associations\": {with_associations:.6}");
    let _ = write!(out, ", \"objects_per_s\": {:.3}", per_second(stored as f64));
    let _ = write!(out, ", \"mb_per_s\": {:.3}", per_second((stored * object_bytes) as f64 / 1e6));
    let _ = write!(out, ", \"latency_us_p50\": {}", quantile(50).unwrap_or(&0));
    let _ = write!(out, ", \"latency_us_p99\": {}", quantile(99).unwrap_or(&0));
    let refused: usize = outcomes.iter().map(|outcome| outcome.refused).sum();
    let missing = plan.associations * plan.objects - stored - refused;
    let _ = write!(out, ", \"refused\": {refused}, \"missing\": {missing}");
    let texts: Vec<String> = failures.iter().map(|text| wire::json_string(text)).collect();
    let _ = write!(out, ", \"failures\": [{}]}}", texts.join(", "));
    out
}
