//! The ledger: what became of every store.
//!
//! One cell a store, written by the thread that does it and read by all, so that nothing is kept
//! twice and nobody waits. A store is entered before its first byte leaves: one that was never
//! answered is told from one that was never sent.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::dimse::status::{Status, StatusClass};

/// What became of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Its turn did not come.
    NotSent,
    /// Answered.
    Answered(Status),
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
        }
    }

    const fn of(cell: u32) -> Self {
        match cell >> 16 {
            1 => Self::Answered(Status(cell as u16)),
            2 => Self::Unanswered,
            3 => Self::Unsent,
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
                Entry::NotSent | Entry::Unanswered => &mut totals.unanswered,
            };
            *count += 1;
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every entry comes back as it was, and the sums add up; beyond the end nothing happens.
    #[test]
    fn entries_and_totals() {
        let ledger = Ledger::new(6);
        let entries = [
            Entry::Answered(Status(0)),
            Entry::Answered(Status(0xB007)),
            Entry::Answered(Status(0xA700)),
            Entry::Unanswered,
            Entry::Unsent,
        ];
        for (number, entry) in (0..).zip(entries) {
            ledger.enter(number, entry);
            assert_eq!(ledger.entry(number), entry);
        }
        ledger.enter(6, Entry::Unsent);
        assert_eq!((ledger.entry(5), ledger.entry(6)), (Entry::NotSent, Entry::NotSent));
        let totals = ledger.totals();
        let expected =
            Totals { stores: 5, stored: 1, warned: 1, refused: 1, unanswered: 1, unsent: 1 };
        assert_eq!(totals, expected);
        let acknowledged = ledger.begun().filter(|(_, entry)| entry.is_acknowledged()).count();
        assert_eq!(acknowledged, 2);
        // A pending status answers no C-STORE.
        assert!(!Entry::Answered(Status(0xFF00)).is_acknowledged());
    }
}
