//! What tshark should say of a packet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use campanile_pgm::wire::{
    Body, Data, DataContent, NakList, Packet, PacketType, Poll, PollKind, Reach, Request, Spm, SpmOptions,
    WindowState,
};

/// What tshark should say of a packet; a field that is not here it should not have.
pub(crate) fn expected(packet: &Packet<'_>) -> BTreeMap<&'static str, String> {
    let mut fields = Expected(BTreeMap::new());
    let session = packet.session;
    let ports = [session.tsi.port, session.destination_port];
    let [source, destination] = if packet.packet_type().is_upstream() { [ports[1], ports[0]] } else { ports };
    fields.number("pgm.hdr.sport", source);
    fields.number("pgm.hdr.dport", destination);
    fields.number("pgm.hdr.type", packet.packet_type() as u8);
    fields.set("pgm.hdr.gsi", session.tsi.gsi.0.map(|byte| format!("{byte:02x}")).concat());
    fields.set("pgm.hdr.cksum.status", GOOD.to_owned());
    fields.number("pgm.hdr.tsdulen", 0_u32);
    let options = emitted(packet);
    if !options.is_empty() {
        let total = 4 + options.iter().map(|option| option.len).sum::<usize>();
        fields.number("pgm.opts.tlen", u32::try_from(total).unwrap());
    }
    fields.number("pgm.hdr.opts.opt", !options.is_empty());
    fields.number("pgm.hdr.opts.netsig", options.iter().any(|option| option.network));
    fields.number("pgm.hdr.opts.varlen", false);
    match &packet.body {
        Body::Spm(spm) => fields.spm(spm),
        Body::Poll(poll) => fields.poll(poll),
        Body::Polr(polr) => {
            fields.number("pgm.polr.sqn", polr.sqn.0);
            fields.number("pgm.polr.round", polr.round);
            polr.redirect.iter().for_each(|address| fields.redirect(*address));
        }
        Body::Data(data) => fields.data(data),
        Body::Nak(nak) => {
            fields.request(&nak.request);
            nak.feedback.iter().for_each(|feedback| {
                fields.pgmcc(feedback.timestamp_ms, feedback.receiver, Some(feedback.loss_rate));
            });
        }
        Body::Nnak(request) => fields.request(request),
        Body::Ncf(ncf) => {
            fields.request(&ncf.request);
            ncf.redirect.iter().for_each(|address| fields.redirect(*address));
            ncf.backoff_interval
                .iter()
                .for_each(|interval| fields.interval(interval.interval_us, interval.poll_sqn.0));
        }
        Body::Spmr => {}
        Body::Ack(ack) => {
            fields.number("pgm.ack.maxsqn", ack.rx_max.0);
            fields.number("pgm.ack.bitmap", ack.bitmap);
            ack.feedback.iter().for_each(|feedback| {
                fields.pgmcc(feedback.timestamp_ms, feedback.receiver, Some(feedback.loss_rate));
            });
        }
    }
    let parity = match &packet.body {
        Body::Data(data) => matches!(data.head.content, DataContent::Parity { .. }),
        Body::Polr(polr) => polr.parity,
        Body::Nak(nak) => nak.request.parity,
        Body::Nnak(request) => request.parity,
        Body::Ncf(ncf) => ncf.request.parity,
        _ => false,
    };
    fields.number("pgm.hdr.opts.parity", parity);
    fields.0
}

struct Expected(BTreeMap<&'static str, String>);

impl Expected {
    fn set(&mut self, field: &'static str, value: String) {
        assert!(FIELDS.contains(&field), "{field} is not asked for");
        self.0.insert(field, value);
    }

    fn number(&mut self, field: &'static str, value: impl Into<u32>) {
        self.set(field, value.into().to_string());
    }

    fn address(&mut self, [afi, v4, v6]: [&'static str; 3], address: IpAddr) {
        self.number(afi, if address.is_ipv4() { 1_u32 } else { 2 });
        self.set(if address.is_ipv4() { v4 } else { v6 }, address.to_string());
    }

    fn spm(&mut self, spm: &Spm) {
        let (trail, lead) = match spm.window {
            WindowState::Known(window) => (window.trail().0, window.lead().0),
            WindowState::Unknown | WindowState::Unreachable => (0, 0x8000_0000),
        };
        self.number("pgm.spm.sqn", spm.sqn.0);
        self.number("pgm.spm.trail", trail);
        self.number("pgm.spm.lead", lead);
        self.address(["pgm.spm.pathafi", "pgm.spm.path.ipv4", "pgm.spm.path.ipv6"], spm.path);
        let SpmOptions { join, parity, backoff_interval, backoff_range, .. } = &spm.options;
        if let Some(min) = join {
            self.number("pgm.opts.join.min_join", min.0);
        }
        if let Some(parity) = parity {
            self.number("pgm.opts.parity_prm.prm_grp", parity.tgsize());
            let bits = if parity.pro_active() { 2 } else { 0 } + u32::from(parity.on_demand());
            self.number("pgm.opts.parity_prm.op", bits);
        }
        if let Some(interval) = backoff_interval {
            self.interval(interval.interval_us, interval.poll_sqn.0);
        }
        if let Some(range) = backoff_range {
            self.number("pgm.opts.nak_bo_rng.min_bo_ivl", range.max_us());
            self.number("pgm.opts.nak_bo_rng.max_bo_ivl", range.min_us());
        }
    }

    fn poll(&mut self, poll: &Poll) {
        self.number("pgm.poll.sqn", poll.sqn.0);
        self.number("pgm.poll.round", poll.round);
        self.number("pgm.poll.subtype", u32::from(poll.kind != PollKind::General));
        self.address(["pgm.poll.pathafi", "pgm.poll.path.ipv4", "pgm.poll.path.ipv6"], poll.path);
        self.number("pgm.poll.backoff_ivl", poll.backoff_us);
        self.number("pgm.poll.rand_str", poll.rand);
        self.number("pgm.poll.matching_bmask", poll.mask);
        poll.backoff_interval
            .iter()
            .for_each(|interval| self.interval(interval.interval_us, interval.poll_sqn.0));
    }

    fn data(&mut self, data: &Data<'_>) {
        // tshark has no names of their own for the fields of data packets.
        self.number("pgm.spm.sqn", data.head.sqn.0);
        self.number("pgm.spm.trail", data.head.trail.0);
        self.number("pgm.hdr.tsdulen", u32::try_from(data.payload.len()).unwrap());
        self.set("data.data", data.payload.iter().map(|byte| format!("{byte:02x}")).collect());
        match data.head.content {
            DataContent::Source { fragment: Some(fragment) } => {
                self.number("pgm.opts.fragment.first_sqn", fragment.first_sqn.0);
                self.number("pgm.opts.fragment.fragment_offset", fragment.offset);
                self.number("pgm.opts.fragment.total_length", fragment.apdu_len);
            }
            DataContent::Parity { group, fragment, var_pktlen } => {
                self.number("pgm.hdr.opts.varlen", var_pktlen);
                // Nor for those of OPT_PARITY_GRP.
                if let Some(group) = group {
                    self.number("pgm.opts.parity_prm.op", 0_u32);
                    self.number("pgm.opts.parity_prm.prm_grp", group.get());
                }
                if let Some(fragment) = fragment {
                    let word = |at| u32::from_be_bytes(fragment.0[at..at + 4].try_into().unwrap());
                    self.number("pgm.opts.fragment.first_sqn", word(1));
                    self.number("pgm.opts.fragment.fragment_offset", word(5));
                    self.number("pgm.opts.fragment.total_length", word(9));
                }
            }
            DataContent::Source { fragment: None } => {}
        }
        if let Some(min) = data.head.options.join {
            self.number("pgm.opts.join.min_join", min.0);
        }
        if let Some(pgmcc) = data.head.options.pgmcc {
            self.pgmcc(pgmcc.timestamp_ms, pgmcc.acker, None);
        }
    }

    fn request(&mut self, request: &Request<'_>) {
        self.number("pgm.nak.sqn", request.sqns.first().0);
        self.address(["pgm.nak.srcafi", "pgm.nak.src.ipv4", "pgm.nak.src.ipv6"], request.source);
        self.address(["pgm.nak.grpafi", "pgm.nak.grp.ipv4", "pgm.nak.grp.ipv6"], request.group);
    }

    fn interval(&mut self, interval_us: u32, poll_sqn: u32) {
        self.number("pgm.opts.nak_bo_ivl.bo_ivl", interval_us);
        self.number("pgm.opts.nak_bo_ivl.bo_ivl_sqn", poll_sqn);
    }

    fn redirect(&mut self, address: IpAddr) {
        let names = ["pgm.opts.redirect.afi", "pgm.opts.redirect.dlr.ipv4", "pgm.opts.redirect.dlr.ipv6"];
        self.address(names, address);
    }

    fn pgmcc(&mut self, timestamp_ms: u32, address: IpAddr, loss_rate: Option<u16>) {
        self.number("pgm.opts.ccdata.tstamp", timestamp_ms & 0xffff);
        let names = ["pgm.opts.ccdata.afi", "pgm.opts.ccdata.acker.ipv4", "pgm.opts.ccdata.acker.ipv6"];
        self.address(names, address);
        if let Some(loss_rate) = loss_rate {
            self.number("pgm.opts.ccdata.lossrate", loss_rate);
        }
    }
}

/// An option as it should be emitted: its length by the table of RFC 3208, and whether network elements look at it.
#[derive(Clone, Copy)]
pub(crate) struct Emitted {
    pub(crate) len: usize,
    network: bool,
}

/// The options of a packet in the order in which they should be emitted.
pub(crate) fn emitted(packet: &Packet<'_>) -> Vec<Emitted> {
    let all = match &packet.body {
        Body::Spm(spm) => {
            let options = &spm.options;
            vec![
                network(spm.window == WindowState::Unreachable, 4),
                network(options.parity.is_some(), 8),
                network(options.curr_tgsize.is_some(), 8),
                network(options.report_request.is_some(), 4),
                network(options.backoff_interval.is_some(), 12),
                network(options.backoff_range.is_some(), 12),
                receiver(options.join.is_some(), 8),
                receiver(options.fin, 4),
                receiver(options.reset.is_some(), 4),
            ]
        }
        Body::Poll(poll) => vec![network(poll.backoff_interval.is_some(), 12)],
        Body::Polr(polr) => vec![network(polr.redirect.is_some(), 8 + nla(polr.redirect))],
        Body::Data(data) => {
            let options = &data.head.options;
            let (has_fragment, has_group) = match data.head.content {
                DataContent::Source { fragment } => (fragment.is_some(), false),
                DataContent::Parity { group, fragment, .. } => (fragment.is_some(), group.is_some()),
            };
            let to_network = packet.packet_type() == PacketType::Rdata;
            vec![
                options.curr_tgsize.map(|_| Emitted { len: 8, network: to_network }),
                receiver(has_fragment, 16),
                receiver(has_group, 8),
                receiver(options.join.is_some(), 8),
                receiver(options.syn, 4),
                receiver(options.fin, 4),
                receiver(options.pgmcc.is_some(), 12 + nla(options.pgmcc.map(|pgmcc| pgmcc.acker))),
            ]
        }
        Body::Nak(nak) => vec![
            list(nak.request.sqns),
            network(nak.report.is_some(), 20 + nla(nak.report.map(|report| report.receiver))),
            receiver(nak.feedback.is_some(), 12 + nla(nak.feedback.map(|feedback| feedback.receiver))),
        ],
        Body::Nnak(request) => vec![list(request.sqns)],
        Body::Ncf(ncf) => {
            let (unreachable, path) = match ncf.reach {
                Reach::Multicast(path) => (false, path),
                Reach::Unreachable(path) => (true, Some(path)),
            };
            vec![
                list(ncf.request.sqns),
                network(ncf.redirect.is_some(), 8 + nla(ncf.redirect)),
                network(ncf.backoff_interval.is_some(), 12),
                network(unreachable, 4),
                network(path.is_some(), 4 + nla(path)),
            ]
        }
        Body::Spmr => Vec::new(),
        Body::Ack(ack) => {
            vec![receiver(ack.feedback.is_some(), 12 + nla(ack.feedback.map(|feedback| feedback.receiver)))]
        }
    };
    all.into_iter().flatten().collect()
}

fn network(present: bool, len: usize) -> Option<Emitted> {
    present.then_some(Emitted { len, network: true })
}

fn receiver(present: bool, len: usize) -> Option<Emitted> {
    present.then_some(Emitted { len, network: false })
}

fn list(sqns: NakList<'_>) -> Option<Emitted> {
    network(sqns.len() > 1, 4 * sqns.len())
}

fn nla(address: Option<IpAddr>) -> usize {
    address.map_or(0, |address| if address.is_ipv4() { 4 } else { 16 })
}

/// The status of a checksum that is right.
pub(crate) const GOOD: &str = "1";

/// The fields that tshark is asked for.
pub(crate) const FIELDS: &[&str] = &[
    "_ws.malformed",
    "_ws.expert.message",
    "pgm.hdr.sport",
    "pgm.hdr.dport",
    "pgm.hdr.type",
    "pgm.hdr.opts.opt",
    "pgm.hdr.opts.netsig",
    "pgm.hdr.opts.varlen",
    "pgm.hdr.opts.parity",
    "pgm.hdr.cksum.status",
    "pgm.hdr.gsi",
    "pgm.hdr.tsdulen",
    "pgm.spm.sqn",
    "pgm.spm.trail",
    "pgm.spm.lead",
    "pgm.spm.pathafi",
    "pgm.spm.path.ipv4",
    "pgm.spm.path.ipv6",
    "pgm.nak.sqn",
    "pgm.nak.srcafi",
    "pgm.nak.src.ipv4",
    "pgm.nak.src.ipv6",
    "pgm.nak.grpafi",
    "pgm.nak.grp.ipv4",
    "pgm.nak.grp.ipv6",
    "pgm.poll.sqn",
    "pgm.poll.round",
    "pgm.poll.subtype",
    "pgm.poll.pathafi",
    "pgm.poll.path.ipv4",
    "pgm.poll.path.ipv6",
    "pgm.poll.backoff_ivl",
    "pgm.poll.rand_str",
    "pgm.poll.matching_bmask",
    "pgm.polr.sqn",
    "pgm.polr.round",
    "pgm.ack.maxsqn",
    "pgm.ack.bitmap",
    "pgm.opts.tlen",
    "pgm.opts.parity_prm.op",
    "pgm.opts.parity_prm.prm_grp",
    "pgm.opts.join.min_join",
    "pgm.opts.ccdata.tstamp",
    "pgm.opts.ccdata.afi",
    "pgm.opts.ccdata.acker.ipv4",
    "pgm.opts.ccdata.acker.ipv6",
    "pgm.opts.ccdata.lossrate",
    "pgm.opts.nak_bo_ivl.bo_ivl",
    "pgm.opts.nak_bo_ivl.bo_ivl_sqn",
    "pgm.opts.nak_bo_rng.min_bo_ivl",
    "pgm.opts.nak_bo_rng.max_bo_ivl",
    "pgm.opts.fragment.first_sqn",
    "pgm.opts.fragment.fragment_offset",
    "pgm.opts.fragment.total_length",
    "pgm.opts.redirect.afi",
    "pgm.opts.redirect.dlr.ipv4",
    "pgm.opts.redirect.dlr.ipv6",
    "data.data",
];
