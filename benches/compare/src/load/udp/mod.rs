//! The load over UDP. What is lost is counted, and holds nothing up.

pub mod burst;
pub mod closed_loop;
pub mod forgery;
pub mod loss;
// The very network that this crate's tests have.
#[path = "../../../../../tests/common/lossy.rs"]
mod lossy;
mod witness;
