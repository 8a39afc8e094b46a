//! Running code that is not ours.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

use super::failure::{Cause, Failure, Stage};
use crate::handler::HandlerResult;

/// Runs user code; a panic becomes a failure of that stage. What the code was given is not used again after a panic, but for the
/// request, which is closed, and the handler, whose `finish` runs and whose author knows that it may.
pub(crate) fn guarded<T>(stage: Stage, code: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| Failure::new(stage, Cause::Panic(message(payload))))
}

/// The same for code that returns a result of its own.
pub(crate) fn guarded_result(stage: Stage, code: impl FnOnce() -> HandlerResult) -> Result<(), Failure> {
    guarded(stage, code)?.map_err(|error| Failure::new(stage, Cause::Error(error)))
}

/// The text of a panic. The payload is user data too: a panic in its drop must not get out.
fn message(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a value that is no text".to_owned(),
    };
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // Whatever panics while it is being dropped must not be dropped again.
        std::mem::forget(second);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_panic_is_told_by_its_text() {
        let text = |failure: Failure| failure.to_string();
        assert_eq!(text(guarded(Stage::Handle, || panic!("{}", 7)).unwrap_err()), "handle panicked: 7");
        assert_eq!(text(guarded(Stage::Setup, || panic!("seven")).unwrap_err()), "setup panicked: seven");
    }

    #[test]
    fn a_payload_that_panics_in_its_drop_is_contained() {
        let failure = guarded(Stage::Handle, || std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(failure.to_string(), "handle panicked: a value that is no text");
    }
}
