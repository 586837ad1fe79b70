//! MariaDB's client before MariaDB, where the server speaks first.

use std::{fs, io::Read, net::TcpStream, process::Stdio};

use rustix::process::geteuid;

use crate::harness::{Dir, Process, process::Finished, wait::DEADLINE};
use crate::support::{Ca, Cert, Port, Stream, are_here, letters, outcome, program, servers};

/// A statement a line.
const INIT: &str = "CREATE DATABASE shop;
CREATE USER app@'127.0.0.1' IDENTIFIED BY 'secret';
GRANT ALL ON shop.* TO app@'127.0.0.1';
";

struct Site {
    stream: Stream,
    // Before `dir`, so that nobody writes there when it is removed.
    _server: Process,
    dir: Dir,
}

impl Site {
    /// A server with data of its own, with TLS if there is a certificate.
    fn start(cert: Option<&Cert>) -> Option<Self> {
        if !are_here(&["mariadbd", "mariadb-install-db", "mariadb"]) {
            return None;
        }
        let (dir, port) = (Dir::new(), Port::new());
        let mut common = vec!["--no-defaults".to_owned()];
        common.push(format!("--datadir={}", dir.file("data").display()));
        // One that starts clears the tables of others out of a common one.
        common.push(format!("--tmpdir={}", dir.path().display()));
        if geteuid().is_root() {
            common.push("--user=root".to_owned());
        }
        let mut install = program("mariadb-install-db");
        install.args(&common).arg("--skip-test-db");
        install.arg("--auth-root-authentication-method=normal");
        let installed = outcome(&mut install);
        assert_eq!(installed.code, Some(0), "{installed:?}");
        let mut server = program("mariadbd");
        server.args(&common).arg("--skip-name-resolve");
        server.arg("--bind-address=127.0.0.1");
        server.arg(format!("--port={}", port.addr().port()));
        for (key, name) in [("socket", "socket"), ("pid-file", "pid")] {
            server.arg(format!("--{key}={}", dir.file(name).display()));
        }
        let init = dir.write("init.sql", INIT);
        server.arg(format!("--init-file={}", init.display()));
        if let Some(Cert { cert, key }) = cert {
            server.args([format!("--ssl-cert={cert}"), format!("--ssl-key={key}")]);
        }
        let server = Process::spawn(server.stdin(Stdio::null()));
        server.err.wait_for("ready for connections");
        let stream = Stream::start("", &servers(&[port]));
        Some(Self {
            stream,
            _server: server,
            dir,
        })
    }

    /// What comes of these statements.
    fn run(&self, password: &str, args: &[&str], statements: &str) -> Finished {
        let path = self.dir.file("statements.sql");
        fs::write(&path, statements).expect("a file of our own");
        let input = fs::File::open(&path).expect("a file of our own");
        let [host, port] = self.stream.host_and_port();
        let mut client = program("mariadb");
        client.args(["--no-defaults", "--batch", "-h", &host, "-P", &port]);
        client.args(["-u", "app", &format!("-p{password}"), "--database=shop"]);
        Process::spawn(client.args(args).stdin(input)).finish()
    }

    /// What these statements print.
    fn ask(&self, args: &[&str], statements: &str) -> String {
        let ended = self.run("secret", args, statements);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.out
    }
}

#[test]
fn the_server_speaks_first() {
    let Some(site) = Site::start(None) else {
        return;
    };
    let mut client = TcpStream::connect(site.stream.addr).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut head = [0; 4];
    client.read_exact(&mut head).unwrap();
    let mut greeting = vec![0; usize::from(head[0])];
    client.read_exact(&mut greeting).unwrap();
    let greeting = String::from_utf8_lossy(&greeting);
    assert!(greeting.contains("MariaDB"), "{greeting}");
}

#[test]
fn a_table_is_made_filled_and_read() {
    let Some(site) = Site::start(None) else {
        return;
    };
    site.ask(&[], "CREATE TABLE t (id INT PRIMARY KEY, name TEXT);");
    site.ask(&[], "INSERT INTO t VALUES (1, 'one'), (2, 'two');");
    let said = site.ask(&[], "SELECT * FROM t ORDER BY id;");
    assert_eq!(said, "id\tname\n1\tone\n2\ttwo\n");
}

#[test]
fn a_large_value_goes_both_ways() {
    let Some(site) = Site::start(None) else {
        return;
    };
    let value = letters(4 << 20);
    let statements = format!(
        "CREATE TABLE t (text LONGTEXT); INSERT INTO t VALUES ('{value}'); SELECT text FROM t;"
    );
    let said = site.ask(&["--skip-column-names"], &statements);
    assert!(said == value + "\n", "not the same");
}

#[test]
fn a_wrong_password_is_refused_by_the_server() {
    let Some(site) = Site::start(None) else {
        return;
    };
    let ended = site.run("wrong", &[], "SELECT 1;");
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.contains("ERROR 1045 "), "{}", ended.err);
}

#[test]
fn client_and_server_may_turn_to_tls_on_their_own() {
    if !are_here(&["openssl"]) {
        return;
    }
    let ca = Ca::new();
    let cert = ca.ecdsa(&["127.0.0.2"]);
    let Some(site) = Site::start(Some(&cert)) else {
        return;
    };
    let trust = format!("--ssl-ca={}", ca.file());
    let args = [trust.as_str(), "--skip-column-names"];
    let said = site.ask(&args, "SHOW STATUS LIKE 'Ssl_version';");
    assert!(said.starts_with("Ssl_version\tTLSv1."), "{said}");
}
