//! The two ends of a connection through lbd, the service manager, and lbd's own commands.

mod client;
mod command;
mod manager;
mod slow;

pub(crate) use self::{
    client::{Client, get, post},
    command::{HELLO, lbd, says},
    manager::Manager,
    slow::Slow,
};
