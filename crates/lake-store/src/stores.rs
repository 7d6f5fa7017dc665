//! Opening stores.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use crate::durable::Durable;
use crate::error::{Error, Result};
use crate::location::{Bucket, Provider, shown};
use crate::requests::{Counter, Requests};
use crate::secrets::Secrets;
use crate::transport::Transport;

/// How often a request is made in all, where `AWS_MAX_ATTEMPTS` does not say it.
const ATTEMPTS: usize = 9;
/// After so long, a request is not made again.
const RETRIED_FOR: Duration = Duration::from_secs(120);
/// Who does not answer the telephone for so long is not there.
const CONNECT: Duration = Duration::from_secs(10);

/// The variables that say how to reach S3 without encryption, in the order in which they count.
const S3_ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// The stores that this process works with, each of them opened once.
///
/// It is cheap to clone, and all clones share what is open and what is counted.
#[derive(Clone, Default)]
pub struct Stores(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The environment variables that say how to reach stores.
    variables: Vec<(String, String)>,
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    local: std::sync::OnceLock<Arc<dyn ObjectStore>>,
    counter: Arc<Counter>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of variables are secrets.
        let opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("Stores").field(&opened.keys()).finish()
    }
}

impl Stores {
    /// Stores that are reached as these environment variables say; those that do not begin with
    /// `AWS_`, `GOOGLE_` or `AZURE_` are left aside.
    #[must_use]
    pub fn new(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let is_meant = |name: &str| {
            ["AWS_", "GOOGLE_", "AZURE_"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        let mut variables: Vec<_> = environment
            .into_iter()
            .filter(|(name, value)| is_meant(name) && !value.is_empty())
            .collect();
        // Of two names for one setting, always the same counts.
        variables.sort();
        Self(Arc::new(Inner {
            variables,
            ..Inner::default()
        }))
    }

    /// The file system of this machine, with absolute paths.
    #[must_use]
    pub fn local(&self) -> Arc<dyn ObjectStore> {
        let local = self.0.local.get_or_init(|| Arc::new(Durable::new()));
        Arc::clone(local)
    }

    /// A bucket.
    ///
    /// # Errors
    /// [`Error::Open`] where the environment does not say how to reach it. Nothing is asked of the
    /// store itself.
    pub fn bucket(&self, bucket: &Bucket) -> Result<Arc<dyn ObjectStore>> {
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(&bucket.prefix()) {
            return Ok(Arc::clone(store));
        }
        let store = self.connect(bucket)?;
        opened.insert(bucket.prefix(), Arc::clone(&store));
        Ok(store)
    }

    /// The bucket that a URL begins with, and where in it the URL leads.
    ///
    /// # Errors
    /// As [`Bucket::split`] and [`Stores::bucket`].
    pub fn at(&self, url: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let (bucket, key) = Bucket::split(url)?;
        Ok((self.bucket(&bucket)?, key))
    }

    /// Takes a store for a bucket, instead of opening it.
    pub fn insert(&self, bucket: &Bucket, store: Arc<dyn ObjectStore>) {
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert(bucket.prefix(), store);
    }

    /// How many requests were made of all buckets until now.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.0.counter.so_far()
    }

    fn connect(&self, bucket: &Bucket) -> Result<Arc<dyn ObjectStore>> {
        let failed = |source| Error::Open {
            place: bucket.prefix(),
            source,
        };
        // Patience is the transport's.
        let client = ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT);
        let transport = Transport {
            counter: Arc::clone(&self.0.counter),
            secrets: Arc::new(Secrets::of(&self.0.variables)),
        };
        Ok(match bucket.provider {
            Provider::S3 => {
                self.refuse_plain_text(bucket)?;
                let mut builder = AmazonS3Builder::new()
                    .with_client_options(client)
                    .with_retry(self.retry(bucket)?)
                    .with_http_connector(transport);
                for (key, value) in self.settings::<AmazonS3ConfigKey>("AWS_") {
                    builder = builder.with_config(key, value);
                }
                if let Some(endpoint) = self.endpoint_of(bucket) {
                    builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
                }
                let store = builder.with_bucket_name(bucket.name()).build();
                Arc::new(store.map_err(failed)?)
            }
            Provider::Google => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_client_options(client)
                    .with_retry(self.retry(bucket)?)
                    .with_http_connector(transport);
                for (key, value) in self.settings::<GoogleConfigKey>("GOOGLE_") {
                    builder = builder.with_config(key, value);
                }
                let store = builder.with_bucket_name(bucket.name()).build();
                Arc::new(store.map_err(failed)?)
            }
            Provider::Azure => {
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_client_options(client)
                    .with_retry(self.retry(bucket)?)
                    .with_http_connector(transport);
                for (key, value) in self.settings::<AzureConfigKey>("AZURE_") {
                    builder = builder.with_config(key, value);
                }
                let store = builder.with_container_name(bucket.name()).build();
                Arc::new(store.map_err(failed)?)
            }
        })
    }

    /// Where S3 is, where a variable says it, and which one.
    fn endpoint(&self) -> Option<(&'static str, &str)> {
        let mut endpoints = S3_ENDPOINTS.iter();
        endpoints.find_map(|name| Some((*name, self.variable(name)?)))
    }

    /// The endpoint of a bucket that is a part of the host's name: the client library takes an
    /// endpoint as it is then, so that all buckets would be the same.
    fn endpoint_of(&self, bucket: &Bucket) -> Option<String> {
        let (_, endpoint) = self.endpoint()?;
        let (scheme, host) = endpoint.split_once("://")?;
        let is_meant = self.says_yes("AWS_VIRTUAL_HOSTED_STYLE_REQUEST");
        let host = host.trim_end_matches('/');
        is_meant.then(|| format!("{scheme}://{}.{host}", bucket.name()))
    }

    fn says_yes(&self, name: &str) -> bool {
        let value = self.variable(name).unwrap_or_default().to_lowercase();
        ["true", "1", "yes", "on", "y", "t"].contains(&value.as_str())
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let mut variables = self.0.variables.iter();
        let (_, value) = variables.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// What the variables with this beginning say that the client library knows.
    fn settings<K: std::str::FromStr>(&self, beginning: &str) -> impl Iterator<Item = (K, String)> {
        let meant = self.0.variables.iter();
        let meant = meant.filter(move |(name, _)| name.starts_with(beginning));
        meant.filter_map(|(name, value)| {
            let key = name.to_ascii_lowercase().parse().ok()?;
            Some((key, value.clone()))
        })
    }

    fn retry(&self, bucket: &Bucket) -> Result<RetryConfig> {
        const NAME: &str = "AWS_MAX_ATTEMPTS";
        let attempts = match self.variable(NAME) {
            None => ATTEMPTS,
            Some(text) => match text.parse() {
                Ok(attempts @ 1..) => attempts,
                _ => {
                    return Err(Error::Location {
                        location: bucket.prefix(),
                        reason: format!("{NAME} is {text}, and has to be a number from 1 on"),
                    });
                }
            },
        };
        Ok(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(10),
                base: 2.0,
            },
            max_retries: attempts - 1,
            retry_timeout: RETRIED_FOR,
        })
    }

    /// Data and, without encryption, what requests are signed with can be read and changed on the
    /// way: somebody has to want that.
    fn refuse_plain_text(&self, bucket: &Bucket) -> Result<()> {
        match self.endpoint() {
            Some((name, endpoint))
                if endpoint.starts_with("http://") && !self.says_yes("AWS_ALLOW_HTTP") =>
            {
                Err(Error::Location {
                    location: bucket.prefix(),
                    reason: format!(
                        "{name} is {}, without encryption; set AWS_ALLOW_HTTP=true where the \
                         network in between can be trusted, or use https://",
                        shown(endpoint)
                    ),
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores(variables: &[(&str, &str)]) -> Stores {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Stores::new(variables.iter().map(owned))
    }

    fn bucket(url: &str) -> Bucket {
        Bucket::split(url).unwrap().0
    }

    #[test]
    fn an_endpoint_without_encryption_has_to_be_allowed() {
        let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000");
        let error = stores(&[endpoint]).bucket(&bucket("s3://b")).unwrap_err();
        assert!(error.to_string().contains("AWS_ALLOW_HTTP=true"), "{error}");
        let allowed = stores(&[endpoint, ("AWS_ALLOW_HTTP", "true")]);
        allowed.bucket(&bucket("s3://b")).unwrap();
        // Nothing of this concerns others.
        let google = stores(&[endpoint]).bucket(&bucket("gs://b"));
        let said = google.err().map(|error| error.to_string());
        assert!(said.is_none_or(|said| !said.contains("AWS")));
    }

    #[test]
    fn buckets_in_the_name_of_the_host_are_different_ones() {
        let stores = stores(&[
            ("AWS_ENDPOINT_URL", "https://host:9000/"),
            ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
        ]);
        let endpoint = |url: &str| stores.endpoint_of(&bucket(url));
        assert_eq!(endpoint("s3://a").unwrap(), "https://a.host:9000");
        assert_eq!(endpoint("s3://b").unwrap(), "https://b.host:9000");
        // Also the one that is called as the host is.
        assert_eq!(endpoint("s3://host").unwrap(), "https://host.host:9000");
    }

    #[test]
    fn a_bucket_is_opened_once() {
        let stores = stores(&[("AWS_REGION", "eu-central-1")]);
        let (one, key) = stores.at("s3://b/a/b").unwrap();
        let (other, _) = stores.at("s3://b/c").unwrap();
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(key.as_ref(), "a/b");
        let (third, _) = stores.at("s3://c").unwrap();
        assert!(!Arc::ptr_eq(&one, &third));
    }

    #[test]
    fn azure_needs_the_name_of_an_account() {
        let error = stores(&[]).bucket(&bucket("az://c")).unwrap_err();
        assert!(
            error.to_string().to_lowercase().contains("account"),
            "{error}"
        );
        let named = stores(&[
            ("AZURE_STORAGE_ACCOUNT_NAME", "acc"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0LWNhbmFyeQ=="),
        ]);
        named.bucket(&bucket("az://c")).unwrap();
        assert!(!format!("{named:?}").contains("c2VjcmV0"));
    }

    #[test]
    fn a_number_of_attempts_that_is_none_is_refused() {
        for text in ["0", "many", "-1"] {
            let error = stores(&[("AWS_MAX_ATTEMPTS", text)])
                .bucket(&bucket("s3://b"))
                .unwrap_err();
            assert!(error.to_string().contains("AWS_MAX_ATTEMPTS"), "{error}");
        }
    }
}
