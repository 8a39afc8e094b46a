//! [`ToEndpoint`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::Endpoint;
use crate::Result;

/// An address as a user writes it. Python: the `(host, port)` tuples of `socket` and `socketserver`.
///
/// It takes what [`std::net::ToSocketAddrs`] takes: socket addresses, alone or several; pairs of an IP address or a host name
/// and a port; and text:
///
/// | text | stands for |
/// |---|---|
/// | `127.0.0.1:0` | an IPv4 address |
/// | `[::1]:80`, `[fe80::1%2]:80`, `[fe80::1%eth0]:80` | an IPv6 address, with an interface where it needs one |
/// | `localhost:8080`, `example.org:8080` | a name, looked up when the endpoint is resolved |
/// | `example.org:http` | a service's name in place of the port ([`getservbyname`](super::getservbyname) of any protocol) |
///
/// All interfaces are written out, `0.0.0.0:80` or `[::]:80`; an empty host is an error.
///
/// ```
/// use socketserver::net::ToEndpoint;
///
/// assert!(("127.0.0.1", 80).to_endpoint()?.is_numeric());
/// assert!("[::1]:80".to_endpoint()?.is_numeric());
/// assert!(!"localhost:80".to_endpoint()?.is_numeric());
///
/// let error = "127.0.0.1".to_endpoint().unwrap_err();
/// assert!(error.to_string().contains("there is no port"));
/// # Ok::<(), socketserver::Error>(())
/// ```
pub trait ToEndpoint {
    /// Checks the address without looking its host up, so it never blocks on the network. A service's name in place of the
    /// port reads the services file.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`](crate::Error::InvalidAddress), which says what is wrong.
    fn to_endpoint(&self) -> Result<Endpoint>;
}

macro_rules! socket_addresses {
    ($($type:ty),*) => {$(
        impl ToEndpoint for $type {
            fn to_endpoint(&self) -> Result<Endpoint> {
                Ok(Endpoint::from_address((*self).into()))
            }
        }
    )*};
}

socket_addresses!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToEndpoint for [SocketAddr] {
    fn to_endpoint(&self) -> Result<Endpoint> {
        Endpoint::from_addresses(self)
    }
}

impl<const N: usize> ToEndpoint for [SocketAddr; N] {
    fn to_endpoint(&self) -> Result<Endpoint> {
        Endpoint::from_addresses(self)
    }
}

impl ToEndpoint for Vec<SocketAddr> {
    fn to_endpoint(&self) -> Result<Endpoint> {
        Endpoint::from_addresses(self)
    }
}

impl ToEndpoint for (&str, u16) {
    fn to_endpoint(&self) -> Result<Endpoint> {
        Endpoint::from_host(self.0, self.1)
    }
}

impl ToEndpoint for (String, u16) {
    fn to_endpoint(&self) -> Result<Endpoint> {
        Endpoint::from_host(&self.0, self.1)
    }
}

impl ToEndpoint for str {
    fn to_endpoint(&self) -> Result<Endpoint> {
        self.parse()
    }
}

impl ToEndpoint for String {
    fn to_endpoint(&self) -> Result<Endpoint> {
        self.parse()
    }
}

impl ToEndpoint for Endpoint {
    fn to_endpoint(&self) -> Result<Endpoint> {
        Ok(self.clone())
    }
}

impl<T: ToEndpoint + ?Sized> ToEndpoint for &T {
    fn to_endpoint(&self) -> Result<Endpoint> {
        (**self).to_endpoint()
    }
}
