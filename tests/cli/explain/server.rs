//! A server that says who it is and what it was asked, and a client that reads that.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::harness::wait::DEADLINE;

/// Answers every request with its name and the request's head, or all of them with 404.
#[derive(Debug)]
pub(super) struct Server {
    addr: SocketAddr,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(name: &'static str) -> Self {
        Self::answering(name, "200 OK")
    }

    /// One that has nothing.
    pub(super) fn lacking(name: &'static str) -> Self {
        Self::answering(name, "404 Not Found")
    }

    fn answering(name: &'static str, status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket");
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let stream = stream.expect("a connection");
                // It ends with its connection.
                thread::spawn(move || answer_all(name, status, &stream));
            }
        });
        Self {
            addr,
            is_over,
            accepting: Some(accepting),
        }
    }

    pub(super) fn addr(&self) -> String {
        self.addr.to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it; it does not serve this one.
        drop(TcpStream::connect(self.addr));
        if let Some(accepting) = self.accepting.take() {
            // There is nobody to tell.
            let _ = accepting.join();
        }
    }
}

fn answer_all(name: &str, status: &str, stream: &TcpStream) {
    let mut body = format!("{name}\n");
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        if !line.is_empty() {
            body += &format!("{line}\n");
            continue;
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        if (&*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
        body = format!("{name}\n");
    }
}

/// What a request through lbd came to.
#[derive(Debug)]
pub(super) struct Asked {
    /// The head of the answer.
    pub(super) head: String,
    /// Who has answered.
    pub(super) name: String,
    /// The lines of the head that the server got.
    pub(super) seen: Vec<String>,
}

/// GET `target` with these fields, over a connection of its own.
pub(super) fn ask(lbd: SocketAddr, target: &str, fields: &[&str]) -> Asked {
    let mut stream = TcpStream::connect(lbd).expect("lbd accepts");
    let timeout = stream.set_read_timeout(Some(DEADLINE));
    timeout.expect("a socket of our own");
    let mut request = format!("GET {target} HTTP/1.1\r\n");
    for field in fields {
        request += &format!("{field}\r\n");
    }
    request += "Connection: close\r\n\r\n";
    let sent = stream.write_all(request.as_bytes());
    sent.expect("lbd takes the request");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    read.expect("an answer and its end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = body.lines().map(str::to_owned);
    Asked {
        head: head.to_owned(),
        name: lines.next().unwrap_or_default(),
        seen: lines.collect(),
    }
}
