//! Sends messages to a server, each without a line end, and prints what is answered.
//!
//! Shows: `tcp::connect` with one deadline for everything; how a client knows that an answer is whole which has no end to it.
//!
//! Run: start `prefix_echo_server` or `request_handler_server`, then `cargo run --example message_client -- 127.0.0.1:10000 hello '안녕하세요'`.
//! The messages may be left out, and are `Hello, server!` then; so may the address, which may be a name: `localhost:10000`.
//!
//! Expect: `Sending: hello` and `Received: Echo: hello`; where the answer has several lines, as many of the latter. An answer is all that
//! comes before the server is silent for 50 ms (see `common/messages.rs`), 64 KiB at most. Where nobody listens, or nobody answers for 10
//! seconds, or the server goes away, one line says so and the exit code is 1. A server of lines never answers a message without a line end:
//! `tcp_echo_client` is for those.
//!
//! Python's counterpart: the tutorials' TCP client, `connect`, `sendall` and one `recv(1024)`, which is as much of the answer as has come by
//! then.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::messages::Messages;
use common::say;
use common::text::shown;
use socketserver::tcp;

const TIMEOUT: Duration = Duration::from_secs(10);

const GREETING: &str = "Hello, server!";

fn main() -> ExitCode {
    let usage = format!("[ADDRESS [MESSAGE]...]    (default {} {GREETING:?})", common::DEFAULT_ADDRESS);
    common::run_with_address_and("message_client", &usage, parse, |address, messages| {
        let mut connection = tcp::connect(address, TIMEOUT)?;
        connection.set_read_timeout(TIMEOUT)?;
        let mut answers = Messages::new();
        for message in &messages {
            say(format_args!("Sending: {}", shown(message)))?;
            for line in answers.ask(&mut connection, message)?.split('\n') {
                say(format_args!("Received: {}", shown(line)))?;
            }
        }
        connection.close()?;
        Ok(())
    })
}

/// Nothing is sent for an empty message, and nothing would be answered.
fn parse(words: &[String]) -> Option<Vec<String>> {
    match words {
        [] => Some(vec![GREETING.into()]),
        messages => messages.iter().all(|message| !message.is_empty()).then(|| messages.to_vec()),
    }
}
