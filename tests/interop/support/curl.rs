//! curl, and what it got.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use super::{
    certs::Ca,
    programs::{outcome, program},
};
use crate::harness::{Dir, Lbd, Process};

/// One run of curl, in preparation.
#[derive(Debug)]
pub(crate) struct Curl<'c> {
    args: Vec<&'c str>,
    input: Stdio,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// curl's exit code.
    pub(crate) exit: i32,
    /// Of the last answer.
    pub(crate) status: u16,
    /// Of all answers, interim ones too.
    pub(crate) head: String,
    /// Of all answers.
    pub(crate) body: Vec<u8>,
    /// The lines of `-w`; if there is none, the status of each answer.
    pub(crate) values: Vec<String>,
}

/// Runs `curl ARGS`.
pub(crate) fn curl(args: &[&str]) -> Fetched {
    Curl::new(args).run()
}

impl<'c> Curl<'c> {
    pub(crate) fn new(args: &[&'c str]) -> Self {
        Self {
            args: args.to_vec(),
            input: Stdio::null(),
        }
    }

    /// With the file as standard input, for `-T -`.
    pub(crate) fn reading(self, path: &Path) -> Self {
        let file = File::open(path).expect("a file of the test's own");
        Self {
            input: file.into(),
            ..self
        }
    }

    pub(crate) fn run(self) -> Fetched {
        let dir = Dir::new();
        let mut command = program("curl");
        // -q: no .curlrc; it must come first.
        command.args(["-q", "-sS", "--max-time", "12"]);
        command.arg("-D").arg(dir.file("head"));
        command.args(["-w", "%{response_code}\\n"]);
        command.args(&self.args).stdin(self.input);
        let urls = self.args.iter().filter(|arg| is_url(arg));
        let bodies: Vec<_> = (0..urls.count())
            .map(|i| dir.file(&i.to_string()))
            .collect();
        for body in &bodies {
            command.arg("-o").arg(body);
        }
        let ended = Process::spawn(&mut command).finish();
        let values: Vec<_> = ended.out.lines().map(str::to_owned).collect();
        let head = fs::read_to_string(dir.file("head")).unwrap_or_default();
        let mut starts = head.lines().filter(|line| line.starts_with("HTTP/"));
        let status = starts
            .next_back()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        Fetched {
            exit: ended.code.expect("curl ends by itself"),
            status: status.unwrap_or_else(|| panic!("no answer: {ended:?}")),
            head,
            // An answer without a body leaves no file.
            body: bodies
                .iter()
                .flat_map(|body| fs::read(body).unwrap_or_default())
                .collect(),
            values,
        }
    }
}

fn is_url(arg: &str) -> bool {
    arg.starts_with("http://") || arg.starts_with("https://")
}

/// Runs `curl ARGS`, which is to get no answer at all; gives what it says of that.
pub(crate) fn curl_in_vain(args: &[&str]) -> String {
    let mut command = program("curl");
    command.args(["-q", "-sS", "--max-time", "12"]).args(args);
    let ended = outcome(&mut command);
    assert!(ended.code.is_some_and(|code| code > 0), "{ended:?}");
    assert_eq!(ended.out, "");
    ended.err
}

/// Runs curl by `run` with these arguments, with trust in `ca` alone, and with `lbd` as whatever host a URL names.
pub(crate) fn trusting<T>(lbd: &Lbd, ca: &Ca, args: &[&str], run: impl Fn(&[&str]) -> T) -> T {
    let (file, to) = (ca.file(), format!("::{}", lbd.addr));
    run(&[&["--cacert", &file, "--connect-to", &to], args].concat())
}

impl Fetched {
    /// A field of the last answer.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = fields.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.next_back().map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
