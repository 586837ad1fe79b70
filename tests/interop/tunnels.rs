//! WebSocket through lbd, with servers and clients that others wrote.

mod mqtt;
mod socketio;
