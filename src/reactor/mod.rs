//! Event-driven serving on mio: many connections on one thread.
//!
//! Two ways, which Python has too:
//!
//! * [`Selector`] is `selectors.DefaultSelector`: you register sockets and timers, ask what is ready, and do the rest yourself.
//! * [`ReactorServer`] is asyncio's `create_server` with a `Protocol`: you write callbacks, and are given bytes. It has the limits, the
//!   hooks, the handle, the drain and the report of the blocking servers. [`Framed`] gives lines or frames instead of bytes,
//!   [`ReactorUdp`] datagrams, and a [`Reactor`] serves several of them on the same threads.
//!
//! | asyncio | here |
//! |---|---|
//! | `Protocol`, `DatagramProtocol` | [`Protocol`], [`DatagramProtocol`] |
//! | `Transport`, `DatagramTransport` | [`Transport`], [`DatagramTransport`] |
//! | `loop.create_server`, `create_unix_server`, `create_datagram_endpoint` | [`ReactorTcpServer`], `ReactorUnixServer`, [`ReactorUdp`] |
//! | `loop.call_soon_threadsafe(transport.write, …)` | [`TransportHandle::write`] |
//! | a list of transports, and a loop over it | [`Broadcaster`] |
//! | `StreamReader.readline`, `readexactly`; Twisted's `LineReceiver` | [`Framed`] with a decoder of [`framing`](crate::framing) |
//! | `loop.add_reader`, `selectors` | [`Selector`] |
//! | `loop.call_later` | [`Selector::set_timer`]; for a connection, [`Transport::set_timeout`] |
//! | `server.close_clients()`, `abort_clients()` | [`ServerHandle::shutdown`](crate::ServerHandle::shutdown), `shutdown_within` |
//!
//! What is different: callbacks are never called inside one another (asyncio calls `pause_writing` within `write`); every buffer has a limit;
//! a connection that does not read its answers is not read either; a timeout of 60 s for silent peers is on by default; a stop
//! has a deadline, and a report.

mod arena;
mod arrival;
mod broadcaster;
mod channel;
#[cfg(feature = "coroutine")]
mod coroutine;
mod datagram;
mod entry;
mod event_loop;
mod framed;
mod house;
mod inbox;
mod link;
mod mailbox;
mod protocol;
#[allow(clippy::module_inception)] // the type's name is the module's
mod reactor;
mod reactor_handle;
mod ready;
mod running_reactor;
mod seat;
mod selector;
mod selector_waker;
mod server;
mod settings;
mod socket;
mod station;
mod timers;
mod transport;
mod transport_handle;
mod write_status;

pub use arena::Key;
#[cfg(feature = "coroutine")]
pub(crate) use arrival::EventListener;
pub use broadcaster::Broadcaster;
#[cfg(feature = "coroutine")]
pub(crate) use coroutine::serve_handlers;
pub use datagram::{DatagramProtocol, DatagramTransport, ReactorUdp};
pub use framed::{Framed, MessageProtocol};
pub use protocol::Protocol;
#[cfg(feature = "coroutine")]
pub(crate) use reactor::private::Sealed;
pub use reactor::{Reactor, Served};
pub use reactor_handle::ReactorHandle;
pub use ready::Ready;
pub use running_reactor::RunningReactor;
pub use selector::Selector;
pub use selector_waker::SelectorWaker;
#[cfg(unix)]
pub use server::ReactorUnixServer;
#[cfg(feature = "coroutine")]
pub(crate) use server::{check_workers, DEFAULT_CONNECTIONS};
pub use server::{EventLoops, ReactorServer, ReactorTcpServer};
pub use transport::Transport;
pub use transport_handle::TransportHandle;
pub use write_status::WriteStatus;
