//! The two ends of a connection through lbd, the service manager, certificates, and lbd's own commands.

mod certs;
mod checked;
mod client;
mod command;
mod manager;
mod named;
mod secure;
mod slow;

pub(crate) use self::{
    certs::Pair,
    checked::{Checked, check, check_in},
    client::{Client, get, post},
    command::{HELLO, lbd, restart, says},
    manager::Manager,
    named::named,
    secure::Secure,
    slow::Slow,
};
