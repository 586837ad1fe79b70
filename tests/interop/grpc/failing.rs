//! gRPC when servers are slow, busy, dead, or die.

use std::{fs, net::TcpListener};

use rustix::process::Signal;

use super::{OK, Site, before, client, lines};
use crate::harness::Lbd;
use crate::support::{Nginx, Port, are_here, noise, outcome, program, servers, url};

#[test]
fn a_deadline_that_passes_is_deadline_exceeded() {
    let Some(site) = Site::start(&["a"], "") else {
        return;
    };
    let said = site.call("slow", &["hello"]);
    assert!(said.starts_with("status DEADLINE_EXCEEDED\n"), "{said}");
    // The channel's next call is as good as any.
    assert_eq!(site.call("unary", &["x"]), format!("message a: x\n{OK}"));
}

#[test]
fn without_a_server_calls_are_unavailable_and_the_message_names_the_pool() {
    if !are_here(&["python:grpc"]) {
        return;
    }
    let nobody = Port::new();
    let lbd = before(&servers(&[&nobody]), "");
    let said = lines(&lbd, "-", "unary", &["x", "y"]);
    assert_eq!(said.matches("status UNAVAILABLE\n").count(), 2, "{said}");
    assert_eq!(said.matches("pool app").count(), 2, "{said}");
}

#[test]
fn a_dead_server_s_calls_go_to_the_other() {
    let Some(site) = Site::start(&["a", "b"], "") else {
        return;
    };
    site.servers[0].process.signal(Signal::KILL);
    let said = site.call("unary", &["x"; 4]);
    assert_eq!(said, format!("message b: x\n{OK}").repeat(4));
}

#[test]
fn a_server_that_is_killed_ends_its_streams_and_the_next_calls_go_to_the_other() {
    let Some(mut site) = Site::start(&["a", "b"], "") else {
        return;
    };
    let mut client = client(
        &site.lbd,
        "-",
        "bidi_until_it_breaks",
        &["1", "2", "3", "4"],
    );
    let first = client.out.wait_for("message ");
    let mortal = usize::from(first.contains(" b: "));
    let mortal = &mut site.servers[mortal].process;
    mortal.signal(Signal::KILL);
    assert_eq!(mortal.finish().code, None);
    let ended = client.finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let other = if first.contains(" b: ") { "a" } else { "b" };
    let said: Vec<_> = ended.out.lines().collect();
    assert_eq!(said[..2], [first.trim_end(), "status UNAVAILABLE"]);
    // It ended by trailers.
    assert!(!said[2].contains("RST_STREAM"), "{}", said[2]);
    let answers = ["2", "3", "4"].map(|text| format!("message {other}: {text}\n{OK}"));
    assert!(ended.out.ends_with(&answers.concat()), "{}", ended.out);
}

#[test]
fn a_busy_server_s_calls_go_to_the_other_if_the_pool_says_so() {
    // Every call is a POST: to name it is to mean calls that were sent.
    let retry = "retry = { on = [\"error\", \"grpc_unavailable\"] }";
    let Some(site) = Site::start(&["busy", "b"], retry) else {
        return;
    };
    let said = site.call("unary", &["x"; 4]);
    assert_eq!(said, format!("message b: x\n{OK}").repeat(4));
}

#[test]
fn a_busy_server_s_status_arrives_if_the_pool_says_nothing() {
    let Some(site) = Site::start(&["busy"], "") else {
        return;
    };
    let said = site.call("unary", &["x"]);
    assert_eq!(said, "status UNAVAILABLE\ndetails 'busy'\n");
}

/// Every frame of a call with these fields, as nghttp sees it.
fn frames(lbd: &Lbd, fields: &[&str]) -> String {
    // One empty message.
    let message = lbd.dir.file("message");
    fs::write(&message, [0; 5]).expect("a file of our own");
    let mut nghttp = program("nghttp");
    nghttp.args(["-nv", "--timeout=12", "-H", ":method: POST"]);
    nghttp.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
    nghttp.args(fields.iter().flat_map(|field| ["-H", field]));
    nghttp
        .arg("-d")
        .arg(message)
        .arg(url(lbd, "/test.Echo/Unary"));
    let ended = outcome(&mut nghttp);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.out
}

/// The call has ended with 200 and this status, in the head itself or in trailers after data.
fn ends(said: &str, status: u8, in_trailers: bool) {
    assert!(said.contains(") :status: 200"), "{said}");
    assert_eq!(said.matches("recv (stream_id=13) grpc-status:").count(), 1);
    assert!(
        said.contains(&format!(") grpc-status: {status}\n")),
        "{said}"
    );
    assert_eq!(said.contains("recv DATA frame"), in_trailers, "{said}");
    assert!(!said.contains("recv RST_STREAM"), "{said}");
}

#[test]
fn an_answer_of_lbd_s_own_is_a_head_alone() {
    if !are_here(&["nghttp"]) {
        return;
    }
    let nobody = Port::new();
    let lbd = before(&servers(&[&nobody]), "");
    let said = frames(&lbd, &[]);
    ends(&said, 14, false);
    assert!(said.contains(") content-type: application/grpc"), "{said}");
    assert!(said.contains(") grpc-message: "), "{said}");
}

#[test]
fn a_deadline_that_passes_before_the_answer_ends_the_call() {
    if !are_here(&["nghttp"]) {
        return;
    }
    // The system accepts for it, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = silent.local_addr().expect("a bound socket");
    let lbd = before(&servers(&[addr]), "");
    ends(&frames(&lbd, &["grpc-timeout: 300m"]), 4, false);
}

#[test]
fn a_deadline_that_passes_within_the_answer_ends_the_call_by_trailers() {
    if !are_here(&["nghttp", "nginx", "nginx:http_v2_module"]) {
        return;
    }
    // An answer of unknown length, as gRPC's are, that would take two minutes.
    let nginx = Nginx::start(
        vec![Port::new()],
        "server {
            listen @PORT0@ http2 reuseport;
            root @DIR@;
            default_type application/grpc;
            sub_filter_types *;
            sub_filter absent-from-noise present;
            limit_rate 8k;
            location = /large { }
            location / { error_page 403 =200 /large; return 403; }
        }",
    );
    fs::write(nginx.dir.file("large"), noise(1 << 20)).expect("a file of our own");
    let lbd = before(&servers(&nginx.ports), "");
    ends(&frames(&lbd, &["grpc-timeout: 700m"]), 4, true);
}
