//! [`Handler`], [`handler_fn`] and [`HandlerResult`].

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use crate::Connection;

/// What a handler returns. `?` works on any error; `"some text".into()` makes one.
pub type HandlerResult = Result<(), Box<dyn Error + Send + Sync>>;

/// Serves a request: Python's `BaseRequestHandler` and `StreamRequestHandler`.
///
/// The value given to `bind` is a prototype. Each request is served by a clone of its own, so `&mut self` is private to the
/// request, and what requests share is an [`Arc`](std::sync::Arc) in a field.
///
/// The same handler serves on every kind of server that has handlers: sequential, on threads, on coroutines (module `coroutine`).
///
/// The order is Python's: [`setup`](Handler::setup), [`handle`](Handler::handle), [`finish`](Handler::finish).
/// * If `setup` fails, neither of the others runs.
/// * `finish` runs after `handle` whether that returned, failed or panicked.
/// * If both fail, the failure that `handle_error` gets is `handle`'s, with `finish`'s beside it. (In Python `finish` hides it.)
/// * After all three, the server closes the request.
///
/// How to test one, with and without a server, is on the guide's page on [testing](crate::guide::testing).
///
/// An error or a panic ends that request alone; it is counted and given to `handle_error` once. (With `panic = "abort"` a
/// panic ends the process, as does one in the drop of a value while another panic unwinds.)
///
/// ```
/// use socketserver::{Connection, Handler, HandlerResult, TcpServer};
/// use std::io::{BufRead, Write};
///
/// #[derive(Clone)]
/// struct Greeter {
///     greeting: String,
/// }
///
/// impl Handler for Greeter {
///     fn handle(&mut self, request: &mut Connection) -> HandlerResult {
///         let mut name = String::new();
///         request.read_line(&mut name)?;
///         writeln!(request, "{}, {}", self.greeting, name.trim_end())?;
///         Ok(())
///     }
/// }
///
/// # fn main() -> socketserver::Result<()> {
/// let server = TcpServer::bind("127.0.0.1:0", Greeter { greeting: "hello".into() })?;
/// # Ok(()) }
/// ```
pub trait Handler<R = Connection>: Send + 'static {
    /// Runs first. Python's `setup`.
    ///
    /// # Errors
    /// Any; the request is closed then, and neither `handle` nor `finish` runs.
    fn setup(&mut self, request: &mut R) -> HandlerResult {
        let _ = request;
        Ok(())
    }

    /// Serves the request. Python's `handle`.
    ///
    /// # Errors
    /// Any; the request is closed after `finish`.
    fn handle(&mut self, request: &mut R) -> HandlerResult;

    /// Runs after `handle`, whatever became of it. Python's `finish`.
    ///
    /// # Errors
    /// Any.
    fn finish(&mut self, request: &mut R) -> HandlerResult {
        let _ = request;
        Ok(())
    }
}

/// Makes a handler of a closure. The closure is cloned for each request, so what it captures is too. Where the compiler
/// asks for a type, write `|request: &mut Connection|`. It returns a [`HandlerResult`]; a function that returns an
/// [`std::io::Result`] is called in one: `handler_fn(|request: &mut Connection| Ok(serve(request)?))`.
///
/// ```
/// use socketserver::{handler_fn, Connection, TcpServer};
/// use std::io::Write;
///
/// # fn main() -> socketserver::Result<()> {
/// let server = TcpServer::bind(
///     "127.0.0.1:0",
///     handler_fn(|request: &mut Connection| {
///         request.write_all(b"hello\n")?;
///         Ok(())
///     }),
/// )?;
/// # Ok(()) }
/// ```
pub fn handler_fn<F, R>(function: F) -> HandlerFn<F, R>
where
    F: FnMut(&mut R) -> HandlerResult + Clone + Send + 'static,
    R: 'static,
{
    HandlerFn { function, request: PhantomData }
}

/// A handler made of a closure by [`handler_fn`].
pub struct HandlerFn<F, R> {
    function: F,
    request: PhantomData<fn(&mut R)>,
}

// By hand, because a derived one would ask it of the request too.
impl<F: Clone, R> Clone for HandlerFn<F, R> {
    fn clone(&self) -> Self {
        HandlerFn { function: self.function.clone(), request: PhantomData }
    }
}

impl<F, R> fmt::Debug for HandlerFn<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerFn")
    }
}

impl<F, R> Handler<R> for HandlerFn<F, R>
where
    F: FnMut(&mut R) -> HandlerResult + Clone + Send + 'static,
    R: 'static,
{
    fn handle(&mut self, request: &mut R) -> HandlerResult {
        (self.function)(request)
    }
}
