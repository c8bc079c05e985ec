//! What is asked for, and what comes: identifiers of study root, and who takes the answers.
//!
//! Source: PS3.4 §C.4.1.3, §C.6.2. Called by `worker` and `audit`.

use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3;

use super::Level;
use super::source::{Names, Source};
use crate::client::Requestor;
use crate::client::operate::Taker;
use crate::client::query;
use crate::dataset::compare::{CompareError, Comparison};
use crate::dataset::identifier::{Encoding, Item, Writer};
use crate::dataset::transfer_syntax::TransferSyntax;
use crate::dimse::service::StoreRequest;
use crate::dimse::status::Status;
use crate::tag::{SOP_INSTANCE_UID, Tag};
use crate::uid::{Uid, UidText};
use crate::vr::Vr;

/// Study Root Query/Retrieve Information Model - FIND, MOVE and GET.
pub const STUDY_ROOT: [&str; 3] =
    ["1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"];

const QUERY_RETRIEVE_LEVEL: Tag = Tag::new(0x0008, 0x0052);
const PATIENT_NAME: Tag = Tag::new(0x0010, 0x0010);
const STUDY_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000D);
const SERIES_INSTANCE_UID: Tag = Tag::new(0x0020, 0x000E);

/// An accepted context of the requestor: ID, and how identifiers are written there.
pub fn context_of(requestor: &Requestor, abstract_syntax: &str) -> Option<(u8, Encoding)> {
    let contexts = requestor.contexts().iter();
    let mut accepted = contexts.filter(|one| one.abstract_syntax.as_str() == abstract_syntax);
    accepted.find_map(|one| Some((one.id, Encoding::of(TransferSyntax::of(&one.transfer_syntax?)))))
}

/// The tag whose value tells an entity of the level.
pub const fn key_of(level: Level) -> Tag {
    match level {
        Level::Study => STUDY_INSTANCE_UID,
        Level::Series => SERIES_INSTANCE_UID,
        Level::Image => SOP_INSTANCE_UID,
    }
}

/// The entity of the level to which an object belongs.
pub const fn entity_of(level: Level, names: &Names) -> UidText {
    match level {
        Level::Study => names.study,
        Level::Series => names.series,
        Level::Image => names.instance,
    }
}

/// What an identifier is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// C-FIND of one entity.
    Find,
    /// C-FIND of all entities of the level that are of the same parent: universal matching
    /// (PS3.4 §C.2.2.2.3).
    List,
    /// C-GET or C-MOVE of one entity.
    Retrieve,
}

/// The identifier that asks for the entity of `level` to which an object belongs.
pub fn identifier(level: Level, names: &Names, asking: Asking, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut out, encoding);
    if level == Level::Image {
        let one = if asking == Asking::List { &[] } else { names.instance.as_bytes() };
        writer.text(SOP_INSTANCE_UID, Vr::UI, one);
    }
    let word: &[u8] = match level {
        Level::Study => b"STUDY",
        Level::Series => b"SERIES",
        Level::Image => b"IMAGE",
    };
    writer.text(QUERY_RETRIEVE_LEVEL, Vr(*b"CS"), word);
    if asking == Asking::Find && level == Level::Study {
        writer.text(PATIENT_NAME, Vr(*b"PN"), b"");
    }
    writer.text(STUDY_INSTANCE_UID, Vr::UI, names.study.as_bytes());
    if level != Level::Study {
        writer.text(SERIES_INSTANCE_UID, Vr::UI, names.series.as_bytes());
    }
    out
}

/// Takes the answers of a C-FIND: the UID of each.
pub struct Answers<'a> {
    /// How they are encoded.
    pub encoding: Encoding,
    /// The level asked.
    pub level: Level,
    /// More are the peer's fault.
    pub left: u64,
    /// Is told of each; a UID that is none is empty.
    pub each: &'a mut dyn FnMut(UidText),
}

impl Taker for Answers<'_> {
    fn identifier(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or("more answers than there can be")?;
        let item = Item::read(bytes, self.encoding)
            .map_err(|error| format!("an answer that cannot be read: {error}"))?;
        if let Some(uid) = UidText::new(item.value(key_of(self.level))) {
            (self.each)(uid);
        }
        Ok(())
    }
}

impl query::Objects for Answers<'_> {
    fn object(&mut self, _context_id: u8, _request: &StoreRequest) {}

    fn fragment(&mut self, _bytes: &[u8]) {}

    fn object_end(&mut self) -> Status {
        Status::UNRECOGNIZED_OPERATION
    }
}

/// What is said of an object that came, beside the one that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it was not compared, and why if it should have been.
    NotCompared(Option<String>),
    /// Every element has the value that was sent.
    Same,
    /// One has not; which.
    Differs(String),
}

/// An object that came.
#[derive(Clone, Debug)]
pub struct Came {
    /// SOP Instance UID of the request, if it has one.
    pub instance: Option<UidText>,
    /// Transfer syntax of its context.
    pub syntax: Option<Uid>,
    /// Length of its data set.
    pub bytes: u64,
    /// Whether it is as it was.
    pub verdict: Verdict,
}

impl Came {
    const NOTHING: Self =
        Self { instance: None, syntax: None, bytes: 0, verdict: Verdict::NotCompared(None) };
}

/// An object beside the one that was sent.
struct Beside {
    object: u32,
    syntax: Uid,
    comparison: Comparison<Box<dyn Read>>,
    /// For an object of ours that is no data set: it can come back byte by byte only.
    digest: Xxh3,
}

/// Takes the objects of a C-GET. Nothing of them is kept.
pub struct Objects<'a> {
    syntaxes: Vec<(u8, Uid)>,
    /// What they are compared with, if they are.
    source: Option<&'a Source>,
    in_hand: Came,
    beside: Option<Beside>,
    left: u64,
    each: &'a mut dyn FnMut(Came),
}

impl<'a> Objects<'a> {
    /// Tells `each` of every object, compared with that of `source` where one is given; `left` more
    /// than that are the peer's fault.
    pub fn new(
        requestor: &Requestor,
        source: Option<&'a Source>,
        left: u64,
        each: &'a mut dyn FnMut(Came),
    ) -> Self {
        let contexts = requestor.contexts().iter();
        Self {
            syntaxes: contexts.filter_map(|one| Some((one.id, one.transfer_syntax?))).collect(),
            source,
            in_hand: Came::NOTHING,
            beside: None,
            left,
            each,
        }
    }

    /// Puts what was sent beside what begins to come.
    fn put_beside(&mut self) -> Option<Beside> {
        let (source, syntax) = (self.source?, self.in_hand.syntax?);
        let object = source.object_named(&self.in_hand.instance?)?;
        match source.stored(object) {
            Ok((stored, stored_in)) => Some(Beside {
                object,
                syntax,
                comparison: Comparison::new(
                    stored,
                    TransferSyntax::of(&stored_in),
                    TransferSyntax::of(&syntax),
                ),
                digest: Xxh3::new(),
            }),
            Err(error) => {
                self.in_hand.verdict = unreadable(&error);
                None
            }
        }
    }
}

fn unreadable(error: &io::Error) -> Verdict {
    Verdict::NotCompared(Some(format!("an object that was sent cannot be read again: {error}")))
}

impl Beside {
    fn verdict(self, source: Option<&Source>) -> Verdict {
        match self.comparison.finish() {
            Ok(None) => Verdict::Same,
            Ok(Some(difference)) => Verdict::Differs(difference.to_string()),
            Err(CompareError::Io(error)) => unreadable(&error),
            Err(CompareError::Disorder(tag)) => Verdict::NotCompared(Some(format!(
                "an object that was sent is not in the order of tags at {tag}, and came in another"
            ))),
            Err(CompareError::Expected(error)) => {
                let digest = source.map(|source| source.digest(self.object, &self.syntax));
                match digest {
                    Some(Ok(digest)) if digest == self.digest.digest() => Verdict::Same,
                    _ => Verdict::Differs(format!("what was sent is no data set: {error}")),
                }
            }
        }
    }
}

impl Taker for Objects<'_> {
    /// A pending response of C-GET and C-MOVE has none; one that has is of no use.
    fn identifier(&mut self, _bytes: &[u8]) -> Result<(), String> {
        self.left = self.left.checked_sub(1).ok_or("more answers than there can be")?;
        Ok(())
    }
}

impl query::Objects for Objects<'_> {
    fn object(&mut self, context_id: u8, request: &StoreRequest) {
        let syntax = self.syntaxes.iter().find(|(id, _)| *id == context_id).map(|(_, uid)| *uid);
        let instance = request.affected_sop_instance_uid;
        self.in_hand = Came { instance, syntax, ..Came::NOTHING };
        self.beside = self.put_beside();
    }

    fn fragment(&mut self, bytes: &[u8]) {
        self.in_hand.bytes += bytes.len() as u64;
        if let Some(beside) = &mut self.beside {
            beside.comparison.feed(bytes);
            beside.digest.update(bytes);
        }
    }

    fn object_end(&mut self) -> Status {
        let beside = self.beside.take();
        // More than there can be is refused; the peer may go on, and nothing is kept of it.
        let Some(left) = self.left.checked_sub(1) else { return Status::OUT_OF_RESOURCES };
        self.left = left;
        let mut came = std::mem::replace(&mut self.in_hand, Came::NOTHING);
        if let Some(beside) = beside {
            came.verdict = beside.verdict(self.source);
        }
        (self.each)(came);
        Status::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::query::Objects as _;
    use crate::limits::LOAD_OPERATION_OBJECTS_MAX;

    /// limits::LOAD_OPERATION_OBJECTS_MAX answers or objects are taken; one more ends a C-FIND, and is
    /// refused in a C-GET. Neither is counted.
    #[test]
    fn edge_of_what_one_operation_brings() {
        let encoding = Encoding::EXPLICIT_LITTLE;
        let names = Names {
            class: Uid::known("1.2").text(),
            instance: Uid::known("1.2.3").text(),
            study: Uid::known("1.3").text(),
            series: Uid::known("1.4").text(),
        };
        let answer = identifier(Level::Image, &names, Asking::Find, encoding);
        let left = LOAD_OPERATION_OBJECTS_MAX;
        let mut count = 0_u64;
        let mut each = |uid| count += u64::from(uid == names.instance);
        let mut answers = Answers { encoding, level: Level::Image, left, each: &mut each };
        assert!((0..left).all(|_| answers.identifier(&answer).is_ok()));
        assert!(answers.identifier(&answer).is_err());
        assert_eq!(count, left);
        let mut count = 0_u64;
        let mut each = |_: Came| count += 1;
        let (syntaxes, in_hand) = (Vec::new(), Came::NOTHING);
        let mut objects =
            Objects { syntaxes, source: None, in_hand, beside: None, left, each: &mut each };
        assert!((0..left).all(|_| objects.object_end() == Status::SUCCESS));
        assert_eq!(objects.object_end(), Status::OUT_OF_RESOURCES);
        assert_eq!(count, left);
    }
}
