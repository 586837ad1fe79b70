//! lbd
pub mod config;
