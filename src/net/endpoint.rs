//! [`Endpoint`].

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::lookup::checked_timeout;
use super::resolve::{look_up, system_resolver};
use super::target::Target;
use super::Family;
use crate::{Error, Result};

/// An address that was checked but not yet looked up: socket addresses, or a host and a port. It keeps the text it was made of.
///
/// [`ToEndpoint`](super::ToEndpoint) makes it; parsing text does the same.
///
/// ```
/// use std::time::Duration;
/// use socketserver::net::Endpoint;
///
/// let endpoint: Endpoint = "localhost:8080".parse()?;
/// assert_eq!(endpoint.to_string(), "localhost:8080");
/// for address in endpoint.resolve(Duration::from_secs(5))? {
///     assert_eq!(address.port(), 8080);
/// }
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Endpoint {
    text: String,
    target: Target,
}

impl Endpoint {
    /// The socket addresses it stands for, at least one, each once, in the order given or in the system's order of preference.
    ///
    /// Known addresses come back at once, whatever the timeout. A name is looked up at every call; with a timeout, on a thread of
    /// its own (see [time limits](super#time-limits)); with `None`, in the calling thread, for as long as the system takes.
    ///
    /// # Errors
    /// [`Error::Resolve`] if the name has no address or all look-up threads hang; [`Error::Timeout`] with
    /// [`Phase::Resolve`](crate::Phase::Resolve); [`Error::InvalidSetting`] for a timeout of zero; [`Error::System`] if no
    /// thread could be started.
    pub fn resolve(&self, timeout: impl Into<Option<Duration>>) -> Result<Vec<SocketAddr>> {
        let timeout = checked_timeout(timeout)?;
        match &self.target {
            Target::Addresses(addresses) => Ok(addresses.clone()),
            Target::Name { host, port } => look_up(&self.text, host, *port, Family::Any, timeout, system_resolver),
        }
    }

    /// Whether the addresses are known without a look-up, so that [`resolve`](Endpoint::resolve) cannot block.
    pub fn is_numeric(&self) -> bool {
        matches!(self.target, Target::Addresses(_))
    }

    pub(super) fn from_address(address: SocketAddr) -> Endpoint {
        Endpoint { text: address.to_string(), target: Target::Addresses(vec![address]) }
    }

    pub(super) fn from_addresses(addresses: &[SocketAddr]) -> Result<Endpoint> {
        if addresses.is_empty() {
            return Err(Error::InvalidAddress {
                address: String::new(),
                reason: "the list of addresses is empty".to_owned(),
            });
        }
        let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        Ok(Endpoint { text: texts.join(", "), target: Target::Addresses(without_duplicates(addresses.to_vec())) })
    }

    pub(super) fn from_host(host: &str, port: u16) -> Result<Endpoint> {
        let text = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        match Target::from_host(host, port) {
            Ok(target) => Ok(Endpoint { text, target }),
            Err(reason) => Err(Error::InvalidAddress { address: text, reason }),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Endpoint> {
        match Target::from_text(text) {
            Ok(target) => Ok(Endpoint { text: text.to_owned(), target }),
            Err(reason) => Err(Error::InvalidAddress { address: text.to_owned(), reason }),
        }
    }
}

/// Each address once, at its first place.
pub(super) fn without_duplicates(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::with_capacity(addresses.len());
    addresses.retain(|address| seen.insert(*address));
    addresses
}
