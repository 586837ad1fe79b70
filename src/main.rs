//! The binary; all of it is in the library.

use std::process::ExitCode;

/// Small objects and buffers come and go with every request; mimalloc is the fastest at that, and
/// the same on every libc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lbd::cli::main()
}
