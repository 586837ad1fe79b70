//! `-t`, `check`, and what goes wrong before there is a server.

mod streams;
mod tls;

use crate::harness::{Dir, File};
use crate::support::{HELLO, lbd, says};

/// Three faults and a warning, on lines 1, 3, 6 and 8.
const FAULTY: &str = "worker = 2
[[listeners]]
bind = \"8100\"
[[routes]]
path = \"/\"
pool = \"ap\"
[pools.app]
servers = [\"127.0.0.1:0\"]
";

#[test]
fn a_good_file_passes_with_0() {
    let dir = Dir::new();
    dir.write(
        "lb.toml",
        &says("hello").replace("127.0.0.1:0", "127.0.0.1:8100"),
    );
    for args in [
        &["-t", "-c", "lb.toml"][..],
        &["check", "-c", "lb.toml"],
        &["check", "lb.toml"],
    ] {
        let checked = lbd(&dir, args);
        assert_eq!(checked.code, Some(0), "{args:?}: {checked:?}");
        assert_eq!(checked.out, "lb.toml: good\n");
        assert_eq!(checked.err, "");
    }
}

#[test]
fn a_warning_is_shown_and_passes() {
    let dir = Dir::new();
    dir.write("lb.toml", &says("hello"));
    let checked = lbd(&dir, &["check", "lb.toml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(checked.out, "lb.toml: good, with 1 warning\n");
    assert!(checked.err.contains(": warning: port 0"), "{}", checked.err);
}

#[test]
fn every_fault_is_named_with_its_place_and_the_code_is_78() {
    let dir = Dir::new();
    dir.write("lb.toml", FAULTY);
    for args in [&["-t", "-c", "lb.toml"][..], &["check", "lb.toml"]] {
        let checked = lbd(&dir, args);
        assert_eq!(checked.code, Some(78), "{args:?}: {checked:?}");
        assert_eq!(checked.out, "", "faults go to standard error");
        for place in ["1:1", "3:8", "6:8", "8:12"] {
            let start = format!("lb.toml:{place}: error: ");
            let found = checked.err.lines().any(|line| line.starts_with(&start));
            assert!(found, "no {start:?} in:\n{}", checked.err);
        }
        assert!(
            checked.err.ends_with("lb.toml: 4 errors\n"),
            "{}",
            checked.err
        );
    }
}

#[test]
fn a_file_that_is_not_toml_is_told_where() {
    let dir = Dir::new();
    dir.write("lb.toml", "workers = 2\n[[listeners\n");
    let checked = lbd(&dir, &["check", "lb.toml"]);
    assert_eq!(checked.code, Some(78), "{checked:?}");
    assert!(checked.err.contains("lb.toml:2:"), "{}", checked.err);
}

#[test]
fn each_of_several_files_is_judged() {
    let dir = Dir::new();
    dir.write("good.toml", &says("hello"));
    dir.write("bad.toml", FAULTY);
    dir.write("fine.toml", &says("hello"));
    let checked = lbd(&dir, &["check", "good.toml", "bad.toml", "fine.toml"]);
    assert_eq!(checked.code, Some(78), "{checked:?}");
    assert!(checked.out.contains("good.toml: good"), "{}", checked.out);
    assert!(checked.out.contains("fine.toml: good"), "{}", checked.out);
    assert!(!checked.out.contains("bad.toml"), "{}", checked.out);
    assert!(
        checked.err.contains("bad.toml: 4 errors"),
        "{}",
        checked.err
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let dir = Dir::new();
    for args in [
        &["check", "absent.toml"][..],
        &["-t", "-c", "absent.toml"],
        &["-c", "absent.toml"],
    ] {
        let checked = lbd(&dir, args);
        assert_eq!(checked.code, Some(78), "{args:?}: {checked:?}");
        let said = "lbd: cannot read absent.toml: No such file or directory";
        assert!(checked.err.starts_with(said), "{}", checked.err);
    }
}

#[test]
fn a_file_with_faults_is_not_served() {
    let dir = Dir::new();
    dir.write("lb.toml", FAULTY);
    let started = lbd(&dir, &["-c", "lb.toml"]);
    assert_eq!(started.code, Some(78), "{started:?}");
    assert!(
        started.err.contains("lb.toml:3:8: error: "),
        "{}",
        started.err
    );
}

#[test]
fn checking_binds_nothing() {
    let dir = Dir::new();
    let file = File {
        top: "pid = \"@DIR@/pid\"",
        log: "access = \"@DIR@/access.log\"",
        rest: HELLO,
        ..File::default()
    };
    dir.write("lb.toml", &file.text());
    assert_eq!(lbd(&dir, &["-t", "-c", "lb.toml"]).code, Some(0));
    for name in ["control.sock", "pid", "access.log"] {
        assert!(!dir.file(name).exists(), "{name} was made");
    }
}

#[test]
fn an_unknown_argument_ends_with_2() {
    let dir = Dir::new();
    for args in [&["--frobnicate"][..], &["-s", "halt"], &["juggle"]] {
        let ended = lbd(&dir, args);
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.err.contains(args[args.len() - 1]), "{}", ended.err);
    }
}

#[test]
fn v_prints_the_version() {
    let dir = Dir::new();
    for args in [["-v"], ["-V"], ["--version"]] {
        let printed = lbd(&dir, &args);
        assert_eq!(printed.code, Some(0), "{printed:?}");
        let version = concat!("lbd ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(printed.out, version);
    }
}
