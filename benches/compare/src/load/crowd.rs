use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context};
use rustix::event::epoll::EventFlags;

use super::{message, Dialer, Exchange, Poller};
use crate::process::Server;
use crate::scenario::Stay;

/// Between looks at which connections are complete while more are begun, so that their time is measured when it ends.
const LOOK_EVERY: usize = 32;

/// A SYN that found the queue full is sent again after 1, 3, 7 and 15 seconds; who waits longer has failed.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// From the last connect or answer until memory is read: the server has a backlog to work off and comes to rest.
const COME_TO_REST: Duration = Duration::from_millis(500);

/// Connections opened as fast as they can be.
pub struct Crowd {
    poller: Poller,
    members: Vec<Member>,
    message: Vec<u8>,
}

struct Member {
    began: Instant,
    /// None for one that has left.
    exchange: Option<Exchange>,
    connected: bool,
    answered: bool,
}

pub struct Outcome {
    pub slowest_connect: Duration,
    pub all_connected: Duration,
    pub all_answered: Duration,
    pub held: Option<Held>,
}

/// What a crowd that stayed showed.
pub struct Held {
    /// Of the server's whole process, before the first connection.
    pub resident_before: u64,
    pub resident: Resident,
    /// The server's processor time over the hold.
    pub idle_time: Duration,
    pub second: Option<Resident>,
}

/// The server's whole process when all were there, and when all had been answered.
pub struct Resident {
    pub idle: u64,
    pub used: u64,
}

impl Resident {
    pub fn peak(&self) -> u64 {
        self.idle.max(self.used)
    }
}

impl Crowd {
    /// Opens the connections, lets every one have one answer, and closes them.
    pub fn run(server: &Server, connections: usize, stay: Stay) -> anyhow::Result<Outcome> {
        let resident_before = server.resident()?;
        let mut crowd = Crowd::new(connections)?;
        let (slowest_connect, all_connected) = crowd.connect(server.address(), connections)?;
        let Stay::Idle { hold, again } = stay else {
            let all_answered = crowd.exchange(false)?;
            return Ok(Outcome { slowest_connect, all_connected, all_answered, held: None });
        };
        thread::sleep(COME_TO_REST);
        let idle_began = server.clock().now()?;
        thread::sleep(hold);
        let idle_time = server.clock().now()? - idle_began;
        let (resident, all_answered) = crowd.settle(server)?;
        drop(crowd);
        let second =
            if again { Some(Crowd::return_to(server, connections).context("the second crowd")?) } else { None };
        let held = Some(Held { resident_before, resident, idle_time, second });
        Ok(Outcome { slowest_connect, all_connected, all_answered, held })
    }

    /// As many again, to a server that has just seen a crowd leave.
    fn return_to(server: &Server, connections: usize) -> anyhow::Result<Resident> {
        thread::sleep(COME_TO_REST);
        let mut crowd = Crowd::new(connections)?;
        crowd.connect(server.address(), connections)?;
        thread::sleep(COME_TO_REST);
        Ok(crowd.settle(server)?.0)
    }

    fn new(connections: usize) -> anyhow::Result<Crowd> {
        Ok(Crowd { poller: Poller::new()?, members: Vec::with_capacity(connections), message: message(64) })
    }

    /// One answer for everyone, all of them staying. Returns how long that took.
    fn settle(&mut self, server: &Server) -> anyhow::Result<(Resident, Duration)> {
        let idle = server.resident()?;
        let all_answered = self.exchange(true)?;
        thread::sleep(COME_TO_REST);
        Ok((Resident { idle, used: server.resident()? }, all_answered))
    }

    /// Returns how long the slowest connection took, and how long all of them.
    fn connect(&mut self, server: SocketAddr, connections: usize) -> anyhow::Result<(Duration, Duration)> {
        let began = Instant::now();
        let mut dialer = Dialer::new(server);
        let mut slowest = Duration::ZERO;
        let mut connected = 0;
        for number in 0..connections {
            let began = Instant::now();
            let socket = dialer.begin().with_context(|| format!("connection {number} of {connections}"))?;
            self.poller.watch(&socket, number, EventFlags::IN | EventFlags::OUT)?;
            let exchange = Some(Exchange::new(socket));
            self.members.push(Member { began, exchange, connected: false, answered: false });
            if number % LOOK_EVERY == 0 {
                connected += self.see_connected(Duration::ZERO, &mut slowest)?;
            }
        }
        while connected < connections {
            connected += self.see_connected(Duration::from_millis(100), &mut slowest)?;
            if began.elapsed() > CONNECT_WITHIN {
                bail!("only {connected} of {connections} were connected after {CONNECT_WITHIN:?}");
            }
        }
        Ok((slowest, began.elapsed()))
    }

    /// Takes one lot of events and returns how many connections have become complete.
    fn see_connected(&mut self, timeout: Duration, slowest: &mut Duration) -> anyhow::Result<usize> {
        let mut more = 0;
        for (number, flags) in self.poller.wait(timeout)? {
            if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
                bail!("connection {number} was refused or reset");
            }
            let member = &mut self.members[number];
            if flags.contains(EventFlags::OUT) && !member.connected {
                member.connected = true;
                more += 1;
                *slowest = (*slowest).max(member.began.elapsed());
            }
        }
        Ok(more)
    }

    /// One message for everyone, all sent before the first answer is looked at. Returns how long it took.
    fn exchange(&mut self, stay: bool) -> anyhow::Result<Duration> {
        let began = Instant::now();
        for member in &mut self.members {
            if let Some(exchange) = &mut member.exchange {
                exchange.send(&self.message)?;
            }
        }
        let mut buffer = vec![0; self.message.len()];
        let mut waiting = self.members.len();
        while waiting > 0 {
            for (number, _) in self.poller.wait(Duration::from_millis(100))? {
                let member = &mut self.members[number];
                let Some(exchange) = &mut member.exchange else { continue };
                if !member.answered && exchange.receive(&self.message, &mut buffer)? {
                    member.answered = true;
                    waiting -= 1;
                    if !stay {
                        member.exchange = None;
                    }
                }
            }
            if began.elapsed() > ANSWER_WITHIN {
                bail!("{waiting} of {} had no answer after {ANSWER_WITHIN:?}", self.members.len());
            }
        }
        Ok(began.elapsed())
    }
}
