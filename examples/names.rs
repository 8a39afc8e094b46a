//! Looks a host up, and services, and says what this machine is called.
//!
//! Shows: `net::resolve`, `gethostbyname`, `getservbyname`, `getservbyport` and `gethostname`, the look-ups within a time limit.
//!
//! Run: `cargo run --example names -- example.com`. Without a host it looks up `localhost`, which needs no network.
//!
//! Expect: a line for each look-up and each address, and exit code 0. A host that does not exist gives one line that says so, and
//! exit code 1. Where the system has no list of services, as in many containers, their lines say that.
//!
//! Python's counterpart: the functions of the same names in `socket`; `net::resolve` is `getaddrinfo`.

mod common;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use common::{say, ExampleResult};
use socketserver::net::{gethostbyname, getservbyname, getservbyport, resolve, Family, SocketKind};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A line with what was found, or why nothing was.
fn tell<T: Display>(question: impl Display, found: socketserver::Result<T>) -> io::Result<()> {
    match found {
        Ok(found) => say(format_args!("{question}: {found}")),
        Err(error) => say(format_args!("{question}: {error}")),
    }
}

fn look_up(host: &str) -> ExampleResult {
    let addresses = resolve(host, 80, Family::Any, SocketKind::Stream, TIMEOUT)?;
    for address in addresses {
        say(format_args!("getaddrinfo({host:?}, 80): {address}"))?;
    }
    // Of IPv4 alone, which not every host has.
    tell(format_args!("gethostbyname({host:?})"), gethostbyname(host, TIMEOUT))?;
    for service in ["http", "https"] {
        tell(format_args!("getservbyname({service:?}, \"tcp\")"), getservbyname(service, "tcp"))?;
    }
    tell("getservbyport(22, \"tcp\")", getservbyport(22, "tcp"))?;
    // Elsewhere it takes the feature `dns-lookup`.
    #[cfg(any(target_os = "linux", target_os = "android", feature = "dns-lookup"))]
    tell("gethostname()", socketserver::net::gethostname())?;
    Ok(())
}

fn main() -> ExitCode {
    common::run_with_arguments("names", "[HOST]    (default localhost)", |arguments| match arguments {
        [] => Some(look_up("localhost")),
        [host] if !host.starts_with('-') => Some(look_up(host)),
        _ => None,
    })
}
