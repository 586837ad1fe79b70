//! A header or trailer section, in the order and the case in which it was written.
//!
//! One run of text and an index into it: reading a section copies it once, an edit appends to the
//! text, and a section of the usual ten fields is searched faster by walking it than by hashing.

/// Header fields (RFC 9110 section 5). Several fields may have one name.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Fields {
    text: Vec<u8>,
    index: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Span,
    value: Span,
}

/// A part of the text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Where `part` stands in `whole`, which must contain it.
    pub(super) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        debug_assert!(part.is_empty() || start + part.len() <= whole.len());
        Self::new(start, part.len())
    }

    pub(super) fn new(start: usize, len: usize) -> Self {
        // Sections are limited to a megabyte.
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            start: number(start),
            len: number(len),
        }
    }

    pub(super) fn len(self) -> usize {
        self.len as usize
    }
}

impl Fields {
    /// The fields that httparse found in `head`, which is copied.
    pub(super) fn parsed(head: &[u8], found: &[httparse::Header<'_>]) -> Self {
        // Room for what a proxy adds, so that an edit seldom allocates.
        let mut text = Vec::with_capacity(head.len() + 512);
        text.extend_from_slice(head);
        let mut index = Vec::with_capacity(found.len() + 10);
        index.extend(found.iter().map(|field| Entry {
            name: Span::of(field.name.as_bytes(), head),
            value: Span::of(field.value, head),
        }));
        Self { text, index }
    }

    pub(super) fn slice(&self, span: Span) -> &[u8] {
        // A span is made for this text, which only grows.
        self.text
            .get(span.start as usize..span.start as usize + span.len())
            .unwrap_or_default()
    }

    /// Every field, in order.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.index
            .iter()
            .map(|entry| (self.slice(entry.name), self.slice(entry.value)))
    }

    /// The value of the first field called `name`.
    pub(in super::super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The values of all fields called `name`, in order.
    pub(in super::super) fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f [u8]> {
        self.spans(name).map(|span| self.slice(span))
    }

    pub(super) fn spans(&self, name: &str) -> impl Iterator<Item = Span> {
        let named = move |entry: &&Entry| {
            entry.name.len() == name.len() && super::is_name(self.slice(entry.name), name)
        };
        self.index.iter().filter(named).map(|entry| entry.value)
    }

    /// Adds a field behind the others.
    pub(in super::super) fn push(&mut self, name: &str, value: &[u8]) {
        let name = self.append(name.as_bytes());
        let value = self.append(value);
        self.index.push(Entry { name, value });
    }

    /// Replaces the beginning of the text, which spans go on pointing into, by `bytes` of the same length.
    pub(super) fn overwrite_start(&mut self, bytes: &[u8]) {
        if let Some(start) = self.text.get_mut(..bytes.len()) {
            start.copy_from_slice(bytes);
        }
    }

    /// Appends each as a line.
    pub(in super::super) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Span {
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
    fn order_and_case_are_kept_and_names_compare_without_case() {
        let fields = fields(&[("B-b", "1"), ("a", "2"), ("b-B", "3")]);
        assert_eq!(fields.get("b-b"), Some(&b"1"[..]));
        assert_eq!(fields.all("B-B").count(), 2);
        assert_eq!(written(&fields), "B-b: 1\r\na: 2\r\nb-B: 3\r\n");
    }
}
