//! What a file cannot say of balancing, of sessions and of health: each fault is told, once, at its place.

mod health;
mod sticky;
mod streams;

use lbd::config::{self, SourceFile};

/// A file up to its pool, whose servers stand on line 7 and whose further keys begin on line 8.
const HEAD: &str = "[[listeners]]
bind = \"127.0.0.1:8100\"
[[routes]]
path = \"/\"
pool = \"app\"
[pools.app]
";

/// Two servers of which nothing is said but where they are.
const PLAIN: &str = "\"10.0.0.1:80\", \"10.0.0.2:80\"";

/// What is said of `text`, without the help.
fn faults(text: &str) -> Vec<String> {
    let file = SourceFile::new("lb.toml", text);
    let report = match config::load(&file) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    };
    let rendered = report.to_string();
    let told = rendered
        .lines()
        .filter_map(|line| line.strip_prefix("lb.toml:"));
    told.map(str::to_owned).collect()
}

/// Of `text` just this is said; each begins so.
fn says(text: &str, beginnings: &[&str]) {
    let faults = faults(text);
    let mut pairs = faults.iter().zip(beginnings);
    let is_said = pairs.all(|(fault, beginning)| fault.starts_with(beginning));
    assert!(
        is_said && faults.len() == beginnings.len(),
        "{text}\nis said: {faults:#?}\nexpected: {beginnings:#?}"
    );
}

/// Just this is said of a pool with these servers and keys.
fn says_of(servers: &str, keys: &str, beginnings: &[&str]) {
    says(
        &format!("{HEAD}servers = [{servers}]\n{keys}\n"),
        beginnings,
    );
}

/// Just this is said of a pool with two plain servers and these keys.
fn says_of_pool(keys: &str, beginnings: &[&str]) {
    says_of(PLAIN, keys, beginnings);
}

#[test]
fn nothing_is_said_of_what_is_right() {
    for keys in [
        "balance = \"least_conn\"\nslow_start = \"30s\"",
        "balance = \"random\"\nslow_start = \"30s\"",
        "balance = \"ewma\"\nslow_start = \"30s\"",
        "balance = \"hash\"\nhash_key = \"$cookie_user$uri\"",
        "balance = \"hash\"\nhash_key = \"${cookie_connect.sid}\"\nconsistent = true",
        "balance = \"hash\"\nhash_key = \"$arg_id/$http_x_user\"\nconsistent = false",
        "max_out = \"50%\"\nretry = { budget = \"20%\", memory = \"5s\" }",
    ] {
        says_of_pool(keys, &[]);
    }
}

// === hash ===

#[test]
fn hash_says_what_is_hashed() {
    let missing = "6:1: error: balance = \"hash\" without `hash_key`";
    says_of_pool("balance = \"hash\"", &[missing]);
    says_of_pool("balance = \"hash\"\nconsistent = true", &[missing]);
}

#[test]
fn keys_of_hash_are_for_hash() {
    says_of_pool(
        "hash_key = \"$uri\"",
        &["8:12: error: `hash_key` is for balance = \"hash\""],
    );
    says_of_pool(
        "balance = \"least_conn\"\nhash_key = \"$uri\"\nconsistent = true",
        &[
            "9:12: error: `hash_key` is for balance = \"hash\"",
            "10:14: error: `consistent` is for balance = \"hash\"",
        ],
    );
}

#[test]
fn what_is_hashed_differs_from_request_to_request() {
    for key in ["app", "", "$$uri"] {
        says_of_pool(
            &format!("balance = \"hash\"\nhash_key = \"{key}\""),
            &["9:12: error: `hash_key` is the same for every request"],
        );
    }
}

#[test]
fn what_is_hashed_is_known_before_a_server_is() {
    says_of_pool(
        "balance = \"hash\"\nhash_key = \"$uri$upstream_addr\"",
        &["9:12: error: `hash_key` names `$upstream_addr`"],
    );
}

#[test]
fn a_misspelt_variable_is_told_once() {
    for (key, name) in [("$remote_adr", "$remote_adr"), ("$cookie_", "$cookie_")] {
        let fault = format!("9:12: error: `hash_key` names an unknown variable `{name}`");
        says_of_pool(
            &format!("balance = \"hash\"\nhash_key = \"{key}\""),
            &[&fault],
        );
    }
}

#[test]
fn a_backup_is_no_part_of_a_mapping() {
    let servers = "\"10.0.0.1:80\", { address = \"10.0.0.2:80\", backup = true }";
    let fault = "7:39: error: a backup server cannot stand in a pool with balance = \"hash";
    let hash = "balance = \"hash\"\nhash_key = \"$uri\"";
    says_of(servers, hash, &[fault]);
    says_of(servers, &format!("{hash}\nconsistent = true"), &[fault]);
    for balance in ["least_conn", "random", "ewma"] {
        says_of(servers, &format!("balance = \"{balance}\""), &[]);
    }
}

#[test]
fn a_ring_has_an_end() {
    let servers = "\"10.0.0.1:80\", { address = \"10.0.0.2:80\", weight = 20_000 }";
    let hash = "balance = \"hash\"\nhash_key = \"$uri\"";
    says_of(servers, hash, &[]);
    says_of(
        servers,
        &format!("{hash}\nconsistent = true"),
        &["6:8: error: the weights of pool `app` add up to 20001"],
    );
}

#[test]
fn a_misspelt_method_is_told() {
    for word in ["leastconn", "round-robin", "p2c"] {
        let fault = format!("8:11: error: `balance` has an unknown value \"{word}\"");
        says_of_pool(&format!("balance = \"{word}\""), &[&fault]);
    }
}

// === slow_start ===

#[test]
fn a_mapping_cannot_warm_up() {
    let one = "\"10.0.0.1:80\", { address = \"10.0.0.2:80\", slow_start = \"30s\" }";
    for (balance, word) in [
        ("balance = \"ip_hash\"", "ip_hash"),
        ("balance = \"hash\"\nhash_key = \"$uri\"", "hash"),
    ] {
        let fault =
            |place| format!("{place}: error: `slow_start` does not go with balance = \"{word}");
        says_of(one, balance, &[&fault("7:39")]);
        let all = format!("{balance}\nslow_start = \"30s\"");
        says_of_pool(&all, &[&fault("7:12")]);
    }
}

#[test]
fn slow_start_is_a_duration() {
    says_of_pool(
        "slow_start = 30",
        &["8:14: error: `slow_start` has no unit"],
    );
}

// === parts of a whole ===

#[test]
fn a_part_is_from_1_to_100_per_cent() {
    for part in ["0%", "101%", "50", "-1%", "1.5%", "", "%"] {
        let fault = |place, key| {
            format!("{place}: error: `{key}` is not from \"1%\" to \"100%\": \"{part}\"")
        };
        let keys = format!("max_out = \"{part}\"");
        says_of_pool(&keys, &[&fault("8:11", "max_out")]);
        let keys = format!("retry = {{ budget = \"{part}\" }}");
        says_of_pool(&keys, &[&fault("8:20", "budget")]);
    }
    says_of_pool("max_out = 50", &["8:11: error: `max_out` is a number"]);
}

#[test]
fn a_budget_is_the_pool_s_and_no_route_s() {
    let route = "retry = { on = [\"error\"], budget = \"20%\", memory = \"1s\" }\n";
    let text = format!("{HEAD}servers = [{PLAIN}]\n");
    says(
        &text.replace("[pools.app]", &format!("{route}[pools.app]")),
        &["6:36: error: `budget` is for a pool as a whole"],
    );
}

// === queue ===

#[test]
fn a_queue_in_which_nobody_waits_is_told() {
    let unlimited = "6:8: warning: `queue` does nothing in pool `app`: no server has `max_conns`";
    says_of_pool("queue = { size = 10 }", &[unlimited]);
    let limited = "{ address = \"10.0.0.1:80\", max_conns = 1 }, \"10.0.0.2:80\"";
    says_of(limited, "queue = { size = 10, timeout = \"1s\" }", &[]);
}

#[test]
fn a_queue_has_room_and_an_end() {
    let limited = "{ address = \"10.0.0.1:80\", max_conns = 1 }";
    says_of(
        limited,
        "queue = { size = 0, timeout = \"0s\" }",
        &[
            "8:18: error: `size` is out of range",
            "8:31: error: `timeout` is zero",
        ],
    );
}
