//! Faults of `sticky`.

use super::{says_of, says_of_pool};

/// Just this is said of `sticky` with these keys.
fn says_of_sticky(keys: &str, beginnings: &[&str]) {
    says_of_pool(&format!("sticky = {{ {keys} }}"), beginnings);
}

#[test]
fn nothing_is_said_of_what_is_right() {
    for keys in [
        "cookie = \"lb\"",
        "cookie = \"lb\", key = \"ä secret\", path = \"/\", domain = \"x.com\", max_age = \"1h\", secure = \"auto\", http_only = true, same_site = \"lax\"",
        "cookie = \"__Host-lb\", secure = true, same_site = \"none\"",
        "cookie = \"lb\", secure = false, same_site = \"off\"",
        "learn = \"connect.sid\"",
        "learn = \"PHPSESSID\", timeout = \"30m\", size = 100_000",
        "learn = \"$remote_addr\"",
        "learn = \"$http_x_tenant/$cookie_user\"",
    ] {
        says_of_sticky(keys, &[]);
    }
}

#[test]
fn there_is_just_one_way() {
    says_of_sticky("", &["8:10: error: `sticky` does not say how"]);
    for keys in [
        "cookie = \"lb\", route = \"SID\"",
        "route = \"SID\", learn = \"SID\"",
        "cookie = \"lb\", route = \"SID\", learn = \"SID\"",
    ] {
        says_of_sticky(keys, &["8:10: error: `sticky` says more than one way"]);
    }
    says_of_pool("sticky = \"lb\"", &["8:10: error: `sticky` is a string"]);
}

#[test]
fn a_cookie_has_a_name_that_it_can_have() {
    for name in ["", "l b", "lb=", "a;b", "ä", "a,b", "(a)"] {
        let fault =
            |place, key| format!("{place}: error: `{key}` is not a cookie's name: \"{name}\"");
        let keys = format!("cookie = \"{name}\"");
        says_of_sticky(&keys, &[&fault("8:21", "cookie")]);
        let keys = format!("learn = \"{name}\"");
        says_of_sticky(&keys, &[&fault("8:20", "learn")]);
    }
}

#[test]
fn a_cookie_for_other_sites_is_secure() {
    let fault = "8:39: error: `same_site` is \"none\", and browsers refuse such a cookie";
    for secure in ["", ", secure = false", ", secure = \"auto\""] {
        let keys = format!("cookie = \"lb\", same_site = \"none\"{secure}");
        says_of_sticky(&keys, &[fault]);
    }
}

#[test]
fn attributes_are_what_a_cookie_can_have() {
    for (key, fault) in [
        (
            "same_site = \"Lax\"",
            "8:39: error: `same_site` has an unknown value \"Lax\"",
        ),
        (
            "secure = \"yes\"",
            "8:36: error: `secure` has an unknown value \"yes\"",
        ),
        ("secure = 1", "8:36: error: `secure` is a number"),
        (
            "http_only = \"yes\"",
            "8:39: error: `http_only` is a string",
        ),
        (
            "path = \"/a b\"",
            "8:34: error: `path` cannot stand in a cookie: \"/a b\"",
        ),
        (
            "path = \"\"",
            "8:34: error: `path` cannot stand in a cookie: \"\"",
        ),
        (
            "domain = \"a.com; x\"",
            "8:36: error: `domain` cannot stand in a cookie: \"a.com; x\"",
        ),
        ("max_age = \"0s\"", "8:37: error: `max_age` is zero"),
        ("max_age = 60", "8:37: error: `max_age` has no unit"),
        (
            "httponly = true",
            "8:27: error: unknown key `httponly` in sticky",
        ),
    ] {
        says_of_sticky(&format!("cookie = \"lb\", {key}"), &[fault]);
    }
}

#[test]
fn keys_of_one_way_are_not_for_another() {
    for (keys, key) in [
        ("cookie = \"lb\", size = 1", "size"),
        ("cookie = \"lb\", timeout = \"30m\"", "timeout"),
        ("learn = \"SID\", max_age = \"1h\"", "max_age"),
        ("learn = \"SID\", key = \"secret\"", "key"),
    ] {
        says_of_sticky(
            keys,
            &[&format!("8:27: error: unknown key `{key}` in sticky")],
        );
    }
}

// === learn ===

#[test]
fn what_is_learnt_has_room_and_an_end() {
    says_of_sticky(
        "learn = \"SID\", size = 0, timeout = \"0s\"",
        &[
            "8:34: error: `size` is out of range",
            "8:47: error: `timeout` is zero",
        ],
    );
}

#[test]
fn what_is_learnt_by_is_a_variable_that_there_is() {
    says_of_sticky(
        "learn = \"$remote_adr\"",
        &["8:20: error: `learn` names an unknown variable `$remote_adr`"],
    );
}

#[test]
fn what_is_learnt_by_differs_from_client_to_client() {
    says_of_sticky("learn = \"$$x\"", &["8:20: error: `learn` "]);
}

#[test]
fn what_is_learnt_by_is_known_before_a_server_is() {
    says_of_sticky("learn = \"$upstream_addr\"", &["8:20: error: `learn` "]);
}

// === route ===

#[test]
fn each_server_has_a_route_if_clients_go_by_it() {
    let by_route = "sticky = { route = \"JSESSIONID\" }";
    says_of_pool(by_route, &["7:12: error: 10.0.0.1:80 has no `route`"]);
    let one = "{ address = \"10.0.0.1:80\", route = \"n1\" }, \"10.0.0.2:80\"";
    says_of(one, by_route, &["7:55: error: 10.0.0.2:80 has no `route`"]);
    says_of(one, "", &[]);
}

#[test]
fn each_server_has_a_route_of_its_own() {
    let server = |n, route| format!("{{ address = \"10.0.0.{n}:80\", route = \"{route}\" }}");
    let same = [server(1, "n1"), server(2, "n1")].join(", ");
    for keys in [
        "",
        "sticky = { route = \"SID\" }",
        "sticky = { cookie = \"lb\" }",
    ] {
        says_of(
            &same,
            keys,
            &["7:90: error: two servers of pool `app` have the route `n1`"],
        );
    }
    let own = [server(1, "n1"), server(2, "N1")].join(", ");
    says_of(&own, "sticky = { route = \"SID\" }", &[]);
}

#[test]
fn a_route_is_a_word() {
    for route in ["", "n 1", "n;1", "n/1"] {
        let servers = format!("{{ address = \"10.0.0.1:80\", route = \"{route}\" }}");
        let fault = format!("7:47: error: `route` is no route: \"{route}\"");
        says_of(&servers, "", &[&fault]);
    }
}
