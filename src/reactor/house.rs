//! [`House`]: what the connections of one server have in common.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::inbox::Inbox;
use super::protocol::Protocol;
use super::settings::TransportSettings;
use crate::control::{Control, ServerHandle};
use crate::server::{Failure, Prototype, Reception};
#[cfg(feature = "coroutine")]
use crate::{
    connection::{Connection, RequestContext},
    server::Service,
};

/// Makes the protocol of a new connection.
pub(crate) type Protocols = Box<dyn Fn() -> Result<Option<Box<dyn Protocol>>, Failure> + Send + Sync>;

/// One server, as its connections see it.
pub(crate) struct House {
    pub(crate) reception: Arc<Reception>,
    pub(crate) serves: Serves,
    pub(crate) settings: TransportSettings,
    /// The loops that serve it; empty before they do.
    inboxes: OnceLock<Vec<Arc<Inbox>>>,
}

impl House {
    pub(crate) fn new(reception: Arc<Reception>, serves: Serves, settings: TransportSettings) -> Arc<Self> {
        Arc::new(House { reception, serves, settings, inboxes: OnceLock::new() })
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.reception.control
    }

    pub(crate) fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(self.control()))
    }

    pub(crate) fn set_inboxes(&self, inboxes: Vec<Arc<Inbox>>) {
        let _ = self.inboxes.set(inboxes);
    }

    pub(crate) fn inboxes(&self) -> &[Arc<Inbox>] {
        self.inboxes.get().map_or(&[], Vec::as_slice)
    }
}

/// Who serves its connections.
pub(crate) enum Serves {
    Protocols(Protocols),
    #[cfg(feature = "coroutine")]
    Handlers(Handlers),
}

/// Blocking handlers, each on a coroutine.
#[cfg(feature = "coroutine")]
pub(crate) struct Handlers {
    pub(crate) service: Arc<Service<Connection>>,
    pub(crate) context: RequestContext,
    pub(crate) stack_size: usize,
}

/// Forgets the protocol's type. Each connection gets a clone of its own.
pub(crate) fn erase(prototype: impl Protocol + Clone) -> Protocols {
    let prototype = Prototype::new(prototype);
    Box::new(move || Ok(prototype.make()?.map(|protocol| Box::new(protocol) as Box<dyn Protocol>)))
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("House").field("control", self.control()).finish_non_exhaustive()
    }
}
