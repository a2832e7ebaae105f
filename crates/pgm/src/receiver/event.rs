use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::messages::Messages;
use super::packets::Packets;
use crate::wire::Reset;
use crate::{Seq, Tsi};

/// What a receiver tells its driver. Bytes are borrowed from the receiver until its next call.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A source was found. Its data follow.
    Start {
        /// The source.
        tsi: Tsi,
        /// Its address.
        source: IpAddr,
        /// The first sequence number that will be delivered, or told lost.
        first: Seq,
    },
    /// Messages, or parts of them.
    Messages {
        /// The source.
        tsi: Tsi,
        /// Some messages. To keep them, clone this; when all have let go of it, their memory is used for others.
        messages: &'a Arc<Messages>,
    },
    /// The next bytes of a stream.
    Bytes {
        /// The source.
        tsi: Tsi,
        /// The bytes, as one message; never none. They are kept as messages are.
        bytes: &'a Arc<Messages>,
    },
    /// Packets as they came or as they were recovered (bulk).
    Packets {
        /// The source.
        tsi: Tsi,
        /// Some packets. To keep them, swap them for others, whose memory is used for what comes next.
        packets: &'a mut Packets,
    },
    /// The packets of a group are needed to decode what it lacks (bulk): [`super::Receiver::supply`] them.
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
    /// A message is longer than allowed ([`super::Limits::message_len`]), and is not delivered. What follows it is.
    TooLong {
        /// The source.
        tsi: Tsi,
        /// The packet in which it begins.
        sqn: Seq,
        /// Its length in bytes, as the source says.
        len: u64,
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
    /// Nothing more will come of a source.
    End {
        /// The source.
        tsi: Tsi,
        /// Why.
        cause: EndCause,
    },
}

/// Why nothing more will come of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndCause {
    /// The source has ended the session (OPT_FIN), and all of it was delivered or told lost.
    Fin,
    /// The source has aborted the session (OPT_RST), or ended it before it was whole (OPT_FIN as well): then all that was sent was
    /// delivered or told lost.
    Reset(Reset),
    /// The source fell silent.
    Expired,
    /// Something was lost, and the configuration says to stop then.
    Loss,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandError {
    /// No such source is known, or not any more.
    UnknownSource,
    /// Only who receives in bulk has or supplies packets.
    NotBulk,
    /// Only what is delivered in order can be paused.
    NotOrdered,
    /// What was supplied was not asked for.
    NotNeeded,
    /// The bytes do not hold the packets of the group.
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
