//! The parts of a request's way that must cost the same however large the configuration is, and
//! those that every request pays for. Times are for comparing two runs on one machine; what does not
//! depend on the machine are the allocations, and the instructions of `benches/versus/instructions.py`.
//!
//!     cargo bench --bench micro
//!     cargo bench --bench micro -- picking

mod access_line;
mod heads;
mod picking;
mod routing;

use divan::AllocProfiler;
use lbd::config::{self, Config, SourceFile};
use mimalloc::MiMalloc;

// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

fn main() {
    divan::main();
}

/// What a file with `text` says, which must be good.
fn loaded(text: &str) -> Config {
    match config::load(&SourceFile::new("lb.toml", text)) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{report}"),
    }
}
