//! Which programs this machine has.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::harness::{Process, process::Finished};

/// Debian's Python, which has Debian's modules, whatever Python comes first on the path.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The folder with what node is to run.
const NODE: &str = "tests/interop/socketio";

/// Whether the test may go on: everything that it `needs` is here.
///
/// A need is the name of a program, or `nginx:` and the name of a module, `curl:` and a feature, `python:` and a module of
/// [`PYTHON`], `node:` and a package that npm has put into [`NODE`]. What is absent is said; and it fails the test if
/// `LBD_INTEROP` is `required`.
pub(crate) fn are_here(needs: &[&str]) -> bool {
    let is_here = |need: &&str| match need.split_once(':') {
        Some(("python", module)) => find(PYTHON).is_some() && can_import(module),
        Some(("node", package)) => is_installed(package),
        Some((program, module)) => find(program).is_some() && has_module(program, module),
        None => find(need).is_some(),
    };
    let Some(absent) = needs.iter().find(|need| !is_here(need)) else {
        return true;
    };
    let said = match absent.split_once(':') {
        Some(("node", package)) => format!("node has no {package}: run npm ci in {NODE}"),
        Some((program, module)) => format!("{program} has no module {module}"),
        None => format!("{absent} is not installed"),
    };
    let is_required = env::var_os("LBD_INTEROP").is_some_and(|value| value == "required");
    assert!(!is_required, "{said}");
    // Past the test's captured output, so that it is seen.
    let _ = io::stderr().write_all(format!("skipped: {said}\n").as_bytes());
    false
}

/// `program`, which is here, without a proxy of this machine in its way.
pub(crate) fn program(name: &str) -> Command {
    let path = find(name).unwrap_or_else(|| panic!("{name} is not installed"));
    let mut command = Command::new(path);
    command.env("NO_PROXY", "*").env("no_proxy", "*");
    command
}

fn has_module(name: &str, module: &str) -> bool {
    let said = outcome(program(name).arg("-V"));
    match name {
        "curl" => said.out.split_whitespace().any(|word| word == module),
        _ => said.err.contains(&format!("--with-{module}")),
    }
}

fn is_installed(package: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(NODE).join("node_modules").join(package).is_dir()
}

fn can_import(module: &str) -> bool {
    let mut python = program(PYTHON);
    outcome(python.args(["-c", &format!("import {module}")])).code == Some(0)
}

/// What comes of `command`, which has nothing to read.
pub(crate) fn outcome(command: &mut Command) -> Finished {
    Process::spawn(command.stdin(Stdio::null())).finish()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian's nginx is where only root looks.
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}
