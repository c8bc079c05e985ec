//! C-FIND: pages of matches as pending responses, C-CANCEL, the final status.
//!
//! First everything that was acknowledged is waited for (the barrier), so that whoever stores and
//! then asks finds it. Then page by page: a short transaction in which matches are found and
//! encoded, its end, a look whether the peer has cancelled, the page's responses in few writes. A
//! peer that reads slowly holds no transaction, and stores go on meanwhile (DIFFERENCES.md B4).
//! Source: PS3.4 §C.4.1, PS3.7 §9.1.2. Called by `server::association`.

use super::answers;
use super::peer::{Ended, Operation, Peer};
use crate::archive::area::StorageArea;
use crate::dataset::identifier::{Encoding, Item, deflated, inflated};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dimse::status::Status;
use crate::index::answer::{AnswerCharacterSet, Answerer, Converted};
use crate::index::query::{Model, Purpose, Query, QueryError, RuleSet, Rules};
use crate::index::search::{Cursor, Progress};
use crate::index::{Index, IndexError};
use crate::limits::{OPERATION_OUTPUT_BYTES, QUERY_MATCHES_PER_PAGE};

/// How an archive answers C-FIND.
#[derive(Clone, Debug, Default)]
pub struct FindSettings {
    /// How identifiers are read; what was negotiated is added for each association.
    pub rules: Rules,
    /// In which character set answers go out.
    pub character_set: AnswerCharacterSet,
}

/// Matches of one page, encoded.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Page {
    fn is_full(&self) -> bool {
        self.ends.len() >= QUERY_MATCHES_PER_PAGE || self.bytes.len() >= OPERATION_OUTPUT_BYTES
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn identifiers(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let identifier = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            identifier
        })
    }
}

/// Performs one C-FIND.
pub fn find(
    peer: &mut Peer<'_, '_>,
    operation: &Operation,
    area: &StorageArea,
    index: &Index,
    settings: &FindSettings,
) -> Result<(), Ended> {
    peer.outlast_input();
    let status = answer(peer, operation, area, index, settings)?;
    respond(peer, operation, status, None)
}

/// Queues one response.
fn respond(
    peer: &mut Peer<'_, '_>,
    operation: &Operation,
    status: Status,
    identifier: Option<&[u8]>,
) -> Result<(), Ended> {
    let response = operation.request.response(status, identifier.is_some());
    peer.respond(operation, &response, identifier)
}

/// Sends all pending responses and returns the final status.
fn answer(
    peer: &mut Peer<'_, '_>,
    operation: &Operation,
    area: &StorageArea,
    index: &Index,
    settings: &FindSettings,
) -> Result<Status, Ended> {
    let syntax = TransferSyntax::of(&operation.context.transfer_syntax);
    let encoding = Encoding::of(syntax);
    let fails = |peer: &Peer<'_, '_>, error: &QueryError| {
        let status = answers::query_status(error, settings.rules);
        peer.narrator().query_refused(operation.request.service, status, error);
        status
    };
    let bytes = match inflated(syntax, &operation.identifier) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(fails(peer, &QueryError::Identifier(error))),
    };
    // The context rules: its SOP class is what was negotiated.
    let Some(model) = Model::of(operation.context.abstract_syntax.as_bytes()) else {
        return Ok(Status::SOP_CLASS_NOT_SUPPORTED);
    };
    let compiled = Item::read(&bytes, encoding)
        .map_err(QueryError::Identifier)
        .and_then(|item| Query::compile(&item, encoding, model, settings.rules, Purpose::Find));
    let query = match compiled {
        Ok(query) => query,
        Err(error) => return Ok(fails(peer, &error)),
    };
    // A full disk ends no queries (PROMISES.md P6): what is in the index is answered, and the final
    // status says that it is not all.
    let barrier = area.barrier();
    if let Err(reason) = &barrier {
        peer.narrator().warn(format_args!("C-FIND without the newest objects: {reason}"));
    }
    let pending =
        if query.has_unsupported_keys() { Status::PENDING_WITH_WARNING } else { Status::PENDING };
    let title = peer.called_ae_title();
    let mut answerer = Answerer::new(&query, title, encoding, &settings.character_set);
    let (mut cursor, mut page) = (Cursor::default(), Page::default());
    let mut worst = Converted::AsWished;
    loop {
        page.clear();
        let progress = match fill(&query, &mut answerer, index, &mut cursor, &mut page, &mut worst)
        {
            Ok(progress) => progress,
            Err(error) => {
                peer.narrator().complain(format_args!("C-FIND: {error}"));
                return Ok(answers::index_status(operation.request.service, &error));
            }
        };
        let has_more = !page.ends.is_empty() || progress == Progress::More;
        if has_more && peer.is_cancelled()? {
            return Ok(Status::CANCEL);
        }
        for identifier in page.identifiers() {
            if syntax.is_deflated {
                let identifier = deflated(identifier);
                respond(peer, operation, pending, Some(&identifier))?;
            } else {
                respond(peer, operation, pending, Some(identifier))?;
            }
        }
        if progress == Progress::Done {
            tell_conversion(peer, worst);
            return Ok(barrier.map_or(Status::OUT_OF_RESOURCES, |()| Status::SUCCESS));
        }
        peer.flush()?;
    }
}

/// Fills one page from one state of the index.
fn fill(
    query: &Query<'_>,
    answerer: &mut Answerer<'_, '_>,
    index: &Index,
    cursor: &mut Cursor,
    page: &mut Page,
    worst: &mut Converted,
) -> Result<Progress, IndexError> {
    let reader = index.read()?;
    let mut error = None;
    // DCMTK takes an answer without any element for the end of all answers.
    let ends_at_nothing = query.rules().set == RuleSet::Dcmtk && query.answers_nothing();
    let mut has_ended = false;
    let progress = query.page(&reader, cursor, |found| {
        if ends_at_nothing && found.character_set_value().is_empty() {
            has_ended = true;
            return false;
        }
        match answerer.append(found, &reader, &mut page.bytes) {
            Ok(converted) => *worst = converted.max(*worst),
            Err(failure) => {
                error = Some(failure);
                return false;
            }
        }
        page.ends.push(page.bytes.len());
        !page.is_full()
    })?;
    match error {
        Some(error) => Err(error),
        None if has_ended => Ok(Progress::Done),
        None => Ok(progress),
    }
}

fn tell_conversion(peer: &Peer<'_, '_>, worst: Converted) {
    match worst {
        Converted::AsWished => {}
        Converted::ToFallback => peer
            .narrator()
            .explain(format_args!("C-FIND: some answers went out in the fall-back character set")),
        Converted::Not => peer.narrator().warn(format_args!(
            "C-FIND: some answers do not fit the requested character set and keep their own"
        )),
    }
}
