use super::*;

const GOOD: &str = r#"
[[listeners]]
bind = "127.0.0.1:8100"

[[routes]]
path = "/app_a/"
pool = "app_a"

[pools.app_a]
servers = ["10.0.0.1:8101", { address = "10.0.0.2:8101", weight = 2 }]
"#;

fn faults(text: &str) -> Vec<String> {
    let file = SourceFile::new("lb.toml", text);
    let report = match load(&file) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    };
    let rendered = report.to_string();
    rendered
        .lines()
        .filter_map(|line| line.strip_prefix("lb.toml:"))
        .map(str::to_owned)
        .collect()
}

/// `GOOD` with `from` replaced by `to`.
fn faults_with(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    faults(&GOOD.replace(from, to))
}

#[test]
fn a_good_file_has_no_faults() {
    assert_eq!(faults(GOOD), Vec::<String>::new());
}

#[test]
fn each_fault_is_named_at_its_place() {
    let one = |from: &str, to: &str, said: &str| {
        let errors: Vec<_> = faults_with(from, to)
            .into_iter()
            .filter(|line| line.contains(": error: "))
            .collect();
        assert_eq!(errors, [said], "{to}");
    };
    one(
        "pool = \"app_a\"",
        "pool = \"app_b\"",
        "7:8: error: there is no pool `app_b`",
    );
    one(
        "weight",
        "wieght",
        "10:58: error: unknown key `wieght` in a server",
    );
    one(
        "bind = \"127.0.0.1:8100\"",
        "bind = 8100",
        "3:8: error: `bind` is a number",
    );
    one(
        "10.0.0.2:8101",
        "10.0.0.1:8101",
        "10:41: error: 10.0.0.1:8101 stands twice in pool `app_a`",
    );
    one(
        "10.0.0.2:8101",
        "10.0.0.2:0",
        "10:41: error: `address` has no server address: \"10.0.0.2:0\"",
    );
    one(
        "weight = 2",
        "fail_timeout = 20",
        "10:73: error: `fail_timeout` has no unit",
    );
    one(
        "weight = 2",
        "weight = 0",
        "10:67: error: `weight` is out of range",
    );
    one(
        "path = \"/app_a/\"",
        "path = \"app_a\"",
        "6:8: error: `path` is not a path: \"app_a\"",
    );
    one(
        "pool = \"app_a\"",
        "regex = \"a\"\npool = \"app_a\"",
        "7:9: error: `regex` stands beside another of `path`, `exact` and `regex`",
    );
    one(
        "pool = \"app_a\"",
        "listeners = [\"x\"]\npool = \"app_a\"",
        "7:14: error: there is no listener `x`",
    );
}

#[test]
fn a_misspelt_key_is_named_beside_the_one_it_hides() {
    let source = SourceFile::new("f", GOOD.replace("servers =", "sevrers ="));
    let said = load(&source).unwrap_err().to_string();
    assert!(
        said.contains("f:9:1: error: a pool without `servers`"),
        "{said}"
    );
    assert!(
        said.contains("f:10:1: error: unknown key `sevrers` in [pools.app_a]"),
        "{said}"
    );
    assert!(said.contains("did you mean `servers`?"), "{said}");
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let text = GOOD
        .replace("weight = 2", "backup = true")
        .replace(
            "servers = ",
            "balance = \"ip_hash\"\nfail_timeout = \"20\"\nservers = ",
        )
        .replace("pool = \"app_a\"", "pool = \"ap_a\"\nmax_body = \"1x\"");
    assert_eq!(
        faults(&text),
        [
            "7:8: error: there is no pool `ap_a`",
            "8:12: error: `max_body` has an unknown unit: `x`",
            "10:8: warning: no route or stream uses pool `app_a`",
            "12:16: error: `fail_timeout` has no unit: \"20\"",
            "13:41: error: a backup server cannot stand in a pool with balance = \"ip_hash\"",
        ]
    );
}

#[test]
fn several_syntax_errors_are_told_at_once() {
    let said = faults("workers = \n[[listeners]\nbind = \"127.0.0.1:8100\"\nname = \"a\nx = 1\n");
    assert!(said.len() >= 3, "{said:?}");
    assert!(said[0].starts_with("1:"), "{said:?}");
}

#[test]
fn what_later_versions_will_know_is_refused_and_not_ignored() {
    for (from, to) in [
        ("[[listeners]]", "[vrrp]\nid = 1\n[[listeners]]"),
        (
            "servers =",
            "discovery = { consul = \"c:8500\" }\nservers =",
        ),
    ] {
        let said = faults_with(from, to);
        assert!(
            said.len() == 1 && said[0].contains("not supported yet"),
            "{to}: {said:?}"
        );
    }
}

#[test]
fn warnings_do_not_refuse_a_file() {
    let single = GOOD
        .replace(", { address = \"10.0.0.2:8101\", weight = 2 }", "")
        .replace("servers", "max_fails = 3\nservers");
    assert_eq!(
        faults(&single),
        [
            "11:12: warning: `max_fails` and `fail_timeout` do nothing in pool `app_a`: it has a single server"
        ]
    );
    assert_eq!(
        faults_with("127.0.0.1:8100", "127.0.0.1:0"),
        ["3:8: warning: port 0: the system chooses a port at each start"]
    );
}

#[test]
fn routes_that_a_request_cannot_choose_between_are_refused() {
    let second = |extra: &str| {
        faults(&format!(
            "{GOOD}\n[[routes]]\npath = \"/app_a/\"\npool = \"app_a\"\n{extra}"
        ))
    };
    assert_eq!(second(""), ["13:8: error: two routes for `/app_a/`"]);
    assert_eq!(second("hosts = [\"a.com\"]"), Vec::<String>::new());
    let twice = format!(
        "{GOOD}\n[[routes]]\npath = \"/x\"\npool = \"app_a\"\nhosts = [\"a.com\", \"*.b.com\"]\n[[routes]]\npath = \"/x\"\npool = \"app_a\"\nhosts = [\"*.B.com\"]\n"
    );
    assert_eq!(
        faults(&twice),
        ["17:8: error: two routes for `/x` for *.b.com"]
    );
}

#[test]
fn a_fault_does_not_hide_another_of_the_same_table() {
    let text = GOOD.replace("path = \"/app_a/\"", "path = \"app_a\"\nexact = \"b\"\nrequest_headers = { set = { \"a b\" = \"$remote_adr\" } }");
    assert_eq!(
        faults(&text)
            .iter()
            .filter(|line| line.contains(": error: "))
            .count(),
        5,
        "{:?}",
        faults(&text)
    );
}

#[test]
fn a_level_that_would_silence_the_log_is_refused() {
    for (level, help) in [
        ("warning", "did you mean \"warn\"?"),
        ("debgu", "did you mean \"debug\"?"),
        ("notice", "\"info\""),
        ("3", "error, warn, info"),
    ] {
        let source = SourceFile::new("f", format!("[log]\nlevel = \"{level}\"\n{GOOD}"));
        let said = load(&source).unwrap_err().to_string();
        assert!(
            said.contains("f:2:9: error") && said.contains(help),
            "{said}"
        );
    }
    for level in ["info", "warn,lbd::upstream=debug", "OFF"] {
        assert_eq!(
            faults(&format!("[log]\nlevel = \"{level}\"\n{GOOD}")),
            Vec::<String>::new()
        );
    }
}

#[test]
fn behind_a_bracket_that_is_not_closed_only_the_bracket_is_told() {
    let text = GOOD.replace(
        "weight = 2 }]",
        "weight = 2 }\nmax_fails = 3\nfail_timeout = \"20s\"",
    );
    let said = faults(&text);
    assert_eq!(said.len(), 1, "{said:?}");
    let text = GOOD.replace(
        "bind = \"127.0.0.1:8100\"",
        "bnid = [\"127.0.0.1:8100\"\nname = \"a\"",
    );
    assert_eq!(faults(&text).len(), 3, "{:?}", faults(&text));
}

#[test]
fn single_brackets_are_told_to_be_doubled() {
    let source = SourceFile::new("f", GOOD.replace("[[routes]]", "[routes]"));
    let said = load(&source).unwrap_err().to_string();
    assert!(said.contains("double the brackets: [[routes]]"), "{said}");
}

#[test]
fn a_log_file_needs_a_directory() {
    for (path, message) in [
        (
            "/no-such-directory/access.log",
            "a directory that is not there",
        ),
        ("/", "is a directory"),
    ] {
        let said = faults(&format!("[log]\naccess = \"{path}\"\n{GOOD}"));
        assert!(said.len() == 1 && said[0].contains(message), "{said:?}");
    }
}

#[test]
fn the_control_socket_is_found_in_a_broken_file() {
    let file = SourceFile::new("f", "control = \"/tmp/x.sock\"\nworkers = [");
    assert_eq!(
        control_of(&file),
        Control::Path(PathBuf::from("/tmp/x.sock"))
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]a-z_=\"'{}., \n0-9/*$#-]{0,200}") {
        let _ = load(&SourceFile::new("f", text));
    }
}
