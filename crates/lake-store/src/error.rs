//! What keeps a place from being opened.

/// Result of opening a place.
pub type Result<T> = std::result::Result<T, Error>;

/// What keeps a place from being opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text names no place that can be opened.
    #[error("{location}: {reason}")]
    Location {
        /// The text, or what can be shown of it.
        location: String,
        /// Why, and what to write instead.
        reason: String,
    },
    /// The environment does not say how to reach an object store, or says nonsense.
    #[error("{place} cannot be opened: {source}")]
    Open {
        /// The bucket.
        place: String,
        /// What the client library has to say.
        source: object_store::Error,
    },
}
