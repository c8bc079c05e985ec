//! An index as a stream that means the same on every machine: export and import.
//!
//! ```text
//! offset  bytes  field (numbers are big endian)
//! 0       16     `dcmfast index` and three NULs
//! 16      4      version of this layout, 2; 1 is read, too: its own files lie where an index of
//!                format 2 had them
//!         4      bytes of an entry, its highest bit set where the instance was looked at before
//!                (not in 1), then the entry (`index::entry`); repeated
//!         4      0
//!         8      entries
//!         8      XXH3-64 of all bytes before this field
//! ```
//!
//! Entries come in the order of their arrival, so that an imported index answers as the exported one
//! did. One SOP Instance UID comes twice when it was replaced while the export ran; the later one
//! counts. A reader of the index sees one page at a time: an export may run beside a server.
//!
//! Called by the Python layer.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::layout;
use super::maintenance::{
    Hold, Step, StreamError, ToolError, Watch, index_error, io_error, open_current, tell,
};
use crate::index::schema::FORMAT_VERSION;
use crate::index::{
    FileLocation, Index, IndexError, IndexOp, InstanceEntry, InstanceKey, InstanceRecord, Reader,
};
use crate::limits::{
    ARRIVAL_WINDOW_INSTANCES, JOURNAL_RECORD_BYTES_MAX, OWN_NUMBER_MAX, TOOL_COMMIT_ENTRIES,
    TOOL_PAGE_INSTANCES,
};
use crate::log::Logger;
use crate::storage::backend::survey::{NewFile, open_regular};
use crate::storage::durability::Operation;
use crate::uid::UidText;

const MAGIC: &[u8; 16] = b"dcmfast index\0\0\0";
const VERSION: u32 = 2;
/// In the length of an entry: the instance was looked at before (`dcmqridx -n`).
const REVIEWED: u32 = 1 << 31;
/// The format of the indexes that were exported in version 1.
const FORMAT_OF_FIRST: u32 = 2;

/// The instances of an index in the order of their arrival, in portions of bounded size.
///
/// Instances that arrive meanwhile come at the end, those that go are passed over.
pub struct Arrivals {
    index: Arc<Index>,
    /// Numbers and series of one window, ascending.
    window: Vec<(u64, u64)>,
    at: usize,
    /// Numbers up to here were in a window.
    seen: u64,
}

impl Arrivals {
    /// All instances that came after number `after`.
    pub const fn new(index: Arc<Index>, after: u64) -> Self {
        Self { index, window: Vec::new(), at: 0, seen: after }
    }

    /// Shows the next instances to `visit`, with a reader that sees them; false when there are none.
    pub fn page<E: From<IndexError>>(
        &mut self,
        visit: &mut dyn FnMut(&Reader<'_>, &InstanceRecord<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.at == self.window.len() && !self.fill()? {
            return Ok(false);
        }
        let reader = self.index.read()?;
        let page = self.window.iter().skip(self.at).take(TOOL_PAGE_INSTANCES);
        let mut count = 0;
        for &(number, series) in page {
            count += 1;
            if let Some(record) = reader.instance(InstanceKey { series, number })? {
                visit(&reader, &record)?;
            }
        }
        self.at += count;
        Ok(true)
    }

    /// Collects the keys of the next window that has any.
    fn fill(&mut self) -> Result<bool, IndexError> {
        self.window.clear();
        self.at = 0;
        loop {
            let last = self.index.read()?.counters()?.last_instance;
            if self.seen >= last {
                return Ok(false);
            }
            let end = self.seen.saturating_add(ARRIVAL_WINDOW_INSTANCES).min(last);
            let mut after = InstanceKey::default();
            loop {
                // A new transaction for each page: none is long.
                let reader = self.index.read()?;
                let mut count = 0;
                for record in reader.all_instances(after)?.take(TOOL_PAGE_INSTANCES) {
                    let key = record?.key();
                    count += 1;
                    after = key;
                    if self.seen < key.number && key.number <= end {
                        self.window.push((key.number, key.series));
                    }
                }
                if count < TOOL_PAGE_INSTANCES {
                    break;
                }
            }
            self.seen = end;
            if !self.window.is_empty() {
                self.window.sort_unstable();
                return Ok(true);
            }
        }
    }
}

/// The entry that an instance was listed with.
pub fn entry_of(
    reader: &Reader<'_>,
    record: &InstanceRecord<'_>,
) -> Result<Option<InstanceEntry>, IndexError> {
    let uids = UidText::new(record.sop_class()).zip(UidText::new(record.sop_instance()));
    let Some((sop_class, sop_instance)) = uids else { return Ok(None) };
    Ok(Some(InstanceEntry {
        attributes: reader.attributes_of(record)?,
        sop_class,
        sop_instance,
        transfer_syntax: record.transfer_syntax(),
        location: record.location(),
        file_bytes: record.file_bytes(),
        data_set_offset: record.data_set_offset(),
        digest: record.digest(),
        received_at_us: record.received_at_us(),
        source_ae: record.source_ae(),
    }))
}

struct Output {
    file: BufWriter<NewFile>,
    digest: Xxh3,
}

impl Output {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }

    fn finish(mut self, entries: u64) -> io::Result<()> {
        self.put(&0_u32.to_be_bytes())?;
        self.put(&entries.to_be_bytes())?;
        let digest = self.digest.digest();
        self.file.write_all(&digest.to_be_bytes())?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
    }
}

/// Writes the index of the area in `directory` to the file `target`, which gets its name when it is
/// whole. Returns how many entries it has.
pub fn export(directory: &Path, target: &Path, watch: Watch<'_>) -> Result<u64, ToolError> {
    let (index, _) =
        open_current(directory, &mut || watch(Step { phase: "export", done: 0, total: None }))?;
    let total = index.read()?.counters()?.instances;
    let failed = |error| io_error(Operation::Write, target)(error);
    let file = NewFile::create(target).map_err(io_error(Operation::Create, target))?;
    let mut output = Output { file: BufWriter::with_capacity(1 << 20, file), digest: Xxh3::new() };
    output.put(MAGIC).map_err(failed)?;
    output.put(&VERSION.to_be_bytes()).map_err(failed)?;
    let mut arrivals = Arrivals::new(Arc::clone(&index), 0);
    let mut entries = 0_u64;
    let mut row = Vec::new();
    let mut write = |reader: &Reader<'_>, record: &InstanceRecord<'_>| -> Result<(), ToolError> {
        let entry = entry_of(reader, record).map_err(|error| index_error(directory, error))?;
        let Some(entry) = entry else { return Ok(()) };
        row.clear();
        row.extend_from_slice(&[0; 4]);
        entry.encode(&mut row);
        let is_reviewed = reader.is_reviewed(record.sop_instance());
        let is_reviewed = is_reviewed.map_err(|error| index_error(directory, error))?;
        let length = (row.len() - 4) as u32 | if is_reviewed { REVIEWED } else { 0 };
        row[..4].copy_from_slice(&length.to_be_bytes());
        entries += 1;
        output.put(&row).map_err(failed)
    };
    let mut done = 0;
    while arrivals.page::<ToolError>(&mut |reader, record| {
        done += 1;
        write(reader, record)
    })? {
        tell(watch, Step { phase: "export", done, total: Some(total.max(done)) })?;
    }
    output.finish(entries).map_err(failed)?;
    Ok(entries)
}

struct Input<R> {
    stream: R,
    digest: Xxh3,
    bytes: u64,
}

impl<R: Read> Input<R> {
    /// Fills `buffer`, or says that the stream is cut.
    fn take(&mut self, buffer: &mut [u8], path: &Path) -> Result<(), ToolError> {
        self.stream.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StreamError::Truncated.into(),
            _ => io_error(Operation::Open, path)(error),
        })?;
        self.bytes += buffer.len() as u64;
        Ok(())
    }

    fn take_hashed(&mut self, buffer: &mut [u8], path: &Path) -> Result<(), ToolError> {
        self.take(buffer, path)?;
        self.digest.update(buffer);
        Ok(())
    }
}

/// Makes the index of the area in `directory` from the exported one in the file `source`, in the
/// place of the one that is there. Returns how many instances it has. No file of the area is looked
/// at: `verify` compares, or the next start.
pub fn import(
    directory: &Path,
    source: &Path,
    logger: &Arc<Logger>,
    watch: Watch<'_>,
) -> Result<u64, ToolError> {
    let (file, facts) = open_regular(source).map_err(io_error(Operation::Open, source))?;
    let hold = Hold::take(directory)?;
    let highest = hold.replay(logger)?;
    let index = hold.new_index()?;
    let stream = BufReader::with_capacity(1 << 20, file);
    let input = Input { stream, digest: Xxh3::new(), bytes: 0 };
    let made = fill(&index, highest, input, source, facts.bytes, watch);
    drop(index);
    match made {
        Ok(instances) => {
            hold.put_in_place()?;
            // No file was looked at: the next start compares, as after a crash.
            hold.leave_open()?;
            Ok(instances)
        }
        Err(error) => {
            hold.discard_new_index();
            Err(error)
        }
    }
}

fn fill<R: Read>(
    index: &Index,
    mut highest: u64,
    mut input: Input<R>,
    source: &Path,
    total: u64,
    watch: Watch<'_>,
) -> Result<u64, ToolError> {
    let mut magic = [0; 16];
    input.take_hashed(&mut magic, source).map_err(|error| match error {
        ToolError::Stream(_) => StreamError::Foreign.into(),
        error => error,
    })?;
    if magic != *MAGIC {
        return Err(StreamError::Foreign.into());
    }
    let mut number = [0; 4];
    input.take_hashed(&mut number, source)?;
    let version = u32::from_be_bytes(number);
    let format = match version {
        1 => FORMAT_OF_FIRST,
        VERSION => FORMAT_VERSION,
        _ => return Err(StreamError::Version(version).into()),
    };
    let mut row = Vec::new();
    let mut ops = Vec::with_capacity(TOOL_COMMIT_ENTRIES);
    let mut entries = 0_u64;
    loop {
        input.take_hashed(&mut number, source)?;
        let mut length = u32::from_be_bytes(number);
        if length == 0 {
            break;
        }
        let is_reviewed = version > 1 && length & REVIEWED != 0;
        if is_reviewed {
            length &= !REVIEWED;
        }
        if length as usize > JOURNAL_RECORD_BYTES_MAX {
            return Err(StreamError::TooLong(length).into());
        }
        row.resize(length as usize, 0);
        input.take_hashed(&mut row, source)?;
        let mut entry = InstanceEntry::decode(&row).map_err(StreamError::Entry)?;
        if entry.sop_instance.is_empty() || !is_possible(&entry.location) {
            return Err(StreamError::Place.into());
        }
        if let FileLocation::Own(number) = entry.location {
            highest = highest.max(number);
        }
        entry.location = layout::relocated(format, entry.location);
        entries += 1;
        let sop_instance = entry.sop_instance;
        ops.push(IndexOp::Put(Arc::new(entry)));
        ops.extend(is_reviewed.then_some(IndexOp::Review(sop_instance)));
        if ops.len() >= TOOL_COMMIT_ENTRIES {
            index.commit(&ops)?;
            ops.clear();
            tell(watch, Step { phase: "import", done: input.bytes, total: Some(total) })?;
        }
    }
    let mut wide = [0; 8];
    input.take_hashed(&mut wide, source)?;
    let counted = u64::from_be_bytes(wide);
    let digest = input.digest.digest();
    input.take(&mut wide, source)?;
    if counted != entries || u64::from_be_bytes(wide) != digest {
        return Err(StreamError::Checksum.into());
    }
    ops.push(IndexOp::Applied(highest));
    index.commit(&ops)?;
    tell(watch, Step { phase: "import", done: input.bytes, total: Some(total) })?;
    Ok(index.read()?.counters()?.instances)
}

/// True for a place that a file of an area can have: an entry of unknown origin must not lead
/// anywhere else.
fn is_possible(location: &FileLocation) -> bool {
    match location {
        FileLocation::Absolute(path) => path.starts_with('/') && !path.contains('\0'),
        FileLocation::Own(number) => *number <= OWN_NUMBER_MAX,
        FileLocation::Relative(path) => {
            !path.contains('\0') && layout::below_area(location).is_some()
        }
    }
}
