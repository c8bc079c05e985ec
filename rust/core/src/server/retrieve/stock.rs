//! A storage area as the stock of a retrieve: its index for look-ups, its files for sending.
//!
//! Each look-up is one short read transaction; none is open while a file is read or a socket waited
//! for. Called by `server::association`.

use std::io;

use super::Stock;
use super::object::{Held, StoredFile};
use crate::archive::indexed::OpenArea;
use crate::index::{InstanceKey, InstanceRecord};
use crate::uid::UidText;

impl Stock for OpenArea {
    fn look_up(&self, keys: &[InstanceKey], found: &mut Vec<Option<Held>>) -> Result<(), String> {
        let reader = self.index.read().map_err(|error| error.to_string())?;
        for key in keys {
            let record = reader.instance(*key).map_err(|error| error.to_string())?;
            found.push(record.and_then(|record| held(&record)));
        }
        Ok(())
    }

    fn open(&self, held: &Held) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(self.area.open_instance(&held.location)?))
    }
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
