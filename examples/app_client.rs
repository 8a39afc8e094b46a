//! Sends one request to `app_server` and prints what is answered.
//!
//! Shows: `tcp::connect`, one deadline for a whole exchange, and that both ends of a protocol share its code, because a client's
//! `Connection` is what a handler gets.
//!
//! Run: start `app_server`, then `cargo run --example app_client -- 127.0.0.1:10000 search morpheus`. The action `search` is sent
//! as JSON, any other as bytes: `cargo run --example app_client -- 127.0.0.1:10000 double 21`. Without them it searches for
//! `morpheus`; the address may be left out then, too.
//!
//! Expect: `Got result: …` or `Got response: b"First 10 bytes of request: double21"`, and exit code 0. Where nobody listens, the
//! answer takes more than 10 seconds or is not in the protocol, one line says so and the exit code is 1.
//!
//! Python's counterpart: the application client of a well-known socket tutorial, whose `Message` class writes
//! `struct.pack(">H", len(header)) + header + content`. Each understands the other's server.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::app_message::Message;
use common::text::shown;
use common::{ExampleResult, DEFAULT_ADDRESS};
use serde_json::{json, Value};
use socketserver::tcp;

/// For the connection, and for the exchange.
const TIMEOUT: Duration = Duration::from_secs(10);

fn request(action: &str, value: &str) -> Message {
    match action {
        "search" => Message::Json(json!({ "action": action, "value": value })),
        _ => Message::Binary {
            content_type: "binary/custom-client-type".to_owned(),
            content: format!("{action}{value}").into_bytes(),
        },
    }
}

fn ask(address: &str, request: &Message) -> ExampleResult {
    let mut connection = tcp::connect(address, TIMEOUT)?;
    connection.set_deadline(TIMEOUT)?;
    request.write(&mut connection)?;
    match Message::read(&mut connection)? {
        None => {
            return Err(format!("{} closed the connection before it had answered", connection.peer_addr()).into());
        }
        Some(Message::Json(answer)) => match answer.get("result") {
            None => return Err(format!("there is no result in what {} answered", connection.peer_addr()).into()),
            Some(Value::String(result)) => common::say(format_args!("Got result: {}", shown(result)))?,
            Some(result) => common::say(format_args!("Got result: {result}"))?,
        },
        Some(Message::Binary { content, .. }) => {
            common::say(format_args!("Got response: b\"{}\"", content.escape_ascii()))?;
        }
    }
    connection.close()?;
    Ok(())
}

fn main() -> ExitCode {
    let usage = format!("[ADDRESS [ACTION VALUE]]    (default {DEFAULT_ADDRESS} search morpheus)");
    let request = |words: &[String]| match words {
        [] => Some(request("search", "morpheus")),
        [action, value] => Some(request(action, value)),
        _ => None,
    };
    common::run_with_address_and("app_client", &usage, request, |address, request| ask(address, &request))
}
