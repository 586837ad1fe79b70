//! The status page in Chromium, as somebody sees it who looks at it.

use std::{fs, process::Stdio};

use crate::harness::{Dir, File, Lbd, Process, until};
use crate::support::{Nginx, PYTHON, are_here, program, servers};

/// Looks at the page, and presses its buttons.
const DRIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/page/drive.py");

/// The one that the script has.
const TOKEN: &str = "correct-horse-battery";

const FILE: &str = r#"
[admin]
bind = "127.0.0.1:0"
token_file = "@TOKEN@"
@ADMIN@
[[routes]]
path = "/"
pool = "app"
[[routes]]
exact = "/busy"
respond = { status = 503, body = "busy" }
[pools.app]
@SERVERS@
health = { check = "http", path = "/", interval = "200ms", timeout = "2s", rise = 1, fall = 1 }
"#;

/// What names may be.
const MARKUP: &str = r#"
[[routes]]
regex = "^/<img src=x onerror=alert(1)>"
pool = "<img src=x onerror=alert(1)>"
[pools."<img src=x onerror=alert(1)>"]
@SERVERS@
"#;

/// lbd before two servers that are asked how they are, and a browser.
struct Site {
    // Before `dir`, so that nobody writes there when it is removed. The browser ends with it.
    driver: Process,
    lbd: Lbd,
    _steady: Nginx,
    mortal: Nginx,
    dir: Dir,
}

impl Site {
    fn start() -> Option<Self> {
        Self::with("", "")
    }

    /// With more keys of `[admin]`, and with more of lb.toml.
    fn with(admin: &str, more: &str) -> Option<Self> {
        if !are_here(&["nginx", "chromium", "chromedriver", "python:selenium"]) {
            return None;
        }
        let (steady, mortal) = (Nginx::apps(&["steady"]), Nginx::apps(&["mortal"]));
        let dir = Dir::new();
        let token = dir.write("token", TOKEN);
        let rest = [FILE, more]
            .concat()
            .replace("@TOKEN@", &token.display().to_string())
            .replace("@ADMIN@", admin)
            .replace("@SERVERS@", &servers(&[steady.addr(), mortal.addr()]));
        let file = File {
            rest: &rest,
            ..File::default()
        };
        let lbd = file.start();
        // Whatever the browser leaves is in our own directory.
        let mut driver = program("chromedriver");
        driver.arg("--port=0").stdin(Stdio::null());
        driver.env("HOME", dir.path()).env("TMPDIR", dir.path());
        Some(Self {
            driver: Process::spawn(&mut driver),
            lbd,
            _steady: steady,
            mortal,
            dir,
        })
    }

    /// The page is loaded, and the script begins with this scene.
    fn begins(&self, scene: &str, args: &[&str]) -> Process {
        let started = self.driver.out.wait_for(" successfully on port ");
        let port = started.split(" on port ").nth(1).unwrap_or_default();
        let driver = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
        let admin = self.lbd.process.err.wait_for("admin on http://");
        let (_, page) = admin.split_once("admin on ").expect("it has it");
        let mut script = program(PYTHON);
        script.args([DRIVE, &driver]).arg(self.dir.path());
        script.arg(format!("{page}/")).arg(scene).args(args);
        let script = Process::spawn(script.stdin(Stdio::null()));
        script.out.wait_for("loaded");
        script
    }

    fn plays(&self, scene: &str) {
        ends_well(self.begins(scene, &[]));
    }

    /// The process id of the second server, as the script takes it.
    fn mortal_id(&self) -> String {
        let file = self.mortal.dir.file("nginx.pid");
        let id = until("nginx has written its process id", || {
            let text = fs::read_to_string(&file).ok()?;
            text.ends_with('\n').then_some(text)
        });
        id.trim().to_owned()
    }
}

fn ends_well(mut script: Process) {
    let ended = script.finish();
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
}

// === what is seen ===

#[test]
fn what_is_there_is_seen() {
    let Some(site) = Site::start() else { return };
    site.plays("what_is_there_is_seen");
}

#[test]
fn that_a_server_is_out_is_seen_within_two_seconds_and_that_it_is_back() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let script = site.begins("a_server_goes_and_comes_back", &[&site.mortal_id()]);
    script.out.wait_for("out after ");
    site.mortal.start_again();
    ends_well(script);
}

#[test]
fn nothing_comes_from_elsewhere_and_nothing_is_refused() {
    let Some(site) = Site::start() else { return };
    site.plays("nothing_comes_from_elsewhere");
}

#[test]
fn markup_in_names_is_text() {
    let Some(site) = Site::with("", MARKUP) else {
        return;
    };
    site.plays("markup_is_text");
}

#[test]
fn the_newest_events_come_first() {
    let Some(site) = Site::start() else { return };
    site.plays("newest_come_first");
}

#[test]
fn an_event_comes_once_however_long_it_takes() {
    let Some(site) = Site::start() else { return };
    site.plays("events_come_once");
}

#[test]
fn what_is_selected_can_be_copied() {
    let Some(site) = Site::start() else { return };
    site.plays("what_is_selected_stays_so");
}

#[test]
fn it_fits_a_telephone() {
    let Some(site) = Site::start() else { return };
    ends_well(site.begins("it_fits_a_telephone", &[&site.mortal_id()]));
}

// === what the one before it likes ===

#[test]
fn it_is_dark_where_the_browser_is() {
    let Some(site) = Site::start() else { return };
    site.plays("it_is_dark");
}

#[test]
fn it_is_chinese_where_the_browser_is_and_the_button_is_remembered() {
    let Some(site) = Site::start() else { return };
    site.plays("it_is_chinese");
}

// === what is done ===

#[test]
fn there_are_no_buttons_without_a_token() {
    let Some(site) = Site::start() else { return };
    site.plays("nobody_orders_without_a_token");
}

#[test]
fn a_button_drains_a_server() {
    let Some(site) = Site::start() else { return };
    site.plays("a_server_is_drained");
}

#[test]
fn a_wrong_token_is_said_to_be_wrong_and_changes_nothing() {
    let Some(site) = Site::start() else { return };
    site.plays("a_wrong_token_changes_nothing");
}

#[test]
fn down_asks_first() {
    let Some(site) = Site::start() else { return };
    site.plays("down_asks_first");
}

#[test]
fn it_asks_for_the_token_where_reads_need_it() {
    let Some(site) = Site::with("reads = \"token\"", "") else {
        return;
    };
    site.plays("it_asks_for_its_token");
}

// === lbd itself ===

#[test]
fn it_says_that_lbd_has_ended() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let script = site.begins("lbd_ends", &[]);
    assert_eq!(site.lbd.stop().code, Some(0));
    ends_well(script);
}

#[test]
fn it_says_that_lbd_hangs() {
    let Some(site) = Site::start() else { return };
    let lbd = site.lbd.process.id().to_string();
    ends_well(site.begins("lbd_hangs", &[&lbd]));
}
