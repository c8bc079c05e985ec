//! A recording's file: written record by record, read record by record.
//!
//! A record leaves in one write before the bytes in it are passed on: whoever kills the recorder
//! loses nothing that a peer has seen, and finds at most one record cut. The file is new, or it is an
//! error, and only its owner may read it: patients stand in it. It never grows beyond its bound.
//! Called by `recording::{proxy, source, treat}`.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::format::{self, FILE_HEADER_BYTES, HeaderError, RECORD_HEADER_BYTES, Record};
use super::{About, Entry, Moment, Notice, What};

/// Room that is kept for the record that ends a recording.
const END_BYTES: u64 = RECORD_HEADER_BYTES as u64 + 1;

/// What became of an entry.
#[derive(Debug)]
pub enum Written {
    /// It is in the file.
    Yes,
    /// The bound is reached: nothing more is written.
    Full,
    /// The operating system refused; nothing more is written.
    Failed(io::Error),
    /// It was one of these before.
    Ended,
}

struct State {
    file: File,
    bytes: u64,
    /// Nothing more is written.
    is_ended: bool,
    buffer: Vec<u8>,
}

/// A recording that is being written, by many threads.
pub struct Writer {
    state: Mutex<State>,
    bytes_max: u64,
}

impl Writer {
    /// Makes the file, which must not be there unless `may_replace`.
    ///
    /// # Errors
    ///
    /// The system's; `AlreadyExists` for a file that is there.
    pub fn create(
        path: &Path,
        may_replace: bool,
        about: About,
        bytes_max: u64,
    ) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        if may_replace {
            // A file of its own: whoever may read the old one, by its mode, another name of it or because
            // it is open, cannot read this one.
            remove_if_a_file(path);
            options.create(true);
        } else {
            options.create_new(true);
        }
        let mut file = options.open(path)?;
        if file.metadata()?.is_file() {
            // One that could not be taken away, or that a link leads to; nothing is in it so far.
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.set_len(0)?;
        }
        if let Err(error) = file.write_all(&format::encode_file_header(about)) {
            // A disk that is full keeps an empty file, which is nobody's recording.
            remove_if_a_file(path);
            return Err(error);
        }
        let state =
            State { file, bytes: FILE_HEADER_BYTES as u64, is_ended: false, buffer: Vec::new() };
        Ok(Self { state: Mutex::new(state), bytes_max })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one entry.
    pub fn append(&self, entry: &Entry) -> Written {
        Self::put(&mut self.lock(), self.bytes_max, entry)
    }

    /// Appends what happens now: the clock is asked by one thread at a time, so that the order of the
    /// records is that of their times.
    pub fn append_now(&self, connection: u64, what: What, now: impl FnOnce() -> Moment) -> Written {
        let mut state = self.lock();
        Self::put(&mut state, self.bytes_max, &Entry { connection, at: now(), what })
    }

    fn put(state: &mut State, bytes_max: u64, entry: &Entry) -> Written {
        let State { file, bytes, is_ended, buffer } = state;
        if *is_ended {
            return Written::Ended;
        }
        buffer.clear();
        format::encode(entry, buffer);
        if *bytes + buffer.len() as u64 + END_BYTES > bytes_max {
            *is_ended = true;
            buffer.clear();
            format::encode_end(entry.at, true, buffer);
            return match file.write_all(buffer) {
                Ok(()) => Written::Full,
                Err(error) => Written::Failed(error),
            };
        }
        match file.write_all(buffer) {
            Ok(()) => {
                *bytes += buffer.len() as u64;
                Written::Yes
            }
            Err(error) => {
                *is_ended = true;
                Written::Failed(error)
            }
        }
    }

    /// Ends the recording in order.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn finish(&self, at: Moment) -> io::Result<()> {
        let mut state = self.lock();
        if !state.is_ended {
            state.is_ended = true;
            let mut end = Vec::new();
            format::encode_end(at, false, &mut end);
            state.file.write_all(&end)?;
        }
        state.file.sync_data().or_else(|error| match error.raw_os_error() {
            // A pipe or a device has nothing to sync.
            Some(libc::EINVAL | libc::ENOTSUP) => Ok(()),
            _ => Err(error),
        })
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }
}

/// Takes away what could not be written; a device stays.
pub fn remove_if_a_file(path: &Path) {
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        let _ = std::fs::remove_file(path);
    }
}

/// One step of reading.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// An entry.
    Entry(Entry),
    /// Something to be told; reading goes on.
    Notice(Notice),
    /// There is no more.
    End,
}

/// A recording that is read.
pub struct Reader<R> {
    input: R,
    offset: u64,
    is_over: bool,
    /// Told in the next step.
    entry: Option<Entry>,
}

/// A file that is read.
pub type Input = BufReader<File>;

/// Opens any file to be read.
///
/// # Errors
///
/// The system's.
pub fn open(path: &Path) -> io::Result<Input> {
    Ok(BufReader::with_capacity(256 * 1024, File::open(path)?))
}

impl<R: Read> Reader<R> {
    /// Reads the header that `input` begins with.
    ///
    /// # Errors
    ///
    /// The system's; in the inner place, what is no recording.
    pub fn new(mut input: R) -> io::Result<Result<(Self, About), HeaderError>> {
        let mut header = [0; FILE_HEADER_BYTES];
        let count = read_up_to(&mut input, &mut header)?;
        if count < FILE_HEADER_BYTES {
            let is_one = header.get(..count).is_some_and(format::is_recording);
            let error = if is_one { HeaderError::Damaged } else { HeaderError::NotARecording };
            return Ok(Err(error));
        }
        let reader = Self { input, offset: FILE_HEADER_BYTES as u64, is_over: false, entry: None };
        Ok(format::decode_file_header(&header).map(|about| (reader, about)))
    }

    /// The next step.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn step(&mut self) -> io::Result<Step> {
        if let Some(entry) = self.entry.take() {
            return Ok(Step::Entry(entry));
        }
        if self.is_over {
            return Ok(Step::End);
        }
        let offset = self.offset;
        let mut header = [0; RECORD_HEADER_BYTES];
        let count = read_up_to(&mut self.input, &mut header)?;
        if count == 0 {
            self.is_over = true;
            return Ok(Step::Notice(Notice::NotEnded));
        }
        if count < RECORD_HEADER_BYTES {
            return Ok(self.end(Notice::Cut { offset }));
        }
        let header = match format::decode_header(&header) {
            Ok(header) => header,
            Err(why) => return Ok(self.end(Notice::Unreadable { offset, why })),
        };
        // Checked against limits::RECORDING_RECORD_BYTES_MAX with the header.
        let mut content = vec![0; header.content_bytes];
        if read_up_to(&mut self.input, &mut content)? < header.content_bytes {
            return Ok(self.end(Notice::Cut { offset }));
        }
        self.offset += (RECORD_HEADER_BYTES + header.content_bytes) as u64;
        Ok(match format::decode(&header, content) {
            Some(Record::Entry(entry)) => Step::Entry(entry),
            Some(Record::Unknown(kind)) => Step::Notice(Notice::UnknownKind { offset, kind }),
            Some(Record::End { is_full: true }) => self.end(Notice::Full),
            Some(Record::End { is_full: false }) => {
                self.is_over = true;
                Step::End
            }
            None => {
                self.entry = format::instead_of_damaged(&header);
                Step::Notice(Notice::Damaged { offset })
            }
        })
    }

    fn end(&mut self, notice: Notice) -> Step {
        self.is_over = true;
        Step::Notice(notice)
    }
}

/// Fills `buffer` as far as `input` goes.
pub(super) fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::{Ending, Reason, Side};
    use super::*;
    use proptest::prelude::*;

    fn recording() -> (Vec<u8>, Vec<Entry>) {
        let mut bytes = format::encode_file_header(About::default()).to_vec();
        let mut entries = Vec::new();
        let mut add = |what| {
            let monotonic_ns = entries.len() as u64;
            let at = Moment { monotonic_ns, wall_ns: 0 };
            let entry = Entry { connection: 1, at, what };
            format::encode(&entry, &mut bytes);
            entries.push(entry);
        };
        add(What::Opened { requestor: "a".into(), acceptor: "b".into() });
        add(What::Bytes(Side::Requestor, b"\x05\0\0\0\0\x04\0\0\0\0".to_vec()));
        add(What::Bytes(Side::Acceptor, b"\x06\0\0\0\0\x04\0\0\0\0".to_vec()));
        add(What::End(Side::Requestor, Ending::Closed));
        add(What::Over(Reason::Ended, String::new()));
        format::encode_end(Moment::default(), false, &mut bytes);
        (bytes, entries)
    }

    /// Everything of a recording; at most as many steps as it has bytes.
    fn read(bytes: &[u8]) -> Result<(Vec<Entry>, Vec<Notice>), HeaderError> {
        let (mut reader, _) = Reader::new(bytes).unwrap()?;
        let (mut entries, mut notices) = (Vec::new(), Vec::new());
        for _ in 0..=bytes.len() {
            match reader.step().unwrap() {
                Step::Entry(entry) => entries.push(entry),
                Step::Notice(notice) => notices.push(notice),
                Step::End => return Ok((entries, notices)),
            }
        }
        panic!("no end");
    }

    /// Cut at each byte: what was complete is there, and that it is cut is told.
    #[test]
    fn truncated_at_each_byte() {
        let (bytes, entries) = recording();
        assert_eq!(read(&bytes).unwrap(), (entries.clone(), Vec::new()));
        for end in 0..bytes.len() {
            let cut = &bytes[..end];
            let Ok((found, notices)) = read(cut) else {
                assert!(end < FILE_HEADER_BYTES, "{end}");
                continue;
            };
            assert_eq!(found[..], entries[..found.len()], "{end}");
            assert_eq!(notices.len(), 1, "{end}: {notices:?}");
            assert!(matches!(notices[0], Notice::Cut { .. } | Notice::NotEnded), "{notices:?}");
        }
    }

    /// A damaged content costs its record, and of bytes it is known how many they were.
    #[test]
    fn a_damaged_content() {
        let (mut bytes, entries) = recording();
        let second = FILE_HEADER_BYTES + RECORD_HEADER_BYTES + 6;
        bytes[second + RECORD_HEADER_BYTES + 3] ^= 1;
        let (found, notices) = read(&bytes).unwrap();
        assert_eq!(notices, [Notice::Damaged { offset: second as u64 }]);
        assert_eq!(found.len(), entries.len());
        assert_eq!(found[1].what, What::Missing(Side::Requestor, 10));
        assert_eq!(found[2..], entries[2..]);
    }

    proptest! {
        /// Random changes are never a panic, a loop, or memory beyond the bound, and never pass for
        /// what was written.
        #[test]
        fn random_changes(changes in prop::collection::vec((0_usize..600, any::<u8>()), 1..8)) {
            let (mut bytes, entries) = recording();
            let before = bytes.clone();
            let length = bytes.len();
            for (at, byte) in changes {
                bytes[at % length] = byte;
            }
            if let Ok((found, notices)) = read(&bytes) {
                prop_assert!(bytes == before || found != entries || !notices.is_empty());
            }
        }
    }

    /// The bound is never passed, and that it is reached is in the file.
    #[test]
    fn the_bound_of_a_file() {
        let folder = std::env::temp_dir().join(format!("dcmfast-rec-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("bound");
        let what = What::Bytes(Side::Requestor, vec![1; 100]);
        let entry = Entry { connection: 1, at: Moment::default(), what };
        let one = (RECORD_HEADER_BYTES + 100) as u64;
        for room in [2 * one - 1, 2 * one] {
            let bound = FILE_HEADER_BYTES as u64 + room + END_BYTES;
            let writer = Writer::create(&path, true, About::default(), bound).unwrap();
            let fits = room / one;
            for _ in 0..fits {
                assert!(matches!(writer.append(&entry), Written::Yes));
            }
            assert!(matches!(writer.append(&entry), Written::Full));
            assert!(matches!(writer.append(&entry), Written::Ended));
            writer.finish(Moment::default()).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert!(bytes.len() as u64 <= bound);
            let (found, notices) = read(&bytes).unwrap();
            assert_eq!((found.len() as u64, notices), (fits, vec![Notice::Full]));
        }
        let again = Writer::create(&path, false, About::default(), 1 << 20);
        assert_eq!(again.err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
