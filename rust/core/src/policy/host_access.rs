//! Which hosts may connect (`+ac`): the rules of hosts.allow and hosts.deny, read and evaluated.
//!
//! Source: hosts_access(5), of hosts_options(5) the words `allow` and `deny`, and libwrap as Debian
//! builds it, which `tests/compat/test_host_access.py` asks the same questions. Rules of other
//! programs are passed over. What cannot be followed (commands, netgroups, user names, a broken
//! line) is an error with its line, because a rule that is passed over in silence lets in, or keeps
//! out, the wrong hosts. Pure: text and addresses come in, and a name is asked of a function, only
//! when a rule needs it. Called by `server::host_access`, which reads the files.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What separates the elements of a list.
const BLANKS: [char; 5] = [' ', ',', '\t', '\r', '\n'];
/// What stands in the place of a name that there is none of, or that is not believed.
const UNKNOWN: &str = "unknown";
const PARANOID: &str = "paranoid";

/// What is known of a host's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// A name that leads back to the address.
    Known(String),
    /// The resolver knows none.
    Unknown,
    /// The name does not lead back to the address; nothing but `PARANOID` believes it.
    Paranoid,
    /// Nobody has said in time: any pattern of names might match.
    Late,
}

impl HostName {
    /// The text that patterns are compared with, as libwrap has it; `None` where nobody has said.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Known(name) => Some(name),
            Self::Unknown => Some(UNKNOWN),
            Self::Paranoid => Some(PARANOID),
            Self::Late => None,
        }
    }
}

/// One end of a connection.
pub struct Host<'a> {
    /// Its address; an IPv4 address as one, also where it came in IPv6's form.
    pub address: IpAddr,
    /// Gives its name; may wait for a resolver.
    pub name: &'a dyn Fn() -> HostName,
}

/// One rule that concerns the program.
#[derive(Clone, Debug)]
pub struct HostRule {
    servers: HostList<Server>,
    clients: HostList<HostPattern>,
    /// What the rule says.
    pub is_allowed: bool,
    /// Where it stands.
    pub line: usize,
}

/// Lists with `EXCEPT` between them.
type HostList<T> = Vec<Vec<T>>;

/// Our own end, as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    /// The rule names a port instead of the program.
    port: Option<u16>,
    /// `daemon@host`.
    host: HostPattern,
}

/// One element of a list of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    /// `ALL`
    All,
    /// `KNOWN`
    Known,
    /// `LOCAL`: a name without a dot.
    Local,
    /// `n.n.n.n/m.m.m.m`, `n.n.n.n/mm`
    Net4(Ipv4Addr, Ipv4Addr),
    /// `[n:n::n]/mm`, `[n:n::n]`
    Net6(Ipv6Addr, u32),
    /// An address, however it is written.
    Address(IpAddr),
    /// `.domain`: the end of a name.
    Suffix(String),
    /// `n.n.`: the beginning of an address or name.
    Prefix(String),
    /// With `*` and `?`.
    Glob(String),
    /// A name, `UNKNOWN` and `PARANOID` among them.
    Exact(String),
}

/// A rule that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The line on which the rule begins.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.why)
    }
}

/// Gives the text of a file that a rule names (`/file`), or says why there is none.
pub type Include<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

/// The rules of one file that concern `daemon`, in their order.
///
/// # Errors
///
/// The first rule that cannot be followed.
pub fn rules_of(
    text: &str,
    is_allowed: bool,
    daemon: &str,
    include: Include<'_>,
) -> Result<Vec<HostRule>, RuleError> {
    let mut rules = Vec::new();
    let mut lines = text.split_inclusive('\n').enumerate();
    while let Some((at, first)) = lines.next() {
        let mut rule = first.to_owned();
        // A backslash before the line end takes the next line in, in comments too.
        while rule.ends_with("\\\n") {
            rule.truncate(rule.len() - 2);
            match lines.next() {
                Some((_, next)) => rule.push_str(next),
                None => break,
            }
        }
        let is_blank = rule.chars().all(|one| BLANKS.contains(&one) && one != ',');
        if rule.starts_with('#') || is_blank {
            continue;
        }
        let fail = |why| RuleError { line: at + 1, why };
        if !rule.ends_with('\n') {
            // libwrap then denies everybody (hosts.deny), or passes it over (hosts.allow).
            return Err(fail("the rule has no line end".to_owned()));
        }
        let found = rule_of(&rule, is_allowed, daemon, include).map_err(fail)?;
        rules.extend(found.map(|rule| HostRule { line: at + 1, ..rule }));
    }
    Ok(rules)
}

/// The first rule that matches; none means that the host may connect.
///
/// Where a name did not come in time a rule that denies counts as one that matches, and a rule that
/// allows does not: a slow resolver, which a peer may have made slow, lets nobody in.
pub fn first_match<'r>(
    rules: &'r [HostRule],
    server: &Host<'_>,
    server_port: u16,
    client: &Host<'_>,
) -> Option<&'r HostRule> {
    rules.iter().find(|rule| {
        let servers = is_listed(&rule.servers, |one| {
            if one.port.is_none_or(|port| port == server_port) {
                one.host.matches(server)
            } else {
                Some(false)
            }
        });
        let matches = match servers {
            Some(false) => Some(false),
            Some(true) => is_listed(&rule.clients, |pattern| pattern.matches(client)),
            None => is_listed(&rule.clients, |pattern| pattern.matches(client)).filter(|is| !is),
        };
        matches.unwrap_or(!rule.is_allowed)
    })
}

/// `a EXCEPT b EXCEPT c` is a but not (b but not c): whether something belongs is settled by the
/// first list, from the front, that lacks it. `None` where an answer is missing.
fn is_listed<T>(list: &[Vec<T>], matches: impl Fn(&T) -> Option<bool>) -> Option<bool> {
    for (at, group) in list.iter().enumerate() {
        let mut is_in = Some(false);
        for one in group {
            match matches(one) {
                Some(true) => {
                    is_in = Some(true);
                    break;
                }
                Some(false) => {}
                None => is_in = None,
            }
        }
        if !is_in? {
            return Some(at % 2 == 1);
        }
    }
    Some(list.len() % 2 == 1)
}

// ---- Reading

fn rule_of(
    rule: &str,
    mut is_allowed: bool,
    daemon: &str,
    include: Include<'_>,
) -> Result<Option<HostRule>, String> {
    let Some((daemons, rest)) = split_at_colon(rule) else {
        return Err("no \":\" between programs and hosts".to_owned());
    };
    let (hosts, options) =
        split_at_colon(rest).map_or((rest, None), |(hosts, options)| (hosts, Some(options)));
    let Some(servers) = servers_of(daemons, daemon, include)? else { return Ok(None) };
    let mut clients = Vec::new();
    for group in groups_of(hosts) {
        let mut patterns = Vec::new();
        for word in group {
            patterns_of(word, include, &mut patterns)?;
        }
        clients.push(patterns);
    }
    if clients.iter().all(Vec::is_empty) {
        return Err("no hosts".to_owned());
    }
    for option in options.map(fields_of).unwrap_or_default() {
        match option.to_ascii_lowercase().as_str() {
            // libwrap denies whoever comes so far.
            "" => return Err("no option behind a \":\"".to_owned()),
            "allow" => is_allowed = true,
            "deny" => is_allowed = false,
            _ => return Err(format!("not available: {option}")),
        }
    }
    Ok(Some(HostRule { servers, clients, is_allowed, line: 0 }))
}

/// The text before and behind the first colon that stands in no brackets.
fn split_at_colon(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// The options of a rule; a colon behind a backslash belongs to one.
fn fields_of(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_escape = character == '\\' && characters.peek() == Some(&':');
        match (character, fields.last_mut()) {
            (':', _) => fields.push(String::new()),
            (_, Some(field)) => {
                field.extend(if is_escape { characters.next() } else { Some(character) });
            }
            (_, None) => {}
        }
    }
    fields.iter().map(|field| field.trim().to_owned()).collect()
}

/// The elements of a list, with a new group behind each EXCEPT.
fn groups_of(text: &str) -> Vec<Vec<&str>> {
    let mut groups = vec![Vec::new()];
    for word in text.split(BLANKS).filter(|word| !word.is_empty()) {
        if word.eq_ignore_ascii_case("EXCEPT") {
            groups.push(Vec::new());
        } else if let Some(group) = groups.last_mut() {
            group.push(word);
        }
    }
    groups
}

/// Our ends that the rule is for; `None` if it is for other programs.
fn servers_of(
    text: &str,
    daemon: &str,
    include: Include<'_>,
) -> Result<Option<HostList<Server>>, String> {
    let mut groups = Vec::new();
    for group in groups_of(text) {
        let mut servers = Vec::new();
        for word in group {
            let (name, host) = split_at_sign(word);
            let port = name.parse().ok();
            if port.is_none() && !names_daemon(name, daemon) {
                continue;
            }
            let mut patterns = Vec::new();
            match host {
                Some(host) => patterns_of(host, include, &mut patterns)?,
                None => patterns.push(HostPattern::All),
            }
            servers.extend(patterns.into_iter().map(|host| Server { port, host }));
        }
        let is_last = servers.is_empty();
        groups.push(servers);
        if is_last {
            break;
        }
    }
    Ok(groups.first().is_some_and(|first| !first.is_empty()).then_some(groups))
}

/// `name@host`; a sign in the first place belongs to the name.
fn split_at_sign(word: &str) -> (&str, Option<&str>) {
    let begin = word.chars().next().map_or(0, char::len_utf8);
    match word[begin..].find('@') {
        Some(at) => (&word[..begin + at], Some(&word[begin + at + 1..])),
        None => (word, None),
    }
}

fn names_daemon(name: &str, daemon: &str) -> bool {
    name.eq_ignore_ascii_case("KNOWN") || text_pattern(name).matches_text(daemon)
}

/// What one element stands for; a file's elements all count.
fn patterns_of(
    word: &str,
    include: Include<'_>,
    patterns: &mut Vec<HostPattern>,
) -> Result<(), String> {
    if word.starts_with('@') {
        return Err(format!("netgroups are not looked up: {word}"));
    }
    if !word.starts_with('/') {
        patterns.push(pattern_of(word)?);
        return Ok(());
    }
    let text = include(word).map_err(|why| format!("{word}: {why}"))?;
    for inner in text.split_whitespace() {
        if inner.starts_with('/') || inner.starts_with('@') {
            return Err(format!("{word} names what is not followed there: {inner}"));
        }
        patterns.push(pattern_of(inner).map_err(|why| format!("{word}: {why}"))?);
    }
    Ok(())
}

fn pattern_of(word: &str) -> Result<HostPattern, String> {
    let word = match split_at_sign(word) {
        (word, None) => word,
        (user, Some(host)) if user.eq_ignore_ascii_case("ALL") => host,
        _ => return Err(format!("user names are not looked up: {word}")),
    };
    let no_network = || format!("no network: {word}");
    if word.eq_ignore_ascii_case("KNOWN") {
        Ok(HostPattern::Known)
    } else if word.eq_ignore_ascii_case("LOCAL") {
        Ok(HostPattern::Local)
    } else if let Some(rest) = word.strip_prefix('[') {
        net6(rest).ok_or_else(no_network)
    } else if let Some((net, mask)) = word.split_once('/') {
        net4(net, mask).ok_or_else(no_network)
    } else {
        Ok(text_pattern(word))
    }
}

fn text_pattern(word: &str) -> HostPattern {
    if word.contains(['*', '?']) {
        HostPattern::Glob(word.to_owned())
    } else if word.starts_with('.') {
        HostPattern::Suffix(word.to_owned())
    } else if word.eq_ignore_ascii_case("ALL") {
        HostPattern::All
    } else if word.ends_with('.') {
        HostPattern::Prefix(word.to_owned())
    } else if let Ok(address) = word.parse::<IpAddr>() {
        HostPattern::Address(address.to_canonical())
    } else {
        HostPattern::Exact(word.to_owned())
    }
}

fn net4(net: &str, mask: &str) -> Option<HostPattern> {
    let mask = match mask.parse::<u32>() {
        Ok(length @ 1..=32) => Ipv4Addr::from_bits(u32::MAX << (32 - length)),
        Ok(_) => return None,
        // hosts_access(5): this one is no mask; a single host needs none.
        Err(_) => mask.parse().ok().filter(|mask| *mask != Ipv4Addr::BROADCAST)?,
    };
    Some(HostPattern::Net4(net.parse().ok()?, mask))
}

fn net6(rest: &str) -> Option<HostPattern> {
    let (address, length) = rest.split_once(']')?;
    let length = match length.strip_prefix('/') {
        Some(length) => length.parse().ok().filter(|length| *length <= 128)?,
        None if length.is_empty() => 128,
        None => return None,
    };
    Some(HostPattern::Net6(address.parse().ok()?, length))
}

// ---- Evaluating

impl HostPattern {
    /// `None` where the host's name decides, and nobody has said it.
    fn matches(&self, host: &Host<'_>) -> Option<bool> {
        let known = |is_meant: fn(&str) -> bool| match (host.name)() {
            HostName::Known(name) => Some(is_meant(&name)),
            HostName::Unknown | HostName::Paranoid => Some(false),
            HostName::Late => None,
        };
        match self {
            Self::All => Some(true),
            Self::Known => known(|_| true),
            Self::Local => known(|name| !name.contains('.')),
            Self::Net4(net, mask) => {
                Some(matches!(host.address, IpAddr::V4(address) if address & *mask == *net))
            }
            Self::Net6(net, length) => Some(match host.address {
                IpAddr::V6(address) => {
                    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                    address.to_bits() & mask == net.to_bits() & mask
                }
                IpAddr::V4(_) => false,
            }),
            Self::Address(address) => Some(host.address == *address),
            Self::Suffix(text) | Self::Prefix(text) | Self::Glob(text) | Self::Exact(text) => {
                if self.matches_text(&host.address.to_string()) {
                    return Some(true);
                }
                // What looks like an address is compared with no name.
                if !is_name(text) {
                    return Some(false);
                }
                (host.name)().text().map(|name| self.matches_text(name))
            }
        }
    }

    /// Case is ignored, as everywhere in these rules.
    fn matches_text(&self, text: &str) -> bool {
        let text = text.as_bytes();
        match self {
            Self::All => true,
            Self::Suffix(end) => {
                let begin = text.len().checked_sub(end.len()).filter(|begin| *begin > 0);
                begin
                    .and_then(|begin| text.get(begin..))
                    .is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
            }
            Self::Prefix(begin) => text
                .get(..begin.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(begin.as_bytes())),
            Self::Glob(glob) => matches_glob(glob.as_bytes(), text),
            Self::Exact(exact) => text.eq_ignore_ascii_case(exact.as_bytes()),
            Self::Known | Self::Local | Self::Net4(..) | Self::Net6(..) | Self::Address(_) => false,
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.bytes().all(|byte| byte.is_ascii_digit() || b"./".contains(&byte))
}

/// `*` any text, `?` any one character; time is bounded by the product of the lengths.
fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // The last star: what follows it, and up to where it takes the text.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(from) {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, from));
            }
            Some(wanted) if *wanted == b'?' || wanted.eq_ignore_ascii_case(byte) => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((behind, taken)) => {
                    *taken += 1;
                    (at, from) = (*behind, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["a.b", "ab", UNKNOWN, PARANOID];

    fn host_name(text: &str) -> HostName {
        match text {
            UNKNOWN => HostName::Unknown,
            PARANOID => HostName::Paranoid,
            name => HostName::Known(name.to_owned()),
        }
    }

    fn read(text: &str) -> Result<Vec<HostRule>, RuleError> {
        rules_of(text, true, "storescp", &mut |_| Ok("10.0.0.1\n.other  [fd00::]/8".to_owned()))
    }

    /// The line of the first rule that matches, 0 without one.
    fn line_for(text: &str, address: &str, name: &str) -> usize {
        let rules = read(text).unwrap();
        let (unnamed, named) = (|| HostName::Unknown, || host_name(name));
        let server = Host { address: "192.0.2.1".parse().unwrap(), name: &unnamed };
        let client = Host { address: address.parse().unwrap(), name: &named };
        first_match(&rules, &server, 104, &client).map_or(0, |rule| rule.line)
    }

    fn matches(pattern: &str, address: &str, name: &str) -> bool {
        line_for(&format!("ALL: {pattern}\n"), address, name) == 1
    }

    /// Each kind of pattern, on both sides of its edge.
    #[test]
    fn patterns() {
        for (pattern, address, name, is_match) in [
            ("10.1.2.0/255.255.254.0", "10.1.3.255", UNKNOWN, true),
            ("10.1.2.0/255.255.254.0", "10.1.4.0", UNKNOWN, false),
            ("10.1.2.0/23", "10.1.3.255", UNKNOWN, true),
            ("10.1.2.0/23", "10.1.1.255", UNKNOWN, false),
            ("ALL@10.1.", "10.1.1.255", UNKNOWN, true),
            ("all@11.1.", "10.1.1.255", UNKNOWN, false),
            ("10.0.0.1/32", "10.0.0.2", UNKNOWN, false),
            ("[2001:db8::]/33", "2001:db8:7fff::1", UNKNOWN, true),
            ("[2001:db8::]/33", "2001:db8:8000::1", UNKNOWN, false),
            ("[::]/0", "2001::1", UNKNOWN, true),
            ("[::]/0", "10.0.0.1", UNKNOWN, false),
            ("[::1]", "::1", UNKNOWN, true),
            ("[::1]", "::2", UNKNOWN, false),
            (".ct.EXAMPLE", "10.0.0.1", "ws.CT.example", true),
            (".x.example", "10.0.0.1", "ws.ct.example", false),
            (".ct", "10.0.0.1", ".ct", false),
            ("10.0.", "10.0.0.1", UNKNOWN, true),
            ("10.0.", "110.0.0.1", UNKNOWN, false),
            ("WS.ct.example", "10.0.0.1", "ws.CT.example", true),
            ("10.0.0.1", "10.0.0.1", UNKNOWN, true),
            ("10.0.0.1", "10.0.0.2", "10.0.0.1", false),
            ("2001:DB8:0:0::1", "2001:db8::1", UNKNOWN, false),
            ("10.0.?.*", "10.0.7.88", UNKNOWN, true),
            ("/file", "10.0.0.1", UNKNOWN, true),
            ("/file", "10.0.0.2", "x.other", true),
            ("/file", "10.0.0.2", "x.another", false),
            ("/file", "fd12::1", UNKNOWN, true),
        ] {
            // An address outside brackets cannot hold colons: they end the list.
            if pattern.contains("DB8:0") {
                assert!(read(&format!("ALL: {pattern}\n")).is_err());
                continue;
            }
            assert_eq!(matches(pattern, address, name), is_match, "{pattern} {address} {name}");
        }
    }

    /// What is known of a name, and that a name which leads elsewhere is not believed.
    #[test]
    fn names() {
        for (pattern, expected) in [
            ("ALL", [true; 4]),
            ("known", [true, true, false, false]),
            ("Unknown", [false, false, true, false]),
            ("PARANOID", [false, false, false, true]),
            ("LOCAL", [false, true, false, false]),
            ("a*", [true, true, false, false]),
        ] {
            assert_eq!(NAMES.map(|name| matches(pattern, "1.2.3.4", name)), expected, "{pattern}");
        }
    }

    /// Stars and question marks, and no explosion over a hostile name.
    #[test]
    fn globs() {
        for (pattern, text, is_match) in [
            ("*", "", true),
            ("?", "", false),
            ("a*c?", "aXbcd", true),
            ("a*c?", "aXbc", false),
            ("*.CT.*", "x.ct.example", true),
            ("ab", "abc", false),
            ("abc", "ab", false),
            ("**a", "ba", true),
        ] {
            assert_eq!(matches_glob(pattern.as_bytes(), text.as_bytes()), is_match, "{pattern}");
        }
        assert!(!matches_glob("a*".repeat(30).as_bytes(), "a".repeat(29).as_bytes()));
    }

    /// `(a EXCEPT (b EXCEPT c))` on both sides, lines that go on, comments; the first match decides.
    #[test]
    fn rules() {
        let text = "# comment \\\n goes on: ALL\n\nALL EXCEPT store*: ALL\nother, storescp: 10. \\\n \
                    EXCEPT 10.1. except 10.1.1.\n104@192.0.2.1, 105: 11.\n105 ftpd@ALL: ALL\n\
                    storescp@198.: ALL\n.scp stores. STORESCP EXCEPT ftpd: 12.: deny\n";
        for (address, line) in [
            ("10.2.0.1", 5),
            ("10.1.0.1", 0),
            ("10.1.1.1", 5),
            ("11.0.0.1", 7),
            ("12.0.0.1", 10),
            ("13.0.0.1", 0),
        ] {
            assert_eq!(line_for(text, address, UNKNOWN), line, "{address}");
        }
        assert_eq!(
            read("ALL: ALL: Deny\nALL: ALL: allow\nALL: ALL\n")
                .unwrap()
                .iter()
                .map(|rule| rule.is_allowed)
                .collect::<Vec<_>>(),
            [false, true, true]
        );
    }

    /// What cannot be followed is named, with its line; other programs' rules are not looked into.
    #[test]
    fn what_cannot_be_followed() {
        for (rule, why) in [
            ("storescp", "no \":\""),
            ("ALL: ", "no hosts"),
            ("ALL: ALL: spawn (echo a\\:b) &", "not available: spawn (echo a:b) &"),
            ("ALL: ALL:", "no option behind a \":\""),
            ("ALL: ALL: allow: ", "no option behind a \":\""),
            ("ALL: ALL:: allow", "no option behind a \":\""),
            ("ALL: ALL: twist /bin/false", "not available: twist /bin/false"),
            ("ALL: ALL: /bin/false %h", "not available: /bin/false %h"),
            ("ALL: @net", "netgroups are not looked up: @net"),
            ("ALL: root@10.0.0.1", "user names are not looked up: root@10.0.0.1"),
            ("ALL: 10.0.0.0/33", "no network: 10.0.0.0/33"),
            ("ALL: 0.0.0.0/0", "no network: 0.0.0.0/0"),
            ("ALL: 10.0.0.1/255.255.255.255", "no network: 10.0.0.1/255.255.255.255"),
            ("ALL: 10.0.0/8", "no network: 10.0.0/8"),
            ("ALL: 10.0.0.0/", "no network: 10.0.0.0/"),
            ("ALL: [::1", "no network: [::1"),
            ("ALL: [::1]/129", "no network: [::1]/129"),
            ("ALL: [10.0.0.1]/8", "no network: [10.0.0.1]/8"),
        ] {
            let error = read(&format!("\n# first\n{rule}\n")).unwrap_err();
            assert_eq!(error.line, 3, "{rule}");
            assert!(error.why.starts_with(why), "{rule}: {error}");
        }
        assert_eq!(read("ALL: ALL").unwrap_err().why, "the rule has no line end");
        assert!(read("# no rule").unwrap().is_empty());
        assert!(read("ftpd: @net: spawn x\n").unwrap().is_empty());
        let mut missing = |_: &str| Err("No such file or directory".to_owned());
        let error = rules_of("ALL: /no\n", true, "storescp", &mut missing).unwrap_err();
        assert_eq!(error.to_string(), "line 1: /no: No such file or directory");
    }

    /// A name is asked for only where a rule needs it.
    #[test]
    fn names_are_asked_for_late() {
        let name = || panic!("the resolver was asked");
        let host = Host { address: "10.0.0.1".parse().unwrap(), name: &name };
        let rules = read("ALL: 10.0.0.2 11. 10.0.0.0/8 ws.example\n").unwrap();
        assert!(first_match(&rules, &host, 104, &host).is_some());
    }

    /// A name that does not come: who could be denied is, who could be allowed is not.
    #[test]
    fn names_that_do_not_come_in_time() {
        let late = || HostName::Late;
        let address = "192.0.2.7".parse().unwrap();
        let host = Host { address, name: &late };
        let server = Host { address, name: &|| HostName::Unknown };
        let mut none = |_: &str| Err(String::new());
        let mut matches = |text: &str, is_allowed| {
            let rules = rules_of(text, is_allowed, "storescp", &mut none).unwrap();
            first_match(&rules, &server, 104, &host).is_some()
        };
        for names in [
            ".evil.example",
            "evil.example",
            "*.example",
            "KNOWN",
            "UNKNOWN",
            "PARANOID",
            "LOCAL",
            "ALL EXCEPT .good.example",
            "10.0.0.1 .evil.example",
        ] {
            assert!(matches(&format!("ALL: {names}\n"), false), "{names} denied");
            assert!(!matches(&format!("ALL: {names}\n"), true), "{names} allowed");
        }
        for (addresses, is_listed) in [
            ("192.0.2.", true),
            ("192.0.2.7", true),
            ("10.0.0.0/8", false),
            ("10.", false),
            ("ALL", true),
        ] {
            for is_allowed in [true, false] {
                assert_eq!(matches(&format!("ALL: {addresses}\n"), is_allowed), is_listed);
            }
        }
        assert!(!matches("ALL: .example: allow\n", false));
        assert!(matches("ALL: .example: deny\n", true));
    }
}
