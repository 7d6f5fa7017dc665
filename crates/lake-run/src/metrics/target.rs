//! Where metrics go.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use lake_store::{NotPosted, shown};
use url::Url;

use super::{Family, otlp, text};

/// So long somebody may wait for a server of metrics who waits for a run.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where metrics go.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// A file in the text format of Prometheus, which is replaced.
    File(PathBuf),
    /// A Pushgateway.
    Pushgateway(Url),
    /// A server of OTLP over HTTP.
    Otlp(Url),
}

/// As it may be said, without passwords.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Pushgateway(url) => shown(url.as_str()).fmt(f),
            Self::Otlp(url) => write!(f, "otlp+{}", shown(url.as_str())),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Why metrics were not delivered.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// What is there already is something else, or a server has left something out.
    #[error("{0}")]
    Refused(String),
    /// A server has not taken them.
    #[error(transparent)]
    Post(#[from] NotPosted),
}

impl Target {
    /// Understands a text: the URL of a Pushgateway (`http://…`, `https://…`), that of a server of
    /// OTLP (`otlp+http://…`, `otlp+https://…`), and anything else as a file, in `directory` where
    /// its path is not absolute.
    ///
    /// # Errors
    /// What is wrong with it, and what it may be.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "metrics cannot go to {}: {why}; name a file, http(s)://host:port of a Pushgateway, \
                 or otlp+http(s)://host:4318",
                shown(text)
            ))
        };
        let (is_otlp, url) = match text.strip_prefix("otlp+") {
            Some(url) => (true, url),
            None => (false, text),
        };
        if !url.contains("://") {
            return match text.trim().is_empty() {
                true => refuse("it is empty"),
                false => Ok(Self::File(directory.join(text))),
            };
        }
        let url: Url = match url.parse() {
            Ok(url) => url,
            Err(error) => return refuse(&error.to_string()),
        };
        match url.scheme() {
            "http" | "https" if is_otlp => Ok(Self::Otlp(url)),
            "http" | "https" => Ok(Self::Pushgateway(url)),
            _ => refuse("there is nothing that takes them by such a URL"),
        }
    }

    /// Delivers the families of a pipeline, measured `at` this time.
    ///
    /// # Errors
    /// Why not. A file is as it was then.
    pub async fn deliver(
        &self,
        pipeline: &str,
        families: &[Family],
        at: DateTime<Utc>,
    ) -> Result<(), Undelivered> {
        match self {
            Self::File(path) => replace(path, pipeline, families),
            Self::Pushgateway(url) => {
                let body = text::write(pipeline, families);
                let url = group(url, pipeline);
                lake_store::post(&url, text::CONTENT_TYPE, body, PATIENCE).await?;
                Ok(())
            }
            Self::Otlp(url) => {
                let body = otlp::request(pipeline, families, at).to_string();
                let url = below(url, "v1/metrics");
                let answer = lake_store::post(&url, "application/json", body, PATIENCE).await?;
                match otlp::rejected(&answer) {
                    Some(said) => Err(Undelivered::Refused(said)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Puts a new file in the place of the old one: whoever reads it meanwhile sees one of them.
fn replace(path: &Path, pipeline: &str, families: &[Family]) -> Result<(), Undelivered> {
    // A link stays one. A pipe or a terminal would never come to an end, and cannot be replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(Undelivered::Refused(
            "it is there, and is no file".to_owned(),
        ));
    }
    let before = match fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let after = text::merge(&before, pipeline, families).map_err(Undelivered::Refused)?;
    // Collectors of such files look at `*.prom` alone.
    let name = format!(".lake-metrics-{}.tmp", uuid::Uuid::new_v4());
    let new = path.with_file_name(name);
    let written = fs::write(&new, after).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // It is in nobody's way where it cannot be removed either.
        let _ = fs::remove_file(&new);
    }
    written.map_err(Undelivered::from)
}

/// The group of a pipeline in a Pushgateway: one group for each, whose members a POST replaces.
fn group(url: &Url, pipeline: &str) -> Url {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let value = match !pipeline.is_empty() && pipeline.chars().all(plain) {
        true => format!("pipeline/{pipeline}"),
        // The name of a file can have any letters in it; of an empty value, there is the sign of padding.
        false if pipeline.is_empty() => "pipeline@base64/=".to_owned(),
        false => format!(
            "pipeline@base64/{}",
            BASE64_URL_SAFE_NO_PAD.encode(pipeline)
        ),
    };
    below(url, &format!("metrics/job/lake/{value}"))
}

/// A place below a URL; the URL itself where it ends like this already.
fn below(url: &Url, place: &str) -> Url {
    let mut url = url.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(&format!("/{place}")) {
        url.set_path(&format!("{path}/{place}"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, String> {
        Target::parse(text, Path::new("/srv"))
    }

    #[test]
    fn a_target_is_a_file_a_pushgateway_or_a_server_of_otlp() {
        let file = |path: &str| Ok(Target::File(path.into()));
        assert_eq!(parse("metrics/lake.prom"), file("/srv/metrics/lake.prom"));
        assert_eq!(parse("/var/lake.prom"), file("/var/lake.prom"));
        let url = |text: &str| text.parse::<Url>().unwrap();
        assert_eq!(
            parse("http://push:9091"),
            Ok(Target::Pushgateway(url("http://push:9091")))
        );
        assert_eq!(
            parse("otlp+https://collector:4318"),
            Ok(Target::Otlp(url("https://collector:4318")))
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_left_alone_and_a_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let refused = replace(directory.path(), "p", &[]).unwrap_err();
        assert!(refused.to_string().contains("is no file"), "{refused}");
        let refused = replace(Path::new("/dev/null"), "p", &[]).unwrap_err();
        assert!(refused.to_string().contains("is no file"), "{refused}");
        let (file, link) = (directory.path().join("a.prom"), directory.path().join("b"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "p", &[]).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn other_targets_are_refused_without_their_passwords() {
        for text in [
            "",
            " ",
            "ftp://u:hunter2@h/x",
            "otlp+grpc://u:hunter2@h",
            "http://",
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains("otlp+http(s)://host:4318"), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let target = parse("https://u:hunter2@push/?token=hunter2").unwrap();
        assert_eq!(target.to_string(), "https://…@push/?…");
        assert!(!format!("{target:?}").contains("hunter2"));
    }

    #[test]
    fn a_pipeline_has_a_group_of_its_own_in_a_pushgateway() {
        let group = |url: &str, pipeline: &str| group(&url.parse().unwrap(), pipeline).to_string();
        assert_eq!(
            group("http://push:9091", "utility"),
            "http://push:9091/metrics/job/lake/pipeline/utility"
        );
        assert_eq!(
            group("https://push/gateway/", "a-b_1"),
            "https://push/gateway/metrics/job/lake/pipeline/a-b_1"
        );
        assert_eq!(
            group("http://push", "a/ü.b"),
            "http://push/metrics/job/lake/pipeline@base64/YS_DvC5i"
        );
        assert_eq!(
            group("http://push", ""),
            "http://push/metrics/job/lake/pipeline@base64/="
        );
        let otlp = |url: &str| below(&url.parse().unwrap(), "v1/metrics").to_string();
        assert_eq!(otlp("http://h:4318"), "http://h:4318/v1/metrics");
        assert_eq!(otlp("http://h/v1/metrics"), "http://h/v1/metrics");
        assert_eq!(otlp("http://h/otel/"), "http://h/otel/v1/metrics");
    }

    #[tokio::test]
    async fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lake.prom");
        let target = Target::File(path.clone());
        let at = DateTime::default();
        target.deliver("utility", &[], at).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        fs::write(&path, "something else\n").unwrap();
        target.deliver("utility", &[], at).await.unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "something else\n");
        let absent = Target::File(directory.path().join("absent/lake.prom"));
        absent.deliver("utility", &[], at).await.unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
