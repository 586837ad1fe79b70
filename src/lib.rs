//! lbd
pub mod config;
pub mod net;
pub mod telemetry;
pub mod upstream;
