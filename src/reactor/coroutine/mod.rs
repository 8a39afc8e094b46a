//! Handlers on coroutines, in an event loop: what it does for them, the seat of each, the stream under its connection, the
//! stacks.

mod datagrams;
mod seat;
mod serving;
mod stacks;
mod stream;
mod watched;

use std::sync::Arc;

pub(crate) use seat::CoroutineSeat;
pub(super) use serving::{give_up_if_open, give_up_late};
pub(crate) use stacks::Stacks;
pub(crate) use stream::CoroutineStream;
pub(crate) use watched::Watched;

use super::arrival::EventListener;
use super::house::{Handlers, House, Serves};
use super::reactor::Reactor;
use super::settings::{TransportSettings, WriteLimits};
use super::station::Station;
use crate::address::Address;
use crate::control::Control;
use crate::handler::Handler;
use crate::server::{erase, Builder, Listener, Service};

/// A reactor that serves one server, whose handlers run on coroutines. `connections` is the ceiling where the builder has none.
pub(crate) fn serve_handlers<L: Listener, D, H: Handler + Clone>(
    builder: Builder<L, D>,
    listener: EventListener,
    address: Address,
    connections: usize,
    workers: usize,
    stack_size: usize,
    handler: H,
) -> (Arc<Control>, Reactor) {
    let control = Arc::new(builder.control(address, connections).closed_by_its_loop());
    let settings = TransportSettings::new(&builder.stream, WriteLimits::default(), false);
    let prepare_timeout = builder.prepare_timeout;
    let (front, _) = builder.front(listener, Arc::clone(&control));
    let reception = Arc::clone(&front.acceptor.reception);
    let service = Service { reception, handler: erase(handler), preparation: None, prepare_timeout };
    let context = front.acceptor.context().clone();
    let handlers = Handlers { service: Arc::new(service), context, stack_size };
    let house = House::new(Arc::clone(&front.acceptor.reception), Serves::Handlers(handlers), settings);
    (control, Reactor::of(Station::streams(front, house), workers))
}
