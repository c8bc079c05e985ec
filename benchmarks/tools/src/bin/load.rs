//! The load generator: N associations, each sending M instances and waiting for each response.
//!
//! Every receiver is driven by this one program, so that the sender costs each of them the same.
//! It sends as well as it can: TCP_NODELAY, prepared PDUs, one write for a small message and large
//! ones for a big message, fragments of the size that the peer announced. It believes nothing: each
//! response must carry the message ID of its request and status 0000H.
//!
//! An instance is a head (a data set up to and with the header of Pixel Data, in Explicit VR Little
//! Endian) followed by pixel bytes that repeat a pattern; `benchmarks/corpora.py` makes both, and
//! checks what arrived. SOP Instance UID is the only thing that differs between instances; it has
//! the same length in all of them and is patched into command set and data set.
//!
//! Usage: `load --port P --head FILE --pattern FILE --pixel-bytes N --uid-offset O --uid-prefix U`
//! `--sop-class U --associations N --objects M [--queue] [--hold]`. Prints one line of JSON.
//!
//! `--queue` is for receivers that serve one association at a time: the clock starts before the
//! first connect, and each association is released as soon as it is done. Otherwise all
//! associations are established first, and the clock starts when all stand.
//! `--hold` keeps associations open (without `--queue`) and the program alive until its standard
//! input ends, so that the runner can read CPU time and memory of a living process tree.

use std::fmt::Write as _;
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dcmfast_bench_tools as wire;
use wire::{PDU_HEADER_BYTES, PDV_HEADER_BYTES};

const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

/// Up to here a message is prepared as one buffer; above, it is sent as slices of the pattern, so
/// that 210 MB need no memory.
const PREPARED_MAX_BYTES: usize = 32 << 20;

/// PDUs in one vectored write of an unprepared message: about 1 MiB, under Linux's 1024 slices.
const PDUS_PER_WRITE: usize = 64;

/// A receiver that says nothing for this long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

struct Plan {
    port: u16,
    called: String,
    head: Vec<u8>,
    pattern: Vec<u8>,
    pixel_bytes: usize,
    uid_offset: usize,
    uid_prefix: String,
    sop_class: String,
    associations: usize,
    objects: usize,
    queue: bool,
    hold: bool,
}

/// What one association did.
#[derive(Default)]
struct Outcome {
    stored: usize,
    failure: Option<String>,
    latencies_us: Vec<u32>,
    started: Option<Instant>,
    ended: Option<Instant>,
}

fn main() -> io::Result<()> {
    let plan = Arc::new(read_arguments().map_err(io::Error::other)?);
    let barrier = Arc::new(Barrier::new(plan.associations));
    let connected_from = Instant::now();
    let kept: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let workers: Vec<_> = (0..plan.associations)
        .map(|number| {
            let (plan, barrier, kept) =
                (Arc::clone(&plan), Arc::clone(&barrier), Arc::clone(&kept));
            thread::spawn(move || {
                let mut outcome = Outcome::default();
                match associate(&plan) {
                    Ok(mut association) => {
                        if !plan.queue {
                            barrier.wait();
                        }
                        if let Err(error) = association.send_all(&plan, number, &mut outcome) {
                            outcome.failure = Some(error.to_string());
                        }
                        if plan.queue {
                            if let Err(error) = release(association.stream) {
                                outcome.failure.get_or_insert(error.to_string());
                            }
                        } else if let Ok(mut kept) = kept.lock() {
                            kept.push(association.stream);
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
        for stream in kept.drain(..) {
            // What counted is reported already; a peer that is gone by now is not an error.
            let _ = release(stream);
        }
    }
    Ok(())
}

fn read_arguments() -> Result<Plan, String> {
    let mut plan = Plan {
        port: 0,
        called: "ANY-SCP".to_owned(),
        head: Vec::new(),
        pattern: Vec::new(),
        pixel_bytes: 0,
        uid_offset: 0,
        uid_prefix: String::new(),
        sop_class: String::new(),
        associations: 1,
        objects: 1,
        queue: false,
        hold: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--queue" => plan.queue = true,
            "--hold" => plan.hold = true,
            _ => {
                let value = arguments.next().ok_or(format!("{name} wants a value"))?;
                let number = || value.parse::<usize>().map_err(|error| format!("{name}: {error}"));
                let file = || std::fs::read(&value).map_err(|error| format!("{value}: {error}"));
                match name.as_str() {
                    "--port" => {
                        plan.port = value.parse().map_err(|error| format!("{name}: {error}"))?;
                    }
                    "--called" => plan.called = value,
                    "--head" => plan.head = file()?,
                    "--pattern" => plan.pattern = file()?,
                    "--pixel-bytes" => plan.pixel_bytes = number()?,
                    "--uid-offset" => plan.uid_offset = number()?,
                    "--uid-prefix" => plan.uid_prefix = value,
                    "--sop-class" => plan.sop_class = value,
                    "--associations" => plan.associations = number()?,
                    "--objects" => plan.objects = number()?,
                    _ => return Err(format!("unknown argument {name}")),
                }
            }
        }
    }
    if plan.uid_offset + sop_instance_uid(&plan, 0, 0).len() > plan.head.len() {
        return Err("--uid-offset does not lie in --head".to_owned());
    }
    if plan.pixel_bytes > 0 && plan.pattern.is_empty() {
        return Err("--pixel-bytes needs a --pattern".to_owned());
    }
    Ok(plan)
}

/// Prefix, four digits for the association and eight for the object: the same length for all.
fn sop_instance_uid(plan: &Plan, association: usize, object: usize) -> String {
    // The leading 1 keeps the component a number without a leading zero (PS3.5 §9.1).
    format!("{}.1{association:03}{object:08}", plan.uid_prefix)
}

struct Association {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    peer_max: usize,
}

fn associate(plan: &Plan) -> io::Result<Association> {
    let mut stream = TcpStream::connect(("127.0.0.1", plan.port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&wire::associate_rq(
        &plan.called,
        &plan.sop_class,
        EXPLICIT_VR_LITTLE_ENDIAN,
    ))?;
    let mut reader = BufReader::with_capacity(4096, stream.try_clone()?);
    let mut body = Vec::new();
    match wire::read_pdu(&mut reader, &mut body)? {
        Some(wire::A_ASSOCIATE_AC) => {}
        other => return Err(io::Error::other(format!("PDU type {other:?} for our request"))),
    }
    let (accepted, peer_max) = wire::read_associate_ac(&body);
    if !accepted {
        return Err(io::Error::other("presentation context not accepted"));
    }
    // 0 means no limit (PS3.8 Annex D.1); DCMTK's largest is a sensible choice then.
    let peer_max = if peer_max == 0 { 131_072 } else { peer_max as usize };
    Ok(Association { stream, reader, peer_max })
}

fn release(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&wire::pdu(wire::A_RELEASE_RQ, &[0; 4]))?;
    match wire::read_pdu(&mut stream, &mut Vec::new())? {
        Some(wire::A_RELEASE_RP) => Ok(()),
        other => Err(io::Error::other(format!("PDU type {other:?} for our release request"))),
    }
}

impl Association {
    fn send_all(&mut self, plan: &Plan, number: usize, outcome: &mut Outcome) -> io::Result<()> {
        let total = plan.head.len() + plan.pixel_bytes;
        let mut message = if total <= PREPARED_MAX_BYTES {
            Some(Prepared::new(plan, self.peer_max))
        } else {
            None
        };
        let mut body = Vec::new();
        outcome.latencies_us.reserve(plan.objects);
        outcome.started = Some(Instant::now());
        for object in 0..plan.objects {
            let uid = sop_instance_uid(plan, number, object);
            let message_id = (object % 0xFFFF) as u16 + 1;
            let sent_from = Instant::now();
            match &mut message {
                Some(prepared) => {
                    prepared.patch(&uid, message_id);
                    self.stream.write_all(&prepared.bytes)?;
                }
                None => self.send_streamed(plan, &uid, message_id)?,
            }
            let kind = wire::read_pdu(&mut self.reader, &mut body)?;
            if kind != Some(wire::P_DATA_TF) {
                return Err(io::Error::other(format!("PDU type {kind:?} for a C-STORE-RQ")));
            }
            check_response(&body, message_id)?;
            let now = Instant::now();
            outcome.latencies_us.push((now - sent_from).as_micros() as u32);
            outcome.stored += 1;
            outcome.ended = Some(now);
        }
        Ok(())
    }

    /// Sends a message too large to prepare: headers and slices of the pattern, many to a write.
    fn send_streamed(&mut self, plan: &Plan, uid: &str, message_id: u16) -> io::Result<()> {
        let mut head = plan.head.clone();
        head[plan.uid_offset..plan.uid_offset + uid.len()].copy_from_slice(uid.as_bytes());
        let mut start = Vec::new();
        put_pdv(&mut start, 0b11, &store_rq(plan, uid, message_id).0);
        self.stream.write_all(&start)?;

        let fragment_max = self.peer_max - PDV_HEADER_BYTES;
        let total = head.len() + plan.pixel_bytes;
        let mut sent = 0;
        let mut headers = [[0; PDU_HEADER_BYTES + PDV_HEADER_BYTES]; PDUS_PER_WRITE];
        while sent < total {
            let mut fragments = Vec::with_capacity(PDUS_PER_WRITE);
            for header in &mut headers {
                let length = fragment_max.min(total - sent);
                if length == 0 {
                    break;
                }
                *header = pdv_header(if sent + length == total { 0b10 } else { 0 }, length);
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
                        &plan.pattern[(at - head.len()) % plan.pattern.len()..]
                    };
                    let piece = &source[..length.min(source.len())];
                    slices.push(IoSlice::new(piece));
                    at += piece.len();
                    length -= piece.len();
                }
            }
            let mut rest = slices.as_mut_slice();
            while !rest.is_empty() {
                let written = self.stream.write_vectored(rest)?;
                IoSlice::advance_slices(&mut rest, written);
            }
        }
        Ok(())
    }
}

/// A whole message as it goes over the wire, and where it changes from instance to instance.
struct Prepared {
    bytes: Vec<u8>,
    message_id_at: usize,
    /// Each byte of SOP Instance UID, in the command set and in the data set; single bytes, as a
    /// fragment may end within the UID.
    uid_at: Vec<[usize; 2]>,
}

impl Prepared {
    fn new(plan: &Plan, peer_max: usize) -> Self {
        let uid = sop_instance_uid(plan, 0, 0);
        let (command, message_id_at, uid_in_command) = store_rq(plan, &uid, 1);
        let mut bytes = Vec::new();
        put_pdv(&mut bytes, 0b11, &command);
        let data_set_from = bytes.len();

        let mut data_set = plan.head.clone();
        data_set.extend(plan.pattern.iter().cycle().take(plan.pixel_bytes));
        let fragment_max = peer_max - PDV_HEADER_BYTES;
        let last = data_set.len().div_ceil(fragment_max) - 1;
        for (index, fragment) in data_set.chunks(fragment_max).enumerate() {
            put_pdv(&mut bytes, if index == last { 0b10 } else { 0 }, fragment);
        }
        let headers = PDU_HEADER_BYTES + PDV_HEADER_BYTES;
        let uid_at = (0..uid.len())
            .map(|index| {
                let at = plan.uid_offset + index;
                let on_wire = data_set_from
                    + (at / fragment_max) * (headers + fragment_max)
                    + headers
                    + at % fragment_max;
                [headers + uid_in_command + index, on_wire]
            })
            .collect();
        Prepared { bytes, message_id_at: headers + message_id_at, uid_at }
    }

    fn patch(&mut self, uid: &str, message_id: u16) {
        self.bytes[self.message_id_at..self.message_id_at + 2]
            .copy_from_slice(&message_id.to_le_bytes());
        for (byte, places) in uid.bytes().zip(&self.uid_at) {
            for place in places {
                self.bytes[*place] = byte;
            }
        }
    }
}

/// C-STORE-RQ, PS3.7 Table 9.3-1; with the offsets of Message ID and SOP Instance UID.
fn store_rq(plan: &Plan, uid: &str, message_id: u16) -> (Vec<u8>, usize, usize) {
    let mut elements = Vec::new();
    let sop_class = wire::padded_uid(plan.sop_class.as_bytes());
    wire::put_command_element(&mut elements, 0x0002, &sop_class);
    wire::put_command_element(&mut elements, 0x0100, &wire::C_STORE_RQ.to_le_bytes());
    wire::put_command_element(&mut elements, 0x0110, &message_id.to_le_bytes());
    let message_id_end = elements.len();
    wire::put_command_element(&mut elements, 0x0700, &[0, 0]);
    wire::put_command_element(&mut elements, 0x0800, &1u16.to_le_bytes());
    let padded = wire::padded_uid(uid.as_bytes());
    wire::put_command_element(&mut elements, 0x1000, &padded);
    let uid_from = elements.len() - padded.len();
    let command = wire::with_group_length(&elements);
    let shift = command.len() - elements.len();
    (command, message_id_end - 2 + shift, uid_from + shift)
}

fn pdv_header(control: u8, length: usize) -> [u8; PDU_HEADER_BYTES + PDV_HEADER_BYTES] {
    let mut out = [0; PDU_HEADER_BYTES + PDV_HEADER_BYTES];
    out[0] = wire::P_DATA_TF;
    out[2..6].copy_from_slice(&((length + PDV_HEADER_BYTES) as u32).to_be_bytes());
    out[6..10].copy_from_slice(&((length + 2) as u32).to_be_bytes());
    out[10] = 1; // The presentation context that `associate_rq` proposes.
    out[11] = control;
    out
}

fn put_pdv(out: &mut Vec<u8>, control: u8, fragment: &[u8]) {
    out.extend(pdv_header(control, fragment.len()));
    out.extend(fragment);
}

/// PS3.7 §9.3.1.2: the response names the request, and 0000H is the only success.
fn check_response(body: &[u8], message_id: u16) -> io::Result<()> {
    let command = body.get(PDV_HEADER_BYTES..).unwrap_or_default();
    if wire::command_u16(command, 0x0100) != Some(wire::C_STORE_RSP) {
        return Err(io::Error::other("not a C-STORE-RSP"));
    }
    if wire::command_u16(command, 0x0120) != Some(message_id) {
        return Err(io::Error::other("response to another message"));
    }
    match wire::command_u16(command, 0x0900) {
        Some(0) => Ok(()),
        status => Err(io::Error::other(format!("status {status:04x?}"))),
    }
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
    let object_bytes = plan.head.len() + plan.pixel_bytes;
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
    let _ = write!(out, ", \"missing\": {}", plan.associations * plan.objects - stored);
    let texts: Vec<String> = failures.iter().map(|text| json_string(text)).collect();
    let _ = write!(out, ", \"failures\": [{}]}}", texts.join(", "));
    out
}

fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            character if character < ' ' => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            character => out.push(character),
        }
    }
    out.push('"');
    out
}
