//! `[admin]`: the API and the page on a port, for browsers, Prometheus and whoever steers lbd over the network.
//!
//! A port is not a file that only its owner can open. So here a request shows that it knows the token before it changes
//! anything, and that it does not come from a page that somebody else has made: a browser says under which name it asks
//! (`Host`), and one that a stranger's page has been given for our address is none of ours.

mod guard;

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue, Request as HttpRequest, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use self::guard::Guard;
use super::{Request, api::Api};
use crate::{config, server::Reloader, telemetry::Seldom};

/// Connections at a time; nobody needs as many.
const CONNECTIONS: usize = 64;
/// How long a head may take, and a connection may wait for its next.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_HEAD: usize = 16 << 10;

/// What stands in every answer: it is for whoever asked, as it is, and for nobody else.
const FIELDS: [(&str, &str); 4] = [
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// The port, bound.
#[derive(Debug)]
pub(super) struct BoundAdmin {
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundAdmin {
    /// Binds what `admin` says; `None` if there is no `[admin]`.
    pub(super) fn bind(admin: Option<&config::Admin>) -> io::Result<Option<Self>> {
        let Some(admin) = admin else {
            return Ok(None);
        };
        let bind = admin.bind.value;
        let explain = |error: io::Error| {
            let reason =
                format!("admin: cannot listen on {bind}: {error}; change `bind` in [admin]");
            io::Error::new(error.kind(), reason)
        };
        let listener = TcpListener::bind(bind).map_err(explain)?;
        let address = listener.local_addr()?;
        Ok(Some(Self { listener, address }))
    }

    /// Answers there until what this returns is dropped.
    pub(super) fn serve(
        self,
        reloader: &Arc<Reloader>,
        requests: mpsc::UnboundedSender<Request>,
    ) -> io::Result<ServedAdmin> {
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        tracing::info!("admin on http://{}", self.address);
        let (reloader, places) = (Arc::clone(reloader), Arc::new(Semaphore::new(CONNECTIONS)));
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, client)) => {
                        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                            complain_of_crowd();
                            continue;
                        };
                        let api = Api {
                            user: client.ip().to_canonical().to_string(),
                            reloader: Arc::clone(&reloader),
                            requests: requests.clone(),
                        };
                        tokio::spawn(converse(stream, api, place));
                    }
                    // Descriptors come back; a loop that spins would not help.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        Ok(ServedAdmin { task })
    }
}

/// The port while it is served.
#[derive(Debug)]
pub(super) struct ServedAdmin {
    task: tokio::task::JoinHandle<()>,
}

impl Drop for ServedAdmin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(stream: TcpStream, api: Api, _place: OwnedSemaphorePermit) {
    // What is asked is short, and so is the answer.
    let _ = stream.set_nodelay(true);
    // One that does not take its answer is not waited for; the same on every kernel that lbd runs on.
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(PATIENCE));
    let answer = service_fn(|request: HttpRequest<Incoming>| {
        let api = &api;
        async move { Ok::<_, Infallible>(answer(api, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(client = api.user, "admin: {error}");
    }
}

async fn answer(api: &Api, request: HttpRequest<Incoming>) -> Response<Full<Bytes>> {
    let config = api.reloader.config();
    let reply = match &config.admin {
        Some(admin) => match Guard::new(admin).admit(&request) {
            Ok(()) => api.answer(request).await,
            Err(refusal) => refusal.reply(&api.user),
        },
        // A reload has taken `[admin]` out of the file; the port goes with the process.
        None => guard::Refusal::GONE.reply(&api.user),
    };
    let mut response = reply.render();
    for (name, value) in FIELDS {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn complain_of_crowd() {
    static COMPLAINTS: Seldom = Seldom::new(Duration::from_secs(10));
    if let Some(others) = COMPLAINTS.due() {
        tracing::warn!(
            others,
            "admin: {CONNECTIONS} connections are in use; more are closed"
        );
    }
}
