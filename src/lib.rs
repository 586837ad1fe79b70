//! lbd
pub mod config;
pub mod http;
pub mod net;
pub mod server;
pub mod telemetry;
pub mod upstream;
