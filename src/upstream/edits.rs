//! What operators have changed in a pool's list of servers, beside the file.
//!
//! An edit stands for as long as an order does: over every reload, and with `state_file` over a restart. Where the file
//! comes to say the same, or does not name the server any more that was changed, the edit is forgotten.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{self, ServerAddress, ServerSpec};

/// What operators have changed in one pool's list.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Edits(Vec<Edit>);

/// What an operator has changed about one server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Edit {
    /// The server, as the file would call it.
    pub server: String,
    /// What is changed.
    pub what: What,
    /// Who has changed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What is changed about a server.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is one of the pool's.
    Added(Addition),
    /// It is not.
    Removed,
    /// It may get more or less.
    Set(Shares),
}

/// What a server may get.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Shares {
    /// Its share of the requests.
    pub weight: Option<u32>,
    /// Requests in flight at most; 0: no limit.
    pub max_conns: Option<u32>,
}

/// What is said of a server that is added; what is not said is the pool's.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Addition {
    /// What it may get.
    #[serde(flatten)]
    pub shares: Shares,
    /// Failures within `fail_timeout` that take it out; 0: never.
    pub max_fails: Option<u32>,
    /// The window in which failures count, in seconds.
    pub fail_timeout_seconds: Option<f64>,
    /// Used only while no other can be.
    #[serde(default)]
    pub backup: bool,
    /// Never used, until somebody says otherwise.
    #[serde(default)]
    pub down: bool,
    /// Used only for clients that are bound to it, until somebody says otherwise.
    #[serde(default)]
    pub drain: bool,
}

/// Why an edit is not made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EditError {
    /// It is no address.
    #[error("{server:?} is no server: {help}")]
    NoAddress {
        /// What was said.
        server: String,
        /// How to say it.
        help: String,
    },
    /// The pool has it already.
    #[error("pool {pool} has server {server} already")]
    AlreadyThere {
        /// The pool.
        pool: String,
        /// The server.
        server: String,
    },
    /// It is one of several addresses of a name.
    #[error("{server} is one address of {name}: say {name}, which is all of them")]
    OneOfMany {
        /// What was said.
        server: String,
        /// The name.
        name: String,
    },
    /// The file says what it is.
    #[error(
        "the file names {server}: only weight and max_conns can be said when it is added again; then drain or down it"
    )]
    NamedByFile {
        /// The server.
        server: String,
    },
    /// The pool's method maps clients to servers, all of which are alike.
    #[error("pool {pool} has no backup servers, because of its balance")]
    NoBackup {
        /// The pool.
        pool: String,
    },
    /// It is the last one.
    #[error("{server} is the last server of pool {pool}")]
    Last {
        /// The pool.
        pool: String,
        /// The server.
        server: String,
    },
}

impl Edits {
    /// Those that matter where the file says `pool`.
    pub(super) fn that_matter(&self, pool: &config::Pool) -> Self {
        let in_file = |edit: &Edit| pool.servers.iter().any(|spec| edit.is_about(spec));
        let matters = |edit: &&Edit| match edit.what {
            What::Added(_) => !in_file(edit),
            What::Removed | What::Set(_) => in_file(edit),
        };
        Self(self.0.iter().filter(matters).cloned().collect())
    }

    /// `pool` with these edits.
    pub fn apply(&self, pool: &config::Pool) -> config::Pool {
        let mut edited = pool.clone();
        edited.servers.retain_mut(|spec| {
            let mut about = self.0.iter().filter(|edit| edit.is_about(spec));
            match about.next().map(|edit| &edit.what) {
                Some(What::Removed) => false,
                Some(What::Set(shares)) => {
                    shares.apply(spec);
                    true
                }
                Some(What::Added(_)) | None => true,
            }
        });
        for edit in &self.that_matter(pool).0 {
            if let What::Added(addition) = &edit.what
                && let Ok(address) = edit.server.parse()
            {
                edited.servers.push(addition.spec(pool, address));
            }
        }
        edited
    }

    /// The edit that has added the server that the file would call `server`.
    pub(super) fn addition(&self, server: &str) -> Option<&Edit> {
        let is_it = |edit: &&Edit| edit.server == server && matches!(edit.what, What::Added(_));
        self.0.iter().find(is_it)
    }

    /// These and `edit`, to a pool that the file says is `pool`.
    pub(super) fn with(&self, edit: Edit, pool: &config::Pool) -> Self {
        let mut all = self.0.clone();
        let before = all.iter().position(|known| known.server == edit.server);
        let before = before.map(|index| all.remove(index));
        match (before.map(|known| known.what), edit.what.clone()) {
            // What the file does not name is gone as if it had never been.
            (Some(What::Added(_)), What::Removed) => {}
            (Some(What::Added(addition)), What::Set(shares)) => {
                let shares = addition.shares.and(shares);
                let what = What::Added(Addition { shares, ..addition });
                all.push(Edit { what, ..edit });
            }
            (Some(What::Set(before)), What::Set(shares)) => {
                let what = What::Set(before.and(shares));
                all.push(Edit { what, ..edit });
            }
            // One that the file names is only no longer removed; what else is said of it holds.
            (Some(What::Removed), What::Added(addition)) => {
                let what = What::Set(addition.shares);
                all.push(Edit { what, ..edit });
            }
            _ => all.push(edit),
        }
        // One that says nothing says what the file says.
        all.retain(|edit| edit.what != What::Set(Shares::default()));
        Self(all).that_matter(pool)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.0.iter()
    }
}

impl Edit {
    fn is_about(&self, spec: &ServerSpec) -> bool {
        self.server == spec.address.value.to_string()
    }
}

impl std::fmt::Display for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            server,
            what,
            by,
            at,
        } = self;
        match what {
            What::Added(_) => write!(f, "server {server} is added")?,
            What::Removed => write!(f, "server {server} is removed")?,
            What::Set(shares) => write!(f, "server {server} has {shares}")?,
        }
        write!(f, ", by {by} at {at}")
    }
}

impl std::fmt::Display for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let weight = self.weight.map(|n| format!("weight {n}"));
        let max_conns = self.max_conns.map(|n| format!("max_conns {n}"));
        let said: Vec<_> = weight.into_iter().chain(max_conns).collect();
        f.write_str(&said.join(" and "))
    }
}

impl Shares {
    fn apply(self, spec: &mut ServerSpec) {
        spec.weight = self.weight.unwrap_or(spec.weight);
        spec.max_conns = self.max_conns.unwrap_or(spec.max_conns);
    }

    /// These, but for what `later` says.
    fn and(self, later: Self) -> Self {
        Self {
            weight: later.weight.or(self.weight),
            max_conns: later.max_conns.or(self.max_conns),
        }
    }
}

impl Addition {
    /// Whether it says more than what the server may get.
    pub(super) fn is_more_than_shares(&self) -> bool {
        let shares = self.shares;
        *self
            != Self {
                shares,
                ..Self::default()
            }
    }

    fn spec(&self, pool: &config::Pool, address: ServerAddress) -> ServerSpec {
        let mut spec = pool.server_defaults.server(address);
        self.shares.apply(&mut spec);
        let window = self.fail_timeout_seconds;
        let window = window.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        spec.max_fails = self.max_fails.unwrap_or(spec.max_fails);
        spec.fail_timeout = window.unwrap_or(spec.fail_timeout);
        (spec.backup, spec.down, spec.drain) = (self.backup, self.down, self.drain);
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceFile;

    fn pool(servers: &str) -> config::Pool {
        let text = format!(
            "[[listeners]]\nbind = \"127.0.0.1:8100\"\n[[routes]]\npath = \"/\"\npool = \"p\"\n\
             [pools.p]\nmax_fails = 7\nservers = [{servers}]\n"
        );
        let loaded = config::load(&SourceFile::new("lb.toml", text)).unwrap();
        loaded.config.pools[0].clone()
    }

    fn edit(server: &str, what: What) -> Edit {
        Edit {
            server: server.to_owned(),
            what,
            by: "alice".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn set(weight: u32) -> What {
        What::Set(Shares {
            weight: Some(weight),
            max_conns: None,
        })
    }

    fn added(weight: Option<u32>) -> What {
        What::Added(Addition {
            shares: Shares {
                weight,
                max_conns: None,
            },
            ..Addition::default()
        })
    }

    /// What becomes of `pool` by `edits`, one after the other: each server and its weight.
    fn told(pool: &config::Pool, edits: &[Edit]) -> Vec<(String, u32)> {
        let all = edits
            .iter()
            .fold(Edits::default(), |all, edit| all.with(edit.clone(), pool));
        let servers = all.apply(pool).servers.into_iter();
        let told = servers.map(|spec| (spec.address.value.to_string(), spec.weight));
        told.collect()
    }

    fn list(servers: &[(&str, u32)]) -> Vec<(String, u32)> {
        let owned = servers.iter().map(|(name, n)| ((*name).to_owned(), *n));
        owned.collect()
    }

    #[test]
    fn one_that_is_added_is_like_the_pool_s_own() {
        let pool = pool("\"a:1\"");
        let edits = Edits::default().with(edit("b:1", added(None)), &pool);
        let servers = edits.apply(&pool).servers;
        assert_eq!(servers[1].address.value.to_string(), "b:1");
        assert_eq!((servers[1].weight, servers[1].max_fails), (1, 7));
    }

    #[test]
    fn the_last_word_on_each_counts() {
        let pool = pool("\"a:1\", \"b:1\"");
        let told = |edits: &[Edit]| told(&pool, edits);
        assert_eq!(told(&[edit("a:1", What::Removed)]), list(&[("b:1", 1)]));
        let back = [edit("a:1", What::Removed), edit("a:1", added(Some(3)))];
        assert_eq!(told(&back), list(&[("a:1", 3), ("b:1", 1)]));
        let gone = [edit("c:1", added(None)), edit("c:1", What::Removed)];
        assert_eq!(told(&gone), list(&[("a:1", 1), ("b:1", 1)]));
        let changed = [edit("c:1", added(None)), edit("c:1", set(5))];
        let all = list(&[("a:1", 1), ("b:1", 1), ("c:1", 5)]);
        assert_eq!(told(&changed), all);
        let twice = [edit("a:1", set(2)), edit("a:1", set(4))];
        assert_eq!(told(&twice), list(&[("a:1", 4), ("b:1", 1)]));
    }

    #[test]
    fn what_the_file_comes_to_say_itself_is_forgotten() {
        let before = pool("\"a:1\"");
        let edits = Edits::default()
            .with(edit("b:1", added(Some(3))), &before)
            .with(edit("a:1", set(2)), &before);
        let after = pool("\"b:1\"");
        assert!(edits.that_matter(&after).is_empty());
        assert_eq!(edits.apply(&after).servers[0].weight, 1);
    }
}
