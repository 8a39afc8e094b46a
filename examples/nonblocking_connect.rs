//! Begins to connect, waits up to five seconds for what comes of it, says what that was, and closes in good order.
//!
//! Shows: `tcp::connect_nonblocking`, a `Selector` that waits for the socket and for a timer at once, `tcp::connect_outcome`. To connect
//! and do nothing else meanwhile, `tcp::connect` is simpler.
//!
//! Run: start one of the servers, then `cargo run --example nonblocking_connect -- 127.0.0.1:10000`. The address may be left out, and may
//! be a name: `localhost:10000`.
//!
//! Expect: `connected to 127.0.0.1:10000 from 127.0.0.1:…`, then `closed`, and exit code 0. Where nobody listens, or nobody answers for five
//! seconds, one line says so and the exit code is 1.
//!
//! Python's counterpart: `connect` on a socket with `setblocking(0)`, then `select.select([], [sock], [], 5.0)`, which takes a
//! refused connection for an established one.

mod common;

use std::io::Read;
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use common::{unless_it_would_block, ExampleResult};
use socketserver::mio::net::TcpStream;
use socketserver::mio::Interest;
use socketserver::net::ToEndpoint;
use socketserver::reactor::{Key, Selector};
use socketserver::{tcp, Error, Phase};

const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    common::run_with_address("nonblocking_connect", |address| {
        let mut selector = Selector::new()?;
        let timeout = selector.set_timer(PATIENCE, ())?;
        let mut refusal = None;
        for meaning in address.to_endpoint()?.resolve(PATIENCE)? {
            match connect(&mut selector, meaning, timeout) {
                Ok(Some(connected)) => return close(&mut selector, connected, timeout),
                Ok(None) => {
                    return Err(
                        Error::Timeout { phase: Phase::Connect, address: address.to_owned(), after: PATIENCE }.into()
                    )
                }
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.unwrap_or_else(|| "no address".into()))
    })
}

/// The key of the connected stream; `None` when the time has passed.
fn connect(selector: &mut Selector, address: SocketAddr, timeout: Key) -> ExampleResult<Option<Key>> {
    let key = selector.register(tcp::connect_nonblocking(address)?, Interest::WRITABLE, ())?;
    loop {
        // Here a program would have other sockets too, and go on with them.
        for ready in selector.select(None)? {
            if ready.key() == timeout {
                return Ok(None);
            }
            let stream = selector.get::<TcpStream>(key).ok_or("no stream")?;
            match tcp::connect_outcome(stream, address) {
                Ok(true) => {
                    common::say(format_args!("connected to {address} from {}", stream.local_addr()?))?;
                    return Ok(Some(key));
                }
                Ok(false) => {}
                Err(error) => {
                    selector.remove(key)?;
                    return Err(error.into());
                }
            }
        }
    }
}

/// Says that nothing more will be sent, and waits for the peer to say the same.
fn close(selector: &mut Selector, key: Key, timeout: Key) -> ExampleResult {
    selector.get::<TcpStream>(key).ok_or("no stream")?.shutdown(Shutdown::Write)?;
    selector.modify(key, Interest::READABLE)?;
    let mut buffer = [0; 4096];
    loop {
        for ready in selector.select(None)? {
            if ready.key() == timeout {
                common::say("closed, though the server has not")?;
                return Ok(());
            }
            let stream = selector.get_mut::<TcpStream>(key).ok_or("no stream")?;
            match unless_it_would_block(stream.read(&mut buffer)) {
                Ok(Some(0)) => {
                    common::say("closed")?;
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => return Err(format!("the server broke the connection off: {error}").into()),
            }
        }
    }
}
