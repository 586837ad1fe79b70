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

use http::Request as HttpRequest;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::{
    Request,
    api::{Api, Ask, ENDING, Reply, STATE},
    user::user_of,
};
use crate::{config::Control, server::Reloader};

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
                        let api = Api {
                            user: user_of(&stream),
                            reloader: Arc::clone(&reloader),
                            requests: requests.clone(),
                        };
                        tokio::spawn(converse(stream, api));
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

async fn converse(stream: tokio::net::UnixStream, api: Api) {
    let answer = service_fn(|request: HttpRequest<Incoming>| {
        let api = &api;
        async move { Ok::<_, Infallible>(api.answer(request).await.render()) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(hyper_util::rt::TokioTimer::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!("control socket: {error}");
    }
}

/// Asks the lbd behind `path`.
///
/// # Errors
/// Nobody answers there, or not within half a minute.
pub async fn ask(path: &Path, ask: &Ask) -> io::Result<Reply> {
    tokio::time::timeout(PATIENCE, exchange(path, ask))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(path: &Path, ask: &Ask) -> io::Result<Reply> {
    let stream = tokio::net::UnixStream::connect(path).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let (method, target, body) = ask.to_request();
    let request = HttpRequest::builder()
        .method(method)
        .uri(target)
        .header("host", "lbd")
        .body(Full::new(body))
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
    Ok(Reply::new(status, String::from_utf8_lossy(&body)))
}
