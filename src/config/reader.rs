//! Typed reading of TOML tables that never stops at the first fault.
//!
//! serde would stop there, and its `flatten` and `untagged` lose the place of a value. So the
//! file is parsed once into tables that know their spans, and [`Section`] hands out one value at a
//! time: a value of the wrong type is noted and read as absent, and the keys that nobody asked for
//! are the unknown ones. Each reader of a table ends with [`Section::finish`].

use std::{cell::RefCell, ops::Range, path::PathBuf, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::Diagnostic,
    source::At,
    units::{DURATION_HELP, SIZE_HELP, parse_duration, parse_size},
};

/// Where faults are collected while a file is read.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: RefCell<Vec<Diagnostic>>,
    /// Where files that the file names without a leading slash are: beside it.
    directory: PathBuf,
}

impl Faults {
    /// No faults yet of a file in `directory`.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            found: RefCell::default(),
            directory,
        }
    }

    pub(super) fn push(&self, fault: Diagnostic) {
        self.found.borrow_mut().push(fault);
    }

    pub(super) fn into_inner(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}

/// One table of the file.
pub(super) struct Section<'a> {
    /// How messages call it: `[log]`, `pool app_a`.
    name: String,
    table: &'a DeTable<'a>,
    pub(super) span: Range<usize>,
    pub(super) faults: &'a Faults,
    known: RefCell<Vec<&'static str>>,
    later: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        name: impl Into<String>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        faults: &'a Faults,
    ) -> Self {
        Self {
            name: name.into(),
            table,
            span,
            faults,
            known: RefCell::default(),
            later: RefCell::default(),
        }
    }

    /// The value of `key`, which is thereby a known key.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'a>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.table.get(key).map(|value| Value {
            name: key.to_owned(),
            value,
            faults: self.faults,
        })
    }

    /// Notes `key` as one that a later version will know, and refuses it until then.
    pub(super) fn not_yet(&self, key: &'static str) {
        self.later.borrow_mut().push(key);
        if let Some((spanned, _)) = self.table.get_key_value(key) {
            self.faults.push(
                Diagnostic::error(spanned.span(), format!("`{key}` is not supported yet"))
                    .help("remove it: lbd refuses what it would otherwise ignore"),
            );
        }
    }

    /// Every key with its value, for tables whose keys are the user's own names.
    pub(super) fn entries(&self) -> Vec<(At<String>, Value<'a>)> {
        self.table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                (
                    At::new(name.clone(), key.span()),
                    Value {
                        name,
                        value,
                        faults: self.faults,
                    },
                )
            })
            .collect()
    }

    /// The keys that stand in it, and where.
    pub(super) fn keys(&self) -> Vec<At<String>> {
        let keys = self.table.iter();
        keys.map(|(key, _)| At::new(key.get_ref().to_string(), key.span()))
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.faults
            .push(Diagnostic::error(self.span.clone(), message).help(help));
    }

    /// Refuses the keys that nobody asked for.
    pub(super) fn finish(self) {
        let (known, later) = (self.known.into_inner(), self.later.into_inner());
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) && !later.contains(&name) {
                let fault =
                    Diagnostic::error(key.span(), format!("unknown key `{name}` in {}", self.name));
                self.faults
                    .push(match nearest(name, known.iter().copied()) {
                        Some(near) => fault.help(format!("did you mean `{near}`?")),
                        None => fault.help(format!("known here: {}", known.join(", "))),
                    });
            }
        }
    }
}

/// One value of the file and the name of its key.
pub(super) struct Value<'a> {
    name: String,
    value: &'a Spanned<DeValue<'a>>,
    faults: &'a Faults,
}

impl<'a> Value<'a> {
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Notes a fault of this value; `message` follows the key's name.
    pub(super) fn fault(&self, message: impl AsRef<str>, help: &str) {
        self.fault_at(self.span(), message, help);
    }

    /// Notes a fault of a part of this value.
    pub(super) fn fault_at(&self, span: Range<usize>, message: impl AsRef<str>, help: &str) {
        self.faults.push(
            Diagnostic::error(span, format!("`{}` {}", self.name, message.as_ref())).help(help),
        );
    }

    /// Notes something about this value that its author may want to know.
    pub(super) fn warn(&self, message: impl AsRef<str>, help: &str) {
        self.faults.push(
            Diagnostic::warning(self.span(), format!("`{}` {}", self.name, message.as_ref()))
                .help(help),
        );
    }

    fn wrong_type(&self, wanted: &str) {
        let found = match self.value.get_ref() {
            DeValue::Table(_) => "a table",
            DeValue::Array(_) => "an array",
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
        };
        self.fault(format!("is {found}"), &format!("write {wanted}"));
    }

    fn at<T>(&self, value: T) -> At<T> {
        At::new(value, self.span())
    }

    pub(super) fn is_string(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub(super) fn is_integer(&self) -> bool {
        self.value.get_ref().is_integer()
    }

    pub(super) fn is_empty_array(&self) -> bool {
        self.value
            .get_ref()
            .as_array()
            .is_some_and(|items| items.is_empty())
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(super) fn string(&self) -> Option<At<String>> {
        match self.value.get_ref().as_str() {
            Some(text) => Some(self.at(text.to_owned())),
            None => {
                self.wrong_type("a string in quotes");
                None
            }
        }
    }

    /// The file that this value names, and what is in it.
    pub(super) fn file(&self) -> Option<(At<String>, Vec<u8>)> {
        let named = self.string()?;
        let path = self.faults.directory.join(named.as_str());
        match std::fs::read(&path) {
            Ok(content) => Some((self.at(path.display().to_string()), content)),
            Err(error) => {
                self.fault(
                    format!("cannot be read: {} ({error})", path.display()),
                    "name a file that lbd may read; without a leading slash it is looked for beside this one",
                );
                None
            }
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type("true or false");
        }
        value
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, range: std::ops::RangeInclusive<u32>) -> Option<At<u32>> {
        let Some(number) = self.value.get_ref().as_integer() else {
            self.wrong_type("a whole number without quotes");
            return None;
        };
        match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
            Ok(n) if u32::try_from(n).is_ok_and(|n| range.contains(&n)) => {
                u32::try_from(n).ok().map(|n| self.at(n))
            }
            _ => {
                self.fault(
                    "is out of range",
                    &format!("from {} to {}", range.start(), range.end()),
                );
                None
            }
        }
    }

    pub(super) fn duration(&self) -> Option<Duration> {
        if self.value.get_ref().is_integer() {
            let number = self.value.get_ref().as_integer().map_or("", |n| n.as_str());
            self.fault(
                "has no unit",
                &format!("a duration names its unit: \"{number}s\" or \"{number}ms\""),
            );
            return None;
        }
        let text = self.string()?;
        parse_duration(&text)
            .map_err(|message| self.fault(message, DURATION_HELP))
            .ok()
    }

    /// A duration that cannot be zero.
    pub(super) fn timeout(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.fault(
                "is zero",
                "a timeout is longer than zero; to wait very long, write \"1d\"",
            );
            return None;
        }
        Some(duration)
    }

    pub(super) fn size(&self) -> Option<u64> {
        let parsed = match self.value.get_ref().as_integer() {
            Some(number) => parse_size(number.as_str()),
            None => parse_size(&self.string()?),
        };
        parsed
            .map_err(|message| self.fault(message, SIZE_HELP))
            .ok()
    }

    /// Per cent, of 1 to 100.
    pub(super) fn percent(&self) -> Option<u32> {
        let text = self.string()?;
        let number = text.strip_suffix('%').and_then(|n| n.trim().parse().ok());
        let percent = number.filter(|n| (1..=100).contains(n));
        if percent.is_none() {
            self.fault(
                format!("is not from \"1%\" to \"100%\": \"{}\"", *text),
                "a part of the whole: \"50%\"",
            );
        }
        percent
    }

    /// A plain value, as JSON has it.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        let json = match self.value.get_ref() {
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Boolean(value) => Some((*value).into()),
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                let number = i64::from_str_radix(&digits, number.radix());
                number.ok().map(serde_json::Value::from)
            }
            DeValue::Float(number) => {
                let number: Option<f64> = number.as_str().replace('_', "").parse().ok();
                number.map(serde_json::Value::from)
            }
            DeValue::Array(_) | DeValue::Table(_) | DeValue::Datetime(_) => None,
        };
        if json.is_none() {
            self.wrong_type("a text, a number, or true or false");
        }
        json
    }

    pub(super) fn array(&self) -> Option<Vec<Self>> {
        let Some(items) = self.value.get_ref().as_array() else {
            self.wrong_type("an array in brackets");
            return None;
        };
        let item = |value| Self {
            name: self.name.clone(),
            value,
            faults: self.faults,
        };
        Some(items.iter().map(item).collect())
    }

    /// An array of strings, or one string for an array of one.
    pub(super) fn strings(&self) -> Vec<At<String>> {
        if self.is_string() {
            return self.string().into_iter().collect();
        }
        let items = self.array().unwrap_or_default();
        items.iter().filter_map(Self::string).collect()
    }

    pub(super) fn section(&self, name: impl Into<String>) -> Option<Section<'a>> {
        let Some(table) = self.value.get_ref().as_table() else {
            self.wrong_type("a table");
            return None;
        };
        Some(Section::new(name, table, self.span(), self.faults))
    }

    /// One of a set of words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == *text);
        if found.is_none() {
            let listed = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(", ");
            let help = match nearest(&text, words.iter().map(|(word, _)| *word)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("one of {listed}"),
            };
            self.fault(format!("has an unknown value \"{}\"", *text), &help);
        }
        found.map(|(_, value)| *value)
    }
}

/// The candidate that `word` was probably meant to be: at most a third of it differs.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    candidates
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(3)) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped {
                    best.min(rows[i - 2][j - 2] + 1)
                } else {
                    best
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let keys = ["servers", "max_fails", "fail_timeout"];
        for (typed, meant) in [
            ("sevrers", "servers"),
            ("server", "servers"),
            ("maxfails", "max_fails"),
            ("fail_time", "fail_timeout"),
        ] {
            assert_eq!(nearest(typed, keys.into_iter()), Some(meant), "{typed}");
        }
        assert_eq!(nearest("upstream", keys.into_iter()), None);
    }
}
