//! Which files are meant: paths, folders and patterns, in an order that does not depend on the file system.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Files one pattern or folder may lead to.
pub const FILES_MAX: usize = 10_000;

/// Folders below each other that are searched.
const DEPTH_MAX: usize = 16;

/// What a path or pattern led to.
#[derive(Debug)]
pub enum Found {
    /// Files, sorted; perhaps none.
    Files(Vec<PathBuf>),
    /// A plain path with nothing there, or that cannot be read.
    Unreadable(io::Error),
    /// More than [`FILES_MAX`].
    TooMany,
}

/// The YAML files that `text` means, from `folder`: a file, a folder with all below it, or a pattern.
pub fn find(folder: &Path, text: &str) -> Found {
    if !text.contains(['*', '?']) {
        let path = folder.join(text);
        return match std::fs::metadata(&path) {
            Err(error) => Found::Unreadable(error),
            Ok(meta) if meta.is_dir() => collect(&path, &|name| is_yaml(name)),
            Ok(_) => Found::Files(vec![path]),
        };
    }
    // The part before the first wildcard need not be searched.
    let path = folder.join(text);
    let base = base(folder, text);
    let rest: Vec<String> = path
        .components()
        .skip_while(|part| !wild(part))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let pattern = pattern(&rest.join("/"));
    if !base.is_dir() {
        return Found::Files(Vec::new());
    }
    collect(&base, &|name| pattern.is_match(name))
}

/// The path `text` means, up to its first wildcard.
pub fn base(folder: &Path, text: &str) -> PathBuf {
    folder.join(text).components().take_while(|part| !wild(part)).collect()
}

fn wild(part: &Component) -> bool {
    part.as_os_str().to_string_lossy().contains(['*', '?'])
}

/// `*` and `?` stay within a name, `**` goes across folders.
fn pattern(glob: &str) -> regex::Regex {
    let mut out = String::from("^");
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("**/") {
            out.push_str("(?:.*/)?");
            rest = tail;
            continue;
        }
        if let Some(tail) = rest.strip_prefix("**") {
            out.push_str(".*");
            rest = tail;
            continue;
        }
        match c {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            c => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
        rest = &rest[c.len_utf8()..];
    }
    out.push('$');
    regex::Regex::new(&out).expect("everything but wildcards is escaped")
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// All files below `base` whose name from there is `wanted`, sorted. Hidden files and folders are passed over.
fn collect(base: &Path, wanted: &dyn Fn(&str) -> bool) -> Found {
    let mut files = Vec::new();
    let mut folders = vec![(base.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => return Found::Unreadable(error),
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let (path, relative) = (entry.path(), format!("{prefix}{name}"));
            if path.is_dir() {
                if depth < DEPTH_MAX {
                    folders.push((path, format!("{relative}/"), depth + 1));
                }
            } else if wanted(&relative) {
                files.push(path);
            }
        }
        if files.len() > FILES_MAX {
            return Found::TooMany;
        }
    }
    files.sort();
    Found::Files(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expect: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.yaml", "b.yml", "c.txt", "x/a.yaml", "x/y/b.yaml", ".git/z.yaml"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let got = match find(folder.path(), pattern) {
            Found::Files(files) => files
                .iter()
                .map(|path| path.strip_prefix(folder.path()).expect("below").to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" "),
            Found::Unreadable(error) => error.kind().to_string(),
            Found::TooMany => "too many".to_owned(),
        };
        assert_eq!(got, expect, "{pattern}");
    }

    #[test]
    fn a_path_a_folder_and_patterns() {
        check("a.yaml", "a.yaml");
        check(".", "a.yaml b.yml x/a.yaml x/y/b.yaml");
        check("x", "x/a.yaml x/y/b.yaml");
        check("*.yaml", "a.yaml");
        check("?.y*ml", "a.yaml b.yml");
        check("**/a.yaml", "a.yaml x/a.yaml");
        check("x/*/*.yaml", "x/y/b.yaml");
        check("x/**", "x/a.yaml x/y/b.yaml");
        check("nope/*.yaml", "");
        check("nope.yaml", "entity not found");
    }
}
