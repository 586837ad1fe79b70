//! A plain client: one connection, one request after the other.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::harness::wait::DEADLINE;

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Client(TcpStream);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).expect("lbd accepts")
    }

    pub(crate) fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self(stream))
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target);
        self.receive().expect("a whole answer")
    }

    pub(crate) fn send(&mut self, method: &str, target: &str) {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        self.0
            .write_all(request.as_bytes())
            .expect("lbd takes the request");
    }

    /// The answer to what was sent, with a body of the announced length.
    pub(crate) fn receive(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("a Content-Length")];
        self.0.read_exact(&mut body)?;
        Ok(Answer {
            status: status.expect("a status line"),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Waits until lbd closes, and sees that it said nothing before.
    pub(crate) fn is_closed(&mut self) {
        let read = self.0.read(&mut [0]);
        assert_eq!(read.expect("lbd closes in time"), 0, "an unexpected byte");
    }
}

/// GET over a connection of its own.
pub(crate) fn get(addr: SocketAddr, target: &str) -> Answer {
    Client::connect(addr).get(target)
}

/// POST without a body over a connection of its own.
pub(crate) fn post(addr: SocketAddr, target: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send("POST", target);
    client.receive().expect("a whole answer")
}
