//! How close the machines come to the ideal: one source, equal receivers, independent loss.

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
use crate::{Attachment, Link, Loss, Medium, PartyId, Rng, Time, model};

/// A transfer to receivers that are all alike.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The number of receivers.
    pub receivers: u32,
    /// The share of packets that each receiver loses.
    pub loss: f64,
    /// The share of packets that are lost on the way to the source.
    pub upstream_loss: f64,
    /// How losses are repaired.
    pub mode: Mode,
    /// The form in which it is published and delivered.
    pub kind: Kind,
    /// The number of data packets in a transmission group.
    pub k: u8,
    /// The number of transmission groups in the transfer.
    pub groups: u32,
    /// Bytes a second, headers included.
    pub bytes_per_second: u64,
    /// The seed of all randomness.
    pub seed: u64,
}

/// How losses are repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By sending lost packets again.
    Selective,
    /// By parity on demand.
    OnDemand,
    /// By adaptive pro-active parity, and beyond that by sending lost packets again.
    ProActive,
    /// By adaptive pro-active parity, and beyond that by parity on demand.
    Both,
}

impl Mode {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Selective => "selective",
            Mode::OnDemand => "on demand",
            Mode::ProActive => "pro-active",
            Mode::Both => "both",
        }
    }
}

/// The results of a transfer.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Bytes sent, headers of lower layers included, for each byte of the file.
    pub wire_per_useful: f64,
    /// The bytes sent, relative to the closed form times headers.
    pub wire_over_ideal: f64,
    /// NAKs that reached the source for each transmission group.
    pub naks_per_group: f64,
    /// The same for the second half of the groups, after the source has adapted.
    pub naks_per_late_group: f64,
    /// The time until the last receiver was complete, relative to the time that the closed form times headers takes at the rate.
    pub time_over_ideal: f64,
    /// The other results.
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

/// The delay of each packet in each direction.
const DELAY: Duration = Duration::from_millis(2);
/// The length of the IPv4 and UDP headers.
const HEADERS: u16 = 28;

impl Case {
    /// Runs the transfer and compares it with the ideal.
    ///
    /// # Errors
    ///
    /// The first broken promise.
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
        let (group, nla) = (address::of_group(0), address::of_party(PartyId(0), 0));
        let mut config = SourceConfig::new(Endpoint { session, group, nla });
        config.seed = self.seed;
        config.framing = framing(self.kind);
        config.pace.bytes_per_second = self.bytes_per_second;
        config.pace.overhead = HEADERS;
        config.parity = self.parity();
        config.window = WindowConfig {
            // Twice the transfer: only half of a window may wait to be sent.
            size: WindowSize::Packets(2 * (self.groups + 1) * u32::from(self.k)),
            join: Join::All,
            kept: if self.kind == Kind::File { Kept::Elsewhere { groups: 64 } } else { Kept::Here },
            ..WindowConfig::default()
        };
        let tsdu_len = Source::new(Instant::ZERO, config.clone()).map_or(0, |source| source.tsdu_len());
        let bytes = tsdu_len * self.k as usize * self.groups as usize;
        let attachment = Attachment { down: lossy(self.upstream_loss), ..Attachment::default() };
        let source = SourceOptions {
            config,
            attachment,
            bytes,
            longest: 1000,
            part_len: None,
            feed: Feed::AtOnce,
            disk: Duration::ZERO,
            packs: false,
            keeps_all: true,
        };
        let mut rng = Rng::new(self.seed);
        let receivers = (0..self.receivers).map(|_| {
            let mut config = ReceiverConfig::new(PORT);
            config.seed = rng.next_u64();
            config.consumer = consumer(self.kind);
            let delayed = Link::delay(DELAY);
            let attachment = Attachment {
                up: delayed,
                down: Link { delay: DELAY, ..lossy(self.loss) },
                ..Attachment::default()
            };
            ReceiverOptions {
                config,
                attachment,
                interface: 0,
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
