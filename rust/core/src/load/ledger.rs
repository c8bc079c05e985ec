//! The ledger: what became of every store.
//!
//! One cell a store, written by the thread that does it and read by all, so that nothing is kept
//! twice and nobody waits. A store is entered before its first byte leaves: one that was never
//! answered is told from one that was never sent. As a file it has a line for each store, SOP Instance
//! UID and what became of it with a tabulator between them, which is written while the run goes on
//! ([`lines`]) and read by a later audit ([`read`]).

use std::fmt;
use std::io::{self, BufRead};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Shared;
use crate::dimse::status::{Status, StatusClass};
use crate::limits::LOAD_LEDGER_LINE_BYTES_MAX;
use crate::uid::UidText;

/// What became of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Its turn did not come.
    NotSent,
    /// Answered.
    Answered(Status),
    /// Being sent, or its answer is awaited.
    InHand,
    /// Sent, at least in part, and not answered: the object may be there or not.
    Unanswered,
    /// Not one byte was sent: no association, no presentation context, or a file that went away.
    Unsent,
}

impl Entry {
    /// True when the peer said that the object is stored, with or without a remark.
    pub fn is_acknowledged(self) -> bool {
        matches!(self, Self::Answered(status)
            if matches!(status.class(), StatusClass::Success | StatusClass::Warning))
    }

    const fn cell(self) -> u32 {
        match self {
            Self::NotSent => 0,
            Self::Answered(status) => 1 << 16 | status.0 as u32,
            Self::Unanswered => 2 << 16,
            Self::Unsent => 3 << 16,
            Self::InHand => 4 << 16,
        }
    }

    const fn of(cell: u32) -> Self {
        match cell >> 16 {
            1 => Self::Answered(Status(cell as u16)),
            2 => Self::Unanswered,
            3 => Self::Unsent,
            4 => Self::InHand,
            _ => Self::NotSent,
        }
    }
}

/// All stores of a run.
#[derive(Debug)]
pub struct Ledger {
    cells: Box<[AtomicU32]>,
}

/// The ledger summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Stores that were begun or could not be.
    pub stores: u64,
    /// Success.
    pub stored: u64,
    /// Stored, with a warning.
    pub warned: u64,
    /// A failure status.
    pub refused: u64,
    /// [`Entry::Unanswered`].
    pub unanswered: u64,
    /// [`Entry::Unsent`].
    pub unsent: u64,
}

impl Ledger {
    /// An empty ledger for `stores` stores.
    pub fn new(stores: u32) -> Self {
        Self { cells: (0..stores).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Enters what became of the `number`-th store.
    pub fn enter(&self, number: u32, entry: Entry) {
        if let Some(cell) = self.cells.get(number as usize) {
            cell.store(entry.cell(), Ordering::Release);
        }
    }

    /// What became of the `number`-th store.
    pub fn entry(&self, number: u32) -> Entry {
        let cell = self.cells.get(number as usize);
        cell.map_or(Entry::NotSent, |cell| Entry::of(cell.load(Ordering::Acquire)))
    }

    /// Every store that was begun, in order.
    pub fn begun(&self) -> impl Iterator<Item = (u32, Entry)> + '_ {
        let entries = (0..).zip(&self.cells);
        entries
            .map(|(number, cell)| (number, Entry::of(cell.load(Ordering::Acquire))))
            .filter(|(_, entry)| *entry != Entry::NotSent)
    }

    /// Summed up.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (_, entry) in self.begun() {
            totals.stores += 1;
            let count = match entry {
                Entry::Answered(status) => match status.class() {
                    StatusClass::Success => &mut totals.stored,
                    StatusClass::Warning => &mut totals.warned,
                    _ => &mut totals.refused,
                },
                Entry::Unsent => &mut totals.unsent,
                Entry::NotSent | Entry::InHand | Entry::Unanswered => &mut totals.unanswered,
            };
            *count += 1;
        }
        totals
    }
}

const NO_ANSWER: &str = "no-answer";
const NOT_SENT: &str = "not-sent";

/// Lines of at most `count` stores from the `first` on, and the store that comes next. While the run
/// goes on it ends at the first store of which something is still to come.
pub fn lines(shared: &Shared, first: u32, count: u32, is_over: bool) -> (String, u32) {
    let (plan, mut text) = (&shared.plan, String::new());
    let end = first.saturating_add(count).min(plan.count);
    for store in first..end {
        let word = match shared.ledger.entry(store) {
            Entry::NotSent | Entry::InHand if !is_over => return (text, store),
            Entry::NotSent => continue,
            Entry::Answered(Status(status)) => format!("{status:04X}"),
            Entry::InHand | Entry::Unanswered => NO_ANSWER.into(),
            Entry::Unsent => NOT_SENT.into(),
        };
        let object = plan.source.object_of(plan.known.saturating_add(store));
        let uid = plan.source.names(object).instance;
        text.push_str(&String::from_utf8_lossy(uid.as_bytes()));
        text.extend(["\t", word.as_str(), "\n"]);
    }
    (text, end)
}

/// What there is to say of a ledger that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Lines.
    pub stores: u64,
    /// Lines whose object is none of this source's.
    pub strange: u64,
    /// It ends in the middle of a line: whoever wrote it was killed.
    pub is_cut: bool,
}

/// A ledger that is none.
#[derive(Debug)]
pub enum LedgerError {
    /// It cannot be read.
    Io(io::Error),
    /// What stands in this line, counted behind the first one, is no entry.
    Line(u64),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::Line(number) => write!(formatter, "line {} is no entry of a ledger", number + 1),
        }
    }
}

fn entry_of(line: &[u8]) -> Option<(UidText, Entry)> {
    let line = std::str::from_utf8(line).ok()?;
    let (uid, word) = line.split_once('\t')?;
    let entry = match word {
        NO_ANSWER => Entry::Unanswered,
        NOT_SENT => Entry::Unsent,
        status if status.len() == 4 => {
            Entry::Answered(Status(u16::from_str_radix(status, 16).ok()?))
        }
        _ => return None,
    };
    UidText::new(uid.as_bytes()).filter(|uid| !uid.is_empty()).map(|uid| (uid, entry))
}

/// Enters what stands in the lines of `input` into the ledger of a run that does nothing but audit. Of
/// an object that was stored several times an acknowledgement counts more than the rest.
///
/// # Errors
///
/// See [`LedgerError`].
pub fn read(mut input: impl BufRead, shared: &Shared) -> Result<Found, LedgerError> {
    let mut found = Found::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut portion = io::Read::take(&mut input, LOAD_LEDGER_LINE_BYTES_MAX as u64);
        portion.read_until(b'\n', &mut line).map_err(LedgerError::Io)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            if line.len() >= LOAD_LEDGER_LINE_BYTES_MAX {
                return Err(LedgerError::Line(found.stores + 1));
            }
            found.is_cut = !line.is_empty();
            return Ok(found);
        };
        found.stores += 1;
        let (uid, entry) = entry_of(text).ok_or(LedgerError::Line(found.stores))?;
        let object = shared.plan.source.object_named(&uid);
        // A run that only audits has a store for each object, in their order.
        let store = object.and_then(|object| object.checked_sub(shared.plan.known));
        match store.filter(|store| *store < shared.plan.count) {
            Some(store) if shared.ledger.entry(store).is_acknowledged() => {}
            Some(store) => shared.ledger.enter(store, entry),
            None => found.strange += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::shared_of;
    use super::*;

    /// Every entry comes back as it was, and the sums add up; beyond the end nothing happens.
    #[test]
    fn entries_and_totals() {
        let ledger = Ledger::new(7);
        let entries = [
            Entry::Answered(Status(0)),
            Entry::Answered(Status(0xB007)),
            Entry::Answered(Status(0xA700)),
            Entry::Unanswered,
            Entry::Unsent,
            Entry::InHand,
        ];
        for (number, entry) in (0..).zip(entries) {
            ledger.enter(number, entry);
            assert_eq!(ledger.entry(number), entry);
        }
        ledger.enter(7, Entry::Unsent);
        assert_eq!((ledger.entry(6), ledger.entry(7)), (Entry::NotSent, Entry::NotSent));
        let totals = ledger.totals();
        let expected =
            Totals { stores: 6, stored: 1, warned: 1, refused: 1, unanswered: 2, unsent: 1 };
        assert_eq!(totals, expected);
        let acknowledged = ledger.begun().filter(|(_, entry)| entry.is_acknowledged()).count();
        assert_eq!(acknowledged, 2);
        // A pending status answers no C-STORE.
        assert!(!Entry::Answered(Status(0xFF00)).is_acknowledged());
    }

    /// What is written is read again as it was; a line in hand waits, and ends what is written.
    #[test]
    fn written_and_read() {
        let shared = shared_of(6);
        let entries = [Entry::Answered(Status(0xB007)), Entry::Unanswered, Entry::Unsent];
        for (number, entry) in (0..).zip(entries) {
            shared.ledger.enter(number, entry);
        }
        shared.ledger.enter(3, Entry::InHand);
        shared.ledger.enter(4, Entry::Answered(Status(0)));
        let (text, next) = lines(&shared, 0, 100, false);
        assert_eq!((text.lines().count(), next), (3, 3));
        let (rest, next) = lines(&shared, next, 100, true);
        assert_eq!((rest.lines().count(), next), (2, 6));
        let again = shared_of(6);
        let found = read(format!("{text}{rest}").as_bytes(), &again).unwrap();
        assert_eq!(found, Found { stores: 5, ..Found::default() });
        for number in 0..6 {
            let entry = shared.ledger.entry(number);
            let entry = if entry == Entry::InHand { Entry::Unanswered } else { entry };
            assert_eq!(again.ledger.entry(number), entry);
        }
        // Who wrote it was killed.
        let cut = shared_of(6);
        let found = read(&text.as_bytes()[..text.len() - 1], &cut).unwrap();
        assert_eq!(found, Found { stores: 2, is_cut: true, ..Found::default() });
        // A second store of an object does not undo what was acknowledged.
        let uid = text.split('\t').next().unwrap();
        let twice = shared_of(6);
        read(format!("{uid}\t0000\n{uid}\tno-answer\n").as_bytes(), &twice).unwrap();
        assert!(twice.ledger.entry(0).is_acknowledged());
        // limits::LOAD_LEDGER_LINE_BYTES_MAX, and lines that are none.
        let longest = format!("{uid}\t{}", "0".repeat(LOAD_LEDGER_LINE_BYTES_MAX));
        for bad in ["x", "1.2\t", "\t0000", "1.2\t00000", "1.2\tXXXX", "1.2 0000", &longest] {
            let told = read(format!("1.2\t0000\n{bad}\n").as_bytes(), &shared_of(6));
            assert!(matches!(told, Err(LedgerError::Line(2))), "{bad}");
        }
        let strange = read(&b"1.2\t0000\n"[..], &shared_of(6)).unwrap();
        assert_eq!((strange.stores, strange.strange), (1, 1));
    }
}
