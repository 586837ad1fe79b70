//! A server that says its name.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Says `name` to every request without a body. It ends with the tests.
pub(crate) fn named(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || answer_all(name, &stream));
        }
    });
    addr
}

/// Until the connection ends, in whichever way.
fn answer_all(name: &str, stream: &TcpStream) {
    let length = name.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let mut writer = stream;
        if line.is_empty() && writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
