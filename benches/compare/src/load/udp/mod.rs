//! The load over UDP. What is lost is counted, and holds nothing up.

pub mod closed_loop;
