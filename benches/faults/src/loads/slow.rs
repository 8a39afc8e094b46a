use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::churn::Tally;
use super::Scale;
use crate::client::{message, Client};
use crate::process::Server;
use crate::report::{Row, Time, Unit};
use crate::server::{Kind, Settings};

/// More than the kernel's buffers take.
const LARGE_ANSWER: u32 = 16 << 20;

/// L5.
pub fn run(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let [trickling, deaf, honest] = scale.crowds([2000, 500, 50], [100, 20, 10]);
    let (idle, deadline) = (scale.seconds(5.0, 1.5), scale.seconds(20.0, 2.0));
    let pause = scale.seconds(4.0, 0.5);
    row.done = format!("{trickling} that trickle, {deaf} that do not read, {honest} honest at 20 a second");
    let settings = Settings {
        max: trickling + deaf + honest + 10,
        read_timeout: Some(idle),
        // A client that does not read is cut by the one that ends first.
        write_timeout: Some(deadline),
        deadline: Some(deadline),
        ..Settings::default()
    };
    let server = Server::start(kind, &settings)?;
    let address = server.address();
    let over = AtomicBool::new(false);
    let (cut, peak, tally, late) = thread::scope(|scope| -> anyhow::Result<_> {
        let over = &over;
        let honest: Vec<_> = (0..honest as u64)
            .map(|number| scope.spawn(move || talk(address, number, (idle, deadline), over)))
            .collect();
        let peak = scope.spawn(|| -> anyhow::Result<u64> {
            let mut peak = 0;
            while !over.load(Ordering::SeqCst) {
                peak = peak.max(server.resident()?);
                thread::sleep(Duration::from_millis(100));
            }
            Ok(peak)
        });
        let cut = crowd(&server, trickling, deaf, pause, deadline);
        over.store(true, Ordering::SeqCst);
        let mut whole = Tally::new();
        let mut late = 0;
        for honest in honest {
            let (tally, stalled) = honest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            whole.add(tally);
            late += stalled;
        }
        let peak = peak.join().ok().context("watching the memory has panicked")??;
        Ok((cut?, peak, whole, late))
    })?;
    row.equal("cut of those that trickle", cut.trickling.len(), trickling);
    let wanted = (trickling + deaf) as u64;
    let expected = match late {
        0 => format!("ended in an error: {wanted}"),
        _ => format!("ended in an error: {wanted}, and at most {late} honest ones"),
    };
    row.check(expected, cut.errors, (wanted..=wanted + late).contains(&cut.errors));
    // With the short timeouts of a quick run, a machine that stands still for a second makes them what a server may cut.
    if scale.quick {
        row.tell("honest ones held up until a timeout", late);
    } else {
        row.none("honest one held up until a timeout", late);
    }
    // From its connect, behind which the server's own clock starts.
    let early = deadline.saturating_sub(Duration::from_millis(50));
    let earliest = cut.trickling.iter().map(|fate| fate.after_connect).min().unwrap_or_default();
    let expected = format!("none cut before {}", Time(early));
    if pause + cut.longest_round < idle {
        row.check(expected, Time(earliest), earliest >= early);
    } else {
        // The read timeout has cut some, whose byte was late because the machine was busy.
        row.tell(expected, Time(earliest));
    }
    // From its first answer, before which that clock has started: a server that is flooded takes its time to take them all in.
    let slack = Duration::from_millis(if kind == Kind::Threading { 250 } else { 100 });
    let latest = cut.trickling.iter().map(|fate| fate.after_answer).max().unwrap_or_default();
    row.at_most("all that trickle cut", latest, deadline + scale.time(slack));
    row.at_most("all that do not read cut", cut.all, deadline + scale.time(slack));
    row.tell("longest wait for the first answer", Time(cut.first_answers));
    row.at_most("p99 of the honest", tally.quantile(0.99), scale.time(Duration::from_millis(100)));
    row.check(format!("no error in {} honest answers", tally.times.len()), tally.errors(), tally.errors.is_empty());
    row.memory("memory", peak as f64, 256.0 * 1024.0 * 1024.0, Unit::Mib);
    server.check_leaks(row)?;
    server.check_stop(row)
}

/// An honest client, at 20 requests a second, until it is over. It comes again before the deadline ends its connection. Returns too how often
/// it was held up for as long as the server waits for a client, which is the read timeout and the deadline.
fn talk(server: SocketAddr, number: u64, (idle, deadline): (Duration, Duration), over: &AtomicBool) -> (Tally, u64) {
    let (mut tally, mut late) = (Tally::new(), 0);
    let mut count = number << 32;
    while !over.load(Ordering::SeqCst) {
        let began = Instant::now();
        let mut client = match Client::connect(server) {
            Ok(client) => client,
            Err(error) => {
                tally.count(began, Err(error));
                continue;
            }
        };
        let (connected, mut last) = (Instant::now(), Instant::now());
        let held_up = |last: Instant, now: Instant| {
            now - last >= idle.mul_f64(0.9) || connected.elapsed() >= deadline.mul_f64(0.9)
        };
        'connection: {
            for _ in 0..5 {
                let began = Instant::now();
                let outcome = client.exchange(&message(64, count));
                count += 1;
                match outcome {
                    Err(_) if held_up(last, began) => {
                        late += 1;
                        break 'connection;
                    }
                    Err(error) => {
                        tally.count(began, Err(error));
                        break 'connection;
                    }
                    Ok(()) => tally.count(began, Ok(())),
                }
                last = Instant::now();
                thread::sleep(Duration::from_millis(50));
            }
            // Whoever was held up in its last pause has nothing more to ask, and does not see that it was cut.
            late += u64::from(held_up(last, Instant::now()));
        }
    }
    (tally, late)
}

struct Cut {
    trickling: Vec<Fate>,
    /// The slowest first answer, after its connect.
    first_answers: Duration,
    /// How long after the last first answer the server had ended them all. One that does not read does not see it.
    all: Duration,
    errors: u64,
    /// From one look at all of them to the next.
    longest_round: Duration,
}

/// When one was cut, as it saw it.
#[derive(Clone, Copy)]
struct Fate {
    after_connect: Duration,
    after_answer: Duration,
}

struct Slow {
    client: Client,
    began: Instant,
    answered: Option<Instant>,
    fate: Option<Fate>,
}

impl Slow {
    fn look(&mut self, now: bool) {
        match trickle(self.client.stream(), now) {
            Seen::Nothing => {}
            Seen::Answer => {
                self.answered.get_or_insert_with(Instant::now);
            }
            Seen::End => {
                let after_connect = self.began.elapsed();
                let after_answer = self.answered.map_or(after_connect, |answered| answered.elapsed());
                self.fate = Some(Fate { after_connect, after_answer });
            }
        }
    }
}

fn crowd(server: &Server, count: usize, deaf: usize, pause: Duration, deadline: Duration) -> anyhow::Result<Cut> {
    let [a, b, c, d] = LARGE_ANSWER.to_be_bytes();
    let mut unread = Vec::with_capacity(deaf);
    for _ in 0..deaf {
        let mut client = Client::connect_with_small_buffer(server.address())?;
        client.say(&[b'a', a, b, c, d])?;
        unread.push(client);
    }
    let mut trickling = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        let mut client = Client::connect(server.address())?;
        client.say(b"e")?;
        client.stream().set_nonblocking(true)?;
        trickling.push(Slow { client, began, answered: None, fate: None });
    }
    let (connected, mut next) = (Instant::now(), Instant::now() + pause);
    let (mut all, mut longest_round, mut round) = (None, Duration::ZERO, Instant::now());
    while (all.is_none() || trickling.iter().any(|slow| slow.fate.is_none()))
        && connected.elapsed() < 2 * deadline + Duration::from_secs(10)
    {
        longest_round = longest_round.max(round.elapsed());
        round = Instant::now();
        let now = round >= next;
        if now {
            next += pause;
        }
        trickling.iter_mut().filter(|slow| slow.fate.is_none()).for_each(|slow| slow.look(now));
        if all.is_none() && server.state()?.handler_errors >= (count + deaf) as u64 {
            all = Some(Instant::now());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let waits = trickling.iter().filter_map(|slow| Some(slow.answered?.saturating_duration_since(slow.began)));
    let last = trickling.iter().filter_map(|slow| slow.answered).max().unwrap_or(connected);
    Ok(Cut {
        first_answers: waits.max().unwrap_or(Duration::MAX),
        all: all.map_or(Duration::MAX, |all| all.saturating_duration_since(last)),
        errors: server.state()?.handler_errors,
        longest_round,
        trickling: trickling.iter().filter_map(|slow| slow.fate).collect(),
    })
}

enum Seen {
    Nothing,
    Answer,
    End,
}

/// Sends another byte if it is time, and reads what comes back.
fn trickle(mut stream: &TcpStream, now: bool) -> Seen {
    if now && stream.write(b"x").is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
        return Seen::End;
    }
    match stream.read(&mut [0; 64]) {
        Ok(0) => Seen::End,
        Ok(_) => Seen::Answer,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Seen::Nothing,
        Err(_) => Seen::End,
    }
}
