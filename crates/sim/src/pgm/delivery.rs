//! The oracle of delivery: a receiver delivers what a source published, in order, without gap or duplicate, or an event names the
//! gap exactly.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use campanile_pgm::wire::{Body, Packet, Spm, WindowState};

use super::content::Kind;
use super::record::Record;

/// Follows one source through the events of one receiver.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    record: Rc<RefCell<Record>>,
    /// The offset that delivery has reached in the stream of packets; `None` before the start.
    place: Option<u64>,
    /// The offset at which the last delivered message ends.
    delivered: u64,
    /// How many bytes were delivered of a message that comes in parts.
    part: usize,
    /// For a file: the fate of each packet.
    packets: Vec<Fate>,
    /// Short transmission groups whose length was in a packet that arrived.
    told_short: BTreeSet<u32>,
    knows_groups: bool,
    is_misled: bool,
    /// The number of SPMs and data packets that arrived from the source itself.
    heard: u32,
    /// Packets named as lost.
    pub(crate) lost: u32,
    /// The number behind the last of them.
    lost_to: Option<u32>,
    /// Whether a message was left out as too long.
    has_left_out: bool,
    pub(crate) ended: bool,
    /// Whether the application has paused delivery.
    pub(crate) paused: bool,
    stalled: bool,
}

/// The fate of a packet of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// The application had it before.
    Had,
    /// Delivered, or before the start.
    Told,
    Lost,
}

/// How a delivery differs from what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdelivery {
    /// Something comes before the start event, after the end event, or while delivery is paused; or a stall is reported that is
    /// none.
    OutOfTurn,
    /// The start, a gap or a packet of a file has a sequence number that no packet had.
    NeverSent,
    /// A start that is less far back, or farther back, than the source's OPT_JOIN allows.
    Reach,
    /// Bytes other than the next ones.
    Content,
    /// A gap that does not begin where delivery ended: the bytes in between are neither delivered nor named.
    Gap,
    /// A packet of a file delivered, or named as lost, a second time.
    Twice,
    /// A message that is too long but was delivered; or one that was left out as too long, but is not, or is not where the event
    /// says.
    TooLong,
    /// An end before everything was delivered or named as lost.
    EarlyEnd,
}

impl Delivery {
    pub(crate) fn new(record: Rc<RefCell<Record>>) -> Self {
        Self {
            record,
            place: None,
            delivered: 0,
            part: 0,
            packets: Vec::new(),
            told_short: BTreeSet::new(),
            knows_groups: false,
            is_misled: false,
            heard: 0,
            lost: 0,
            lost_to: None,
            has_left_out: false,
            ended: false,
            paused: false,
            stalled: false,
        }
    }

    /// A packet of the session arrived. It may say how short a group is: once an SPM has said how long groups are, the receiver then
    /// knows which numbers no packet had. Forged packets may contradict that.
    pub(crate) fn heard(&mut self, packet: &[u8], is_forged: bool) {
        let Ok(packet) = Packet::parse(packet) else { return };
        let (short, knows_groups) = match packet.body {
            Body::Spm(Spm { window: WindowState::Known(window), options, .. }) => {
                (options.curr_tgsize.map(|_| window.lead()), options.parity.is_some())
            }
            Body::Data(data) => (data.head.options.curr_tgsize.map(|_| data.head.sqn), false),
            _ => return,
        };
        self.is_misled |= is_forged;
        self.heard += u32::from(!is_forged);
        self.knows_groups |= knows_groups;
        if self.knows_groups {
            self.told_short.extend(short.map(|sqn| self.record.borrow().group_of(sqn.0)));
        }
    }

    /// Whether too little arrived to know of the session: a single packet may be a mistake or forged, and after a forged one the source
    /// has to prove itself.
    pub(crate) fn is_unheard(&self) -> bool {
        self.heard < if self.is_misled { SPMS_OF_PROOF } else { 2 }
    }

    /// The source's data begin with this packet.
    pub(crate) fn start(&mut self, first: u32) -> Result<(), Misdelivery> {
        if self.place.is_some() || self.ended {
            return Err(Misdelivery::OutOfTurn);
        }
        let record = self.record.borrow();
        let start = record.start(first).ok_or(Misdelivery::NeverSent)?;
        let content = record.content();
        self.place = Some(match content.kind() {
            Kind::Packed | Kind::Apdu => content.message_start(content.first_message(start)),
            Kind::Stream | Kind::File => start,
        });
        self.packets = vec![Fate::Told; record.packets_before(first)];
        Ok(())
    }

    /// A message, or a part of one when more of it follows.
    pub(crate) fn message(&mut self, bytes: &[u8], more: bool) -> Result<(), Misdelivery> {
        let place = self.in_turn()?;
        let record = self.record.borrow();
        let content = record.content();
        let number = content.messages_before(place);
        if number >= content.messages() || content.message_start(number) != place {
            return Err(Misdelivery::Content);
        }
        let expected = content.part(number, self.part);
        if more {
            self.part += bytes.len();
        } else {
            self.part = 0;
            self.delivered = content.message_start(number + 1);
            self.place = Some(self.delivered);
        }
        (expected == (bytes, more)).then_some(()).ok_or(Misdelivery::Content)
    }

    /// A part of a message (or all of it) that begins in a packet is left out because it is longer than `most` bytes, and with it the
    /// rest of the message.
    pub(crate) fn too_long(&mut self, sqn: u32, len: u64, most: usize) -> Result<(), Misdelivery> {
        let place = self.in_turn()?;
        let record = self.record.borrow();
        let content = record.content();
        let number = content.messages_before(place);
        if number >= content.messages() || content.message_start(number) != place {
            return Err(Misdelivery::Content);
        }
        self.has_left_out = true;
        // Only its beginning need have come: packets that it goes on in may be lost.
        self.place = Some(content.message_start(number + 1));
        let after = std::mem::take(&mut self.part);
        let start = content.part_start(number, after);
        let begins_there = record.start(sqn).is_some_and(|packet| packet <= start)
            && record.start(sqn.wrapping_add(1)).is_some_and(|end| start < end);
        let is_so_long = content.part(number, after).0.len() as u64 == len && len > most as u64;
        (begins_there && is_so_long).then_some(()).ok_or(Misdelivery::TooLong)
    }

    /// The next bytes of a stream.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Misdelivery> {
        let place = self.in_turn()?;
        self.place = Some(place + bytes.len() as u64);
        let record = self.record.borrow();
        let expected = record.content().bytes().get(place as usize..).unwrap_or_default();
        expected.starts_with(bytes).then_some(()).ok_or(Misdelivery::Content)
    }

    /// A packet of a file.
    pub(crate) fn packet(&mut self, sqn: u32, bytes: &[u8]) -> Result<(), Misdelivery> {
        self.in_turn()?;
        self.mark(sqn, Fate::Told)?;
        let record = self.record.borrow();
        let expected = record.file_packet(record.index(sqn).ok_or(Misdelivery::NeverSent)?);
        (expected == bytes).then_some(()).ok_or(Misdelivery::Content)
    }

    /// Whether the session is a file and the packet belongs to it.
    pub(crate) fn is_of_file(&self, sqn: u32) -> bool {
        let record = self.record.borrow();
        record.content().kind() == Kind::File && record.index(sqn).is_some()
    }

    /// Packets of a file that the application has already; one of them may still be delivered if it was on its way.
    pub(crate) fn had(&mut self, first: u32, last: u32) -> Result<(), Misdelivery> {
        (0..=last.wrapping_sub(first)).try_for_each(|step| self.mark(first.wrapping_add(step), Fate::Had))
    }

    /// A run of packets is lost for good.
    pub(crate) fn lost(&mut self, first: u32, last: u32) -> Result<(), Misdelivery> {
        let place = self.in_turn()?;
        let record = Rc::clone(&self.record);
        let record = record.borrow();
        let begin = record.start(first).ok_or(Misdelivery::NeverSent)?;
        let end = record.start(last.wrapping_add(1)).ok_or(Misdelivery::NeverSent)?;
        // What a short group left out looks like a loss to a receiver that cannot know how short the group is, or had no room for a
        // group of which it lost everything.
        let group = record.group_of(first);
        let may_not_know = self.is_misled || !self.told_short.contains(&group) || self.lost_to == Some(first);
        if end == begin && !(may_not_know && record.group_of(last) == group) {
            return Err(Misdelivery::NeverSent);
        }
        self.lost += last.wrapping_sub(first) + 1;
        self.lost_to = Some(last.wrapping_add(1));
        let content = record.content();
        let kind = content.kind();
        if kind == Kind::File {
            let steps = 0..=last.wrapping_sub(first);
            return steps.into_iter().try_for_each(|step| self.mark(first.wrapping_add(step), Fate::Lost));
        }
        self.part = 0;
        if kind == Kind::Stream {
            self.place = Some(end);
            return (place == begin).then_some(()).ok_or(Misdelivery::Gap);
        }
        // All messages that end before the gap were delivered, none that overlaps it was, and the next is the first that begins
        // after it.
        let next = content.messages_before(place);
        self.place = Some(content.message_start(content.first_message(end).max(next)));
        let exact = content.messages_before(begin) <= next && self.delivered <= begin;
        exact.then_some(()).ok_or(Misdelivery::Gap)
    }

    /// The source finished its session.
    pub(crate) fn finish(&mut self) -> Result<(), Misdelivery> {
        let place = self.in_turn()?;
        self.ended = true;
        let record = self.record.borrow();
        let complete = match record.content().kind() {
            Kind::File => {
                self.packets.len() == record.packets() as usize && !self.packets.contains(&Fate::Unknown)
            }
            _ => place == record.content().stream_len(),
        };
        complete.then_some(()).ok_or(Misdelivery::EarlyEnd)
    }

    /// The session ended because something was lost or left out, as configured.
    pub(crate) fn stop(&mut self) -> Result<(), Misdelivery> {
        self.in_turn()?;
        self.ended = true;
        if self.lost > 0 || self.has_left_out { Ok(()) } else { Err(Misdelivery::EarlyEnd) }
    }

    /// The window is full because the application takes nothing.
    pub(crate) fn stall(&mut self) -> Result<(), Misdelivery> {
        let is_due = self.paused && !std::mem::replace(&mut self.stalled, true);
        if is_due { Ok(()) } else { Err(Misdelivery::OutOfTurn) }
    }

    /// There is room again.
    pub(crate) fn go_on(&mut self) -> Result<(), Misdelivery> {
        self.in_turn()?;
        if std::mem::take(&mut self.stalled) { Ok(()) } else { Err(Misdelivery::OutOfTurn) }
    }

    /// Whether delivery has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.place.is_some() && !self.ended
    }

    /// The session was lost, aborted or left: it may be found again, and then starts from wherever it is.
    pub(crate) fn part(&mut self) {
        self.place = None;
        (self.delivered, self.part) = (0, 0);
        self.packets.clear();
        self.told_short.clear();
        self.lost_to = None;
        (self.knows_groups, self.is_misled) = (false, false);
        (self.paused, self.stalled) = (false, false);
    }

    /// The packets of a group of a file that this receiver has, and the distance between them. In place of a packet that it does not
    /// have there is filler.
    pub(crate) fn group(&self, first: u32, count: u8) -> (usize, Vec<u8>) {
        let record = self.record.borrow();
        let place = |step| record.start(first.wrapping_add(step)).map_or(0, |place| place as usize);
        let stride = place(1) - place(0);
        // The very last packet may be shorter than the others.
        let mut bytes = vec![0xa5; place(count.into()) - place(0)];
        for (step, slot) in (0..).zip(bytes.chunks_mut(stride)) {
            let fate = record.index(first.wrapping_add(step)).and_then(|index| self.packets.get(index));
            if matches!(fate, Some(Fate::Had | Fate::Told)) {
                let packet = &record.content().bytes()[place(step)..place(step + 1)];
                slot[..packet.len()].copy_from_slice(packet);
            }
        }
        (stride, bytes)
    }

    fn mark(&mut self, sqn: u32, fate: Fate) -> Result<(), Misdelivery> {
        let index = self.record.borrow().index(sqn).ok_or(Misdelivery::NeverSent)?;
        if self.packets.len() <= index {
            self.packets.resize(index + 1, Fate::Unknown);
        }
        let before = std::mem::replace(&mut self.packets[index], fate);
        let first = before == Fate::Unknown || before == Fate::Had && fate == Fate::Told;
        if first { Ok(()) } else { Err(Misdelivery::Twice) }
    }

    fn in_turn(&self) -> Result<u64, Misdelivery> {
        self.place.filter(|_| !self.ended && !self.paused).ok_or(Misdelivery::OutOfTurn)
    }
}

/// As many SPMs in a row prove a source.
const SPMS_OF_PROOF: u32 = 5;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::ops::Range;

    use campanile_pgm::Seq;
    use campanile_pgm::wire::{ParityPrm, Session, SpmOptions, Window};

    use super::super::content::Content;
    use super::*;
    use crate::rng::Rng;

    /// Ten packets of a stream, 100 bytes each, from sequence number 5.
    fn recorded(kind: Kind) -> (Rc<RefCell<Record>>, Rc<Content>) {
        recorded_in_parts(kind, usize::MAX)
    }

    /// The same, with messages in parts, whose frames take a few packets more.
    fn recorded_in_parts(kind: Kind, part_len: usize) -> (Rc<RefCell<Record>>, Rc<Content>) {
        let content = Rc::new(Content::new(kind, 1000, 150, &mut Rng::new(3)).in_parts(part_len));
        let mut record = Record::new(Rc::clone(&content), 5, 1, 100);
        let len = content.stream_len();
        for (sqn, at) in (5..).zip((0..len).step_by(100)).filter(|_| kind != Kind::File) {
            record.push(sqn, 100.min(len - at));
        }
        (Rc::new(RefCell::new(record)), content)
    }

    /// Delivers messages whole, part by part.
    fn deliver(delivery: &mut Delivery, mut numbers: Range<usize>) -> Result<(), Misdelivery> {
        let content = Rc::clone(delivery.record.borrow().content());
        numbers.try_for_each(|number| {
            let (mut after, mut goes_on) = (0, true);
            while goes_on {
                let (part, more) = content.part(number, after);
                delivery.message(part, more)?;
                (after, goes_on) = (after + part.len(), more);
            }
            Ok(())
        })
    }

    #[test]
    fn a_stream_in_order_passes_and_every_fault_is_named() {
        let (record, content) = recorded(Kind::Stream);
        let bytes = content.bytes();
        let begun = || {
            let mut delivery = Delivery::new(Rc::clone(&record));
            delivery.start(5).unwrap();
            delivery.bytes(&bytes[..300]).unwrap();
            delivery
        };
        let mut good = begun();
        assert_eq!(good.lost(8, 9), Ok(()));
        assert_eq!(good.bytes(&bytes[500..]), Ok(()));
        assert_eq!(good.finish(), Ok(()));
        assert_eq!(good.lost, 2);
        assert_eq!(good.bytes(&[]), Err(Misdelivery::OutOfTurn));
        assert_eq!(begun().bytes(&bytes[200..300]), Err(Misdelivery::Content), "duplicate");
        assert_eq!(begun().bytes(&bytes[400..500]), Err(Misdelivery::Content), "gap unnamed");
        assert_eq!(begun().lost(9, 9), Err(Misdelivery::Gap));
        assert_eq!(begun().lost(8, 15), Err(Misdelivery::NeverSent));
        assert_eq!(begun().finish(), Err(Misdelivery::EarlyEnd));
        assert_eq!(begun().start(5), Err(Misdelivery::OutOfTurn));
        assert_eq!(Delivery::new(Rc::clone(&record)).start(4), Err(Misdelivery::NeverSent));
        assert_eq!(Delivery::new(record).bytes(&[]), Err(Misdelivery::OutOfTurn));
    }

    #[test]
    fn messages_around_a_gap() {
        let (record, content) = recorded(Kind::Packed);
        // Packets 8 and 9 carry the bytes 300..500 of the stream.
        let (before, after) = (content.messages_before(300), content.first_message(500));
        assert!(0 < before && before < after && after < content.messages());
        let begun = |messages| {
            let mut delivery = Delivery::new(Rc::clone(&record));
            delivery.start(5).unwrap();
            deliver(&mut delivery, 0..messages).unwrap();
            delivery
        };
        let mut good = begun(before);
        assert_eq!(good.lost(8, 9), Ok(()));
        assert_eq!(deliver(&mut good, after..content.messages()), Ok(()));
        assert_eq!(good.finish(), Ok(()));
        let mut in_two_steps = begun(before);
        assert_eq!(in_two_steps.lost(8, 8), Ok(()));
        assert_eq!(in_two_steps.lost(9, 9), Ok(()));
        assert_eq!(deliver(&mut in_two_steps, after..content.messages()), Ok(()));
        assert_eq!(begun(before - 1).lost(8, 9), Err(Misdelivery::Gap), "one is missing");
        assert_eq!(begun(before + 1).lost(8, 9), Err(Misdelivery::Gap), "one came out of the gap");
        let mut late = begun(before);
        late.lost(8, 9).unwrap();
        assert_eq!(deliver(&mut late, after + 1..after + 2), Err(Misdelivery::Content));
        assert_eq!(deliver(&mut begun(2), 1..2), Err(Misdelivery::Content), "twice");
        let mut joined = Delivery::new(record);
        joined.start(10).unwrap();
        assert_eq!(deliver(&mut joined, after..content.messages()), Ok(()));
    }

    #[test]
    fn parts_of_a_message_make_it_whole() {
        let (record, content) = recorded_in_parts(Kind::Packed, 4);
        let number = (0..content.messages()).find(|&number| content.message(number).len() > 10).unwrap();
        let (first, second) = (content.part(number, 0).0, content.part(number, 4).0);
        let mut delivery = Delivery::new(record);
        delivery.start(5).unwrap();
        deliver(&mut delivery, 0..number).unwrap();
        assert_eq!(delivery.message(first, true), Ok(()));
        assert_eq!(delivery.clone().message(second, false), Err(Misdelivery::Content), "it goes on");
        assert_eq!(delivery.clone().message(&[first, second].concat(), true), Err(Misdelivery::Content));
        assert_eq!(delivery.message(second, true), Ok(()));
        let rest = &content.message(number)[8..];
        let parts = rest.chunks(4).count();
        for (part, nth) in rest.chunks(4).zip(1..) {
            assert_eq!(delivery.message(part, nth < parts), Ok(()));
        }
        assert_eq!(deliver(&mut delivery, number + 1..content.messages()), Ok(()));
    }

    #[test]
    fn with_a_part_that_is_too_long_the_rest_of_its_message_is_left_out() {
        let (record, content) = recorded_in_parts(Kind::Packed, 40);
        let number = (1..content.messages()).find(|&number| content.message(number).len() > 120).unwrap();
        let mut delivery = Delivery::new(Rc::clone(&record));
        delivery.start(5).unwrap();
        deliver(&mut delivery, 0..number).unwrap();
        delivery.message(content.part(number, 0).0, true).unwrap();
        let sqn = 5 + (content.part_start(number, 40) / 100) as u32;
        assert_eq!(delivery.clone().too_long(sqn, 41, 39), Err(Misdelivery::TooLong));
        assert_eq!(delivery.too_long(sqn, 40, 39), Ok(()));
        assert_eq!(delivery.clone().message(content.part(number, 80).0, true), Err(Misdelivery::Content));
        assert_eq!(deliver(&mut delivery, number + 1..content.messages()), Ok(()));
    }

    #[test]
    fn a_message_is_left_out_only_if_it_is_too_long() {
        let (record, content) = recorded(Kind::Packed);
        let deliver_up_to = |number| {
            let mut delivery = Delivery::new(Rc::clone(&record));
            delivery.start(5).unwrap();
            (0..number).for_each(|number| delivery.message(content.message(number), false).unwrap());
            delivery
        };
        let number = (1..content.messages()).find(|&number| content.message(number).len() > 10).unwrap();
        let len = content.message(number).len();
        let sqn = 5 + (content.message_start(number) / 100) as u32;
        let mut delivery = deliver_up_to(number);
        assert_eq!(delivery.too_long(sqn, len as u64, len - 1), Ok(()));
        assert_eq!(delivery.message(content.message(number + 1), false), Ok(()));
        assert_eq!(deliver_up_to(number).too_long(sqn, len as u64, len), Err(Misdelivery::TooLong));
        assert_eq!(deliver_up_to(number).too_long(sqn, len as u64 + 1, 5), Err(Misdelivery::TooLong));
        assert_eq!(deliver_up_to(number).too_long(sqn + 1, len as u64, 5), Err(Misdelivery::TooLong));
        assert_eq!(deliver_up_to(content.messages()).too_long(14, 9, 5), Err(Misdelivery::Content));
    }

    /// A stream in groups of four, of which the second has one packet.
    #[test]
    fn what_a_short_group_leaves_out_is_lost_only_to_receivers_that_did_not_hear_its_length() {
        let content = Rc::new(Content::new(Kind::Stream, 700, 0, &mut Rng::new(3)));
        let mut record = Record::new(Rc::clone(&content), 0, 4, 100);
        (0..5).chain([8]).for_each(|sqn| record.push(sqn, if sqn == 8 { 200 } else { 100 }));
        let record = Rc::new(RefCell::new(record));
        let spm = |lead: u32, options| {
            let window = WindowState::Known(Window::new(Seq(0), Seq(lead)).unwrap());
            let body = Body::Spm(Spm { sqn: Seq(1), window, path: [10, 0, 0, 1].into(), options });
            let packet = Packet { session: Session::default(), body };
            let mut bytes = vec![0; packet.wire_len()];
            packet.emit(&mut bytes);
            bytes
        };
        let parity = Some(ParityPrm::new(4, false, true).unwrap());
        let plain = SpmOptions { parity, ..SpmOptions::default() };
        let short = SpmOptions { curr_tgsize: NonZeroU32::new(1), ..plain };
        let lost = |heard: &[(Vec<u8>, bool)], first, last| {
            let mut delivery = Delivery::new(Rc::clone(&record));
            heard.iter().for_each(|(packet, is_forged)| delivery.heard(packet, *is_forged));
            delivery.start(0).unwrap();
            delivery.bytes(&content.bytes()[..500]).unwrap();
            delivery.lost(first, last)
        };
        assert_eq!(lost(&[(spm(3, plain), false)], 5, 7), Ok(()));
        assert_eq!(lost(&[(spm(4, short), false)], 5, 7), Err(Misdelivery::NeverSent));
        assert_eq!(
            lost(&[(spm(4, short), false), (spm(4, plain), true)], 5, 7),
            Ok(()),
            "a forger denies it"
        );
        let without_groups = SpmOptions { parity: None, ..short };
        assert_eq!(lost(&[(spm(4, without_groups), false)], 5, 7), Ok(()), "groups may be of any length");
        assert_eq!(lost(&[], 9, 9), Err(Misdelivery::NeverSent));
    }

    #[test]
    fn packets_of_a_file_come_once_each() {
        let (record, content) = recorded(Kind::File);
        let mut delivery = Delivery::new(record);
        delivery.start(5).unwrap();
        delivery.had(9, 10).unwrap();
        let packet = |sqn: u32| &content.bytes()[(sqn as usize - 5) * 100..][..100];
        for sqn in [14, 5, 8, 7, 6, 13, 12] {
            delivery.packet(sqn, packet(sqn)).unwrap();
        }
        assert_eq!(delivery.packet(8, packet(8)), Err(Misdelivery::Twice));
        assert_eq!(delivery.packet(9, packet(9)), Ok(()), "on its way when it was said to be there");
        assert_eq!(delivery.packet(9, packet(9)), Err(Misdelivery::Twice));
        assert_eq!(delivery.lost(8, 8), Err(Misdelivery::Twice));
        assert_eq!(delivery.packet(15, &[]), Err(Misdelivery::NeverSent));
        assert_eq!(delivery.packet(11, packet(12)), Err(Misdelivery::Content));
        let mut short = Delivery::new(Rc::clone(&delivery.record));
        short.start(5).unwrap();
        short.had(5, 13).unwrap();
        assert_eq!(short.finish(), Err(Misdelivery::EarlyEnd));
    }
}
