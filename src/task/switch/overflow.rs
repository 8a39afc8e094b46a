//! What is said where a coroutine overflows its stack. std says it of its own threads alone.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Once, OnceLock};

use nix::libc::{c_int, c_void, siginfo_t};
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::unistd::write;

/// Which of the two a touched guard page is depends on the system.
const SIGNALS: [Signal; 2] = [Signal::SIGSEGV, Signal::SIGBUS];

/// Who handled them before, such as std.
static BEFORE: [OnceLock<SigAction>; 2] = [OnceLock::new(), OnceLock::new()];

/// Has overflows told from now on, once for the whole process. Where that cannot be had, one ends the process without a word.
pub(super) fn tell() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // On the thread's alternate stack, which std gives to every thread that it starts: its own has no room left.
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let action = SigAction::new(SigHandler::SigAction(on_fault), flags, SigSet::empty());
        for (signal, before) in SIGNALS.into_iter().zip(&BEFORE) {
            // SAFETY: `on_fault` does only what a signal handler may (signal-safety(7)): it reads, writes to a descriptor, and sets
            // signals. What was set before was set by somebody who keeps to the same rule.
            if let Ok(action) = unsafe { sigaction(signal, &action) } {
                let _ = before.set(action);
            }
        }
    });
}

extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid one, as asked for by SA_SIGINFO, and its address is set for these two signals.
    let address = unsafe { (*info).si_addr() } as usize;
    // All of a stack can be touched, but the guard page.
    match super::stack_in_use().filter(|stack| stack.contains(&address)) {
        Some(stack) => say(&stack),
        None => match before(signal) {
            Some(SigHandler::SigAction(handler)) => return handler(signal, info, context),
            Some(SigHandler::Handler(handler)) => return handler(signal),
            _ => {}
        },
    }
    // The touch is made again after this, and ends the process.
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in SIGNALS {
        // SAFETY: no code of anybody's is called.
        let _ = unsafe { sigaction(signal, &default) };
    }
}

fn before(signal: c_int) -> Option<SigHandler> {
    let known = SIGNALS.iter().zip(&BEFORE).find(|(one, _)| **one as c_int == signal);
    known.and_then(|(_, before)| before.get()).map(SigAction::handler)
}

fn say(stack: &Range<usize>) {
    // No allocation: who holds the allocator's lock may be the very code that was interrupted.
    let mut text = [0; 256];
    let room = text.len();
    let mut rest = &mut text[..];
    let _ = write!(
        rest,
        "\na handler on a coroutine has overflowed its stack ({} KiB with its guard page): `stack_size` of the server's builder makes it larger\n",
        stack.len() / 1024,
    );
    let length = room - rest.len();
    let _ = write(io::stderr(), text.get(..length).unwrap_or_default());
}
