//! A client that behaves, keeps its connection, and distrusts: a response field that no test has named fails the test.

use std::net::SocketAddr;

use super::raw::{Raw, Response};

/// What an answer of lbd, or of a backend through it, may carry unless a test allows more.
const ALLOWED: [&str; 9] = [
    "allow",
    "connection",
    "content-length",
    "content-type",
    "date",
    "location",
    "retry-after",
    "server",
    "transfer-encoding",
];

/// The Host of a request that names none.
pub(crate) const HOST: &str = "app.example";

pub(crate) struct Client {
    raw: Raw,
    allowed: Vec<&'static str>,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::over(Raw::connect(addr).await)
    }

    pub(crate) fn over(raw: Raw) -> Self {
        Self {
            raw,
            allowed: ALLOWED.to_vec(),
        }
    }

    /// Lets one more response field pass.
    pub(crate) fn allowing(mut self, name: &'static str) -> Self {
        self.allowed.push(name);
        self
    }

    pub(crate) async fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, &[], b"").await
    }

    /// A body goes with a Content-Length, none without. A field `Host` replaces the default one.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.raw.send(request(method, target, fields, body)).await;
        let response = self
            .raw
            .try_response(method)
            .await
            .expect("a well-formed, complete answer");
        for name in response.fields.names() {
            let known = self
                .allowed
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(name));
            assert!(known, "unexpected field {name} in {response:?}");
        }
        response
    }
}

/// The bytes of a plain request.
pub(crate) fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        head += &format!("Host: {HOST}\r\n");
    }
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// The bytes of a plain GET.
pub(crate) fn get(target: &str) -> Vec<u8> {
    request("GET", target, &[], b"")
}
