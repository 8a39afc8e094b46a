//! The load: one thread, one epoll instance, and every answer compared with what was sent.

pub mod closed_loop;
pub mod crowd;
pub mod greedy;
mod tally;
mod totals;
pub mod udp;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{bail, ensure, Context};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::Timespec;
use rustix::io::{read, Errno};
use rustix::net::{self, sockopt, AddressFamily, SendFlags, SocketFlags, SocketType};

pub use self::tally::Tally;
pub use self::totals::{Began, Totals};

/// How many addresses connections are made from: 127.0.0.2 and up.
///
/// A closed connection keeps its pair of addresses and ports for a minute. One address has some 28,000 ports, used up
/// in two seconds here; this many outlast the minute several times over.
const SOURCES: u8 = 64;

/// A load that is put on a server in slices.
///
/// Between them nothing is under way, so that a slice's exchanges and the server's processor time belong together, and
/// another server can be measured meanwhile.
pub trait Sliced {
    /// Runs for so long, plus what the last answers take. With no time at all every client makes one exchange.
    fn run_for(&mut self, time: Duration) -> anyhow::Result<()>;

    fn tally(&self) -> &Tally;

    fn tally_mut(&mut self) -> &mut Tally;

    /// Messages or answers that never came, where such a thing can be.
    fn lost(&self) -> Option<u64> {
        None
    }
}

/// Makes connections to one server, from one source address after the other.
struct Dialer {
    server: SocketAddr,
    next: u8,
}

impl Dialer {
    fn new(server: SocketAddr) -> Dialer {
        Dialer { server, next: 0 }
    }

    /// Begins a connection, which is complete when its socket becomes writable.
    fn begin(&mut self) -> anyhow::Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).context("socket")?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        // The port is chosen at the connect, when the pair is known: two servers' clients may then have the same one.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        let source = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2 + self.next), 0);
        self.next = (self.next + 1) % SOURCES;
        net::bind(&socket, &source).with_context(|| format!("bind to {source}"))?;
        match net::connect(&socket, &self.server) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error).with_context(|| format!("connect from {source} to {}", self.server)),
        }
    }
}

/// One connection's exchange under way: how much of the message has gone out, and how much has come back.
struct Exchange {
    socket: OwnedFd,
    sent: usize,
    received: usize,
}

impl Exchange {
    fn new(socket: OwnedFd) -> Exchange {
        Exchange { socket, sent: 0, received: 0 }
    }

    /// Turns to the next message.
    fn begin(&mut self) {
        self.sent = 0;
        self.received = 0;
    }

    /// Whether the message has come back whole.
    fn is_done(&self, message: &[u8]) -> bool {
        self.received == message.len()
    }

    /// Sends as much as is taken; a connection that is not complete yet takes nothing.
    fn send(&mut self, message: &[u8]) -> anyhow::Result<()> {
        while self.sent < message.len() {
            match net::send(&self.socket, &message[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("send"),
            }
        }
        Ok(())
    }

    /// Receives what is there; true when the message has come back whole.
    fn receive(&mut self, message: &[u8], buffer: &mut [u8]) -> anyhow::Result<bool> {
        while self.received < message.len() {
            match read(&self.socket, &mut *buffer) {
                Ok(0) => bail!("the server closed a connection before it had answered"),
                Ok(count) => {
                    let expected = message.get(self.received..self.received + count);
                    ensure!(expected == Some(&buffer[..count]), "the server answered something else than was sent");
                    self.received += count;
                }
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("receive"),
            }
        }
        Ok(true)
    }
}

/// Edge-triggered epoll that reports a connection by its number.
struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    fn new() -> anyhow::Result<Poller> {
        Ok(Poller { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(1024) })
    }

    fn watch(&self, socket: &OwnedFd, number: usize, flags: EventFlags) -> anyhow::Result<()> {
        epoll::add(&self.epoll, socket, EventData::new_u64(number as u64), flags | EventFlags::ET).context("epoll add")
    }

    /// Waits for events, and returns the numbers of the connections that have some.
    fn wait(&mut self, timeout: Duration) -> anyhow::Result<impl Iterator<Item = (usize, EventFlags)> + '_> {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll wait"),
        }
        Ok(self.events.drain(..).map(|event| (event.data.u64() as usize, event.flags)))
    }
}

/// A message in which every byte says where it stands, as far as a byte can.
fn message(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|position| (position % 251) as u8).collect()
}
