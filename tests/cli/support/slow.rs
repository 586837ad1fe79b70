//! A server that answers when the test says so.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use crate::harness::{File, wait::DEADLINE};

use super::Client;

/// Serves one request: it waits in here until [`Slow::finish`].
#[derive(Debug)]
pub(crate) struct Slow {
    listener: TcpListener,
    running: Option<(Receiver<()>, Sender<()>)>,
}

impl Slow {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self {
            listener,
            running: None,
        }
    }

    /// An lb.toml that sends /slow here and answers the rest itself.
    pub(crate) fn file(&self, top: &str) -> String {
        let addr = self.listener.local_addr().expect("a bound socket");
        let rest = format!(
            "[[routes]]\npath = \"/\"\nrespond = {{ status = 200, body = \"hello\" }}\n\
             [[routes]]\npath = \"/slow\"\npool = \"slow\"\n[pools.slow]\nservers = [\"{addr}\"]\n"
        );
        let rest = rest.as_str();
        File {
            top,
            rest,
            ..File::default()
        }
        .text()
    }

    /// Has `client` ask for /slow; returns when the request has arrived here.
    pub(crate) fn hold(&mut self, client: &mut Client) {
        let listener = self.listener.try_clone().expect("a descriptor");
        let (has_arrived, arrived) = channel();
        let (finish, may_finish) = channel();
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("lbd connects");
            read_head(&stream);
            // The test has the other ends; one that has failed needs no answer.
            if has_arrived.send(()).is_ok() && may_finish.recv().is_ok() {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfinished";
                let _ = (&stream).write_all(answer);
            }
        });
        client.send("GET", "/slow");
        arrived
            .recv_timeout(DEADLINE)
            .expect("the request arrives at the server");
        self.running = Some((arrived, finish));
    }

    /// Lets the request end, and sees that `client` gets the whole of it.
    pub(crate) fn finish(&mut self, client: &mut Client) {
        let (_, finish) = self.running.take().expect("a request that is held");
        finish.send(()).expect("the server waits");
        let answer = client.receive().expect("a whole answer");
        assert_eq!((answer.status, answer.body.as_str()), (200, "finished"));
    }
}

fn read_head(stream: &TcpStream) {
    for line in BufReader::new(stream).lines() {
        if line.expect("lbd sends a whole head").is_empty() {
            return;
        }
    }
}
