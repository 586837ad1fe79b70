//! The access log on disk, and lbd's own log.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use rustix::process::Signal;

use crate::harness::{
    Dir, File, Lbd, Process, lbd::command as lbd_command, until, wait::SetOnDrop,
};
use crate::support::{Client, HELLO, get, lbd, says};

const TO_FILE: File<'_> = File {
    top: "",
    control: "@DIR@/control.sock",
    log: "access = \"@DIR@/access.log\"",
    listener: "",
    rest: HELLO,
};

/// The n of every `GET /n ` in the file.
fn numbers(path: &Path) -> Vec<usize> {
    let text = fs::read_to_string(path).expect("the log is there");
    let number = |line: &str| {
        line.split("\"GET /")
            .nth(1)?
            .split(' ')
            .next()?
            .parse()
            .ok()
    };
    text.lines()
        .map(|line| number(line).unwrap_or_else(|| panic!("not whole: {line:?}")))
        .collect()
}

#[test]
fn usr1_reopens_a_moved_access_log_and_no_line_is_lost() {
    let mut lbd = TO_FILE.start();
    lbd.process.err.wait_for("control socket ");
    let (log, moved) = (lbd.dir.file("access.log"), lbd.dir.file("access.log.1"));
    let (sent, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _done = SetOnDrop(&done);
        scope.spawn(|| {
            let mut client = Client::connect(lbd.addr);
            while !done.load(Ordering::Relaxed) {
                let n = sent.fetch_add(1, Ordering::Relaxed);
                assert_eq!(client.get(&format!("/{n}")).status, 200);
            }
        });
        until("the log has lines", || {
            (!numbers(&log).is_empty()).then_some(())
        });
        fs::rename(&log, &moved).expect("the log is there");
        lbd.process.signal(Signal::USR1);
        lbd.process.err.wait_for("access log reopened");
        until("the new log has lines", || {
            (log.exists() && !numbers(&log).is_empty()).then_some(())
        });
    });
    assert_eq!(lbd.stop().code, Some(0));
    let mut all = numbers(&moved);
    all.extend(numbers(&log));
    let expected: Vec<_> = (0..sent.into_inner()).collect();
    assert_eq!(all, expected, "each request has its line, in order");
}

#[test]
fn lines_of_the_last_requests_are_written_before_the_end() {
    let mut lbd = TO_FILE.start();
    for n in 0..50 {
        get(lbd.addr, &format!("/{n}"));
    }
    lbd.process.err.wait_for("control socket ");
    assert_eq!(lbd.stop().code, Some(0));
    let mut written = numbers(&lbd.dir.file("access.log"));
    written.sort_unstable();
    assert_eq!(written, (0..50).collect::<Vec<_>>());
}

#[test]
fn access_lines_go_to_standard_output() {
    let mut lbd = File {
        log: "",
        rest: HELLO,
        ..File::default()
    }
    .start();
    get(lbd.addr, "/seen?q=1");
    let line = lbd.process.out.wait_for("\"GET /seen?q=1 HTTP/1.1\" 200 ");
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    lbd.process.err.wait_for("control socket ");
    let ended = lbd.stop();
    assert!(!ended.err.contains("/seen"), "{}", ended.err);
}

#[test]
fn rust_log_can_silence_what_the_file_says() {
    let said = whole_life(&says("hello"), &[("RUST_LOG", "error")]);
    assert!(!said.contains(" INFO "), "{said}");
}

#[test]
fn the_level_of_the_file_holds_without_rust_log() {
    let said = whole_life(&with_level("error"), &[]);
    assert!(!said.contains(" INFO "), "{said}");
}

#[test]
fn rust_log_can_raise_what_the_file_says() {
    let lbd = Lbd::start(&with_level("error"), &[("RUST_LOG", "info")]);
    lbd.process.err.wait_for(" INFO listening on ");
}

#[test]
fn rust_log_outlives_a_reload() {
    let running = Lbd::start(&with_level("error"), &[("RUST_LOG", "info")]);
    let reloaded = lbd(&running.dir, &["reload", "-c", "lb.toml"]);
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    let sent = lbd(&running.dir, &["-s", "stop", "-c", "lb.toml"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    running.process.err.wait_for(" INFO stopp");
}

#[test]
fn under_the_journal_lines_have_no_time_of_their_own() {
    let lbd = Lbd::start(&says("hello"), &[("JOURNAL_STREAM", "8:1")]);
    let line = lbd.process.err.wait_for("listening on ");
    assert!(
        line.trim_start().starts_with("INFO listening on "),
        "{line}"
    );
}

#[test]
fn lines_say_when() {
    let lbd = Lbd::start(&says("hello"), &[]);
    let line = lbd.process.err.wait_for("listening on ");
    let (date, rest) = line.split_once(' ').expect("a date and more");
    let shape = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(shape(date), "0000-00-00", "{line}");
    assert!(shape(rest).starts_with("00:00:00.000  INFO "), "{line}");
}

/// What lbd says on standard error from its start to its end by `-s stop`.
fn whole_life(text: &str, variables: &[(&str, &str)]) -> String {
    let dir = Dir::new();
    dir.write("lb.toml", text);
    let mut command = lbd_command(&dir, &["-c", "lb.toml"]);
    let mut running = Process::spawn(command.envs(variables.iter().copied()));
    until("lbd heeds -s stop", || {
        let sent = lbd(&dir, &["-s", "stop", "-c", "lb.toml"]);
        (sent.code == Some(0)).then_some(())
    });
    running.finish().err
}

fn with_level(level: &str) -> String {
    let log = format!("access = \"off\"\nlevel = \"{level}\"");
    File {
        log: &log,
        rest: HELLO,
        ..File::default()
    }
    .text()
}
