//! `lbd demo`: the main job on one machine, with nothing to write or install.
//!
//! The six app servers live on addresses of the loopback network, in this process. A stopped one
//! behaves as a machine that has died does to its callers: it breaks every connection without an
//! answer; only `POST /__start` still reaches it.

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::terminal::{Style, complain, say};
use crate::{
    config::{self, Config, SourceFile},
    server::Server,
    telemetry::EventLog,
};

const CONFIG: &str = include_str!("demo.toml");
const BIND: &str = "127.0.0.1:8100";

/// `lbd demo --print-config`.
pub(super) fn print_config(port: u16) -> ExitCode {
    say(text(port).trim_end());
    ExitCode::SUCCESS
}

/// `lbd demo`.
pub(super) fn demo(port: u16) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(serve(port)))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("lbd demo: {error}"));
            if error.to_string().contains(&format!("127.0.0.1:{port}")) {
                complain("choose another port: lbd demo --port 8200");
            }
            ExitCode::FAILURE
        }
    }
}

fn text(port: u16) -> String {
    CONFIG.replace(BIND, &format!("127.0.0.1:{port}"))
}

async fn serve(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let config = config::load(&SourceFile::new("demo.toml", text(port)))?.config;
    // The demo's own words say what there is; warnings about servers still matter.
    let _log = EventLog::start("warn");
    for pool in &config.pools {
        for server in &pool.servers {
            AppServer::start(&pool.name, &server.address.to_string()).await?;
        }
    }
    let server = Server::start(config.clone()).await?;
    let address = server
        .listen_addrs()
        .first()
        .map_or_else(|| BIND.to_owned(), SocketAddr::to_string);
    introduce(&config, &address);
    tokio::signal::ctrl_c().await?;
    say("\nstopping");
    server.shutdown(Some(config.shutdown_timeout)).await;
    Ok(())
}

fn introduce(config: &Config, address: &str) {
    let style = Style::of_stdout();
    let server = config
        .pools
        .iter()
        .find(|pool| *pool.name == "app_a")
        .and_then(|pool| pool.servers.first());
    let server = server
        .map(|server| server.address.to_string())
        .unwrap_or_default();
    say(format_args!(
        "{} three apps on two servers each, behind one port\n",
        style.bold("lbd demo:")
    ));
    for pool in &config.pools {
        let servers: Vec<_> = pool
            .servers
            .iter()
            .map(|server| server.address.to_string())
            .collect();
        let url = format!("http://{address}/{}/", pool.name.value);
        // Padded first: colours would count as width.
        let url = style.green(format_args!("{url:<40}"));
        say(format_args!("  {url} {}", servers.join(", ")));
    }
    say("\nThe servers take turns:");
    say(format_args!("  curl http://{address}/app_a/"));
    say("Stop one of them; nobody notices, and after three failures it is left alone:");
    say(format_args!("  curl -X POST http://{server}/__stop"));
    say(format_args!(
        "  for i in 1 2 3 4 5 6 7 8; do curl -s http://{address}/app_a/; done"
    ));
    say("Start it again; within ten seconds one request finds out, and it is back:");
    say(format_args!("  curl -X POST http://{server}/__start"));
    say("See the file behind all this:");
    say("  lbd demo --print-config");
    say("\nCtrl-C ends it. From here on: one line for each request.\n");
}

/// One server of one app.
#[derive(Debug)]
struct AppServer {
    app: String,
    address: String,
    is_stopped: AtomicBool,
}

impl AppServer {
    async fn start(app: &str, address: &str) -> io::Result<()> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| {
            io::Error::new(error.kind(), format!("app server {address}: {error}"))
        })?;
        let server = Arc::new(Self {
            app: app.to_owned(),
            address: address.to_owned(),
            is_stopped: AtomicBool::new(false),
        });
        tokio::spawn(async move {
            // Accepting fails only when descriptors run out, which a demo does not do for long.
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(Arc::clone(&server), stream));
            }
        });
        Ok(())
    }

    /// The answer, or none if the server is stopped.
    fn answer(&self, request: &Request<Incoming>) -> Option<String> {
        let Self { app, address, .. } = self;
        let is_post = request.method() == Method::POST;
        match request.uri().path().rsplit('/').next() {
            Some("__start") if is_post => {
                self.is_stopped.store(false, Ordering::Relaxed);
                Some(format!("{app} on {address} is started\n"))
            }
            _ if self.is_stopped.load(Ordering::Relaxed) => None,
            Some("__stop") if is_post => {
                self.is_stopped.store(true, Ordering::Relaxed);
                Some(format!("{app} on {address} is stopped\n"))
            }
            _ => Some(format!(
                "{app} on {address}: {} {}\n",
                request.method(),
                request.uri()
            )),
        }
    }
}

async fn converse(server: Arc<AppServer>, stream: tokio::net::TcpStream) {
    let answer = service_fn(|request: Request<Incoming>| {
        let answer = server
            .answer(&request)
            .map(|text| Response::new(Full::new(Bytes::from(text))));
        async move { answer.ok_or_else(|| io::Error::other("stopped")) }
    });
    let serving =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    // A stopped server says nothing, and a client that leaves is no news.
    let _ = serving.await;
}
