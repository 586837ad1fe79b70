//! A client of HTTP/2 that behaves: the one of the `h2` crate, under deadlines.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::client::HOST;
use super::wait;

/// One connection.
pub(crate) struct Http2 {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::connect_with(&Builder::new(), addr).await
    }

    /// With settings of its own.
    pub(crate) async fn connect_with(builder: &Builder, addr: SocketAddr) -> Self {
        let stream = wait::within("connecting", TcpStream::connect(addr)).await;
        Self::over(builder, stream.expect("the proxy accepts")).await
    }

    /// Over a connection that is there already.
    pub(crate) async fn over<T>(builder: &Builder, io: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = wait::within("the preface", builder.handshake(io))
            .await
            .expect("the proxy takes the preface");
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }

    /// Begins a request, and ends it at once if `is_whole`.
    pub(crate) async fn start(
        &mut self,
        request: Request<()>,
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let ready = poll_fn(|cx| self.requests.poll_ready(cx));
        wait::within("room for a request", ready)
            .await
            .expect("the connection takes requests");
        self.requests
            .send_request(request, is_whole)
            .expect("the connection takes the request")
    }

    /// A whole request and its whole answer.
    pub(crate) async fn ask(&mut self, request: Request<()>, body: &[u8]) -> Answer {
        let (response, mut upload) = self.start(request, body.is_empty()).await;
        if !body.is_empty() {
            let body = Bytes::copy_from_slice(body);
            upload
                .send_data(body, true)
                .expect("the stream takes a body");
        }
        answer(response).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(request("GET", path, &[]), b"").await
    }

    /// How the connection ended, once lbd has ended it.
    pub(crate) async fn ended(self) -> Result<(), h2::Error> {
        wait::within("the end of the connection", self.connection)
            .await
            .expect("reading does not panic")
    }
}

/// A request to `app.example`.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{HOST}{path}"));
    for &(name, value) in fields {
        request = request.header(name, value);
    }
    request.body(()).expect("a request as it should be")
}

/// Fields by themselves, such as trailers.
pub(crate) fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for &(name, value) in fields {
        map.append(name, HeaderValue::from_static(value));
    }
    map
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let value = self.fields.get(name)?;
        Some(value.to_str().expect("a field is text"))
    }

    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        let value = self.trailers.get(name)?;
        Some(value.to_str().expect("a field is text"))
    }
}

/// The whole answer.
pub(crate) async fn answer(response: ResponseFuture) -> Answer {
    try_answer(response).await.expect("a whole answer")
}

/// The whole answer, or why it is none.
pub(crate) async fn try_answer(response: ResponseFuture) -> Result<Answer, h2::Error> {
    rest(head(response).await?).await
}

/// The head of an answer; nothing of its body is taken.
pub(crate) async fn head(response: ResponseFuture) -> Result<Response<RecvStream>, h2::Error> {
    wait::within("the head of the answer", response).await
}

/// What follows a head.
pub(crate) async fn rest(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = wait::within("more of the answer", stream.data()).await {
        let piece = piece?;
        body.extend_from_slice(&piece);
        stream.flow_control().release_capacity(piece.len())?;
    }
    let trailers = wait::within("the end of the answer", stream.trailers()).await?;
    Ok(Answer {
        status: parts.status.as_u16(),
        fields: parts.headers,
        body,
        trailers: trailers.unwrap_or_default(),
    })
}

/// The next interim answer; none if the answer itself is there.
pub(crate) async fn interim(response: &mut ResponseFuture) -> Option<Response<()>> {
    let next = poll_fn(|cx| response.poll_informational(cx));
    let next = wait::within("an interim answer", next).await;
    next.map(|interim| interim.expect("a well-formed head"))
}
