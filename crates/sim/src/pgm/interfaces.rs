//! The interfaces of a source: each train leaves by all of them, with the address of each in it where that differs.

use crate::{Destination, Transmit};

/// Sends each train once for each interface. What is a group's number on the first interface is the next number on the second.
#[derive(Debug)]
pub(crate) struct Interfaces {
    count: u32,
    /// The train that is leaving by them, and the next one of them.
    train: Vec<u8>,
    to: Destination,
    stride: usize,
    next: u32,
    /// Whether the packets of the train are for one interface each.
    apart: bool,
}

impl Interfaces {
    pub(crate) fn new(count: u32) -> Self {
        Self { count, train: Vec::new(), to: Destination::Group(0), stride: 0, next: count, apart: false }
    }

    /// Takes a train, whose packets are for one interface each if it is `apart`.
    pub(crate) fn take(&mut self, transmit: Transmit, apart: bool, buf: &[u8]) {
        self.train.clear();
        self.train.extend_from_slice(&buf[..transmit.len]);
        (self.to, self.stride, self.next, self.apart) = (transmit.to, transmit.stride, 0, apart);
    }

    /// Writes the train for the next interface, if there is one that it has not left by.
    pub(crate) fn poll(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let interface = (self.next < self.count).then_some(self.next)?;
        self.next += 1;
        let train = self.packets_on(interface);
        buf[..train.len()].copy_from_slice(train);
        let to = match self.to {
            Destination::Group(group) => Destination::Group(group + interface),
            Destination::Party(party) => Destination::Party(party),
        };
        Some(Transmit { to, stride: self.stride, len: train.len() })
    }

    /// The packets of the train on one interface.
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.packets_on(0).chunks(self.stride)
    }

    fn packets_on(&self, interface: u32) -> &[u8] {
        let own = interface as usize * self.stride;
        if self.apart { &self.train[own..own + self.stride] } else { &self.train }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The destinations and packets of a train of six bytes, in packets of two, on three interfaces.
    fn sent(apart: bool) -> Vec<(Destination, Vec<u8>)> {
        let mut interfaces = Interfaces::new(3);
        let mut buf = *b"aabbcc..";
        assert_eq!(interfaces.poll(&mut buf), None);
        interfaces.take(Transmit { to: Destination::Group(4), stride: 2, len: 6 }, apart, &buf);
        std::iter::from_fn(|| interfaces.poll(&mut buf).map(|sent| (sent.to, buf[..sent.len].to_vec())))
            .collect()
    }

    #[test]
    fn a_train_leaves_by_each_interface() {
        let whole = [4, 5, 6].map(|group| (Destination::Group(group), b"aabbcc".to_vec()));
        assert_eq!(sent(false), whole);
        let apart = [(4, b"aa"), (5, b"bb"), (6, b"cc")];
        assert_eq!(sent(true), apart.map(|(group, packet)| (Destination::Group(group), packet.to_vec())));
    }
}
