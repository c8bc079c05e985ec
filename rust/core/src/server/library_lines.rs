//! What DCMTK 3.6.7's own libraries say at `-d` of connections and associations, as far as it tells
//! something of the peer: who connected, the deadlines of the socket, how it is secured, the bytes of
//! the request, and the steps of dcmrecv.
//!
//! Not told: which parts of DCMTK read a data set or its dictionaries, and all that appears below
//! DEBUG; that describes another program (DIFFERENCES.md D40). Called by `association` and `store`.

use std::fmt;
use std::time::Duration;

use super::narration::Narrator;
use crate::dimse::service::StoreRequest;
use crate::log::Level;
use crate::storage::writer::{Dialect, StoreMode};
use crate::ul::dump::dump;

/// The logger of DCMTK's network library.
const NETWORK: &str = "dcmtk.dcmnet";
/// That of its TLS layer.
const SECURITY: &str = "dcmtk.dcmtls";

impl Narrator {
    fn library(&self, text: fmt::Arguments<'_>) {
        self.logger.line(Level::Debug, NETWORK, text);
    }

    /// A peer connected; `host` is asked for only where it is shown.
    pub fn connected<T: fmt::Display>(&self, host: impl FnOnce() -> T) {
        if self.logger.enabled(Level::Debug, NETWORK) {
            self.library(format_args!("Association Received: {}", host()));
        }
    }

    /// How long the socket waits.
    pub fn socket_timeout(&self, timeout: Option<Duration>) {
        if !self.logger.enabled(Level::Debug, NETWORK) {
            return;
        }
        for direction in ["send", "receive"] {
            match timeout {
                Some(timeout) => self.library(format_args!(
                    "setting network {direction} timeout to {} seconds",
                    timeout.as_secs()
                )),
                None => self
                    .library(format_args!("setting network {direction} timeout to 0 (infinite)")),
            }
        }
    }

    /// How the connection is secured; `details` are built only where they are shown.
    pub fn security_details(&self, details: impl FnOnce() -> Option<String>) {
        if !self.logger.enabled(Level::Debug, SECURITY) {
            return;
        }
        if let Some(details) = details() {
            self.logger.line(
                Level::Debug,
                SECURITY,
                format_args!(
                    "================== BEGIN TLS CONNECTION DETAILS =================\n{details}\n\
                     =================== END TLS CONNECTION DETAILS =================="
                ),
            );
        }
    }

    /// The bytes of an A-ASSOCIATE-RQ.
    pub fn request_bytes(&self, pdu: &[u8]) {
        if self.logger.enabled(Level::Debug, NETWORK) {
            self.library(format_args!("{}", dump("Associate Request", pdu)));
            self.library(format_args!("Parsing an A-ASSOCIATE PDU"));
        }
    }

    /// An A-ASSOCIATE-AC is about to leave.
    pub fn accepting(&self) {
        self.library(format_args!("Constructing Associate AC PDU"));
    }

    /// It has left.
    pub fn has_accepted(&self) {
        if self.dialect == Dialect::Dcmrecv {
            self.library(format_args!("DcmSCP: Association Acknowledged"));
        }
    }

    /// The response to a C-ECHO has left.
    pub fn echo_answered(&self) {
        if self.dialect == Dialect::Dcmrecv {
            self.library(format_args!("C-ECHO Response successfully sent"));
        }
    }

    /// The data set of a C-STORE is there; dcmrecv looks at the request now.
    pub fn store_received(&self, context_id: u8, request: &StoreRequest, mode: StoreMode) {
        if self.dialect != Dialect::Dcmrecv || !self.enabled(Level::Debug) {
            return;
        }
        let to_file = match mode {
            StoreMode::BitPreserving => " and stored it directly to file",
            _ => "",
        };
        self.library(format_args!(
            "Received dataset on presentation context {context_id}{to_file}"
        ));
        let (class, instance) = (request.affected_sop_class_uid, request.affected_sop_instance_uid);
        self.store_block(
            context_id,
            request.message_id,
            class.as_ref().map_or(&[], |uid| uid.as_bytes()),
            instance.as_ref().map_or(&[], |uid| uid.as_bytes()),
            request.priority.unwrap_or_default(),
        );
        if mode == StoreMode::Normal {
            self.library(format_args!("checking and processing C-STORE request"));
        }
    }

    /// The name that an object gets.
    pub fn named(&self, path: &dyn fmt::Display, mode: StoreMode) {
        if self.dialect == Dialect::Dcmrecv && mode == StoreMode::Normal {
            self.library(format_args!("generated filename for received object: {path}"));
        }
    }

    /// The association is over.
    pub fn terminated(&self) {
        if self.dialect == Dialect::Dcmrecv {
            self.library(format_args!("DcmSCP: Association Terminated"));
            self.library(format_args!("+++++++++++++++++++++++++++++"));
        }
    }
}
