//! `[admin]`: the port for people, Prometheus and whoever steers lbd over the network, and the same over the control
//! socket.

mod ending;
mod files;
mod looking;
mod openapi;
mod refusals;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread,
};

use serde_json::Value;

use crate::harness::{Dir, File, Lbd, until, wait::DEADLINE};
use crate::support::Pair;

/// What `@FILES@/token` holds.
const TOKEN: &str = "correct-horse-battery-staple";

/// The field that shows it.
const SHOWN: &str = "Authorization: Bearer correct-horse-battery-staple\r\n";

/// The key of `[admin]` that names it.
const TOKEN_FILE: &str = "token_file = \"@FILES@/token\"";

/// A route of each kind, and a pool.
const ROUTES: &str = "[[routes]]
path = \"/\"
pool = \"app\"
[[routes]]
path = \"/old/\"
redirect = { to = \"/new/\", status = 301 }
[[routes]]
path = \"/none/\"
respond = { status = 404 }
[pools.app]
servers = [\"@SERVER@\"]
";

/// A running lbd with `[admin]`.
#[derive(Debug)]
struct Admin {
    // Before the files, so that nobody reads there when they are removed.
    lbd: Lbd,
    files: Dir,
    /// Where `[admin]` accepts.
    addr: SocketAddr,
}

impl Admin {
    /// With a token, and a pool `app` of one server.
    fn start() -> Self {
        Self::with(TOKEN_FILE, "")
    }

    /// With these keys of `[admin]` beside `bind`, and this behind the pool. `@FILES@` stands for a folder with `token`,
    /// a.pem and a.key, `@SERVER@` for a server.
    fn with(keys: &str, further: &str) -> Self {
        let files = Dir::new();
        files.write("token", &format!("{TOKEN}\n"));
        Pair::new().write(&files, "a");
        let folder = files.path().display().to_string();
        let top = format!("[admin]\nbind = \"127.0.0.1:0\"\n{keys}");
        let top = top.replace("@FILES@", &folder);
        let rest = format!("{ROUTES}{further}").replace("@FILES@", &folder);
        let rest = rest.replace("@SERVER@", &server().to_string());
        let file = File {
            top: &top,
            rest: &rest,
            ..File::default()
        };
        Self::of(&file.text(), files)
    }

    /// Serves `text`, and is ready for commands.
    fn of(text: &str, files: Dir) -> Self {
        let lbd = Lbd::start(text, &[]);
        let line = lbd.process.err.wait_for("admin on http://");
        let addr = line.split("admin on http://").nth(1).unwrap_or_default();
        let addr = addr.trim().parse().expect("the line names an address");
        lbd.process.err.wait_for("control socket ");
        Self { lbd, files, addr }
    }

    /// The answer to this request over the port, whatever it is.
    fn send(&self, text: &str) -> Answer {
        let stream = TcpStream::connect(self.addr).expect("lbd accepts");
        let patience = stream.set_read_timeout(Some(DEADLINE));
        let patience = patience.and_then(|()| stream.set_write_timeout(Some(DEADLINE)));
        patience.expect("a socket of our own");
        Answer::to(text, stream)
    }

    /// The answer to `line` (method and target) with these fields and this body, over the port.
    fn ask(&self, line: &str, fields: &str, body: &str) -> Answer {
        let answer = self.send(&request(line, fields, body));
        answer.is_guarded();
        answer
    }

    /// The answer to somebody who looks.
    fn get(&self, target: &str) -> Answer {
        self.ask(&format!("GET {target}"), "", "")
    }

    /// The answer to somebody who knows the token.
    fn tell(&self, line: &str, body: &str) -> Answer {
        self.ask(line, SHOWN, body)
    }

    /// The same over the control socket, without the token.
    fn tell_socket(&self, line: &str, body: &str) -> Answer {
        let socket = self.lbd.dir.file("control.sock");
        let stream = UnixStream::connect(socket).expect("lbd accepts");
        let patience = stream.set_read_timeout(Some(DEADLINE));
        patience.expect("a socket of our own");
        Answer::to(&request(line, "", body), stream)
    }

    fn status(&self) -> Value {
        let answer = self.get("/api/v1/status");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The server of `app`, as the status calls it.
    fn server(&self) -> String {
        let status = self.status();
        let name = status["pools"][0]["servers"][0]["server"].as_str();
        name.expect("a server").to_owned()
    }

    /// Where it is in the API.
    fn target(&self) -> String {
        format!("/api/v1/pools/app/servers/{}", self.server())
    }

    /// Replaces these words of the file.
    fn edit(&self, from: &str, to: &str) {
        let path = self.lbd.dir.file("lb.toml");
        let text = fs::read_to_string(path).expect("our own file");
        assert!(text.contains(from), "no {from:?} in:\n{text}");
        self.lbd.dir.write("lb.toml", &text.replace(from, to));
    }

    /// Waits until the status says `wanted` at `pointer`.
    fn until_is(&self, pointer: &str, wanted: &Value) {
        until(&format!("{pointer} is {wanted}"), || {
            (self.status().pointer(pointer) == Some(wanted)).then_some(())
        });
    }
}

/// A request that is the last of its connection.
fn request(line: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    let fields = format!("Host: localhost\r\n{fields}Connection: close\r\n");
    format!("{line} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Names in lower case, and values.
    fields: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// What is said to `text`, until the connection ends.
    fn to(text: &str, mut stream: impl Read + Write) -> Self {
        // One that answers before it has read everything reads no further.
        let _ = stream.write_all(text.as_bytes());
        let mut came = Vec::new();
        // Nor is it closed in peace then. What has come is the answer all the same.
        let _ = stream.read_to_end(&mut came);
        let came = String::from_utf8_lossy(&came);
        let (head, body) = came
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no whole head: {came:?}"));
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let fields = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.expect("a status line"),
            fields: fields
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    /// The value of the field `name`, which is in lower case.
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// No browser may guess what it is, keep it, or show it to another page.
    fn is_guarded(&self) {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(self.field(name), Some(value), "{name}: {self:?}");
        }
        let mut names = self.fields.iter().map(|(name, _)| name);
        let shares = names.find(|name| name.starts_with("access-control-"));
        assert_eq!(shares, None, "{self:?}");
    }
}

/// Answers every request without a body; those for /broken with 500. It ends with the tests.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || answer_all(&stream));
        }
    });
    addr
}

/// Until the connection ends, in whichever way.
fn answer_all(stream: &TcpStream) {
    let mut status = 200;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        if line.ends_with(" HTTP/1.1") {
            status = if line.contains(" /broken ") { 500 } else { 200 };
        }
        let mut writer = stream;
        let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 5\r\n\r\nhello");
        if line.is_empty() && writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
