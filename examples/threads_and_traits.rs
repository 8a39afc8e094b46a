//! Two exercises that come before the servers: threads that are waited for, and methods that are taken over or replaced.
//!
//! Shows: `std::thread::scope`, in which threads begin and end; traits with default methods. The crate's `Handler` is such a
//! trait: it has a `setup` and a `finish` that do nothing, which a handler takes over by saying nothing of them or replaces by its own, and
//! a `handle` that each has to write.
//!
//! Run: `cargo run --example threads_and_traits`.
//!
//! Expect: `thread1 ++++++++` and `thread2 ========` five times each, in an order that differs from run to run; `main END!`, always after
//! them; `handsome`, `pretty`, `I love python`.
//!
//! Python's counterpart: a tutorial's exercises with `threading.Thread`, `start` and `join`, and with `class child2(dad, mom)`, which
//! overrides a method of `dad`.

mod common;

use std::io;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use common::say;

trait Dad {
    fn dad_look(&self) -> &str {
        "handsome"
    }

    fn do_you_know(&self, lecture: &str) -> String {
        format!("I don't know {lecture}")
    }
}

trait Mom {
    fn mom_look(&self) -> &str {
        "pretty"
    }
}

/// Takes over everything, as `class child1(dad, mom): pass`.
struct Child1;

impl Dad for Child1 {}
impl Mom for Child1 {}

/// Overrides one method.
struct Child2;

impl Dad for Child2 {
    fn do_you_know(&self, lecture: &str) -> String {
        format!("I love {lecture}")
    }
}
impl Mom for Child2 {}

fn five_times(line: &str) -> io::Result<()> {
    for _ in 0..5 {
        say(line)?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn main() -> ExitCode {
    common::run("threads_and_traits", || {
        thread::scope(|scope| {
            let threads = ["thread1 ++++++++", "thread2 ========"].map(|line| scope.spawn(move || five_times(line)));
            for thread in threads {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            }
            io::Result::Ok(())
        })?;
        say("main END!")?;

        say(Child1.dad_look())?;
        say(Child1.mom_look())?;
        say(Child2.do_you_know("python"))?;
        Ok(())
    })
}
