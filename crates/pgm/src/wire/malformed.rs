use std::error::Error;
use std::fmt;

/// The rule that a packet broke.
///
/// One variant for each rule; the discriminants are dense, so that they index an array of [`Malformed::COUNT`] counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Malformed {
    /// Shorter than the common header (§8).
    ShortHeader,
    /// A version other than 0 (§8).
    Version,
    /// Reserved bits of the type are set (§8).
    ReservedTypeBits,
    /// An unknown packet type (§8).
    UnknownType,
    /// The checksum is wrong (§8).
    BadChecksum,
    /// A data packet without a checksum (§8).
    NoChecksum,
    /// OPT_VAR_PKTLEN without OPT_PARITY (§8).
    VarPktlenWithoutParity,
    /// OPT_PARITY on a packet of a type that does not allow it (§8, §11.3).
    ParityMisplaced,
    /// Shorter than the fixed part of packets of this type (§8).
    ShortBody,
    /// An address family other than IPv4 and IPv6 (§8).
    BadAfi,
    /// An address that must be unicast is not (§8).
    NlaNotUnicast,
    /// A group's address is not multicast (§8.3).
    NlaNotMulticast,
    /// A transmit window wider than 2^31 - 1 sequence numbers (§3.3).
    WindowTooWide,
    /// A data packet older than the trailing edge it carries (§5.1.1).
    DataBeforeTrail,
    /// The options do not begin with OPT_LENGTH (§9.1).
    NoOptLength,
    /// The total length of the options goes past the end of the packet, or is shorter than OPT_LENGTH (§9.1.1).
    OptionsLength,
    /// An option shorter than the header of an option, 0 included (§9).
    ShortOption,
    /// An option that goes past the end of the options (§9).
    OptionPastEnd,
    /// More than 16 options (§9).
    TooManyOptions,
    /// No option has OPT_END (§9.1).
    NoOptEnd,
    /// There are bytes after the option with OPT_END (§9.1).
    OptEndEarly,
    /// An option whose length is not that of its type.
    OptionLength,
    /// An option on a type of packet that cannot carry it.
    OptionMisplaced,
    /// OP_ENCODED on an option that is never encoded, or outside a parity packet (§9).
    OptionEncoded,
    /// OPT_FRAGMENT on a parity packet without OP_ENCODED (§11.2).
    FragmentNotEncoded,
    /// A fragment that goes past the end of its APDU (§9.2).
    FragmentBeyondApdu,
    /// A fragment's offset and first sequence number contradict its own sequence number (§9.2).
    FragmentOrder,
    /// A NAK list with duplicates or out of order (§9.3).
    NakListOrder,
    /// OPT_PARITY_PRM with neither pro-active nor on-demand parity (§11.8.1).
    ParityPrmEmpty,
    /// A transmission group size that is not a power of 2 (§11.2).
    TgsizeNotPowerOfTwo,
    /// OPT_CURR_TGSIZE of zero packets (§11.8.3).
    CurrTgsizeZero,
    /// OPT_PARITY_GRP of zero (§11.8.2).
    ParityGrpZero,
    /// A NAK back-off range whose maximum is below its minimum (§15.4.2).
    NakBoRange,
    /// An NCF with OPT_NBR_UNREACH and without OPT_PATH_NLA (§15.3.2).
    NbrUnreachWithoutPath,
    /// The TSDU length does not agree with the length of the datagram (§8).
    TsduLength,
    /// A TSDU on a packet that is neither ODATA nor RDATA (§8).
    TsduMisplaced,
    /// A parity packet with OPT_VAR_PKTLEN that has no room for the encoded length (§11.2).
    ShortParity,
}

impl Malformed {
    /// The number of rules.
    pub const COUNT: usize = Malformed::ShortParity as usize + 1;

    /// The index of this rule in an array of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The section of RFC 3208 that has the rule.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Malformed::ShortHeader
            | Malformed::Version
            | Malformed::ReservedTypeBits
            | Malformed::UnknownType
            | Malformed::BadChecksum
            | Malformed::NoChecksum
            | Malformed::VarPktlenWithoutParity
            | Malformed::ParityMisplaced
            | Malformed::ShortBody
            | Malformed::BadAfi
            | Malformed::NlaNotUnicast
            | Malformed::TsduLength
            | Malformed::TsduMisplaced => "8",
            Malformed::NlaNotMulticast => "8.3",
            Malformed::WindowTooWide => "3.3",
            Malformed::DataBeforeTrail => "5.1.1",
            Malformed::NoOptLength | Malformed::NoOptEnd | Malformed::OptEndEarly => "9.1",
            Malformed::OptionsLength => "9.1.1",
            Malformed::ShortOption
            | Malformed::OptionPastEnd
            | Malformed::TooManyOptions
            | Malformed::OptionLength
            | Malformed::OptionMisplaced
            | Malformed::OptionEncoded => "9",
            Malformed::FragmentNotEncoded | Malformed::TgsizeNotPowerOfTwo | Malformed::ShortParity => "11.2",
            Malformed::FragmentBeyondApdu | Malformed::FragmentOrder => "9.2",
            Malformed::NakListOrder => "9.3",
            Malformed::ParityPrmEmpty => "11.8.1",
            Malformed::CurrTgsizeZero => "11.8.3",
            Malformed::ParityGrpZero => "11.8.2",
            Malformed::NakBoRange => "15.4.2",
            Malformed::NbrUnreachWithoutPath => "15.3.2",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Malformed::ShortHeader => "shorter than the common header",
            Malformed::Version => "version is not 0",
            Malformed::ReservedTypeBits => "reserved bits of the type are set",
            Malformed::UnknownType => "unknown packet type",
            Malformed::BadChecksum => "wrong checksum",
            Malformed::NoChecksum => "data without a checksum",
            Malformed::VarPktlenWithoutParity => "OPT_VAR_PKTLEN without OPT_PARITY",
            Malformed::ParityMisplaced => "OPT_PARITY on a packet that cannot bear it",
            Malformed::ShortBody => "shorter than the fixed part of its type",
            Malformed::BadAfi => "address family is neither IPv4 nor IPv6",
            Malformed::NlaNotUnicast => "address is not unicast",
            Malformed::NlaNotMulticast => "group address is not multicast",
            Malformed::WindowTooWide => "window wider than half the sequence space",
            Malformed::DataBeforeTrail => "data older than its own trailing edge",
            Malformed::NoOptLength => "options do not begin with OPT_LENGTH",
            Malformed::OptionsLength => "total length of options does not fit the packet",
            Malformed::ShortOption => "option shorter than an option header",
            Malformed::OptionPastEnd => "option goes past the end of the options",
            Malformed::TooManyOptions => "more than 16 options",
            Malformed::NoOptEnd => "no option has OPT_END",
            Malformed::OptEndEarly => "bytes after the option with OPT_END",
            Malformed::OptionLength => "option length is not that of its type",
            Malformed::OptionMisplaced => "option on a packet that cannot bear it",
            Malformed::OptionEncoded => "OP_ENCODED where nothing is encoded",
            Malformed::FragmentNotEncoded => "plain OPT_FRAGMENT on a parity packet",
            Malformed::FragmentBeyondApdu => "fragment goes past the end of its APDU",
            Malformed::FragmentOrder => "fragment contradicts its sequence number",
            Malformed::NakListOrder => "NAK list with duplicates or out of order",
            Malformed::ParityPrmEmpty => "OPT_PARITY_PRM offers no parity",
            Malformed::TgsizeNotPowerOfTwo => "transmission group size is not a power of 2",
            Malformed::CurrTgsizeZero => "OPT_CURR_TGSIZE is 0",
            Malformed::ParityGrpZero => "OPT_PARITY_GRP is 0",
            Malformed::NakBoRange => "NAK back-off maximum below its minimum",
            Malformed::NbrUnreachWithoutPath => "OPT_NBR_UNREACH without OPT_PATH_NLA",
            Malformed::TsduLength => "TSDU length disagrees with the datagram",
            Malformed::TsduMisplaced => "TSDU on a packet that is not data",
            Malformed::ShortParity => "parity without room for the encoded length",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

impl Error for Malformed {}
