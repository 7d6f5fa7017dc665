//! The copy that is loaded.

use std::fs;
use std::path::Path;

use lake_registry::{Digest, Error, cached_copy, private_copy};

const BYTES: &[u8] = b"a library";

fn digest() -> Digest {
    Digest::of(BYTES)
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_copy_has_the_right_bytes_and_its_digest_for_a_name() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("new/place");
    assert_eq!(cached_copy(&directory, &digest()).unwrap(), None);
    let path = private_copy(&directory, &digest(), BYTES).unwrap();
    assert_eq!(path, directory.join(digest().hex()));
    assert_eq!(fs::read(&path).unwrap(), BYTES);
    assert_eq!(
        cached_copy(&directory, &digest()).unwrap(),
        Some(path.clone())
    );
    assert_eq!(private_copy(&directory, &digest(), BYTES).unwrap(), path);
    let files: Vec<_> = fs::read_dir(&directory).unwrap().collect();
    assert_eq!(files.len(), 1, "nothing else is left behind");
}

#[test]
fn other_bytes_are_not_written() {
    let root = tempfile::tempdir().unwrap();
    let error = private_copy(root.path(), &digest(), b"a libraru").unwrap_err();
    assert!(matches!(error, Error::Changed { expected, .. } if expected == digest()));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_enter_or_write() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("place");
    fs::create_dir(&directory).unwrap();
    set_mode(&directory, 0o777);
    let path = private_copy(&directory, &digest(), BYTES).unwrap();
    assert_eq!((mode(&directory), mode(&path)), (0o700, 0o500));

    set_mode(&directory, 0o755);
    set_mode(&path, 0o666);
    assert_eq!(
        cached_copy(&directory, &digest()).unwrap(),
        Some(path.clone())
    );
    assert_eq!((mode(&directory), mode(&path)), (0o700, 0o500));
}

#[cfg(unix)]
#[test]
fn a_copy_that_was_changed_in_any_byte_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let path = private_copy(root.path(), &digest(), BYTES).unwrap();
    for position in 0..BYTES.len() {
        let mut bad = BYTES.to_vec();
        bad[position] ^= 1;
        set_mode(&path, 0o700);
        fs::write(&path, &bad).unwrap();
        assert_eq!(cached_copy(root.path(), &digest()).unwrap(), None);
        private_copy(root.path(), &digest(), BYTES).unwrap();
        assert_eq!(fs::read(&path).unwrap(), BYTES);
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_replaced_and_what_it_points_to_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = root.path().join("elsewhere");
    fs::write(&elsewhere, BYTES).unwrap();
    let directory = root.path().join("place");
    fs::create_dir(&directory).unwrap();
    let link = directory.join(digest().hex());
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    assert_eq!(
        cached_copy(&directory, &digest()).unwrap(),
        None,
        "others may write there"
    );
    let path = private_copy(&directory, &digest(), BYTES).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    fs::write(&elsewhere, b"another").unwrap();
    assert_eq!(fs::read(&path).unwrap(), BYTES);
}

#[test]
fn a_place_that_cannot_be_one_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = private_copy(&file.join("below"), &digest(), BYTES).unwrap_err();
    assert!(matches!(error, Error::Io { path, .. } if path == file.join("below")));

    let taken = root.path().join(digest().hex());
    fs::create_dir(&taken).unwrap();
    let error = private_copy(root.path(), &digest(), BYTES).unwrap_err();
    assert!(matches!(error, Error::Io { path, .. } if path == taken));
}

#[test]
fn many_at_once_get_the_same_copy() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let path = private_copy(root.path(), &digest(), BYTES).unwrap();
                assert_eq!(fs::read(path).unwrap(), BYTES);
            });
        }
    });
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}
