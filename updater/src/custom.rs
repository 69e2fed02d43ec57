//! Loose signature files that the operator adds: from URLs, and from a prefix of the definitions bucket.
//!
//! The prefix is the remedy for a false positive: an object `local.ign2`, `local.fp` or `local.sfp` there is part of the
//! next generation, which heals what the false positive convicted.

use std::collections::BTreeMap;

use nacre_clamav::{archive::is_member_name, loose::is_loose_file};
use nacre_core::{
    generation::{
        manifest::CustomEntry,
        published::{PublishedError, read_custom},
    },
    port::{DefinitionsStore, StoreError},
    telemetry::error_chain,
};

use crate::http::{Answer, Get, HttpClient, HttpError, redacted};

/// Most files under the prefix.
const MAX_FILES: usize = 256;

/// Why the loose files could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CustomError {
    /// A name that no signature file has.
    #[error(
        "{source_name} is no signature file: its name must end in one of ndb, ldb, hdb, hsb, yar, cdb, ign2, fp, sfp, …"
    )]
    Name {
        /// Where it was to come from.
        source_name: String,
    },
    /// Two sources of the same file name.
    #[error("{first} and {second} have the same file name: rename one")]
    Twice {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A URL did not respond, and nothing of it is published.
    #[error("{source_name} could not be downloaded")]
    Http {
        /// Where it was to come from.
        source_name: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The definitions bucket could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is published of a file could not be read.
    #[error("the published {name} could not be read")]
    Published {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: PublishedError,
    },
    /// An empty file.
    #[error("{source_name} is empty: remove it, or write a comment into it")]
    Empty {
        /// Where it came from.
        source_name: String,
    },
}

/// A loose file of the generation to come.
#[derive(Debug)]
pub struct CustomPart {
    /// What it is.
    pub entry: CustomEntry,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Where loose files come from.
#[derive(Debug)]
pub struct CustomSources<'a, Store> {
    /// URLs of single files.
    pub urls: &'a [String],
    /// A prefix of the definitions bucket, with a slash at its end.
    pub prefix: &'a str,
    /// Most bytes of one file.
    pub max_bytes: usize,
    /// Client of the URLs.
    pub http: &'a HttpClient,
    /// The definitions bucket.
    pub store: &'a Store,
}

impl<Store: DefinitionsStore> CustomSources<'_, Store> {
    /// Gets every file, asking again only for what may have changed; second, those whose published state is kept because
    /// their source did not respond.
    ///
    /// # Errors
    /// [`CustomError`].
    pub async fn fetch(&self, published: &[CustomEntry]) -> Result<(Vec<CustomPart>, Vec<String>), CustomError> {
        let (mut parts, mut held): (BTreeMap<String, CustomPart>, Vec<String>) = (BTreeMap::new(), Vec::new());
        let mut add = |part: CustomPart| match parts.insert(part.entry.name.clone(), part) {
            Some(first) => {
                let second = parts.get(&first.entry.name).map(|part| part.entry.source.clone()).unwrap_or_default();
                Err(CustomError::Twice { first: first.entry.source, second })
            }
            None => Ok(()),
        };
        for url in self.urls {
            let source = redacted(url);
            let known = published.iter().find(|entry| entry.source == source);
            add(self.of_url(url, source, known, &mut held).await?)?;
        }
        let listed = self.store.list(self.prefix, MAX_FILES).await?;
        for object in listed.into_iter().filter(|object| !object.key.ends_with('/')) {
            let known = published.iter().find(|entry| entry.source == object.key);
            add(self.of_prefix(object.key, &object.etag, known).await?)?;
        }
        Ok((parts.into_values().collect(), held))
    }

    async fn of_url(
        &self,
        url: &str,
        source: String,
        known: Option<&CustomEntry>,
        held: &mut Vec<String>,
    ) -> Result<CustomPart, CustomError> {
        let name = file_name(url.split(['?', '#']).next().unwrap_or_default(), &source)?;
        let etag = known.and_then(|entry| entry.etag.as_deref());
        match self.http.get(url, &Get { if_none_match: etag, ..Get::whole(self.max_bytes) }).await {
            // A response without content is treated as none.
            Ok(Answer::Body(fetched)) if fetched.bytes.is_empty() && known.is_some() => {
                tracing::warn!(source, "loose signature file came empty; its last state is kept");
                held.push(name);
                self.published(known, &source).await
            }
            Ok(Answer::Body(fetched)) => part(name, source, fetched.etag, fetched.bytes),
            Ok(Answer::NotModified) => self.published(known, &source).await,
            // Somebody else's server must not keep ClamAV's own signatures from being published.
            Err(error) if known.is_some() => {
                tracing::warn!(
                    source,
                    cause = error_chain(&error),
                    "loose signature file not downloaded; its last state is kept"
                );
                held.push(name);
                self.published(known, &source).await
            }
            Err(error) => Err(CustomError::Http { source_name: source, source: error }),
        }
    }

    async fn of_prefix(&self, key: String, etag: &str, known: Option<&CustomEntry>) -> Result<CustomPart, CustomError> {
        let name = file_name(&key, &key)?;
        if known.is_some_and(|entry| entry.etag.as_deref() == Some(etag)) {
            return self.published(known, &key).await;
        }
        let stored = self.store.read(&key, self.max_bytes as u64).await?;
        part(name, key, Some(stored.etag), stored.bytes)
    }

    async fn published(&self, known: Option<&CustomEntry>, source: &str) -> Result<CustomPart, CustomError> {
        let Some(entry) = known else { return Err(CustomError::Empty { source_name: source.to_owned() }) };
        let bytes = read_custom(self.store, entry).await;
        let bytes = bytes.map_err(|source| CustomError::Published { name: entry.name.clone(), source })?;
        Ok(CustomPart { entry: entry.clone(), bytes })
    }
}

fn part(name: String, source: String, etag: Option<String>, bytes: Vec<u8>) -> Result<CustomPart, CustomError> {
    if bytes.is_empty() {
        return Err(CustomError::Empty { source_name: source });
    }
    Ok(CustomPart { entry: CustomEntry::of(name, source, etag, &bytes), bytes })
}

/// The file name at the end of a path, provided that it is a signature file's.
fn file_name(path: &str, source: &str) -> Result<String, CustomError> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if is_loose_file(name) && is_member_name(name) {
        Ok(name.to_owned())
    } else {
        Err(CustomError::Name { source_name: source.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use nacre_core::port::WriteCondition;
    use nacre_testing::memory_definitions::MemoryDefinitions;

    use super::*;
    use crate::http::HttpSettings;

    async fn fetch(
        store: &MemoryDefinitions,
        urls: &[String],
        published: &[CustomEntry],
    ) -> Result<(Vec<CustomPart>, Vec<String>), CustomError> {
        let settings = HttpSettings { attempts: 1, ..HttpSettings::new("test") };
        let http = &HttpClient::new(settings).unwrap();
        CustomSources { urls, prefix: "nacre/custom/", max_bytes: 100, http, store }.fetch(published).await
    }

    async fn put(store: &MemoryDefinitions, key: &str, text: &str) {
        store.write(key, text.into(), &[], WriteCondition::Always).await.unwrap();
    }

    #[tokio::test]
    async fn what_lies_under_the_prefix_is_taken_and_asked_for_once() {
        let store = MemoryDefinitions::default();
        put(&store, "nacre/custom/local.ign2", "Some.Signature\n").await;
        put(&store, "nacre/custom/", "").await;
        let (parts, held) = fetch(&store, &[], &[]).await.unwrap();
        assert_eq!((parts.len(), held.len()), (1, 0));
        let entry = &parts[0].entry;
        assert_eq!((entry.name.as_str(), entry.source.as_str()), ("local.ign2", "nacre/custom/local.ign2"));
        put(&store, &entry.object_key, "Some.Signature\n").await;
        let (again, _) = fetch(&store, &[], std::slice::from_ref(entry)).await.unwrap();
        assert_eq!(&again[0].entry, entry);
    }

    #[tokio::test]
    async fn what_is_no_signature_file_is_named() {
        for name in ["readme.txt", "evil.cbc", "noextension", ".ndb", "a b.ndb"] {
            let store = MemoryDefinitions::default();
            put(&store, &format!("nacre/custom/{name}"), "x\n").await;
            let error = fetch(&store, &[], &[]).await.unwrap_err();
            assert!(error.to_string().starts_with(&format!("nacre/custom/{name} is no signature file")), "{error}");
        }
        let store = MemoryDefinitions::default();
        put(&store, "nacre/custom/a/x.ndb", "x\n").await;
        put(&store, "nacre/custom/b/x.ndb", "x\n").await;
        let error = fetch(&store, &[], &[]).await.unwrap_err().to_string();
        assert_eq!(error, "nacre/custom/a/x.ndb and nacre/custom/b/x.ndb have the same file name: rename one");
        put(&store, "nacre/custom/a/x.ndb", "").await;
        assert!(matches!(fetch(&store, &[], &[]).await, Err(CustomError::Empty { .. })));
    }

    #[tokio::test]
    async fn a_source_that_is_gone_for_now_keeps_its_last_state_and_a_new_one_is_an_error() {
        let store = MemoryDefinitions::default();
        let urls = ["http://127.0.0.1:1/secret.ndb?token=x".to_owned()];
        let entry = CustomEntry::of("secret.ndb".into(), redacted(&urls[0]), None, b"x\n");
        put(&store, &entry.object_key, "x\n").await;
        let (parts, held) = fetch(&store, &urls, std::slice::from_ref(&entry)).await.unwrap();
        assert_eq!((&parts[0].entry, held), (&entry, vec!["secret.ndb".to_owned()]));
        let error = error_chain(&fetch(&store, &urls, &[]).await.unwrap_err());
        assert!(error.contains("could not be downloaded") && !error.contains("token"), "{error}");
    }
}
