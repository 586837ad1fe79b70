//! One request over HTTP/2, on a connection of its own.

use bytes::Bytes;
use h2::client;
use http::{HeaderMap, Request, Response};

use super::probe::Ended;
use crate::{net::Io, upstream::Failure};

/// What came of it.
pub(super) struct Answer {
    pub(super) head: Response<()>,
    pub(super) body: Vec<u8>,
    /// `None` if the body was not read to its end, or had none behind it.
    pub(super) trailers: Option<HeaderMap>,
}

/// Asks with `request` and `body`, if it has one, and reads no more than `most` bytes of the answer's.
pub(super) async fn ask(
    io: Io,
    request: Request<()>,
    body: Option<Bytes>,
    most: usize,
) -> Result<Answer, String> {
    let in_words = |error: h2::Error| Failure::stream(&error).reason.to_owned();
    let (requests, connection) = client::handshake(io).await.map_err(in_words)?;
    let _connection = Ended(tokio::task::spawn_local(async move {
        // Its end is told by the request.
        let _ = connection.await;
    }));
    let mut requests = requests.ready().await.map_err(in_words)?;
    let asked = requests.send_request(request, body.is_none());
    let (response, mut upload) = asked.map_err(in_words)?;
    if let Some(body) = body {
        upload.send_data(body, true).map_err(in_words)?;
    }
    let (head, mut rest) = response.await.map_err(in_words)?.into_parts();
    let head = Response::from_parts(head, ());
    let mut body = Vec::new();
    while body.len() < most {
        let Some(chunk) = rest.data().await else {
            let trailers = rest.trailers().await.map_err(in_words)?;
            return Ok(Answer {
                head,
                body,
                trailers,
            });
        };
        let chunk = chunk.map_err(in_words)?;
        let flow = rest.flow_control();
        flow.release_capacity(chunk.len()).map_err(in_words)?;
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        head,
        body,
        trailers: None,
    })
}
