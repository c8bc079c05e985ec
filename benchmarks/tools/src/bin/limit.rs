//! The limit: a receiver that reads PDUs, writes one file per object, and checks nothing.
//!
//! It shows how fast a C-STORE could be on this machine when only the unavoidable is done: read the
//! socket in large blocks, find the PDVs, hand their bytes to the kernel in one vectored write per
//! block, answer. No policy, no state table, no check of any length, no look at the data set, no
//! unique naming, no limit on associations. Never use it as a receiver.
//!
//! With `--sync` it makes the system calls of the durable promise for each object, one object at a
//! time: write, fdatasync, rename, fsync of the directory; then the response. `--sync-file` leaves
//! out the last two. `--journal` writes no files: each object is appended to one preallocated file,
//! and one fdatasync serves all associations that wait for it.
//!
//! `--tls` receives through the system's OpenSSL.
//!
//! Usage: `limit [--sync|--sync-file|--journal] [--block BYTES] [--tls CERTIFICATE KEY] PORT DIRECTORY`. A thread per
//! association.

use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use dcmfast_bench_tools as wire;
use wire::instances::file_meta;
use wire::stream::{Stream, acceptor};
use wire::{PDU_HEADER_BYTES, PDV_HEADER_BYTES, Proposed};

/// Most slices in one vectored write: Linux takes 1024 (IOV_MAX).
const SLICES_MAX: usize = 1024;

/// Size of the read block; measured with DX objects: see benchmarks/README.md.
const BLOCK_BYTES: usize = 256 * 1024;

/// Bytes of the journal; when they are used up it starts again at 0, as a checkpoint would allow.
const JOURNAL_BYTES: usize = 64 << 20;

struct Target {
    directory: PathBuf,
    promise: Promise,
    counter: AtomicU64,
}

/// What has happened when the response goes out.
enum Promise {
    /// The kernel has the bytes.
    None,
    /// The file is synced: `--sync-file`.
    File,
    /// The file and its name are synced; holds the directory: `--sync`.
    Name(File),
    /// The journal is synced: `--journal`.
    Journal(Journal),
}

/// Appends for several associations at once: who finds nobody writing writes for all that wait.
struct Journal {
    file: File,
    state: Mutex<JournalState>,
    turned: Condvar,
}

#[derive(Default)]
struct JournalState {
    pending: Vec<u8>,
    /// Number of the group that `pending` will be.
    group: u64,
    /// Groups before this one are on the disk.
    durable: u64,
    writing: bool,
    at: usize,
}

impl Journal {
    /// Writes the zeros: appends then allocate nothing, and a sync writes no metadata.
    fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..JOURNAL_BYTES / zeros.len() {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        Ok(Journal { file, state: Mutex::default(), turned: Condvar::new() })
    }

    fn append(&self, object: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending.extend(object);
        let mine = state.group;
        while state.durable <= mine {
            if state.writing {
                state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.writing = true;
            state.group += 1;
            let bytes = std::mem::take(&mut state.pending);
            let at = if state.at + bytes.len() > JOURNAL_BYTES { 0 } else { state.at };
            state.at = at + bytes.len();
            drop(state);
            let written = self.file.write_all_at(&bytes, at as u64);
            let synced = written.and_then(|()| self.file.sync_data());
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // After a failure nobody writes any more, and nobody hears of a success.
            synced?;
            state.writing = false;
            state.durable = mine + 1;
            self.turned.notify_all();
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let mut promise = String::new();
    let mut block_bytes = BLOCK_BYTES;
    let mut tls = None;
    let mut places = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--sync" | "--sync-file" | "--journal" => promise = argument,
            "--block" => {
                let text = arguments.next().unwrap_or_default();
                block_bytes = text.parse().map_err(io::Error::other)?;
            }
            "--tls" => {
                let certificate = arguments.next().unwrap_or_default();
                let key = arguments.next().unwrap_or_default();
                tls = Some(Arc::new(acceptor(&certificate, &key)?));
            }
            _ => places.push(argument),
        }
    }
    let [port, directory] = places.as_slice() else {
        return Err(io::Error::other(
            "usage: limit [--sync|--sync-file|--journal] [--block BYTES] [--tls CERTIFICATE KEY] \
             PORT DIRECTORY",
        ));
    };
    let directory = PathBuf::from(directory);
    let promise = match promise.as_str() {
        "--sync" => Promise::Name(File::open(&directory)?),
        "--sync-file" => Promise::File,
        "--journal" => Promise::Journal(Journal::create(&directory.join("journal"))?),
        _ => Promise::None,
    };
    let target = Arc::new(Target { directory, promise, counter: AtomicU64::new(0) });
    let listener = TcpListener::bind(("127.0.0.1", port.parse().map_err(io::Error::other)?))?;
    for stream in listener.incoming() {
        let stream = stream?;
        let (target, tls) = (Arc::clone(&target), tls.clone());
        thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            let served = Stream::accept(stream, tls.as_deref())
                .and_then(|stream| Association::new(stream, &target, block_bytes).run());
            if let Err(error) = served {
                eprintln!("limit: {error}");
            }
        })?;
    }
    Ok(())
}

/// Where the stream stands between two blocks.
#[derive(Clone, Copy)]
enum Place {
    /// A PDU header comes next.
    Pdu,
    /// Inside a P-DATA-TF with this many bytes left; a PDV header comes next.
    Pdv { pdu_left: usize },
    /// Inside a fragment.
    Fragment { pdu_left: usize, left: usize, control: u8 },
}

enum Object {
    File { file: File, part: Option<PathBuf>, published: PathBuf },
    Journal(Vec<u8>),
}

struct Association<'a> {
    stream: Stream,
    target: &'a Target,
    block: Vec<u8>,
    contexts: Vec<Proposed>,
    command: Vec<u8>,
    context_id: u8,
    object: Option<Object>,
    /// Preamble, file meta information: ahead of the first fragment in the same write.
    head: Vec<u8>,
    /// Fragments of the current block that belong to the open object.
    slices: Vec<Range<usize>>,
}

impl<'a> Association<'a> {
    fn new(stream: Stream, target: &'a Target, block_bytes: usize) -> Self {
        Association {
            stream,
            target,
            block: vec![0; block_bytes],
            contexts: Vec::new(),
            command: Vec::new(),
            context_id: 0,
            object: None,
            head: Vec::new(),
            slices: Vec::new(),
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut body = Vec::new();
        if wire::read_pdu(&mut self.stream, &mut body)? != Some(wire::A_ASSOCIATE_RQ) {
            return Ok(()); // A probe that only connected.
        }
        (self.contexts, _) = wire::read_associate_rq(&body);
        self.stream.write_all(&wire::associate_ac(&body, &self.contexts))?;
        let mut place = Place::Pdu;
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.block[filled..])?;
            if count == 0 {
                return Ok(());
            }
            filled += count;
            let Some((used, next)) = self.consume(filled, place)? else { return Ok(()) };
            place = next;
            self.write_slices()?;
            // Only a header cut by the end of the block is left over: at most 11 bytes.
            self.block.copy_within(used..filled, 0);
            filled -= used;
        }
    }

    /// Walks the block; returns the bytes used and where the stream stands, or `None` at release.
    fn consume(&mut self, filled: usize, mut place: Place) -> io::Result<Option<(usize, Place)>> {
        let mut at = 0;
        loop {
            match place {
                Place::Pdu => {
                    if filled - at < PDU_HEADER_BYTES {
                        return Ok(Some((at, place)));
                    }
                    let length = wire::be_u32(&self.block[at + 2..]) as usize;
                    match self.block[at] {
                        wire::P_DATA_TF => place = Place::Pdv { pdu_left: length },
                        wire::A_RELEASE_RQ => {
                            self.stream.write_all(&wire::pdu(wire::A_RELEASE_RP, &[0; 4]))?;
                            return Ok(None);
                        }
                        _ => return Ok(None),
                    }
                    at += PDU_HEADER_BYTES;
                }
                Place::Pdv { pdu_left: 0 } => place = Place::Pdu,
                Place::Pdv { pdu_left } => {
                    if filled - at < PDV_HEADER_BYTES {
                        return Ok(Some((at, place)));
                    }
                    let length = wire::be_u32(&self.block[at..]) as usize;
                    self.context_id = self.block[at + 4];
                    place = Place::Fragment {
                        pdu_left: pdu_left - 4 - length,
                        left: length - 2,
                        control: self.block[at + 5],
                    };
                    at += PDV_HEADER_BYTES;
                }
                Place::Fragment { pdu_left, left, control } => {
                    let here = left.min(filled - at);
                    self.fragment(at..at + here, control)?;
                    at += here;
                    if here < left {
                        place = Place::Fragment { pdu_left, left: left - here, control };
                        return Ok(Some((at, place)));
                    }
                    place = Place::Pdv { pdu_left };
                    match control & 0b11 {
                        0b11 => self.command_complete()?,
                        0b10 => self.object_complete()?,
                        _ => {}
                    }
                }
            }
        }
    }

    fn fragment(&mut self, range: Range<usize>, control: u8) -> io::Result<()> {
        if control & 0b01 != 0 {
            self.command.extend(&self.block[range]);
        } else if !range.is_empty() {
            self.slices.push(range);
            if self.slices.len() == SLICES_MAX - 1 {
                self.write_slices()?;
            }
        }
        Ok(())
    }

    fn command_complete(&mut self) -> io::Result<()> {
        match wire::command_u16(&self.command, 0x0100) {
            Some(wire::C_ECHO_RQ) => self.respond(wire::C_ECHO_RSP),
            Some(wire::C_STORE_RQ) => self.open(),
            _ => Ok(()),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        self.head = self.file_meta();
        if let Promise::Journal(_) = self.target.promise {
            self.object = Some(Object::Journal(Vec::new()));
            return Ok(());
        }
        let uid = wire::command_element(&self.command, 0x1000).unwrap_or_default();
        let name = String::from_utf8_lossy(uid).trim_end_matches('\0').replace('/', "_");
        let number = self.target.counter.fetch_add(1, Ordering::Relaxed);
        let published = self.target.directory.join(format!("{number}.{name}"));
        let part = matches!(self.target.promise, Promise::Name(_)).then(|| {
            let mut path = published.clone().into_os_string();
            path.push(".part");
            PathBuf::from(path)
        });
        let file = File::create(part.as_deref().unwrap_or(&published))?;
        self.object = Some(Object::File { file, part, published });
        Ok(())
    }

    /// Preamble and file meta information of the object that begins.
    fn file_meta(&self) -> Vec<u8> {
        let context = self.contexts.iter().find(|context| context.context_id == self.context_id);
        file_meta(
            wire::command_element(&self.command, 0x0002).unwrap_or_default(),
            wire::command_element(&self.command, 0x1000).unwrap_or_default(),
            context.map_or(&b""[..], |context| &context.transfer_syntax_uid),
        )
    }

    /// One vectored write of everything this block holds of the open object.
    fn write_slices(&mut self) -> io::Result<()> {
        let Some(object) = &mut self.object else { return Ok(()) };
        if self.slices.is_empty() {
            return Ok(()); // The head waits for the first fragment and shares its write.
        }
        let file = match object {
            Object::File { file, .. } => file,
            Object::Journal(bytes) => {
                bytes.append(&mut self.head);
                for range in self.slices.drain(..) {
                    bytes.extend(&self.block[range]);
                }
                return Ok(());
            }
        };
        let mut slices = Vec::with_capacity(self.slices.len() + 1);
        if !self.head.is_empty() {
            slices.push(IoSlice::new(&self.head));
        }
        slices.extend(self.slices.iter().map(|range| IoSlice::new(&self.block[range.clone()])));
        write_all_vectored(file, &mut slices)?;
        self.slices.clear();
        self.head.clear();
        Ok(())
    }

    fn object_complete(&mut self) -> io::Result<()> {
        self.write_slices()?;
        if let Some(object) = self.object.take() {
            self.publish(object)?;
        }
        self.respond(wire::C_STORE_RSP)
    }

    fn publish(&self, object: Object) -> io::Result<()> {
        match (object, &self.target.promise) {
            (Object::Journal(bytes), Promise::Journal(journal)) => journal.append(&bytes),
            (Object::File { file, .. }, Promise::File) => file.sync_data(),
            (Object::File { file, part: Some(part), published }, Promise::Name(directory)) => {
                file.sync_data()?;
                fs::rename(part, published)?;
                drop(file);
                directory.sync_all()
            }
            _ => Ok(()),
        }
    }

    fn respond(&mut self, command_field: u16) -> io::Result<()> {
        let mut elements = Vec::new();
        for tag in [0x0002, 0x0100, 0x0120, 0x0800, 0x0900, 0x1000] {
            match tag {
                0x0100 => {
                    wire::put_command_element(&mut elements, tag, &command_field.to_le_bytes());
                }
                0x0120 => {
                    let id = wire::command_element(&self.command, 0x0110).unwrap_or(&[0, 0]);
                    wire::put_command_element(&mut elements, tag, id);
                }
                0x0800 => wire::put_command_element(&mut elements, tag, &0x0101u16.to_le_bytes()),
                0x0900 => wire::put_command_element(&mut elements, tag, &[0, 0]),
                _ => {
                    if let Some(value) = wire::command_element(&self.command, tag) {
                        wire::put_command_element(&mut elements, tag, value);
                    }
                }
            }
        }
        let command = wire::with_group_length(&elements);
        let mut body = ((command.len() + 2) as u32).to_be_bytes().to_vec();
        body.extend([self.context_id, 0b11]);
        body.extend(command);
        self.command.clear();
        self.stream.write_all(&wire::pdu(wire::P_DATA_TF, &body))
    }
}

/// `Write::write_all_vectored` is not stable yet.
fn write_all_vectored(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        let written = file.write_vectored(slices)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut slices, written);
    }
    Ok(())
}
