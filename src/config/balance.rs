//! `balance`: how a server is chosen.

use std::fmt;

use super::{
    reader::{Section, Value},
    template::Template,
};

/// How a server is chosen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Balance {
    /// Smooth weighted round robin (nginx's default).
    RoundRobin,
    /// By the client's network (nginx `ip_hash`).
    IpHash,
    /// Fewest requests in flight for its weight (nginx `least_conn`).
    LeastConn,
    /// The better of two that are drawn by lot (nginx `random two least_conn`).
    Random,
    /// Of two that are drawn by lot, the one that answers sooner, by what was seen of late.
    Ewma,
    /// By any key (nginx `hash KEY`).
    Hash {
        /// What is hashed.
        key: Template,
        /// Whether a server that comes or goes moves only its own keys (nginx `hash KEY consistent`).
        consistent: bool,
    },
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round_robin",
            Self::IpHash => "ip_hash",
            Self::LeastConn => "least_conn",
            Self::Random => "random",
            Self::Ewma => "ewma",
            Self::Hash { .. } => "hash",
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    RoundRobin,
    IpHash,
    LeastConn,
    Random,
    Ewma,
    Hash,
}

const WORDS: [(&str, Word); 6] = [
    ("round_robin", Word::RoundRobin),
    ("ip_hash", Word::IpHash),
    ("least_conn", Word::LeastConn),
    ("random", Word::Random),
    ("ewma", Word::Ewma),
    ("hash", Word::Hash),
];

impl Balance {
    /// Whether a client's server follows from its address or its key, so that a server is never given less than its
    /// weight.
    pub fn is_mapping(&self) -> bool {
        matches!(self, Self::IpHash | Self::Hash { .. })
    }

    /// Reads `balance`, `hash_key` and `consistent` of a pool.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let balance = section.get("balance");
        let word = balance.as_ref().and_then(|value| value.word(&WORDS));
        let (key, consistent) = (section.get("hash_key"), section.get("consistent"));
        if word == Some(Word::Hash) {
            return Self::Hash {
                key: read_key(key, section),
                consistent: consistent.and_then(|v| v.boolean()).unwrap_or(false),
            };
        }
        for value in [key, consistent].into_iter().flatten() {
            value.fault(
                "is for balance = \"hash\"",
                "add balance = \"hash\", or remove it",
            );
        }
        match word {
            Some(Word::IpHash) => Self::IpHash,
            Some(Word::LeastConn) => Self::LeastConn,
            Some(Word::Random) => Self::Random,
            Some(Word::Ewma) => Self::Ewma,
            Some(Word::RoundRobin | Word::Hash) | None => Self::RoundRobin,
        }
    }
}

fn read_key(value: Option<Value<'_>>, section: &Section<'_>) -> Template {
    let Some(value) = value else {
        section.error(
            "balance = \"hash\" without `hash_key`",
            "say what is hashed: hash_key = \"$remote_addr\"",
        );
        return Template::default();
    };
    Template::read_key(&value).unwrap_or_default()
}
