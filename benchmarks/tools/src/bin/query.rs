//! Asks an archive, one request after the other over one association: C-FIND, C-GET, C-MOVE.
//!
//! Every answer is checked: the number of matches or objects, that each match carries the value
//! that was asked for and is another one than those before it, and every byte of every object.
//!
//! Usage: `query --port P --called AE --find|--get|--move MODEL_UID --identifier FILE`
//! `[--ask O:W:D:M]… --span N --requests R --expect E [--match TAG] [--distinct TAG]`
//! `[--destination AE:PORT] INSTANCES [--hold]`. Prints one line of JSON.
//!
//! Request i asks for an instance number n out of `0..span`, spread over it; `--ask` says where
//! the identifier has digits of n, as `--vary` does for instances. `--match` names the key whose
//! returned value must begin with the one asked for (without a `*` at its end).

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use dcmfast_bench_tools as wire;
use wire::association::{
    Association, Message, associate, put_pdv, read_message, release, store_response,
};
use wire::instances::{Field, Instances};

#[derive(Clone, Copy, PartialEq)]
enum Service {
    Find,
    Get,
    Move,
}

struct Plan {
    port: u16,
    called: String,
    service: Service,
    model: String,
    identifier: Vec<u8>,
    fields: Vec<Field>,
    span: usize,
    requests: usize,
    expect: Option<usize>,
    matching: Option<(u16, u16)>,
    distinct: Option<(u16, u16)>,
    destination: String,
    destination_port: u16,
    hold: bool,
}

/// What the sub-operations brought, on whatever association.
#[derive(Default)]
struct Received {
    objects: AtomicUsize,
    bytes: AtomicUsize,
    wrong: Mutex<Option<String>>,
}

#[derive(Default)]
struct Outcome {
    requests: usize,
    matches: usize,
    latencies_us: Vec<u32>,
    first_us: Vec<u32>,
    seconds: f64,
}

fn main() -> io::Result<()> {
    let (plan, instances) = read_arguments().map_err(io::Error::other)?;
    let instances = Arc::new(instances);
    let received = Arc::new(Received::default());
    if plan.service == Service::Move {
        let listener = TcpListener::bind(("127.0.0.1", plan.destination_port))?;
        let (instances, received) = (Arc::clone(&instances), Arc::clone(&received));
        thread::spawn(move || receive_all(&listener, &instances, &received));
    }
    let sop_class = instances.sop_class.as_str();
    let mut association = if plan.service == Service::Get {
        associate(plan.port, &plan.called, &[&plan.model, sop_class], &[sop_class], None)?
    } else {
        associate(plan.port, &plan.called, &[&plan.model], &[], None)?
    };
    let mut outcome = Outcome::default();
    let failure = run(&plan, &instances, &received, &mut association, &mut outcome).err();
    println!("{}", report(&outcome, &received, failure.as_ref()));
    if plan.hold {
        io::stdin().read_to_end(&mut Vec::new())?;
    }
    if failure.is_none() {
        let _ = release(association);
    }
    Ok(())
}

fn read_arguments() -> Result<(Plan, Instances), String> {
    let mut instances = Instances::default();
    let mut plan = Plan {
        port: 0,
        called: "ANY-SCP".to_owned(),
        service: Service::Find,
        model: String::new(),
        identifier: Vec::new(),
        fields: Vec::new(),
        span: 1,
        requests: 1,
        expect: None,
        matching: None,
        distinct: None,
        destination: String::new(),
        destination_port: 0,
        hold: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--hold" {
            plan.hold = true;
            continue;
        }
        let value = arguments.next().ok_or(format!("{name} wants a value"))?;
        let number = || value.parse::<usize>().map_err(|error| format!("{name}: {error}"));
        let port = |text: &str| text.parse::<u16>().map_err(|error| format!("{name}: {error}"));
        match name.as_str() {
            "--port" => plan.port = port(&value)?,
            "--called" => plan.called = value,
            "--find" => (plan.service, plan.model) = (Service::Find, value),
            "--get" => (plan.service, plan.model) = (Service::Get, value),
            "--move" => (plan.service, plan.model) = (Service::Move, value),
            "--identifier" => {
                plan.identifier =
                    std::fs::read(&value).map_err(|error| format!("{value}: {error}"))?;
            }
            "--ask" => plan.fields.push(Field::parse(&value)?),
            "--span" => plan.span = number()?.max(1),
            "--requests" => plan.requests = number()?,
            "--expect" => plan.expect = Some(number()?),
            "--match" => plan.matching = Some(read_tag(&value)?),
            "--distinct" => plan.distinct = Some(read_tag(&value)?),
            "--destination" => {
                let (title, number) = value.split_once(':').ok_or("AE:PORT wanted")?;
                title.clone_into(&mut plan.destination);
                plan.destination_port = port(number)?;
            }
            _ if instances.take_argument(&name, &value)? => {}
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    if plan.service != Service::Find {
        instances.check()?; // Only those bring objects to compare.
    }
    if plan.fields.iter().any(|field| field.offset + field.width > plan.identifier.len()) {
        return Err("--ask does not lie in --identifier".to_owned());
    }
    Ok((plan, instances))
}

fn read_tag(text: &str) -> Result<(u16, u16), String> {
    let tag = u32::from_str_radix(text, 16).map_err(|error| format!("{text}: {error}"))?;
    Ok(((tag >> 16) as u16, tag as u16))
}

fn run(
    plan: &Plan,
    instances: &Instances,
    received: &Received,
    association: &mut Association,
    outcome: &mut Outcome,
) -> io::Result<()> {
    let mut message = Message::default();
    let mut bytes = Vec::new();
    let mut identifier = plan.identifier.clone();
    let started = Instant::now();
    for request in 0..plan.requests {
        // The golden ratio spreads any number of requests evenly over the span, in no order.
        let spread = (request as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let n = (spread as usize * plan.span) >> 32;
        for field in &plan.fields {
            field.patch(&mut identifier, n);
        }
        let message_id = (request % 0xFFFF) as u16 + 1;
        bytes.clear();
        put_pdv(&mut bytes, 1, 0b11, &request_command(plan, message_id));
        put_pdv(&mut bytes, 1, 0b10, &identifier);
        let sent = Instant::now();
        association.stream().write_all(&bytes)?;
        let mut asked = Asked {
            plan,
            identifier: &identifier,
            seen: HashSet::new(),
            matches: 0,
            before: received.objects.load(Ordering::Acquire),
        };
        loop {
            association.read(&mut message)?;
            if message.command_field() == wire::C_STORE_RQ {
                received.take(instances, &message);
                association.stream().write_all(&store_response(&message))?;
            } else {
                if message.u16(0x0120) != Some(message_id) {
                    return Err(io::Error::other("response to another message"));
                }
                if !message.data_set.is_empty() && plan.service == Service::Find {
                    if asked.matches == 0 {
                        outcome.first_us.push(sent.elapsed().as_micros() as u32);
                    }
                    asked.check_match(&message)?;
                }
                if !matches!(message.status(), 0xFF00 | 0xFF01) {
                    break;
                }
            }
        }
        asked.check_end(&message, received)?;
        outcome.matches += asked.matches;
        outcome.requests += 1;
        outcome.latencies_us.push(sent.elapsed().as_micros() as u32);
        outcome.seconds = started.elapsed().as_secs_f64();
    }
    Ok(())
}

/// One request and what has come back so far.
struct Asked<'a> {
    plan: &'a Plan,
    identifier: &'a [u8],
    seen: HashSet<Vec<u8>>,
    matches: usize,
    /// Objects that had been received before it.
    before: usize,
}

impl Asked<'_> {
    fn check_match(&mut self, message: &Message) -> io::Result<()> {
        self.matches += 1;
        if let Some(tag) = self.plan.matching {
            let wanted = trimmed(wire::data_element(self.identifier, tag).unwrap_or_default());
            let wanted = wanted.strip_suffix(b"*").unwrap_or(wanted);
            let found = wire::data_element(&message.data_set, tag).unwrap_or_default();
            if !found.starts_with(wanted) {
                return Err(io::Error::other(format!(
                    "asked for {:?}, matched {:?}",
                    String::from_utf8_lossy(wanted),
                    String::from_utf8_lossy(found)
                )));
            }
        }
        if let Some(tag) = self.plan.distinct {
            let value = wire::data_element(&message.data_set, tag).unwrap_or_default();
            if !self.seen.insert(value.to_vec()) {
                return Err(io::Error::other("the same match twice"));
            }
        }
        Ok(())
    }

    fn check_end(&self, message: &Message, received: &Received) -> io::Result<()> {
        if message.status() != 0 {
            return Err(io::Error::other(format!("status {:04X}H", message.status())));
        }
        let brought = match self.plan.service {
            Service::Find => self.matches,
            // Completed Sub-operations (0000,1021) must be what we have seen come in.
            Service::Get | Service::Move => {
                let seen = received.objects.load(Ordering::Acquire) - self.before;
                let said = message.u16(0x1021).map(usize::from);
                if said.is_some_and(|said| said != seen) {
                    return Err(io::Error::other(format!("{said:?} said, {seen} received")));
                }
                seen
            }
        };
        if self.plan.expect.is_some_and(|expected| expected != brought) {
            return Err(io::Error::other(format!(
                "{brought} came, {} expected",
                self.plan.expect.unwrap_or(0)
            )));
        }
        let wrong = received.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.as_ref().map_or(Ok(()), |why| Err(io::Error::other(why.clone())))
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    &value[..end]
}

impl Received {
    /// Counts the object of a C-STORE-RQ after comparing it with the instance that it must be.
    fn take(&self, instances: &Instances, message: &Message) {
        let uid = wire::command_element(&message.command, 0x1000).unwrap_or_default();
        let right = instances.number(uid).is_some_and(|n| instances.is(n, &message.data_set));
        if !right {
            let text = format!(
                "object {} of {} bytes differs from what was stored",
                String::from_utf8_lossy(uid),
                message.data_set.len()
            );
            self.wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
        }
        self.objects.fetch_add(1, Ordering::Release);
        self.bytes.fetch_add(message.data_set.len(), Ordering::Relaxed);
    }
}

/// The destination of C-MOVE: a thread per association.
fn receive_all(listener: &TcpListener, instances: &Arc<Instances>, received: &Arc<Received>) {
    for stream in listener.incoming().flatten() {
        let (instances, received) = (Arc::clone(instances), Arc::clone(received));
        thread::spawn(move || {
            if let Err(error) = receive(stream, &instances, &received) {
                eprintln!("query: destination: {error}");
            }
        });
    }
}

fn receive(mut stream: TcpStream, instances: &Instances, received: &Received) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream.try_clone()?);
    let mut body = Vec::new();
    if wire::read_pdu(&mut reader, &mut body)? != Some(wire::A_ASSOCIATE_RQ) {
        return Ok(());
    }
    let (contexts, _) = wire::read_associate_rq(&body);
    stream.write_all(&wire::associate_ac(&body, &contexts))?;
    let mut message = Message::default();
    loop {
        match read_message(&mut reader, &mut body, &mut message)? {
            Some(wire::P_DATA_TF) => {
                received.take(instances, &message);
                stream.write_all(&store_response(&message))?;
            }
            Some(wire::A_RELEASE_RQ) => {
                return stream.write_all(&wire::pdu(wire::A_RELEASE_RP, &[0; 4]));
            }
            _ => return Ok(()),
        }
    }
}

/// C-FIND-RQ, C-GET-RQ or C-MOVE-RQ: PS3.7 Tables 9.3-3, 9.3-6 and 9.3-9.
fn request_command(plan: &Plan, message_id: u16) -> Vec<u8> {
    let mut elements = Vec::new();
    wire::put_command_element(&mut elements, 0x0002, &wire::padded_uid(plan.model.as_bytes()));
    let field = match plan.service {
        Service::Find => wire::C_FIND_RQ,
        Service::Get => wire::C_GET_RQ,
        Service::Move => wire::C_MOVE_RQ,
    };
    wire::put_command_element(&mut elements, 0x0100, &field.to_le_bytes());
    wire::put_command_element(&mut elements, 0x0110, &message_id.to_le_bytes());
    if plan.service == Service::Move {
        let mut title = plan.destination.clone().into_bytes();
        if title.len() % 2 == 1 {
            title.push(b' ');
        }
        wire::put_command_element(&mut elements, 0x0600, &title);
    }
    wire::put_command_element(&mut elements, 0x0700, &[0, 0]);
    wire::put_command_element(&mut elements, 0x0800, &1u16.to_le_bytes());
    wire::with_group_length(&elements)
}

fn report(outcome: &Outcome, received: &Received, failure: Option<&io::Error>) -> String {
    let quantile = |values: &[u32], per_cent: usize| {
        let mut values = values.to_vec();
        values.sort_unstable();
        let index = (values.len() * per_cent / 100).min(values.len().saturating_sub(1));
        values.get(index).copied().unwrap_or(0)
    };
    let objects = received.objects.load(Ordering::Acquire);
    let bytes = received.bytes.load(Ordering::Acquire);
    let per_second =
        |amount: f64| if outcome.seconds > 0.0 { amount / outcome.seconds } else { 0.0 };
    let mut out = String::from("{");
    let _ = write!(out, "\"requests\": {}, \"matches\": {}", outcome.requests, outcome.matches);
    let _ = write!(out, ", \"objects\": {objects}, \"seconds\": {:.6}", outcome.seconds);
    let rates = [
        ("requests_per_s", outcome.requests as f64),
        ("matches_per_s", outcome.matches as f64),
        ("objects_per_s", objects as f64),
        ("mb_per_s", bytes as f64 / 1e6),
    ];
    for (name, amount) in rates {
        let _ = write!(out, ", \"{name}\": {:.3}", per_second(amount));
    }
    for (name, values) in [("latency", &outcome.latencies_us), ("first", &outcome.first_us)] {
        for per_cent in [50, 99, 100] {
            let _ = write!(out, ", \"{name}_us_p{per_cent}\": {}", quantile(values, per_cent));
        }
    }
    let failure = failure.map_or("null".to_owned(), |text| wire::json_string(&text.to_string()));
    let _ = write!(out, ", \"failure\": {failure}}}");
    out
}
