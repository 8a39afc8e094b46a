//! Event-driven serving.

mod arena;
mod ready;
mod selector;
mod selector_waker;
mod timers;

pub use arena::Key;
pub use ready::Ready;
pub use selector::Selector;
pub use selector_waker::SelectorWaker;
