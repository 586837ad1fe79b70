//! What a client says of itself before TLS is encrypted (nginx `ssl_preread`).

use std::future::poll_fn;

use rustls::server::Acceptor;

use super::{
    buffer::{Buffer, BufferSize},
    shared::Shared,
    stream::Stream,
    timer::{Deadline, Timer},
    tls::HANDSHAKE_RECORD,
};

/// A ClientHello's part that says where a connection is to go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hello {
    /// The name that it asks for (RFC 6066 section 3), in lower case.
    pub name: Option<String>,
    /// What it would speak inside, the best first (RFC 7301).
    pub alpn: Option<Vec<u8>>,
}

/// Reads a ClientHello into `input`, where it stays. `None`: what came is none, or one that cannot be read.
///
/// # Errors
/// There is none, and why, in words for a log.
pub async fn read_hello(
    stream: &Stream,
    input: &mut Buffer,
    shared: &Shared,
    timer: &Timer,
    deadline: Deadline,
) -> Result<Option<Hello>, String> {
    let mut acceptor = Acceptor::default();
    let mut seen = 0;
    loop {
        let mut news = &input.data()[seen..];
        seen = input.len();
        while !news.is_empty() {
            if input.data().first() != Some(&HANDSHAKE_RECORD) {
                return Ok(None);
            }
            if acceptor.read_tls(&mut news).is_err() {
                return Ok(None);
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Some(hello_of(&accepted))),
                Ok(None) => {}
                Err(_) => return Ok(None),
            }
        }
        let fill = poll_fn(|cx| {
            shared
                .buffers
                .poll_fill(cx, stream, input, BufferSize::Short)
        });
        match timer.limit(deadline, fill).await {
            None => return Err("timeout".to_owned()),
            Some(Ok(n)) if n > 0 => {}
            Some(Ok(_)) if seen == 0 => return Err("closed before the handshake".to_owned()),
            Some(_) => return Err("closed within the handshake".to_owned()),
        }
    }
}

fn hello_of(accepted: &rustls::server::Accepted) -> Hello {
    let hello = accepted.client_hello();
    Hello {
        name: hello.server_name().map(str::to_ascii_lowercase),
        alpn: hello
            .alpn()
            .and_then(|mut protocols| protocols.next().map(<[u8]>::to_vec)),
    }
}
