//! Directories that go their own ways.

use std::fs;

use lake_testing::Directory;

#[test]
fn a_fork_has_the_same_files_and_a_life_of_its_own() {
    let directory = Directory::new().unwrap();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    fs::write(directory.path().join("a/b/one"), "1").unwrap();
    fs::write(directory.path().join("two"), "22").unwrap();
    let fork = directory.fork().unwrap();
    assert_eq!(fork.files().unwrap(), directory.files().unwrap());
    fs::write(fork.path().join("two"), "changed").unwrap();
    assert_eq!(fs::read(directory.path().join("two")).unwrap(), b"22");
    assert_eq!(fork.files_with("b/").unwrap(), ["a/b/one"]);
}
