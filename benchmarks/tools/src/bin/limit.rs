//! The limit: a receiver that reads PDUs, writes one file per object, and checks nothing.
//!
//! It shows how fast a C-STORE could be on this machine when only the unavoidable is done: read the
//! socket in large blocks, find the PDVs, hand their bytes to the kernel in one vectored write per
//! block, answer. No policy, no state table, no check of any length, no look at the data set, no
//! unique naming, no limit on associations. Never use it as a receiver.
//!
//! With `--sync` it makes the system calls of the durable promise for each object, one object at a
//! time: write, fdatasync, rename, fsync of the directory; then the response.
//!
//! Usage: `limit [--sync] [--block BYTES] PORT DIRECTORY`. A thread per association.

use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use dcmfast_bench_tools as wire;
use wire::{PDU_HEADER_BYTES, PDV_HEADER_BYTES, Proposed};

/// Most slices in one vectored write: Linux takes 1024 (IOV_MAX).
const SLICES_MAX: usize = 1024;

/// Size of the read block; measured with DX objects: see benchmarks/README.md.
const BLOCK_BYTES: usize = 256 * 1024;

struct Target {
    directory: PathBuf,
    /// Open for `fsync` after each rename, in `--sync` only.
    synced: Option<File>,
    counter: AtomicU64,
}

fn main() -> io::Result<()> {
    let mut sync = false;
    let mut block_bytes = BLOCK_BYTES;
    let mut places = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--sync" => sync = true,
            "--block" => {
                let text = arguments.next().unwrap_or_default();
                block_bytes = text.parse().map_err(io::Error::other)?;
            }
            _ => places.push(argument),
        }
    }
    let [port, directory] = places.as_slice() else {
        return Err(io::Error::other("usage: limit [--sync] [--block BYTES] PORT DIRECTORY"));
    };
    let directory = PathBuf::from(directory);
    let synced = if sync { Some(File::open(&directory)?) } else { None };
    let target = Arc::new(Target { directory, synced, counter: AtomicU64::new(0) });
    let listener = TcpListener::bind(("127.0.0.1", port.parse().map_err(io::Error::other)?))?;
    for stream in listener.incoming() {
        let stream = stream?;
        let target = Arc::clone(&target);
        thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            if let Err(error) = Association::new(stream, &target, block_bytes).run() {
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

struct Object {
    file: File,
    part: Option<PathBuf>,
    published: PathBuf,
}

struct Association<'a> {
    stream: TcpStream,
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
    fn new(stream: TcpStream, target: &'a Target, block_bytes: usize) -> Self {
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
        self.stream.set_nodelay(true)?;
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
        let uid = wire::command_element(&self.command, 0x1000).unwrap_or_default();
        let name = String::from_utf8_lossy(uid).trim_end_matches('\0').replace('/', "_");
        let number = self.target.counter.fetch_add(1, Ordering::Relaxed);
        let published = self.target.directory.join(format!("{number}.{name}"));
        let part = self.target.synced.as_ref().map(|_| {
            let mut path = published.clone().into_os_string();
            path.push(".part");
            PathBuf::from(path)
        });
        let file = File::create(part.as_deref().unwrap_or(&published))?;
        self.object = Some(Object { file, part, published });
        self.head = self.file_meta();
        Ok(())
    }

    /// Preamble and the elements of group 0002 that PS3.10 §7.1 asks for.
    fn file_meta(&self) -> Vec<u8> {
        let context = self.contexts.iter().find(|context| context.context_id == self.context_id);
        let syntax = context.map_or(&b""[..], |context| &context.transfer_syntax_uid);
        let mut group = Vec::new();
        group.extend(b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01");
        for (element, uid) in [
            (0x02, wire::command_element(&self.command, 0x0002).unwrap_or_default()),
            (0x03, wire::command_element(&self.command, 0x1000).unwrap_or_default()),
            (0x10, syntax),
            (0x12, b"2.25.161803398874989484820458683436563811772"),
        ] {
            let value = wire::padded_uid(uid);
            group.extend([2, 0, element, 0, b'U', b'I']);
            group.extend((value.len() as u16).to_le_bytes());
            group.extend(value);
        }
        let mut head = vec![0; 128];
        head.extend(b"DICM\x02\x00\x00\x00UL\x04\x00");
        head.extend((group.len() as u32).to_le_bytes());
        head.extend(group);
        head
    }

    /// One vectored write of everything this block holds of the open object.
    fn write_slices(&mut self) -> io::Result<()> {
        let Some(object) = &mut self.object else { return Ok(()) };
        if self.slices.is_empty() {
            return Ok(()); // The head waits for the first fragment and shares its write.
        }
        let mut slices = Vec::with_capacity(self.slices.len() + 1);
        if !self.head.is_empty() {
            slices.push(IoSlice::new(&self.head));
        }
        slices.extend(self.slices.iter().map(|range| IoSlice::new(&self.block[range.clone()])));
        write_all_vectored(&mut object.file, &mut slices)?;
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
        let (Some(part), Some(directory)) = (&object.part, &self.target.synced) else {
            return Ok(());
        };
        object.file.sync_data()?;
        fs::rename(part, &object.published)?;
        drop(object.file);
        directory.sync_all()
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
