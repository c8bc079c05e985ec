//! From the identifier of a C-MOVE or C-GET to the instances that it matches.
//!
//! By the rules of `index::query` for retrieval. First everything that was acknowledged is waited
//! for (the barrier); then page by page, a short transaction each, with a look between two of them
//! whether the requestor has cancelled. DCMTK sends in order of arrival, and so do we: what was found
//! study by study is put in that order, up to [`RETRIEVE_SORTED_INSTANCES_MAX`], beyond which the
//! order of the index stays.
//!
//! Where what was acknowledged cannot be listed (a full disk), what is listed is sent all the same
//! (PROMISES.md P6), and the end is no success: the selection says that it is not whole. Called by
//! `server::association`.

use super::keys::MatchKeys;
use super::{Selection, nothing_sent};
use crate::archive::indexed::OpenArea;
use crate::dataset::identifier::{Encoding, Item, inflated};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dimse::status::Status;
use crate::index::IndexError;
use crate::index::query::{Model, Purpose, Query, QueryError, Rules};
use crate::index::search::{Cursor, Progress};
use crate::limits::{RETRIEVE_KEYS_BYTES_MAX, RETRIEVE_SORTED_INSTANCES_MAX};
use crate::server::answers;
use crate::server::peer::{Ended, Operation, Peer};

/// The instances that `operation` asks for; `None` when it was answered already.
///
/// # Errors
///
/// The association ended.
pub fn select(
    peer: &mut Peer<'_, '_>,
    operation: &Operation,
    open: &OpenArea,
    rules: Rules,
) -> Result<Option<Selection>, Ended> {
    match matches(peer, operation, open, rules)? {
        Ok(selection) => Ok(Some(selection)),
        Err(status) => {
            let response = nothing_sent(&operation.request, status);
            peer.respond(operation, &response, None)?;
            Ok(None)
        }
    }
}

fn matches(
    peer: &mut Peer<'_, '_>,
    operation: &Operation,
    open: &OpenArea,
    rules: Rules,
) -> Result<Result<Selection, Status>, Ended> {
    let syntax = TransferSyntax::of(&operation.context.transfer_syntax);
    let encoding = Encoding::of(syntax);
    let service = operation.request.service.text();
    let Some(model) = Model::of(operation.context.abstract_syntax.as_bytes()) else {
        return Ok(Err(Status::SOP_CLASS_NOT_SUPPORTED));
    };
    let bytes = inflated(syntax, &operation.identifier).map_err(QueryError::Identifier);
    let compiled = bytes.as_deref().map_err(|error| *error).and_then(|bytes| {
        let item = Item::read(bytes, encoding).map_err(QueryError::Identifier)?;
        Query::compile(&item, encoding, model, rules, Purpose::Retrieve)
    });
    let query = match compiled {
        Ok(query) => query,
        Err(error) => {
            let status = answers::query_status(&error, rules);
            peer.narrator().query_refused(operation.request.service, status, &error);
            return Ok(Err(status));
        }
    };
    let barrier = open.area.barrier();
    if let Err(reason) = &barrier {
        peer.narrator().warn(format_args!("C-{service} without the newest objects: {reason}"));
    }
    let (mut keys, mut cursor) = (MatchKeys::default(), Cursor::default());
    loop {
        match page(&query, open, &mut cursor, &mut keys) {
            Ok(Progress::Done) => {
                let keys = keys.in_order_of_arrival();
                return Ok(Ok(Selection { keys, is_whole: barrier.is_ok() }));
            }
            Ok(Progress::More) if keys.are_too_many() => {
                let count = keys.len();
                peer.narrator().complain(format_args!(
                    "C-{service} refused: more than {count} instances match, which is too many"
                ));
                return Ok(Err(Status::TOO_MANY_MATCHES));
            }
            Ok(Progress::More) => {}
            Err(error) => {
                peer.narrator().complain(format_args!("C-{service}: {error}"));
                return Ok(Err(answers::index_status(operation.request.service, &error)));
            }
        }
        if peer.is_cancelled()? {
            return Ok(Err(Status::CANCEL));
        }
    }
}

/// One short transaction.
fn page(
    query: &Query<'_>,
    open: &OpenArea,
    cursor: &mut Cursor,
    keys: &mut MatchKeys,
) -> Result<Progress, IndexError> {
    let reader = open.index.read()?;
    query.page(&reader, cursor, |found| {
        if let Some(instance) = found.instance() {
            keys.push(instance.key(), instance.sop_instance());
        }
        true
    })
}

impl MatchKeys {
    /// True when they take more memory than there is for them.
    fn are_too_many(&self) -> bool {
        self.bytes() > RETRIEVE_KEYS_BYTES_MAX
    }

    /// In the order in which they arrived, where they are not too many to be put into it.
    fn in_order_of_arrival(self) -> Self {
        let is_ordered = self.iter().is_sorted_by_key(|matched| matched.key.number);
        if is_ordered || self.len() > RETRIEVE_SORTED_INSTANCES_MAX {
            return self;
        }
        self.sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::InstanceKey;

    /// Two series that arrived in turns are sent as they arrived.
    #[test]
    fn order_of_arrival() {
        let key = |series, number| InstanceKey { series, number };
        let mut keys = MatchKeys::default();
        for key in [key(1, 1), key(1, 3), key(2, 2), key(2, 4)] {
            keys.push(key, format!("1.{}", key.number).as_bytes());
        }
        let keys = keys.in_order_of_arrival();
        for matched in &keys {
            let uid = format!("1.{}", matched.key.number);
            assert_eq!(matched.sop_instance.unwrap().as_bytes(), uid.as_bytes());
        }
        let ordered: Vec<_> = keys.iter().map(|matched| matched.key).collect();
        assert_eq!(ordered, [key(1, 1), key(2, 2), key(1, 3), key(2, 4)]);
    }

    /// limits::RETRIEVE_KEYS_BYTES_MAX, to the byte.
    #[test]
    fn edge_of_memory() {
        let mut keys = MatchKeys::default();
        // The largest differences, of ten bytes each way, and then the smallest.
        let far = InstanceKey { series: 1 << 63, number: 1 << 63 };
        let mut at = InstanceKey::default();
        while keys.bytes() < RETRIEVE_KEYS_BYTES_MAX - 40 {
            at = if at == far { InstanceKey::default() } else { far };
            keys.push(at, b"");
        }
        while keys.bytes() < RETRIEVE_KEYS_BYTES_MAX - 3 {
            at.number = at.number.wrapping_add(1);
            keys.push(at, b"");
        }
        if keys.bytes() == RETRIEVE_KEYS_BYTES_MAX - 3 {
            // A difference of two bytes and one of one.
            at.number = at.number.wrapping_add(100);
            keys.push(at, b"");
        } else {
            keys.push(at, b"");
        }
        assert_eq!(keys.bytes(), RETRIEVE_KEYS_BYTES_MAX);
        assert!(!keys.are_too_many());
        keys.push(at, b"");
        assert!(keys.are_too_many());
    }

    /// limits::RETRIEVE_SORTED_INSTANCES_MAX are put in order, one more is left as it is.
    #[test]
    fn edge_of_sorting() {
        for (count, is_sorted) in [(-1, true), (0, true), (1, false)] {
            let count = RETRIEVE_SORTED_INSTANCES_MAX.saturating_add_signed(count);
            let mut keys = MatchKeys::default();
            for number in (1..=count).rev() {
                keys.push(InstanceKey { series: 1, number }, b"");
            }
            let keys = keys.in_order_of_arrival();
            assert_eq!(keys.len(), count);
            assert_eq!(keys.iter().is_sorted_by_key(|one| one.key.number), is_sorted, "{count}");
        }
    }
}
