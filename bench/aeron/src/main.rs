//! A feed of messages to a group on `eth0`, by Aeron: a client and its media driver in one process.
//!
//! `campanile-bench-aeron send|recv DIRECTORY ADDRESS COUNT SIZE RATE`, where ADDRESS is that of `eth0`. The driver's settings come
//! from the environment, as Aeron's own programs take them.

#[path = "../../src/feed.rs"]
mod feed;

use std::error::Error;
use std::ffi::CString;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use feed::{Plan, Tally, stay};
use rusteron_client::{Aeron, AeronContext, Handlers, IntoCString};
use rusteron_media_driver::{AeronDriver, AeronDriverContext};

const GROUP: &str = "239.192.7.5:7505";
const STREAM: i32 = 1001;
const PATIENCE: Duration = Duration::from_secs(10);
/// How many messages a subscriber takes at a time.
const FRAGMENTS: usize = 64;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => stay(),
        Err(error) => {
            eprintln!("aeron: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    let [task, directory, address, plan @ ..] = words else {
        return Err("TASK DIRECTORY ADDRESS are missing".into());
    };
    let plan = Plan::parse(plan)?;
    let channel = format!("aeron:udp?endpoint={GROUP}|interface={address}|ttl=4");
    let settings = AeronDriverContext::new()?;
    settings.set_dir_delete_on_start(true)?;
    settings.set_dir(&directory.as_str().into_c_string())?;
    // The driver runs as long as this process.
    let driver = AeronDriver::launch_embedded(settings, false);
    let context = AeronContext::new()?;
    context.set_dir(&directory.as_str().into_c_string())?;
    let aeron = Aeron::new(&context)?;
    aeron.start()?;
    match task.as_str() {
        "send" => send(&aeron, plan, &format!("{channel}|fc=min").into_c_string())?,
        "recv" => receive(&aeron, plan, &channel.into_c_string())?,
        _ => return Err(format!("'{task}' is nothing to do").into()),
    }
    std::mem::forget((driver, aeron));
    Ok(())
}

fn send(aeron: &Aeron, plan: Plan, channel: &CString) -> Result<(), Box<dyn Error>> {
    let publication = aeron.async_add_exclusive_publication(channel, STREAM)?.poll_blocking(PATIENCE)?;
    while !publication.is_connected() {
        thread::sleep(Duration::from_millis(1));
    }
    // Connected means that one receiver is there: give the others time.
    thread::sleep(Duration::from_millis(500));
    plan.send(|message| {
        let mut idle = Idle::default();
        loop {
            match publication.offer(message) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_retryable() => idle.wait(),
                Err(error) => return Err(error.to_string()),
            }
        }
    })?;
    std::mem::forget(publication);
    println!("sent");
    Ok(())
}

fn receive(aeron: &Aeron, plan: Plan, channel: &CString) -> Result<(), Box<dyn Error>> {
    let subscription = aeron
        .async_add_subscription(channel, STREAM, Handlers::NONE, Handlers::NONE)?
        .poll_blocking(PATIENCE)?;
    println!("ready");
    let mut tally = Tally::new(plan);
    let (mut is_last, mut idle) = (false, Idle::default());
    while !is_last && !tally.is_over() {
        // A message is shorter than a packet: none is in fragments.
        let taken = subscription.poll_fn(|message, _| is_last |= tally.take(message), FRAGMENTS)?;
        if taken == 0 { idle.wait() } else { idle = Idle::default() }
    }
    println!("{}", tally.line());
    // As Aeron's subscribers do, this one goes on to listen: others may still be repaired.
    std::mem::forget(subscription);
    Ok(())
}

/// Waits longer each time, as Aeron's own back-off does: it spins, yields, and sleeps from a microsecond on.
#[derive(Default)]
struct Idle {
    turns: u32,
}

impl Idle {
    fn wait(&mut self) {
        self.turns = self.turns.saturating_add(1);
        match self.turns {
            ..=10 => std::hint::spin_loop(),
            ..=30 => thread::yield_now(),
            turns => thread::sleep(Duration::from_micros(1 << (turns - 31).min(8))),
        }
    }
}
