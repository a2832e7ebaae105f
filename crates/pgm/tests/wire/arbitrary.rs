//! Strategies that make any valid packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use campanile_pgm::wire::{
    Ack, BackoffInterval, BackoffRange, Body, CongestionReport, Data, DataContent, DataHead, DataKind,
    DataOptions, EncodedFragment, Fragment, Nak, NakList, Ncf, Packet, ParityPrm, PgmccData, PgmccFeedback,
    Poll, PollKind, Polr, Reach, ReportRequest, Request, Reset, Session, Spm, SpmOptions, Window,
    WindowState,
};
use campanile_pgm::{Gsi, Seq, Tsi};
use proptest::option;
use proptest::prelude::*;

/// A packet with the memory that it borrows.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    /// Without payload, and with a single sequence number.
    bare: Packet<'static>,
    payload: Vec<u8>,
    sqns: Vec<Seq>,
}

impl Owned {
    pub(crate) fn packet(&self) -> Packet<'_> {
        let sqns = || NakList::new(&self.sqns).expect("made in ascending order");
        let body = match self.bare.body {
            Body::Data(data) => Body::Data(Data { payload: &self.payload, ..data }),
            Body::Nak(nak) => Body::Nak(Nak { request: Request { sqns: sqns(), ..nak.request }, ..nak }),
            Body::Nnak(request) => Body::Nnak(Request { sqns: sqns(), ..request }),
            Body::Ncf(ncf) => Body::Ncf(Ncf { request: Request { sqns: sqns(), ..ncf.request }, ..ncf }),
            other => other,
        };
        Packet { session: self.bare.session, body }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let packet = self.packet();
        let mut buffer = vec![0; packet.wire_len()];
        packet.emit(&mut buffer);
        buffer
    }
}

/// Any valid packet.
pub(crate) fn owned() -> impl Strategy<Value = Owned> {
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    (session(), payload, sqns()).prop_flat_map(|(session, payload, sqns)| {
        body(payload.len()).prop_map(move |body| Owned {
            bare: Packet { session, body },
            payload: payload.clone(),
            sqns: sqns.clone(),
        })
    })
}

fn session() -> impl Strategy<Value = Session> {
    any::<([u8; 6], u16, u16)>().prop_map(|(gsi, port, destination_port)| Session {
        tsi: Tsi { gsi: Gsi(gsi), port },
        destination_port,
    })
}

fn body(payload_len: usize) -> impl Strategy<Value = Body<'static>> {
    prop_oneof![
        spm().prop_map(Body::Spm),
        poll().prop_map(Body::Poll),
        polr().prop_map(Body::Polr),
        data(payload_len).prop_map(Body::Data),
        (request(), option::of(report()), option::of(feedback()))
            .prop_map(|(request, report, feedback)| Body::Nak(Nak { request, report, feedback })),
        request().prop_map(Body::Nnak),
        ncf().prop_map(Body::Ncf),
        Just(Body::Spmr),
        (seq(), any::<u32>(), option::of(feedback())).prop_map(|(rx_max, bitmap, feedback)| Body::Ack(Ack {
            rx_max,
            bitmap,
            feedback
        })),
    ]
}

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![any::<u32>(), 0..4_u32, (u32::MAX - 3)..].prop_map(Seq)
}

fn sqns() -> impl Strategy<Value = Vec<Seq>> {
    (seq(), prop::collection::vec(1..1_u32 << 25, 0..NakList::MAX)).prop_map(|(first, steps)| {
        let mut last = first;
        let rest = steps.into_iter().map(|step| {
            last += step;
            last
        });
        std::iter::once(first).chain(rest).collect()
    })
}

fn unicast() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0x0100_0000..0xdfff_ffff_u32).prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        (0xfc00_u128 << 112..0xfeff_u128 << 112).prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

fn multicast() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0xe000_0000..0xefff_ffff_u32).prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        (0xff00_u128 << 112..=u128::MAX).prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

fn non_zero() -> impl Strategy<Value = NonZeroU32> {
    any::<NonZeroU32>()
}

fn spm() -> impl Strategy<Value = Spm> {
    (seq(), window(), unicast(), spm_options()).prop_map(|(sqn, window, path, options)| Spm {
        sqn,
        window,
        path,
        options,
    })
}

fn window() -> impl Strategy<Value = WindowState> {
    prop_oneof![
        (seq(), prop_oneof![0..3_u32, 0..1_u32 << 31]).prop_map(|(trail, len)| {
            let window = Window::new(trail, trail + len - 1).expect("narrow enough");
            WindowState::Known(window)
        }),
        Just(WindowState::Unknown),
        Just(WindowState::Unreachable),
    ]
}

fn spm_options() -> impl Strategy<Value = SpmOptions> {
    let parity = (0..32_u32, any::<bool>(), any::<bool>())
        .prop_map(|(log, pro, demand)| ParityPrm::new(1 << log, pro, demand || !pro).expect("one of them"));
    let reset = (any::<bool>(), 0..64_u8)
        .prop_map(|(no_repair, code)| Reset::new(no_repair, code).expect("six bits"));
    let request = any::<(bool, bool, bool)>().prop_map(|(worst_link, worst_path, receiver_path)| {
        ReportRequest { worst_link, worst_path, receiver_path }
    });
    let range =
        any::<(u32, u32)>().prop_map(|(a, b)| BackoffRange::new(a.min(b), a.max(b)).expect("in order"));
    let options = (
        option::of(seq()),
        option::of(parity),
        option::of(non_zero()),
        any::<bool>(),
        option::of(reset),
        option::of(request),
        option::of(interval()),
        option::of(range),
    );
    options.prop_map(
        |(join, parity, curr_tgsize, fin, reset, report_request, backoff_interval, backoff_range)| {
            SpmOptions {
                join,
                parity,
                curr_tgsize,
                fin,
                reset,
                report_request,
                backoff_interval,
                backoff_range,
            }
        },
    )
}

fn interval() -> impl Strategy<Value = BackoffInterval> {
    (any::<u32>(), seq()).prop_map(|(interval_us, poll_sqn)| BackoffInterval { interval_us, poll_sqn })
}

fn poll() -> impl Strategy<Value = Poll> {
    let kind = prop_oneof![Just(PollKind::General), Just(PollKind::Dlr), (2_u16..).prop_map(PollKind::Other)];
    let fields = (seq(), any::<u16>(), kind, unicast(), any::<(u32, u32, u32)>(), option::of(interval()));
    fields.prop_map(|(sqn, round, kind, path, (backoff_us, rand, mask), backoff_interval)| Poll {
        sqn,
        round,
        kind,
        path,
        backoff_us,
        rand,
        mask,
        backoff_interval,
    })
}

fn polr() -> impl Strategy<Value = Polr> {
    (seq(), any::<u16>(), any::<bool>(), option::of(unicast()))
        .prop_map(|(sqn, round, parity, redirect)| Polr { sqn, round, parity, redirect })
}

fn data(payload_len: usize) -> impl Strategy<Value = Data<'static>> {
    let kind = prop_oneof![Just(DataKind::Original), Just(DataKind::Repair)];
    let place = (seq(), prop_oneof![0..3_u32, 0..(1_u32 << 31) - 1]);
    (kind, place, data_options()).prop_flat_map(move |(kind, (trail, ahead), options)| {
        let sqn = trail + ahead;
        content(sqn, payload_len).prop_map(move |content| Data {
            head: DataHead { kind, sqn, trail, content, options },
            payload: &[],
        })
    })
}

fn data_options() -> impl Strategy<Value = DataOptions> {
    let pgmcc = (any::<u32>(), prop_oneof![unicast(), Just(IpAddr::from([0, 0, 0, 0]))])
        .prop_map(|(timestamp_ms, acker)| PgmccData { timestamp_ms, acker });
    (option::of(seq()), option::of(non_zero()), any::<bool>(), any::<bool>(), option::of(pgmcc))
        .prop_map(|(join, curr_tgsize, syn, fin, pgmcc)| DataOptions { join, curr_tgsize, syn, fin, pgmcc })
}

fn content(sqn: Seq, payload_len: usize) -> impl Strategy<Value = DataContent> {
    let len = u32::try_from(payload_len).expect("short payloads");
    let fragment = (0..5_u32, 1..1_u32 << 30, 0..1_u32 << 30).prop_map(move |(behind, offset, rest)| {
        let offset = if behind == 0 { 0 } else { offset };
        Fragment { first_sqn: sqn - behind, offset, apdu_len: offset + len + rest }
    });
    let encoded = any::<[u8; EncodedFragment::LEN]>().prop_map(EncodedFragment);
    prop_oneof![
        Just(DataContent::WHOLE),
        fragment.prop_map(|fragment| DataContent::Source { fragment: Some(fragment) }),
        (option::of(non_zero()), any::<bool>(), option::of(encoded)).prop_map(
            move |(group, lengths, fragment)| {
                DataContent::Parity { group, var_pktlen: lengths && len >= 2, fragment }
            }
        ),
    ]
}

fn request() -> impl Strategy<Value = Request<'static>> {
    (any::<bool>(), unicast(), multicast()).prop_map(|(parity, source, group)| Request {
        sqns: NakList::one(Seq(0)),
        parity,
        source,
        group,
    })
}

fn report() -> impl Strategy<Value = CongestionReport> {
    let load = || option::of(any::<u16>());
    (seq(), load(), load(), load(), unicast()).prop_map(
        |(lead, worst_link, worst_path, receiver_path, receiver)| CongestionReport {
            lead,
            worst_link,
            worst_path,
            receiver_path,
            receiver,
        },
    )
}

fn feedback() -> impl Strategy<Value = PgmccFeedback> {
    (any::<u32>(), any::<u16>(), unicast()).prop_map(|(timestamp_ms, loss_rate, receiver)| PgmccFeedback {
        timestamp_ms,
        loss_rate,
        receiver,
    })
}

fn ncf() -> impl Strategy<Value = Ncf<'static>> {
    let reach =
        prop_oneof![option::of(unicast()).prop_map(Reach::Multicast), unicast().prop_map(Reach::Unreachable)];
    (request(), option::of(unicast()), option::of(interval()), reach).prop_map(
        |(request, redirect, backoff_interval, reach)| Ncf { request, redirect, backoff_interval, reach },
    )
}
