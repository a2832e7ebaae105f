//! A publisher or a subscriber of the library, for the tests with other projects' programs on the other end.
//!
//! ```text
//! probe publish COUNT SIZES single|multi [NAME=VALUE...]      publishes the messages of the plan, then ends its session
//! probe subscribe COUNT SIZES single|multi [NAME=VALUE...]    says for each message whether it is the plan's next one
//! ```
//!
//! NAME and VALUE are options of the library. A subscriber treats its sources separately: each has a plan of its own. It runs until
//! it is ended.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use campanile::multicast::{Counter, Options, Published, Publisher, Received, Subscriber, Tsi};
use campanile_rig::Traffic;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [task, count, sizes, parts, settings @ ..] = &arguments[..] else {
        return Err("see the head of this program".into());
    };
    let sizes: Vec<usize> = sizes.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let (count, plan) = (count.parse()?, Traffic::new(&sizes, parts == "multi"));
    let mut options = Options::default();
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or("options are NAME=VALUE")?;
        options.set(name, value)?;
    }
    match task.as_str() {
        "publish" => publish(count, &plan, &options),
        "subscribe" => subscribe(count, &plan, &options),
        _ => Err("publish or subscribe".into()),
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

fn publish(count: usize, plan: &Traffic, options: &Options) -> Result<(), Box<dyn Error>> {
    let publisher = Publisher::start(options)?;
    say(&format!("ready {}", publisher.tsi()))?;
    // Other projects' receivers begin with the first packet that they hear; losses before that are not the subject here.
    while publisher.counts().of(Counter::SpmsSent) < 6 {
        publisher.next(Duration::from_millis(5));
    }
    for number in 0..count {
        let message = plan.message(number);
        let (last, parts) = message.split_last().expect("a message has a part");
        for part in parts {
            publisher.publish_part(part)?;
        }
        publisher.publish(last)?;
    }
    publisher.flush()?;
    say("published")?;
    publisher.finish();
    while let Some(event) = publisher.next(Duration::MAX) {
        match event {
            Published::Finished => return Ok(say(&format!("finished {:?}", publisher.counts()))?),
            Published::Failed(why) => return Err(why.into()),
            Published::Report { .. } => {}
        }
    }
    Err("the publisher ended without a word".into())
}

/// What has arrived from one source.
#[derive(Default)]
struct Source {
    /// The number of the next expected message.
    next: usize,
    /// The parts of an incomplete message.
    parts: Vec<Vec<u8>>,
    /// Bytes of a stream that are not checked yet.
    stream: Vec<u8>,
}

impl Source {
    /// Compares complete messages with the plan.
    fn judge(&mut self, plan: &Traffic, tsi: Tsi) -> io::Result<()> {
        let is_right = self.parts == plan.message(self.next);
        say(&format!("{} {} of {tsi}", if is_right { "right" } else { "wrong" }, self.next))?;
        self.parts.clear();
        self.next += 1;
        Ok(())
    }
}

fn subscribe(count: usize, plan: &Traffic, options: &Options) -> Result<(), Box<dyn Error>> {
    let subscriber = Subscriber::start(options)?;
    say("ready")?;
    let mut sources: HashMap<Tsi, Source> = HashMap::new();
    while let Some(event) = subscriber.next(Duration::MAX) {
        match event {
            Received::Message { tsi, bytes, more } => {
                let source = sources.entry(tsi).or_default();
                source.parts.push(bytes.into());
                if !more {
                    source.judge(plan, tsi)?;
                }
            }
            Received::Bytes { tsi, bytes } => {
                let source = sources.entry(tsi).or_default();
                source.stream.extend_from_slice(&bytes);
                loop {
                    let len = plan.message(source.next)[0].len();
                    if source.stream.len() < len || source.next == count {
                        break;
                    }
                    source.parts = vec![source.stream.drain(..len).collect()];
                    source.judge(plan, tsi)?;
                }
            }
            Received::Failed(why) => return Err(why.into()),
            event => say(&format!("{event:?}"))?,
        }
    }
    Ok(())
}
