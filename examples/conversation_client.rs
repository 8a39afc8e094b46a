//! Sends each line of its input, without its line end, and prints what is answered, until a line says `end`.
//!
//! Shows: a client's `Connection`; a prompt for people that does not get into what other programs read.
//!
//! Run: start `one_client_server -- 127.0.0.1:10000 end`, `counting_server` or `prefix_echo_server`, then
//! `cargo run --example conversation_client -- 127.0.0.1:10000` and type, or `printf 'hello\nend\n' | cargo run --example
//! conversation_client`. The address may be left out, and may be a name: `localhost:10000`. With `send` behind it, it sends one line and
//! waits for no answer, as for `one_client_server -- 127.0.0.1:10000 receive`; the default is `talk`.
//!
//! Expect: the prompt `입력: ` on a terminal, and `Received: hello` for the line `hello`. An empty line is not sent, because nothing would be.
//! `end` is sent and ends it, as does the end of the input (Ctrl-D), which is not; the exit code is 0. An answer is all that comes before
//! the server is silent for 50 ms (see `common/messages.rs`), 64 KiB at most, in however many pieces: of what a server makes of a message, not
//! even the length is known. Where nobody listens, nobody answers for 10 seconds or the server goes away, one line says so and the exit
//! code is 1.
//!
//! Python's counterpart: the echo client of a tutorial, `sendall(bytes(input("입력: "), "utf-8"))` and `recv(1024)` until `"end"`;
//! with `send`, the client before it, which sends one `input()` and closes.

mod common;

use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use common::messages::Messages;
use common::text::shown;
use common::{say, ExampleResult};
use socketserver::tcp;

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq)]
enum What {
    Talk,
    Send,
}

fn main() -> ExitCode {
    let choices = [("talk", What::Talk), ("send", What::Send)];
    common::run_with_address_and_choice("conversation_client", &choices, |address, what| {
        let mut connection = tcp::connect(address, TIMEOUT)?;
        connection.set_read_timeout(TIMEOUT)?;
        let mut answers = Messages::new();
        while let Some(message) = input()? {
            if message.is_empty() {
                continue;
            }
            if what == What::Send || message == "end" {
                connection.write_all(message.as_bytes())?;
                break;
            }
            for line in answers.ask(&mut connection, &message)?.split('\n') {
                say(format_args!("Received: {}", shown(line)))?;
            }
        }
        connection.close()?;
        Ok(())
    })
}

/// Python's `input("입력: ")`, with the prompt for people only; `None` at the end of the input.
fn input() -> ExampleResult<Option<String>> {
    let prompts = io::stdin().is_terminal() && io::stdout().is_terminal();
    if prompts {
        let mut stdout = io::stdout();
        write!(stdout, "입력: ")?;
        stdout.flush()?;
    }
    let mut line = String::new();
    let count = match io::stdin().lock().read_line(&mut line) {
        Err(error) if error.kind() == ErrorKind::InvalidData => return Err("the input is not UTF-8 text".into()),
        result => result?,
    };
    if count == 0 {
        if prompts {
            // What comes next has a line of its own.
            say("")?;
        }
        return Ok(None);
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(Some(line))
}
