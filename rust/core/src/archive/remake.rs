//! A server that finds an index with which it cannot go on, and goes on all the same.
//!
//! The index is disposable: the files are the truth. One that is damaged, that another kind of machine
//! wrote, or that is gone while its objects are there, is made anew from the files
//! ([`super::rebuild`]). One of an earlier format is brought up to date: its instances are listed again in
//! the order of their arrival, with what it alone knows (places of files, times of reception,
//! senders, transfer syntaxes of bare data sets, marks) and with the attributes that their files have
//! now. Both end before the area is open: what was acknowledged is found by the first query. An index of
//! a later format, or of somebody else's, is refused.
//!
//! Called by `server::areas`, and by [`super::register`].

use std::path::Path;
use std::sync::Arc;

use super::area::{AreaError, AreaOptions, LOGGER};
use super::exchange::{Arrivals, entry_of};
use super::files::{Bare, read_entry};
use super::indexed::OpenArea;
use super::layout;
use super::listing::ListingError;
use super::maintenance::{Hold, ToolError};
use super::parallel;
use super::rebuild::{RebuildOptions, path_of, rebuild};
use crate::index::schema::FORMAT_VERSION;
use crate::index::{Index, IndexError, IndexOp, InstanceEntry};
use crate::limits::{TOOL_BATCH_FILES, TOOL_COMMIT_ENTRIES};
use crate::log::Level;
use crate::storage::backend::survey::facts_of;
use crate::storage::backend::tree::{DiskTree, Tree};
use crate::uid::Uid;

/// What helps.
enum Remedy {
    /// The files say everything that can still be known.
    Rebuild,
    /// The index says more than the files.
    Upgrade,
}

/// Opens the area in the existing directory `directory` with its index, which is made anew or brought
/// up to date first where that is necessary.
///
/// # Errors
///
/// As [`OpenArea::open`]; an index that could be neither opened nor made.
pub fn open(directory: &Path, options: &AreaOptions) -> Result<OpenArea, AreaError> {
    let found = if is_gone(directory) {
        let path = directory.join(layout::INDEX);
        Err(AreaError::from(ListingError::from(IndexError::Missing(path))))
    } else {
        OpenArea::open(directory, options.clone())
    };
    let error = match found {
        Err(AreaError::Index(error)) => error,
        result => return result,
    };
    let Some(remedy) = error.0.downcast_ref().and_then(remedy) else { return Err(error.into()) };
    let line = |level, text: core::fmt::Arguments<'_>| options.logger.line(level, LOGGER, text);
    let name = directory.display();
    let outcome = match remedy {
        Remedy::Rebuild => {
            line(Level::Warn, format_args!("{error}: {name} gets a new one from its files"));
            let logger = Arc::clone(&options.logger);
            let options = RebuildOptions { keeps_old: true, ..RebuildOptions::new(logger) };
            let mut told = |left: super::rebuild::LeftOut| {
                let place = layout::display_name(&left.location);
                line(Level::Warn, format_args!("{place} is not listed: {}", left.why));
            };
            rebuild(directory, &options, &mut told, &mut |_| true).map(|done| done.instances)
        }
        Remedy::Upgrade => {
            line(
                Level::Warn,
                format_args!("{name}: the index is brought up to date from its files"),
            );
            upgrade(directory)
        }
    };
    match outcome {
        Ok(count) => line(Level::Warn, format_args!("{name}: {count} instances are listed")),
        Err(ToolError::InUse(path)) => return Err(AreaError::InUse(path)),
        Err(ToolError::Area(error)) => return Err(error),
        Err(ToolError::Io(failure)) => return Err(failure.into()),
        Err(error) => return Err(AreaError::Index(ListingError(Box::new(error)))),
    }
    OpenArea::open(directory, options.clone())
}

fn remedy(error: &IndexError) -> Option<Remedy> {
    match error {
        IndexError::Damaged { .. } | IndexError::Foreign(_) | IndexError::Missing(_) => {
            Some(Remedy::Rebuild)
        }
        IndexError::Format { found: Some(found), .. } if *found < FORMAT_VERSION => {
            Some(Remedy::Upgrade)
        }
        _ => None,
    }
}

/// True when the area has objects of its own and no index at all: LMDB would begin an empty one.
fn is_gone(directory: &Path) -> bool {
    let is_kept = [layout::INDEX, layout::OLD_INDEX].iter().any(|index| {
        let facts = facts_of(&directory.join(index).join(DATA_FILE));
        // What cannot be looked at is no reason to make a new one.
        facts.map_or_else(
            |error| error.kind() != std::io::ErrorKind::NotFound,
            |facts| facts.bytes > 0,
        )
    });
    let has_objects =
        || DiskTree::open(directory).and_then(|tree| layout::highest_own_number(&tree));
    !is_kept && has_objects().is_ok_and(|highest| highest > 0)
}

/// LMDB's name for it.
const DATA_FILE: &str = "data.mdb";

/// Brings the index of the area in `directory` up to date; how many instances it lists.
fn upgrade(directory: &Path) -> Result<u64, ToolError> {
    let hold = Hold::take(directory)?;
    let was_left_open = hold.tree().open(layout::OPEN, false).is_ok();
    let (old, version) = Index::open_older(&directory.join(layout::INDEX))?;
    let new = hold.new_index()?;
    let made = copy(directory, (&old, version), &new);
    drop((old, new));
    match made {
        Ok(count) => {
            hold.put_in_place()?;
            if was_left_open {
                // Index and files were not compared.
                hold.leave_open()?;
            }
            Ok(count)
        }
        Err(error) => {
            hold.discard_new_index();
            Err(error)
        }
    }
}

/// An instance of the old index, and whether it was looked at before (`dcmqridx -n`).
type Known = (InstanceEntry, bool);

fn copy(
    directory: &Path,
    (old, version): (&Arc<Index>, u32),
    new: &Arc<Index>,
) -> Result<u64, ToolError> {
    let mut ops: Vec<IndexOp> = Vec::with_capacity(2 * TOOL_COMMIT_ENTRIES);
    parallel::in_order(
        parallel::default_threads(),
        |hand_over| {
            if let Err(error) = produce(old, hand_over) {
                hand_over(Err(error));
            }
        },
        |batch: Result<Vec<Known>, IndexError>| {
            let mut buffer = Vec::new();
            let renew = |(mut entry, mark): Known| {
                entry.location = layout::relocated(version, entry.location);
                (renewed(directory, entry, &mut buffer), mark)
            };
            batch.map(|batch| batch.into_iter().map(renew).collect::<Vec<Known>>())
        },
        |batch| -> Result<(), ToolError> {
            for (entry, is_reviewed) in batch? {
                let mark = is_reviewed.then_some(IndexOp::Review(entry.sop_instance));
                ops.push(IndexOp::Put(Arc::new(entry)));
                ops.extend(mark);
            }
            if ops.len() >= TOOL_COMMIT_ENTRIES {
                new.commit(&ops)?;
                ops.clear();
            }
            Ok(())
        },
    )?;
    // The journal goes on where it was.
    ops.push(IndexOp::Applied(old.read()?.counters()?.applied));
    new.commit(&ops)?;
    Ok(new.read()?.counters()?.instances)
}

/// Hands over all instances in the order of their arrival.
fn produce(
    old: &Arc<Index>,
    hand_over: &mut dyn FnMut(Result<Vec<Known>, IndexError>) -> bool,
) -> Result<(), IndexError> {
    let mut arrivals = Arrivals::new(Arc::clone(old), 0);
    let mut batch: Vec<Known> = Vec::with_capacity(TOOL_BATCH_FILES);
    loop {
        let goes_on = arrivals.page::<IndexError>(&mut |reader, record| {
            if let Some(entry) = entry_of(reader, record)? {
                let is_reviewed = reader.is_reviewed(entry.sop_instance.as_bytes())?;
                batch.push((entry, is_reviewed));
            }
            Ok(())
        })?;
        let is_due = !batch.is_empty() && (!goes_on || batch.len() >= TOOL_BATCH_FILES);
        let is_wanted = !is_due || hand_over(Ok(core::mem::take(&mut batch)));
        if !(goes_on && is_wanted) {
            return Ok(());
        }
    }
}

/// The entry with the attributes that its file has; as it was where the file is not what was listed,
/// which is for `verify` to tell.
fn renewed(directory: &Path, mut entry: InstanceEntry, buffer: &mut Vec<u8>) -> InstanceEntry {
    let syntax = Uid::new(entry.transfer_syntax.as_bytes());
    let bare = match syntax {
        Some(syntax) if entry.data_set_offset == 0 => Bare::In(syntax),
        _ => Bare::Own,
    };
    let path = path_of(directory, &entry.location);
    if let Ok(found) = read_entry(&path, entry.location.clone(), bare, buffer) {
        if found.sop_instance == entry.sop_instance && found.digest == entry.digest {
            entry.attributes = found.attributes;
        }
    }
    entry
}
