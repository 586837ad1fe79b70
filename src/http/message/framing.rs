//! Where a message body ends (RFC 9112 section 6).
//!
//! Every rule that can be read in two ways is read here as an error: two parsers that disagree on
//! the end of a body are how requests are smuggled.

use super::{Fields, list, name::Name};

/// Where a message body ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Framing {
    /// There is none.
    None,
    /// After this many bytes.
    Length(u64),
    /// At the last chunk.
    Chunked,
    /// Where the connection does; responses only.
    UntilClose,
}

/// Fields that do not say where a body ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum FramingError {
    /// They can be read in two ways, or not at all.
    Ambiguous(&'static str),
    /// A transfer coding other than chunked.
    UnknownCoding,
}

/// What the fields alone say; `None` if they say nothing.
pub(in super::super) fn framing_of(
    fields: &Fields,
    is_http_11: bool,
) -> Result<Option<Framing>, FramingError> {
    let length = content_length(fields)?;
    let chunked = transfer_encoding(fields)?;
    match (length, chunked) {
        (Some(_), true) => Err(FramingError::Ambiguous(
            "Content-Length beside Transfer-Encoding",
        )),
        (None, true) if !is_http_11 => {
            Err(FramingError::Ambiguous("Transfer-Encoding in HTTP/1.0"))
        }
        (None, true) => Ok(Some(Framing::Chunked)),
        (Some(length), false) => Ok(Some(Framing::Length(length))),
        (None, false) => Ok(None),
    }
}

fn content_length(fields: &Fields) -> Result<Option<u64>, FramingError> {
    let mut values = fields.all(Name::ContentLength);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(FramingError::Ambiguous("two Content-Length fields"));
    }
    // No sign, no list, no white space, no number that would have to be cut.
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number);
    match text.and_then(|text| text.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => Err(FramingError::Ambiguous("Content-Length that is no number")),
    }
}

/// Whether the body is chunked. lbd knows no other coding, and `chunked` twice is none either.
fn transfer_encoding(fields: &Fields) -> Result<bool, FramingError> {
    let mut fields = fields.all(Name::TransferEncoding).peekable();
    if fields.peek().is_none() {
        return Ok(false);
    }
    let mut codings = fields.flat_map(list);
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
        (Some(_), _) => Err(FramingError::UnknownCoding),
        (None, _) => Err(FramingError::Ambiguous("empty Transfer-Encoding")),
    }
}
