//! A key pair for releases: the private half in a file of its own, the public half for those who
//! trust it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lake_registry::{KeyId, SigningKey, TrustedKeys};

use crate::error::{KitError, Result};

/// A key pair that has been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The file with the private half, which only its owner may read.
    pub file: PathBuf,
    /// What the key is called in messages.
    pub id: KeyId,
    /// The public half, as an entry for a file of trusted keys.
    pub entry: String,
}

/// Makes a key pair out of 32 `random` bytes of the operating system. The private half goes to a
/// new file in `directory`; the public half, where `trust` names a file of trusted keys, is
/// appended there.
///
/// # Errors
/// [`KitError::Usage`] where the file is there already, or a key of this name is; nothing is
/// written then. [`KitError::Registry`] where the file of trusted keys is wrong, [`KitError::Io`].
pub fn new_key(
    name: &str,
    directory: &Path,
    trust: Option<&Path>,
    random: [u8; 32],
) -> Result<NewKey> {
    let key = SigningKey::from_random(random);
    let entry = format!(
        "[[key]]\nname = {}\npublic = \"{}\"\n",
        toml::Value::String(name.trim().to_owned()),
        key.public().to_base64()
    );
    let file = match directory == Path::new(".") {
        true => PathBuf::from(file_name(name)?),
        false => directory.join(file_name(name)?),
    };
    if fs::symlink_metadata(&file).is_ok() {
        return Err(KitError::usage(format!(
            "{} is there already, and a private key is never overwritten; choose another name, or \
             another place with --out",
            file.display()
        )));
    }
    let appended = match trust {
        Some(trust) => Some((trust, with_entry(trust, &entry)?)),
        None => None,
    };
    fs::create_dir_all(directory).map_err(KitError::io(directory))?;
    key.write_new(&file)?;
    if let Some((trust, text)) = appended {
        let written = OpenOptions::new().create(true).append(true).open(trust);
        let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(KitError::io(trust))?;
    }
    Ok(NewKey {
        file,
        id: key.public().id(),
        entry,
    })
}

/// What has to be appended to a file of trusted keys, once it is sure that the file is right with it.
fn with_entry(trust: &Path, entry: &str) -> Result<String> {
    let before = match fs::read_to_string(trust) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(KitError::io(trust)(e)),
    };
    let gap = match before.as_str() {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let appended = format!("{gap}{entry}");
    TrustedKeys::parse(&format!("{before}{appended}"), trust)?;
    Ok(appended)
}

/// `Meters team, 2026` → `meters-team-2026.pem`
fn file_name(name: &str) -> Result<String> {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            ' '
        }
    };
    let plain: String = name.chars().map(plain).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    if words.is_empty() {
        return Err(KitError::usage(
            "a key needs a name with letters or digits: whose it is, and since when",
        ));
    }
    Ok(format!("{}.pem", words.join("-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_signs_what_its_entry_trusts_and_nobody_else_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let trust = directory.path().join("trusted.toml");
        let made = new_key(
            "Meters team, \"2026\"",
            directory.path(),
            Some(&trust),
            [7; 32],
        );
        let made = made.unwrap();
        assert_eq!(made.file, directory.path().join("meters-team-2026.pem"));
        let key = SigningKey::read(&made.file).unwrap();
        let trusted = TrustedKeys::read(&trust).unwrap();
        assert_eq!(trusted.keys()[0].public, key.public());
        assert_eq!(trusted.keys()[0].name, "Meters team, \"2026\"");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&made.file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let second = new_key("build farm", directory.path(), Some(&trust), [8; 32]);
        assert!(second.is_ok());
        assert_eq!(TrustedKeys::read(&trust).unwrap().keys().len(), 2);
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let trust = directory.path().join("trusted.toml");
        new_key("a", directory.path(), Some(&trust), [7; 32]).unwrap();
        let before = [
            fs::read_to_string(directory.path().join("a.pem")).unwrap(),
            fs::read_to_string(&trust).unwrap(),
        ];
        let again = new_key("a", directory.path(), None, [9; 32]).unwrap_err();
        assert!(again.to_string().contains("never overwritten"), "{again}");
        let elsewhere = directory.path().join("b");
        let twice = new_key("a", &elsewhere, Some(&trust), [9; 32]).unwrap_err();
        assert!(twice.to_string().contains("two keys named"), "{twice}");
        assert!(!elsewhere.exists());
        assert!(new_key("€", directory.path(), None, [9; 32]).is_err());
        let after = [
            fs::read_to_string(directory.path().join("a.pem")).unwrap(),
            fs::read_to_string(&trust).unwrap(),
        ];
        assert_eq!(before, after);
    }
}
