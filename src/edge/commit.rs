//! Which commit is checked out where a file is. Read from git's own files: it is one line, and must not need the program
//! or a library on the machine that runs Foghorn. What cannot be read is not known, which is no error.

use std::fs;
use std::path::{Path, PathBuf};

/// The commit of the repository that `folder` is in. Files may have been edited since: their hashes tell.
pub fn checked_out(folder: &Path) -> Option<String> {
    let whole = fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).ok()?;
    let git = whole.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    let git = if git.is_file() { linked(&git)? } else { git };
    let head = line(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return commit(&head) };
    // In a linked work tree, branches are where the main one has them.
    let common = line(&git.join("commondir")).map(|path| git.join(path));
    let homes = [Some(git), common];
    homes.iter().flatten().find_map(|home| branch(home, name))
}

/// A `.git` that is a file says where the repository is.
fn linked(file: &Path) -> Option<PathBuf> {
    let path = line(file)?.strip_prefix("gitdir: ")?.to_owned();
    Some(file.parent()?.join(path))
}

fn branch(git: &Path, name: &str) -> Option<String> {
    if let Some(found) = line(&git.join(name)).as_deref().and_then(commit) {
        return Some(found);
    }
    let packed = fs::read_to_string(git.join("packed-refs")).ok()?;
    packed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(_, known)| *known == name)
        .and_then(|(id, _)| commit(id))
}

fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// A text that is the name of a commit, in SHA-1 or SHA-256.
fn commit(text: &str) -> Option<String> {
    let fits = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_found_through_branches_packed_ones_and_linked_work_trees() {
        let root = tempfile::tempdir().expect("a folder");
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, text).expect("written");
        };
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        fs::create_dir_all(root.path().join("a/rules")).expect("made");
        let rules = root.path().join("a/rules");
        assert_eq!(checked_out(&root.path().join("nowhere")), None);
        put("a/.git/HEAD", "ref: refs/heads/main\n");
        assert_eq!(checked_out(&rules), None, "a branch without a commit");
        put("a/.git/packed-refs", &format!("# pack-refs with: peeled\n{one} refs/heads/main\n"));
        assert_eq!(checked_out(&rules), Some(one.clone()));
        put("a/.git/refs/heads/main", &format!("{two}\n"));
        assert_eq!(checked_out(&rules), Some(two.clone()), "a loose ref is newer than a packed one");
        put("b/.git", "gitdir: ../a/.git/worktrees/b\n");
        put("a/.git/worktrees/b/HEAD", "ref: refs/heads/main\n");
        put("a/.git/worktrees/b/commondir", "../..\n");
        assert_eq!(checked_out(&root.path().join("b")), Some(two));
        put("a/.git/HEAD", &one);
        assert_eq!(checked_out(&rules), Some(one), "a detached head");
    }
}
