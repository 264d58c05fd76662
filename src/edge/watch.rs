//! Notices that files change.
//!
//! Folders are watched rather than files: editors and configuration tools replace files by renaming others over them, and
//! a watch on a file goes with the old one. What happened is not trusted, only that something did: whoever is told
//! looks at the files' contents ([`fingerprint`]), and looks now and then unasked, since network file systems say nothing
//! and folders that appear later are not watched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify_debouncer_full::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::mpsc;

/// How long files must have been left alone before anyone is told: a save is several writes.
const SETTLED_AFTER: Duration = Duration::from_millis(500);

/// Folders that are watched while it lives.
#[derive(Debug)]
pub struct FolderWatch {
    folders: Vec<PathBuf>,
    /// `None` where the system has no watches to give.
    _debouncer: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
}

impl FolderWatch {
    /// Tells `noticed` that something happened in one of the folders. Where a folder cannot be watched, that is logged;
    /// looking now and then still finds what changes.
    pub fn start(folders: Vec<PathBuf>, noticed: mpsc::Sender<()>) -> FolderWatch {
        let tell = move |result: DebounceEventResult| {
            // Reading is no change; if it were, looking would be its own cause.
            let changed = result.is_ok_and(|events| events.iter().any(|event| !event.kind.is_access()));
            if changed {
                let _ = noticed.try_send(()); // one word is enough, and somebody has it
            }
        };
        let debouncer = new_debouncer(SETTLED_AFTER, None, tell);
        let debouncer = debouncer.map_err(|error| tracing::warn!("files cannot be watched: {error}")).ok();
        let mut watch = FolderWatch { folders, _debouncer: debouncer };
        for folder in &watch.folders {
            let watched = watch._debouncer.as_mut().map(|it| it.watch(folder, RecursiveMode::NonRecursive));
            if let Some(Err(error)) = watched {
                tracing::warn!(folder = %folder.display(), "the folder cannot be watched: {error}");
            }
        }
        watch
    }

    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }
}

/// Of names and contents; a file that cannot be read is one that says so.
pub fn fingerprint<'a>(files: impl IntoIterator<Item = &'a Path>) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for file in files {
        hash.update(file.as_os_str().as_encoded_bytes());
        match std::fs::read(file) {
            Ok(bytes) => {
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(&bytes);
            }
            Err(error) => hash.update(format!("{:?}", error.kind()).as_bytes()),
        }
    }
    hash.digest()
}
