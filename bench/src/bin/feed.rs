//! A feed of messages to a group on `eth0`: by Campanile, with its own threads or on the program's (`here`), or by plain UDP.
//!
//! `feed send|recv campanile|here|raw COUNT SIZE RATE [OPTION=VALUE...]`

use std::error::Error;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use campanile::multicast::{Options, PublishError, Publisher, Received, Subscriber, current_thread};
use campanile_bench::feed::{Plan, Step, Tally, now_ns, stay};
use campanile_bench::socket;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 7, 3);
const PORT: u16 = 7503;
/// How long a receiver waits before it checks whether the feed is over.
const WAIT: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => stay(),
        Err(error) => {
            eprintln!("feed: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    let [task, kind, plan @ ..] = words else { return Err("a task and a kind are missing".into()) };
    let (plan, options) = plan.split_at(plan.len().min(3));
    let plan = Plan::parse(plan)?;
    match (task.as_str(), kind.as_str()) {
        ("send", "campanile") => send(plan, &parse(options)?),
        ("recv", "campanile") => receive(plan, &parse(options)?),
        ("send", "here") => send_here(plan, &parse(options)?),
        ("recv", "here") => receive_here(plan, &parse(options)?),
        ("send", "raw") => send_raw(plan),
        ("recv", "raw") => receive_raw(plan),
        _ => Err(format!("'{task} {kind}' is nothing to do").into()),
    }
}

fn parse(settings: &[String]) -> Result<Options, Box<dyn Error>> {
    let mut options = Options::new((GROUP, PORT).into());
    options.set("interface", "eth0")?;
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or(format!("'{setting}' is no OPTION=VALUE"))?;
        options.set(name, value)?;
    }
    Ok(options)
}

fn send(plan: Plan, options: &Options) -> Result<(), Box<dyn Error>> {
    let publisher = Publisher::start(options)?;
    plan.send(|message| publisher.publish(message))?;
    // The publisher goes on repairing; it does not end the session.
    publisher.flush()?;
    std::mem::forget(publisher);
    println!("sent");
    Ok(())
}

fn receive(plan: Plan, options: &Options) -> Result<(), Box<dyn Error>> {
    let subscriber = Subscriber::start(options)?;
    hear(plan, || subscriber.next(WAIT))?;
    std::mem::forget(subscriber);
    Ok(())
}

/// As [`send`], without another thread; never returns, since receivers may need repairs.
fn send_here(plan: Plan, options: &Options) -> Result<(), Box<dyn Error>> {
    let mut publisher = current_thread::Publisher::start(options)?;
    plan.play(|step| match step {
        Step::Wait { due_ns } => {
            publisher.run_until(Instant::now() + Duration::from_nanos(due_ns.saturating_sub(now_ns())));
            Ok(())
        }
        // A message that is due now must not wait for later ones; without due times, full packets are best.
        Step::Send(message) if plan.rate > 0 => publisher.publish(message),
        Step::Send(message) => publisher.gather(message),
    })?;
    publisher.flush()?;
    println!("sent");
    while publisher.next(Duration::MAX).is_some() {}
    Err(PublishError::Finished.into())
}

/// As [`receive`], without another thread.
fn receive_here(plan: Plan, options: &Options) -> Result<(), Box<dyn Error>> {
    let mut subscriber = current_thread::Subscriber::start(options)?;
    hear(plan, || subscriber.next(WAIT))?;
    // Stays until it is ended; only reports are still sent.
    while subscriber.next(Duration::MAX).is_some() {}
    Ok(())
}

/// Receives a feed and prints the tally.
fn hear(plan: Plan, mut next: impl FnMut() -> Option<Received>) -> Result<(), Box<dyn Error>> {
    println!("ready");
    let mut tally = Tally::new(plan);
    loop {
        match next() {
            Some(Received::Message { bytes, .. }) if tally.take(&bytes) => break,
            Some(Received::Failed(error)) => return Err(error.into()),
            None if tally.is_over() => break,
            _ => {}
        }
    }
    println!("{}", tally.line());
    Ok(())
}

fn send_raw(plan: Plan) -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    plan.send(|message| socket.send_to(message, (GROUP, PORT)).map(drop))?;
    println!("sent");
    Ok(())
}

fn receive_raw(plan: Plan) -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind((GROUP, PORT))?;
    socket::enlarge(&socket)?;
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)?;
    socket.set_read_timeout(Some(WAIT))?;
    println!("ready");
    let mut tally = Tally::new(plan);
    let mut buffer = vec![0; 65_536];
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) if tally.take(&buffer[..len]) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && tally.is_over() => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    println!("{}", tally.line());
    Ok(())
}
