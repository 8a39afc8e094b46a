//! [`resolve`] and [`gethostbyname`].

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::endpoint::without_duplicates;
use super::lookup::{checked_timeout, LOOKUPS};
use super::services_file::getservbyname;
use super::target::{is_digits, port_number, Target};
use super::{Family, Service, SocketKind};
use crate::{Error, Result};

/// The socket addresses of a host and a service, at least one, each once, in the system's order of preference.
/// Python: `socket.getaddrinfo`.
///
/// `service` is a port or a service's name; `kind` matters for a name alone, where it says TCP or UDP. `timeout` is total, and
/// `None` means none; see [time limits](super#time-limits). The system is always asked for both families, and what is not of
/// the wanted one is left out afterwards.
///
/// ```
/// use std::time::Duration;
/// use socketserver::net::{resolve, Family, SocketKind};
///
/// let addresses = resolve("localhost", 8080, Family::Any, SocketKind::Stream, Duration::from_secs(5))?;
/// assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 8080));
///
/// let numeric = resolve("::1", "8080", Family::V6, SocketKind::Stream, None)?;
/// assert_eq!(numeric, ["[::1]:8080".parse().unwrap()]);
/// # Ok::<(), socketserver::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidAddress`] for text that can be neither host nor port; [`Error::Resolve`] if the host has no address of the
/// family, the service is not listed or all look-up threads hang; [`Error::Timeout`] with
/// [`Phase::Resolve`](crate::Phase::Resolve); [`Error::InvalidSetting`] for a timeout of zero; [`Error::System`] if the
/// services file cannot be read or no thread started.
#[doc(alias = "getaddrinfo")]
pub fn resolve<'a>(
    host: &str,
    service: impl Into<Service<'a>>,
    family: Family,
    kind: SocketKind,
    timeout: impl Into<Option<Duration>>,
) -> Result<Vec<SocketAddr>> {
    let timeout = checked_timeout(timeout)?;
    let port = port_of(service.into(), kind)?;
    match Target::from_host(host, port) {
        Err(reason) => Err(Error::InvalidAddress { address: host.to_owned(), reason }),
        Ok(Target::Addresses(addresses)) => wanted(host, addresses, family),
        Ok(Target::Name { host, port }) => look_up(&host, &host, port, family, timeout, system_resolver),
    }
}

/// A host's first IPv4 address. Python: `socket.gethostbyname`.
///
/// It knows no IPv6; [`resolve`] does, and gives all addresses. An empty name is an error, not Python's 0.0.0.0.
/// `timeout` as with [`resolve`].
///
/// ```
/// use std::net::Ipv4Addr;
/// use socketserver::net::gethostbyname;
///
/// assert_eq!(gethostbyname("127.0.0.1", None)?, Ipv4Addr::LOCALHOST);
/// # Ok::<(), socketserver::Error>(())
/// ```
///
/// # Errors
/// As [`resolve`].
pub fn gethostbyname(name: &str, timeout: impl Into<Option<Duration>>) -> Result<Ipv4Addr> {
    let addresses = resolve(name, 0, Family::V4, SocketKind::Stream, timeout)?;
    let first = addresses.iter().find_map(|address| match address {
        SocketAddr::V4(address) => Some(*address.ip()),
        SocketAddr::V6(_) => None,
    });
    first.ok_or_else(|| none_of(name, Family::V4))
}

/// Looks a host up within the timeout. `name` is what errors call it.
pub(super) fn look_up(
    name: &str,
    host: &str,
    port: u16,
    family: Family,
    timeout: Option<Duration>,
    resolver: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    let addresses = LOOKUPS.run(name, timeout, move || resolver(&host, port))?;
    wanted(name, addresses, family)
}

/// The system's own resolver.
pub(super) fn system_resolver(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

fn port_of(service: Service<'_>, kind: SocketKind) -> Result<u16> {
    let invalid = |text: &str, reason| Error::InvalidAddress { address: text.to_owned(), reason };
    match service {
        Service::Port(port) => Ok(port),
        Service::Name("") => Err(invalid("", "neither a port nor the name of a service".to_owned())),
        Service::Name(digits) if is_digits(digits) => port_number(digits).map_err(|reason| invalid(digits, reason)),
        Service::Name(name) => getservbyname(name, kind.protocol()),
    }
}

fn wanted(name: &str, mut addresses: Vec<SocketAddr>, family: Family) -> Result<Vec<SocketAddr>> {
    addresses.retain(|address| family.includes(address));
    match addresses.is_empty() {
        true => Err(none_of(name, family)),
        false => Ok(without_duplicates(addresses)),
    }
}

fn none_of(name: &str, family: Family) -> Error {
    Error::Resolve { name: name.to_owned(), source: io::Error::new(io::ErrorKind::NotFound, family.missing()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V6: &str = "[2001:db8::1]:80";
    const V4: &str = "192.0.2.1:80";
    const OTHER_V4: &str = "192.0.2.2:80";

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found(family: Family, answer: &[&str]) -> Result<Vec<SocketAddr>> {
        let answer = addresses(answer);
        look_up("name:80", "name", 80, family, Duration::from_secs(20).into(), move |host, port| {
            assert_eq!((host, port), ("name", 80));
            Ok(answer)
        })
    }

    #[test]
    fn duplicates_go_and_the_order_stays() {
        let answer = [V6, V4, V6, OTHER_V4, V4];
        assert_eq!(found(Family::Any, &answer).unwrap(), addresses(&[V6, V4, OTHER_V4]));
    }

    #[test]
    fn the_family_chooses() {
        assert_eq!(found(Family::V4, &[V6, V4, OTHER_V4]).unwrap(), addresses(&[V4, OTHER_V4]));
        assert_eq!(found(Family::V6, &[V4, V6]).unwrap(), addresses(&[V6]));
    }

    #[test]
    fn a_name_without_the_wanted_family_says_so() {
        for (family, answer, words) in [
            (Family::V4, &[V6][..], "no IPv4 address"),
            (Family::V6, &[V4][..], "no IPv6 address"),
            (Family::Any, &[][..], "no address"),
        ] {
            let error = found(family, answer).unwrap_err();
            assert!(matches!(&error, Error::Resolve { name, .. } if name == "name:80"), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn numbers_and_bad_services() {
        assert_eq!(port_of(80.into(), SocketKind::Stream).unwrap(), 80);
        assert_eq!(port_of("0443".into(), SocketKind::Datagram).unwrap(), 443);
        for bad in ["", "65536", "99999999999999999999"] {
            let error = port_of(bad.into(), SocketKind::Stream).unwrap_err();
            assert!(matches!(error, Error::InvalidAddress { .. }), "{bad:?}: {error}");
        }
    }
}
