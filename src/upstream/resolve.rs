//! Names in `servers`, and the addresses that they stand for.
//!
//! Looked up by the system (so that `/etc/hosts` and the site's own settings hold) at start and
//! again in the background. What was good stays until something better is known: an answer that
//! fails or is empty changes nothing.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::config::{Pool, ServerAddress};

/// How long one look-up may take before it has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of names. Shared by all pools of the process.
#[derive(Debug, Default)]
pub struct Resolver {
    // Never held across an await.
    known: Mutex<HashMap<ServerAddress, Vec<SocketAddr>>>,
}

impl Resolver {
    /// Looks up every name of `pools`, all at once. A name that cannot be resolved is logged when it
    /// is new, and has no address or the one it had.
    pub async fn refresh(&self, pools: &[Pool]) {
        let names: BTreeSet<_> = pools
            .iter()
            .flat_map(|pool| pool.servers.iter().map(|spec| spec.address.value.clone()))
            .filter(|address| matches!(address, ServerAddress::Name(..)))
            .collect();
        let mut lookups = tokio::task::JoinSet::new();
        for name in names {
            lookups.spawn(async move { (look_up(&name).await, name) });
        }
        while let Some(done) = lookups.join_next().await {
            if let Ok((result, name)) = done {
                self.learn(name, result);
            }
        }
    }

    pub(super) fn learn(&self, name: ServerAddress, result: Result<Vec<SocketAddr>, String>) {
        let mut known = self.known();
        match result {
            Ok(addresses) => {
                known.insert(name, addresses);
            }
            Err(reason) => match known.get(&name) {
                None => {
                    tracing::warn!(
                        "server {name} has no address: {reason}; it is looked up again until it has"
                    );
                    known.insert(name, Vec::new());
                }
                Some(_) => tracing::debug!("server {name} keeps its addresses: {reason}"),
            },
        }
    }

    /// The addresses that `server` stands for, in a fixed order; none if its name is not resolved.
    pub(super) fn addresses(&self, server: &ServerAddress) -> Vec<SocketAddr> {
        match server {
            ServerAddress::Ip(address) => vec![*address],
            ServerAddress::Name(..) => self.known().get(server).cloned().unwrap_or_default(),
        }
    }

    /// How logs call the peer at `address` that `server` stands for.
    pub(super) fn label(&self, server: &ServerAddress, address: SocketAddr) -> String {
        match server {
            ServerAddress::Ip(address) => address.to_string(),
            ServerAddress::Name(..) => format!("{server}[{}]", address.ip()),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ServerAddress, Vec<SocketAddr>>> {
        // Each change is one insert, so what a panicking thread left is whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_up(name: &ServerAddress) -> Result<Vec<SocketAddr>, String> {
    let lookup = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(name.to_string())).await;
    let found = lookup
        .map_err(|_| format!("no answer within {PATIENCE:?}"))?
        .map_err(|error| error.to_string())?;
    // A set, because answers rotate and a change of order is no change.
    let addresses: BTreeSet<_> = found.collect();
    if addresses.is_empty() {
        Err("the name has no address".to_owned())
    } else {
        Ok(addresses.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str) -> ServerAddress {
        ServerAddress::Name(host.to_owned(), 80)
    }

    #[test]
    fn a_failed_look_up_keeps_what_was_known() {
        let resolver = Resolver::default();
        let address: SocketAddr = "10.0.0.1:80".parse().unwrap();
        resolver.learn(name("a"), Ok(vec![address]));
        resolver.learn(name("a"), Err("no answer".to_owned()));
        assert_eq!(resolver.addresses(&name("a")), [address]);
        resolver.learn(name("b"), Err("no answer".to_owned()));
        assert_eq!(resolver.addresses(&name("b")), []);
    }

    #[tokio::test]
    async fn localhost_has_an_address_and_an_invalid_name_none() {
        assert!(
            look_up(&name("localhost"))
                .await
                .unwrap()
                .iter()
                .all(|address| address.ip().is_loopback())
        );
        assert!(look_up(&name("no-such-host.invalid")).await.is_err());
    }
}
