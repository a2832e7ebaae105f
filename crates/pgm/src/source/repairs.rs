//! Repairs that wait to be sent (RFC 3208 §5.3).

use std::collections::VecDeque;
use std::ops::Range;

use crate::Instant;

/// A queue of repairs, in the order in which they were requested, served in turns: receivers that ask for much, or for the same again
/// and again, do not delay those that ask for little.
///
/// Bounded: a request that finds no room is dropped, and the receiver will ask again.
#[derive(Debug)]
pub(super) struct Repairs {
    jobs: VecDeque<Job>,
    /// How many packets a turn has: as many as a group.
    turn_len: u8,
    /// How many packets of its turn the job at the front has had.
    turn: u8,
    /// When data packets were last repaired, indexed by position modulo the table's length; [`Instant::FAR_FUTURE`] while one waits.
    /// Of the packets that share an entry, only one can wait at a time, so no more wait than there are entries.
    recent: Box<[(u64, Instant)]>,
    eliminate_ns: u64,
}

/// One request to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Send data packets at consecutive positions again.
    Data {
        /// The first position.
        position: u64,
        /// How many packets.
        count: u64,
    },
    /// Send what is pending of a group.
    Group {
        /// The group.
        group: u64,
    },
}

impl Repairs {
    /// The repairs of a window of this many packets, in groups of `group_len`.
    pub(super) fn new(eliminate_ns: u64, packets: usize, group_len: u8) -> Self {
        Repairs {
            jobs: VecDeque::with_capacity(JOBS_MAX),
            turn_len: group_len,
            turn: 0,
            recent: vec![(u64::MAX, Instant::ZERO); packets.clamp(1, RECENT_MAX)].into_boxed_slice(),
            eliminate_ns,
        }
    }

    /// Adds a request for a data packet; false when it waits already, was repaired just now, or finds no room.
    pub(super) fn ask_data(&mut self, now: Instant, position: u64) -> bool {
        let eliminate_ns = self.eliminate_ns;
        let (recent, at) = *self.recent_of(position);
        if at == Instant::FAR_FUTURE || recent == position && now.nanos_since(at) < eliminate_ns {
            return false;
        }
        let has_room = self.jobs.len() < JOBS_MAX;
        match self.jobs.back_mut() {
            Some(Job::Data { position: first, count }) if *first + *count == position => *count += 1,
            _ if has_room => self.jobs.push_back(Job::Data { position, count: 1 }),
            _ => return false,
        }
        *self.recent_of(position) = (position, Instant::FAR_FUTURE);
        true
    }

    /// How many of these data packets, at most a group, wait or were repaired just now.
    pub(super) fn coming(&mut self, now: Instant, positions: Range<u64>) -> u8 {
        let eliminate_ns = self.eliminate_ns;
        let is_coming = |position: &u64| {
            let recent = *self.recent_of(*position);
            recent.0 == *position && now.nanos_since(recent.1) < eliminate_ns
        };
        let count = positions.filter(is_coming).count();
        u8::try_from(count).unwrap_or(u8::MAX)
    }

    /// Handles a small request for packets from `position` on that wait within a longer run: if more than a turn of the run comes
    /// before them, splits the run there, so that both parts have turns.
    pub(super) fn hasten(&mut self, position: u64) {
        if self.jobs.len() == JOBS_MAX {
            return;
        }
        let turn_len = u64::from(self.turn_len);
        for job in &mut self.jobs {
            if let Job::Data { position: first, count } = job
                && (*first + turn_len..*first + *count).contains(&position)
            {
                let rest = *first + *count - position;
                *count -= rest;
                return self.jobs.push_back(Job::Data { position, count: rest });
            }
        }
    }

    /// Adds a group that has something pending; false when there is no room.
    pub(super) fn ask_group(&mut self, group: u64) -> bool {
        let has_room = self.jobs.len() < JOBS_MAX;
        if has_room {
            self.jobs.push_back(Job::Group { group });
        }
        has_room
    }

    /// The job that is served next.
    pub(super) fn front(&self) -> Option<Job> {
        self.jobs.front().copied()
    }

    /// Removes one data packet from the job at the front.
    pub(super) fn data_sent(&mut self, now: Instant) {
        let Some(Job::Data { position, count }) = self.jobs.front_mut() else { return };
        let sent = *position;
        *position += 1;
        *count -= 1;
        if *count == 0 {
            self.done();
        } else {
            self.more_to_send();
        }
        *self.recent_of(sent) = (sent, now);
    }

    /// Counts a packet that was sent for the job at the front, which is not done. At the end of its turn it goes behind all others.
    pub(super) fn more_to_send(&mut self) {
        self.turn += 1;
        if self.turn >= self.turn_len {
            self.postpone();
        }
    }

    /// Removes the job at the front.
    pub(super) fn done(&mut self) {
        self.jobs.pop_front();
        self.turn = 0;
    }

    /// Moves the job at the front behind all others.
    pub(super) fn postpone(&mut self) {
        if !self.jobs.is_empty() {
            self.jobs.rotate_left(1);
        }
        self.turn = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn clear(&mut self) {
        self.jobs.clear();
    }

    fn recent_of(&mut self, position: u64) -> &mut (u64, Instant) {
        let len = self.recent.len() as u64;
        &mut self.recent[(position % len) as usize]
    }
}

const JOBS_MAX: usize = 1024;
/// Twice what a receiver lacks that has nothing of 64 groups of 128 packets.
const RECENT_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_repaired_once_in_the_interval() {
        let mut repairs = Repairs::new(10, 4096, 64);
        assert!(repairs.ask_data(Instant(100), 7) && repairs.ask_data(Instant(100), 8));
        assert!(!repairs.ask_data(Instant(150), 7), "it still waits");
        assert_eq!(repairs.front(), Some(Job::Data { position: 7, count: 2 }));
        repairs.data_sent(Instant(200));
        assert!(!repairs.ask_data(Instant(209), 7));
        assert!(repairs.ask_data(Instant(210), 7));
        repairs.data_sent(Instant(210));
        assert_eq!((repairs.front(), repairs.len()), (Some(Job::Data { position: 7, count: 1 }), 1));
    }

    #[test]
    fn a_late_receiver_is_answered_once_however_much_it_lacks() {
        let mut repairs = Repairs::new(10, 1 << 20, 64);
        let mut ask = |now| (0..8192).filter(|&i| repairs.ask_data(Instant(now), i)).count();
        assert_eq!((ask(100), ask(900)), (8192, 0));
        assert_eq!(
            (repairs.coming(Instant(900), 64..128), repairs.coming(Instant(900), 8160..8224)),
            (64, 32)
        );
    }

    #[test]
    fn what_waits_is_not_pushed_out_to_be_repaired_twice() {
        let mut repairs = Repairs::new(10, 1 << 20, 64);
        let far = RECENT_MAX as u64 + 7;
        assert!(repairs.ask_data(Instant(100), 7));
        assert!(!repairs.ask_data(Instant(100), far) && !repairs.ask_data(Instant(100), 7));
        repairs.data_sent(Instant(200));
        assert!(repairs.ask_data(Instant(201), far), "its place is free");
        assert!(!repairs.ask_data(Instant(300), 7));
    }

    #[test]
    fn a_receiver_that_asks_for_much_leaves_the_others_their_turns() {
        let mut repairs = Repairs::new(10, 4096, 64);
        let mut now = Instant(1);
        (0..1000).for_each(|position| assert!(repairs.ask_data(now, position)));
        assert!(repairs.ask_data(now, 3000) && repairs.ask_group(50));
        let mut sent_until = |repairs: &mut Repairs, wanted| {
            (0..).find(|_| {
                now = now.plus_nanos(1);
                let job = repairs.front().unwrap();
                match job {
                    Job::Data { .. } => repairs.data_sent(now),
                    Job::Group { .. } => repairs.more_to_send(),
                }
                job == wanted
            })
        };
        assert_eq!(sent_until(&mut repairs, Job::Data { position: 3000, count: 1 }), Some(64));
        assert_eq!(sent_until(&mut repairs, Job::Group { group: 50 }), Some(0));
        assert_eq!(sent_until(&mut repairs, Job::Data { position: 64, count: 936 }), Some(63));
        assert_eq!(sent_until(&mut repairs, Job::Group { group: 50 }), Some(63));
        assert_eq!(repairs.front(), Some(Job::Group { group: 50 }), "its turn has only begun");
    }

    #[test]
    fn requests_within_a_long_run_do_not_wait_for_all_before_them() {
        let mut repairs = Repairs::new(10, 4096, 64);
        (0..1000).for_each(|position| assert!(repairs.ask_data(Instant(1), position)));
        repairs.hasten(63);
        repairs.hasten(1000);
        assert_eq!(repairs.len(), 1, "soon enough, and not in it");
        repairs.hasten(640);
        repairs.hasten(700);
        (0..64).for_each(|_| repairs.data_sent(Instant(2)));
        assert_eq!(repairs.front(), Some(Job::Data { position: 640, count: 360 }));
        (0..64).for_each(|_| repairs.data_sent(Instant(2)));
        assert_eq!(repairs.front(), Some(Job::Data { position: 64, count: 576 }));
    }

    #[test]
    fn runs_are_one_job_and_the_rest_is_bounded() {
        let mut repairs = Repairs::new(10, 4096, 64);
        assert_eq!((0..1000).filter(|&i| repairs.ask_data(Instant(1), i)).count(), 1000);
        assert_eq!(repairs.len(), 1);
        assert_eq!(
            (1..=2 * JOBS_MAX as u64).filter(|&i| repairs.ask_data(Instant(1), 2000 + 2 * i)).count(),
            JOBS_MAX - 1
        );
        assert!(!repairs.ask_group(5));
    }
}
