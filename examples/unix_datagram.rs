//! A server and its clients on Unix datagram sockets.
//!
//! Shows: `UnixDatagramServer`; that only a client which has bound its own socket to a path can be answered, and what `reply` says of one that
//! has not; that the server's path is gone when it has stopped.
//!
//! Run: `cargo run --example unix_datagram`. Both are in this one program, their sockets in a temporary folder that it removes.
//!
//! Expect: what was said and answered, why the client without a name was not answered, and exit code 0.
//!
//! Python's counterpart: `socketserver.UnixDatagramServer`, whose handler fails with a `TypeError` where the client has no name, and which
//! leaves its path behind.

mod common;

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    common::run("unix_datagram", unix::talk)
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    common::run("unix_datagram", || Err("this system has no Unix datagram sockets".into()))
}

#[cfg(unix)]
mod unix {
    use std::os::unix::net::UnixDatagram;
    use std::sync::mpsc::channel;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::common::{say, ExampleResult};
    use socketserver::{handler_fn, Datagram, HandlerResult, UnixDatagramServer};

    /// Everything here happens within this machine; what takes so long has failed.
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn answer(request: &mut Datagram) -> HandlerResult {
        let answer = [b"Received: ", request.data()].concat();
        Ok(request.reply(&answer)?)
    }

    pub(super) fn talk() -> ExampleResult {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("server.sock");
        let (sender, failures) = channel();
        let sender = Mutex::new(sender);
        let running = UnixDatagramServer::builder()
            // Any user of this machine may send. The default, 0o600, is for this user alone.
            .mode(0o666)
            .handle_error(move |failure| {
                if let Ok(sender) = sender.lock() {
                    let _ = sender.send(failure.to_string());
                }
            })
            .bind(&path, handler_fn(answer))?
            .spawn()?;

        let client = UnixDatagram::bind(folder.path().join("client.sock"))?;
        client.set_read_timeout(Some(TIMEOUT))?;
        client.connect(&path)?;
        for message in ["hello", "안녕하세요", ""] {
            client.send(message.as_bytes())?;
            let mut answer = [0; 1024];
            let length = client.recv(&mut answer)?;
            let answer = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
            say(format_args!("client with a name: {message:?}  ->  {answer:?}"))?;
        }

        let nameless = UnixDatagram::unbound()?;
        nameless.send_to(b"hello", &path)?;
        say(format_args!("client without a name: \"hello\"  ->  {}", failures.recv_timeout(TIMEOUT)?))?;

        let handle = running.handle();
        running.stop()?;
        let stats = handle.stats();
        say(format_args!("server: {} requests, {} failed", stats.accepted, stats.handler_errors))?;
        match path.exists() {
            false => Ok(()),
            true => Err(format!("the server has stopped, and {} is still there", path.display()).into()),
        }
    }
}
