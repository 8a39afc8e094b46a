//! A TCP server whose handlers run on coroutines, and plain clients of it.

use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socketserver::coroutine::{CoroutineTcpServer, Coroutines};
use socketserver::server::Builder;
use socketserver::tcp::TcpListener;
use socketserver::{Connection, Handler, HandlerResult, Running};

use super::LONG;

pub type Serving = Running<SocketAddr>;

pub fn builder() -> Builder<TcpListener, Coroutines> {
    CoroutineTcpServer::builder()
}

/// With the defaults.
pub fn serve(handler: impl Handler + Clone) -> Serving {
    serve_as(builder(), handler)
}

pub fn serve_as(builder: Builder<TcpListener, Coroutines>, handler: impl Handler + Clone) -> Serving {
    builder.bind("127.0.0.1:0", handler).unwrap().spawn().unwrap()
}

pub fn connect(serving: &Serving) -> TcpStream {
    let client = TcpStream::connect(serving.local_addr()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.set_write_timeout(Some(LONG)).unwrap();
    client
}

pub fn ask(client: &mut TcpStream, request: &[u8], length: usize) -> Vec<u8> {
    client.write_all(request).unwrap();
    let mut answer = vec![0; length];
    client.read_exact(&mut answer).unwrap();
    answer
}

/// A handler that answers each line with itself.
pub fn lines(request: &mut Connection) -> HandlerResult {
    let mut line = String::new();
    while request.read_line(&mut line)? > 0 {
        request.write_all(line.as_bytes())?;
        line.clear();
    }
    Ok(())
}

/// That the loop serves others at once. The handler answers a first line with itself.
#[track_caller]
pub fn assert_goes_on(serving: &Serving) {
    assert_eq!(ask(&mut connect(serving), b"hello\n", 6), b"hello\n");
}
