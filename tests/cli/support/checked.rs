//! What `lbd check` says of a file.

use super::{Pair, lbd};
use crate::harness::{Dir, process::Finished};

/// A file that was checked, and what was said of it.
pub(crate) struct Checked {
    text: String,
    pub(crate) said: Finished,
}

/// Checks `text` beside a.pem and a.key.
pub(crate) fn check(text: &str) -> Checked {
    let dir = Dir::new();
    Pair::new().write(&dir, "a");
    check_in(&dir, text)
}

/// The same in a folder that is there.
pub(crate) fn check_in(dir: &Dir, text: &str) -> Checked {
    dir.write("lb.toml", text);
    Checked {
        text: text.to_owned(),
        said: lbd(dir, &["check", "lb.toml"]),
    }
}

impl Checked {
    /// There is a line that begins with `what`, at the place where `part` stands in the file.
    pub(crate) fn tells(&self, part: &str, what: &str) {
        let start = format!("{}{what}", self.place(part));
        let said = &self.said.err;
        let found = said.lines().any(|line| line.starts_with(&start));
        assert!(found, "no {start:?} in:\n{said}");
    }

    /// There is a line of this kind with `part_of_it` there.
    pub(crate) fn tells_of(&self, part: &str, kind: &str, part_of_it: &str) {
        let start = format!("{}{kind}: ", self.place(part));
        let said = &self.said.err;
        let mut lines = said.lines().filter(|line| line.starts_with(&start));
        let found = lines.any(|line| line.contains(part_of_it));
        assert!(found, "no {start:?} with {part_of_it:?} in:\n{said}");
    }

    /// How a line begins that is about the place where `part` stands in the file, which is once.
    fn place(&self, part: &str) -> String {
        let count = self.text.matches(part).count();
        assert_eq!(count, 1, "{part} in {}", self.text);
        let (before, _) = self.text.split_once(part).expect("it stands there once");
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("lb.toml:{line}:{column}: ")
    }

    /// It says so to whoever mends the file.
    pub(crate) fn helps(&self, help: &str) {
        let (line, said) = (format!(" = help: {help}"), &self.said.err);
        assert!(said.contains(&line), "no {line:?} in:\n{said}");
    }

    /// It can be used; `good` says how good it is.
    pub(crate) fn is(&self, good: &str) {
        assert_eq!(self.said.code, Some(0), "{:?}", self.said);
        assert_eq!(self.said.out, format!("lb.toml: {good}\n"));
    }
}
