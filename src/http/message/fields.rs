//! A header or trailer section, in the order and the case in which it was written.
//!
//! One run of text and an index into it: reading a section copies it once, an edit appends to the
//! text, and a section of the usual ten fields is searched faster by walking it than by hashing.

use super::name::{Name, Names};

/// Header fields (RFC 9110 section 5). Several fields may have one name.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Fields {
    text: Vec<u8>,
    index: Vec<Entry>,
    /// The known names among them.
    present: Names,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    known: Option<Name>,
    name: Span,
    value: Span,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Field<'f> {
    /// What its name means to lbd, if anything.
    pub(in super::super) known: Option<Name>,
    pub(in super::super) name: &'f [u8],
    pub(in super::super) value: &'f [u8],
    /// `name: value` and the line's end as they were read, if that is also how lbd writes them.
    line: Option<&'f [u8]>,
}

/// A part of the text.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Where `part` stands in `whole`, which must contain it.
    pub(in super::super) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        debug_assert!(part.is_empty() || start + part.len() <= whole.len());
        Self::new(start, part.len())
    }

    pub(in super::super) fn new(start: usize, len: usize) -> Self {
        // Sections are limited to a megabyte.
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            start: number(start),
            len: number(len),
        }
    }

    fn end(self) -> usize {
        self.start as usize + self.len as usize
    }
}

impl Field<'_> {
    /// Appends it as a line.
    pub(in super::super) fn write(&self, out: &mut Vec<u8>) {
        if let Some(line) = self.line {
            return out.extend_from_slice(line);
        }
        out.extend_from_slice(self.name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(self.value);
        out.extend_from_slice(b"\r\n");
    }
}

impl Fields {
    /// The fields that httparse found in `head`, which is copied.
    pub(in super::super) fn parsed(head: &[u8], found: &[httparse::Header<'_>]) -> Self {
        let text = head.to_vec();
        let mut fields = Self {
            text,
            index: Vec::with_capacity(found.len()),
            present: Names::default(),
        };
        for field in found {
            let name = field.name.as_bytes();
            fields.enter(name, Span::of(name, head), Span::of(field.value, head));
        }
        fields
    }

    pub(in super::super) fn slice(&self, span: Span) -> &[u8] {
        // A span is made for this text, which only grows.
        self.text
            .get(span.start as usize..span.end())
            .unwrap_or_default()
    }

    /// Every field, in order.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.index.iter().map(|entry| Field {
            known: entry.known,
            name: self.slice(entry.name),
            value: self.slice(entry.value),
            line: self.line(entry),
        })
    }

    fn line(&self, entry: &Entry) -> Option<&[u8]> {
        let (name_end, value_end) = (entry.name.end(), entry.value.end());
        let is_usual = entry.value.start as usize == name_end + 2
            && self.text.get(name_end..name_end + 2) == Some(b": ")
            && self.text.get(value_end..value_end + 2) == Some(b"\r\n");
        is_usual.then(|| &self.text[entry.name.start as usize..value_end + 2])
    }

    /// Whether a field is called `name`.
    pub(in super::super) fn has(&self, name: Name) -> bool {
        self.present.has(name)
    }

    /// The value of the first field called `name`.
    pub(in super::super) fn get(&self, name: Name) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The values of all fields called `name`, in order.
    pub(in super::super) fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.spans(name).map(|span| self.slice(span))
    }

    pub(in super::super) fn spans(&self, name: Name) -> impl Iterator<Item = Span> {
        // Most look-ups are in vain.
        let entries = if self.has(name) { &*self.index } else { &[] };
        let named = move |entry: &&Entry| entry.known == Some(name);
        entries.iter().filter(named).map(|entry| entry.value)
    }

    /// The value of the first field with any name, known or not.
    pub(in super::super) fn named(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.iter();
        let found = fields.find(|field| super::is_name(field.name, name))?;
        Some(found.value)
    }

    /// No fields yet, and room for `count`.
    pub(in super::super) fn with_capacity(count: usize) -> Self {
        Self {
            text: Vec::with_capacity(count * 32),
            index: Vec::with_capacity(count),
            present: Names::default(),
        }
    }

    /// Adds a field behind the others.
    pub(in super::super) fn push(&mut self, name: &str, value: &[u8]) {
        let span = self.append(name.as_bytes());
        self.append(b": ");
        let value = self.append(value);
        self.append(b"\r\n");
        self.enter(name.as_bytes(), span, value);
    }

    fn enter(&mut self, text: &[u8], name: Span, value: Span) {
        let known = Name::of(text);
        if let Some(known) = known {
            self.present = self.present.with(known);
        }
        self.index.push(Entry { known, name, value });
    }

    /// Replaces the beginning of the text, which spans go on pointing into, by `bytes` of the same length.
    pub(in super::super) fn overwrite_start(&mut self, bytes: &[u8]) {
        if let Some(start) = self.text.get_mut(..bytes.len()) {
            start.copy_from_slice(bytes);
        }
    }

    /// Appends each as a line.
    pub(in super::super) fn write(&self, out: &mut Vec<u8>) {
        for field in self.iter() {
            field.write(out);
        }
    }

    /// How many there are.
    pub(in super::super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The same with the `Cookie` fields, which HTTP/2 may split, made one (RFC 9113 section 8.2.3).
    pub(in super::super) fn with_one_cookie(self) -> Self {
        let is_cookie = |field: &Field<'_>| super::is_name(field.name, "cookie");
        if self.iter().filter(is_cookie).count() < 2 {
            return self;
        }
        let mut joined = Self::with_capacity(self.len());
        for field in self.iter().filter(|field| !is_cookie(field)) {
            if let Ok(name) = std::str::from_utf8(field.name) {
                joined.push(name, field.value);
            }
        }
        let crumbs: Vec<_> = self.iter().filter(is_cookie).map(|f| f.value).collect();
        joined.push("cookie", &crumbs.join(&b"; "[..]));
        joined
    }

    /// Adds text that is no field.
    pub(in super::super) fn append(&mut self, bytes: &[u8]) -> Span {
        let span = Span::new(self.text.len(), bytes.len());
        self.text.extend_from_slice(bytes);
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.push(name, value.as_bytes());
        }
        fields
    }

    fn written(fields: &Fields) -> String {
        let mut out = Vec::new();
        fields.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_that_was_written_unusually_is_written_as_usual() {
        let head = b"GET / HTTP/1.1\r\na: 1\r\nb:2\r\nc:  3 \r\nd: 4\ne:\r\nf:\t6\r\n\r\n";
        let mut found = [httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut found);
        request.parse(head).unwrap();
        assert_eq!(
            written(&Fields::parsed(head, request.headers)),
            "a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ne: \r\nf: 6\r\n"
        );
    }

    #[test]
    fn order_and_case_are_kept_and_names_compare_without_case() {
        let fields = fields(&[("B-b", "1"), ("HOST", "2"), ("b-B", "3"), ("host", "4")]);
        assert_eq!(fields.named("b-b"), Some(&b"1"[..]));
        assert_eq!(fields.get(Name::Host), Some(&b"2"[..]));
        assert_eq!(fields.all(Name::Host).count(), 2);
        assert!(!fields.has(Name::Date) && fields.get(Name::Date).is_none());
        assert_eq!(
            written(&fields),
            "B-b: 1\r\nHOST: 2\r\nb-B: 3\r\nhost: 4\r\n"
        );
    }
}
