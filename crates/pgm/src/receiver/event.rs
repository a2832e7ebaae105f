use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::messages::Messages;
use super::packets::Packets;
use crate::wire::Reset;
use crate::{Seq, Tsi};

/// What a receiver reports to its driver. Bytes are borrowed from the receiver until its next call.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A source was found; its data follow.
    Start {
        /// The source.
        tsi: Tsi,
        /// Its address.
        source: IpAddr,
        /// The first sequence number that will be delivered or reported lost.
        first: Seq,
    },
    /// Messages, or parts of them.
    Messages {
        /// The source.
        tsi: Tsi,
        /// Some messages. To keep them, clone the `Arc`; their memory is reused once all clones are dropped.
        messages: &'a Arc<Messages>,
    },
    /// The next bytes of a stream.
    Bytes {
        /// The source.
        tsi: Tsi,
        /// The bytes, as one message that is never empty; kept as messages are.
        bytes: &'a Arc<Messages>,
    },
    /// Packets as they came or as they were recovered (bulk).
    Packets {
        /// The source.
        tsi: Tsi,
        /// Some packets. To keep them, swap them for others, whose memory then takes the next packets.
        packets: &'a mut Packets,
    },
    /// The delivered packets of a group are needed to decode the missing ones (bulk): call [`super::Receiver::supply`].
    Need {
        /// The source.
        tsi: Tsi,
        /// The first sequence number of the group.
        first: Seq,
        /// How many packets the group has. Those that were not delivered yet may hold anything.
        count: u8,
    },
    /// These packets are lost for good.
    Lost {
        /// The source.
        tsi: Tsi,
        /// The first of them.
        first: Seq,
        /// The last of them.
        last: Seq,
    },
    /// A message, or a part of one, is longer than allowed ([`super::Limits::message_len`]). It is not delivered, nor is the rest of its
    /// message; what follows is.
    TooLong {
        /// The source.
        tsi: Tsi,
        /// The packet in which the message or the part begins.
        sqn: Seq,
        /// Its length in bytes, as the source states it.
        len: u64,
    },
    /// A packet is not laid out in the configured framing ([`crate::Framing`]). What it contains after the delivered messages is lost;
    /// the packets that follow are delivered.
    Unreadable {
        /// The source.
        tsi: Tsi,
        /// The packet.
        sqn: Seq,
        /// Its payload; empty if it had a message that was too long before the fault.
        payload: &'a [u8],
    },
    /// The application does not keep up with a source, and its window is full.
    Stalled {
        /// The source.
        tsi: Tsi,
    },
    /// There is room in the window again.
    Resumed {
        /// The source.
        tsi: Tsi,
    },
    /// Nothing more will come from a source.
    End {
        /// The source.
        tsi: Tsi,
        /// Why.
        cause: EndCause,
    },
}

/// Why nothing more will come from a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndCause {
    /// The source has ended the session (OPT_FIN), and all of it was delivered or reported lost.
    Fin,
    /// The source has aborted the session (OPT_RST). If it also sent OPT_FIN, it has ended the session before it was complete, and
    /// everything that was sent was delivered or reported lost.
    Reset(Reset),
    /// The source fell silent.
    Expired,
    /// Something was lost, and the configuration says to stop after a loss.
    Loss,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandError {
    /// The source is not known, or no longer.
    UnknownSource,
    /// The command is for delivery in bulk.
    NotBulk,
    /// Only delivery in order can be paused and resumed.
    NotOrdered,
    /// The supplied group was not asked for.
    NotNeeded,
    /// The length of the supplied bytes does not fit the packets of the group.
    Length,
    /// The range of sequence numbers goes backwards.
    Range,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::UnknownSource => "no such source",
            CommandError::NotBulk => "receiver does not receive in bulk",
            CommandError::NotOrdered => "receiver does not deliver in order",
            CommandError::NotNeeded => "supplied what was not asked for",
            CommandError::Length => "supplied bytes do not hold the packets of the group",
            CommandError::Range => "range of sequence numbers goes backwards",
        })
    }
}

impl std::error::Error for CommandError {}
