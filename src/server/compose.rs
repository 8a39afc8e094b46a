//! From settings to a server.

use std::any::TypeId;
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::acceptor::Acceptor;
use super::builder::Builder;
use super::dispatch::Dispatch;
use super::jobs::{is_sequential, Jobs};
use super::listener::{Listener, Readiness, Source};
use super::overload::Overload;
use super::reception::Reception;
use super::service::{erase, Service};
use super::service_actions::ServiceActions;
use super::{Server, State, LISTENER};
use crate::address::Address;
use crate::connection::{not_zero, RequestContext, MOST_PACKET_SIZE, MOST_PACKET_SIZE_UNIX};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::handler::Handler;
use crate::poller::Poller;
use crate::sync::{lock, Mutex};
use crate::sys;

/// How many datagrams wait for a thread of a UDP server. In the worst case, all of them of the greatest size, they are 64 MiB.
const DEFAULT_QUEUE: usize = 1024;

/// The longest farewell of [`Overload::Reject`], in bytes: what any socket's empty buffer takes at once.
const MOST_FAREWELL: usize = 4096;

/// recvmmsg(2) takes no more (UIO_MAXIOV).
const MOST_RECEIVE_BATCH: usize = 1024;

/// Descriptors left to the rest of the program when the ceiling on connections is derived from the descriptor limit.
const SPARE_DESCRIPTORS: usize = 64;

/// The accepting side of a server, whoever serves what it accepts.
pub(crate) struct Front<S: Source> {
    pub(crate) acceptor: Acceptor<S>,
    pub(crate) service_actions: Option<ServiceActions>,
}

impl<L: Listener, D> Builder<L, D> {
    /// Finds settings that no server can use.
    pub(crate) fn check_common(&self) -> Result<()> {
        let none = "no request could ever be served";
        if self.max_connections == Some(0) {
            return Err(invalid("max_connections", 0, none));
        }
        if self.max_per_address == Some(0) {
            return Err(invalid("max_per_address", 0, none));
        }
        if let Overload::Reject(farewell) = self.overload {
            if farewell.len() > MOST_FAREWELL {
                let value = format_args!("a farewell of {} bytes", farewell.len());
                return Err(invalid("overload", value, "4 KiB are the most"));
            }
        }
        // What has an IP address is UDP.
        let (most, reason) = if TypeId::of::<L::Addr>() == TypeId::of::<SocketAddr>() {
            (MOST_PACKET_SIZE, "no UDP datagram has more than 65,535 bytes")
        } else {
            (MOST_PACKET_SIZE_UNIX, "16 MiB are the most")
        };
        if self.stream.datagrams.max_packet_size > most {
            return Err(invalid("max_packet_size", self.stream.datagrams.max_packet_size, reason));
        }
        if !(1..=MOST_RECEIVE_BATCH).contains(&self.stream.datagrams.receive_batch) {
            let reason = "one system call receives 1 to 1,024 datagrams";
            return Err(invalid("receive_batch", self.stream.datagrams.receive_batch, reason));
        }
        if let Some(keepalive) = &self.stream.keepalive {
            keepalive.check()?;
        }
        if self.options.mode > 0o777 {
            let reason = "a mode is nine bits, such as 0o660 (was it meant to be octal?)";
            return Err(invalid("mode", format_args!("0o{:o}", self.options.mode), reason));
        }
        if self.options.reuse_port && cfg!(not(unix)) {
            return Err(invalid("reuse_port", true, "this system cannot share a port safely"));
        }
        if let Some(group) = self.options.multicast.iter().find(|group| !group.is_multicast()) {
            return Err(invalid("multicast", group, "a group's address is in 224.0.0.0/4 or ff00::/8"));
        }
        not_zero("read_timeout", self.stream.read_timeout)?;
        not_zero("write_timeout", self.stream.write_timeout)?;
        not_zero("request_deadline", self.stream.request_deadline)?;
        if self.service_actions.as_ref().is_some_and(|(interval, _)| interval.is_zero()) {
            return Err(invalid("service_actions interval", "zero", "the server would do nothing else"));
        }
        Ok(())
    }

    /// Finds settings that no handler can be served with.
    pub(crate) fn check_handlers(&self) -> Result<()> {
        for (setting, bytes) in [
            ("max_line", self.stream.max_line),
            ("max_frame", self.stream.max_frame),
            ("write_queue", self.stream.write_queue),
        ] {
            if bytes == 0 {
                return Err(invalid(setting, 0, "nothing would ever fit"));
            }
        }
        if self.prepare_timeout.is_zero() {
            return Err(invalid("prepare_timeout", "zero", "nothing could ever be prepared in time"));
        }
        Ok(())
    }

    /// What a stop and its report are about. `connections` is the ceiling where none is set.
    pub(crate) fn control(&self, address: Address, connections: usize) -> Control {
        let limit = self.max_connections.unwrap_or_else(|| within_descriptors(connections));
        Control::new(address, limit, self.drain_timeout, self.block_on_close)
    }

    pub(crate) fn reception(&mut self, control: Arc<Control>) -> Reception {
        Reception::new(control, std::mem::take(&mut self.hooks), self.max_per_address, self.overload)
    }

    pub(crate) fn take_service_actions(&mut self) -> Option<ServiceActions> {
        self.service_actions.take().map(|(interval, hook)| ServiceActions::new(interval, hook))
    }

    /// Composes the accepting side, and gives back the strategy that is to serve what it accepts.
    pub(crate) fn front<S: Source>(mut self, listener: S, control: Arc<Control>) -> (Front<S>, D) {
        let listener = Arc::new(Mutex::new(Some(listener)));
        let closes = Arc::clone(&listener);
        control.set_listener_closer(move || drop(lock(&closes).take()));
        let reception = self.reception(Arc::clone(&control));
        let service_actions = self.take_service_actions();
        let queue = self.queue.unwrap_or_else(|| default_queue(&control.address));
        let context = RequestContext::new(control, self.stream);
        let front = Front {
            acceptor: Acceptor::new(listener, Arc::new(reception), context, self.overload, queue),
            service_actions,
        };
        (front, self.dispatch)
    }
}

impl<L: Listener, D: Dispatch> Builder<L, D> {
    /// A server over a listener that exists: one of std's (systemd's socket activation comes in this way), or one of your own.
    ///
    /// One of std's is set to non-blocking (O_NONBLOCK), which everybody sees who shares the socket, such as systemd or a successor. Its other
    /// settings (`backlog`, `reuse_port`, …) are what they are; those of the connections apply. A Unix
    /// socket's path is not unlinked at the close, because it is not this server's.
    ///
    /// ```
    /// use socketserver::{handler_fn, Connection, ThreadingTcpServer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let server = ThreadingTcpServer::builder().from_listener(listener, handler_fn(|_: &mut Connection| Ok(())))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::System`] where the listener cannot be used.
    #[allow(clippy::wrong_self_convention)] // Python and systemd's documentation speak of the listener it comes from
    pub fn from_listener<T, H>(self, listener: T, handler: H) -> Result<Server<L, D>>
    where
        T: TryInto<L>,
        Error: From<T::Error>,
        H: Handler<L::Request> + Clone,
    {
        self.check()?;
        self.build(listener.try_into()?, handler)
    }

    /// Finds settings that cannot be used.
    pub(crate) fn check(&self) -> Result<()> {
        self.check_common()?;
        if let Some(connections) = self.max_connections.filter(|&count| count > self.dispatch.most_connections()) {
            let reason = match self.dispatch.most_connections() {
                1 => "a sequential server serves one at a time; take a threading one",
                super::threading::MOST_THREADS => {
                    "more than 8,000 threads bring the process near the kernel's limit of memory mappings, where it aborts"
                }
                _ => "the dispatch strategy does not take so many",
            };
            return Err(invalid("max_connections", connections, reason));
        }
        self.check_handlers()?;
        self.dispatch.check()
    }

    /// Composes the server.
    pub(crate) fn build<H>(mut self, mut listener: L, handler: H) -> Result<Server<L, D>>
    where
        H: Handler<L::Request> + Clone,
    {
        let local_addr = listener.local_addr();
        let system = |operation: &str| {
            let operation = format!("{operation} for the server on {local_addr}");
            move |source| Error::System { operation, source }
        };
        // One event of the listener's, one of the waker's.
        let poller = Poller::new(2).map_err(system("make a poller"))?;
        listener
            .register(&Readiness { registry: poller.registry(), token: LISTENER, waker: poller.waker() })
            .map_err(system("register the listener"))?;

        let most = self.dispatch.most_connections().min(self.dispatch.default_connections());
        let control = Arc::new(self.control(local_addr.clone().into(), most));
        control.attach_waker(poller.waker());
        let preparation = listener.preparation();
        let prepare_timeout = self.prepare_timeout;
        let (timeout, handle_timeout) = (self.timeout, self.handle_timeout.take());
        let (mut front, dispatch) = self.front(listener, Arc::clone(&control));
        if dispatch.runs_inline() {
            front.acceptor.leave_waiting();
        }
        if is_sequential::<D>() {
            front.acceptor.serve_alone();
        }
        let reception = Arc::clone(&front.acceptor.reception);
        let service = Service { reception, handler: erase(handler), preparation, prepare_timeout };
        Ok(Server {
            acceptor: front.acceptor,
            jobs: Jobs { dispatch, service: Arc::new(service) },
            local_addr,
            control,
            poller,
            handle_timeout,
            service_actions: front.service_actions,
            timeout,
            state: State::Open,
        })
    }
}

/// Where what the system's buffer cannot hold would be lost unseen, a queue of the server's own; on a Unix socket the sender waits, and with
/// a queue would be dropped instead.
fn default_queue(address: &Address) -> usize {
    match address {
        Address::Unix(_) | Address::Abstract(_) | Address::Unnamed => 0,
        Address::Inet(_) | Address::Other(_) => DEFAULT_QUEUE,
    }
}

/// So many connections, or as many as there are descriptors for if those are fewer.
fn within_descriptors(connections: usize) -> usize {
    match sys::descriptor_limit() {
        Some(descriptors) => connections.min(descriptors.saturating_sub(SPARE_DESCRIPTORS).max(1)),
        None => connections,
    }
}

pub(crate) fn invalid(setting: &'static str, value: impl fmt::Display, reason: impl Into<Cow<'static, str>>) -> Error {
    Error::InvalidSetting { setting, value: value.to_string(), reason: reason.into() }
}
