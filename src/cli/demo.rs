//! `lbd demo`: the main job on one machine, with nothing to write or install.
//!
//! The six app servers live on addresses of the loopback network, in this process. A stopped one
//! behaves as a machine that has died does to its callers: it breaks every connection without an
//! answer; only `POST /__start` still reaches it.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
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
    control::Control,
    server::{Reloader, Server},
    telemetry::EventLog,
};

const CONFIG: &str = include_str!("demo.toml");
const BIND: &str = "127.0.0.1:8100";
const ADMIN: &str = "127.0.0.1:8180";
/// The page is so many ports beyond the apps.
const BEYOND: u16 = 80;

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
            let ports = [port, port.saturating_add(BEYOND)];
            let is_taken = |port: &u16| error.to_string().contains(&format!("127.0.0.1:{port}"));
            if ports.iter().any(is_taken) {
                complain("choose another port: lbd demo --port 8200");
            }
            ExitCode::FAILURE
        }
    }
}

fn text(port: u16) -> String {
    let admin = port.saturating_add(BEYOND);
    CONFIG
        .replace(BIND, &format!("127.0.0.1:{port}"))
        .replace(ADMIN, &format!("127.0.0.1:{admin}"))
}

async fn serve(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let place = Place::make()?;
    let file = place.write(port)?;
    let mut config = config::load(&SourceFile::read(&file)?)?.config;
    // The demo's own words say what there is; warnings about servers still matter.
    let log = EventLog::start("warn");
    for pool in &config.pools {
        for server in &pool.servers {
            AppServer::start(&pool.name, &server.address.to_string()).await?;
        }
    }
    let control = open_control(&mut config)?;
    let server = Arc::new(Server::start(config.clone()).await?);
    introduce(&config, &file);
    let reloader = Reloader::new(file, config, Arc::clone(&server), log);
    control.run(server, Arc::new(reloader)).await?;
    say("\nstopped");
    Ok(())
}

/// The ways in. Where another lbd has the usual socket, the demo does without.
fn open_control(config: &mut Config) -> io::Result<Control> {
    match Control::open(config) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && config.control != config::Control::Off =>
        {
            let is_of_socket = error.to_string().contains("control socket");
            if !is_of_socket {
                return Err(error);
            }
            complain("lbd demo: another lbd runs here: `lbd status` and its like are for that one");
            config.control = config::Control::Off;
            Control::open(config)
        }
        opened => opened,
    }
}

/// The demo's directory, which goes with it.
struct Place(PathBuf);

impl Place {
    /// A new directory that nobody else can look into.
    fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lbd-demo-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Writes the file, and a token beside it.
    fn write(&self, port: u16) -> io::Result<PathBuf> {
        let mut token = [0; 16];
        aws_lc_rs::rand::fill(&mut token).map_err(io::Error::other)?;
        let token = format!("{:032x}\n", u128::from_le_bytes(token));
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        io::Write::write_all(
            &mut options.open(self.0.join("admin.token"))?,
            token.as_bytes(),
        )?;
        let file = self.0.join("lb.toml");
        fs::write(&file, text(port).replace("# token_file", "token_file"))?;
        Ok(file)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // If it is gone meanwhile, so much the better.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn introduce(config: &Config, file: &Path) {
    let style = Style::of_stdout();
    let address = config
        .listeners
        .first()
        .and_then(|listener| listener.bind.first());
    let address = address.map_or_else(|| BIND.to_owned(), |bind| bind.to_string());
    let app_a = config.pools.iter().find(|pool| *pool.name == "app_a");
    let server = app_a.and_then(|pool| pool.servers.first());
    let server = server.map(|server| server.address.to_string());
    let server = server.unwrap_or_default();
    say(format_args!(
        "{} three apps on two servers each, behind one port\n",
        style.bold("lbd demo:")
    ));
    for pool in &config.pools {
        let servers = pool.servers.iter();
        let servers: Vec<_> = servers.map(|server| server.address.to_string()).collect();
        let url = format!("http://{address}/{}/", pool.name.value);
        // Padded first: colours would count as width.
        let url = style.green(format_args!("{url:<40}"));
        say(format_args!("  {url} {}", servers.join(", ")));
    }
    if let Some(admin) = &config.admin {
        let url = format!("http://{}/", admin.bind.value);
        say(format_args!(
            "\nSee all of it on one page (its buttons need the token in {}):",
            file.with_file_name("admin.token").display()
        ));
        say(format_args!("  {}", style.green(url)));
        say("or in another terminal:");
        say("  lbd status; lbd top; lbd events --follow");
    }
    say("\nThe servers take turns:");
    say(format_args!("  curl http://{address}/app_a/"));
    say("Stop one of them; nobody notices, and a second later it is left alone:");
    say(format_args!("  curl -X POST http://{server}/__stop"));
    say(format_args!(
        "  for i in 1 2 3 4 5 6 7 8; do curl -s http://{address}/app_a/; done"
    ));
    say("Start it again; a second later it is back:");
    say(format_args!("  curl -X POST http://{server}/__start"));
    say("Change the file behind all this, and have it served:");
    say(format_args!("  $EDITOR {}; lbd reload", file.display()));
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
