//! Begins to connect, waits up to five seconds for what comes of it, says what that was, and closes in good order.
//!
//! Shows: `tcp::connect_nonblocking`, a `Selector` that waits until a deadline, `tcp::connect_outcome`. To connect and do nothing else
//! meanwhile, `tcp::connect` is simpler.
//!
//! Run: start one of the servers, then `cargo run --example nonblocking_connect -- 127.0.0.1:10000`. The address may be left out, and may
//! be a name: `localhost:10000`. With `test` behind it, it sends that once it is connected; the default is `connect`.
//!
//! Expect: `connected to 127.0.0.1:10000 from 127.0.0.1:…`, then `closed`, and exit code 0. Where nobody listens, or nobody answers for five
//! seconds, one line says so and the exit code is 1. What the server says is read and not shown.
//!
//! Python's counterpart: `connect` on a socket with `setblocking(0)`, then `select.select([], [sock], [], 5.0)`, which takes a
//! refused connection for an established one; in a cheat sheet, `sock.sendall(b'test')` then.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{unless_it_would_block, ExampleResult};
use socketserver::mio::net::TcpStream;
use socketserver::mio::Interest;
use socketserver::net::ToEndpoint;
use socketserver::reactor::{Key, Selector};
use socketserver::{tcp, Error, Phase};

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let messages: [(&str, &[u8]); 2] = [("connect", b""), ("test", b"test")];
    common::run_with_address_and_choice("nonblocking_connect", &messages, |address, message| {
        let mut selector = Selector::new()?;
        let deadline = Instant::now() + PATIENCE;
        let mut refusal = None;
        for meaning in address.to_endpoint()?.resolve(PATIENCE)? {
            match connect(&mut selector, meaning, deadline) {
                Ok(Some(connected)) => return close(&mut selector, connected, message, deadline),
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
fn connect(selector: &mut Selector, address: SocketAddr, deadline: Instant) -> ExampleResult<Option<Key>> {
    let key = selector.register(tcp::connect_nonblocking(address)?, Interest::WRITABLE, ())?;
    loop {
        let happened = selector.select(Some(left(deadline)))?;
        if happened.is_empty() && left(deadline).is_zero() {
            return Ok(None);
        }
        // Here a program would have other sockets too, and go on with them.
        for _ in happened {
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

/// Sends the message, says that nothing more will be sent, and waits for the peer to say the same.
fn close(selector: &mut Selector, key: Key, message: &[u8], deadline: Instant) -> ExampleResult {
    let stream = selector.get_mut::<TcpStream>(key).ok_or("no stream")?;
    // A new connection has room for so little; with more than that one would wait for WRITABLE, as multi_connection_client does.
    stream.write_all(message)?;
    stream.shutdown(Shutdown::Write)?;
    selector.modify(key, Interest::READABLE)?;
    let mut buffer = [0; 4096];
    loop {
        let happened = selector.select(Some(left(deadline)))?;
        if left(deadline).is_zero() {
            common::say("closed, though the server has not")?;
            return Ok(());
        }
        for _ in happened {
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

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
