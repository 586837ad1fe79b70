//! Adding, removing and changing servers.

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;

use super::{Api, Change, NewServer, Reply, duty_named, read};
use crate::{
    config::parse_duration,
    server::{EditWish, EditWishError},
    upstream::{Addition, Duty, EditError, NotEdited, Shares, What},
};

const LARGEST_WEIGHT: u32 = 65_535;
const MOST_FAILS: u32 = 1_000_000;

impl Api {
    /// Adds the server that `body` describes to `pool`.
    pub(super) async fn add(&self, pool: &str, body: Incoming) -> Reply {
        let new: NewServer = match read(body).await {
            Ok(new) => new,
            Err(reply) => return reply,
        };
        let what = match addition(&new) {
            Ok(addition) => What::Added(addition),
            Err(why) => return Reply::bad(&why),
        };
        let wish = EditWish {
            by: self.author(new.by.as_deref()),
            ..wish(pool, &new.address, what)
        };
        self.edit(wish, StatusCode::CREATED).await
    }

    /// Removes `server` from `pool`; `query` may force it.
    pub(super) async fn remove(&self, pool: &str, server: &str, query: &str) -> Reply {
        let says = |what: &str| query.split('&').any(|pair| pair == what);
        let wish = EditWish {
            by: self.author(None),
            force: says("force=true"),
            closes: says("close=true"),
            ..wish(pool, server, What::Removed)
        };
        self.edit(wish, StatusCode::OK).await
    }

    /// Changes what `server` may get, if `change` says anything of that.
    pub(super) async fn set_shares(
        &self,
        pool: &str,
        server: &str,
        change: &Change,
    ) -> Option<Reply> {
        let shares = Shares {
            weight: change.weight,
            max_conns: change.max_conns,
        };
        if shares == Shares::default() {
            return None;
        }
        if let Err(why) = check_weight(shares.weight) {
            return Some(Reply::bad(&why));
        }
        let wish = EditWish {
            by: self.author(change.by.as_deref()),
            ..wish(pool, server, What::Set(shares))
        };
        Some(self.edit(wish, StatusCode::OK).await)
    }

    async fn edit(&self, wish: EditWish, good: StatusCode) -> Reply {
        let reloader = Arc::clone(&self.reloader);
        // A task of its own: whoever asked may leave while what is new is checked.
        let edit = tokio::spawn(async move { reloader.edit(&wish).await });
        match edit.await {
            Ok(Ok(ordered)) => Reply {
                status: good,
                ..Reply::json(&ordered)
            },
            Ok(Err(error)) => Reply::new(status_of(&error), format!("{error}\n")),
            Err(error) => Reply::broken(error),
        }
    }
}

fn wish(pool: &str, server: &str, what: What) -> EditWish {
    EditWish {
        pool: pool.to_owned(),
        server: server.to_owned(),
        what,
        force: false,
        closes: false,
        by: String::new(),
    }
}

fn addition(new: &NewServer) -> Result<Addition, String> {
    check_weight(new.weight)?;
    if new.max_fails.is_some_and(|fails| fails > MOST_FAILS) {
        return Err(format!("max_fails is from 0 to {MOST_FAILS}"));
    }
    let fail_timeout = new.fail_timeout.as_deref().map(parse_duration);
    let fail_timeout = fail_timeout.transpose()?;
    let duty = new.state.as_deref().map(duty_named).transpose()?;
    Ok(Addition {
        shares: Shares {
            weight: new.weight,
            max_conns: new.max_conns,
        },
        max_fails: new.max_fails,
        fail_timeout_seconds: fail_timeout.map(|window| window.as_secs_f64()),
        backup: new.backup,
        down: duty == Some(Duty::Down),
        drain: duty == Some(Duty::Drain),
    })
}

fn check_weight(weight: Option<u32>) -> Result<(), String> {
    match weight {
        Some(weight) if !(1..=LARGEST_WEIGHT).contains(&weight) => {
            Err(format!("a weight is from 1 to {LARGEST_WEIGHT}"))
        }
        _ => Ok(()),
    }
}

fn status_of(error: &EditWishError) -> StatusCode {
    match error {
        EditWishError::NoSuchPool(_) | EditWishError::NotEdited(NotEdited::NoSuchServer(_)) => {
            StatusCode::NOT_FOUND
        }
        EditWishError::NotEdited(NotEdited::Edit(EditError::NoAddress { .. })) => {
            StatusCode::BAD_REQUEST
        }
        EditWishError::NotEdited(NotEdited::Edit(_)) | EditWishError::Refused(_) => {
            StatusCode::CONFLICT
        }
    }
}
