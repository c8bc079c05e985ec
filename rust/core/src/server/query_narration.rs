//! What dcmqrscp says of C-FIND, C-MOVE and C-GET, in DCMTK's words.
//!
//! DCMTK 3.6.7 shows requests, their identifiers and one line a response from `-v` on, and what it
//! answers at `-d`; checked against it in `tests/compat/test_archive_logs.py`. Its blocks of
//! responses are printed before they are filled in; ours say what is sent. Identifiers hold
//! patients: they are shown at no level below `-v` (PROMISES.md §5.4), escaped and cut.
//! Called by `server::{peer, find, retrieve}`.

use std::fmt;

use super::destinations::NotSentTo;
use super::narration::{Narrator, modality};
use crate::ae_title::AeTitle;
use crate::client::ClientError;
use crate::dataset::dump::dump;
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dimse::block::class_name;
use crate::dimse::service::{Priority, QueryRequest, QueryService, Response, SubOperations};
use crate::dimse::status::{Operation, Status, StatusClass};
use crate::log::{Level, escaped};
use crate::uid::UidText;

/// One step of the sub-operations of a C-MOVE or C-GET.
#[derive(Clone, Copy, Debug)]
pub enum SubOperation<'a> {
    /// A sub-association is asked for.
    Associating,
    /// There is none.
    NotAssociated(&'a ClientError),
    /// An object was sent.
    Sent {
        /// Message ID of the C-STORE request.
        message_id: u16,
        /// SOP class of the object.
        sop_class: &'a UidText,
        /// In how many PDVs its data set went.
        pdvs: usize,
    },
    /// The object was answered.
    Answered(Status),
    /// The sub-association is released.
    Releasing,
}

const fn operation_of(service: QueryService) -> Operation {
    match service {
        QueryService::Find => Operation::Find,
        QueryService::Get => Operation::Get,
        QueryService::Move => Operation::Move,
    }
}

/// The service in the names of DCMTK's functions, which stand in its lines.
const fn function_of(service: QueryService) -> &'static str {
    match service {
        QueryService::Find => "find",
        QueryService::Get => "get",
        QueryService::Move => "move",
    }
}

/// The request that DCMTK's index is asked for; C-GET is a move to it.
const fn database_request(service: QueryService) -> &'static str {
    match service {
        QueryService::Find => "startFindRequest",
        QueryService::Get | QueryService::Move => "startMoveRequest",
    }
}

/// DCMTK's numbers of the commonest failures; others have words alone.
const fn code_of(error: &ClientError) -> &'static str {
    match error {
        ClientError::Connect(_) => "0006:031c ",
        ClientError::PeerAborted(_) | ClientError::PeerGone(_) => "0006:0317 ",
        _ => "",
    }
}

impl Narrator {
    /// C-FIND-RQ, C-GET-RQ or C-MOVE-RQ.
    pub fn query_request(&self, request: &QueryRequest) {
        let service = request.service;
        self.say(Level::Info, format_args!("Received {} SCP:", service.text()));
        self.message(Level::Info, "INCOMING", |block| {
            let name = service.text().to_ascii_uppercase();
            block.field("Message Type", format_args!("C-{name} RQ"));
            block.field("Message ID", format_args!("{}", request.message_id));
            let class = class_of(request.affected_sop_class_uid.as_ref());
            block.field("Affected SOP Class UID", format_args!("{class}"));
            let has_identifier = request.data_set_type.is_present();
            block.field("Data Set", format_args!("{}", presence(has_identifier)));
            let priority = request.priority.map_or("unknown", Priority::text);
            block.field("Priority", format_args!("{priority}"));
            if let Some(title) = &request.move_destination {
                block.field("Move Destination", format_args!("{}", escaped(title.as_bytes())));
            }
        });
    }

    /// The identifier of a request.
    pub fn query_identifiers(&self, service: QueryService, syntax: TransferSyntax, bytes: &[u8]) {
        if self.enabled(Level::Info) {
            let (name, text) = (service.text(), dump(syntax, bytes));
            self.say(Level::Info, format_args!("{name} SCP Request Identifiers:\n{text}"));
        }
    }

    /// The identifier of a request was refused with `status`, for `why`.
    pub fn query_refused(&self, service: QueryService, status: Status, why: &dyn fmt::Display) {
        let (function, request) = (function_of(service), database_request(service));
        let text = status.text(operation_of(service));
        // DCMTK names the condition for C-GET alone.
        let condition =
            if service == QueryService::Get { " 000c:0001 Index database error" } else { "" };
        self.say(
            Level::Error,
            format_args!("{function}SCP: Database: {request} Failed ({text}):{condition}"),
        );
        self.explain(format_args!("C-{} refused: {why}", service.text().to_ascii_uppercase()));
    }

    /// One response, counted from 1, the final one included.
    pub fn query_response(
        &self,
        service: QueryService,
        number: u64,
        response: &Response<'_>,
        identifier: Option<(TransferSyntax, &[u8])>,
    ) {
        if !self.enabled(Level::Info) {
            return;
        }
        let operation = operation_of(service);
        let (name, text) = (service.text(), response.status.text(operation));
        self.say(Level::Info, format_args!("{name} SCP Response {number} [status: {text}]"));
        // DCMTK shows no more of the responses to a C-GET.
        if service == QueryService::Get {
            return;
        }
        self.message(Level::Debug, "OUTGOING", |block| {
            let type_name = name.to_ascii_uppercase();
            block.field("Message Type", format_args!("C-{type_name} RSP"));
            let responded_to = response.message_id_being_responded_to;
            block.field("Message ID Being Responded To", format_args!("{responded_to}"));
            let class = class_of(response.affected_sop_class_uid.as_ref());
            block.field("Affected SOP Class UID", format_args!("{class}"));
            if service == QueryService::Move {
                let counts = response.sub_operations.as_ref();
                let counted = |count: fn(&SubOperations) -> Option<u16>| {
                    counts.and_then(count).map_or_else(|| "none".into(), |n| n.to_string())
                };
                for (field, count) in [
                    ("Remaining Suboperations", counted(|counts| counts.remaining)),
                    ("Completed Suboperations", counted(|counts| Some(counts.completed))),
                    ("Failed Suboperations", counted(|counts| Some(counts.failed))),
                    ("Warning Suboperations", counted(|counts| Some(counts.warning))),
                ] {
                    block.field(field, format_args!("{count}"));
                }
            }
            block.field("Data Set", format_args!("{}", presence(identifier.is_some())));
            let (code, text) = (response.status.0, response.status.long_text(operation));
            block.field("DIMSE Status", format_args!("0x{code:04x}: {text}"));
        });
        let level = if self.verbose_responses { Level::Info } else { Level::Debug };
        if let Some((syntax, bytes)) = identifier.filter(|_| self.enabled(level)) {
            let text = dump(syntax, bytes);
            self.say(level, format_args!("{name} SCP Response Identifiers:\n{text}"));
        }
    }

    /// A move destination is none; ours says why in full, from `-v` on.
    pub fn destination_refused(&self, calling: AeTitle, why: &NotSentTo) {
        let shown = |title: &AeTitle| escaped(title.as_bytes()).to_string();
        let text = match why {
            NotSentTo::Missing => "unknown AE: ''".to_owned(),
            NotSentTo::Unknown(title) | NotSentTo::NoPort(title) => {
                format!("unknown AE: '{}'", shown(title))
            }
            NotSentTo::OtherTitle(title) => {
                format!("strictMove Reqs: '{}' != '{}'", shown(&calling), shown(title))
            }
            NotSentTo::OtherHost { host, caller, .. } => {
                format!("different hosts: '{caller}', '{host}'")
            }
            NotSentTo::OtherVendor(title) => {
                format!("different vendors: '{}', '{}'", shown(&calling), shown(title))
            }
        };
        self.say(Level::Info, format_args!("mapMoveDestination: {text}"));
        self.explain(format_args!("C-MOVE refused: {why}"));
    }

    /// A step of a C-MOVE's or C-GET's sub-operations.
    pub fn sub_operation(&self, service: QueryService, step: SubOperation<'_>) {
        let name = service.text();
        match step {
            SubOperation::Associating => {
                self.say(Level::Info, format_args!("Requesting Sub-Association"));
            }
            SubOperation::NotAssociated(error) => {
                let code = code_of(error);
                self.say(
                    Level::Error,
                    format_args!("moveSCP: Sub-Association Request Failed: {code}{error}"),
                );
            }
            SubOperation::Sent { message_id, sop_class, pdvs } => {
                let modality = modality(sop_class.as_bytes());
                self.say(
                    Level::Info,
                    format_args!("Store SCU RQ: MsgID {message_id}, ({modality})"),
                );
                self.progress_sent(pdvs);
            }
            SubOperation::Answered(status) => {
                let text = status.text(Operation::Store);
                self.say(
                    Level::Info,
                    format_args!("{name} SCP: Received Store SCU RSP [Status={text}]"),
                );
                if status.class() == StatusClass::Failure {
                    self.say(
                        Level::Error,
                        format_args!("{name} SCP: Store Failed: Response Status: {text}"),
                    );
                }
            }
            SubOperation::Releasing => {
                self.say(Level::Info, format_args!("Releasing Sub-Association"));
            }
        }
    }
}

fn class_of(uid: Option<&UidText>) -> String {
    uid.map_or_else(|| "none".into(), |uid| class_name(uid.as_bytes()))
}

const fn presence(is_there: bool) -> &'static str {
    if is_there { "present" } else { "none" }
}
