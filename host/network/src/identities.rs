//! Identities that were asked for before: one takes half a millisecond, and strategies ask again and again,
//! every repetition of a search for the same few thousand cells.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::NetworkError;

/// Identities kept; beyond it all are forgotten. About 8 MB.
const MOST: usize = 32_768;

/// Identities by the digest of the genes.
#[derive(Default)]
pub(crate) struct Identities(Mutex<HashMap<String, String>>);

impl Identities {
    /// The identity known for these genes, or the one made now. Errors are not kept.
    pub(crate) fn get_or_make(
        &self,
        genes: String,
        make: impl FnOnce() -> Result<String, NetworkError>,
    ) -> Result<String, NetworkError> {
        // A panic elsewhere leaves at worst one identity unknown.
        if let Some(identity) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&genes) {
            return Ok(identity.clone());
        }
        let identity = make()?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(genes, identity.clone());
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_an_error_is_tried_again() {
        let identities = Identities::default();
        let get = |make: Result<&str, ()>| {
            let failure = NetworkError::NoNetwork { space: "none".into() };
            identities.get_or_make("genes".to_owned(), || make.map(str::to_owned).map_err(|()| failure))
        };
        assert!(get(Err(())).is_err());
        assert_eq!(get(Ok("first")).unwrap(), "first");
        assert_eq!(get(Ok("second")).unwrap(), "first");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let identities = Identities::default();
        for number in 0..=MOST {
            identities.get_or_make(number.to_string(), || Ok(String::new())).unwrap();
        }
        assert_eq!(identities.0.lock().unwrap().len(), 1);
    }
}
