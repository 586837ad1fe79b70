//! The names that lbd itself looks at. Each field is recognised once, when its section is read: from
//! then on a look-up compares numbers, and one for a name that did not come compares nothing.

/// A field's name that means something to lbd.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(in super::super) enum Name {
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Forwarded,
    GrpcStatus,
    GrpcTimeout,
    Host,
    Http2Settings,
    KeepAlive,
    Location,
    Proxy,
    ProxyConnection,
    Referer,
    Refresh,
    SecWebSocketAccept,
    SecWebSocketKey,
    SetCookie,
    Te,
    Traceparent,
    Tracestate,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XClientCertFingerprint,
    XClientCertSubject,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
}

impl Name {
    /// The name that `text`, a token, is, in whatever case.
    pub(in super::super) fn of(text: &[u8]) -> Option<Self> {
        Some(match text.len() {
            2 if same(text, b"te") => Self::Te,
            4 if same(text, b"date") => Self::Date,
            4 if same(text, b"host") => Self::Host,
            5 if same(text, b"proxy") => Self::Proxy,
            6 if same(text, b"cookie") => Self::Cookie,
            6 if same(text, b"expect") => Self::Expect,
            7 if same(text, b"referer") => Self::Referer,
            7 if same(text, b"refresh") => Self::Refresh,
            7 if same(text, b"upgrade") => Self::Upgrade,
            8 if same(text, b"location") => Self::Location,
            9 if same(text, b"forwarded") => Self::Forwarded,
            9 if same(text, b"x-real-ip") => Self::XRealIp,
            10 if same(text, b"connection") => Self::Connection,
            10 if same(text, b"keep-alive") => Self::KeepAlive,
            10 if same(text, b"user-agent") => Self::UserAgent,
            10 if same(text, b"set-cookie") => Self::SetCookie,
            10 if same(text, b"tracestate") => Self::Tracestate,
            11 if same(text, b"traceparent") => Self::Traceparent,
            11 if same(text, b"grpc-status") => Self::GrpcStatus,
            12 if same(text, b"content-type") => Self::ContentType,
            12 if same(text, b"grpc-timeout") => Self::GrpcTimeout,
            12 if same(text, b"x-request-id") => Self::XRequestId,
            14 if same(text, b"content-length") => Self::ContentLength,
            14 if same(text, b"http2-settings") => Self::Http2Settings,
            15 if same(text, b"x-forwarded-for") => Self::XForwardedFor,
            16 if same(text, b"proxy-connection") => Self::ProxyConnection,
            16 if same(text, b"x-forwarded-host") => Self::XForwardedHost,
            16 if same(text, b"x-forwarded-port") => Self::XForwardedPort,
            17 if same(text, b"sec-websocket-key") => Self::SecWebSocketKey,
            17 if same(text, b"transfer-encoding") => Self::TransferEncoding,
            17 if same(text, b"x-forwarded-proto") => Self::XForwardedProto,
            20 if same(text, b"sec-websocket-accept") => Self::SecWebSocketAccept,
            21 if same(text, b"x-client-cert-subject") => Self::XClientCertSubject,
            25 if same(text, b"x-client-cert-fingerprint") => Self::XClientCertFingerprint,
            _ => return None,
        })
    }
}

/// Whether a token is `name`, which has only small letters and hyphens, in whatever case. It looks at
/// every byte, which is faster than stopping at the first that differs.
fn same<const N: usize>(token: &[u8], name: &[u8; N]) -> bool {
    let Ok(token) = <&[u8; N]>::try_from(token) else {
        return false;
    };
    // The bit that a capital lacks; of what a token may hold, nothing else becomes a letter or a hyphen by it.
    let pairs = token.iter().zip(name);
    pairs.fold(0, |differences, (a, b)| differences | (a | 0x20) ^ b) == 0
}

/// A set of names.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Names(u64);

impl Names {
    /// Those that hold for one connection only, whether or not `Connection` names them (RFC 9110 section 7.6.1).
    pub(in super::super) const HOP_BY_HOP: Self = Self::of(&[
        Name::Connection,
        Name::Http2Settings,
        Name::KeepAlive,
        Name::ProxyConnection,
        Name::Te,
        Name::TransferEncoding,
        Name::Upgrade,
    ]);

    /// The set of these.
    pub(in super::super) const fn of(names: &[Name]) -> Self {
        let mut set = Self(0);
        let mut i = 0;
        while i < names.len() {
            set = set.with(names[i]);
            i += 1;
        }
        set
    }

    /// This set and `name`.
    pub(in super::super) const fn with(self, name: Name) -> Self {
        Self(self.0 | 1 << name as u32)
    }

    /// This set without `name`.
    pub(in super::super) const fn without(self, name: Name) -> Self {
        Self(self.0 & !(1 << name as u32))
    }

    /// This set and another.
    pub(in super::super) const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether `name` is one of them.
    pub(in super::super) const fn has(self, name: Name) -> bool {
        self.0 & 1 << name as u32 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_every_case_and_nothing_else_is() {
        for (text, name) in [
            ("Host", Some(Name::Host)),
            ("HOST", Some(Name::Host)),
            ("hos", None),
            ("hosts", None),
            ("Keep-Alive", Some(Name::KeepAlive)),
            ("keep_alive", None),
            ("x-forwarded-PORT", Some(Name::XForwardedPort)),
            ("", None),
        ] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
        }
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let set = Names::of(&[Name::Host, Name::XRequestId]);
        assert!(set.has(Name::Host) && set.has(Name::XRequestId) && !set.has(Name::Connection));
        assert!(!set.without(Name::Host).has(Name::Host));
        assert!(set.and(Names::HOP_BY_HOP).has(Name::Te));
    }
}
