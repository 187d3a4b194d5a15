//! The token that opens the API: 256 random bits in a file that its owner alone can read, made once, kept for good.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::failure::Failed;

/// Its file in the state folder.
pub fn path(state: &Path) -> PathBuf {
    state.join("token")
}

/// The token of a state folder, made if there is none.
pub fn find_or_make(state: &Path) -> Result<String, Failed> {
    if !path(state).exists() {
        make(state)?;
    }
    read(state)
}

/// The token of a state folder.
pub fn read(state: &Path) -> Result<String, Failed> {
    let path = path(state);
    let label = path.display();
    let metadata = fs::metadata(&path).map_err(|error| Failed::Configuration(format!("{label}: {error}")))?;
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(Failed::Configuration(format!(
            "{label}: others can read it (mode {mode:04o}); remove it, and the daemon makes another when it starts"
        )));
    }
    let text = fs::read_to_string(&path).map_err(|error| Failed::Configuration(format!("{label}: {error}")))?;
    let token = text.trim();
    if token.len() < 32 || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failed::Configuration(format!(
            "{label}: it holds no token of at least 32 letters and digits; remove it, and the daemon makes another \
             when it starts"
        )));
    }
    Ok(token.to_owned())
}

fn make(state: &Path) -> Result<(), Failed> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|error| Failed::Other(format!("random bits for a token: {error}")))?;
    let token = blake3::Hash::from_bytes(bits).to_hex();
    let (path, part) = (path(state), state.join("token.part"));
    let write = || -> std::io::Result<()> {
        // What a crash left there may have another mode.
        let _ = fs::remove_file(&part);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        fs::rename(&part, &path)
    };
    write().map_err(|error| Failed::Other(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let token = find_or_make(folder.path()).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(find_or_make(folder.path()).unwrap(), token);
        assert_ne!(find_or_make(tempfile::tempdir().unwrap().path()).unwrap(), token);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path(folder.path())), 0o600);
    }

    #[test]
    fn a_token_that_others_can_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        find_or_make(folder.path()).unwrap();
        fs::set_permissions(path(folder.path()), fs::Permissions::from_mode(0o644)).unwrap();
        let error = find_or_make(folder.path()).unwrap_err().to_string();
        assert!(error.contains("others can read it (mode 0644)"), "{error}");
        fs::set_permissions(path(folder.path()), fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "short", "not a token of letters and digits, by far"] {
            fs::write(path(folder.path()), text).unwrap();
            assert!(find_or_make(folder.path()).is_err(), "{text}");
        }
    }
}
