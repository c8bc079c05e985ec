//! The user's commands of storescp (`-xcr`, `-xcs`): the one place where processes are started.
//!
//! A command line is text for `/bin/sh`, as with DCMTK: pipes, redirections and loops work. Its
//! placeholders stand for values that partly come from a peer, and DCMTK pastes these into the
//! text: a peer whose title is `` `id` `` runs `id` (DIFFERENCES.md D12). Here a placeholder
//! becomes the expansion of a variable, quoted for the place where it stands, and the values are
//! handed over in the environment. A shell never parses what an expansion gives, so no value can
//! become a command, whatever it is. What is seen of an ordinary value is the same:
//!
//! ```text
//! #p  ${DCMFAST_PATH}            directory of the file, or of the study
//! #f  ${DCMFAST_FILE}            file name without directory; not in -xcs
//! #a  ${DCMFAST_CALLING_TITLE}   calling AE title    } between single quotes also with the double
//! #c  ${DCMFAST_CALLED_TITLE}    called AE title     } quotes that DCMTK sets around titles
//! #r  ${DCMFAST_PEER}            host name of the peer, or its address
//! ```
//!
//! A command that hands its text to a second interpreter (`sh -c '… #a'`, `ssh`) would have it
//! parsed there: such a command takes the variable itself, `sh -c '… "$DCMFAST_CALLING_TITLE"'`.
//!
//! Commands without `-xs` are queued by the association and started by a thread, which also collects
//! those that have ended. Both counts are bounded ([`COMMANDS_RUNNING_MAX`], [`COMMANDS_WAITING_MAX`]);
//! beyond the second a command is given up with an error in the log, because a store must not wait
//! for it. With `-xs` the association waits for its own commands, as with DCMTK, and for no other's.
//! Exit codes mean nothing (DCMTK 3.6.7). Descriptors are close-on-exec, standard streams are
//! inherited. The thread is started by the first command, so a process may be forked before.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::command_text::{PLACEHOLDERS, Placeholder, compile};
use crate::limits::{
    ASSOCIATION_STACK_BYTES, COMMAND_LOOK_MS, COMMAND_REAP_MS, COMMANDS_RUNNING_MAX,
    COMMANDS_WAITING_MAX,
};
use crate::log::{Level, Logger};
use crate::net::resolve::HostNames;
use crate::storage::studies::Origin;

/// The logger of DCMTK's own words about commands.
const LOGGER: &str = "dcmtk.apps.storescp";

/// A command line whose placeholders are variables.
#[derive(Debug)]
pub struct CommandLine {
    /// As the user wrote it, for the log.
    text: OsString,
    script: OsString,
    /// Letters of the placeholders that have a value.
    known: &'static [u8],
}

/// What the placeholders of one command stand for.
#[derive(Clone, Debug)]
pub struct Values {
    /// `#p`.
    pub path: OsString,
    /// `#f`; empty where there is none.
    pub file: String,
    /// `#a`, `#c`, and whose name or address is `#r`.
    pub origin: Origin,
}

impl CommandLine {
    /// Compiles `text`, in which the placeholders of these letters have values; others stay as they
    /// are, as with DCMTK.
    pub fn new(text: OsString, known: &'static [u8]) -> Self {
        let script = OsString::from_vec(compile(text.as_bytes(), known));
        Self { text, script, known }
    }
}

/// A value as an environment can carry it. A title with control characters is no title (PS3.5 §6.2),
/// and a script that works line by line should not see two.
fn plain(value: &[u8]) -> OsString {
    let one = |byte: &u8| if byte.is_ascii_control() { b'_' } else { *byte };
    OsString::from_vec(value.iter().map(one).collect())
}

struct Job {
    line: Arc<CommandLine>,
    values: Values,
}

/// The commands of one receiver.
pub struct Commands {
    shared: Arc<Shared>,
    /// Commands wait in the foreground (`-xs`).
    is_synchronous: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    logger: Arc<Logger>,
    host_names: HostNames,
    running_max: usize,
    waiting_max: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    /// One that waits no more is being started.
    is_starting: bool,
    has_thread: bool,
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    // A panic elsewhere leaves plain data behind, every state of which is usable.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Commands {
    /// No command has run yet.
    pub fn new(logger: Arc<Logger>, host_names: HostNames, is_synchronous: bool) -> Self {
        Self::bounded(
            logger,
            host_names,
            is_synchronous,
            (COMMANDS_RUNNING_MAX, COMMANDS_WAITING_MAX),
        )
    }

    fn bounded(
        logger: Arc<Logger>,
        host_names: HostNames,
        is_synchronous: bool,
        (running_max, waiting_max): (usize, usize),
    ) -> Self {
        let shared = Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            logger,
            host_names,
            running_max,
            waiting_max,
        };
        Self { shared: Arc::new(shared), is_synchronous }
    }

    /// Runs a command: at once and to its end with `-xs`, else as soon as there is room.
    pub fn run(&self, line: &Arc<CommandLine>, values: Values) {
        let job = Job { line: Arc::clone(line), values };
        let shared = &self.shared;
        if self.is_synchronous {
            if let Some(mut child) = shared.start(&job) {
                // Its exit code means nothing.
                let _ = child.wait();
            }
            return;
        }
        let mut queue = lock(&shared.queue);
        if queue.waiting.len() >= shared.waiting_max {
            drop(queue);
            return shared.give_up(&job, format_args!("{} others wait", shared.waiting_max));
        }
        queue.waiting.push_back(job);
        if !queue.has_thread {
            let runner = Arc::clone(shared);
            let spawned = thread::Builder::new()
                .name("commands".into())
                .stack_size(ASSOCIATION_STACK_BYTES)
                .spawn(move || runner.serve());
            match spawned {
                Ok(_) => queue.has_thread = true,
                Err(error) => {
                    let job = queue.waiting.pop_back();
                    drop(queue);
                    if let Some(job) = job {
                        shared.give_up(&job, format_args!("no thread: {error}"));
                    }
                    return;
                }
            }
        }
        drop(queue);
        shared.changed.notify_all();
    }

    /// The process ends: runs a command at once, and with `-xs` waits for its end until `deadline`.
    pub fn run_last(&self, line: &Arc<CommandLine>, values: Values, deadline: Instant) {
        if !self.is_synchronous {
            return self.run(line, values);
        }
        let job = Job { line: Arc::clone(line), values };
        let Some(mut child) = self.shared.start(&job) else { return };
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(COMMAND_LOOK_MS));
        }
    }

    /// The process ends: waits until all that wait are started, at most until `deadline`. Those that
    /// run then run on without us.
    pub fn finish(&self, deadline: Instant) {
        let shared = &self.shared;
        let mut queue = lock(&shared.queue);
        while queue.is_starting || !queue.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = shared.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let left: Vec<Job> = queue.waiting.drain(..).collect();
        drop(queue);
        for job in left {
            shared.give_up(&job, format_args!("the receiver stops"));
        }
    }
}

impl Shared {
    /// The thread that starts commands in their order, and collects those that have ended.
    fn serve(&self) {
        let mut running: Vec<Child> = Vec::new();
        loop {
            // One that cannot be asked is nobody's any more.
            running.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            let mut queue = lock(&self.queue);
            let has_room = running.len() < self.running_max;
            if let Some(job) = has_room.then(|| queue.waiting.pop_front()).flatten() {
                queue.is_starting = true;
                drop(queue);
                running.extend(self.start(&job));
                lock(&self.queue).is_starting = false;
                self.changed.notify_all();
                continue;
            }
            let waits = !queue.waiting.is_empty();
            let slice =
                Duration::from_millis(if waits { COMMAND_LOOK_MS } else { COMMAND_REAP_MS });
            queue = if running.is_empty() {
                self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.changed.wait_timeout(queue, slice).unwrap_or_else(PoisonError::into_inner).0
            };
            drop(queue);
        }
    }

    /// Starts a command; says so when that fails.
    fn start(&self, job: &Job) -> Option<Child> {
        let Job { line, values } = job;
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&line.script);
        for Placeholder { letter, variable, .. } in &PLACEHOLDERS {
            if !line.known.contains(letter) {
                command.env_remove(variable);
                continue;
            }
            let origin = &values.origin;
            command.env(
                variable,
                match letter {
                    b'p' => values.path.clone(),
                    b'f' => OsString::from(&values.file),
                    b'a' => plain(origin.calling.as_bytes()),
                    b'c' => plain(origin.called.as_bytes()),
                    _ => plain(self.host_names.name(origin.peer).as_bytes()),
                },
            );
        }
        command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        match command.spawn() {
            Ok(child) => Some(child),
            Err(error) => {
                self.tell(&job.line.text, format_args!("fork failed"));
                self.logger.line(Level::Info, "dcmfast.commands", format_args!("{error}"));
                None
            }
        }
    }

    fn give_up(&self, job: &Job, why: std::fmt::Arguments<'_>) {
        self.tell(&job.line.text, why);
    }

    /// DCMTK's words; the text is the user's own, without values.
    fn tell(&self, text: &OsStr, why: std::fmt::Arguments<'_>) {
        let text = Path::new(text).display();
        self.logger.line(
            Level::Error,
            LOGGER,
            format_args!("cannot execute command '{text}' ({why})"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ae_title::AeTitle;
    use crate::log::Sink;
    use proptest::prelude::*;
    use std::path::PathBuf;

    const ALL: &[u8] = b"pfacr";

    #[derive(Default)]
    struct Memory(Mutex<Vec<String>>);

    impl Sink for Memory {
        fn record(&self, _: Level, _: &str, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
        fn progress(&self, _: &str) {}
    }

    /// A directory of its own, gone with the test; commands write there.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("dcmfast-commands-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn values(path: &std::path::Path, calling: &[u8]) -> Values {
        let origin = Origin {
            calling: AeTitle::new(calling),
            called: AeTitle::new(b"STORESCP"),
            peer: "127.0.0.1".parse().unwrap(),
        };
        Values { path: path.into(), file: "CT.1.2.3".into(), origin }
    }

    fn commands_in(is_synchronous: bool) -> (Arc<Memory>, Commands) {
        bounded(is_synchronous, (COMMANDS_RUNNING_MAX, COMMANDS_WAITING_MAX))
    }

    fn bounded(is_synchronous: bool, bounds: (usize, usize)) -> (Arc<Memory>, Commands) {
        let memory = Arc::new(Memory::default());
        let sink: Arc<dyn Sink> = Arc::<Memory>::clone(&memory);
        let logger = Arc::new(Logger::new(Level::Error, sink));
        (memory, Commands::bounded(logger, HostNames::new(false), is_synchronous, bounds))
    }

    fn line(text: &str) -> Arc<CommandLine> {
        Arc::new(CommandLine::new(text.into(), ALL))
    }

    /// What `text` prints when a peer of this title has stored.
    fn printed(text: &str, calling: &[u8]) -> String {
        let scratch = Scratch::new(&format!("{:?}", thread::current().id()));
        let (_, commands) = commands_in(true);
        let text = format!("{{ {text}\n}} > \"$DCMFAST_PATH/out\" 2>&1");
        commands.run(&line(&text), values(&scratch.0, calling));
        scratch.read("out").replace(scratch.0.to_str().unwrap(), "/dir")
    }

    /// DCMTK 3.6.7: everywhere in the text, inside words and quotes, and titles between quotes.
    #[test]
    fn placeholders() {
        for (text, shown) in [
            ("echo #p #f #a #c #r", "/dir CT.1.2.3 TEST SCU STORESCP 127.0.0.1\n"),
            ("printf '[%s]' #a", "[TEST SCU]"),
            ("printf '[%s]' \"#a\"", "[TEST SCU]"),
            ("printf '[%s]' '#a'", "[\"TEST SCU\"]"),
            ("printf '[%s]' '#p/#f'", "[/dir/CT.1.2.3]"),
            ("printf '[%s]' a=#a.b", "[a=TEST SCU.b]"),
            (
                "printf '[%s]' \"a=#a.b\" \"$(echo #a)\" `echo #c`",
                "[a=TEST SCU.b][TEST SCU][STORESCP]",
            ),
            ("printf '[%s]' \"$(echo \"#a\")\" \"`echo #a`\"", "[TEST SCU][TEST SCU]"),
            ("printf '[%s]' \\#a \"x\\\\#a\" \"$#a\"", "[TEST SCU][x\\TEST SCU][$TEST SCU]"),
            ("printf '[%s]' x${NONE:-#a}", "[xTEST SCU]"),
            ("echo #x # it's #a", "\n"),
            ("for one in 1 2; do echo $one #f; done | sort -r", "2 CT.1.2.3\n1 CT.1.2.3\n"),
            ("cat <<'E'\n#\nE", "#\n"),
            // Here-documents: the text that DCMTK pastes, quotes and all.
            ("cat <<E\n#p '#f' \"#r\" #a\nE", "/dir 'CT.1.2.3' \"127.0.0.1\" \"TEST SCU\"\n"),
            (
                "cat <<E; echo #a\n# it's \\#f $(printf '<%s>' #a '#c')\nE\necho '#f'",
                "# it's \\CT.1.2.3 <TEST SCU><\"STORESCP\">\nTEST SCU\nCT.1.2.3\n",
            ),
            (
                "cat <<'E'\n$HOME `#f` \\#a \\\\ \"#r\"\nE\necho #f",
                "$HOME `CT.1.2.3` \\\"TEST SCU\" \\\\ \"127.0.0.1\"\nCT.1.2.3\n",
            ),
            ("cat <<-\\E\n\t#f\n\tE\necho #f", "CT.1.2.3\nCT.1.2.3\n"),
            ("cat <<A - <<\"B C\"\n#p\nA\n$#f\nB C\necho \"#f\"", "$CT.1.2.3\nCT.1.2.3\n"),
            ("x=$(cat <<E\n#f\nE\n); echo \"$x#r\"", "CT.1.2.3127.0.0.1\n"),
            ("cat <<E | tr a-z A-Z\nx#f\nE", "XCT.1.2.3\n"),
            (
                "echo $((1 << 2)) #f\necho '<<E' \"<<E\" # <<E\necho '#f'",
                "4 CT.1.2.3\n<<E <<E\nCT.1.2.3\n",
            ),
            // Where the shell calculates there is 0: bash would run what a title says there.
            ("echo $((#a + 1)) $(( (#a) + 2 )) ${NONE:-$((#c))} #f", "1 2 0 CT.1.2.3\n"),
            ("echo \"$((#a))\" $(( $(echo #a | wc -c) * 2 )) #a", "0 18 TEST SCU\n"),
        ] {
            assert_eq!(printed(text, b"TEST SCU"), shown, "{text}");
        }
    }

    /// What has no value stays, and is a comment as with DCMTK.
    #[test]
    fn unknown_placeholders_stay() {
        assert_eq!(compile(b"echo a#x #f #p", b"p"), b"echo a#x #f ");
        assert_eq!(compile(b"echo a#x b#f #p", b"p"), b"echo a#x b#f \"${DCMFAST_PATH}\"");
    }

    /// DIFFERENCES.md D12: a title is an argument wherever it stands, and nothing else.
    #[test]
    fn no_title_is_a_command() {
        let titles: [&[u8]; 12] = [
            b"`echo x`",
            b"$(echo x)",
            b"; echo x",
            b"\"; echo x; \"",
            b"'; echo x; '",
            b"| cat",
            b"&& echo x",
            b"> out2",
            b"${PATH}",
            b"*",
            b"\\",
            b"a\\'\"$b`",
        ];
        for title in titles {
            let shown = String::from_utf8(title.to_vec()).unwrap();
            for (text, around) in [
                ("printf '%s' #a", ""),
                ("printf '%s' \"#a\"", ""),
                ("printf '%s' '#a'", "\""),
                ("printf '%s' x#a | cut -c2-", "\n"),
                ("printf '%s' \"$(printf '%s' \"#a\")\"", ""),
                ("cat <<E | tr -d '\\n'\n#a\nE", "\""),
                ("cat <<'E' | tr -d '\\n'\n#a\nE", "\""),
            ] {
                let expected = match around {
                    "\n" => format!("{shown}\n"),
                    around => format!("{around}{shown}{around}"),
                };
                assert_eq!(printed(text, title), expected, "{text}");
            }
        }
        assert_eq!(printed("printf '%s' #a", b"a\nb\x1b\0c"), "a_b__c");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Any title in any kind of quotes is printed as it is.
        #[test]
        fn any_title_is_one_argument(
            title in "[!-~][ -~]{0,13}[!-~]",
            text in prop_oneof![
                Just("printf '<%s>' #a"), Just("printf '<%s>' \"#a\""), Just("printf '<%s>' ''#a''"),
                Just("sed -n 's/^<\"\\(.*\\)\">$/<\\1>/p' <<E | tr -d '\\n'\n<#a>\nE"),
            ],
        ) {
            prop_assert_eq!(printed(text, title.as_bytes()), format!("<{title}>"));
        }
    }

    /// Waits for something that another process does.
    fn wait_for(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }

    fn is_idle(commands: &Commands) -> bool {
        let queue = lock(&commands.shared.queue);
        queue.waiting.is_empty() && !queue.is_starting
    }

    /// Without `-xs` nobody waits; beyond the bound a command is given up aloud; the rest run when
    /// there is room, in order, and all are collected.
    #[test]
    fn commands_in_the_background() {
        let scratch = Scratch::new("background");
        let (memory, commands) = bounded(false, (1, 3));
        let gate = "until [ -e '#p/open' ]; do sleep 0.01; done; echo #f >> '#p/out'";
        let numbered =
            |number: usize| Values { file: number.to_string(), ..values(&scratch.0, b"SCU") };
        commands.run(&line(gate), numbered(0));
        wait_for(|| is_idle(&commands));
        for number in 1..=5 {
            commands.run(&line("echo #f >> '#p/out'"), numbered(number));
        }
        let told = memory.0.lock().unwrap().clone();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "cannot execute command 'echo #f >> '#p/out'' (3 others wait)");
        std::fs::write(scratch.0.join("open"), b"").unwrap();
        wait_for(|| scratch.read("out") == "0\n1\n2\n3\n");
        commands.finish(Instant::now());
        assert_eq!(memory.0.lock().unwrap().len(), 2);
    }

    /// With `-xs` the command is over when it returns, and no zombie is left; one that fails or is
    /// not there costs nothing.
    #[test]
    fn commands_in_the_foreground() {
        let scratch = Scratch::new("foreground");
        let (memory, commands) = commands_in(true);
        commands.run(&line("sleep 0.1; echo done > '#p/out'"), values(&scratch.0, b"SCU"));
        assert_eq!(scratch.read("out"), "done\n");
        commands.run(&line("exit 7"), values(&scratch.0, b"SCU"));
        commands.run(&line("/no/such/program 2>/dev/null"), values(&scratch.0, b"SCU"));
        assert!(memory.0.lock().unwrap().is_empty());
    }

    /// The end waits for those that wait to be started, but not for ever.
    #[test]
    fn the_end() {
        let scratch = Scratch::new("end");
        let (memory, commands) = bounded(false, (1, 10));
        for _ in 0..2 {
            commands.run(&line("echo x >> '#p/out'"), values(&scratch.0, b"SCU"));
        }
        commands.finish(Instant::now() + Duration::from_secs(20));
        wait_for(|| scratch.read("out") == "x\nx\n");
        commands.run(&line("exec sleep 2"), values(&scratch.0, b"SCU"));
        wait_for(|| is_idle(&commands));
        commands.run(&line("echo late >> '#p/out'"), values(&scratch.0, b"SCU"));
        commands.finish(Instant::now());
        let (_, foreground) = commands_in(true);
        let begun = Instant::now();
        let line = line("exec sleep 2");
        foreground.run_last(&line, values(&scratch.0, b"SCU"), begun + Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(2));
        let told = memory.0.lock().unwrap().clone();
        assert_eq!(told.len(), 1);
        assert!(told[0].ends_with("(the receiver stops)"), "{told:?}");
    }
}
