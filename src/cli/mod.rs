//! The command line: the only place that knows arguments and exit codes.
//!
//! Subcommands are lbd's own; `-c`, `-t`, `-s` and `-v` are nginx's and do what they do there.

mod check;
mod demo;
mod events;
mod explain;
mod generate;
mod run;
mod screen;
mod servers;
mod status;
mod steer;
mod table;
mod terminal;
mod top;
mod words;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::servers::Manner;
use crate::{config::parse_duration, control::NewServer, http::Question, upstream::Duty};

/// The file has faults (`EX_CONFIG` of sysexits(3)).
const EXIT_CONFIG: u8 = 78;

/// Where the file is unless `-c` says otherwise.
const DEFAULT_FILE: &str = "/etc/lbd/lb.toml";

/// A reverse-proxy load balancer in one binary with one file.
#[derive(Debug, Parser)]
#[command(name = "lbd", version, disable_version_flag = true, after_help = EXAMPLES)]
pub struct Cli {
    /// The configuration file
    #[arg(short, long, global = true, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Check the file and exit: 0 if it can be served, 78 if not
    #[arg(short)]
    test: bool,
    /// Tell the running lbd to reload, stop (within shutdown_timeout), quit (after the last request) or reopen its log
    #[arg(short, value_name = "SIGNAL")]
    signal: Option<Signal>,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  lbd -c lb.toml              serve in the foreground until Ctrl-C
  lbd check lb.toml           say everything that is wrong with a file
  lbd reload -c lb.toml       have the running lbd serve the file as it is now
  lbd status                  see which servers are up, and why others are not; --watch goes on
  lbd top                     the same live, with what each gets
  lbd events --follow         what happens to servers, reloads and certificates
  lbd drain app 10.0.0.1:8101 let a server's clients finish; then `lbd up app 10.0.0.1:8101`
  lbd upstream add app 10.0.0.3:8101   one more server, without touching the file
  lbd explain GET http://hq.company.com:8100/app_a/   say where that would go, and why
  lbd demo                    try it without writing anything

Exit codes: 0 done, 78 the file has faults, 2 wrong arguments, 1 anything else.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Signal {
    Reload,
    Stop,
    Quit,
    Reopen,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check files and say everything that is wrong with them
    Check {
        /// The files; without any, the one that -c names
        files: Vec<PathBuf>,
    },
    /// Have the running lbd serve the file as it is now, and say how that went
    Reload {
        /// The running lbd's control socket, if the file does not name it
        #[arg(long, value_name = "SOCKET")]
        control: Option<PathBuf>,
    },
    /// Show the running lbd: who is up, who is not, and why
    #[command(after_help = STATUS_EXAMPLES)]
    Status(status::Telling),
    /// Show the running lbd live, like top(1): q ends it, s sorts
    Top {
        /// The running lbd's control socket, if the file does not name it
        #[arg(long, value_name = "SOCKET")]
        control: Option<PathBuf>,
    },
    /// Say what has happened of late: servers out and back, orders, reloads, certificates
    Events(events::Telling),
    /// Add, remove or weigh servers of the running lbd, beside the file
    #[command(subcommand, after_help = UPSTREAM_EXAMPLES)]
    Upstream(Upstream),
    /// Say what would become of a request: route, servers, headers, and the lines that they come from
    Explain {
        /// The method
        method: String,
        /// Its URL: http://host:port/path
        url: String,
        /// A field that it has
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
        /// Who asks
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
        client: IpAddr,
        /// By the file alone, even if a lbd runs
        #[arg(long)]
        by_file: bool,
        /// The running lbd's control socket, if the file does not name it
        #[arg(long, value_name = "SOCKET")]
        control: Option<PathBuf>,
    },
    /// Give a server no new clients: those that are bound to it stay
    Drain {
        #[command(flatten)]
        target: Target,
        /// When it goes down and what is left there is closed: "10m", "1h30m"
        #[arg(long, value_name = "TIME", value_parser = parse_duration)]
        deadline: Option<Duration>,
        /// Return only when nothing is in flight there any more
        #[arg(long)]
        wait: bool,
    },
    /// Send a server nothing
    Down {
        #[command(flatten)]
        target: Target,
        /// End tunnels and streams to it at once
        #[arg(long)]
        close: bool,
    },
    /// Use a server again, after drain or down, or although the file says otherwise
    Up {
        #[command(flatten)]
        target: Target,
    },
    /// Write what a shell needs to complete these commands
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual's pages
    Man {
        /// Where to, a page for each command; without it, the first page to standard output
        directory: Option<PathBuf>,
    },
    /// Start three small apps on two servers each, and lbd before them
    Demo {
        /// The port to open on 127.0.0.1
        #[arg(long, default_value_t = 8100)]
        port: u16,
        /// Print the configuration that the demo serves, and exit
        #[arg(long)]
        print_config: bool,
    },
}

/// What `lbd upstream` does.
#[derive(Debug, Subcommand)]
enum Upstream {
    /// Add a server to a pool: it stays until it is removed, over every reload, and with `state_file` over a restart
    Add {
        /// The pool
        pool: String,
        /// The server, as the file would say it: "10.0.0.3:8101"
        address: String,
        /// Its share of the requests
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=65_535))]
        weight: Option<u32>,
        /// Requests in flight at most; 0: no limit
        #[arg(long, value_name = "NUMBER")]
        max_conns: Option<u32>,
        /// Use it only while no other can be
        #[arg(long)]
        backup: bool,
        /// What it is there for at first: up, drain or down
        #[arg(long, value_parser = ["up", "drain", "down"])]
        state: Option<String>,
        /// The running lbd's control socket, if the file does not name it
        #[arg(long, value_name = "SOCKET")]
        control: Option<PathBuf>,
    },
    /// Remove a server from a pool: requests that it is at end as they would have
    Remove {
        #[command(flatten)]
        target: Target,
        /// Even if it is the last one
        #[arg(long)]
        force: bool,
        /// End tunnels and streams to it at once
        #[arg(long)]
        close: bool,
    },
    /// Change what a server may get
    Set {
        #[command(flatten)]
        target: Target,
        /// Its share of the requests
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=65_535), required_unless_present = "max_conns")]
        weight: Option<u32>,
        /// Requests in flight at most; 0: no limit
        #[arg(long, value_name = "NUMBER")]
        max_conns: Option<u32>,
    },
}

const STATUS_EXAMPLES: &str = "Examples:
  lbd status                  everything
  lbd status app_a --watch    one pool, every two seconds
  lbd status --json | jq '.pools[].servers[] | select(.live | not) | .server'
  lbd status --fail > /dev/null || mail -s 'a pool is dark' ops@company.com < /dev/null";

const UPSTREAM_EXAMPLES: &str = "Examples:
  lbd upstream add app_a 10.0.0.3:8101 --weight 2
  lbd upstream set app_a 10.0.0.3:8101 --max-conns 200
  lbd drain app_a 10.0.0.3:8101 --wait && lbd upstream remove app_a 10.0.0.3:8101";

/// One server of the running lbd.
#[derive(Debug, clap::Args)]
struct Target {
    /// The pool
    pool: String,
    /// The server, as the file calls it, by its address or by its route
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    server: String,
    /// The running lbd's control socket, if the file does not name it
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    // clap prints its own errors and ends the process with 2.
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Check { files }) if files.is_empty() => check::check(&[cli.config]),
        Some(Command::Check { files }) => check::check(&files),
        Some(Command::Reload { control }) => steer::steer(Signal::Reload, &cli.config, control),
        Some(Command::Explain {
            method,
            url,
            headers,
            client,
            by_file,
            control,
        }) => {
            let question = Question {
                method,
                url,
                fields: headers,
                client,
            };
            explain::explain(&cli.config, control, by_file, question)
        }
        Some(Command::Status(telling)) => status::status(&cli.config, &telling),
        Some(Command::Top { control }) => top::top(&cli.config, control),
        Some(Command::Events(telling)) => events::events(&cli.config, &telling),
        Some(Command::Upstream(change)) => upstream(&cli.config, change),
        Some(Command::Completions { shell }) => generate::completions(shell),
        Some(Command::Man { directory }) => generate::man(directory.as_deref()),
        Some(Command::Drain {
            target,
            deadline,
            wait,
        }) => {
            let manner = Manner {
                deadline,
                waits: wait,
                ..Manner::default()
            };
            servers::order(&cli.config, target, Duty::Drain, manner)
        }
        Some(Command::Down { target, close }) => {
            let manner = Manner {
                closes: close,
                ..Manner::default()
            };
            servers::order(&cli.config, target, Duty::Down, manner)
        }
        Some(Command::Up { target }) => {
            servers::order(&cli.config, target, Duty::Up, Manner::default())
        }
        Some(Command::Demo {
            print_config: true,
            port,
        }) => demo::print_config(port),
        Some(Command::Demo { port, .. }) => demo::demo(port),
        None if cli.test => check::check(&[cli.config]),
        None => match cli.signal {
            Some(signal) => steer::steer(signal, &cli.config, None),
            None => run::run(&cli.config),
        },
    }
}

fn upstream(file: &Path, change: Upstream) -> ExitCode {
    match change {
        Upstream::Add {
            pool,
            address,
            weight,
            max_conns,
            backup,
            state,
            control,
        } => {
            let server = NewServer {
                address,
                weight,
                max_conns,
                backup,
                state,
                by: std::env::var("SUDO_USER").ok(),
                ..NewServer::default()
            };
            servers::add(file, control, pool, server)
        }
        Upstream::Remove {
            target,
            force,
            close,
        } => servers::remove(file, target, force, close),
        Upstream::Set {
            target,
            weight,
            max_conns,
        } => servers::set(file, target, weight, max_conns),
    }
}
