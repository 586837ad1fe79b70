//! `sni`: which names there are, and that each is there once.

use super::{TLS, check_stream};

#[test]
fn names_and_stars_that_mean_something_are_good() {
    for name in ["x.com", "X.Com", "a-b.x.com", "*.x.com", "*.com", "*"] {
        let keys = format!("sni = {{ \"{name}\" = \"app\" }}");
        check_stream(&keys).is("good");
    }
}

#[test]
fn names_and_stars_that_mean_nothing_are_told() {
    let stars = ["a.*.com", "*x.com", "x.*", "*.*.com", "**"];
    let others = ["", "a b.com", "x.com:443", "https://x.com"];
    for name in stars.iter().chain(&others) {
        let keys = format!("sni = {{ \"{name}\" = \"app\" }}");
        let checked = check_stream(&keys);
        let part = format!("\"{name}\" =");
        checked.tells_of(&part, "error", "`sni`");
        checked.is_faulty();
    }
}

#[test]
fn tls_cannot_be_ended_and_passed_on() {
    let checked = check_stream(&format!("sni = {{ \"*\" = \"app\" }}\n{TLS}"));
    checked.tells_of("{ \"*\"", "error", "`tls`");
    checked.is_faulty();
}

#[test]
fn a_name_that_is_there_twice_is_told() {
    for (first, second) in [
        ("x.com", "X.Com"),
        ("x.com", "x.com."),
        ("X.com.", "x.COM"),
        ("*.y.com", "*.Y.com"),
        ("*.y.com", "*.y.com."),
    ] {
        let keys = format!("sni = {{ \"{first}\" = \"app\", \"{second}\" = \"app\" }}");
        let checked = check_stream(&keys);
        let part = format!("\"{second}\" =");
        checked.tells_of(&part, "error", "`sni`");
        checked.says("twice");
        checked.is_faulty();
    }
    let keys = "sni = { \"x.com\" = \"app\", \"*.x.com\" = \"app\", \"*\" = \"app\" }";
    check_stream(keys).is("good");
}

#[test]
fn an_address_is_no_name() {
    for address in ["127.0.0.1", "::1", "[::1]"] {
        let keys = format!("sni = {{ \"{address}\" = \"app\" }}");
        let checked = check_stream(&keys);
        let part = format!("\"{address}\" =");
        checked.tells_of(&part, "error", "`sni`");
        checked.is_faulty();
    }
}
