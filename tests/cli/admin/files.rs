//! What a file says of `[admin]`, `[notify]` and `expose_upstream` that cannot be meant.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::harness::Dir;
use crate::support::{Checked, HELLO, check_in};

/// Checks a file that begins with these tables and has a listener, beside `secret`, `short`, `spaced` and `shared`.
fn check_tables(tables: &str) -> Checked {
    let dir = Dir::new();
    for (name, text, mode) in [
        ("secret", "0123456789abcdef\n", 0o600),
        ("short", "0123456789abcde\n", 0o600),
        ("spaced", "0123456789 abcdef\n", 0o600),
        ("shared", "0123456789abcdef\n", 0o644),
    ] {
        let path = dir.write(name, text);
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, mode).expect("our own file");
    }
    let listener = "[[listeners]]\nbind = \"127.0.0.1:8100\"\n";
    check_in(&dir, &format!("{tables}\n{listener}{HELLO}"))
}

/// It cannot be used, for this one reason, which is told where `part` stands.
fn is_refused(checked: &Checked, part: &str, reason: &str) {
    checked.tells(part, &format!("error: {reason}"));
    assert_eq!(checked.said.code, Some(78), "{:?}", checked.said);
    let said = &checked.said.err;
    assert!(said.ends_with("lb.toml: 1 error\n"), "{said}");
}

// === [admin] ===

fn check_admin(keys: &str) -> Checked {
    check_tables(&format!("[admin]\n{keys}"))
}

#[test]
fn a_port_of_this_machine_alone_needs_no_token() {
    for keys in [
        "bind = \"127.0.0.1:8180\"",
        "bind = \"[::1]:8180\"\nhosts = [\"lb1.company.com\"]\nreads = \"open\"",
        "bind = \"127.0.0.1:8180\"\ntoken_file = \"secret\"\nreads = \"token\"",
        "bind = \"0.0.0.0:8180\"\ntoken_file = \"secret\"",
    ] {
        check_admin(keys).is("good");
    }
}

#[test]
fn a_port_for_other_machines_without_a_token_is_a_fault() {
    for bind in ["0.0.0.0:8180", "10.0.0.1:8180", "[::]:8180"] {
        let checked = check_admin(&format!("bind = \"{bind}\""));
        let reason =
            format!("{bind} can be reached from other machines, and there is no `token_file`");
        is_refused(&checked, "[admin]", &reason);
        checked.helps("make one: head -c 24 /dev/urandom");
    }
}

#[test]
fn a_token_that_is_asked_for_and_not_there_is_a_fault() {
    let checked = check_admin("bind = \"127.0.0.1:8180\"\nreads = \"token\"");
    let reason = "`reads = \"token\"` without a `token_file`";
    is_refused(&checked, "[admin]", reason);
    checked.helps("name the file that has the token");
}

#[test]
fn a_token_that_is_of_no_use_is_a_fault() {
    for (file, reason) in [
        (
            "short",
            "has a token that is not from 16 to 512 characters long",
        ),
        ("absent", "cannot be read: absent"),
        ("spaced", "holds no secret: spaced"),
    ] {
        let checked = check_admin(&format!("bind = \"0.0.0.0:8180\"\ntoken_file = \"{file}\""));
        // A fault of its own, not that there is none.
        let part = format!("\"{file}\"");
        is_refused(&checked, &part, &format!("`token_file` {reason}"));
    }
}

#[test]
fn a_token_that_everybody_can_read_is_a_warning() {
    let checked = check_admin("bind = \"127.0.0.1:8180\"\ntoken_file = \"shared\"");
    checked.is("good, with 1 warning");
    let warning = "can be read by every user of this machine";
    checked.tells_of("\"shared\"", "warning", warning);
    checked.helps("chmod 640 it");
}

#[test]
fn an_address_is_needed() {
    let checked = check_admin("reads = \"open\"");
    is_refused(&checked, "[admin]", "[admin] without `bind`");
    checked.helps("add the address to accept on: bind = \"127.0.0.1:8180\"");
}

#[test]
fn an_address_of_a_listener_is_not_free() {
    // In the other kind of quotes, so that it can be told from the listener's.
    let checked = check_admin("bind = '127.0.0.1:8100'");
    let reason = "127.0.0.1:8100 is bound twice";
    is_refused(&checked, "'127.0.0.1:8100'", reason);
}

#[test]
fn a_port_that_the_system_chooses_is_a_warning() {
    let checked = check_admin("bind = \"127.0.0.1:0\"");
    checked.is("good, with 1 warning");
    checked.tells_of("\"127.0.0.1:0\"", "warning", "port 0");
}

#[test]
fn a_key_of_admin_that_is_misspelt_is_a_fault() {
    let checked = check_admin("bind = \"127.0.0.1:8180\"\ntokn_file = \"secret\"");
    let reason = "unknown key `tokn_file` in [admin]";
    is_refused(&checked, "tokn_file", reason);
    checked.helps("did you mean `token_file`?");
}

// === [notify] ===

/// With one webhook of these keys.
fn check_webhook(keys: &str) -> Checked {
    check_tables(&format!("[notify]\nwebhooks = [{{ {keys} }}]"))
}

#[test]
fn whoever_is_told_may_be_a_chat_or_a_program() {
    let url = "url = \"https://oapi.dingtalk.com/robot/send?access_token=x\"";
    for keys in [
        url.to_owned(),
        format!("{url}, format = \"json\""),
        format!("{url}, format = \"dingtalk\", secret_file = \"secret\""),
        format!("{url}, format = \"feishu\", secret_file = \"secret\""),
        format!("{url}, format = \"wecom\""),
        format!("{url}, format = \"slack\""),
    ] {
        check_webhook(&keys).is("good");
    }
    let command = "[notify]\ndelay = \"10s\"\ncommand = [\"/bin/true\", \"x\"]";
    check_tables(&format!(
        "{command}\nevents = [\"server_out\", \"started\"]"
    ))
    .is("good");
}

#[test]
fn to_tell_nobody_is_a_fault() {
    let checked = check_tables("[notify]\ndelay = \"5s\"");
    is_refused(&checked, "[notify]", "[notify] tells nobody");
    checked.helps("add webhooks = ");
}

#[test]
fn an_event_that_is_none_is_told_with_what_was_meant() {
    for (event, help) in [
        ("server_outt", "did you mean \"server_out\"?"),
        ("reload_fialed", "did you mean \"reload_failed\"?"),
        ("everything", "there are started, server_out, "),
    ] {
        let checked = check_tables(&format!(
            "[notify]\ncommand = [\"/bin/true\"]\nevents = [\"server_back\", \"{event}\"]"
        ));
        let reason = format!("`events` has no event \"{event}\"");
        is_refused(&checked, &format!("\"{event}\""), &reason);
        checked.helps(help);
    }
}

#[test]
fn a_url_that_is_none_is_a_fault() {
    for url in [
        "hooks.slack.com/services/x",
        "ftp://hooks.slack.com/",
        "https://me:secret@hooks.slack.com/",
        "/services/x",
        "over there",
    ] {
        let checked = check_webhook(&format!("url = \"{url}\""));
        let reason = "`url` is no URL of http or https";
        is_refused(&checked, &format!("\"{url}\""), reason);
        checked.helps("such as \"https://");
    }
}

#[test]
fn a_webhook_needs_a_url() {
    let checked = check_webhook("format = \"slack\"");
    is_refused(&checked, "{ format", "a webhook without `url`");
}

#[test]
fn a_format_that_is_none_is_told_with_what_was_meant() {
    let checked = check_webhook("url = \"https://x.com/\", format = \"dingtlk\"");
    let reason = "`format` has an unknown value \"dingtlk\"";
    is_refused(&checked, "\"dingtlk\"", reason);
    checked.helps("did you mean \"dingtalk\"?");
}

#[test]
fn a_secret_is_for_those_who_take_one() {
    for format in ["slack", "json", "wecom"] {
        let keys =
            format!("url = \"https://x.com/\", format = \"{format}\", secret_file = \"secret\"");
        let checked = check_webhook(&keys);
        let reason = "`secret_file` is for DingTalk and Feishu";
        is_refused(&checked, "\"secret\"", reason);
    }
}

#[test]
fn a_secret_that_is_not_there_is_a_fault() {
    let keys = "url = \"https://x.com/\", format = \"feishu\", secret_file = \"absent\"";
    let reason = "`secret_file` cannot be read: absent";
    is_refused(&check_webhook(keys), "\"absent\"", reason);
}

// === expose_upstream ===

/// With these keys of the pool's `expose_upstream`.
fn check_exposed(keys: &str) -> Checked {
    let route = "[[routes]]\npath = \"/app/\"\npool = \"app\"\n";
    let pool = "[pools.app]\nservers = [\"127.0.0.1:8101\"]\n";
    check_tables(&format!("{route}{pool}expose_upstream = {{ {keys} }}"))
}

#[test]
fn the_server_may_be_told_in_a_header_or_a_cookie() {
    for keys in [
        "header = \"X-Upstream\"",
        "header = \"X-Upstream\", value = \"plain\", to = [\"10.0.0.0/8\"]",
        "cookie = \"upstream\", value = \"hashed\"",
    ] {
        check_exposed(keys).is("good");
    }
}

#[test]
fn in_neither_or_in_both_is_a_fault() {
    let reason = "`expose_upstream` wants `header` or `cookie`, one of them";
    for (keys, part) in [
        ("value = \"plain\"", "{ value"),
        ("header = \"X-Upstream\", cookie = \"upstream\"", "{ header"),
    ] {
        let checked = check_exposed(keys);
        is_refused(&checked, part, reason);
        checked.helps("such as expose_upstream = { header = \"X-Upstream\" }");
    }
}

#[test]
fn a_header_that_means_something_else_is_a_fault() {
    for name in ["Content-Length", "set-cookie", "Connection", "X Upstream"] {
        let checked = check_exposed(&format!("header = \"{name}\""));
        let reason = format!("`header` is no name for this: \"{name}\"");
        is_refused(&checked, &format!("\"{name}\""), &reason);
    }
}

#[test]
fn what_of_it_is_told_is_one_of_two() {
    let checked = check_exposed("header = \"X-Upstream\", value = \"hashd\"");
    let reason = "`value` has an unknown value \"hashd\"";
    is_refused(&checked, "\"hashd\"", reason);
    checked.helps("did you mean \"hashed\"?");
}

// === what nobody is to read ===

#[test]
fn a_key_in_a_url_is_not_shown_with_its_line() {
    let url = "https://chat.example/send?access_token=SECRET";
    let hook = format!("{{ url = \"{url}\", format = \"jsun\" }}");
    let checked = check_tables(&format!("[notify]\nwebhooks = [{hook}]\n"));
    let said = &checked.said;
    assert_eq!(said.code, Some(78));
    assert!(said.err.contains("https://chat.example/**"), "{said:?}");
    assert!(!said.err.contains("SECRET"), "{said:?}");
}

#[test]
fn names_of_hosts_have_no_scheme_port_or_star() {
    for host in ["http://lb1/", "lb1:8180", "*.x.com", ""] {
        let table = format!("[admin]\nbind = \"127.0.0.1:8180\"\nhosts = [\"{host}\"]\n");
        let said = check_tables(&table).said;
        assert_eq!(said.code, Some(78), "{host}");
        assert!(said.err.contains("has what is no name"), "{host}: {said:?}");
    }
}
