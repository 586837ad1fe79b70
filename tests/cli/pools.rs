//! What a file says of pools that cannot be meant.

use crate::support::{Checked, check};

/// Checks a file with two pools, one and two, which have these keys.
fn check_two(one: &str, two: &str) -> Checked {
    let pool = |name: &str, port: u16, keys: &str| {
        format!(
            "[[routes]]\npath = \"/{name}/\"\npool = \"{name}\"\n\
             [pools.{name}]\nservers = [\"127.0.0.1:{port}\"]\n{keys}\n"
        )
    };
    let (one, two) = (pool("one", 8101, one), pool("two", 8102, two));
    check(&format!(
        "[[listeners]]\nbind = \"127.0.0.1:8100\"\n{one}{two}"
    ))
}

// === cookies ===

#[test]
fn two_pools_with_one_cookie_are_warned_of() {
    let cookie = "sticky = { cookie = \"lb\" }";
    let checked = check_two(cookie, cookie);
    checked.is("good, with 1 warning");
    let warning = "warning: pools `one` and `two` both set the cookie `lb`";
    assert!(checked.said.err.contains(warning), "{}", checked.said.err);
    checked.helps("give each its own name, or its own `path`");
}

#[test]
fn cookies_that_do_not_meet_are_fine() {
    let one = "sticky = { cookie = \"lb\", path = \"/one/\" }";
    for two in [
        "sticky = { cookie = \"lb\", path = \"/two/\" }",
        "sticky = { cookie = \"lb2\", path = \"/one/\" }",
        "sticky = { learn = \"$cookie_lb\" }",
        "",
    ] {
        check_two(one, two).is("good");
    }
}

// === checks ===

/// A pool whose servers are checked with these keys besides.
fn check_mqtt(keys: &str) -> Checked {
    check_two(&format!("health = {{ check = \"mqtt\", {keys} }}"), "")
}

#[test]
fn a_password_without_a_name_is_a_fault() {
    let checked = check_mqtt("password = \"secret\"");
    assert_eq!(checked.said.code, Some(78), "{:?}", checked.said);
    checked.tells_of("\"secret\"", "error", "stands without `username`");
    checked.helps("add the name that it is for");
}

#[test]
fn a_name_needs_no_password() {
    for keys in [
        "username = \"me\"",
        "username = \"me\", password = \"secret\"",
        "interval = \"5s\"",
    ] {
        check_mqtt(keys).is("good");
    }
}
