//! A client that keeps whatever cookies it is given, as browsers do.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::harness::wait::DEADLINE;

/// Somebody who has a session. Each request has a connection of its own.
pub(super) struct Client {
    to: SocketAddr,
    /// As a proxy before lbd says it.
    address: String,
    cookies: BTreeMap<String, String>,
    visits: usize,
}

impl Client {
    /// The client of this number comes for the first time.
    pub(super) fn come(to: SocketAddr, number: usize) -> Self {
        let mut client = Self {
            to,
            // `ip_hash` does not look at the last byte.
            address: format!("10.{}.{}.1", number / 256, number % 256),
            cookies: BTreeMap::new(),
            visits: 0,
        };
        client.visit();
        client
    }

    /// Asks once more, and sees that its session has counted every visit.
    pub(super) fn visit(&mut self) {
        self.visits += 1;
        let answer = self.ask();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
        assert!(
            head.starts_with("HTTP/1.1 200 "),
            "{}: {answer}",
            self.address
        );
        for line in head.lines() {
            self.keep(line);
        }
        let (node, session) = (self.node(), self.session());
        let wanted = format!("node={node} session={session} count={}", self.visits);
        assert_eq!(body.trim_end(), wanted, "{}", self.address);
    }

    /// The Tomcat that has the session.
    pub(super) fn node(&self) -> &str {
        let parts = self.session().split_once('.');
        parts.expect("Tomcat adds its name").1
    }

    fn session(&self) -> &str {
        let session = self.cookies.get("JSESSIONID");
        session.expect("Tomcat's cookie")
    }

    fn ask(&self) -> String {
        let mut request = format!(
            "GET / HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: {}\r\nConnection: close\r\n",
            self.address
        );
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        request += "\r\n";
        let mut stream = TcpStream::connect(self.to).expect("somebody listens");
        let timeout = stream.set_read_timeout(Some(DEADLINE));
        timeout.expect("a read timeout");
        let sent = stream.write_all(request.as_bytes());
        sent.expect("the request is taken");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        read.expect("a whole answer");
        answer
    }

    /// Keeps the cookie that this line of a head has, if it has one.
    fn keep(&mut self, line: &str) {
        let field = line.split_once(": ");
        let Some((_, cookie)) = field.filter(|(name, _)| name.eq_ignore_ascii_case("Set-Cookie"))
        else {
            return;
        };
        let pair = cookie.split(';').next().unwrap_or_default();
        let (name, value) = pair.split_once('=').expect("a name and a value");
        self.cookies.insert(name.to_owned(), value.to_owned());
    }
}
