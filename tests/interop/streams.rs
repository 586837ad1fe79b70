//! TCP through lbd, with servers and clients that others wrote.

mod mariadb;
mod mqtt;
mod redis;
mod volume;
