//! Access control by host (`+ac`): the files of hosts_access(5), and what they say of a peer.
//!
//! libwrap reads its files for every connection, and administrators rely on that. Here they are
//! looked at for every connection, and read when one has changed. A change that cannot be followed
//! is told once, and the rules before it stay in force; at start it is an error. The rules
//! themselves are `policy::host_access`. Called by `server::association`, before anything is read
//! from a peer, and by the front end at start.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::HOST_ACCESS_FILE_BYTES_MAX;
use crate::log::{Level, Logger, system_text};
use crate::net::resolve::{HostNames, VerifiedName};
use crate::policy::host_access::{Host, HostName, HostRule, first_match, rules_of};

/// The rules for one program.
pub struct HostAccess {
    daemon: String,
    /// hosts.allow and hosts.deny, in the order in which they are asked.
    paths: [PathBuf; 2],
    loaded: Mutex<Arc<Loaded>>,
}

/// A file that cannot be followed.
#[derive(Debug)]
pub struct HostAccessError {
    path: PathBuf,
    why: String,
}

impl fmt::Display for HostAccessError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}", self.path.display(), self.why)
    }
}

impl std::error::Error for HostAccessError {}

/// What identifies a file's content: device, inode, length, modification and change.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// Files that were read, with what they were then; `None` if one was not there.
type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// The rules of both files.
type Rules = [Vec<HostRule>; 2];

/// What was read, with what it was read from.
struct Loaded {
    stamps: Stamps,
    rules: Rules,
}

/// What the rules say of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It may connect.
    pub is_allowed: bool,
    /// File and line of the rule that says so; `None` where no rule matches.
    pub rule: Option<String>,
}

impl HostAccess {
    /// Reads the rules for `daemon`; a file that is not there has none.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or a rule not be followed.
    pub fn open(daemon: &str, allow: PathBuf, deny: PathBuf) -> Result<Self, HostAccessError> {
        let paths = [allow, deny];
        let (stamps, rules) = load(daemon, &paths);
        let loaded = Loaded { stamps, rules: rules? };
        Ok(Self { daemon: daemon.to_owned(), paths, loaded: Mutex::new(Arc::new(loaded)) })
    }

    /// What the rules say of a connection; `name_of` is asked where a rule needs a name.
    pub fn verdict(
        &self,
        server: SocketAddr,
        client: IpAddr,
        logger: &Logger,
        name_of: &dyn Fn(IpAddr) -> HostName,
    ) -> Verdict {
        let loaded = self.current(logger);
        let (our_name, their_name) = (|| name_of(server.ip()), || name_of(client));
        let ours = Host { address: server.ip(), name: &our_name };
        let theirs = Host { address: client, name: &their_name };
        for (path, rules) in self.paths.iter().zip(&loaded.rules) {
            if let Some(rule) = first_match(rules, &ours, server.port(), &theirs) {
                let place = format!("{}, line {}", path.display(), rule.line);
                return Verdict { is_allowed: rule.is_allowed, rule: Some(place) };
            }
        }
        Verdict { is_allowed: true, rule: None }
    }

    /// The rules in force, read again if a file has changed.
    fn current(&self, logger: &Logger) -> Arc<Loaded> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamps.iter().all(|(path, stamp)| stamp_of(path) == *stamp) {
            return Arc::clone(&loaded);
        }
        let (stamps, rules) = load(&self.daemon, &self.paths);
        let rules = rules.unwrap_or_else(|error| {
            let text = "the rules before this change stay in force";
            logger.line(
                Level::Error,
                "dcmfast.server",
                format_args!("cannot read access control file: {error}; {text}"),
            );
            loaded.rules.clone()
        });
        *loaded = Arc::new(Loaded { stamps, rules });
        Arc::clone(&loaded)
    }
}

/// What a resolver's answer is to a rule.
pub fn name_for_rules(names: &HostNames, address: IpAddr) -> HostName {
    match names.verified(address) {
        VerifiedName::Known(name) => HostName::Known(name.to_string()),
        VerifiedName::Unknown => HostName::Unknown,
        VerifiedName::Paranoid => HostName::Paranoid,
        VerifiedName::Late => HostName::Late,
    }
}

/// Reads both files; the stamps are there whatever becomes of the rules.
fn load(daemon: &str, paths: &[PathBuf; 2]) -> (Stamps, Result<Rules, HostAccessError>) {
    let mut stamps = Stamps::new();
    let mut read = |path: &Path| {
        // Before the content: a change in between is noticed the next time.
        stamps.push((path.to_owned(), stamp_of(path)));
        text_of(path)
    };
    let mut rules = Rules::default();
    for ((path, rules), is_allowed) in paths.iter().zip(&mut rules).zip([true, false]) {
        let fail = |why| HostAccessError { path: path.clone(), why };
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return (stamps, Err(fail(system_text(&error)))),
        };
        let mut include = |name: &str| read(Path::new(name)).map_err(|error| system_text(&error));
        match rules_of(&text, is_allowed, daemon, &mut include) {
            Ok(found) => *rules = found,
            Err(error) => return (stamps, Err(fail(error.to_string()))),
        }
    }
    (stamps, Ok(rules))
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    let modified = (found.mtime(), found.mtime_nsec());
    Some((found.dev(), found.ino(), found.size(), modified, (found.ctime(), found.ctime_nsec())))
}

/// The text of a file; bytes that are no UTF-8 can be in comments and match nothing elsewhere.
fn text_of(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HOST_ACCESS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > HOST_ACCESS_FILE_BYTES_MAX {
        let text = format!("longer than {HOST_ACCESS_FILE_BYTES_MAX} bytes");
        return Err(io::Error::other(text));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Sink;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Sink for Lines {
        fn record(&self, _level: Level, _logger: &str, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
        fn progress(&self, _text: &str) {}
    }

    struct Place {
        directory: PathBuf,
        lines: Arc<Lines>,
        logger: Logger,
    }

    impl Place {
        fn new(name: &str) -> Self {
            let directory =
                std::env::temp_dir().join(format!("dcmfast-hosts-{}-{name}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            let lines = Arc::new(Lines::default());
            let logger = Logger::new(Level::Trace, Arc::clone(&lines) as Arc<dyn Sink>);
            Self { directory, lines, logger }
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            // A new file each time, as editors make it.
            let path = self.directory.join(name);
            fs::write(self.directory.join("new"), text).unwrap();
            fs::rename(self.directory.join("new"), &path).unwrap();
            path
        }

        fn open(&self) -> Result<HostAccess, HostAccessError> {
            let path = |name| self.directory.join(name);
            HostAccess::open("storescp", path("allow"), path("deny"))
        }

        fn allows(&self, access: &HostAccess, client: &str) -> bool {
            let server = "192.0.2.1:104".parse().unwrap();
            let name = |_| HostName::Unknown;
            access.verdict(server, client.parse().unwrap(), &self.logger, &name).is_allowed
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    /// No files allow; allow stands before deny; a change is in force at the next connection, in a
    /// file that a rule names, too.
    #[test]
    fn changes_are_followed() {
        let place = Place::new("changes");
        let access = place.open().unwrap();
        assert!(place.allows(&access, "10.0.0.1"));
        place.write("deny", "ALL: ALL\n");
        assert!(!place.allows(&access, "10.0.0.1"));
        let list = place.write("list", "10.0.0.1");
        place.write("allow", &format!("storescp: {}\n", list.display()));
        assert!(place.allows(&access, "10.0.0.1"));
        assert!(!place.allows(&access, "10.0.0.2"));
        place.write("list", "10.0.0.2");
        assert!(place.allows(&access, "10.0.0.2"));
        assert!(!place.allows(&access, "10.0.0.1"));
        fs::remove_file(place.directory.join("deny")).unwrap();
        assert!(place.allows(&access, "10.0.0.1"));
        assert_eq!(*place.lines.0.lock().unwrap(), Vec::<String>::new());
    }

    /// A broken change is told once and changes nothing; the next good one does.
    #[test]
    fn a_broken_change_is_told_once() {
        let place = Place::new("broken");
        place.write("deny", "ALL: 10.0.0.1\n");
        let access = place.open().unwrap();
        place.write("deny", "ALL: 10.0.0.2\nALL\n");
        for _ in 0..3 {
            assert!(!place.allows(&access, "10.0.0.1"));
            assert!(place.allows(&access, "10.0.0.2"));
        }
        let lines = place.lines.0.lock().unwrap().clone();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("deny, line 2: no \":\""), "{lines:?}");
        place.write("deny", "ALL: 10.0.0.2\n");
        assert!(place.allows(&access, "10.0.0.1"));
    }

    /// At start it is an error with file and line; the bound on a file's length is one.
    #[test]
    fn a_broken_file_at_start() {
        let place = Place::new("start");
        place.write("allow", "ALL: @net\n");
        let error = place.open().err().unwrap().to_string();
        assert!(error.ends_with("allow, line 1: netgroups are not looked up: @net"), "{error}");
        let filler = "#".repeat(usize::try_from(HOST_ACCESS_FILE_BYTES_MAX).unwrap() - 1) + "\n";
        place.write("allow", &filler);
        place.open().unwrap();
        place.write("allow", &format!("#{filler}"));
        let error = place.open().err().unwrap().to_string();
        assert!(error.ends_with("longer than 1048576 bytes"), "{error}");
    }
}
