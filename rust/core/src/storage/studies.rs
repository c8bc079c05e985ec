//! Which studies are open, which association sends which, and when a study has ended (`-ss`, `-su`,
//! `-sp`, `-tos`).
//!
//! DCMTK serves one association after the other and remembers one study: it has ended when an object
//! of another one arrives, or when nothing has come for `-tos` seconds, and not with its
//! association. Here associations run beside each other (DIFFERENCES.md A10), so each has a
//! [`Course`]: what it sends, one study after the other. In detail:
//!
//! * The first object of an association takes up what ended associations left open, unless another
//!   one has a study open; then it begins with nothing. So what one association leaves to the next
//!   is what DCMTK's process keeps, and two that run beside each other do not end each other's.
//! * An open study has one folder, whoever sends it.
//! * An object of another study takes the association away from those that it had. Those that no
//!   association has any more have ended.
//! * With a timeout a study has ended when that time has passed since its last object, and since
//!   the last message or end of an association that has it; never in the middle of a message of
//!   such an association.
//! * What is left when the process stops ends then ([`Studies::end_all`]).
//!
//! Every end is given to one caller, once. An object that is refused changes nothing. No files, no
//! threads, and the time comes in as a value, but for [`Studies::wait`]. Called by
//! `storage::writer` and `server::events`.

use core::net::IpAddr;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ae_title::AeTitle;
use crate::limits::{NUMBERED_FOLDERS_MAX, RENAMED_NAMES_BYTES_MAX, RESTING_STUDIES_MAX};
use crate::uid::UidText;

/// Whose association it is, for the commands that are run about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Calling AE title.
    pub calling: AeTitle,
    /// Called AE title.
    pub called: AeTitle,
    /// Address of the peer.
    pub peer: IpAddr,
}

/// A study that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its folder below the output directory.
    pub folder: Arc<str>,
    /// Its files' names in order of arrival, where they are remembered.
    pub names: Names,
    /// The association that sent its last object.
    pub origin: Origin,
}

/// Names of files in order of arrival. No name holds a `/`, which separates them.
#[derive(Debug, Default)]
pub struct Names {
    joined: String,
    /// Files beyond the bound, which are only counted.
    pub forgotten: u64,
}

impl Names {
    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.joined.split_terminator('/')
    }

    /// True when there is none, not even a forgotten one.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.forgotten == 0
    }
}

/// What is known about the folder that an object goes to.
#[derive(Clone, Debug)]
pub struct Place<N> {
    /// Below the output directory.
    pub folder: Arc<str>,
    /// What the maker of the folder had to say; `None` when the association goes on in the study.
    pub news: Option<N>,
}

/// The open studies of a receiver.
#[derive(Default)]
pub struct Studies {
    state: Mutex<State>,
    changed: Condvar,
    /// Names are remembered until the study's end (`-rns`).
    remembers_names: bool,
}

#[derive(Default)]
struct State {
    open: HashMap<UidText, Open>,
    courses: HashMap<u64, CourseState>,
    next_course: u64,
    /// Of all open studies.
    names_bytes: usize,
    /// Next number in folders that studies come back to.
    next_numbers: HashMap<Arc<str>, u64>,
    /// Messages and associations that have ended.
    changes: u64,
    /// [`Studies::wait`] waits without a time.
    is_idle: bool,
    is_closed: bool,
}

/// When it is worth to look for studies that have ended by time.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// Not before; `None` while nothing is open.
    pub at: Option<Instant>,
    /// [`State::changes`] when it was looked.
    changes: u64,
}

struct Open {
    folder: Arc<str>,
    /// Associations that have it.
    courses: usize,
    /// Objects of it that are being stored.
    storing: usize,
    /// Objects stored; with none the folder was made for an object that failed.
    objects: u64,
    touched: Instant,
    names: Names,
    origin: Origin,
}

#[derive(Default)]
struct CourseState {
    /// A first object has come.
    has_begun: bool,
    /// A message is being received.
    is_busy: bool,
    studies: Vec<UidText>,
}

/// What one association sends.
pub struct Course {
    studies: Arc<Studies>,
    number: u64,
    origin: Origin,
}

impl Studies {
    /// No study is open; with `remembers_names` names of files are kept until their study ends.
    pub fn new(remembers_names: bool) -> Arc<Self> {
        Arc::new(Self { remembers_names, ..Self::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind, every state of which is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The course of an association that was established.
    pub fn course(self: &Arc<Self>, origin: Origin) -> Course {
        let mut state = self.lock();
        state.next_course += 1;
        let number = state.next_course;
        state.courses.insert(number, CourseState::default());
        Course { studies: Arc::clone(self), number, origin }
    }

    /// Ends the studies that nothing has come for since `timeout`, as seen at `now`; and says when
    /// the next may be due.
    pub fn expire(&self, timeout: Duration, now: Instant) -> (Vec<Ended>, Next) {
        let mut state = self.lock();
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        let busy = state.courses.values().filter(|one| one.is_busy);
        let awaited: HashSet<UidText> = busy.flat_map(|one| one.studies.iter().copied()).collect();
        for (study, open) in &state.open {
            if open.storing > 0 || awaited.contains(study) {
                continue;
            }
            let deadline = open.touched + timeout;
            if deadline <= now {
                due.push((open.touched, *study));
            } else {
                next = Some(next.map_or(deadline, |other| other.min(deadline)));
            }
        }
        due.sort_unstable();
        let ended = due.into_iter().filter_map(|(_, study)| state.end(study)).collect();
        (ended, Next { at: next, changes: state.changes })
    }

    /// Ends all that is open, in order of last objects: the process stops.
    pub fn end_all(&self) -> Vec<Ended> {
        let mut state = self.lock();
        let mut all: Vec<(Instant, UidText)> =
            state.open.iter().map(|(study, open)| (open.touched, *study)).collect();
        all.sort_unstable();
        all.into_iter().filter_map(|(_, study)| state.end(study)).collect()
    }

    /// Waits until it is worth to look again; false once [`Studies::close`] was called.
    ///
    /// While there is a time to wait for, nobody needs to be woken: what begins or goes on later is
    /// due later.
    pub fn wait(&self, next: Next) -> bool {
        let mut state = self.lock();
        if let Some(at) = next.at {
            let left = at.saturating_duration_since(Instant::now());
            if !state.is_closed {
                let waited = self.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        } else {
            state.is_idle = true;
            while !state.is_closed && state.changes == next.changes {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.is_idle = false;
        }
        !state.is_closed
    }

    /// Nobody needs to wait any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// The number that was free last in a folder that a study comes back to.
    pub fn next_number(&self, folder: &str) -> Option<u64> {
        self.lock().next_numbers.get(folder).copied()
    }

    /// Remembers it.
    pub fn note_number(&self, folder: &Arc<str>, next: u64) {
        let mut state = self.lock();
        if state.next_numbers.len() >= NUMBERED_FOLDERS_MAX {
            state.next_numbers.clear();
        }
        state.next_numbers.insert(Arc::clone(folder), next);
    }
}

impl State {
    /// Something that [`Studies::wait`] may wait for has happened; true when it must be woken.
    fn note_change(&mut self) -> bool {
        self.changes += 1;
        self.is_idle
    }

    /// Takes a study out; `None` when no object of it was ever stored.
    fn end(&mut self, study: UidText) -> Option<Ended> {
        let open = self.open.remove(&study)?;
        for course in self.courses.values_mut() {
            course.studies.retain(|one| *one != study);
        }
        self.names_bytes -= open.names.joined.len();
        let Open { folder, names, origin, objects, .. } = open;
        (objects > 0).then_some(Ended { folder, names, origin })
    }

    /// The association has nothing to do with `study` any more; true when no other has either.
    fn leave(&mut self, study: UidText) -> bool {
        let Some(open) = self.open.get_mut(&study) else { return false };
        open.courses = open.courses.saturating_sub(1);
        open.courses == 0 && open.storing == 0
    }

    /// The study that rests longest, when there are too many that do.
    fn one_too_many(&self) -> Option<UidText> {
        let resting =
            || self.open.iter().filter(|(_, open)| open.courses == 0 && open.storing == 0);
        if resting().count() <= RESTING_STUDIES_MAX {
            return None;
        }
        resting().min_by_key(|(_, open)| open.touched).map(|(study, _)| *study)
    }
}

impl Course {
    /// Whose it is.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// A C-STORE has come at `now`, and its data set follows.
    pub fn message_begins(&self, now: Instant) {
        let mut state = self.studies.lock();
        let State { open, courses, .. } = &mut *state;
        let Some(own) = courses.get_mut(&self.number) else { return };
        own.is_busy = true;
        if core::mem::replace(&mut own.has_begun, true) {
            return;
        }
        // Its own is the one that has none yet.
        if courses.values().any(|one| !one.studies.is_empty()) {
            return;
        }
        let mut resting: Vec<(Instant, UidText)> = Vec::new();
        for (study, open) in open.iter_mut().filter(|(_, open)| open.courses == 0) {
            resting.push((open.touched, *study));
            open.courses += 1;
            open.touched = now;
        }
        resting.sort_unstable();
        if let Some(own) = courses.get_mut(&self.number) {
            own.studies = resting.into_iter().map(|(_, study)| study).collect();
        }
    }

    /// A message has been answered at `now`.
    pub fn message_ends(&self, now: Instant) {
        let mut state = self.studies.lock();
        let State { open, courses, .. } = &mut *state;
        if let Some(own) = courses.get_mut(&self.number) {
            own.is_busy = false;
            for study in &own.studies {
                if let Some(open) = open.get_mut(study) {
                    open.touched = now;
                }
            }
        }
        if state.note_change() {
            self.studies.changed.notify_one();
        }
    }

    /// The folder of `study`, which `make` makes when the study is not open. Until
    /// [`Course::stored`] or [`Course::not_stored`] it does not end.
    ///
    /// # Errors
    ///
    /// Those of `make`; nothing has changed then.
    pub fn place<N, E>(
        &self,
        study: UidText,
        now: Instant,
        make: impl FnOnce() -> Result<(Arc<str>, N), E>,
    ) -> Result<Place<N>, E> {
        let mut state = self.studies.lock();
        if let Some(open) = state.open.get_mut(&study) {
            open.storing += 1;
            return Ok(Place { folder: Arc::clone(&open.folder), news: None });
        }
        // Under the lock, so that a study that two associations begin together gets one folder.
        let (folder, news) = make()?;
        let open = Open {
            folder: Arc::clone(&folder),
            courses: 0,
            storing: 1,
            objects: 0,
            touched: now,
            names: Names::default(),
            origin: self.origin,
        };
        state.open.insert(study, open);
        Ok(Place { folder, news: Some(news) })
    }

    /// The object is stored as `name`; gives the studies that have ended by it.
    pub fn stored(&self, study: UidText, name: &str, now: Instant) -> Vec<Ended> {
        let mut state = self.studies.lock();
        let State { open, courses, names_bytes, .. } = &mut *state;
        let (Some(open), Some(own)) = (open.get_mut(&study), courses.get_mut(&self.number)) else {
            return Vec::new();
        };
        open.storing = open.storing.saturating_sub(1);
        open.objects += 1;
        open.touched = now;
        open.origin = self.origin;
        if self.studies.remembers_names {
            if *names_bytes + name.len() < RENAMED_NAMES_BYTES_MAX {
                let before = open.names.joined.len();
                open.names.joined.push_str(name);
                open.names.joined.push('/');
                *names_bytes += open.names.joined.len() - before;
            } else {
                open.names.forgotten += 1;
            }
        }
        let before = core::mem::replace(&mut own.studies, vec![study]);
        if !before.contains(&study) {
            open.courses += 1;
        }
        let mut ended = Vec::new();
        for other in before.into_iter().filter(|other| *other != study) {
            if state.leave(other) {
                ended.extend(state.end(other));
            }
        }
        ended
    }

    /// The object was not stored. Gives the folder that was made for it and that nobody uses.
    pub fn not_stored(&self, study: UidText) -> Option<Arc<str>> {
        let mut state = self.studies.lock();
        let open = state.open.get_mut(&study)?;
        open.storing = open.storing.saturating_sub(1);
        if open.objects > 0 || open.storing > 0 {
            return None;
        }
        state.open.remove(&study).map(|open| open.folder)
    }

    /// The folder of the study that the association sent last.
    pub fn current_folder(&self) -> Option<Arc<str>> {
        let state = self.studies.lock();
        let study = state.courses.get(&self.number)?.studies.last()?;
        state.open.get(study).map(|open| Arc::clone(&open.folder))
    }

    /// The association ends at `now`, its studies do not; but one does when too many rest.
    pub fn end(&self, now: Instant) -> Option<Ended> {
        let mut state = self.studies.lock();
        let own = state.courses.remove(&self.number)?;
        for study in own.studies {
            state.leave(study);
            if let Some(open) = state.open.get_mut(&study) {
                open.touched = now;
            }
        }
        if state.note_change() {
            self.studies.changed.notify_one();
        }
        state.one_too_many().and_then(|study| state.end(study))
    }
}

impl Drop for Course {
    /// The association's thread panicked, or nobody asked.
    fn drop(&mut self) {
        self.end(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn uid(study: u8) -> UidText {
        UidText::new(format!("1.2.{study}").as_bytes()).unwrap()
    }

    fn origin(title: &str) -> Origin {
        Origin {
            calling: AeTitle::new(title.as_bytes()),
            called: AeTitle::new(b"STORESCP"),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// A receiver whose clock stands at `start` and goes as told.
    struct Kit {
        studies: Arc<Studies>,
        start: Instant,
        folders: Mutex<u32>,
    }

    impl Kit {
        fn new() -> Self {
            Self { studies: Studies::new(true), start: Instant::now(), folders: Mutex::new(0) }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        fn course(&self, title: &str) -> Course {
            self.studies.course(origin(title))
        }

        /// One object at a second: its folder, and the folders of the studies that it ended.
        fn send(&self, course: &Course, study: u8, second: u64) -> (String, Vec<String>) {
            let now = self.at(second);
            course.message_begins(now);
            let place = course
                .place(uid(study), now, || {
                    let mut folders = self.folders.lock().unwrap();
                    *folders += 1;
                    Ok::<_, ()>((Arc::from(format!("{study}-{folders}")), ()))
                })
                .unwrap();
            let ended = course.stored(uid(study), &format!("CT.{second}"), now);
            course.message_ends(now);
            (place.folder.to_string(), folders(&ended))
        }

        fn expire(&self, second: u64) -> (Vec<String>, Option<u64>) {
            let (ended, next) = self.studies.expire(Duration::from_secs(5), self.at(second));
            (folders(&ended), next.at.map(|at| at.duration_since(self.start).as_secs()))
        }
    }

    fn folders(ended: &[Ended]) -> Vec<String> {
        ended.iter().map(|ended| ended.folder.to_string()).collect()
    }

    fn sent(folder: &str, ended: &[&str]) -> (String, Vec<String>) {
        (folder.to_owned(), ended.iter().map(|one| (*one).to_owned()).collect())
    }

    /// DCMTK 3.6.7: one study after the other, across associations; alternating ones split.
    #[test]
    fn one_after_the_other() {
        let kit = Kit::new();
        let one = kit.course("ONE");
        assert_eq!(kit.send(&one, 1, 0), sent("1-1", &[]));
        assert_eq!(kit.send(&one, 1, 1), sent("1-1", &[]));
        assert_eq!(kit.send(&one, 2, 2), sent("2-2", &["1-1"]));
        assert_eq!(kit.send(&one, 1, 3), sent("1-3", &["2-2"]));
        drop(one);
        let two = kit.course("TWO");
        assert_eq!(kit.send(&two, 1, 4), sent("1-3", &[]));
        assert_eq!(kit.send(&two, 3, 5), sent("3-4", &["1-3"]));
        assert_eq!(folders(&kit.studies.end_all()), ["3-4"]);
        assert!(kit.studies.end_all().is_empty());
    }

    /// DIFFERENCES.md A10: beside each other nobody ends the other's; what both left is taken up.
    #[test]
    fn beside_each_other() {
        let kit = Kit::new();
        let (one, two) = (kit.course("ONE"), kit.course("TWO"));
        for second in 0..3 {
            assert_eq!(kit.send(&one, 1, second), sent("1-1", &[]));
            assert_eq!(kit.send(&two, 2, second), sent("2-2", &[]));
        }
        two.end(kit.at(3));
        let three = kit.course("THREE");
        assert_eq!(kit.send(&three, 3, 4), sent("3-3", &[]));
        three.end(kit.at(4));
        one.end(kit.at(5));
        let four = kit.course("FOUR");
        assert_eq!(kit.send(&four, 4, 6), sent("4-4", &["2-2", "3-3", "1-1"]));
    }

    /// A study that two associations send has one folder and one end.
    #[test]
    fn one_study_of_two_associations() {
        let kit = Kit::new();
        let (one, two) = (kit.course("ONE"), kit.course("TWO"));
        assert_eq!(kit.send(&one, 1, 0), sent("1-1", &[]));
        assert_eq!(kit.send(&two, 1, 1), sent("1-1", &[]));
        assert_eq!(kit.send(&one, 2, 2), sent("2-2", &[]));
        assert_eq!(kit.send(&two, 1, 3), sent("1-1", &[]));
        assert_eq!(kit.send(&two, 2, 4), sent("2-2", &["1-1"]));
        assert_eq!(folders(&kit.studies.end_all()), ["2-2"]);
    }

    /// `-tos`: inside an association and after it, restarted by messages, told once.
    #[test]
    fn timeout() {
        let kit = Kit::new();
        assert_eq!(kit.expire(0), (vec![], None));
        let one = kit.course("ONE");
        kit.send(&one, 1, 0);
        assert_eq!(kit.expire(4), (vec![], Some(5)));
        // A C-ECHO restarts it; a message that goes on stops it.
        one.message_ends(kit.at(4));
        assert_eq!(kit.expire(8), (vec![], Some(9)));
        one.message_begins(kit.at(8));
        assert_eq!(kit.expire(100), (vec![], None));
        one.message_ends(kit.at(100));
        assert_eq!(kit.expire(105), (vec!["1-1".into()], None));
        assert_eq!(kit.expire(200), (vec![], None));
        assert_eq!(kit.send(&one, 1, 200), sent("1-2", &[]));
        one.end(kit.at(203));
        assert_eq!(kit.expire(207), (vec![], Some(208)));
        assert_eq!(kit.expire(208), (vec!["1-2".into()], None));
    }

    /// `-tos` while two associations have the study: the last object of either counts.
    #[test]
    fn timeout_of_two_associations() {
        let kit = Kit::new();
        let (one, two) = (kit.course("ONE"), kit.course("TWO"));
        kit.send(&one, 1, 0);
        kit.send(&two, 1, 3);
        assert_eq!(kit.expire(6), (vec![], Some(8)));
        two.end(kit.at(6));
        assert_eq!(kit.expire(10), (vec![], Some(11)));
        assert_eq!(kit.expire(11), (vec!["1-1".into()], None));
        assert_eq!(kit.expire(99), (vec![], None));
    }

    /// The origin is the association that sent the last object; names are in order of arrival.
    #[test]
    fn what_an_end_tells() {
        let kit = Kit::new();
        let one = kit.course("ONE");
        kit.send(&one, 1, 0);
        drop(one);
        let two = kit.course("TWO");
        kit.send(&two, 1, 1);
        drop(two);
        kit.course("ECHO").message_ends(kit.at(2));
        let ended = kit.studies.end_all().pop().unwrap();
        assert_eq!(ended.origin, origin("TWO"));
        assert_eq!(ended.names.iter().collect::<Vec<_>>(), ["CT.0", "CT.1"]);
        assert_eq!(kit.studies.lock().names_bytes, 0);
    }

    /// What fails changes nothing: no study begins, none ends, and the new folder is given back.
    #[test]
    fn failures() {
        let kit = Kit::new();
        let one = kit.course("ONE");
        kit.send(&one, 1, 0);
        one.message_begins(kit.at(1));
        let refused = one.place(uid(2), kit.at(1), || Err::<(Arc<str>, ()), _>("no folder"));
        assert_eq!(refused.unwrap_err(), "no folder");
        let made = || Ok::<_, ()>((Arc::from("2"), ()));
        one.place(uid(2), kit.at(1), made).unwrap();
        assert_eq!(one.not_stored(uid(2)).as_deref(), Some("2"));
        // Another association stores into it meanwhile: it stays.
        let two = kit.course("TWO");
        one.place(uid(2), kit.at(1), made).unwrap();
        assert!(two.place(uid(2), kit.at(1), made).unwrap().news.is_none());
        assert!(one.not_stored(uid(2)).is_none());
        assert!(two.stored(uid(2), "CT.2", kit.at(1)).is_empty());
        assert_eq!(kit.send(&one, 1, 2), sent("1-1", &[]));
        assert_eq!(one.current_folder().as_deref(), Some("1-1"));
        assert_eq!(two.current_folder().as_deref(), Some("2"));
    }

    /// limits::RESTING_STUDIES_MAX: as many may rest, one more ends the one that rested longest.
    #[test]
    fn resting_studies_are_bounded() {
        let kit = Kit::new();
        let long = kit.course("LONG");
        kit.send(&long, 255, 0);
        let mut ended = Vec::new();
        for number in 0..=RESTING_STUDIES_MAX {
            let course = kit.course("SHORT");
            let study = UidText::new(format!("1.3.{number}").as_bytes()).unwrap();
            let now = kit.at(number as u64);
            course.message_begins(now);
            let folder = || Ok::<_, ()>((Arc::from(number.to_string()), ()));
            course.place(study, now, folder).unwrap();
            assert!(course.stored(study, "CT.1", now).is_empty());
            ended.extend(course.end(now));
            assert_eq!(ended.len(), usize::from(number == RESTING_STUDIES_MAX), "{number}");
        }
        assert_eq!(folders(&ended), ["0"]);
    }

    /// limits::RENAMED_NAMES_BYTES_MAX: files beyond are counted; an end makes room.
    #[test]
    fn remembered_names_are_bounded() {
        let kit = Kit::new();
        let one = kit.course("ONE");
        kit.send(&one, 1, 0);
        let room = RENAMED_NAMES_BYTES_MAX - "CT.0/".len();
        for (name_bytes, is_kept) in [(room, false), (room - 1, true)] {
            kit.studies.lock().names_bytes = RENAMED_NAMES_BYTES_MAX - room;
            let now = kit.at(1);
            one.place(uid(1), now, || Ok::<_, ()>((Arc::from("1"), ()))).unwrap();
            one.stored(uid(1), &"n".repeat(name_bytes), now);
            let names = &kit.studies.lock().open[&uid(1)].names;
            assert_eq!(names.iter().count() == 2, is_kept);
            assert_eq!(names.forgotten, 1);
        }
    }

    /// What waits is woken by messages and by the end.
    #[test]
    fn waiting() {
        let kit = Kit::new();
        let one = kit.course("ONE");
        let studies = Arc::clone(&kit.studies);
        let (told, hears) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            loop {
                let (ended, next) = studies.expire(Duration::ZERO, Instant::now());
                told.send(ended.len()).unwrap();
                if !studies.wait(next) {
                    return;
                }
            }
        });
        assert_eq!(hears.recv().unwrap(), 0);
        kit.send(&one, 1, 0);
        let limit = Duration::from_secs(20);
        while hears.recv_timeout(limit).unwrap() == 0 {}
        kit.studies.close();
        waiter.join().unwrap();
        let (_, next) = kit.studies.expire(Duration::ZERO, Instant::now());
        assert!(!kit.studies.wait(next));
    }
}
