//! Real processes for the test binaries beside this folder: the lbd that cargo built, and others' programs.
//!
//! Whatever a test starts ends with the test, and whatever it writes is in a directory of its own.

mod dir;
pub(crate) mod lbd;
pub(crate) mod process;
pub(crate) mod wait;

pub(crate) use self::{
    dir::Dir,
    lbd::{File, Lbd},
    process::Process,
    wait::until,
};
