//! PDUs and commands in the standard's words.
//!
//! Source: PS3.8 §9.3 (fields of the PDUs, and what their numbers mean), PS3.7 Annex D.3.3
//! (user information) and Annex E (command elements). User identities are told by their length alone:
//! they are names and passwords. Called by `recording::{show, replay}`.

use super::tree::{Tree, Value};
use crate::dictionary::uids::name_of;
use crate::dimse::command_set::{CommandSet, Field};
use crate::dimse::service::command_field;
use crate::dimse::status::{Operation, Status};
use crate::log::escaped;
use crate::uid::UidText;
use crate::ul::pdu::{
    AssociateAc, AssociateRq, PduType, PresentationResult, TitleFields, UidItem, UserInformation,
};
use crate::ul::pdu_codec::PduHeader;

use super::conversation::PdvHeader;

fn named(text: &UidText) -> (String, Option<&'static str>) {
    (String::from_utf8_lossy(text.as_bytes()).into_owned(), name_of(text.as_bytes()))
}

fn uid_text(text: &UidText) -> Value {
    let (uid, name) = named(text);
    Value::Uid(uid, name)
}

fn uid(item: &UidItem) -> Value {
    match item {
        UidItem::Given(text) if !text.is_empty() => uid_text(text),
        _ => Value::Text(item.to_string()),
    }
}

/// Fields of an A-ASSOCIATE-RQ.
pub fn associate_rq(request: &AssociateRq) -> Tree {
    let contexts = request.contexts.iter().map(|context| {
        let mut tree = Tree::default()
            .number("Presentation-context-ID", context.id)
            .with("Abstract-syntax-name", uid(&context.abstract_syntax));
        let syntaxes = context.transfer_syntaxes.iter().map(named).collect();
        tree = tree.with("Transfer-syntax-name", Value::Uids(syntaxes));
        if context.transfer_syntaxes_dropped > 0 {
            let dropped = context.transfer_syntaxes_dropped as u64;
            tree = tree.number("Transfer syntaxes that are none, or too many", dropped);
        }
        tree
    });
    associate(
        request.protocol_version,
        request.titles,
        &request.application_context,
        contexts.collect(),
        request.user_information.as_ref(),
    )
}

/// Fields of an A-ASSOCIATE-AC.
pub fn associate_ac(accept: &AssociateAc) -> Tree {
    let contexts = accept.contexts.iter().map(|context| {
        Tree::default()
            .number("Presentation-context-ID", context.id)
            .meaning("Result/Reason", context.result.byte(), result(context.result))
            .with("Transfer-syntax-name", uid(&context.transfer_syntax))
    });
    associate(
        accept.protocol_version,
        accept.titles,
        &accept.application_context,
        contexts.collect(),
        accept.user_information.as_ref(),
    )
}

/// Result/Reason of a presentation context, PS3.8 Table 9-18.
pub const fn result(result: PresentationResult) -> &'static str {
    match result {
        PresentationResult::Acceptance => "acceptance",
        PresentationResult::UserRejection => "user-rejection",
        PresentationResult::NoReason => "no-reason, provider rejection",
        PresentationResult::AbstractSyntaxNotSupported => {
            "abstract-syntax-not-supported, provider rejection"
        }
        PresentationResult::TransferSyntaxesNotSupported => {
            "transfer-syntaxes-not-supported, provider rejection"
        }
        PresentationResult::Other(_) => "not in the standard",
    }
}

fn associate(
    protocol_version: u16,
    titles: TitleFields,
    application_context: &UidItem,
    contexts: Vec<Tree>,
    user_information: Option<&UserInformation>,
) -> Tree {
    let mut tree = Tree::default()
        .text("Protocol-version", format_args!("{protocol_version:04X}H"))
        .text("Called-AE-title", escaped(titles.called_ae_title().as_bytes()))
        .text("Calling-AE-title", escaped(titles.calling_ae_title().as_bytes()))
        .with("Application-context-name", uid(application_context))
        .with("Presentation Context Item", Value::Trees(contexts));
    if let Some(information) = user_information {
        tree = tree.with("User Information Item", Value::Tree(user(information)));
    }
    tree
}

fn user(information: &UserInformation) -> Tree {
    let mut tree = Tree::default();
    if let Some(bytes) = information.maximum_length {
        tree = tree.number("Maximum-length-received", bytes);
    }
    tree = tree.with("Implementation-class-uid", uid(&information.implementation_class_uid));
    if let Some(name) = &information.implementation_version_name {
        tree = tree.text("Implementation-version-name", escaped(name));
    }
    if let Some(window) = information.asynchronous_operations {
        tree = tree
            .number("Maximum-number-operations-invoked", window.invoked)
            .number("Maximum-number-operations-performed", window.performed);
    }
    let roles = information.roles.iter().map(|role| {
        Tree::default()
            .with("SOP-class-uid", uid_text(&role.sop_class_uid))
            .number("SCU-role", u8::from(role.scu))
            .number("SCP-role", u8::from(role.scp))
    });
    let extended = information.extended_negotiation.iter().map(|one| {
        Tree::default()
            .with("SOP-class-uid", uid_text(&one.sop_class_uid))
            .text("Service-class-application-information", escaped(&one.information))
    });
    let common = information.common_extended_negotiation.iter().map(|one| {
        Tree::default()
            .with("SOP-class-uid", uid_text(&one.sop_class_uid))
            .with("Service-class-uid", uid_text(&one.service_class_uid))
    });
    for (name, trees) in [
        ("SCP/SCU Role Selection Sub-Item", roles.collect::<Vec<_>>()),
        ("SOP Class Extended Negotiation Sub-Item", extended.collect()),
        ("SOP Class Common Extended Negotiation Sub-Item", common.collect()),
    ] {
        if !trees.is_empty() {
            tree = tree.with(name, Value::Trees(trees));
        }
    }
    if let Some(identity) = &information.user_identity {
        let requested = identity.positive_response_requested;
        let fields = Tree::default()
            .number("User-Identity-Type", identity.identity_type)
            .number("Positive-response-requested", u8::from(requested))
            .text("Primary-field", format_args!("({} bytes)", identity.primary_field.len()))
            .text("Secondary-field", format_args!("({} bytes)", identity.secondary_field.len()));
        tree = tree.with("User Identity Negotiation Sub-Item", Value::Tree(fields));
    }
    if let Some(response) = &information.user_identity_response {
        tree = tree.text("Server-response", format_args!("({} bytes)", response.len()));
    }
    tree
}

/// Fields of A-ASSOCIATE-RJ and A-ABORT; the others have none.
pub fn short(header: PduHeader, body: &[u8]) -> Tree {
    let tree = Tree::default();
    match (header.pdu_type, body) {
        (PduType::AssociateRj, &[_, result, source, reason]) => tree
            .meaning("Result", result, rejection_result(result))
            .meaning("Source", source, rejection_source(source))
            .meaning("Reason/Diag.", reason, rejection_reason(source, reason)),
        (PduType::Abort, &[_, _, source, reason, ..]) => tree
            .meaning("Source", source, abort_source(source))
            .meaning("Reason/Diag.", reason, abort_reason(source, reason)),
        _ => tree,
    }
}

const fn rejection_result(result: u8) -> &'static str {
    match result {
        1 => "rejected-permanent",
        2 => "rejected-transient",
        _ => "not in the standard",
    }
}

const fn rejection_source(source: u8) -> &'static str {
    match source {
        1 => "DICOM UL service-user",
        2 => "DICOM UL service-provider (ACSE related function)",
        3 => "DICOM UL service-provider (Presentation related function)",
        _ => "not in the standard",
    }
}

const fn rejection_reason(source: u8, reason: u8) -> &'static str {
    match (source, reason) {
        (1 | 2, 1) => "no-reason-given",
        (1, 2) => "application-context-name-not-supported",
        (1, 3) => "calling-AE-title-not-recognized",
        (1, 7) => "called-AE-title-not-recognized",
        (2, 2) => "protocol-version-not-supported",
        (3, 1) => "temporary-congestion",
        (3, 2) => "local-limit-exceeded",
        _ => "reserved",
    }
}

const fn abort_source(source: u8) -> &'static str {
    match source {
        0 => "DICOM UL service-user (initiated abort)",
        2 => "DICOM UL service-provider (initiated abort)",
        _ => "reserved",
    }
}

const fn abort_reason(source: u8, reason: u8) -> &'static str {
    match (source, reason) {
        (2, 0) => "reason-not-specified",
        (2, 1) => "unrecognized-PDU",
        (2, 2) => "unexpected-PDU",
        (2, 4) => "unrecognized-PDU parameter",
        (2, 5) => "unexpected-PDU parameter",
        (2, 6) => "invalid-PDU-parameter value",
        (0, _) => "not significant",
        _ => "reserved",
    }
}

/// Fields of a PDV item.
pub fn pdv(header: PdvHeader) -> Tree {
    Tree::default()
        .number("Item-length", header.item_length)
        .number("Presentation-context-ID", header.context_id)
        .meaning("Message Control Header", header.control, control(header))
}

/// What a message control header says, PS3.8 Annex E.2.
const fn control(header: PdvHeader) -> &'static str {
    match (header.is_command(), header.is_last()) {
        (true, true) => "Command, last fragment",
        (true, false) => "Command, not the last fragment",
        (false, true) => "Data Set, last fragment",
        (false, false) => "Data Set, not the last fragment",
    }
}

/// The name of a command, PS3.7 §9.3 and §10.3: `C-STORE-RQ`.
pub fn command_name(set: &CommandSet<'_>) -> String {
    match set.us(Field::CommandField) {
        Some(field) => crate::dimse::service::command_name(field).to_string().replace(" R", "-R"),
        None => "command without Command Field".into(),
    }
}

/// What a status means for its command.
pub fn status(set: &CommandSet<'_>) -> Option<(Status, String)> {
    let status = Status(set.us(Field::Status)?);
    let field = set.us(Field::CommandField).unwrap_or_default() & !command_field::RESPONSE_BIT;
    let operation = match field {
        command_field::C_STORE_RQ => Operation::Store,
        command_field::C_FIND_RQ => Operation::Find,
        command_field::C_MOVE_RQ => Operation::Move,
        command_field::C_GET_RQ => Operation::Get,
        _ => Operation::Echo,
    };
    Some((status, status.long_text(operation).to_string()))
}

/// `->` or `<-`, as seen from the requestor on the left.
pub const fn arrow(side: super::Side) -> &'static str {
    match side {
        super::Side::Requestor => "->",
        super::Side::Acceptor => "<-",
    }
}
