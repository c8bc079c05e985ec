//! The audit: what the peer has, compared with the ledger, object by object.
//!
//! Every series of which an object was acknowledged is listed with a C-FIND and retrieved with a C-GET.
//! An object that the peer acknowledged and neither lists nor sends is lost; one that it only lists is
//! not sent, one that it only sends is not listed; one whose data set has an element with another value
//! than was sent (`dataset::compare` says what an archive may encode otherwise) is altered; one that is
//! listed or sent twice is duplicated. That something did not come is said of each series whose list, or
//! C-GET, ended well: trouble with one series hides nothing of another. Objects are made or read again to
//! be compared; of what comes nothing is kept but a few bits for each object. Called through
//! [`Audit::start`].

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::query::{Answers, Asking, Came, Objects, STUDY_ROOT, Verdict, context_of, identifier};
use super::source::{Names, Source};
use super::worker::{query_syntaxes, words};
use super::{Level, Shared, start};
use crate::client::{Proposal, Requestor};
use crate::dataset::identifier::Encoding;
use crate::dimse::service::QueryService;
use crate::dimse::status::{Operation, Status, StatusClass};
use crate::limits::{
    LOAD_AUDIT_S_MAX, LOAD_COUNT_MAX, LOAD_FAILURES_IN_A_ROW_MAX, LOAD_FINDINGS_MAX,
    PRESENTATION_CONTEXTS_MAX,
};
use crate::uid::{Uid, UidText};
use crate::ul::pdu::RoleSelection;

/// What is known of an object, in bits.
mod bit {
    pub const ACKNOWLEDGED: u8 = 1;
    pub const TRIED: u8 = 2;
    pub const LISTED: u8 = 4;
    pub const TWICE: u8 = 8;
    pub const CAME: u8 = 16;
    pub const ALTERED: u8 = 32;
    pub const CAME_TWICE: u8 = 64;
    pub const NOT_COMPARED: u8 = 128;
}

/// What is known of a series, in bits.
mod ended_well {
    pub const LIST: u8 = 1;
    pub const GET: u8 = 2;
}

/// Texts that say what kept an audit from its end.
const TEXTS_MAX: usize = 20;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Objects that the peer acknowledged.
    pub acknowledged: u64,
    /// Of these: listed once, sent once, as they were.
    pub whole: u64,
    /// Acknowledged, and neither listed nor sent.
    pub lost: u64,
    /// Listed and not sent.
    pub not_sent: u64,
    /// Sent and not listed.
    pub not_listed: u64,
    /// Acknowledged, and it cannot be said what became of them.
    pub not_compared: u64,
    /// The data set that came is another.
    pub altered: u64,
    /// Listed or sent more than once.
    pub duplicated: u64,
    /// There, although the peer refused it or did not answer.
    pub unacknowledged: u64,
    /// Objects of these series that are none of ours.
    pub unknown: u64,
    /// Objects that came, and their bytes.
    pub retrieved: (u64, u64),
    /// What kept the audit from its end, in words; nothing when all was compared.
    pub incomplete: Vec<String>,
    /// What the peer did wrong when all was compared.
    pub remarks: Vec<String>,
    /// What is wrong, the SOP Instance UID, and of an altered object where; no more than
    /// [`LOAD_FINDINGS_MAX`].
    pub findings: Vec<(&'static str, String, String)>,
    /// How long it took.
    pub elapsed: Duration,
}

/// An audit under way.
#[derive(Debug)]
pub struct Audit {
    job: JoinHandle<Report>,
    series: Arc<[AtomicU64; 2]>,
}

impl Audit {
    /// Begins.
    ///
    /// # Errors
    ///
    /// The system's, which gives no thread.
    pub fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let series: Arc<[AtomicU64; 2]> = Arc::default();
        let told = Arc::clone(&series);
        shared.end_within(Duration::from_secs(LOAD_AUDIT_S_MAX.into()));
        let job = start(shared, move |shared| {
            let begun = Instant::now();
            let mut report = Auditor::new(shared, &told).work();
            report.elapsed = begun.elapsed();
            report
        })?;
        Ok(Self { job, series })
    }

    /// Series that are done, and all.
    pub fn progress(&self) -> (u64, u64) {
        let [done, all] = &*self.series;
        (done.load(Ordering::Relaxed), all.load(Ordering::Relaxed))
    }

    /// Waits for the end.
    pub fn finish(self) -> Report {
        self.job.join().unwrap_or_else(|_| Report {
            incomplete: vec!["a thread of ours broke down".into()],
            ..Report::default()
        })
    }
}

/// An association of an audit, and its contexts.
struct Peer {
    requestor: Requestor,
    find: (u8, Encoding),
    get: Option<(u8, Encoding)>,
}

struct Auditor<'s> {
    shared: &'s Shared,
    progress: &'s [AtomicU64; 2],
    /// The object that the first of `objects` is.
    first: u32,
    objects: Vec<u8>,
    /// The series of each object that was tried.
    series_of: Vec<u32>,
    series: Vec<u8>,
    /// What of an altered object differs.
    where_altered: HashMap<u32, String>,
    report: Report,
}

/// Notes what `came` says of the object `uid`; false if it is none of ours, of this run or another.
fn note(source: &Source, first: u32, objects: &mut [u8], uid: &UidText, seen: [u8; 2]) -> bool {
    let Some(object) = source.object_named(uid) else { return false };
    let place = object.checked_sub(first);
    if let Some(bits) = place.and_then(|place| objects.get_mut(place as usize)) {
        let [once, twice] = seen;
        *bits |= if *bits & once == 0 { once } else { twice };
    }
    true
}

impl<'s> Auditor<'s> {
    fn new(shared: &'s Shared, progress: &'s [AtomicU64; 2]) -> Self {
        let plan = &shared.plan;
        let first = match plan.source {
            Source::Recipe(_) => plan.known,
            Source::Files { .. } => 0,
        };
        let mut objects = vec![0; plan.source.objects(plan.count) as usize];
        for (store, entry) in shared.ledger.begun() {
            let object = plan.source.object_of(plan.known.saturating_add(store));
            let place = object.checked_sub(first).map_or(usize::MAX, |place| place as usize);
            if let Some(bits) = objects.get_mut(place) {
                *bits |= if entry.is_acknowledged() { bit::ACKNOWLEDGED } else { bit::TRIED };
            }
        }
        Self {
            shared,
            progress,
            first,
            series_of: vec![0; objects.len()],
            series: Vec::new(),
            objects,
            where_altered: HashMap::new(),
            report: Report::default(),
        }
    }

    fn work(mut self) -> Report {
        let source = &self.shared.plan.source;
        let mut seen = HashMap::new();
        let mut series = Vec::new();
        let objects = (self.first..).zip(&self.objects).zip(&mut self.series_of);
        for ((object, _), series_of) in objects.filter(|((_, bits), _)| **bits != 0) {
            let names = source.names(object);
            *series_of = *seen.entry((names.study, names.series)).or_insert_with(|| {
                series.push(names);
                // No more than there are objects.
                series.len() as u32 - 1
            });
        }
        drop(seen);
        self.series = vec![0; series.len()];
        self.progress[1].store(series.len() as u64, Ordering::Relaxed);
        self.compare(&series);
        self.sum_up();
        self.report
    }

    fn proposal(&self) -> Proposal {
        let plan = &self.shared.plan;
        let [find, _, get] = STUDY_ROOT;
        let mut contexts: Vec<_> =
            [find, get].map(|model| (Uid::known(model), query_syntaxes())).into();
        let mut roles: Vec<RoleSelection> = Vec::new();
        for (class, syntax) in plan.source.contexts() {
            contexts.push((class, vec![syntax]));
            if roles.iter().all(|role| role.sop_class_uid != class.text()) {
                roles.push(RoleSelection { sop_class_uid: class.text(), scu: false, scp: true });
            }
        }
        // An archive may keep what it got in another transfer syntax, as long as it is no compressed one.
        let classes: Vec<UidText> = roles.iter().map(|role| role.sop_class_uid).collect();
        for class in classes.into_iter().filter_map(UidText::to_uid) {
            for syntax in query_syntaxes() {
                let is_there = contexts.contains(&(class, vec![syntax]));
                if !is_there && contexts.len() < PRESENTATION_CONTEXTS_MAX {
                    contexts.push((class, vec![syntax]));
                }
            }
        }
        Proposal { contexts, roles, ..plan.proposal.clone() }
    }

    fn incomplete(&mut self, why: String) {
        let texts = &mut self.report.incomplete;
        if texts.len() < TEXTS_MAX && !texts.contains(&why) {
            texts.push(why);
        }
    }

    /// An association that can list.
    fn associated(&mut self) -> Result<Peer, String> {
        let associated = Requestor::associate(&self.shared.plan.addresses, &self.proposal());
        let requestor = associated.map_err(|error| words(&error))?;
        let [find, _, get] = STUDY_ROOT.map(|model| context_of(&requestor, model));
        let Some(find) = find else {
            let _ = requestor.release();
            return Err("the peer does not accept C-FIND of study root".into());
        };
        if get.is_none() {
            let why = "the peer does not accept C-GET of study root: contents are not compared";
            self.incomplete(why.into());
        }
        Ok(Peer { requestor, find, get })
    }

    /// Lists and retrieves each series, over an association that lasts as long as nothing goes wrong.
    fn compare(&mut self, series: &[Names]) {
        let mut associated: Option<Peer> = None;
        let mut failures = 0;
        for (number, names) in series.iter().enumerate() {
            if self.shared.stop.is_raised() {
                self.incomplete("it was stopped".into());
                break;
            }
            let mut peer = match associated.take().map_or_else(|| self.associated(), Ok) {
                Ok(peer) => peer,
                Err(why) => return self.incomplete(why),
            };
            match self.one(&mut peer, number, names) {
                Ok(()) => {
                    failures = 0;
                    associated = Some(peer);
                }
                Err(why) => {
                    self.incomplete(why);
                    failures += 1;
                    if failures >= LOAD_FAILURES_IN_A_ROW_MAX {
                        return self.incomplete("nothing but failures: it gave up".into());
                    }
                }
            }
            self.progress[0].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(Err(error)) = associated.map(|peer| peer.requestor.release()) {
            self.report.remarks.push(format!("release: {}", words(&error)));
        }
    }

    /// Lists and retrieves a series; an error where the association is of no more use.
    fn one(&mut self, peer: &mut Peer, number: usize, names: &Names) -> Result<(), String> {
        let (listed, wrong) = self.list(&mut peer.requestor, peer.find, names)?;
        self.report.unknown += listed;
        let is_listed = wrong.is_none();
        self.series_ended(number, ended_well::LIST, wrong);
        // Beside a list that is not whole nothing can be said of what comes.
        let Some(get) = peer.get.filter(|_| is_listed) else { return Ok(()) };
        let (came, wrong) = self.retrieve(&mut peer.requestor, get, names)?;
        // The same objects, as far as they were listed.
        self.report.unknown += came.saturating_sub(listed);
        self.series_ended(number, ended_well::GET, wrong);
        Ok(())
    }

    fn series_ended(&mut self, number: usize, what: u8, wrong: Option<String>) {
        match (wrong, self.series.get_mut(number)) {
            (Some(why), _) => self.incomplete(why),
            (None, Some(bits)) => *bits |= what,
            (None, None) => {}
        }
    }

    fn list(
        &mut self,
        requestor: &mut Requestor,
        (context_id, encoding): (u8, Encoding),
        names: &Names,
    ) -> Result<(u64, Option<String>), String> {
        let source = &self.shared.plan.source;
        let asked = identifier(Level::Image, names, Asking::List, encoding);
        let (first, objects) = (self.first, &mut self.objects);
        let mut unknown = 0;
        let mut each = |uid: UidText| {
            let seen = [bit::LISTED, bit::TWICE];
            unknown += u64::from(!note(source, first, objects, &uid, seen));
        };
        let left = u64::from(LOAD_COUNT_MAX);
        let mut answers = Answers { encoding, level: Level::Image, left, each: &mut each };
        let last = requestor
            .operate(QueryService::Find, context_id, None, &asked, &mut answers)
            .map_err(|error| format!("find: {}", words(&error)))?;
        Ok((unknown, unsuccessful(last.status, Operation::Find, "find")))
    }

    fn retrieve(
        &mut self,
        requestor: &mut Requestor,
        (context_id, encoding): (u8, Encoding),
        names: &Names,
    ) -> Result<(u64, Option<String>), String> {
        let source = &self.shared.plan.source;
        let asked = identifier(Level::Series, names, Asking::Retrieve, encoding);
        let (first, objects) = (self.first, &mut self.objects);
        let (mut unknown, mut count, mut bytes) = (0, 0, 0);
        let (mut altered, mut not_compared) = (Vec::new(), None);
        let mut each = |came: Came| {
            count += 1;
            bytes += came.bytes;
            let Some(uid) = came.instance else {
                unknown += 1;
                return;
            };
            if !note(source, first, objects, &uid, [bit::CAME, bit::CAME_TWICE]) {
                unknown += 1;
                return;
            }
            let place = source.object_named(&uid).and_then(|object| object.checked_sub(first));
            let Some(place) = place else { return };
            let object = first + place;
            match (came.verdict, objects.get_mut(place as usize)) {
                (Verdict::Differs(what), Some(bits)) => {
                    *bits |= bit::ALTERED;
                    if altered.len() < LOAD_FINDINGS_MAX {
                        altered.push((object, what));
                    }
                }
                (Verdict::NotCompared(why), Some(bits)) => {
                    *bits |= bit::NOT_COMPARED;
                    not_compared = not_compared.take().or(why);
                }
                _ => {}
            }
        };
        let left = u64::from(LOAD_COUNT_MAX);
        let mut taker = Objects::new(requestor, Some(source), left, &mut each);
        let last = requestor
            .operate(QueryService::Get, context_id, None, &asked, &mut taker)
            .map_err(|error| format!("get: {}", words(&error)))?;
        self.report.retrieved.0 += count;
        self.report.retrieved.1 += bytes;
        let room = LOAD_FINDINGS_MAX.saturating_sub(self.where_altered.len());
        self.where_altered.extend(altered.into_iter().take(room));
        if let Some(why) = not_compared {
            self.incomplete(why);
        }
        Ok((
            unknown,
            match last.status.class() {
                // What did not come is missed below, by its name.
                StatusClass::Warning => None,
                _ => unsuccessful(last.status, Operation::Get, "get"),
            },
        ))
    }

    /// Turns bits into counts.
    fn sum_up(&mut self) {
        let objects = (self.first..).zip(&self.objects).zip(&self.series_of);
        for ((object, bits), series) in objects {
            let ended = self.series.get(*series as usize).copied().unwrap_or_default();
            let has_ended = |what: u8| ended & what != 0;
            let has = |what: u8| bits & what != 0;
            let is_acknowledged = has(bit::ACKNOWLEDGED);
            let report = &mut self.report;
            report.acknowledged += u64::from(is_acknowledged);
            let mut wrong = |what: &'static str| {
                if report.findings.len() < LOAD_FINDINGS_MAX {
                    let uid = self.shared.plan.source.names(object).instance;
                    let uid = String::from_utf8_lossy(uid.as_bytes()).into_owned();
                    let altered = self.where_altered.get(&object).filter(|_| what == "altered");
                    report.findings.push((what, uid, altered.cloned().unwrap_or_default()));
                }
            };
            let is_there = has(bit::LISTED | bit::CAME);
            let faults = bit::ALTERED | bit::TWICE | bit::CAME_TWICE;
            // What was not asked for to the end is not called lost.
            let count = match (has(bit::LISTED), has(bit::CAME)) {
                _ if !is_acknowledged => None,
                (false, false) if has_ended(ended_well::LIST) => {
                    wrong("lost");
                    Some(&mut report.lost)
                }
                (true, false) if has_ended(ended_well::GET) => {
                    wrong("not sent");
                    Some(&mut report.not_sent)
                }
                (false, true) if has_ended(ended_well::LIST) => {
                    wrong("not listed");
                    Some(&mut report.not_listed)
                }
                // Told below.
                (true, true) if has(faults) => None,
                (true, true) if !has(bit::NOT_COMPARED) => Some(&mut report.whole),
                _ => Some(&mut report.not_compared),
            };
            if let Some(count) = count {
                *count += 1;
            }
            if has(bit::ALTERED) {
                report.altered += 1;
                wrong("altered");
            }
            if has(bit::TWICE | bit::CAME_TWICE) {
                report.duplicated += 1;
                wrong("duplicated");
            }
            report.unacknowledged += u64::from(!is_acknowledged && is_there);
        }
    }
}

/// What is wrong with a final status.
fn unsuccessful(status: Status, operation: Operation, what: &str) -> Option<String> {
    let is_wrong = status.class() != StatusClass::Success;
    is_wrong.then(|| format!("{what}: status {:04X}H: {}", status.0, status.text(operation)))
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Entry;
    use super::super::tests::shared_of;
    use super::*;

    /// All that is lost is counted, limits::LOAD_FINDINGS_MAX are named.
    #[test]
    fn edge_of_findings() {
        for (lost, named) in [(-1, -1), (0, 0), (1, 0)] {
            let [lost, named] = [lost, named].map(|n| LOAD_FINDINGS_MAX.saturating_add_signed(n));
            let shared = shared_of(lost as u32);
            for store in 0..lost as u32 {
                shared.ledger.enter(store, Entry::Answered(Status::SUCCESS));
            }
            let progress = Default::default();
            let mut auditor = Auditor::new(&shared, &progress);
            auditor.series = vec![ended_well::LIST];
            auditor.sum_up();
            assert_eq!(
                (auditor.report.lost, auditor.report.acknowledged),
                (lost as u64, lost as u64)
            );
            assert_eq!(auditor.report.findings.len(), named);
            assert!(auditor.report.findings.iter().all(|(what, ..)| *what == "lost"));
        }
    }

    /// What an object lacks is said where its own series was asked for to the end, whatever became of
    /// others; everything that was acknowledged is counted once, or has a fault of its own.
    #[test]
    fn each_series_is_judged_by_itself() {
        use bit::{ALTERED, CAME, LISTED, NOT_COMPARED};
        use ended_well::{GET, LIST};
        // By what came: whole, lost, not sent, not listed, not compared, altered.
        let rows = [
            (LIST | GET, LISTED | CAME, [1, 0, 0, 0, 0, 0]),
            (LIST | GET, 0, [0, 1, 0, 0, 0, 0]),
            (LIST | GET, LISTED, [0, 0, 1, 0, 0, 0]),
            (LIST | GET, CAME, [0, 0, 0, 1, 0, 0]),
            (LIST | GET, LISTED | CAME | NOT_COMPARED, [0, 0, 0, 0, 1, 0]),
            (LIST | GET, LISTED | CAME | ALTERED, [0, 0, 0, 0, 0, 1]),
            // The C-GET failed, or there is none.
            (LIST, 0, [0, 1, 0, 0, 0, 0]),
            (LIST, LISTED, [0, 0, 0, 0, 1, 0]),
            (LIST, LISTED | CAME, [1, 0, 0, 0, 0, 0]),
            // The list failed.
            (GET, 0, [0, 0, 0, 0, 1, 0]),
            (GET, CAME, [0, 0, 0, 0, 1, 0]),
            (GET, LISTED, [0, 0, 1, 0, 0, 0]),
            (0, 0, [0, 0, 0, 0, 1, 0]),
        ];
        let shared = shared_of(rows.len() as u32);
        let progress = Default::default();
        let mut sums = [0; 6];
        let counts = |report: &Report| {
            let Report { whole, lost, not_sent, not_listed, not_compared, altered, .. } = *report;
            [whole, lost, not_sent, not_listed, not_compared, altered]
        };
        let mut all = Auditor::new(&shared, &progress);
        for (place, (ended, bits, expected)) in rows.into_iter().enumerate() {
            let mut auditor = Auditor::new(&shared, &progress);
            auditor.series = vec![ended];
            auditor.objects[0] = bit::ACKNOWLEDGED | bits;
            auditor.sum_up();
            assert_eq!(counts(&auditor.report), expected, "{ended} {bits}");
            assert_eq!((auditor.report.acknowledged, expected.iter().sum()), (1, 1_u64));
            all.series.push(ended);
            all.series_of[place] = place as u32;
            all.objects[place] = bit::ACKNOWLEDGED | bits;
            (0..6).for_each(|at| sums[at] += expected[at]);
        }
        all.incomplete("something".into());
        all.incomplete("something".into());
        all.sum_up();
        assert_eq!((counts(&all.report), all.report.incomplete.len()), (sums, 1));
    }
}
