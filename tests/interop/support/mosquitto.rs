//! mosquitto, a broker of MQTT, over TCP and over WebSocket.

use std::process::Stdio;

use rustix::process::Signal;

use super::{port::Port, programs::program};
use crate::harness::{Dir, Process};

/// The user is heeded if root starts it: the default one cannot read our directory everywhere. Without the domain it
/// listens for WebSocket on every address of the machine.
const CONFIG: &str = "user root
allow_anonymous true
log_dest stderr
log_type all
listener @TCP@ 127.0.0.1
listener @WEBSOCKET@ 127.0.0.1
socket_domain ipv4
protocol websockets
";

/// A broker that anybody may use. Killed on drop.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    // Before `dir`, so that nobody reads there when it is removed.
    process: Process,
    _dir: Dir,
    pub(crate) tcp: Port,
    pub(crate) websocket: Port,
}

impl Mosquitto {
    pub(crate) fn start() -> Self {
        let (dir, tcp, websocket) = (Dir::new(), Port::new(), Port::new());
        let number = |port: &Port| port.addr().port().to_string();
        let config = CONFIG
            .replace("@TCP@", &number(&tcp))
            .replace("@WEBSOCKET@", &number(&websocket));
        let mut mosquitto = program("mosquitto");
        mosquitto
            .arg("-c")
            .arg(dir.write("mosquitto.conf", &config));
        let process = Process::spawn(mosquitto.stdin(Stdio::null()));
        tcp.until_it_listens();
        websocket.until_it_listens();
        Self {
            process,
            _dir: dir,
            tcp,
            websocket,
        }
    }

    /// How often the client of this name has connected.
    pub(crate) fn connections(&self, name: &str) -> usize {
        let said = self.process.err.text();
        said.matches(&format!(" as {name} (")).count()
    }

    /// Whether the client of this name has subscribed.
    pub(crate) fn has_subscriber(&self, name: &str) -> bool {
        let said = self.process.err.text();
        said.contains(&format!("Sending SUBACK to {name}\n"))
    }

    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        assert_eq!(self.process.finish().code, None);
    }
}
