//! The load bar, small enough for every change: what must hold on any machine, however busy.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::time::Duration;

/// Half a minute is what it takes on a machine that has other things to do; each load has limits of its own that say which hangs.
const WATCHDOG: Duration = Duration::from_secs(600);

#[test]
fn the_quick_load_bar() {
    let program = Command::new(env!("CARGO_BIN_EXE_faults"))
        .args(["bar", "--quick"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let id = program.id().to_string();
    let (done, waiting) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if waiting.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
            // The servers go with it.
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
    });
    let output = program.wait_with_output().expect("the program ends");
    drop(done);
    watchdog.join().unwrap();
    let (table, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{progress}\n{table}", output.status);
}
