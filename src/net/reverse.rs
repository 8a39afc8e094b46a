//! [`getnameinfo`], [`gethostbyaddr`] and [`getfqdn`]: from addresses to names.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::lookup::{checked_timeout, LOOKUPS};
use super::{gethostname, getservbyport, resolve, Family, SocketKind};
use crate::{Error, Phase, Result};

/// The host's and the service's name of a socket address, each in digits where it has none. Python: `socket.getnameinfo`.
///
/// `kind` says whether the port is TCP's or UDP's. `timeout` as with [`resolve`](fn@resolve). For the digits alone there is
/// [`SocketAddr`]'s `to_string`. With the feature `dns-lookup`.
///
/// # Errors
/// [`Error::Resolve`] if the system's resolver fails or all look-up threads hang; [`Error::Timeout`] with [`Phase::Resolve`];
/// [`Error::InvalidSetting`] for a timeout of zero; [`Error::System`] if no thread could be started.
#[cfg_attr(docsrs, doc(cfg(feature = "dns-lookup")))]
pub fn getnameinfo(
    address: SocketAddr,
    kind: SocketKind,
    timeout: impl Into<Option<Duration>>,
) -> Result<(String, String)> {
    let timeout = checked_timeout(timeout)?;
    let ask = move || Ok(dns_lookup::getnameinfo(&address, 0)?.0);
    let host = LOOKUPS.run(&address.to_string(), timeout, ask)?;
    let service = getservbyport(address.port(), kind.protocol()).unwrap_or_else(|_| address.port().to_string());
    Ok((host, service))
}

/// The name of the host with this address. Python: `socket.gethostbyaddr`, without its lists of aliases and addresses.
///
/// `timeout` as with [`resolve`](fn@resolve). Whoever owns the address decides what name it gets: it is no proof of
/// anything until looking the name up leads back to the address. With the feature `dns-lookup`.
///
/// # Errors
/// As [`getnameinfo`]; [`Error::Resolve`] also if the address has no name.
#[cfg_attr(docsrs, doc(cfg(feature = "dns-lookup")))]
pub fn gethostbyaddr(address: impl Into<IpAddr>, timeout: impl Into<Option<Duration>>) -> Result<String> {
    let (address, timeout) = (address.into(), checked_timeout(timeout)?);
    LOOKUPS.run(&address.to_string(), timeout, move || Ok(dns_lookup::lookup_addr(&address)?))
}

/// The full domain name of a host, if it has one, or else the best there is. Python: `socket.getfqdn`.
///
/// Python's rule: the name, or this machine's [`gethostname`] for an empty name, `0.0.0.0` and `::`, is looked up, and its
/// address is looked up back. The result is the name found so, and the name itself where a look-up fails. Aliases are not seen.
///
/// **It can stall for half a minute** where no name server answers, because a name is looked up twice. Nothing in this crate
/// calls it by itself. `timeout` is for both look-ups together; `None` means none.
///
/// With the feature `dns-lookup`.
///
/// # Errors
/// [`Error::Timeout`] with [`Phase::Resolve`]; [`Error::InvalidAddress`] for text that can be no host;
/// [`Error::InvalidSetting`] for a timeout of zero; [`Error::System`] if the host's own name cannot be read or no thread could
/// be started.
#[cfg_attr(docsrs, doc(cfg(feature = "dns-lookup")))]
pub fn getfqdn(name: &str, timeout: impl Into<Option<Duration>>) -> Result<String> {
    let timeout = checked_timeout(timeout)?;
    let name = match name.trim() {
        "" | "0.0.0.0" | "::" => gethostname()?,
        name => name.to_owned(),
    };
    let started = Instant::now();
    let left = || timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
    let found = resolve(&name, 0, Family::Any, SocketKind::Stream, timeout).and_then(|addresses| {
        match (addresses.first(), left()) {
            (None, _) => Ok(name.clone()),
            (Some(_), Some(Duration::ZERO)) => Err(timed_out(&name, timeout)),
            (Some(address), left) => gethostbyaddr(address.ip(), left),
        }
    });
    match found {
        Err(Error::Resolve { .. }) => Ok(name),
        // The second look-up knows only what the first left of the limit.
        Err(Error::Timeout { .. }) => Err(timed_out(&name, timeout)),
        found => found,
    }
}

fn timed_out(name: &str, timeout: Option<Duration>) -> Error {
    Error::Timeout { phase: Phase::Resolve, address: name.to_owned(), after: timeout.unwrap_or_default() }
}
