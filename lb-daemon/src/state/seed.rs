//! The key of the flow hash.
//!
//! Nodes that know the same seed make the same key and so the same tables;
//! without a seed the key is made once, at random, and kept.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
};

use sha2::{Digest, Sha256};

use crate::config::Seed;

#[derive(Debug, thiserror::Error)]
#[error("seed_file {path}: {source}; it must hold the cluster's seed and be readable by lb-daemon")]
pub struct SeedError {
    path: PathBuf,
    source: io::Error,
}

/// `generated`: this host's own key, for configurations without a seed.
pub fn hash_key(seed: &Seed, generated: [u64; 2]) -> Result<[u64; 2], SeedError> {
    match seed {
        Seed::Generated => Ok(generated),
        Seed::Text(text) => Ok(from_text(text)),
        Seed::File(path) => match fs::read_to_string(path) {
            Ok(text) if text.trim().is_empty() => {
                let source = io::Error::new(io::ErrorKind::InvalidData, "the file is empty");
                Err(SeedError { path: path.clone(), source })
            }
            Ok(text) => Ok(from_text(text.trim())),
            Err(source) => Err(SeedError { path: path.clone(), source }),
        },
    }
}

fn from_text(text: &str) -> [u64; 2] {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    words(*digest.first_chunk().expect("a digest is longer than a key"))
}

/// A key that nobody can guess.
pub fn random_key() -> io::Result<[u64; 2]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(words(bytes))
}

fn words(bytes: [u8; 16]) -> [u64; 2] {
    let whole = u128::from_le_bytes(bytes);
    [whole as u64, (whole >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_seed_never_changes() {
        // The first 16 bytes of sha256("edge"); another key would move every flow of a cluster.
        let key = hash_key(&Seed::Text("edge".into()), [0; 2]).unwrap();
        assert_eq!(key, [0xca71e9570f10cba1, 0x0a63e4267c9e26cf]);
    }

    #[test]
    fn a_seed_file_is_its_text_without_white_space_around() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed");
        fs::write(&path, " edge\n").unwrap();
        let of_text = hash_key(&Seed::Text("edge".into()), [0; 2]).unwrap();
        assert_eq!(hash_key(&Seed::File(path.clone()), [0; 2]).unwrap(), of_text);
        fs::write(&path, "\n").unwrap();
        let error = hash_key(&Seed::File(path), [0; 2]).unwrap_err().to_string();
        assert!(error.contains("is empty"), "{error}");
    }

    #[test]
    fn random_keys_differ() {
        assert_ne!(random_key().unwrap(), random_key().unwrap());
    }
}
