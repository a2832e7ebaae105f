//! A live feed through loss: ours beside Aeron, and beside plain UDP where nothing is lost.

use std::error::Error;
use std::path::PathBuf;

use campanile_bench::arguments::Arguments;
use campanile_bench::feed::{Plan, SHARES};

use crate::bound::Bound;
use crate::chart::{Chart, Line, Scale};
use crate::environment::Environment;
use crate::feed::{Bench, Drivers, Sample, Way};
use crate::page;
use crate::peers::{aeron_version, build_aeron};
use crate::programs::build_peer;
use crate::series::Series;
use crate::turns::{Of, Target, Turns};

const SIZE: usize = 1344;
const RECEIVERS: usize = 2;

/// Aeron configured for few receivers near by: its waits before and after a repair, and how many repairs it keeps.
const AERON: Way = Way::Aeron(&[
    ("AERON_THREADING_MODE", "SHARED"),
    ("AERON_SHARED_IDLE_STRATEGY", "backoff"),
    ("AERON_SOCKET_SO_RCVBUF", "2m"),
    ("AERON_SOCKET_SO_SNDBUF", "2m"),
    ("AERON_RCV_INITIAL_WINDOW_LENGTH", "2m"),
    ("AERON_NAK_MULTICAST_GROUP_SIZE", "2"),
    ("AERON_NAK_MULTICAST_MAX_BACKOFF", "200us"),
    ("AERON_RETRANSMIT_UNICAST_LINGER", "1ms"),
    ("AERON_MAX_RESEND", "256"),
]);

/// Repair on demand, which is asked for again as soon as a repair may have been lost.
const ON_DEMAND: &[&str] = &[
    "preset=lan",
    "rate=400mbit",
    "fec=off",
    "nak-backoff=100us",
    "nak-repeat=1ms",
    "nak-data=1ms",
    "nak-elimination=500us",
];
/// Small groups with pro-active parity.
const AHEAD: &[&str] = &[
    "preset=lan",
    "rate=400mbit",
    "fec=8",
    "fec-ahead=2",
    "nak-backoff=100us",
    "nak-repeat=1ms",
    "nak-data=1ms",
    "nak-elimination=500us",
];

/// A feed as fast as possible.
struct Flood {
    /// The loss in thousandths.
    loss: u32,
    /// Our options, at the best rate found: where links deliver each packet by itself, and where they merge what arrives.
    ours: [&'static [&'static str]; 2],
    /// How many messages ours and Aeron send, a second or two each.
    counts: [u64; 2],
    /// The ratio that is wanted.
    times: f64,
}

static FLOODS: [Flood; 3] = [
    Flood {
        loss: 0,
        ours: [&at_most("rate=2500mbit"), &at_most("rate=4gbit")],
        counts: [300_000, 150_000],
        times: 2.0,
    },
    Flood {
        loss: 10,
        ours: [&at_most("rate=2gbit"), &at_most("rate=3200mbit")],
        counts: [300_000, 100_000],
        times: 4.0,
    },
    Flood {
        loss: 100,
        ours: [&packet_by_packet("rate=1600mbit"), &packet_by_packet("rate=3200mbit")],
        counts: [200_000, 20_000],
        times: 20.0,
    },
];

/// Ours at a rate, with parity on demand.
const fn at_most(rate: &'static str) -> [&'static str; 5] {
    ["preset=lan", rate, "window=128m", "memory=128m", "receive-window=65536"]
}

/// Packets are repaired one by one, as soon as they are asked for: two receivers seldom lack packets of the same group, and parity
/// would cost more processor time than it saves network time.
const fn packet_by_packet(rate: &'static str) -> [&'static str; 10] {
    [
        "preset=lan",
        rate,
        "window=128m",
        "memory=128m",
        "receive-window=65536",
        "fec=off",
        "nak-backoff=100us",
        "nak-repeat=1ms",
        "nak-data=1ms",
        "nak-elimination=500us",
    ]
}

/// The contestants at a fixed rate. Ours have threads of their own, or none.
const PACED_BY: [(&str, Way); 6] = [
    ("campanile, repair on demand", Way::Campanile(ON_DEMAND)),
    ("campanile, parity ahead", Way::Campanile(AHEAD)),
    ("campanile here, repair on demand", Way::Here(ON_DEMAND)),
    ("campanile here, parity ahead", Way::Here(AHEAD)),
    ("aeron", AERON),
    ("udp", Way::Raw),
];

/// 10,000 messages a second.
const PACED: Plan = Plan { count: 30_000, size: SIZE, rate: 10_000 };

/// Measures and writes the tables, unless `--print` is given.
pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let series = Series::take_in_parts(&mut arguments, 7)?;
    let feed: Option<PathBuf> = arguments.option("feed")?;
    arguments.end()?;
    let feed = feed.map_or_else(|| build_peer("feed"), Ok)?;
    let aeron = build_aeron()?;
    let environment = Environment::of_network([("aeron", aeron_version()?)])?;
    let bench = Bench::new(Drivers { feed, aeron, ..Drivers::default() }, RECEIVERS)?;
    let shorter = |count: u64| if series.is_quick { count / 100 } else { count };
    let (mut text, mut floods, mut paced) = (String::new(), Vec::new(), Vec::new());
    for (merges, way) in [(false, "each packet by itself"), (true, "links merge what arrives")] {
        bench.merge(merges)?;
        for &Flood { loss, ref ours, counts, times } in &FLOODS {
            let plan = |at: usize| Plan { count: shorter(counts[at]), size: SIZE, rate: 0 };
            let scene = if merges { format!("flood merged {loss}") } else { format!("flood {loss}") };
            let contestants = [Way::Campanile(ours[usize::from(merges)]), AERON];
            let turns = series.turns(&scene, &["campanile", "aeron"], |at| {
                bench.measure(contestants[at], plan(at), loss)
            })?;
            text += &throughput(&turns, loss, way, times);
            floods.push(turns);
        }
    }
    bench.merge(false)?;
    for loss in [0, 10] {
        // Plain UDP does not take part where packets are lost.
        let names = PACED_BY.map(|(name, _)| name);
        let names = if loss == 0 { &names[..] } else { &names[..names.len() - 1] };
        let plan = Plan { count: shorter(PACED.count), ..PACED };
        let turns =
            series.turns(&format!("paced {loss}"), names, |at| bench.measure(PACED_BY[at].1, plan, loss))?;
        text += &latency(&turns, loss);
        paced.push(turns);
    }
    text += &environment.table();
    if series.is_recorded() {
        draw_rates(&floods)?;
        for (turns, (name, loss)) in
            paced.iter().zip([("live-latency", "nothing"), ("live-latency-loss", "1 %")])
        {
            draw_latency(turns, name, loss)?;
        }
    }
    series.publish("live", &text)
}

/// Draws the rates over loss.
fn draw_rates(floods: &[Turns<Sample>]) -> Result<(), Box<dyn Error>> {
    let places: Vec<String> = FLOODS.iter().map(|flood| format!("{} %", flood.loss / 10)).collect();
    let (apart, merged) = floods.split_at(FLOODS.len());
    let line = |(label, floods, name): (_, &[Turns<Sample>], _)| Line {
        name: label,
        values: floods
            .iter()
            .map(|turns| turns.spread(name, |sample| sample.per_second * SIZE as f64 * 8.0 / 1e6))
            .collect(),
    };
    page::draw(
        "live-rate",
        &Chart {
            title: "A live feed to two receivers, in order: how much comes through",
            x_label: "loss on each receiver's link, not to scale (median and range)",
            places: &places,
            y_label: "Mbit/s of messages",
            scale: Scale::Linear,
            lines: [
                ("campanile", apart, "campanile"),
                ("aeron", apart, "aeron"),
                ("campanile, links merge", merged, "campanile"),
                ("aeron, links merge", merged, "aeron"),
            ]
            .map(line)
            .into(),
        },
    )
}

/// Draws the one-way times over their percentiles.
fn draw_latency(turns: &Turns<Sample>, name: &str, loss: &str) -> Result<(), Box<dyn Error>> {
    let ranks: [Of<Sample>; 5] = [
        |sample| sample.since_sent_us[0],
        |sample| sample.since_sent_us[1],
        |sample| sample.since_sent_us[2],
        |sample| sample.since_sent_us[3],
        |sample| sample.since_sent_us[4],
    ];
    let places: Vec<String> =
        SHARES[..ranks.len()].iter().map(|share| format!("p{}", share * 100.0)).collect();
    let line = |name| Line { name, values: ranks.iter().map(|&rank| turns.spread(name, rank)).collect() };
    page::draw(
        name,
        &Chart {
            title: &format!("One way at {} messages a second, {loss} lost", PACED.rate),
            x_label: "percentile, the worse of two receivers (median and range)",
            places: &places,
            y_label: "µs from the send",
            scale: Scale::Log,
            lines: PACED_BY
                .map(|(name, _)| line(name))
                .into_iter()
                .filter(|line| line.values.iter().any(Option::is_some))
                .collect(),
        },
    )
}

fn throughput(turns: &Turns<Sample>, loss: u32, way: &str, wanted: f64) -> String {
    let target = Target {
        what: "messages a second",
        of: |sample: &Sample| sample.per_second,
        ours: "campanile",
        peer: "aeron",
        bound: Bound::AtLeast(wanted),
    };
    let table = turns.table(&[
        ("messages a second", |sample| sample.per_second),
        ("Mbit/s of messages", |sample| sample.per_second * SIZE as f64 * 8.0 / 1e6),
        ("seconds of all processors for a million messages", |sample| sample.cpu),
    ]);
    let targets = turns.targets(&[target]);
    format!("### As fast as it goes, {} % loss, {way}\n\n{targets}\n{table}\n", loss / 10)
}

/// Ranks of [`campanile_bench::feed::SHARES`].
const P50: usize = 0;
const P99: usize = 2;
const P999: usize = 3;

fn latency(turns: &Turns<Sample>, loss: u32) -> String {
    let target = |ours, peer, (what, of): (_, Of<Sample>), most| Target {
        what,
        of,
        ours,
        peer,
        bound: Bound::AtMost(most),
    };
    let p99: (_, Of<Sample>) = ("p99 from when it is due", |sample| sample.since_due_us[P99]);
    let p999: (_, Of<Sample>) = ("p99.9 from when it is due", |sample| sample.since_due_us[P999]);
    let sent_p99: (_, Of<Sample>) = ("p99 from when it is sent", |sample| sample.since_sent_us[P99]);
    let sent_p999: (_, Of<Sample>) = ("p99.9 from when it is sent", |sample| sample.since_sent_us[P999]);
    let mut targets = Vec::new();
    for (ours, _) in PACED_BY.iter().filter(|(name, _)| name.starts_with("campanile")) {
        if loss == 0 {
            targets.extend([p99, p999, sent_p99, sent_p999].map(|what| target(ours, "udp", what, 1.5)));
        } else {
            targets.extend([p999, sent_p999].map(|what| target(ours, "aeron", what, 0.25)));
        }
    }
    let table = turns.table(&[
        ("µs from due, p50", |sample| sample.since_due_us[P50]),
        ("µs from due, p99", |sample| sample.since_due_us[P99]),
        ("µs from due, p99.9", |sample| sample.since_due_us[P999]),
        ("µs from sent, p50", |sample| sample.since_sent_us[P50]),
        ("µs from sent, p99", |sample| sample.since_sent_us[P99]),
        ("µs from sent, p99.9", |sample| sample.since_sent_us[P999]),
        ("messages missing", |sample| sample.missing),
        ("seconds of all processors for a million messages", |sample| sample.cpu),
    ]);
    let rate = PACED.rate;
    format!("### {rate} messages a second, {} % loss\n\n{}\n{table}\n", loss / 10, turns.targets(&targets))
}
