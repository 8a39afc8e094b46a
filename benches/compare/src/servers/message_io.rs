use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Context;
use message_io::network::{NetEvent, Transport};
use message_io::node::{self, NodeEvent};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::process::{getpid, pidfd_getfd, pidfd_open, PidfdFlags, PidfdGetfdFlags};

use super::{Started, BACKLOG};

/// message-io's loop, which sends what has come back from inside the callback.
///
/// It reads into 64 KiB on its stack whatever the message, and its signals have a thread that looks for some every 50 ms.
pub fn start() -> anyhow::Result<Started> {
    let (handler, events) = node::split::<()>();
    let (_, address) = handler.network().listen(Transport::Tcp, "127.0.0.1:0")?;
    adjust(&listener(address)?)?;
    let serve = move || {
        events.for_each(move |event| {
            if let NodeEvent::Network(NetEvent::Message(endpoint, data)) = event {
                // What cannot be sent is a connection that is about to be reported as lost.
                handler.network().send(endpoint, data);
            }
        });
        Ok(())
    };
    Ok(Started { address, serve: Box::new(serve) })
}

/// The backlog is anew what it is told, and connections have NODELAY from the listener that accepts them.
fn adjust(listener: &OwnedFd) -> anyhow::Result<()> {
    rustix::net::listen(listener, BACKLOG).context("setting the backlog")?;
    set_tcp_nodelay(listener, true).context("setting NODELAY")
}

/// A second descriptor for the listener that listens there. The library makes it itself, with a backlog of 1,024 and without
/// NODELAY, and hands it to nobody.
fn listener(address: SocketAddr) -> anyhow::Result<OwnedFd> {
    let this_process = pidfd_open(getpid(), PidfdFlags::empty()).context("pidfd_open")?;
    for entry in std::fs::read_dir("/proc/self/fd").context("reading /proc/self/fd")? {
        let number = entry?.file_name().to_string_lossy().parse()?;
        // The folder that is being read is one of them, and no socket.
        let descriptor = pidfd_getfd(&this_process, number, PidfdGetfdFlags::empty()).context("pidfd_getfd")?;
        if rustix::net::getsockname(&descriptor).is_ok_and(|bound| bound == address.into()) {
            return Ok(descriptor);
        }
    }
    anyhow::bail!("no descriptor of this process listens on {address}")
}
