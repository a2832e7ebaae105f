//! How well the machines do beside what is possible: one source, equal receivers, independent loss.

use std::time::Duration;

use campanile_pgm::receiver::ReceiverConfig;
use campanile_pgm::source::{
    Endpoint, Join, Kept, ParityConfig, ProActive, Source, SourceConfig, WindowConfig, WindowSize,
};
use campanile_pgm::wire::{DataHead, Session};
use campanile_pgm::{Gsi, Instant, Tsi};

use super::address;
use super::content::Kind;
use super::draw::{PORT, consumer, framing};
use super::options::{Feed, Options, ReceiverOptions, SourceOptions};
use super::scenario;
use super::summary::Summary;
use super::violation::Violation;
use crate::{Link, Loss, Medium, PartyId, Rng, Seat, Time, model};

/// One transfer to receivers that are all alike.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Receivers.
    pub receivers: u32,
    /// The share of packets that each of them loses.
    pub loss: f64,
    /// The share of packets that are lost on the way to the source.
    pub upstream_loss: f64,
    /// How what is lost is repaired.
    pub mode: Mode,
    /// In which form it is said and delivered.
    pub kind: Kind,
    /// Data packets of a transmission group.
    pub k: u8,
    /// Transmission groups of the transfer.
    pub groups: u32,
    /// Bytes a second, headers included.
    pub bytes_per_second: u64,
    /// What chance follows from.
    pub seed: u64,
}

/// How what is lost is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By sending it again.
    Selective,
    /// By parity that is asked for.
    OnDemand,
    /// By parity sent unasked, adapted to the loss, and beyond it by sending again.
    ProActive,
    /// By parity sent unasked, adapted to the loss, and beyond it by parity that is asked for.
    Both,
}

impl Mode {
    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Selective => "selective",
            Mode::OnDemand => "on demand",
            Mode::ProActive => "pro-active",
            Mode::Both => "both",
        }
    }
}

/// What a transfer came to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Bytes sent, headers of lower layers included, for each byte of the file.
    pub wire_per_useful: f64,
    /// The same beside the closed form times headers.
    pub wire_over_ideal: f64,
    /// NAKs that came to the source for each transmission group.
    pub naks_per_group: f64,
    /// The same for the second half of the groups, when the source has adapted.
    pub naks_per_late_group: f64,
    /// The time until the last receiver was complete beside the closed form times headers through the rate.
    pub time_over_ideal: f64,
    /// All else.
    pub summary: Summary,
}

impl Default for Case {
    /// A file for 40 receivers with 20 % loss, both kinds of parity, k = 64, 56 groups (about 5 MB) at 16 Mb/s.
    fn default() -> Self {
        Self {
            receivers: 40,
            loss: 0.2,
            upstream_loss: 0.0,
            mode: Mode::Both,
            kind: Kind::File,
            k: 64,
            groups: 56,
            bytes_per_second: 2_000_000,
            seed: 1,
        }
    }
}

/// Time that each packet takes in each direction.
const DELAY: Duration = Duration::from_millis(2);
/// IPv4 and UDP.
const HEADERS: u16 = 28;

impl Case {
    /// Runs the transfer and compares it.
    ///
    /// # Errors
    ///
    /// The first promise that was seen broken.
    pub fn measure(&self) -> Result<Measured, Violation> {
        let options = self.options();
        let tsdu_len = options.sources[0].bytes / (self.k as usize * self.groups as usize);
        let packet = (tsdu_len + DataHead::LEN_MIN) as f64 + f64::from(HEADERS);
        let k = if self.mode == Mode::Selective { 1 } else { u32::from(self.k) };
        let per_useful = model::transmissions(k, self.receivers, self.loss) * packet / tsdu_len as f64;
        let useful = options.sources[0].bytes as f64;
        let ideal_time = per_useful * useful / self.bytes_per_second as f64 + DELAY.as_secs_f64();
        let summary = scenario::run(&options, None)?;
        let naks = |groups: &[u32]| f64::from(groups.iter().sum::<u32>()) / groups.len() as f64;
        Ok(Measured {
            wire_per_useful: summary.wire_per_useful(),
            wire_over_ideal: summary.wire_per_useful() / per_useful,
            naks_per_group: naks(&summary.naks_by_group),
            naks_per_late_group: naks(&summary.naks_by_group[self.groups as usize / 2..]),
            time_over_ideal: summary.last_done.seconds() / ideal_time,
            summary,
        })
    }

    /// The world of the transfer.
    #[must_use]
    pub fn options(&self) -> Options {
        let tsi = Tsi { gsi: Gsi([2, 0, 0, 0, 0, 9]), port: 1000 };
        let session = Session { tsi, destination_port: PORT };
        let (group, nla) = (address::of_group(0), address::of_party(PartyId(0)));
        let mut config = SourceConfig::new(Endpoint { session, group, nla });
        config.seed = self.seed;
        config.framing = framing(self.kind);
        config.pace.bytes_per_second = self.bytes_per_second;
        config.pace.overhead = HEADERS;
        config.parity = self.parity();
        config.window = WindowConfig {
            // Twice what is said: half a window may wait to be sent.
            size: WindowSize::Packets(2 * (self.groups + 1) * u32::from(self.k)),
            join: Join::All,
            kept: if self.kind == Kind::File { Kept::Elsewhere { groups: 64 } } else { Kept::Here },
            ..WindowConfig::default()
        };
        let tsdu_len = Source::new(Instant::ZERO, config.clone()).map_or(0, |source| source.tsdu_len());
        let bytes = tsdu_len * self.k as usize * self.groups as usize;
        let seat = Seat { down: lossy(self.upstream_loss), ..Seat::default() };
        let source = SourceOptions {
            config,
            seat,
            bytes,
            longest: 1000,
            feed: Feed::AtOnce,
            disk: Duration::ZERO,
            keeps_all: true,
        };
        let mut rng = Rng::new(self.seed);
        let receivers = (0..self.receivers).map(|_| {
            let mut config = ReceiverConfig::new(PORT);
            config.seed = rng.next_u64();
            config.consumer = consumer(self.kind);
            let delayed = Link::delay(DELAY);
            let seat =
                Seat { up: delayed, down: Link { delay: DELAY, ..lossy(self.loss) }, ..Seat::default() };
            ReceiverOptions {
                config,
                seat,
                joins: Time::START,
                has_percent: 0,
                disk: Duration::ZERO,
                naps: None,
            }
        });
        Options {
            seed: self.seed,
            kind: self.kind,
            medium: Medium::default(),
            sources: vec![source],
            receivers: receivers.collect(),
            hostile: None,
            faults: Vec::new(),
        }
    }

    fn parity(&self) -> Option<ParityConfig> {
        let adaptive = ProActive::Adaptive { target_percent: 30 };
        let (pro_active, on_demand) = match self.mode {
            Mode::Selective => return None,
            Mode::OnDemand => (ProActive::Off, true),
            Mode::ProActive => (adaptive, false),
            Mode::Both => (adaptive, true),
        };
        Some(ParityConfig { group: self.k, pro_active, on_demand })
    }
}

fn lossy(loss: f64) -> Link {
    let loss = if loss == 0.0 { Loss::None } else { Loss::independent(loss) };
    Link { loss, ..Link::default() }
}
