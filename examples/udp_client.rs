//! Sends each line of its input as a datagram and prints what is answered.
//!
//! Shows: `UdpClient`, which waits for the answer and asks again where none comes, all within one deadline.
//!
//! Run: start `udp_echo_server`, then `cargo run --example udp_client -- 127.0.0.1:10000` and type, or
//! `printf 'hello\n' | cargo run --example udp_client`. The address may be left out, and may be a name: `localhost:10000`.
//!
//! Expect: `Received: hello` for the line `hello`; an empty line is an empty datagram. The end of the input (Ctrl-D) ends it with exit code 0.
//! Where nobody answers for five seconds, one line says so and the exit code is 1. The server's bytes are printed as they are, control
//! characters too: to show what a stranger sends, see `common/text.rs`.
//!
//! Python's counterpart: the tutorials' UDP client, `sendto` and `recvfrom` on a `SOCK_DGRAM` socket with `settimeout(5.0)`, which takes
//! anybody's datagram for the answer and gives up when the first is lost.

mod common;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use socketserver::UdpClient;

fn main() -> ExitCode {
    common::run_with_address("udp_client", |address| {
        let mut client = UdpClient::connect(address)?;
        let mut stdin = io::stdin().lock();
        let mut stdout = io::stdout().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            if stdin.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            // A datagram has an end of its own.
            let message = line.strip_suffix(b"\n").unwrap_or(&line);
            let mut answer = client.request(message)?;
            answer.push(b'\n');
            stdout.write_all(&answer)?;
            stdout.flush()?;
        }
    })
}
