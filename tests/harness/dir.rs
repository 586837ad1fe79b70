//! A directory of our own that goes away with the test.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// An empty directory, removed on drop with all that is in it.
#[derive(Debug)]
pub(crate) struct Dir(PathBuf);

impl Dir {
    /// A directory that no other test has.
    ///
    /// It is in the system's place for such, not in cargo's, for the name of a Unix socket must be short.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        loop {
            let name = format!(
                "lbd-test-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Left by a test that was killed, whose process had the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("a new directory: {error}"),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes `text` with this directory's path for each `@DIR@`; gives the file's path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        let text = text.replace("@DIR@", &self.0.display().to_string());
        fs::write(&path, text).expect("our own directory can be written to");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}
