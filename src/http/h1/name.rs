//! The names that lbd itself looks at. Each field is recognised once, when its section is read: from
//! then on a look-up compares numbers, and one for a name that did not come compares nothing.

/// A field's name that means something to lbd.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(in super::super) enum Name {
    Connection,
    ContentLength,
    Date,
    Expect,
    Forwarded,
    Host,
    KeepAlive,
    Location,
    Proxy,
    ProxyConnection,
    Referer,
    Refresh,
    Te,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    XRealIp,
    XRequestId,
}

impl Name {
    /// The name that `text` is, in whatever case.
    pub(in super::super) fn of(text: &[u8]) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        // All of two registers at once is faster than byte after byte.
        let mut lower = [0; 32];
        lower[..text.len()].copy_from_slice(text);
        lower.make_ascii_lowercase();
        Some(match &lower[..text.len()] {
            b"connection" => Self::Connection,
            b"content-length" => Self::ContentLength,
            b"date" => Self::Date,
            b"expect" => Self::Expect,
            b"forwarded" => Self::Forwarded,
            b"host" => Self::Host,
            b"keep-alive" => Self::KeepAlive,
            b"location" => Self::Location,
            b"proxy" => Self::Proxy,
            b"proxy-connection" => Self::ProxyConnection,
            b"referer" => Self::Referer,
            b"refresh" => Self::Refresh,
            b"te" => Self::Te,
            b"transfer-encoding" => Self::TransferEncoding,
            b"upgrade" => Self::Upgrade,
            b"user-agent" => Self::UserAgent,
            b"x-forwarded-for" => Self::XForwardedFor,
            b"x-forwarded-host" => Self::XForwardedHost,
            b"x-forwarded-port" => Self::XForwardedPort,
            b"x-forwarded-proto" => Self::XForwardedProto,
            b"x-real-ip" => Self::XRealIp,
            b"x-request-id" => Self::XRequestId,
            _ => return None,
        })
    }
}

/// No known name is longer.
const LONGEST: usize = "x-forwarded-proto".len();

/// A set of names.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Names(u32);

impl Names {
    /// Those that hold for one connection only, whether or not `Connection` names them (RFC 9110 section 7.6.1).
    pub(in super::super) const HOP_BY_HOP: Self = Self::of(&[
        Name::Connection,
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
