//! What an earlier run left in the segments: every whole record, in order.

use std::io;
use std::sync::Arc;

use super::frame::{self, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, Walk};
use super::{Segment, UNFINISHED, segment_name, segment_path};
use crate::limits::{JOURNAL_SEGMENT_BYTES, JOURNAL_SEGMENTS_MAX, JOURNAL_SMALL_SEGMENT_BYTES};
use crate::storage::backend::tree::{Access, Tree};
use crate::storage::durability::{IoFailure, Operation};

/// What was found in the segments of an earlier run.
pub struct Recovered {
    pub(super) tree: Arc<dyn Tree>,
    pub(super) directory: &'static str,
    pub(super) segments: Vec<(Segment, Option<u64>)>,
    /// Those that hold records, in their order.
    found: Vec<(Segment, SegmentHeader)>,
    pub(super) next_sequence: u64,
    pub(super) link: u64,
    /// Numbers of records that were torn, and the first of those missing between two segments.
    pub damaged: Vec<u64>,
}

impl Recovered {
    /// The number after the last record that was found.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Numbers below `sequence` are not given any more.
    pub fn advance_to(&mut self, sequence: u64) {
        self.next_sequence = self.next_sequence.max(sequence);
    }

    /// What was found, to be gone through once more.
    pub fn records(&self) -> Records {
        let (tree, directory) = (Arc::clone(&self.tree), self.directory);
        Records { tree, directory, found: self.found.clone() }
    }
}

/// The records that were found in the segments of an earlier run.
pub struct Records {
    tree: Arc<dyn Tree>,
    directory: &'static str,
    found: Vec<(Segment, SegmentHeader)>,
}

impl Records {
    /// Shows every whole record to `visit`, in order, until that says false. One segment is in memory
    /// at a time.
    pub fn visit(&self, visit: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), IoFailure> {
        let mut goes_on = true;
        self.walk(&mut |found| {
            if let (true, Step::Record(sequence, Some(payload))) = (goes_on, found) {
                goes_on = visit(sequence, payload);
            }
            goes_on
        })
    }

    fn walk(&self, visit: &mut dyn FnMut(Step<'_>) -> bool) -> Result<(), IoFailure> {
        let found = &self.found;
        let largest = found.iter().map(|(segment, _)| segment.bytes).max().unwrap_or_default();
        let mut bytes = vec![0; largest as usize];
        for (at, (segment, header)) in found.iter().enumerate() {
            let end = found.get(at + 1).map_or(u64::MAX, |(_, next)| next.first_sequence);
            if !visit(Step::Segment(header.first_sequence)) {
                return Ok(());
            }
            let length = segment.file.read_at(&mut bytes, 0).map_err(|source| IoFailure {
                operation: Operation::Open,
                path: self.tree.path_of(&segment_path(self.directory, segment.slot)),
                source,
            })?;
            let mut next = header.first_sequence;
            let mut link = None;
            if let Some(mut walk) = Walk::new(&bytes[..length]) {
                for found in walk.by_ref().take_while(|found| found.sequence < end) {
                    next = found.sequence + 1;
                    if !visit(Step::Record(found.sequence, found.payload)) {
                        return Ok(());
                    }
                }
                link = Some(walk.link());
            }
            if !visit(Step::End(next, link)) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What a walk through the segments meets.
enum Step<'s> {
    /// A segment that begins with this number.
    Segment(u64),
    /// A record; without its payload when that is torn.
    Record(u64, Option<&'s [u8]>),
    /// The end of a segment: the number after its last record, and the link to the next.
    End(u64, Option<u64>),
}

/// Reads the journal in `directory`, made when it is not there, and shows every whole record to
/// `visit`, in order.
pub fn recover(
    tree: &Arc<dyn Tree>,
    directory: &'static str,
    visit: &mut dyn FnMut(u64, &[u8]),
) -> Result<Recovered, IoFailure> {
    let failure =
        |operation, name: &str, source| IoFailure { operation, path: tree.path_of(name), source };
    tree.make_directory(directory, Access::Owner)
        .map_err(|source| failure(Operation::MakeDirectory, directory, source))?;
    let names =
        tree.names(directory).map_err(|source| failure(Operation::Open, directory, source))?;
    let mut found = Vec::new();
    let mut unused = Vec::new();
    let mut last_number = 0;
    for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
        // Its making was interrupted.
        let path = format!("{directory}/{name}");
        tree.remove(&path).map_err(|source| failure(Operation::Publish, &path, source))?;
    }
    for slot in 0..JOURNAL_SEGMENTS_MAX {
        let name = segment_name(slot);
        if !names.contains(&name) {
            continue;
        }
        let path = format!("{directory}/{name}");
        let read = || -> io::Result<_> {
            let file = tree.open(&path, true)?;
            let bytes = file.bytes()?.min(JOURNAL_SEGMENT_BYTES as u64);
            let mut head = [0; SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES];
            file.read_at(&mut head, 0)?;
            Ok((Segment { slot, file: Arc::from(file), bytes }, frame::first_header(&head)))
        };
        let (segment, header) = read().map_err(|source| failure(Operation::Open, &path, source))?;
        match header {
            Some((header, true)) => found.push((segment, header)),
            header => {
                if let Some((header, _)) = header {
                    last_number = last_number.max(header.first_sequence.saturating_sub(1));
                }
                if segment.bytes >= JOURNAL_SMALL_SEGMENT_BYTES as u64 {
                    unused.push(segment);
                } else {
                    // Cut short by a power cut without durability: no record might fit.
                    tree.remove(&path)
                        .map_err(|source| failure(Operation::Publish, &path, source))?;
                }
            }
        }
    }
    found.sort_by_key(|(_, header)| header.first_sequence);
    let mut recovered = Recovered {
        tree: Arc::clone(tree),
        directory,
        segments: unused.into_iter().map(|segment| (segment, None)).collect(),
        found,
        next_sequence: last_number + 1,
        link: 0,
        damaged: Vec::new(),
    };
    let mut expected: Option<u64> = None;
    let mut last = Vec::new();
    let records = recovered.records();
    records.walk(&mut |step| {
        match step {
            Step::Segment(first) => {
                recovered.damaged.extend(expected.filter(|expected| *expected < first));
            }
            Step::Record(sequence, Some(payload)) => visit(sequence, payload),
            Step::Record(sequence, None) => recovered.damaged.push(sequence),
            Step::End(next, link) => {
                recovered.link = link.unwrap_or(recovered.link);
                recovered.next_sequence = recovered.next_sequence.max(next);
                expected = Some(next);
                last.push(next - 1);
            }
        }
        true
    })?;
    let used = recovered.found.iter().zip(last);
    recovered.segments.extend(used.map(|((segment, _), last)| (segment.clone(), Some(last))));
    Ok(recovered)
}
