//! What is told of an event, once for both ways of telling: indented lines, and JSON.
//!
//! Names are the standard's: those of the fields in PS3.8 §9.3 and PS3.7 Annex D.3.3. Called by
//! `recording::{describe, show, replay}`.

use std::fmt::Write as _;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text; control characters are escaped when it is written.
    Text(String),
    /// A number.
    Number(u64),
    /// A number and what it means.
    Meaning(u64, String),
    /// A UID and its name.
    Uid(String, Option<&'static str>),
    /// Yes or no.
    Flag(bool),
    /// Fields of its own.
    Tree(Tree),
    /// Several that have fields of their own.
    Trees(Vec<Tree>),
    /// Several UIDs and their names.
    Uids(Vec<(String, Option<&'static str>)>),
}

fn uid_line(uid: &str, name: Option<&str>, out: &mut String) {
    let _ = write!(out, ": {}", one_line(uid));
    if let Some(name) = name {
        let _ = write!(out, " ={name}");
    }
}

/// Fields in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub Vec<(&'static str, Value)>);

impl Tree {
    /// Appends a field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.0.push((name, value));
        self
    }

    /// Appends a text.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "format_args! gives values")]
    pub fn text(self, name: &'static str, value: impl ToString) -> Self {
        self.with(name, Value::Text(value.to_string()))
    }

    /// Appends a number.
    #[must_use]
    pub fn number(self, name: &'static str, value: impl Into<u64>) -> Self {
        self.with(name, Value::Number(value.into()))
    }

    /// Appends a number with its meaning.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "format_args! gives values")]
    pub fn meaning(self, name: &'static str, value: impl Into<u64>, text: impl ToString) -> Self {
        self.with(name, Value::Meaning(value.into(), text.to_string()))
    }

    /// Lines, each behind `indent` blanks.
    pub fn lines(&self, indent: usize, out: &mut String) {
        let mut open = vec![(indent, self.0.as_slice())];
        while let Some((indent, fields)) = open.pop() {
            let Some(((name, value), rest)) = fields.split_first() else { continue };
            open.push((indent, rest));
            let _ = write!(out, "{:indent$}{name}", "");
            match value {
                Value::Tree(tree) => {
                    out.push('\n');
                    open.push((indent + 2, &tree.0));
                    continue;
                }
                Value::Trees(trees) => {
                    // The name stands before each of them.
                    let start = out.len() - indent - name.len();
                    out.truncate(start);
                    for tree in trees {
                        let _ = writeln!(out, "{:indent$}{name}", "");
                        tree.lines(indent + 2, out);
                    }
                    continue;
                }
                Value::Text(text) => {
                    let _ = write!(out, ": {}", one_line(text));
                }
                Value::Number(number) => {
                    let _ = write!(out, ": {number}");
                }
                Value::Meaning(number, text) => {
                    let _ = write!(out, ": {number} ({text})");
                }
                Value::Uid(uid, known) => uid_line(uid, *known, out),
                Value::Uids(uids) => {
                    let start = out.len() - indent - name.len();
                    out.truncate(start);
                    for (uid, known) in uids {
                        let _ = write!(out, "{:indent$}{name}", "");
                        uid_line(uid, *known, out);
                        out.push('\n');
                    }
                    continue;
                }
                Value::Flag(flag) => {
                    let _ = write!(out, ": {}", if *flag { "yes" } else { "no" });
                }
            }
            out.push('\n');
        }
    }

    /// One JSON object; nesting is what this program builds, three levels.
    pub fn json(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json_text(name, out);
            out.push(':');
            match value {
                Value::Text(text) => json_text(text, out),
                Value::Number(number) => {
                    let _ = write!(out, "{number}");
                }
                Value::Meaning(number, text) => {
                    let _ = write!(out, "{{\"value\":{number},\"meaning\":");
                    json_text(text, out);
                    out.push('}');
                }
                Value::Uid(uid, _) => json_text(uid, out),
                Value::Flag(flag) => {
                    let _ = write!(out, "{flag}");
                }
                Value::Tree(tree) => tree.json(out),
                Value::Uids(uids) => {
                    out.push('[');
                    for (index, (uid, _)) in uids.iter().enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        json_text(uid, out);
                    }
                    out.push(']');
                }
                Value::Trees(trees) => {
                    out.push('[');
                    for (index, tree) in trees.iter().enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        tree.json(out);
                    }
                    out.push(']');
                }
            }
        }
        out.push('}');
    }
}

/// `text` with control characters escaped: no peer writes lines of its own.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            let _ = write!(out, "\\x{:02x}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Appends a JSON string.
pub fn json_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ if letter.is_control() => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let item = |id: u8| Tree::default().number("ID", id).with("Used", Value::Flag(id > 1));
        let tree = Tree::default()
            .text("Title", "A\"B\n")
            .meaning("Result", 1_u8, "rejected")
            .with("Item", Value::Trees(vec![item(1), item(3)]))
            .with("Name", Value::Uid("1.2".into(), Some("Known")))
            .with("Sub", Value::Tree(item(5)));
        let mut lines = String::new();
        tree.lines(1, &mut lines);
        let want = " Title: A\"B\\x0a\n Result: 1 (rejected)\n Item\n   ID: 1\n   Used: no\n Item\n   \
                    ID: 3\n   Used: yes\n Name: 1.2 =Known\n Sub\n   ID: 5\n   Used: yes\n";
        assert_eq!(lines, want);
        let mut json = String::new();
        tree.json(&mut json);
        let want = r#"{"Title":"A\"B\u000a","Result":{"value":1,"meaning":"rejected"},"Item":[{"ID":1,"Used":false},{"ID":3,"Used":true}],"Name":"1.2","Sub":{"ID":5,"Used":true}}"#;
        assert_eq!(json, want);
    }
}
