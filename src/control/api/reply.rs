//! What the running server answers.

use std::fmt::Display;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

pub(in super::super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What the running server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// 200; 201 for what is new; 400 and 404 for what makes no sense; 422 if the file has faults; 409 if the system does
    /// not give what is asked for.
    pub status: StatusCode,
    /// For the operator, or JSON.
    pub text: String,
    /// What it is.
    pub(in super::super) content_type: &'static str,
    /// Further fields.
    pub(in super::super) fields: Vec<(HeaderName, String)>,
}

impl Reply {
    pub(in super::super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            content_type: TEXT,
            fields: Vec::new(),
        }
    }

    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self::new(StatusCode::OK, text)
    }

    pub(super) fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    pub(super) fn bad(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{why}\n"))
    }

    /// The fault is lbd's own.
    pub(super) fn broken(error: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
    }

    pub(in super::super) fn too_long() -> Self {
        let text = format!("a body of {} KB at most\n", super::LONGEST >> 10);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    /// RFC 9110 section 15.5.6.
    pub(super) fn not_allowed(methods: &[&str]) -> Self {
        let allowed = methods.join(", ");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("use {}\n", methods.join(" or ")),
        )
        .with(header::ALLOW, allowed)
    }

    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => Self::ok(text + "\n").of_type(JSON),
            Err(error) => Self::broken(error),
        }
    }

    pub(in super::super) fn of_type(self, content_type: &'static str) -> Self {
        Self {
            content_type,
            ..self
        }
    }

    pub(in super::super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(in super::super) fn render(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.text)));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.content_type),
        );
        for (name, value) in self.fields {
            // All are texts of our own.
            if let Ok(value) = HeaderValue::from_str(&value) {
                fields.insert(name, value);
            }
        }
        response
    }
}
