//! The two ends of a connection through lbd, the service manager, certificates, and lbd's own commands.

mod certs;
mod checked;
mod client;
mod command;
mod manager;
mod secure;
mod slow;

pub(crate) use self::{
    certs::Pair,
    checked::{Checked, check, check_in},
    client::{Client, get, post},
    command::{HELLO, lbd, says},
    manager::Manager,
    secure::Secure,
    slow::Slow,
};
