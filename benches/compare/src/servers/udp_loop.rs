use anyhow::Context;
use rustix::io::Errno;
use rustix::net::{recvfrom, sendto, RecvFlags, SendFlags};

use super::{bind, Settings, Started};

/// Two system calls a datagram and nothing between them: the sender's address is not even looked at.
///
/// The socket is a blocking one, so that no call is made in vain when nothing has come; and nothing can end the wait.
pub fn start(settings: &Settings) -> anyhow::Result<Started> {
    let (socket, address) = bind()?;
    let mut buffer = vec![0; settings.buffer];
    let serve = move || loop {
        let (count, sender) = match recvfrom(&socket, &mut *buffer, RecvFlags::empty()) {
            Ok((count, _, sender)) => (count, sender.context("a datagram without a sender")?),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error).context("receive"),
        };
        sendto(&socket, &buffer[..count], SendFlags::empty(), &sender).context("send")?;
    };
    Ok(Started { address, serve: Box::new(serve) })
}
