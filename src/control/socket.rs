//! The control socket: HTTP on a Unix socket that only its owner can open.
//!
//! Unlike a signal, a request here has an answer: `lbd reload` knows whether the new file is served,
//! and why not. Everything that an operator can do to the running server goes through here, so that
//! `curl --unix-socket` can do it, too.

use std::{
    convert::Infallible,
    fs,
    io::{self, Read, Write},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::Request;
use crate::{
    config::Control,
    server::{ReloadError, Reloader},
};

/// What can be asked over the socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// Serve the file as it is now.
    Reload,
    /// Open the access log again.
    Reopen,
    /// End within the shutdown timeout.
    Stop,
    /// End when the last request has.
    Quit,
}

impl Verb {
    fn path(self) -> &'static str {
        match self {
            Self::Reload => "/api/v1/reload",
            Self::Reopen => "/api/v1/reopen",
            Self::Stop => "/api/v1/stop",
            Self::Quit => "/api/v1/quit",
        }
    }

    fn of(path: &str) -> Option<Self> {
        [Self::Reload, Self::Reopen, Self::Stop, Self::Quit]
            .into_iter()
            .find(|verb| verb.path() == path)
    }
}

/// What the running server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// 200; 422 if the file has faults; 409 if the system does not give what it asks for.
    pub status: StatusCode,
    /// For the operator.
    pub text: String,
}

/// Where the server says whether it goes on, and what it says when it does not.
const STATE: &str = "/api/v1/state";
const ENDING: &str = "ending\n";

/// A reload may wait for names to be resolved; nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the socket may be, the best place first.
pub fn candidates(control: &Control) -> Vec<PathBuf> {
    match control {
        Control::Off => Vec::new(),
        Control::Path(path) => vec![path.clone()],
        Control::Default => {
            let user =
                std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("lbd"));
            let own = PathBuf::from(format!("/tmp/lbd-{}", rustix::process::geteuid().as_raw()));
            let directories = [Some(PathBuf::from("/run/lbd")), user, Some(own)];
            directories
                .into_iter()
                .flatten()
                .map(|dir| dir.join("control.sock"))
                .collect()
        }
    }
}

/// The socket, bound. Its file goes with it.
#[derive(Debug)]
pub(super) struct BoundSocket {
    path: PathBuf,
    /// Device and inode of the file: a successor may have put its own there.
    file: (u64, u64),
    listener: Option<UnixListener>,
}

impl BoundSocket {
    /// Binds the socket that `control` describes; `None` if there is to be none.
    pub(super) fn bind(control: &Control) -> io::Result<Option<Self>> {
        let mut reason = None;
        for path in candidates(control) {
            match bind_at(&path, *control == Control::Default) {
                Ok(listener) => {
                    let file = identity(&path)?;
                    return Ok(Some(Self {
                        path,
                        file,
                        listener: Some(listener),
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(error) => reason = Some(explain(&path, &error)),
            }
        }
        reason.map_or(Ok(None), |reason| Err(io::Error::other(reason)))
    }

    /// Answers on it until what this returns is dropped.
    pub(super) fn serve(
        mut self,
        reloader: Arc<Reloader>,
        requests: mpsc::UnboundedSender<Request>,
    ) -> io::Result<ControlSocket> {
        let listener = self.listener.take().ok_or(io::ErrorKind::NotConnected)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        tracing::info!("control socket {}", self.path.display());
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        tokio::spawn(converse(stream, Arc::clone(&reloader), requests.clone()));
                    }
                    // Descriptors come back; a loop that spins would not help.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        Ok(ControlSocket { _bound: self, task })
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // If it is gone meanwhile, so much the better.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What tells a file from another of the same name.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn explain(path: &Path, error: &io::Error) -> String {
    format!("control socket {}: {error}", path.display())
}

fn bind_at(path: &Path, make_directory: bool) -> io::Result<UnixListener> {
    if make_directory && let Some(directory) = path.parent() {
        make_private(directory)?;
    }
    if is_held(path) {
        let reason = format!(
            "{}; set `control` in the file to another path, or to \"off\"",
            explain(path, &io::Error::other("another lbd answers there"))
        );
        return Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
    }
    // Made under another name, closed to others, then moved into place: at no time can somebody
    // else open it, and what a process that died has left behind is replaced.
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let listener = UnixListener::bind(&draft)?;
    let placed = fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        // The reason is in `placed`.
        let _ = fs::remove_file(&draft);
    }
    placed.map(|()| listener)
}

/// Whether a lbd answers at `path` that is not about to end: one that waits for its last requests
/// must not keep its successor from starting.
fn is_held(path: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(path) else {
        return false;
    };
    let mut answer = String::new();
    let asked = stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .and_then(|()| stream.write_all(format!("GET {STATE} HTTP/1.0\r\n\r\n").as_bytes()))
        .and_then(|()| stream.read_to_string(&mut answer));
    asked.is_err() || !answer.ends_with(ENDING)
}

/// Makes `directory` unless it is there; in a place that others can write to, it must be ours.
fn make_private(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if fs::symlink_metadata(directory)?.uid() == rustix::process::geteuid().as_raw() => {
            Ok(())
        }
        _ => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "its directory belongs to another user",
        )),
    }
}

/// The socket while it is served.
#[derive(Debug)]
pub(super) struct ControlSocket {
    _bound: BoundSocket,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(
    stream: tokio::net::UnixStream,
    reloader: Arc<Reloader>,
    requests: mpsc::UnboundedSender<Request>,
) {
    let answer = service_fn(|request: HttpRequest<Incoming>| {
        let (reloader, requests) = (Arc::clone(&reloader), requests.clone());
        async move { Ok::<_, Infallible>(render(answer(&request, &reloader, &requests).await)) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!("control socket: {error}");
    }
}

async fn answer(
    request: &HttpRequest<Incoming>,
    reloader: &Reloader,
    requests: &mpsc::UnboundedSender<Request>,
) -> Reply {
    if request.uri().path() == STATE {
        let text = if reloader.is_ending() {
            ENDING
        } else {
            "serving\n"
        };
        return Reply {
            status: StatusCode::OK,
            text: text.to_owned(),
        };
    }
    let Some(verb) = Verb::of(request.uri().path()) else {
        return Reply {
            status: StatusCode::NOT_FOUND,
            text: "no such request\n".to_owned(),
        };
    };
    if request.method() != Method::POST {
        return Reply {
            status: StatusCode::METHOD_NOT_ALLOWED,
            text: "use POST\n".to_owned(),
        };
    }
    let (status, text) = match verb {
        Verb::Reload => match reloader.reload().await {
            Ok(warnings) => (StatusCode::OK, format!("{warnings}reloaded\n")),
            Err(error) => {
                tracing::error!(
                    "reload failed, nothing is changed: {}",
                    first_line(&error.to_string())
                );
                let status = match &error {
                    ReloadError::Faulty(_)
                    | ReloadError::Unreadable { .. }
                    | ReloadError::Expired { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                    ReloadError::Refused(_) => StatusCode::CONFLICT,
                };
                (
                    status,
                    format!("{error}\nreload failed, nothing is changed\n"),
                )
            }
        },
        Verb::Reopen => match reloader.reopen_log().await {
            Ok(()) => (StatusCode::OK, "access log reopened\n".to_owned()),
            Err(error) => (
                StatusCode::CONFLICT,
                format!("{error}; lines go on to the old file\n"),
            ),
        },
        Verb::Stop => hand_on(requests, Request::Stop),
        Verb::Quit => hand_on(requests, Request::Quit),
    };
    Reply { status, text }
}

fn hand_on(requests: &mpsc::UnboundedSender<Request>, request: Request) -> (StatusCode, String) {
    match requests.send(request) {
        Ok(()) => (StatusCode::OK, "stopping\n".to_owned()),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ended already\n".to_owned(),
        ),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn render(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.text)));
    *response.status_mut() = reply.status;
    response
}

/// Asks the lbd behind `path` for `verb`.
///
/// # Errors
/// Nobody answers there, or not within half a minute.
pub async fn ask(path: &Path, verb: Verb) -> io::Result<Reply> {
    tokio::time::timeout(PATIENCE, exchange(path, verb))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(path: &Path, verb: Verb) -> io::Result<Reply> {
    let stream = tokio::net::UnixStream::connect(path).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let request = HttpRequest::post(verb.path())
        .header("host", "lbd")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    connection.abort();
    Ok(Reply {
        status,
        text: String::from_utf8_lossy(&body).into_owned(),
    })
}
