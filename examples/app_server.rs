//! Answers requests in a protocol of its own, with a header in JSON that says what follows: searches in a small table, and whatever
//! bytes it is sent.
//!
//! Shows: a protocol of one's own, length-prefixed, over a `Connection` (`read_frame`, `read_exact`), with a deadline for each
//! request and an error that ends that request alone.
//!
//! Run: `cargo run --example app_server -- 127.0.0.1:10000`, and in another terminal
//! `cargo run --example app_client -- 127.0.0.1:10000 search morpheus`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then a line for each client that does not keep to the protocol, or takes more than 30
//! seconds. Ctrl-C or SIGTERM ends it with exit code 0.
//!
//! Python's counterpart: the application server of a well-known socket tutorial, a `Message` class over `selectors`,
//! `struct.unpack(">H", …)` and `json.loads`, which takes whatever length it is told. Each understands the other's client.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::app_message::Message;
use serde_json::{json, Value};
use socketserver::{handler_fn, Connection, HandlerResult, ThreadingTcpServer};

/// The longest content, 2 MiB, of nothing but `[0,0,…]` is some 30 MiB as a `Value`: a gigabyte for all of them together.
const MOST_AT_ONCE: usize = 32;

const ENTRIES: [(&str, &str); 4] = [
    ("morpheus", "The god who gives the dreams of kings their shapes. 🌙"),
    ("ferris", "A crab who borrows and always gives back. 🦀"),
    ("서버", "누가 부를 때까지 기다리는 프로그램 📞"),
    ("🐍", "What this server was before it was rewritten."),
];

fn search(wanted: &str) -> String {
    match ENTRIES.iter().find(|(name, _)| *name == wanted) {
        Some((_, entry)) => (*entry).to_owned(),
        None => format!("No match for '{wanted}'."),
    }
}

fn answer_to(question: &Value) -> Value {
    // Whoever leaves one out, or sends a number, is told so in JSON's words.
    let text = |key| match question.get(key) {
        Some(Value::String(text)) => text.clone(),
        other => other.unwrap_or(&Value::Null).to_string(),
    };
    let result = match text("action").as_str() {
        "search" => search(&text("value")),
        action => format!("Error: invalid action '{action}'."),
    };
    json!({ "result": result })
}

fn serve(request: &mut Connection) -> HandlerResult {
    let answer = match Message::read(request)? {
        None => return Ok(()),
        Some(Message::Json(question)) => Message::Json(answer_to(&question)),
        Some(Message::Binary { content, .. }) => {
            let beginning = content.iter().take(10).copied();
            let content = b"First 10 bytes of request: ".iter().copied().chain(beginning).collect();
            Message::Binary { content_type: "binary/custom-server-type".to_owned(), content }
        }
    };
    Ok(answer.write(request)?)
}

fn main() -> ExitCode {
    common::run_with_address("app_server", |address| {
        let mut server = ThreadingTcpServer::builder()
            .max_connections(MOST_AT_ONCE)
            .request_deadline(Duration::from_secs(30))
            .handle_error(common::complain_of)
            .bind(address, handler_fn(serve))?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
