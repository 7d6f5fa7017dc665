//! For tests only: a store that fails on request.
