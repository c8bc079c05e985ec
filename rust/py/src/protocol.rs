//! Pure functions of the protocol layers, for tests that hold them against a second opinion.

use dcmfast_core::acse::negotiation;
use dcmfast_core::ae_title::AeTitle;
use dcmfast_core::dataset::character_set::CharacterSet;
use dcmfast_core::dataset::transfer_syntax::long_name;
use dcmfast_core::dictionary::uids::storage_prefix;
use dcmfast_core::dimse::status::{Operation, Status};
use dcmfast_core::uid::{Uid, UidText};
use dcmfast_core::ul::pdu::{
    APPLICATION_CONTEXT_NAME, AssociateRq, ProposedContext, TitleFields, UidItem,
};
use dcmfast_core::ul::state_table::{Evt, State, cell};
use pyo3::prelude::*;

use crate::server::Table;

/// One proposed context: ID, abstract syntax, transfer syntaxes.
type Proposed = (u8, String, Vec<String>);
/// One result: ID, result of PS3.8 Table 9-18, transfer syntax when accepted.
type Answered = (u8, u8, Option<String>);

fn text(uid: &str) -> Option<UidText> {
    UidText::new(uid.as_bytes())
}

/// Negotiates proposed contexts against a compiled table, as an acceptor does.
#[pyfunction]
pub fn negotiate(table: Table, proposed: Vec<Proposed>) -> PyResult<Vec<Answered>> {
    let contexts = proposed
        .iter()
        .map(|(id, abstract_syntax, transfer_syntaxes)| ProposedContext {
            id: *id,
            abstract_syntax: text(abstract_syntax).map_or(UidItem::Absent, UidItem::Given),
            transfer_syntaxes: transfer_syntaxes.iter().filter_map(|uid| text(uid)).collect(),
            transfer_syntaxes_dropped: 0,
        })
        .collect();
    let request = AssociateRq {
        protocol_version: 1,
        titles: TitleFields::new(AeTitle::new(b"CALLED"), AeTitle::new(b"CALLING")),
        application_context: UidItem::of(Uid::known(APPLICATION_CONTEXT_NAME)),
        contexts,
        user_information: None,
    };
    let result = negotiation::negotiate(&request, &table.compile()?);
    Ok(result
        .decisions
        .iter()
        .map(|decision| {
            let transfer_syntax = decision.transfer_syntax.map(|uid| uid.to_string());
            (decision.id, decision.result.byte(), transfer_syntax)
        })
        .collect())
}

/// DCMTK's long name of a transfer syntax; None for one that it does not know.
#[pyfunction]
pub fn transfer_syntax_name(uid: &str) -> Option<&'static str> {
    long_name(&Uid::new(uid.as_bytes())?)
}

/// A status in DCMTK's words, as log lines show it; `operation` is `echo`, `find`, `move`, `get` or
/// `store`.
#[pyfunction]
pub fn status_text(operation: &str, status: u16) -> String {
    let operation = match operation {
        "echo" => Operation::Echo,
        "find" => Operation::Find,
        "move" => Operation::Move,
        "get" => Operation::Get,
        _ => Operation::Store,
    };
    Status(status).text(operation).to_string()
}

/// The file name prefix of a storage SOP class, such as `CT`; `OT` for any other UID.
#[pyfunction]
pub fn modality(sop_class_uid: &str) -> &'static str {
    storage_prefix(sop_class_uid.as_bytes()).unwrap_or("OT")
}

/// Whether C-FIND responses can be written in the character set `term`, a defined term of PS3.3
/// §C.12.1.1.2 without code extensions.
#[pyfunction]
pub fn is_answer_character_set(term: &[u8]) -> bool {
    CharacterSet::parse(term).is_destination()
}

/// The cells of Table 9-10 that are not empty: state, event, action, next state. Where the action
/// decides between two states (AE-6, AR-8), both are named: `Sta3 or Sta13`.
#[pyfunction]
pub fn state_table() -> Vec<(&'static str, &'static str, &'static str, String)> {
    let mut rows = Vec::new();
    for state in State::ALL {
        for event in Evt::ALL {
            if let Some(cell) = cell(state, event) {
                let next = match cell.alternative {
                    Some(other) => format!("{} or {}", cell.next.name(), other.name()),
                    None => cell.next.name().to_owned(),
                };
                rows.push((state.name(), event.name(), cell.action.name(), next));
            }
        }
    }
    rows
}
