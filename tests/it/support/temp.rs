//! A file of our own that goes away with the test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A path under cargo's directory for tests; the file is removed on drop.
pub(crate) struct TempFile(PathBuf);

impl TempFile {
    /// A path that no other test has. Nothing is created.
    pub(crate) fn new(extension: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "it-{}-{}.{extension}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// The path, as it may stand in a TOML string.
    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// The complete lines so far; none if the file is not there.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(str::to_owned).collect()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // A test that wrote nothing has no file; there is nobody to tell about the rest.
        let _ = std::fs::remove_file(&self.0);
    }
}
