//! Sends back whatever bytes it is sent, to many clients at once, on one thread: the loop around `select`, written out.
//!
//! Shows: `Selector` with data of one's own beside each socket; a write that the client does not take at once, finished when it does; a
//! listener that rests while the system has nothing left for another client; Ctrl-C through a `SelectorWaker`.
//!
//! Run: `cargo run --example select_echo_server -- 127.0.0.1:10000`, and in other terminals
//! `cargo run --example tcp_echo_client -- 127.0.0.1:10000`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then a line for each client whose connection fails. Ctrl-C or SIGTERM ends it at once with
//! exit code 0.
//!
//! Python's counterpart: the loop around `select.select` with its `inputs`, `outputs` and `message_queues`. The queues are gone: a
//! client is not read from while an answer waits for it, so that one who does not read his answers cannot fill the memory.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use common::{unless_it_would_block, ExampleResult};
use socketserver::mio::net::{TcpListener, TcpStream};
use socketserver::mio::Interest;
use socketserver::reactor::{Key, Selector};
use socketserver::tcp;

/// Without a rest, a listener whose clients cannot be let in would be reported again and again.
const REST: Duration = Duration::from_millis(500);

/// What the selector keeps beside each socket or timer, as Python's `key.data`.
enum Role {
    Listener,
    /// Beside a timer, which puts the listener back.
    Rest(TcpListener),
    /// The client, and what it has been read but not yet been sent.
    Client(Vec<u8>),
}

fn main() -> ExitCode {
    common::run_with_address("select_echo_server", |address| {
        let mut selector = Selector::new()?;
        common::wake_on_signals(selector.waker()?)?;
        let listener = tcp::listen(address)?;
        common::announce(listener.local_addr()?)?;
        selector.register(listener, Interest::READABLE, Role::Listener)?;

        while !selector.was_woken() {
            for ready in selector.select(None)? {
                match selector.data(ready.key()) {
                    Some(Role::Listener) => accept(&mut selector, ready.key())?,
                    Some(Role::Rest(_)) => end_rest(&mut selector, ready.key())?,
                    Some(Role::Client(_)) => match echo(&mut selector, ready.key()) {
                        Ok(true) => {}
                        Ok(false) => drop(selector.remove(ready.key())?),
                        Err(error) => {
                            common::complain(format_args!("a client is lost: {error}"));
                            selector.remove(ready.key())?;
                        }
                    },
                    None => {}
                }
            }
        }
        Ok(())
    })
}

/// Lets one client in. Where more wait, the listener is reported again.
fn accept(selector: &mut Selector<Role>, key: Key) -> ExampleResult {
    let Some(listener) = selector.get::<TcpListener>(key) else { return Ok(()) };
    match listener.accept() {
        Ok((stream, _)) => {
            if let Err(error) = selector.register(stream, Interest::READABLE, Role::Client(Vec::new())) {
                common::complain(format_args!("a client is lost: {error}"));
            }
        }
        // It has gone before it was let in.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
        Err(error) => {
            common::complain(format_args!("cannot let a client in: {error}"));
            let listener = selector.unregister(key)?;
            selector.set_timer(REST, Role::Rest(listener))?;
        }
    }
    Ok(())
}

fn end_rest(selector: &mut Selector<Role>, key: Key) -> ExampleResult {
    if let Role::Rest(listener) = selector.remove(key)? {
        selector.register(listener, Interest::READABLE, Role::Listener)?;
    }
    Ok(())
}

/// Reads from a client and sends that back, or sends what has been left of the last time. `false` at the end.
fn echo(selector: &mut Selector<Role>, key: Key) -> ExampleResult<bool> {
    let Some((stream, Role::Client(unsent))) = selector.entry_mut::<TcpStream>(key) else { return Ok(false) };
    if unsent.is_empty() {
        let mut buffer = [0; 4096];
        match unless_it_would_block(stream.read(&mut buffer))? {
            Some(0) => return Ok(false),
            count => unsent.extend(buffer.iter().take(count.unwrap_or(0))),
        }
    }
    let sent = unless_it_would_block(stream.write(unsent))?.unwrap_or(0);
    unsent.drain(..sent);

    let interest = if unsent.is_empty() { Interest::READABLE } else { Interest::WRITABLE };
    selector.modify(key, interest)?;
    Ok(true)
}
