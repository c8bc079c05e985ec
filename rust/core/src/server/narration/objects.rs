//! What is said of an object: its request, what is odd or broken about it, where it goes, and the dots
//! that show it come and go.

use std::fmt;

use super::{Narrator, progress_logger_of};
use crate::ae_title::AeTitle;
use crate::dataset::breaks::Break;
use crate::dataset::oddities::Oddities;
use crate::dimse::block::class_name;
use crate::dimse::service::Priority;
use crate::log::{Level, escaped};
use crate::storage::writer::Dialect;

impl Narrator {
    /// C-STORE-RQ.
    pub fn store_request(
        &self,
        context_id: u8,
        message_id: u16,
        sop_class_uid: &[u8],
        sop_instance_uid: &[u8],
        priority: Priority,
    ) {
        match self.dialect {
            Dialect::Storescp | Dialect::Movescu => {
                self.request("Received Store Request", Some(sop_class_uid), message_id);
            }
            Dialect::Dcmqrscp => self.say(Level::Info, format_args!("Received Store SCP:")),
            Dialect::Dcmrecv | Dialect::Getscu => {
                self.request("Received C-STORE Request", None, message_id);
            }
        }
        // dcmrecv shows its block once the data set is there.
        if self.dialect != Dialect::Dcmrecv {
            self.store_block(context_id, message_id, sop_class_uid, sop_instance_uid, priority);
        }
    }

    pub(in crate::server) fn store_block(
        &self,
        context_id: u8,
        message_id: u16,
        sop_class_uid: &[u8],
        sop_instance_uid: &[u8],
        priority: Priority,
    ) {
        self.message(self.message_level(), "INCOMING", |block| {
            block.field("Message Type", format_args!("C-STORE RQ"));
            if self.dialect != Dialect::Dcmqrscp {
                block.field("Presentation Context ID", format_args!("{context_id}"));
            }
            block.field("Message ID", format_args!("{message_id}"));
            block.field("Affected SOP Class UID", format_args!("{}", class_name(sop_class_uid)));
            block.field("Affected SOP Instance UID", format_args!("{}", escaped(sop_instance_uid)));
            block.field("Data Set", format_args!("present"));
            let priority = priority.text();
            block.field("Priority", format_args!("{priority}"));
        });
    }

    /// What is odd about the data set.
    pub fn oddities(&self, found: &Oddities) {
        found.tell(&self.logger);
    }

    /// storescp tells the path before it writes, dcmrecv after.
    pub fn storing(&self, path: &dyn fmt::Display) {
        match self.dialect {
            Dialect::Storescp => {
                self.say(Level::Info, format_args!("storing DICOM file: {path}"));
            }
            // DCMTK's archive and retrievers do not say where an object goes.
            Dialect::Dcmqrscp | Dialect::Movescu | Dialect::Getscu => {
                self.explain(format_args!("stored as {path}"));
            }
            Dialect::Dcmrecv => {}
        }
    }

    /// The object is published.
    pub fn stored(&self, path: &dyn fmt::Display) {
        if self.dialect == Dialect::Dcmrecv {
            self.say(Level::Info, format_args!("Stored received object to file: {path}"));
        }
    }

    /// A file of that name was there.
    pub fn overwriting(&self, path: &dyn fmt::Display, bit_preserving: bool) {
        match self.dialect {
            Dialect::Storescp | Dialect::Movescu if bit_preserving => {}
            // The deletion of what was there is told when it is done.
            Dialect::Dcmqrscp => {}
            Dialect::Storescp | Dialect::Getscu => self
                .say(Level::Warn, format_args!("DICOM file already exists, overwriting: {path}")),
            Dialect::Movescu => {
                // As DCMTK's, which has no folder in front of it where none was given.
                let path = path.to_string();
                let path = path.strip_prefix("./").unwrap_or(&path);
                self.say(
                    Level::Warn,
                    format_args!("DICOM file already exists, overwriting: {path}"),
                );
            }
            Dialect::Dcmrecv => {
                self.say(Level::Warn, format_args!("file already exists, overwriting: {path}"));
            }
        }
    }

    /// Something is odd about the folder of a study.
    pub fn study_warning(&self, text: &dyn fmt::Display) {
        self.say(Level::Warn, format_args!("{text}"));
    }

    /// An association begins a study, in a new folder or in one that was there.
    pub fn study_folder(&self, path: &dyn fmt::Display, is_new: bool) {
        let what = if is_new { "created new" } else { "using existing" };
        self.say(Level::Info, format_args!("{what} subdirectory for study: {path}"));
    }

    /// The folder of a study could not be made.
    pub fn cannot_create_study_folder(&self, path: &dyn fmt::Display, reason: &dyn fmt::Display) {
        self.say(Level::Error, format_args!("could not create subdirectory for study: {path}"));
        self.explain(format_args!("{path}: {reason}"));
    }

    /// Studies are sorted, and the object says of none that it belongs to it.
    pub fn no_study(&self, error: &dyn fmt::Display) {
        self.say(Level::Error, format_args!("{error}"));
    }

    /// The object could not be written.
    pub fn cannot_write(&self, path: &dyn fmt::Display, reason: &dyn fmt::Display) {
        match self.dialect {
            Dialect::Storescp | Dialect::Movescu | Dialect::Dcmqrscp => {
                self.say(Level::Error, format_args!("cannot write DICOM file: {path}: {reason}"));
            }
            Dialect::Dcmrecv | Dialect::Getscu => self
                .say(Level::Error, format_args!("cannot store received object: {path}: {reason}")),
        }
    }

    /// The directory of the object could not be made.
    pub fn cannot_create_directory(&self, path: &dyn fmt::Display, reason: &dyn fmt::Display) {
        self.say(
            Level::Error,
            format_args!("cannot create directory for received object: {path}: {reason}"),
        );
    }

    /// `--ignore`.
    pub fn not_stored(&self) {
        if self.dialect == Dialect::Dcmrecv {
            self.say(
                Level::Debug,
                format_args!(
                    "received dataset is not stored since the storage mode is set to 'ignore'"
                ),
            );
        }
    }

    /// A data set without UIDs is refused; DCMTK has written it then, unless it `is_empty`.
    pub fn without_uids(&self, path: &dyn fmt::Display, is_empty: bool) {
        if !matches!(self.dialect, Dialect::Storescp | Dialect::Movescu) {
            return;
        }
        if is_empty {
            return self.cannot_write(path, &"Illegal call, perhaps wrong parameters");
        }
        self.say(Level::Error, format_args!("bad DICOM file: {path}"));
    }

    /// What breaks the data set, and the warning that DCMTK's network layer adds.
    pub fn broken(&self, found: Break, calling: &AeTitle, called: &AeTitle) {
        self.logger.line(found.level(), "dcmtk.dcmdata", format_args!("{found}"));
        if let Some(reason) = found.reason() {
            self.logger.line(
                Level::Warn,
                "dcmtk.dcmnet",
                format_args!(
                    "DIMSE Warning: ({},{}): DIMSE receiveDataSetInMemory: dset->read() Failed \
                     ({reason})",
                    escaped(calling.as_bytes()),
                    escaped(called.as_bytes())
                ),
            );
        }
    }

    /// A C-STORE whose data set stopped coming, or was cut; `condition` as DCMTK numbers it.
    pub fn store_broken(&self, context_id: u8, condition: &str) {
        match self.dialect {
            Dialect::Storescp | Dialect::Movescu | Dialect::Dcmqrscp => {
                self.say(Level::Error, format_args!("Store SCP Failed: {condition}"));
            }
            Dialect::Dcmrecv | Dialect::Getscu => {
                self.say(
                    Level::Error,
                    format_args!(
                        "Unable to receive dataset on presentation context 0: {condition}"
                    ),
                );
                self.say(
                    Level::Error,
                    format_args!(
                        "Unable to receive C-STORE dataset on presentation context {context_id}"
                    ),
                );
            }
        }
    }

    /// dcmrecv and getscu print no dots.
    fn has_progress(&self) -> bool {
        !matches!(self.dialect, Dialect::Dcmrecv | Dialect::Getscu)
    }

    fn shows_progress(&self) -> bool {
        self.logger.shows_progress(progress_logger_of(self.dialect))
    }

    fn progress(&self, text: &str) {
        self.logger.progress(progress_logger_of(self.dialect), text);
    }

    /// storescp's progress: the word at the start of a C-STORE.
    pub fn progress_begin(&self) {
        if self.has_progress() {
            self.progress("RECV: ");
        }
    }

    /// One character per data-set PDV, `count` of them.
    pub fn progress_dots(&self, count: usize) {
        if self.has_progress() && count > 0 && self.shows_progress() {
            self.progress(&".".repeat(count));
        }
    }

    /// The line end after the last PDV.
    pub fn progress_end(&self) {
        if self.has_progress() {
            self.progress("\n");
        }
    }

    /// What an object that was sent looks like: one character per data-set PDV.
    pub(in crate::server) fn progress_sent(&self, pdvs: usize) {
        if self.shows_progress() {
            self.progress(&format!("XMIT: {}\n", ".".repeat(pdvs)));
        }
    }
}
