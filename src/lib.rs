//! Python's `socketserver` for Rust.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
pub mod framing;
pub mod net;

pub use error::{Error, Phase, Result};
