//! What a pool's `hash_key` is for a connection or a session: of its variables, those that need no request.

use std::net::SocketAddr;

use crate::{
    config::{Balance, Part, Variable},
    telemetry::{write_ip, write_number},
    upstream::Pool,
};

/// What `pool` hashes for `client`, which came to `port`; nothing if it does not hash.
pub(super) fn hash_key(pool: &Pool, client: SocketAddr, port: u16) -> Vec<u8> {
    let mut key = Vec::new();
    let Balance::Hash { key: template, .. } = &pool.config().balance else {
        return key;
    };
    for part in &template.parts {
        match part {
            Part::Literal(text) => key.extend_from_slice(text.as_bytes()),
            Part::Variable(Variable::RemoteAddr) => write_ip(&mut key, client.ip().to_canonical()),
            Part::Variable(Variable::RemotePort) => write_number(&mut key, client.port().into()),
            Part::Variable(Variable::ServerPort) => write_number(&mut key, port.into()),
            // The configuration's checks let no other come here.
            Part::Variable(_) => {}
        }
    }
    key
}
