//! The one client that drives every server.
//!
//! `client flood|paced --to ADDRESS --size BYTES --segments N --window N --rate N --warm-up MS --measure MS
//! --server PID --cores N,N`
//!
//! `flood` is a closed loop: trains of `--segments` datagrams, at most `--window` datagrams on their way. `paced` sends single
//! datagrams in even steps and times each round trip. Both first prove that the server sends back what it was sent. The client
//! spins: it never sleeps, so that a server does not pay for waking it, as no server pays for waking a machine across a wire.
//! Prints one line of JSON, a `Report`.

mod counts;
mod flood;
mod line;
mod paced;
mod trains;
mod watch;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use campanile_bench::arguments::Arguments;
use flood::Flood;
use line::Line;
use paced::Paced;
use watch::Watch;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments::parse(std::env::args().skip(1));
    let kind: String = arguments.word("kind of load")?;
    let to: SocketAddr = arguments.required("to")?;
    let (size, segments) = (arguments.required("size")?, arguments.option("segments")?.unwrap_or(1));
    let (window, rate) =
        (arguments.option("window")?.unwrap_or(segments), arguments.option("rate")?.unwrap_or(0));
    let mut milliseconds = |name| arguments.required(name).map(Duration::from_millis);
    let (warm_up, measure) = (milliseconds("warm-up")?, milliseconds("measure")?);
    let (server, cores) = (arguments.required("server")?, arguments.required::<String>("cores")?);
    let cores = cores.split(',').map(str::parse).collect::<Result<_, _>>()?;
    arguments.end()?;

    let mut line = Line::open(to, size, segments)?;
    line.reach()?;
    line.prove()?;
    let watch = Watch::new(server, cores);
    let report = match kind.as_str() {
        "flood" => Flood::new(line, segments, window)?.run(warm_up, measure, watch)?,
        "paced" => Paced::new(line, rate)?.run(warm_up, measure, watch)?,
        _ => return Err(format!("'{kind}' is no kind of load: flood or paced").into()),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
