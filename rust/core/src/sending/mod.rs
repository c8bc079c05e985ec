//! Files on their way to a peer: looked at, grouped by presentation contexts, sent one by one.
//!
//! What DCMTK's `storescu` and `dcmsend` do between the command line and the exit code. A [`Job`]
//! knows every file, what came of it and who tells it; a [`Group`] is what one association can
//! carry; a [`Worker`] sends a group's files over an association, and reads the next one while the
//! peer answers. Several workers may share a group (`--associations`). Which transfer syntaxes are
//! proposed for which kind of file is the front end's affair; what is chosen of those that the peer
//! accepted is decided here. Source: PS3.4 Annex B, PS3.7 §9.1.1. Called by `dcmfast._rust`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::invent::{Counts, Inventor};
use self::narration::Lines;
use self::object::{Body, Fault, Object, Wanted, prepare};
use crate::client::send::DataSet;
use crate::client::{ClientError, NegotiatedContext, Requestor};
use crate::dataset::rewrite::{OutputEncoding, is_convertible};
use crate::dataset::transfer_syntax::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
};
use crate::dimse::service::{DataSetType, Priority, StoreRequest};
use crate::dimse::status::{Status, StatusClass};
use crate::limits::PRESENTATION_CONTEXTS_MAX;
use crate::log::Logger;
use crate::storage::backend::survey::rename_file;
use crate::storage::reader::{InputFormat, ReadError};
use crate::uid::{Uid, UidText};

pub mod check;
pub mod invent;
pub mod narration;
pub mod object;
pub mod report;

/// Media Storage Directory Storage, PS3.10 §8.6.
const DICOMDIR: &[u8] = b"1.2.840.10008.1.3.10";

/// Whose words and rules hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Ends at the first object that is not stored, with its status.
    Storescu,
    /// Goes on whatever a peer answers, and sums up.
    Dcmsend,
}

/// What the front end decided.
pub struct Plan {
    /// Whose words and rules hold.
    pub dialect: Dialect,
    /// Which formats the files may have.
    pub format: InputFormat,
    /// The first file that cannot be sent, or is not stored, ends the work.
    pub is_halting: bool,
    /// UIDs must be what they should be (not with `-nuc`).
    pub checks_uids: bool,
    /// Each file so many times in a row.
    pub repeat: usize,
    /// A deflated context is taken before that of a file's own transfer syntax.
    pub prefers_deflated: bool,
    /// How a data set is written that does not travel as it is; the transfer syntax follows from
    /// the context.
    pub encoding: OutputEncoding,
    /// `.done` or `.bad` is appended to the names of files that were dealt with.
    pub renames: bool,
    /// Progress is shown on standard output, where nothing else goes.
    pub has_dots: bool,
    /// Objects get new identities.
    pub invention: Option<Counts>,
    /// A DICOMDIR stands for the files that it names.
    pub reads_dicomdir: bool,
}

/// Files alike: SOP class and transfer syntax, which decide what is proposed.
pub type Kind = (Uid, Uid);
/// One presentation context: abstract syntax and transfer syntaxes.
pub type Context = (Uid, Vec<Uid>);

struct Entry {
    path: PathBuf,
    kind: usize,
    instance: UidText,
}

/// What has become of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    #[default]
    Unsent,
    /// There was no context for it.
    NoContext,
    /// It could not be read, or not be converted.
    Bad,
    /// It was sent, and the association ended before the answer.
    Unanswered,
    /// The peer's answer.
    Answered(Status),
}

impl State {
    fn is_failure(self) -> bool {
        matches!(self, Self::Answered(status) if !is_good(status))
    }
}

/// Stored, if with a warning.
fn is_good(status: Status) -> bool {
    matches!(status.class(), StatusClass::Success | StatusClass::Warning)
}

/// The same with what reports tell.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What has become of it.
    pub state: State,
    /// Number of the association, from 1.
    pub association: u32,
    /// Its presentation context.
    pub context_id: u8,
    /// The transfer syntax in which it travelled.
    pub sent_as: Option<Uid>,
    /// Length of its data set in the file, in bytes.
    pub bytes: u64,
    /// Why it was not sent, in words.
    pub reason: Option<Box<str>>,
}

/// What one association carries.
#[derive(Debug)]
pub struct Group {
    /// What is proposed.
    pub contexts: Vec<Context>,
    entries: Vec<u32>,
    /// The next file of this group, repetitions counted.
    next: AtomicUsize,
}

impl Group {
    /// Under which number a SOP class was proposed in a transfer syntax; 0 if it was not.
    fn proposed_as(&self, class: &[u8], syntax: &Uid) -> u8 {
        let is_it =
            |(one, syntaxes): &Context| one.as_bytes() == class && syntaxes.contains(syntax);
        // In their order, each an odd number (PS3.8 §9.3.2.2).
        let at = self.contexts.iter().position(is_it);
        at.and_then(|at| u8::try_from(2 * at + 1).ok()).unwrap_or(0)
    }

    /// How many files it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True for a group without files.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// How files are put into groups where they need more contexts than an association has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// As few groups as there can be; files of a kind stay together.
    ByKind,
    /// In the order of the files.
    InOrder,
}

/// All files, and what came of them.
pub struct Job {
    /// What the front end decided.
    pub plan: Plan,
    lines: Lines,
    inventor: Option<Mutex<Inventor>>,
    entries: Vec<Entry>,
    kinds: Vec<Kind>,
    kind_numbers: HashMap<Kind, usize>,
    outcomes: Mutex<Vec<Outcome>>,
    done: AtomicUsize,
    is_ended: AtomicBool,
    contexts_proposed: AtomicUsize,
    associations: AtomicUsize,
}

/// A file that cannot be sent, found before anything is sent.
#[derive(Debug)]
pub struct BadFile {
    /// As it was typed or found.
    pub path: PathBuf,
    /// In DCMTK's words where it has some.
    pub reason: String,
    /// It could not even be opened.
    pub is_missing: bool,
}

impl Job {
    /// A job without files.
    pub fn new(plan: Plan, logger: Arc<Logger>) -> Self {
        Self {
            lines: Lines::new(logger, plan.dialect, plan.has_dots),
            inventor: plan.invention.map(|counts| Mutex::new(Inventor::new(counts))),
            plan,
            entries: Vec::new(),
            kinds: Vec::new(),
            kind_numbers: HashMap::new(),
            outcomes: Mutex::new(Vec::new()),
            done: AtomicUsize::new(0),
            is_ended: AtomicBool::new(false),
            contexts_proposed: AtomicUsize::new(0),
            associations: AtomicUsize::new(0),
        }
    }

    /// Looks at a file and takes it in.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent.
    pub fn add(&mut self, path: PathBuf) -> Result<(), BadFile> {
        self.lines.adding(&path);
        let instance = match check::look(&path, self.plan.format) {
            Ok(instance) => instance,
            Err(error) => {
                let is_missing = matches!(error, ReadError::Io(_));
                return Err(BadFile { reason: check::reason(&error), path, is_missing });
            }
        };
        if self.plan.reads_dicomdir && instance.sop_class_uid.as_bytes() == DICOMDIR {
            return self.add_directory(&path);
        }
        let known = if self.plan.checks_uids {
            check::uids(&instance)
        } else {
            instance.sop_class_uid.to_uid().ok_or("Invalid SOP Class UID")
        };
        let class = match known {
            Ok(class) => class,
            Err(reason) => {
                return Err(BadFile { path, reason: reason.into(), is_missing: false });
            }
        };
        self.lines.added(&instance.sop_instance_uid);
        let kind = self.kind((class, instance.transfer_syntax));
        self.entries.push(Entry { path, kind, instance: instance.sop_instance_uid });
        Ok(())
    }

    /// Takes in what a DICOMDIR names, up to the first that cannot be sent.
    fn add_directory(&mut self, path: &Path) -> Result<(), BadFile> {
        let bad = |path: &Path, reason: String| {
            let path = path.to_path_buf();
            Err(BadFile { path, reason, is_missing: false })
        };
        let files = match check::files_of(path) {
            Ok(files) => files,
            Err(reason) => return bad(path, reason),
        };
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let before = self.entries.len();
        for file in files {
            let mut name = folder.to_path_buf();
            name.extend(&file.file_id);
            let kind = if file.is_within() {
                check::record(&file, self.plan.checks_uids)
            } else {
                Err("Invalid DICOMDIR: the file ID leads out of the file set")
            };
            match kind {
                Ok((class, syntax, uid)) => {
                    self.lines.added(&uid);
                    let kind = self.kind((class, syntax));
                    self.entries.push(Entry { path: name, kind, instance: uid });
                }
                Err(reason) => {
                    self.lines.bad_record(&name, reason);
                    if self.plan.is_halting {
                        return bad(path, reason.to_owned());
                    }
                }
            }
        }
        if self.entries.len() == before {
            return bad(path, "Invalid DICOMDIR: it names no file that can be sent".to_owned());
        }
        Ok(())
    }

    fn kind(&mut self, kind: Kind) -> usize {
        let next = self.kinds.len();
        let number = *self.kind_numbers.entry(kind).or_insert(next);
        if number == next {
            self.kinds.push(kind);
        }
        number
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True before the first file.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The kinds of the files, in the order in which they came.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Files dealt with so far, repetitions counted.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Puts the files into groups. `needed` has the contexts of each kind; a kind that has none
    /// travels on those of `fixed`, which every group proposes, or is not sent where `refused` says
    /// so. What is left of 128 contexts is filled up from `spare` while there is one group only.
    pub fn group(
        &self,
        needed: &[Vec<Context>],
        refused: &[bool],
        (fixed, spare): (&[Context], &[Context]),
        grouping: Grouping,
    ) -> Vec<Group> {
        let empty = || Group { contexts: fixed.to_vec(), entries: vec![], next: 0.into() };
        let mut groups = vec![empty()];
        let mut group_of_kind: Vec<Option<usize>> = vec![None; self.kinds.len()];
        for (number, entry) in (0..).zip(&self.entries) {
            if refused.get(entry.kind).is_some_and(|refused| *refused) {
                self.set(number, |outcome| outcome.state = State::NoContext);
                continue;
            }
            let known = group_of_kind[entry.kind]
                .filter(|at| grouping == Grouping::ByKind || at + 1 == groups.len());
            let at = known.unwrap_or_else(|| {
                let wanted = needed.get(entry.kind).map_or(&[][..], Vec::as_slice);
                let last = groups.len() - 1;
                let room = PRESENTATION_CONTEXTS_MAX.saturating_sub(groups[last].contexts.len());
                let new = |group: &Group| {
                    wanted.iter().filter(|one| !group.contexts.contains(one)).count()
                };
                if new(&groups[last]) > room {
                    groups.push(empty());
                }
                let last = groups.len() - 1;
                let group = &mut groups[last];
                for context in wanted {
                    let has_room = group.contexts.len() < PRESENTATION_CONTEXTS_MAX;
                    if has_room && !group.contexts.contains(context) {
                        group.contexts.push(context.clone());
                    }
                }
                group_of_kind[entry.kind] = Some(last);
                last
            });
            groups[at].entries.push(number);
        }
        if let [group] = &mut groups[..] {
            for context in spare {
                let is_known = group.contexts.iter().any(|(class, _)| *class == context.0);
                let classes = spare.iter().filter(|(class, _)| *class == context.0).count();
                let is_begun = group.contexts.last().is_some_and(|(class, _)| *class == context.0);
                let room = PRESENTATION_CONTEXTS_MAX - group.contexts.len();
                if (!is_known && room >= classes) || (is_begun && room > 0) {
                    group.contexts.push(context.clone());
                }
            }
        }
        groups.retain(|group| !group.is_empty());
        groups
    }

    /// Marks files as those for which the peer has no context.
    pub fn refuse(&self, group: &Group) {
        for number in &group.entries {
            let kind = self.entries.get(*number as usize).and_then(|one| self.kinds.get(one.kind));
            let proposed_as =
                kind.map_or(0, |(class, syntax)| group.proposed_as(class.as_bytes(), syntax));
            self.set(*number, |outcome| {
                if outcome.state == State::Unsent {
                    outcome.state = State::NoContext;
                    outcome.context_id = proposed_as;
                }
            });
        }
    }

    /// An association begins; gives its number, from 1.
    pub fn begin_association(&self, contexts: usize) -> u32 {
        self.contexts_proposed.fetch_add(contexts, Ordering::Relaxed);
        let before = self.associations.fetch_add(1, Ordering::Relaxed);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }

    /// No worker begins another file.
    pub fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    fn outcomes(&self) -> MutexGuard<'_, Vec<Outcome>> {
        let mut guard = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.len() < self.entries.len() {
            guard.resize(self.entries.len(), Outcome::default());
        }
        guard
    }

    fn set(&self, number: u32, change: impl FnOnce(&mut Outcome)) {
        if let Some(outcome) = self.outcomes().get_mut(number as usize) {
            change(outcome);
        }
    }
}

/// How a worker's turn ended.
#[derive(Debug)]
pub enum Turn {
    /// The group is done.
    Done,
    /// The time is over; there is more to do.
    More,
    /// An object was not stored, and that ends the work.
    Refused(Status),
    /// A file could not be sent, and that ends the work: DCMTK's condition and words.
    Halted(String, String),
    /// The association is of no more use.
    Lost(ClientError),
}

/// Sends files of a group over one association.
pub struct Worker {
    job: Arc<Job>,
    group: Arc<Group>,
    association: u32,
    contexts: Vec<NegotiatedContext>,
    ahead: Option<(Place, Result<Object, Fault>)>,
    spare: Vec<u8>,
}

/// A file's turn.
#[derive(Clone, Copy)]
struct Place {
    number: u32,
    is_last_time: bool,
}

impl Worker {
    /// A worker on `requestor`'s contexts.
    pub fn new(job: Arc<Job>, group: Arc<Group>, association: u32, requestor: &Requestor) -> Self {
        let contexts = requestor.contexts().to_vec();
        Self { job, group, association, contexts, ahead: None, spare: Vec::new() }
    }

    /// Sends files until the group is done, something ends the work, or `until` has come.
    pub fn turn(&mut self, requestor: &mut Requestor, until: Option<Instant>) -> Turn {
        let job = Arc::clone(&self.job);
        while let Some((place, object)) = self.next_object() {
            if let Some(end) = self.send(requestor, place, object) {
                job.end();
                return end;
            }
            job.done.fetch_add(1, Ordering::Relaxed);
            if job.is_ended.load(Ordering::Relaxed) {
                break;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Turn::More;
            }
        }
        Turn::Done
    }

    /// What was read ahead, unless another worker has ended the work since; or the next one.
    fn next_object(&mut self) -> Option<(Place, Result<Object, Fault>)> {
        if self.job.is_ended.load(Ordering::Relaxed) {
            return None;
        }
        self.ahead.take().or_else(|| self.read_next())
    }

    /// Takes the next file and reads it.
    fn read_next(&mut self) -> Option<(Place, Result<Object, Fault>)> {
        if self.job.is_ended.load(Ordering::Relaxed) {
            return None;
        }
        let repeat = self.job.plan.repeat.max(1);
        let turn = self.group.next.fetch_add(1, Ordering::Relaxed);
        let number = *self.group.entries.get(turn / repeat)?;
        let place = Place { number, is_last_time: turn % repeat + 1 == repeat };
        let entry = self.job.entries.get(number as usize)?;
        let plan = &self.job.plan;
        let choose = |class: &UidText, syntax: &Uid| {
            choose(&self.contexts, class, syntax, plan.prefers_deflated)
        };
        let inventor = self.job.inventor.as_ref();
        let identity =
            inventor.map(|one| one.lock().unwrap_or_else(PoisonError::into_inner).invent());
        let (format, encoding) = (plan.format, plan.encoding);
        let wanted = Wanted { format, encoding, choose: &choose, identity };
        let object = prepare(&entry.path, &wanted, std::mem::take(&mut self.spare));
        Some((place, object))
    }

    /// Sends one file; gives what ends the work.
    fn send(
        &mut self,
        requestor: &mut Requestor,
        place: Place,
        object: Result<Object, Fault>,
    ) -> Option<Turn> {
        let job = Arc::clone(&self.job);
        let entry = job.entries.get(place.number as usize)?;
        let lines = &job.lines;
        lines.sending(&entry.path);
        let object = match object {
            Ok(object) => object,
            Err(fault) => return self.fault(place, &entry.path, &fault),
        };
        lines.oddities(&object.oddities);
        let Object { instance, context, .. } = &object;
        if let Some(invented) = &object.invented {
            lines.inventing(&invented.0, &invented.1);
        }
        let (context_id, sent_as) = *context;
        let (class, uid) = (instance.sop_class_uid, instance.sop_instance_uid);
        lines.converting(&instance.transfer_syntax, &sent_as);
        let message_id = requestor.next_message_id();
        lines.request(message_id, context_id, &class, &uid);
        let bytes = instance.data_set_bytes;
        let association = self.association;
        let outcome = |state, reason: Option<String>| Outcome {
            state,
            association,
            context_id,
            sent_as: Some(sent_as),
            bytes,
            reason: reason.map(Into::into),
        };
        let request = StoreRequest {
            message_id: 0,
            affected_sop_class_uid: Some(class),
            affected_sop_instance_uid: Some(uid),
            priority: Some(Priority::Medium),
            move_originator_ae_title: None,
            move_originator_message_id: None,
            data_set_type: DataSetType::Present,
        };
        lines.begin_dots();
        let fragment_bytes = requestor.fragmenter().fragment_bytes_max();
        let sent = match object.body {
            Body::Memory { bytes, start } => {
                let data_set = bytes.get(start..).unwrap_or_default();
                let sent = requestor.begin_store(context_id, &request, DataSet::Memory(data_set));
                lines.dots(data_set.len().div_ceil(fragment_bytes).max(1));
                self.spare = bytes;
                sent
            }
            Body::Stream(stream) => {
                let mut stream = lines.dotted(stream, fragment_bytes);
                requestor.begin_store(context_id, &request, DataSet::Stream(&mut stream))
            }
        };
        lines.end_dots();
        let sent = match sent {
            Ok(sent) => sent,
            Err(ClientError::Unsent(error)) => {
                let fault = Fault::of_io(&error);
                return self.fault(place, &entry.path, &fault);
            }
            Err(error) => {
                job.set(place.number, |known| {
                    *known = outcome(State::Unanswered, Some(error.to_string()));
                });
                self.rename(place, false);
                lines.failed(&entry.path, &error, true);
                return Some(Turn::Lost(error));
            }
        };
        // While the peer stores this one.
        self.ahead = self.read_next();
        let status = match requestor.store_status(sent) {
            Ok(status) => status,
            Err(error) => {
                job.set(place.number, |known| {
                    *known = outcome(State::Unanswered, Some(error.to_string()));
                });
                self.rename(place, false);
                lines.failed(&entry.path, &error, false);
                return Some(Turn::Lost(error));
            }
        };
        job.set(place.number, |known| {
            // Of several times (`--repeat`) the gravest answer is told.
            if !known.state.is_failure() || !is_good(status) {
                *known = outcome(State::Answered(status), None);
            }
        });
        let is_stored = is_good(status);
        self.rename(place, is_stored);
        lines.response(status, (message_id, context_id), &class, &uid);
        if is_stored {
            return None;
        }
        lines.not_stored(&entry.path, status);
        let ends = job.plan.is_halting && job.plan.dialect == Dialect::Storescu;
        ends.then_some(Turn::Refused(status))
    }

    /// A file that was not sent.
    fn fault(&mut self, place: Place, path: &Path, fault: &Fault) -> Option<Turn> {
        self.job.set(place.number, |outcome| {
            outcome.state = match fault {
                Fault::NoContext(kind) => {
                    outcome.association = self.association;
                    outcome.context_id = self.group.proposed_as(kind.0.as_bytes(), &kind.1);
                    State::NoContext
                }
                _ => State::Bad,
            };
            outcome.reason = Some(fault.to_string().into());
        });
        self.rename(place, false);
        self.job.lines.fault(path, fault);
        let (code, words) = fault.condition();
        self.job.plan.is_halting.then_some(Turn::Halted(code, words))
    }

    fn rename(&self, place: Place, is_stored: bool) {
        if !self.job.plan.renames || !place.is_last_time {
            return;
        }
        let Some(entry) = self.job.entries.get(place.number as usize) else { return };
        let mut target = entry.path.clone().into_os_string();
        target.push(if is_stored { ".done" } else { ".bad" });
        let result = rename_file(&entry.path, target.as_ref());
        self.job.lines.renamed(&entry.path, target.as_ref(), result);
    }
}

/// The context on which an object of `class` in `syntax` travels, and in which transfer syntax: its
/// own, else one into which it can be converted, in DCMTK's order: explicit, implicit, any.
fn choose(
    contexts: &[NegotiatedContext],
    class: &UidText,
    syntax: &Uid,
    prefers_deflated: bool,
) -> Option<(u8, Uid)> {
    let found = |is_right: &dyn Fn(&str) -> bool| {
        contexts.iter().filter(|context| context.abstract_syntax.text() == *class).find_map(
            |context| {
                let accepted = context.transfer_syntax.filter(|uid| is_right(uid.as_str()))?;
                Some((context.id, accepted))
            },
        )
    };
    let can_change = is_convertible(syntax);
    let deflated = || found(&|uid| uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
    if prefers_deflated && can_change {
        if let Some(context) = deflated() {
            return Some(context);
        }
    }
    let own = found(&|uid| uid == syntax.as_str());
    if own.is_some() || !can_change {
        return own;
    }
    found(&|uid| matches!(uid, EXPLICIT_VR_LITTLE_ENDIAN | EXPLICIT_VR_BIG_ENDIAN))
        .or_else(|| found(&|uid| uid == IMPLICIT_VR_LITTLE_ENDIAN))
        .or_else(deflated)
}
