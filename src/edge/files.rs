//! Recorded data from disk: plain, gzip or zstd files whose lines are records, one file or a folder of them.
//!
//! A file is a partition: its lines are in order, its line numbers are offsets (from 1, as editors count). What the
//! file is compressed with is told by its first bytes, not by its name, because rotated logs are named by habit.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::batch::{RawBatch, RawBatchBuilder};
use crate::model::position::SourceId;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes one batch may hold before it is handed over, whatever its number of lines.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Why recorded data cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` holds no files", path.display())]
    EmptyFolder { path: PathBuf },
}

/// The files behind what a user named: a file is itself, a folder is its files in name order (hidden ones left out).
pub fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, FilesError> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |source| FilesError::Read { path: path.clone(), source };
        if !path.metadata().map_err(failed)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in path.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if !hidden && entry.path().is_file() {
                inside.push(entry.path());
            }
        }
        if inside.is_empty() {
            return Err(FilesError::EmptyFolder { path: path.clone() });
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// One file's lines, read in batches.
pub struct LineFile {
    source: SourceId,
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    lines: i64,
    /// Bytes read from disk so far (compressed ones where it is compressed), for a progress bar.
    read: Arc<AtomicU64>,
    size: u64,
}

impl LineFile {
    /// Opens `path`. Its source is called as the path is written.
    pub fn open(path: &Path) -> Result<Self, FilesError> {
        let failed = |source| FilesError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let read = Arc::new(AtomicU64::new(0));
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, Counted { file, read: read.clone() });
        let head = raw.fill_buf().map_err(failed)?;
        let reader: Box<dyn BufRead + Send> = if head.starts_with(&GZIP) {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(raw)))
        } else if head.starts_with(&ZSTD) {
            let decoder = zstd::stream::read::Decoder::with_buffer(raw).map_err(failed)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        } else {
            Box::new(raw)
        };
        let source = SourceId::new(path.to_string_lossy().into_owned(), 0);
        Ok(LineFile { source, path: path.to_owned(), reader, lines: 0, read, size })
    }

    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// Bytes on disk: read so far, and in all.
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.size)
    }

    /// Up to `lines_max` further lines; `None` at the end. Empty lines are skipped but counted. A line longer than
    /// `line_bytes_max` is cut one byte beyond it, so that the decoder refuses it by name instead of memory running out.
    pub fn next(&mut self, lines_max: usize, line_bytes_max: usize) -> Result<Option<RawBatch>, FilesError> {
        let mut batch = RawBatchBuilder::with_capacity(lines_max.min(8192), BUFFER_BYTES);
        let source = batch.source(&self.source.topic, self.source.partition);
        let mut line = Vec::new();
        while batch.records() < lines_max && batch.bytes() < BATCH_BYTES_MAX {
            line.clear();
            if !self.read_line(&mut line, line_bytes_max)? {
                break;
            }
            self.lines += 1;
            if !line.is_empty() {
                batch.push(source, self.lines, -1, &line);
            }
        }
        Ok((!batch.is_empty()).then(|| batch.finish()))
    }

    /// `false` at the end of the file.
    fn read_line(&mut self, line: &mut Vec<u8>, line_bytes_max: usize) -> Result<bool, FilesError> {
        let mut any = false;
        loop {
            let failed = |source| FilesError::Read { path: self.path.clone(), source };
            let chunk = self.reader.fill_buf().map_err(failed)?;
            if chunk.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = memchr::memchr(b'\n', chunk);
            let taken = end.unwrap_or(chunk.len());
            let room = (line_bytes_max + 1).saturating_sub(line.len());
            line.extend_from_slice(&chunk[..taken.min(room)]);
            self.reader.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(true);
            }
        }
    }
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const TEXT: &[u8] = b"one\r\n\nthree\n4444444444\nlast";

    fn check(bytes: &[u8], expect: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("written");
        let mut file = LineFile::open(&path).expect("opens");
        let mut got = Vec::new();
        while let Some(batch) = file.next(2, 8).expect("reads") {
            for record in &batch.records {
                got.push(format!("{}:{}", record.offset, String::from_utf8_lossy(batch.bytes(record))));
            }
        }
        assert_eq!(got.join(" "), expect);
        assert_eq!(file.progress().0, file.progress().1, "all bytes counted");
    }

    #[test]
    fn plain_gzip_and_zstd_read_the_same_and_long_lines_are_cut() {
        let expect = "1:one 3:three 4:444444444 5:last";
        check(TEXT, expect);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(TEXT).expect("compressed");
        check(&gzip.finish().expect("compressed"), expect);
        check(&zstd::encode_all(TEXT, 1).expect("compressed"), expect);
    }

    #[test]
    fn a_folder_is_its_files_in_name_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.log", "a.log", ".hidden"] {
            File::create(folder.path().join(name)).expect("written");
        }
        let files = expand(&[folder.path().to_owned()]).expect("expands");
        let names: Vec<_> = files.iter().map(|f| f.file_name().unwrap_or_default().to_string_lossy()).collect();
        assert_eq!(names, ["a.log", "b.log"]);
    }
}
