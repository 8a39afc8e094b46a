//! See the library beside this.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    faults::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("faults: needs Linux");
    ExitCode::from(2)
}
