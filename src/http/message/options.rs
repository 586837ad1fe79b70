//! What `Connection` says (RFC 9110 section 7.6.1).

use super::{
    Fields, list,
    name::{Name, Names},
};

/// The options of one message.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    /// Whether `Upgrade` is meant.
    pub(in super::super) upgrade: bool,
    /// Whether fields are named that would be passed on otherwise.
    pub(in super::super) names_fields: bool,
    pub(in super::super) count: usize,
}

impl ConnectionOptions {
    /// What the `Connection` fields of `fields` say.
    pub(in super::super) fn of(fields: &Fields) -> Self {
        let mut options = Self::default();
        for value in fields.all(Name::Connection) {
            match value {
                // Nearly always, and then there is no list to take apart.
                b"keep-alive" => options.add(value),
                _ => list(value).for_each(|option| options.add(option)),
            }
        }
        options
    }

    /// Whether the connection may stand after the response (RFC 9112 section 9.3).
    pub(in super::super) fn keeps_alive(self, is_http_11: bool) -> bool {
        !self.close && (is_http_11 || self.keep_alive)
    }

    fn add(&mut self, option: &[u8]) {
        self.count += 1;
        if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else {
            self.names_fields |= !Name::of(option).is_some_and(|name| Names::HOP_BY_HOP.has(name));
        }
    }
}
