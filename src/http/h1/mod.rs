//! HTTP/1.1 on the wire (RFC 9112), with no socket in sight: bytes in, heads and bodies out.
//!
//! An engine of lbd's own, on `httparse` for the characters, because a proxy must see what a
//! library for endpoints smooths over. hyper merges equal Content-Length fields and drops the one
//! beside a Transfer-Encoding, where lbd has to refuse; it cannot pass a 103 on; it loses trailers
//! that the request did not ask for; it lowers the case of names that old clients insist on; and it
//! keeps its buffers while a connection is idle.
//!
//! Whatever is read here is written anew and never copied through: a message that two parsers could
//! read differently does not exist on the far side.

mod body;
mod encode;
mod request;
mod response;

pub(super) use self::{
    body::{BodyError, Decoder},
    encode::{
        write_chunk_start, write_field, write_last_chunk, write_request_line, write_status_line,
    },
    request::parse_request,
    response::{InvalidResponse, parse_response},
};
