//! [`Batch`]: several datagrams by one system call.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use nix::sys::socket::{recvmmsg, MsgFlags, MultiHeaders, SockaddrStorage};

use crate::connection::RequestContext;
use crate::sys::{Shareable, EVENTS_REARM};

/// Datagrams that one recvmmsg(2) has received, to be had one by one.
pub(crate) struct Batch {
    buffers: Vec<Vec<u8>>,
    /// The lengths and senders of those that are yet to be had, the last ones of the buffers' so far filled.
    waiting: VecDeque<(usize, SocketAddr)>,
    filled: usize,
    /// The system had no more than these, and will say when something comes.
    drained: bool,
    context: RequestContext,
}

impl Batch {
    /// Buffers of `length` bytes each.
    pub(crate) fn new(context: &RequestContext, length: usize) -> Self {
        let count = context.settings().datagrams.receive_batch;
        Batch {
            // Zeroed pages are not memory before something is written to them.
            buffers: (0..count).map(|_| vec![0; length]).collect(),
            waiting: VecDeque::new(),
            filled: 0,
            drained: false,
            context: context.clone(),
        }
    }

    pub(crate) fn next(&mut self, socket: &Shareable<UdpSocket>) -> io::Result<(&[u8], SocketAddr)> {
        if self.waiting.is_empty() {
            if std::mem::take(&mut self.drained) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.fill(socket)?;
        }
        let index = self.filled - self.waiting.len();
        let (count, sender) = self.waiting.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let data = self.buffers.get(index).and_then(|buffer| buffer.get(..count)).unwrap_or_default();
        Ok((data, sender))
    }

    fn fill(&mut self, socket: &Shareable<UdpSocket>) -> io::Result<()> {
        let most = self.buffers.len();
        // Made anew each time: it cannot be sent to another thread, and the system writes each address's length into it.
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(most, None);
        let mut slices: Vec<_> = self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let (waiting, filled) = (&mut self.waiting, &mut self.filled);
        *filled = 0;
        // Where mio stands on poll(2), it has to see that nothing was left, to wait for more.
        socket.with(|socket| {
            socket.try_io(|| {
                let descriptor = socket.as_raw_fd();
                let received = recvmmsg(descriptor, &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
                for one in received {
                    let sender = one.address.as_ref().and_then(socket_addr).ok_or(io::ErrorKind::InvalidData)?;
                    waiting.push_back((one.bytes, sender));
                    *filled += 1;
                }
                Ok(())
            })
        })?;
        self.drained = EVENTS_REARM && self.filled < most;
        Ok(())
    }
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|&address| SocketAddr::V4(SocketAddrV4::from(address)));
    v4.or_else(|| address.as_sockaddr_in6().map(|&address| SocketAddr::V6(SocketAddrV6::from(address))))
}

impl Drop for Batch {
    fn drop(&mut self) {
        for (_, sender) in self.waiting.drain(..) {
            self.context.datagram_dropped(format_args!("the server stops, from {sender}"));
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
