//! Messages as the pipeline knows them: heads that can be read in one way only, whichever version they
//! came in. `h1` reads them from text and `h2` puts them together from frames.

mod fields;
mod framing;
mod name;
mod options;
mod request;
mod response;

pub(super) use self::{
    fields::{Field, Fields, Span},
    framing::{Framing, framing_of},
    name::{Name, Names},
    options::ConnectionOptions,
    request::{
        HEADER_TOO_LARGE, HeadLimits, PathAndQuery, Pseudo, RequestHead, Target, URI_TOO_LONG, bad,
        check_method, expects_continue, host_field, is_host, request_framing,
    },
    response::{ResponseHead, has_no_body},
};

/// Fields of a message at most, as httparse and Apache count them.
pub(super) const MAX_FIELDS: usize = 100;

/// Whether `name` is `other`, whatever their case.
pub(super) fn is_name(name: &[u8], other: &str) -> bool {
    name.eq_ignore_ascii_case(other.as_bytes())
}

/// The members of a comma-separated list, without white space and empty ones (RFC 9110 section 5.6.1).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}
