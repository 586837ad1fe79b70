//! nginx in the foreground with a configuration of its own.

use std::process::Stdio;

use rustix::process::Signal;

use super::{port::Port, programs::program};
use crate::harness::{Dir, Process};

/// One process, so that a signal to it reaches all of nginx. Debian's package puts its logs and bodies where only root can.
const AROUND: &str = "daemon off;
master_process off;
pid @DIR@/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    keepalive_requests 100000;
    @HTTP@
}
";

/// A nginx that can be killed and started again. Killed on drop.
#[derive(Debug)]
pub(crate) struct Nginx {
    // Before `dir`, so that nobody writes there when it is removed.
    process: Process,
    pub(crate) dir: Dir,
    pub(crate) ports: Vec<Port>,
}

impl Nginx {
    /// nginx with `http` as its `http` block, where `@PORT0@` and so on stand for the addresses of `ports`.
    ///
    /// Each is to be named in a `listen` with `reuseport`.
    pub(crate) fn start(ports: Vec<Port>, http: &str) -> Self {
        let dir = Dir::new();
        let mut text = AROUND.replace("@HTTP@", http);
        for (i, port) in ports.iter().enumerate() {
            text = text.replace(&format!("@PORT{i}@"), &port.to_string());
        }
        dir.write("nginx.conf", &text);
        let process = spawn(&dir);
        let nginx = Self {
            process,
            dir,
            ports,
        };
        nginx.until_it_listens();
        nginx
    }

    /// One server for each of `names`, which answers its name to everything.
    pub(crate) fn apps(names: &[&str]) -> Self {
        let server = |(i, name): (usize, &&str)| {
            format!(
                "server {{ listen @PORT{i}@ reuseport; location / {{ return 200 {name}; }} }}\n"
            )
        };
        let servers: String = names.iter().enumerate().map(server).collect();
        Self::start(names.iter().map(|_| Port::new()).collect(), &servers)
    }

    /// The address of its first port, for lb.toml.
    pub(crate) fn addr(&self) -> String {
        self.ports[0].to_string()
    }

    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        assert_eq!(self.process.finish().code, None);
    }

    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.dir);
        self.until_it_listens();
    }

    fn until_it_listens(&self) {
        for port in &self.ports {
            port.until_it_listens();
        }
    }
}

fn spawn(dir: &Dir) -> Process {
    let mut nginx = program("nginx");
    nginx.arg("-p").arg(dir.path());
    nginx.arg("-c").arg(dir.file("nginx.conf"));
    Process::spawn(nginx.args(["-e", "stderr"]).stdin(Stdio::null()))
}
