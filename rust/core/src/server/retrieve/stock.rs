//! A storage area as the stock of a retrieve: its index for look-ups, its files for sending.
//!
//! Each look-up is one short read transaction; none is open while a file is read or a socket waited
//! for. Called by `server::association`.

use std::io;

use super::Stock;
use super::keys::Matched;
use super::object::{Held, StoredFile};
use crate::archive::indexed::OpenArea;
use crate::index::{IndexError, InstanceRecord, Reader};
use crate::uid::UidText;

impl Stock for OpenArea {
    fn look_up(&self, wanted: &[Matched], found: &mut Vec<Option<Held>>) -> Result<(), String> {
        let reader = self.index.read().map_err(|error| error.to_string())?;
        for matched in wanted {
            let record = look_up(&reader, matched).map_err(|error| error.to_string())?;
            found.push(record.and_then(|record| held(&record)));
        }
        Ok(())
    }

    fn open(&self, held: &Held) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(self.area.open_instance(&held.location)?))
    }
}

/// The instance that matched, or the one that has taken its place: of the same UID in the same series,
/// it is what was asked for.
fn look_up<'r>(
    reader: &'r Reader<'r>,
    matched: &Matched,
) -> Result<Option<InstanceRecord<'r>>, IndexError> {
    let found = reader.instance(matched.key)?;
    let (None, Some(uid)) = (&found, &matched.sop_instance) else { return Ok(found) };
    let newer = reader.instance_of(uid.as_bytes())?;
    Ok(newer.filter(|record| record.key().series == matched.key.series))
}

/// What a record says of its object; `None` for one whose UIDs are none, which no store lists.
fn held(record: &InstanceRecord<'_>) -> Option<Held> {
    Some(Held {
        sop_class: UidText::new(record.sop_class())?,
        sop_instance: UidText::new(record.sop_instance())?,
        transfer_syntax: record.transfer_syntax(),
        location: record.location(),
        file_bytes: record.file_bytes(),
        data_set_offset: record.data_set_offset(),
        digest: record.digest(),
    })
}
