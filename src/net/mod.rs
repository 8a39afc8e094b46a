//! Addresses and names: what a user writes becomes socket addresses, within a time limit.
//!
//! [`ToEndpoint`] is what every `bind` and `connect` of this crate takes: all that [`std::net::ToSocketAddrs`] takes, but a
//! mistake in it is named, and the text stays for the error messages. The rest are Python's functions of the same names:
//!
//! | Python's `socket` | here |
//! |---|---|
//! | `getaddrinfo` | [`resolve`](fn@resolve), or [`Endpoint::resolve`] for text such as `localhost:80` |
//! | `gethostbyname` | [`gethostbyname`] |
//! | `gethostbyname_ex` | [`resolve`](fn@resolve) with [`Family::V4`]; aliases have no safe call on any system |
//! | `getservbyname`, `getservbyport` | [`getservbyname`], [`getservbyport`] |
//! | `gethostname` | `gethostname`: on Linux and Android always, elsewhere with the feature `dns-lookup` |
//! | `gethostbyaddr`, `getnameinfo`, `getfqdn` | the same names, with the feature `dns-lookup` |
//! | `has_dualstack_ipv6` | [`has_dualstack_ipv6`] |
//!
//! # Time limits
//! No system can cancel a look-up. A look-up with a timeout therefore runs on a thread of its own, which is left behind when the
//! time is over and ends when the system's resolver gives up (usually within half a minute). At most 64 such threads exist at
//! once in a process; a further look-up waits within its own timeout for one of them to end. Without a timeout the look-up runs
//! in the calling thread and may stall it; on a coroutine, in one of the threads for what blocks, and only the coroutine waits, until it has been cut ([`Error::Cut`](crate::Error::Cut)). Services are looked up in a file, on
//! the calling thread. Numeric addresses start no look-up and no thread at all.

mod dualstack;
mod endpoint;
mod family;
#[cfg(any(target_os = "linux", target_os = "android", feature = "dns-lookup"))]
mod hostname;
mod lookup;
pub(crate) mod order;
mod resolve;
#[cfg(feature = "dns-lookup")]
mod reverse;
mod service;
mod services_file;
mod socket_kind;
mod target;
mod to_endpoint;

pub use dualstack::has_dualstack_ipv6;
pub use endpoint::Endpoint;
pub use family::Family;
#[cfg(any(target_os = "linux", target_os = "android", feature = "dns-lookup"))]
pub use hostname::gethostname;
pub use resolve::{gethostbyname, resolve};
#[cfg(feature = "dns-lookup")]
pub use reverse::{getfqdn, gethostbyaddr, getnameinfo};
pub use service::Service;
pub use services_file::{getservbyname, getservbyport};
pub use socket_kind::SocketKind;
pub use to_endpoint::ToEndpoint;
