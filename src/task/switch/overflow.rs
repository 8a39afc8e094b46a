//! What is said where a coroutine overflows its stack. std says it of its own threads alone.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Once, OnceLock};

use nix::libc::{c_int, c_void, siginfo_t};
use nix::sys::signal::{raise, sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
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
            // SAFETY: `on_fault` does only what a signal handler may (signal-safety(7)): it reads, writes to a descriptor, sets and raises
            // signals.
            if let Ok(action) = unsafe { sigaction(signal, &action) } {
                let _ = before.set(action);
            }
        }
    });
}

extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    let Some((signal, before)) = SIGNALS.into_iter().zip(&BEFORE).find(|(one, _)| *one as c_int == signal) else {
        return;
    };
    // SAFETY: the kernel passes a valid one, as asked for by SA_SIGINFO. Where it is about a fault, the address is set.
    let (is_fault, address) = unsafe { ((*info).si_code > 0, (*info).si_addr() as usize) };
    // All of a stack can be touched, but the guard page.
    let next = match super::stack_in_use().filter(|stack| is_fault && stack.contains(&address)) {
        Some(stack) => {
            say(&stack);
            SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty())
        }
        // It is for whoever handled it before, as he would have had it: with his flags, on the stack that he asked for. Where he is not known
        // yet, the fault comes back here in a moment.
        None => match before.get() {
            Some(before) => *before,
            None => return,
        },
    };
    // SAFETY: who handled it before, or nobody.
    let _ = unsafe { sigaction(signal, &next) };
    // A fault comes again when this returns. What somebody has sent does not.
    if !is_fault {
        let _ = raise(signal);
    }
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
