//! Reading the head of a response (RFC 9112 sections 4 and 6.3).

use std::mem::MaybeUninit;

use http::{Method, StatusCode};

use crate::http::message::{
    ConnectionOptions, Fields, Framing, MAX_FIELDS, ResponseHead, Span, framing_of, has_no_body,
};

/// What is no response, in words for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) struct InvalidResponse(pub(in super::super) &'static str);

/// Reads a head from the front of `bytes`, the answer to a request with `method`; `None` if it is
/// not complete. Gives its length, too.
///
/// # Errors
/// [`InvalidResponse`]: what came is no HTTP/1 response, or it can be read in two ways.
pub(in super::super) fn parse_response(
    bytes: &[u8],
    method: &Method,
) -> Result<Option<(ResponseHead, usize)>, InvalidResponse> {
    let mut found = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        bytes,
        &mut found,
    );
    let length = match status {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(InvalidResponse("invalid header")),
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| InvalidResponse("invalid status"))?;
    let is_http_11 = parsed.version == Some(1);
    let fields = Fields::parsed(&bytes[..length], parsed.headers);
    let reason = match parsed.reason {
        Some(reason) if !reason.is_empty() => Span::of(reason.as_bytes(), &bytes[..length]),
        _ => Span::default(),
    };
    let body = match framing_of(&fields, is_http_11) {
        _ if has_no_body(status, method) => Framing::None,
        Ok(framing) => framing.unwrap_or(Framing::UntilClose),
        Err(_) => return Err(InvalidResponse("ambiguous length")),
    };
    let options = ConnectionOptions::of(&fields);
    let keep_alive = body != Framing::UntilClose && options.keeps_alive(is_http_11);
    Ok(Some((
        ResponseHead {
            status,
            reason,
            fields,
            body,
            keep_alive,
            options,
            is_assembled: false,
        },
        length,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(method: Method, text: &str) -> Result<Framing, InvalidResponse> {
        parse_response(text.as_bytes(), &method).map(|parsed| parsed.unwrap().0.body)
    }

    #[test]
    fn where_a_body_ends() {
        let get = |text| body(Method::GET, text);
        assert_eq!(
            get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            Ok(Framing::Length(5))
        );
        assert_eq!(
            get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Ok(Framing::Chunked)
        );
        assert_eq!(get("HTTP/1.1 200 OK\r\n\r\n"), Ok(Framing::UntilClose));
        assert_eq!(
            get("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
            Ok(Framing::None)
        );
        assert_eq!(
            get("HTTP/1.1 304\r\nContent-Length: 5\r\n\r\n"),
            Ok(Framing::None)
        );
        assert_eq!(
            body(Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            Ok(Framing::None)
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_no_response() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "220 smtp ready\r\n\r\n",
        ] {
            assert!(body(Method::GET, text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn persistence() {
        let keeps = |text: &str| {
            parse_response(text.as_bytes(), &Method::GET)
                .unwrap()
                .unwrap()
                .0
                .keep_alive
        };
        assert!(keeps("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(keeps(
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"
        ));
        assert!(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
        assert!(!keeps(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ));
        assert!(!keeps("HTTP/1.1 200 OK\r\n\r\n"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse_response(&bytes, &Method::GET);
        }
    }
}
