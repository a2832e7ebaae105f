//! One of everything: each type of packet, bare and with every option that it may bear, with IPv4 and IPv6 addresses.

use std::net::IpAddr;
use std::num::NonZeroU32;

use campanile_pgm::wire::{
    Ack, BackoffInterval, BackoffRange, Body, CongestionReport, Data, DataContent, DataHead, DataKind,
    DataOptions, EncodedFragment, Fragment, Nak, NakList, Ncf, Packet, ParityPrm, PgmccData, PgmccFeedback,
    Poll, PollKind, Polr, Reach, ReportRequest, Request, Reset, Session, Spm, SpmOptions, Window,
    WindowState,
};
use campanile_pgm::{Gsi, Seq, Tsi};

/// All specimens by name.
pub(crate) fn specimens() -> Vec<(&'static str, Packet<'static>)> {
    let bodies = [spms(), polls(), data(), parity(), naks(), ncfs(), acks()].concat();
    bodies.into_iter().map(|(name, body)| (name, Packet { session: SESSION, body })).collect()
}

/// The specimen of this name.
pub(crate) fn specimen(name: &str) -> Packet<'static> {
    let found = specimens().into_iter().find(|(other, _)| *other == name);
    found.unwrap_or_else(|| panic!("a specimen {name}")).1
}

/// The bytes of a packet.
pub(crate) fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut buffer = vec![0; packet.wire_len()];
    packet.emit(&mut buffer);
    buffer
}

type Named = (&'static str, Body<'static>);

fn spms() -> Vec<Named> {
    let plain = Spm {
        sqn: Seq(7),
        window: WindowState::Known(Window::new(Seq(1000), Seq(1999)).unwrap()),
        path: v4(1),
        options: SpmOptions::default(),
    };
    let late = SpmOptions { join: Some(Seq(1500)), fin: true, ..SpmOptions::default() };
    let full = SpmOptions {
        join: Some(Seq(1500)),
        parity: Some(ParityPrm::new(64, true, true).unwrap()),
        curr_tgsize: NonZeroU32::new(5),
        fin: true,
        reset: Reset::new(true, 33),
        report_request: Some(ReportRequest { worst_link: true, worst_path: false, receiver_path: true }),
        backoff_interval: Some(BackoffInterval { interval_us: 50_000, poll_sqn: Seq(3) }),
        backoff_range: BackoffRange::new(1000, 250_000),
    };
    let empty = WindowState::Known(Window::new(Seq(0), Seq(u32::MAX)).unwrap());
    vec![
        ("spm", Body::Spm(plain)),
        ("spm-empty-window", Body::Spm(Spm { window: empty, ..plain })),
        ("spm-no-window", Body::Spm(Spm { window: WindowState::Unknown, ..plain })),
        ("spm-unreachable", Body::Spm(Spm { window: WindowState::Unreachable, ..plain })),
        ("spm-join-fin", Body::Spm(Spm { options: late, ..plain })),
        ("spm-full", Body::Spm(Spm { options: full, ..plain })),
        ("spm-v6", Body::Spm(Spm { path: v6(1), ..plain })),
    ]
}

fn polls() -> Vec<Named> {
    let poll = Poll {
        sqn: Seq(9),
        round: 2,
        kind: PollKind::General,
        path: v4(1),
        backoff_us: 100_000,
        rand: 0x1234_5678,
        mask: 0x0000_00ff,
        backoff_interval: None,
    };
    let interval = Some(BackoffInterval { interval_us: 50_000, poll_sqn: Seq(8) });
    let polr = Polr { sqn: Seq(9), round: 2, parity: false, redirect: None };
    vec![
        ("poll", Body::Poll(poll)),
        ("poll-dlr-v6", Body::Poll(Poll { kind: PollKind::Dlr, path: v6(1), ..poll })),
        ("poll-backoff", Body::Poll(Poll { backoff_interval: interval, ..poll })),
        ("polr", Body::Polr(polr)),
        ("polr-redirect", Body::Polr(Polr { redirect: Some(v4(9)), parity: true, ..polr })),
        ("polr-redirect-v6", Body::Polr(Polr { redirect: Some(v6(9)), ..polr })),
    ]
}

fn data() -> Vec<Named> {
    let odata = DataHead::new(DataKind::Original, Seq(1999), Seq(1000));
    let rdata = DataHead::new(DataKind::Repair, Seq(1500), Seq(1000));
    let fragment = Fragment { first_sqn: Seq(1998), offset: 5, apdu_len: 10 };
    let options = DataOptions {
        join: Some(Seq(1000)),
        curr_tgsize: NonZeroU32::new(3),
        syn: true,
        fin: true,
        pgmcc: Some(PgmccData { timestamp_ms: 77, acker: v4(7) }),
    };
    let with = |head, payload| Body::Data(Data { head, payload });
    let fragmented = DataHead { content: DataContent::Source { fragment: Some(fragment) }, ..odata };
    let pgmcc =
        DataOptions { pgmcc: Some(PgmccData { timestamp_ms: 77, acker: v6(7) }), ..DataOptions::default() };
    vec![
        ("odata", with(odata, b"said once")),
        ("odata-empty", with(odata, b"")),
        ("odata-fragment", with(fragmented, b"heard")),
        ("odata-full", with(DataHead { options, ..fragmented }, b"heard")),
        ("odata-pgmcc-v6", with(DataHead { options: pgmcc, ..odata }, b"odd")),
        ("rdata", with(rdata, b"said again")),
        ("rdata-full", with(DataHead { options, ..rdata }, b"said again")),
    ]
}

fn parity() -> Vec<Named> {
    let plain = DataContent::Parity { group: None, var_pktlen: false, fragment: None };
    let full = DataContent::Parity {
        group: NonZeroU32::new(1),
        var_pktlen: true,
        fragment: Some(EncodedFragment(*b"\x93encoded!!!!!")),
    };
    let odata = DataHead { content: plain, ..DataHead::new(DataKind::Original, Seq(1984), Seq(1000)) };
    let rdata = DataHead { content: full, ..DataHead::new(DataKind::Repair, Seq(1987), Seq(1000)) };
    let rdata =
        DataHead { options: DataOptions { curr_tgsize: NonZeroU32::new(5), ..rdata.options }, ..rdata };
    vec![
        ("odata-parity", Body::Data(Data { head: odata, payload: b"parity" })),
        ("rdata-parity-full", Body::Data(Data { head: rdata, payload: b"parity\x12\x34" })),
    ]
}

fn request(sqns: &'static [Seq]) -> Request<'static> {
    let sqns = NakList::new(sqns).unwrap();
    Request { sqns, parity: false, source: v4(1), group: IpAddr::from([239, 192, 1, 1]) }
}

fn naks() -> Vec<Named> {
    let one = request(&[Seq(1500)]);
    let list = request(&[Seq(1500), Seq(1502), Seq(1999)]);
    let most = request(&MOST);
    let group: IpAddr = "ff08::1:1".parse().unwrap();
    let report = CongestionReport {
        lead: Seq(1999),
        worst_link: Some(0x1000),
        worst_path: Some(0x2000),
        receiver_path: Some(0x3000),
        receiver: v4(7),
    };
    let report_v6 = CongestionReport { receiver: v6(7), worst_path: None, ..report };
    let full = Nak { request: list, report: Some(report), feedback: Some(feedback(v4(7))) };
    let full_v6 = Nak {
        request: Request { source: v6(1), group, ..most },
        report: Some(report_v6),
        feedback: Some(feedback(v6(7))),
    };
    vec![
        ("nak", Body::Nak(Nak::new(one))),
        ("nak-list", Body::Nak(Nak::new(list))),
        ("nak-parity", Body::Nak(Nak::new(Request { parity: true, ..one }))),
        ("nak-full", Body::Nak(full)),
        ("nak-full-v6", Body::Nak(full_v6)),
        ("nnak", Body::Nnak(one)),
        ("nnak-list", Body::Nnak(most)),
    ]
}

fn ncfs() -> Vec<Named> {
    let ncf = Ncf::new(request(&[Seq(1500)]));
    let full = Ncf {
        request: Request { parity: true, ..request(&[Seq(1500), Seq(1502)]) },
        redirect: Some(v4(9)),
        backoff_interval: Some(BackoffInterval { interval_us: 50_000, poll_sqn: Seq(3) }),
        reach: Reach::Unreachable(v4(1)),
    };
    vec![
        ("ncf", Body::Ncf(ncf)),
        ("ncf-path-v6", Body::Ncf(Ncf { reach: Reach::Multicast(Some(v6(1))), ..ncf })),
        ("ncf-full", Body::Ncf(full)),
    ]
}

fn acks() -> Vec<Named> {
    let ack = Ack { rx_max: Seq(1999), bitmap: 0xffff_fff1, feedback: None };
    vec![
        ("spmr", Body::Spmr),
        ("ack", Body::Ack(ack)),
        ("ack-feedback", Body::Ack(Ack { feedback: Some(feedback(v4(7))), ..ack })),
        ("ack-feedback-v6", Body::Ack(Ack { feedback: Some(feedback(v6(7))), ..ack })),
    ]
}

fn feedback(receiver: IpAddr) -> PgmccFeedback {
    PgmccFeedback { timestamp_ms: 77, loss_rate: 0x0123, receiver }
}

fn v4(host: u8) -> IpAddr {
    IpAddr::from([10, 77, 0, host])
}

fn v6(host: u16) -> IpAddr {
    IpAddr::from([0xfd00, 0x77, 0, 0, 0, 0, 0, host])
}

const SESSION: Session = Session {
    tsi: Tsi { gsi: Gsi([0xca, 0x3b, 0xa9, 0x11, 0xe0, 0x01]), port: 43_210 },
    destination_port: 7500,
};

/// As many sequence numbers as one NAK can ask for, around the end of the sequence space.
const MOST: [Seq; NakList::MAX] = {
    let mut sqns = [Seq(0); NakList::MAX];
    let mut at = 0;
    while at < sqns.len() {
        sqns[at] = Seq((at as u32 * 3).wrapping_sub(30));
        at += 1;
    }
    sqns
};
