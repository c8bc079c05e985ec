//! Does a data set hold the object that its C-STORE request names?
//!
//! Source: PS3.4 §B.2.3 (A900H: data set does not match SOP Class); DCMTK compares both UIDs. Called by
//! `writer` and by the archive's receiver.

use super::{StoreError, UidMismatch};
use crate::dataset::scan::Scanner;
use crate::tag::{SOP_CLASS_UID, SOP_INSTANCE_UID, Tag};
use crate::uid::UidText;
use crate::vr::trimmed;

/// Compares SOP class and instance of the command with those of the data set; true once both were
/// there and are the same, false while they may still come. `is_complete` when nothing more can.
///
/// # Errors
///
/// One is missing, or another.
pub(crate) fn agree(
    scanner: &Scanner,
    (sop_class, sop_instance): (UidText, UidText),
    is_complete: bool,
) -> Result<bool, StoreError> {
    let class = scanner.value(SOP_CLASS_UID);
    let instance = scanner.value(SOP_INSTANCE_UID);
    let (class, instance) = match (class, instance) {
        (Some(class), Some(instance)) => (class, instance),
        (None, _) if is_complete => return Err(StoreError::MissingUid(SOP_CLASS_UID)),
        (_, None) if is_complete => return Err(StoreError::MissingUid(SOP_INSTANCE_UID)),
        _ => return Ok(false),
    };
    // Both have to be there before either is compared.
    let class = significant(class, SOP_CLASS_UID)?;
    let instance = significant(instance, SOP_INSTANCE_UID)?;
    if let Some(uids) = mismatch(sop_class, class) {
        return Err(StoreError::SopClassMismatch(uids));
    }
    if let Some(uids) = mismatch(sop_instance, instance) {
        return Err(StoreError::SopInstanceMismatch(uids));
    }
    Ok(true)
}

/// The UID in `value`, `None` inside when it is too long; an empty one is an error.
fn significant(value: &[u8], tag: Tag) -> Result<Option<UidText>, StoreError> {
    let value = trimmed(value);
    if value.is_empty() { Err(StoreError::MissingUid(tag)) } else { Ok(UidText::new(value)) }
}

fn mismatch(command: UidText, data_set: Option<UidText>) -> Option<Box<UidMismatch>> {
    let wanted = trimmed(command.as_bytes());
    let is_same = data_set.as_ref().is_some_and(|uid| uid.as_bytes() == wanted);
    (!is_same).then(|| Box::new(UidMismatch { command, data_set }))
}
