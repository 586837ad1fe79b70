//! Both sides of a stream may talk for as long as they like, and be silent in between.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{SendResponse, handshake};
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::interval;

use crate::support::http2::{Http2, head, request};
use crate::support::proxy::Proxy;
use crate::support::wait;

use super::pool;

/// A server that answers at once, and says each piece of a request again as soon as it has come; as an element of
/// `servers`.
async fn parrot() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    format!("\"{addr}\"")
}

async fn serve(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection = handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        tokio::spawn(repeat(request, respond));
    }
    Ok(())
}

async fn repeat(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let mut said = respond.send_response(Response::new(()), false)?;
    let mut heard = request.into_body();
    while let Some(piece) = heard.data().await {
        let piece = piece?;
        heard.flow_control().release_capacity(piece.len())?;
        said.send_data(piece, false)?;
    }
    said.send_data(Bytes::new(), true)
}

#[tokio::test]
async fn a_client_may_be_silent_for_long_once_it_is_answered() {
    let keys = "h2c = true\ntimeouts = { body = \"400ms\" }";
    let proxy = Proxy::start_with(keys, &pool(&[parrot().await], "")).await;
    let mut client = Http2::connect(proxy.addr()).await;
    let (response, mut upload) = client.start(request("POST", "/", &[]), false).await;
    let mut heard = head(response).await.expect("an answer").into_body();
    // The first tick is now, the others are beyond the client's time for its body.
    let mut pace = interval(Duration::from_millis(900));
    for word in ["one", "two", "three"] {
        pace.tick().await;
        upload
            .send_data(Bytes::from_static(word.as_bytes()), false)
            .expect("the stream takes more");
        let echo = wait::within("the echo", heard.data()).await;
        let echo = echo.expect("an answer that goes on");
        assert_eq!(echo.expect("an answer that goes on"), word);
    }
    upload
        .send_data(Bytes::new(), true)
        .expect("the stream takes its end");
    let rest = wait::within("the end of the answer", heard.data()).await;
    let rest = rest.transpose().expect("a whole answer");
    assert!(rest.is_none_or(|rest| rest.is_empty()));
}
