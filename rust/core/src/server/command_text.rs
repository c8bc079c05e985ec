//! The text of a command as the shell gets it: placeholders become expansions of variables, each
//! quoted for the place where it stands (`commands` says why).
//!
//! The text is the user's, so following the shell's quotes is enough: `"…"`, `'…'`, `\`, `$(…)`,
//! backquotes, `${…}`, comments, arithmetic and here-documents (POSIX, Shell Command Language §2.2,
//! §2.7.4). Whatever this takes for what, no value is parsed: only the quotes around it may be wrong.
//! In a here-document the shell expands and quotes are text, so DCMTK's marks stand there; one whose
//! end is quoted is written anew with an end that is not, and what the shell would take up in it
//! escaped. Within backquotes, where every backslash counts twice, here-documents are left alone.
//! Called by `commands`.

use std::collections::VecDeque;

/// A placeholder: its letter, the variable that carries its value, and what DCMTK sets around it.
pub(super) struct Placeholder {
    pub(super) letter: u8,
    pub(super) variable: &'static str,
    mark: &'static str,
}

pub(super) const PLACEHOLDERS: [Placeholder; 5] = [
    Placeholder { letter: b'p', variable: "DCMFAST_PATH", mark: "" },
    Placeholder { letter: b'f', variable: "DCMFAST_FILE", mark: "" },
    Placeholder { letter: b'a', variable: "DCMFAST_CALLING_TITLE", mark: "\"" },
    Placeholder { letter: b'c', variable: "DCMFAST_CALLED_TITLE", mark: "\"" },
    Placeholder { letter: b'r', variable: "DCMFAST_PEER", mark: "" },
];

/// Where the shell's text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    /// `"…"`.
    Double,
    /// `$(…)`, `(…)`.
    Parenthesis,
    /// `$((…))`, of which this is the second parenthesis.
    Arithmetic,
    /// `` `…` ``.
    Backquote,
    /// `${…}`.
    Brace,
    /// The lines of a here-document.
    Document,
}

/// A here-document whose lines come behind the line in hand.
struct Document {
    /// The line that ends it.
    end: Vec<u8>,
    /// `<<-`: tabs before its lines do not count.
    strips_tabs: bool,
    /// The end that takes the place of one that was quoted.
    new_end: Option<Vec<u8>>,
}

/// `text` with its placeholders as expansions, each quoted for its place. Those whose letter is not
/// `known` have no value and stay as they are, as with DCMTK.
pub(super) fn compile(text: &[u8], known: &[u8]) -> Vec<u8> {
    let mut compiler = Compiler {
        text,
        known,
        at: 0,
        out: Vec::with_capacity(text.len() + 64),
        nesting: Vec::new(),
        is_single: false,
        is_comment: false,
        is_escaped: false,
        documents: VecDeque::new(),
    };
    if (0..text.len()).any(|at| compiler.placeholder(at).is_some()) {
        compiler.run();
        compiler.out
    } else {
        text.to_vec()
    }
}

struct Compiler<'t> {
    text: &'t [u8],
    known: &'t [u8],
    at: usize,
    out: Vec<u8>,
    nesting: Vec<Context>,
    is_single: bool,
    is_comment: bool,
    is_escaped: bool,
    /// Those whose lines have not begun; the first is the one in hand while there is one.
    documents: VecDeque<Document>,
}

impl Compiler<'_> {
    fn placeholder(&self, at: usize) -> Option<&'static Placeholder> {
        let &[b'#', letter] = self.text.get(at..at + 2)? else { return None };
        let placeholder = PLACEHOLDERS.iter().find(|one| one.letter == letter)?;
        self.known.contains(&letter).then_some(placeholder)
    }

    /// The byte `count` places before the one in hand.
    fn before(&self, count: usize) -> Option<u8> {
        self.at.checked_sub(count).map(|at| self.text[at])
    }

    fn is_in(&self, context: Context) -> bool {
        self.nesting.last() == Some(&context)
    }

    fn run(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            if let Some(placeholder) = self.placeholder(self.at) {
                self.expand(placeholder);
                self.is_escaped = false;
                self.at += 2;
            } else if byte == b'<' && self.begins_document() {
                self.announce_document();
            } else {
                self.step(byte);
            }
        }
    }

    /// Writes the expansion that takes the place of a placeholder.
    fn expand(&mut self, placeholder: &Placeholder) {
        let Placeholder { variable, mark, .. } = placeholder;
        let is_arithmetic = self.is_arithmetic();
        let out = &mut self.out;
        if is_arithmetic {
            // A shell may evaluate what a variable holds, and commands in it: no value gets there.
            out.push(b'0');
        } else if self.is_comment {
            // Nothing of a value is needed there, nor a line end in it wanted.
        } else if self.is_single {
            out.extend_from_slice(format!("{mark}'\"${{{variable}}}\"'{mark}").as_bytes());
        } else if self.nesting.last() == Some(&Context::Document) {
            // A backslash before it is none of the shell's, but would quote what follows now.
            out.extend_from_slice(if self.is_escaped { b"\\" } else { b"" });
            out.extend_from_slice(format!("{mark}${{{variable}}}{mark}").as_bytes());
        } else if self.nesting.last() == Some(&Context::Double) {
            out.extend_from_slice(if self.is_escaped { b"\\" } else { b"" });
            out.extend_from_slice(format!("\"\"${{{variable}}}\"\"").as_bytes());
        } else {
            if self.is_escaped {
                out.pop();
            }
            out.extend_from_slice(format!("\"${{{variable}}}\"").as_bytes());
        }
    }

    /// Takes over one byte, and follows what it means to the shell.
    fn step(&mut self, byte: u8) {
        let begins_word = self.before(1).is_none_or(|byte| b" \t\n;&|()`<>".contains(&byte));
        self.out.push(byte);
        self.at += 1;
        if self.is_comment {
            self.is_comment = byte != b'\n';
        } else if self.is_single {
            self.is_single = byte != b'\'';
            return;
        } else if std::mem::take(&mut self.is_escaped) {
            return;
        } else {
            self.follow(byte, begins_word);
        }
        if byte == b'\n' {
            self.end_of_line();
        }
    }

    fn follow(&mut self, byte: u8, begins_word: bool) {
        let is_text = self.is_in(Context::Double) || self.is_in(Context::Document);
        // Two before the next, that is one before the byte in hand.
        let before = self.before(2);
        match byte {
            b'\\' => self.is_escaped = true,
            b'\'' if !is_text => self.is_single = true,
            b'#' if !is_text && begins_word && !self.is_in(Context::Arithmetic) => {
                self.is_comment = true;
            }
            b'"' if self.is_in(Context::Double) => self.close(),
            b'"' if !is_text => self.nesting.push(Context::Double),
            b'`' if self.nesting.contains(&Context::Backquote) => {
                while self.nesting.pop().is_some_and(|context| context != Context::Backquote) {}
            }
            b'`' => self.nesting.push(Context::Backquote),
            b'(' if before == Some(b'(') && self.before(3) == Some(b'$') => {
                self.nesting.push(Context::Arithmetic);
            }
            b'(' if before != Some(b'$') && self.is_in(Context::Arithmetic) => {
                self.nesting.push(Context::Arithmetic);
            }
            b'(' if !is_text || before == Some(b'$') => self.nesting.push(Context::Parenthesis),
            b'{' if before == Some(b'$') => self.nesting.push(Context::Brace),
            b')' if self.is_in(Context::Parenthesis) || self.is_in(Context::Arithmetic) => {
                self.close();
            }
            b'}' if self.is_in(Context::Brace) => self.close(),
            _ => {}
        }
    }

    /// True where the shell calculates, whatever quotes and braces stand around in there.
    fn is_arithmetic(&self) -> bool {
        let is_around = |context: &&Context| !matches!(context, Context::Double | Context::Brace);
        self.nesting.iter().rev().find(is_around) == Some(&Context::Arithmetic)
    }

    fn close(&mut self) {
        self.nesting.pop();
    }

    /// True at a `<<` of the shell's.
    fn begins_document(&self) -> bool {
        let is_command = !self.is_comment
            && !self.is_single
            && !self.is_escaped
            && !self.nesting.contains(&Context::Backquote)
            && !self.nesting.contains(&Context::Arithmetic)
            && matches!(self.nesting.last(), None | Some(Context::Parenthesis));
        is_command
            && self.text.get(self.at + 1) == Some(&b'<')
            && self.text.get(self.at + 2).is_some_and(|byte| *byte != b'<')
            && self.before(1) != Some(b'<')
    }

    /// Takes over `<<` with the word behind it, which ends the lines to come.
    fn announce_document(&mut self) {
        let begin = self.at;
        self.at += 2;
        let strips_tabs = self.text.get(self.at) == Some(&b'-');
        self.at += usize::from(strips_tabs);
        while matches!(self.text.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        let word = self.at;
        let (mut end, mut quote, mut is_quoted) = (Vec::new(), None, false);
        while let Some(&byte) = self.text.get(self.at) {
            match (byte, quote) {
                (b'\n', _)
                | (b' ' | b'\t' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' | b'`', None) => {
                    break;
                }
                (b'\'' | b'"', None) => {
                    is_quoted = true;
                    quote = Some(byte);
                }
                (byte, Some(other)) if byte == other => quote = None,
                (b'\\', None) => {
                    is_quoted = true;
                    self.at += 1;
                    end.extend(self.text.get(self.at));
                }
                (byte, _) => end.push(byte),
            }
            self.at += 1;
        }
        self.at = self.at.min(self.text.len());
        let new_end = is_quoted.then(|| self.unused_word());
        match &new_end {
            Some(word) => {
                self.out.extend_from_slice(if strips_tabs { b"<<-" } else { b"<<" });
                self.out.extend_from_slice(word);
            }
            None => self.out.extend_from_slice(&self.text[begin..self.at]),
        }
        if self.at > word {
            self.documents.push_back(Document { end, strips_tabs, new_end });
        }
    }

    /// A word that is no part of the text.
    fn unused_word(&self) -> Vec<u8> {
        let is_used = |word: &[u8]| self.text.windows(word.len()).any(|part| part == word);
        let mut word = b"DCMFAST_END".to_vec();
        while is_used(&word) {
            word.push(b'_');
        }
        word
    }

    /// A line ended: those of here-documents may begin or end.
    fn end_of_line(&mut self) {
        if matches!(self.nesting.last(), Some(Context::Double | Context::Brace)) {
            return;
        }
        if !self.is_in(Context::Document) {
            if self.documents.is_empty() {
                return;
            }
            self.nesting.push(Context::Document);
        }
        while let Some(document) = self.documents.front() {
            let rest = &self.text[self.at..];
            let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let tabs = line.iter().take_while(|byte| **byte == b'\t').count();
            let own = &line[if document.strips_tabs { tabs } else { 0 }..];
            let is_end = own == document.end || rest.is_empty();
            match (&document.new_end, is_end) {
                (None, false) => return,
                // Nothing is the shell's in this line.
                (Some(_), false) => {
                    let until = self.at + line.len();
                    self.copy_literally(until);
                    if self.at == self.text.len() {
                        return;
                    }
                    self.out.push(b'\n');
                    self.at += 1;
                }
                (new_end, true) => {
                    self.out.extend_from_slice(new_end.as_deref().unwrap_or(line));
                    self.at += line.len();
                    self.documents.pop_front();
                    let has_next = !self.documents.is_empty();
                    if !has_next {
                        self.nesting.pop();
                        return;
                    }
                    if self.at < self.text.len() {
                        self.out.push(b'\n');
                        self.at += 1;
                    }
                }
            }
        }
    }

    /// Takes over a line of a document whose end is quoted, which the shell would not look into.
    fn copy_literally(&mut self, until: usize) {
        while self.at < until {
            if let Some(placeholder) = self.placeholder(self.at) {
                self.expand(placeholder);
                self.at += 2;
                continue;
            }
            let byte = self.text[self.at];
            if b"$`\\".contains(&byte) {
                self.out.push(b'\\');
            }
            self.out.push(byte);
            self.at += 1;
        }
    }
}
