//! One configuration file as text, and the way from a byte offset to what an editor calls it.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Beyond this a file is not one that somebody wrote.
const LARGEST: u64 = 16 << 20;

/// The text of a configuration file and the name under which messages speak of it.
///
/// Cheap to clone: diagnostics keep one so that they can show the line they speak of.
#[derive(Clone, Debug)]
pub struct SourceFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    text: String,
    /// Byte offset at which each line starts; never empty.
    line_starts: Vec<usize>,
}

/// A place in a file, both parts counted from one; the column counts characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Line number.
    pub line: usize,
    /// Character within the line.
    pub column: usize,
}

impl SourceFile {
    /// Takes `text` as the content of a file called `name`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1))
            .collect();
        Self {
            inner: Arc::new(Inner {
                name: name.into(),
                text,
                line_starts,
            }),
        }
    }

    /// Reads the file at `path`; a byte order mark is dropped.
    ///
    /// # Errors
    /// The operating system's error, or `InvalidData` naming the first byte that is not UTF-8.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(LARGEST + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "larger than 16 MB: no configuration file",
            ));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "not UTF-8 text: byte {at} is the first that is not; save the file as UTF-8"
                ),
            )
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Ok(Self::new(path.display().to_string(), text))
    }

    /// The name under which messages speak of the file.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The directory that the file is in, as its name tells.
    pub(crate) fn directory(&self) -> PathBuf {
        let directory = Path::new(&self.inner.name).parent();
        directory.map(Path::to_owned).unwrap_or_default()
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// Where `offset` (in bytes) stands; an offset past the end is the end.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.inner.text.len());
        while !self.inner.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self
            .inner
            .line_starts
            .partition_point(|start| *start <= offset);
        let start = self.inner.line_starts[line - 1];
        Position {
            line,
            column: self.inner.text[start..offset].chars().count() + 1,
        }
    }

    /// The text of line `line` (from one) without its line break; empty past the end.
    pub(crate) fn line(&self, line: usize) -> &str {
        let Some(start) = line
            .checked_sub(1)
            .and_then(|i| self.inner.line_starts.get(i))
        else {
            return "";
        };
        self.inner.text[*start..]
            .split('\n')
            .next()
            .map_or("", |text| text.trim_end_matches('\r'))
    }
}

/// A value and the bytes of the file that say it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub(crate) span: Range<usize>,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_becomes_line_and_character() {
        let file = SourceFile::new("f", "ab\n应用x\n\nlast");
        for (offset, line, column) in [
            (0, 1, 1),
            (2, 1, 3),
            (3, 2, 1),
            (6, 2, 2),
            (9, 2, 3),
            (11, 3, 1),
            (12, 4, 1),
            (99, 4, 5),
        ] {
            assert_eq!(
                file.position(offset),
                Position { line, column },
                "offset {offset}"
            );
        }
    }

    #[test]
    fn a_line_is_shown_without_its_break() {
        let file = SourceFile::new("f", "one\r\ntwo");
        assert_eq!(
            (file.line(1), file.line(2), file.line(3)),
            ("one", "two", "")
        );
    }
}
