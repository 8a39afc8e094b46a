//! The guide: what one wants to know beyond a first server, a page for each.
//!
//! * [`requests`]: the life of a request, from the kernel's queue to the close, and where each setting and each hook has its place in it
//! * [`limits`]: every default, with the reason for it, and what to set where strangers can reach the server
//! * [`stopping`]: what a stop does, in which order, and what becomes of a request in each state
//! * [`testing`]: how to test a handler or a protocol of your own
//! * [`deploying`]: systemd, a load balancer, several processes on one port, the system's own limits
//!
//! Which server for what is on the [crate's page](crate#which-server); threads, coroutines and protocols are compared, with figures, on that of the
//! module `coroutine`; what Python has under which name is in [`porting`](crate::porting).

pub mod deploying;
pub mod limits;
pub mod requests;
pub mod stopping;
pub mod testing;
