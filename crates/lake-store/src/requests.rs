//! How many requests were made, by kind.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, Uri};
use serde::Serialize;

/// How many requests were made of object stores, every attempt counted: what providers charge for,
/// and what takes a round trip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// Reading an object, or a range of it.
    pub get: u64,
    /// Asking about an object.
    pub head: u64,
    /// Writing an object in one go.
    pub put: u64,
    /// One page of a listing.
    pub list: u64,
    /// Deleting objects, a thousand at the most.
    pub delete: u64,
    /// Writing a large object: beginning, each part, the end.
    pub multipart: u64,
    /// Whatever else, such as asking for credentials.
    pub other: u64,
    /// Those of all kinds that were made because an earlier attempt had failed on the way, or was
    /// answered with 429 or 5xx.
    pub failed: u64,
}

impl Requests {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.get + self.head + self.put + self.list + self.delete + self.multipart + self.other
    }
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Head,
    Put,
    List,
    Delete,
    Multipart,
    Other,
}

impl Kind {
    /// Tells by the method and the query, as the protocols of S3 (which Google's XML API shares) and
    /// of Azure Blob Storage have them.
    pub(crate) fn of(method: &Method, uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let names = || {
            query
                .split('&')
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        };
        let has = |name: &str| names().any(|(key, _)| key == name);
        let comp = names().find(|(key, _)| *key == "comp");
        let comp = comp.map_or("", |(_, value)| value);
        match *method {
            Method::GET if has("list-type") || comp == "list" => Self::List,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::PUT | Method::POST | Method::DELETE
                if has("uploads") || has("uploadId") || comp.starts_with("block") =>
            {
                Self::Multipart
            }
            Method::PUT => Self::Put,
            Method::DELETE => Self::Delete,
            Method::POST if has("delete") || comp == "batch" => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// Counts requests.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    by_kind: [AtomicU64; 7],
    failed: AtomicU64,
}

impl Counter {
    pub(crate) fn note(&self, kind: Kind) {
        if let Some(count) = self.by_kind.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn so_far(&self) -> Requests {
        let of = |kind: Kind| {
            let count = self.by_kind.get(kind as usize);
            count.map_or(0, |count| count.load(Ordering::Relaxed))
        };
        Requests {
            get: of(Kind::Get),
            head: of(Kind::Head),
            put: of(Kind::Put),
            list: of(Kind::List),
            delete: of(Kind::Delete),
            multipart: of(Kind::Multipart),
            other: of(Kind::Other),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_as_the_protocols_have_them() {
        for (method, uri, kind) in [
            (Method::GET, "http://h/b/k", Kind::Get),
            (
                Method::GET,
                "http://h/b?list-type=2&prefix=uploads",
                Kind::List,
            ),
            (
                Method::GET,
                "http://h/c?restype=container&comp=list",
                Kind::List,
            ),
            (Method::HEAD, "http://h/b/k", Kind::Head),
            (Method::PUT, "http://h/b/k", Kind::Put),
            (
                Method::PUT,
                "http://h/b/k?partNumber=1&uploadId=x",
                Kind::Multipart,
            ),
            (
                Method::PUT,
                "http://h/c/k?comp=block&blockid=x",
                Kind::Multipart,
            ),
            (Method::PUT, "http://h/c/k?comp=blocklist", Kind::Multipart),
            (Method::POST, "http://h/b/k?uploads", Kind::Multipart),
            (Method::DELETE, "http://h/b/k?uploadId=x", Kind::Multipart),
            (Method::POST, "http://h/b?delete", Kind::Delete),
            (Method::DELETE, "http://h/b/k", Kind::Delete),
            (Method::POST, "http://sts/", Kind::Other),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(Kind::of(&method, &uri), kind, "{method} {uri}");
        }
    }

    #[test]
    fn every_kind_is_counted_by_its_name() {
        let counter = Counter::default();
        for (times, kind) in [
            Kind::Get,
            Kind::Head,
            Kind::Put,
            Kind::List,
            Kind::Delete,
            Kind::Multipart,
            Kind::Other,
        ]
        .into_iter()
        .enumerate()
        {
            (0..=times).for_each(|_| counter.note(kind));
        }
        counter.note_failed();
        let found = counter.so_far();
        let expected = Requests {
            get: 1,
            head: 2,
            put: 3,
            list: 4,
            delete: 5,
            multipart: 6,
            other: 7,
            failed: 1,
        };
        assert_eq!(found, expected);
        assert_eq!(found.total(), 28);
    }
}
