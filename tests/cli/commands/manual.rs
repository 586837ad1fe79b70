//! What the commands say of themselves: help, pages of the manual, and what shells complete. And `lbd top`, where there is
//! no terminal.

use std::fs;

use super::{Site, unserved};
use crate::harness::{Dir, process::Finished};
use crate::support::lbd;

/// All of them.
const COMMANDS: [&str; 13] = [
    "check",
    "reload",
    "status",
    "top",
    "events",
    "upstream",
    "explain",
    "drain",
    "down",
    "up",
    "completions",
    "man",
    "demo",
];

/// It is done; gives what is said.
fn says(dir: &Dir, args: &[&str]) -> String {
    let ended = lbd(dir, args);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    ended.out
}

/// A page of the manual begins so.
fn is_page(text: &str) -> bool {
    text.starts_with(".TH ") || text.starts_with(".ie ")
}

// === help ===

#[test]
fn help_names_every_command_with_what_it_does() {
    let said = says(&Dir::new(), &["--help"]);
    for command in COMMANDS {
        let start = format!("  {command} ");
        let line = said.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no {command} in {said}"));
        assert!(line.split_whitespace().count() > 2, "{line}");
    }
}

#[test]
fn help_says_what_the_exit_codes_mean() {
    let said = says(&Dir::new(), &["--help"]);
    let line = said.lines().find(|line| line.starts_with("Exit codes: "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    for part in [
        "0 done",
        "78 the file has faults",
        "2 wrong arguments",
        "1 ",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[test]
fn every_command_has_a_help_of_its_own() {
    let dir = Dir::new();
    for command in COMMANDS {
        let said = says(&dir, &[command, "--help"]);
        let usage = format!("Usage: lbd {command}");
        assert!(said.contains(&usage), "no {usage} in {said}");
    }
}

// === completions ===

#[test]
fn every_shell_can_complete_the_commands() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = says(&dir, &["completions", shell]);
        for part in COMMANDS.into_iter().chain(["max-conns", "follow"]) {
            assert!(said.contains(part), "no {part} for {shell}");
        }
    }
}

// === the manual ===

#[test]
fn man_writes_the_first_page() {
    let said = says(&Dir::new(), &["man"]);
    assert!(is_page(&said), "{said}");
    for command in COMMANDS {
        assert!(said.contains(command), "no {command} in {said}");
    }
}

#[test]
fn man_writes_a_page_for_each_command_to_a_directory() {
    let dir = Dir::new();
    says(&dir, &["man", "pages/man1"]);
    let of_upstream = ["upstream-add", "upstream-set", "upstream-remove"];
    let names = COMMANDS.into_iter().chain(of_upstream);
    let names = names.map(|name| format!("lbd-{name}.1"));
    for name in names.chain(["lbd.1".to_owned()]) {
        let page = dir.file("pages/man1").join(&name);
        let text = fs::read_to_string(page);
        let text = text.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(is_page(&text), "{name}: {text}");
    }
}

#[test]
fn a_directory_that_cannot_be_is_told() {
    let dir = unserved();
    let ended = lbd(&dir, &["man", "lb.toml/pages"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.err.starts_with("lbd: lb.toml/pages: "), "{ended:?}");
}

// === top ===

/// `lbd top` has nothing to draw on, and says what needs no terminal.
fn hints(ended: &Finished) {
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
    assert!(
        ended.err.starts_with("lbd: top needs a terminal"),
        "{ended:?}"
    );
    assert!(ended.err.contains("`lbd status --watch`"), "{ended:?}");
}

#[test]
fn top_without_a_terminal_says_what_to_use() {
    hints(&Site::start().run(&["top"]));
    hints(&lbd(&unserved(), &["top", "-c", "lb.toml"]));
}
