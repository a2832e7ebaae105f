//! The sockets that have a port, and their programs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::tree::Tree;
use super::{Finding, Severity, quoted, things};

/// A socket of `/proc/net/udp`.
struct Bound {
    address: IpAddr,
    /// It receives only from one peer.
    is_connected: bool,
    drops: u64,
    uid: u64,
    inode: u64,
}

/// The sockets that have the port; all of them receive what is sent to a group. `if_unheard` is how bad it is that there are none.
pub(super) fn sockets(tree: &Tree, port: u16, group: Option<IpAddr>, if_unheard: Severity) -> Finding {
    let check = "sockets on the port";
    let texts: Vec<String> =
        ["proc/net/udp", "proc/net/udp6"].into_iter().filter_map(|path| tree.text(path)).collect();
    if texts.is_empty() {
        return Finding::unknown(check);
    }
    let bound: Vec<Bound> = texts
        .iter()
        .flat_map(|text| text.lines().skip(1))
        .filter_map(|line| Bound::read(line, port))
        .collect();
    let show = format!("ss -ulpmn 'sport = :{port}'");
    let drops: u64 = bound.iter().map(|socket| socket.drops).fold(0, u64::saturating_add);
    let dropped = things(drops, "datagram");
    let is_private = bound.iter().all(|socket| socket.address.is_loopback());
    let on = if is_private { " on loopback" } else { "" };
    let evidence = match bound.len() {
        0 => return no_socket(check, port, group).at_most(if_unheard).verify(show),
        1 => format!("1 socket{on} has port {port}; {dropped} found it full"),
        count => format!("{count} sockets{on} have port {port}; {dropped} found them full"),
    };
    let programs = programs(tree, &bound);
    let told: Vec<String> = programs.values().map(Program::to_string).collect();
    let evidence = if told.is_empty() { evidence } else { format!("{evidence}; of {}", told.join(", ")) };
    if let Some(group) = group.filter(|&group| !bound.iter().any(|socket| socket.hears(group))) {
        return Finding::new(
            check,
            Severity::Warning,
            format!("{evidence}; none is bound to {group} or to any address"),
        )
        .costs("a socket that is bound to a unicast address, or connected, does not hear what is sent to a group")
        .fix(format!("# have the program bind {group}, or 0.0.0.0 or [::], and not connect"))
        .verify(show);
    }
    if group.is_none() && are_rivals(&bound, &programs) {
        return Finding::new(check, Severity::Warning, evidence)
            .costs("a datagram to one address goes to one of these programs, and the others do not hear it")
            .fix("# give each program a port of its own")
            .verify(show);
    }
    if drops > 0 {
        return Finding::new(check, Severity::Warning, evidence)
            .costs("these datagrams are lost")
            .fix("# give this program more receive buffer (--recv-buffer 4m), more cores, or less to receive")
            .verify(show);
    }
    if is_private {
        return Finding::new(check, Severity::Notice, evidence)
            .costs("other machines are not heard")
            .fix("# if they are to be heard, have the program bind an address that they reach, or 0.0.0.0 or [::]")
            .verify(show);
    }
    Finding::new(check, Severity::Fine, evidence)
}

/// No socket has the port.
fn no_socket(check: &'static str, port: u16, group: Option<IpAddr>) -> Finding {
    let finding = Finding::new(check, Severity::Warning, format!("no socket has port {port}"));
    match group {
        None => finding
            .costs("nobody listens: what arrives is refused")
            .fix(format!("campanile echo {port}  # or the program that is to listen")),
        Some(group) => {
            let at = quoted(SocketAddr::new(group, port));
            finding
                .costs("nobody listens: what arrives is discarded")
                .fix(format!("campanile beacon listen --group {at}  # or the program that is to listen"))
        }
    }
}

impl Bound {
    /// A line: number, local address and port in hexadecimal, remote, state, queues, timer, retransmits, uid, timeout, inode,
    /// references, pointer, drops.
    fn read(line: &str, port: u16) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, local_port) = words.get(1)?.rsplit_once(':')?;
        if u16::from_str_radix(local_port, 16).ok()? != port {
            return None;
        }
        let number = |at: usize| words.get(at)?.parse().ok();
        let is_connected = words.get(2)?.rsplit_once(':')?.1 != "0000";
        Some(Self {
            address: read_address(address)?,
            is_connected,
            drops: number(12)?,
            uid: number(7)?,
            inode: number(9)?,
        })
    }

    /// Whether it receives what is sent to a group, if it has joined.
    fn hears(&self, group: IpAddr) -> bool {
        // An IPv6 wildcard socket receives IPv4 too.
        let is_of_family = group.is_ipv4() || self.address.is_ipv6();
        !self.is_connected && (self.address == group || self.address.is_unspecified() && is_of_family)
    }

    /// Whether a datagram to one address may be for either of them. A socket of IPv6 beside one of IPv4 mostly hears IPv6 alone.
    fn meets(&self, other: &Self) -> bool {
        let is_any = self.address.is_unspecified() || other.address.is_unspecified();
        self.address == other.address || is_any && self.address.is_ipv4() == other.address.is_ipv4()
    }
}

/// An address as it is in the system's file: in hexadecimal, each four bytes as a word in the machine's byte order.
fn read_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        _ => {
            let words: [[u8; 4]; 4] = [word(0)?, word(8)?, word(16)?, word(24)?];
            Some(Ipv6Addr::from(*words.as_flattened().first_chunk()?).to_canonical())
        }
    }
}

/// A program that has sockets.
struct Program {
    name: String,
    pid: u32,
    inodes: Vec<u64>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

/// The programs that own the sockets, as far as this user may know.
fn programs(tree: &Tree, bound: &[Bound]) -> BTreeMap<u32, Program> {
    let mut programs = BTreeMap::new();
    for pid in tree.names("proc").iter().filter_map(|name| name.parse::<u32>().ok()) {
        let folder = format!("proc/{pid}/fd");
        let links = tree.names(&folder).into_iter().filter_map(|fd| tree.link(&format!("{folder}/{fd}")));
        let inode = |link: String| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok();
        let inodes: Vec<u64> = links
            .filter_map(inode)
            .filter(|inode| bound.iter().any(|socket| socket.inode == *inode))
            .collect();
        if !inodes.is_empty() {
            let name = tree.word(&format!("proc/{pid}/comm")).unwrap_or_else(|| "a program".to_owned());
            programs.insert(pid, Program { name, pid, inodes });
        }
    }
    programs
}

/// Whether two sockets that the same datagram may be for belong to different programs, or at least to different users.
fn are_rivals(bound: &[Bound], programs: &BTreeMap<u32, Program>) -> bool {
    let owners = |socket: &Bound| -> Vec<u32> {
        programs
            .values()
            .filter(|program| program.inodes.contains(&socket.inode))
            .map(|program| program.pid)
            .collect()
    };
    let alone: Vec<(&Bound, Vec<u32>)> = bound
        .iter()
        // Each socket of a group gets its own copy.
        .filter(|socket| !socket.address.is_multicast())
        .take(SOCKETS_MAX)
        .map(|socket| (socket, owners(socket)))
        .collect();
    alone.iter().enumerate().any(|(at, (socket, pids))| {
        alone[at + 1..].iter().any(|(other, others)| {
            let are_known = !pids.is_empty() && !others.is_empty();
            let are_strangers =
                socket.uid != other.uid || are_known && !pids.iter().any(|pid| others.contains(pid));
            are_strangers && socket.meets(other)
        })
    })
}

/// The most sockets that are compared with each other.
const SOCKETS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const ANY: &str = "00000000";

    /// An address as it is written in the system's file.
    fn hexadecimal(octets: &[u8]) -> String {
        let word = |word: &[u8; 4]| format!("{:08X}", u32::from_ne_bytes(*word));
        octets.as_chunks().0.iter().map(word).collect()
    }

    fn line(address: &str, port: u16, uid: u32, drops: u32) -> String {
        let inode = uid + 90;
        format!(
            " 7: {address}:{port:04X} 00000000:0000 07 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 2 0 {drops}\n"
        )
    }

    fn found(lines: &[String]) -> Finding {
        let planted = Planted::new(&[("proc/net/udp", &format!("{HEAD}{}", lines.concat()))]);
        sockets(planted.tree(), 5000, None, Severity::Warning)
    }

    #[test]
    fn sockets_are_counted_by_port() {
        let other = line(ANY, 5001, 0, 3);
        assert_eq!(found(std::slice::from_ref(&other)).severity, Severity::Warning);
        assert_eq!(found(&[line(ANY, 5000, 0, 0), other]).severity, Severity::Fine);
        assert_eq!(found(&[line(ANY, 5000, 0, 0), line(ANY, 5000, 0, 0)]).severity, Severity::Fine);
        let full = found(&[line(ANY, 5000, 0, 8)]);
        assert_eq!(full.evidence, "1 socket has port 5000; 8 datagrams found it full");
        assert_eq!(full.severity, Severity::Warning);
        assert_eq!(found(&["nonsense\n".to_owned()]).severity, Severity::Warning);
    }

    #[test]
    fn a_socket_of_a_group_is_no_echo_server() {
        let planted = Planted::new(&[("proc/net/udp", HEAD)]);
        let found = |group: Option<&str>| {
            let group = group.map(|group| group.parse().expect("a literal address"));
            sockets(planted.tree(), 5000, group, Severity::Notice)
        };
        let (alone, of_group) = (found(None), found(Some("ff15::7")));
        assert_eq!(
            (&*alone.evidence, &*of_group.evidence),
            ("no socket has port 5000", "no socket has port 5000")
        );
        assert_eq!(alone.severity, Severity::Notice, "as bad as it was said to be");
        assert!(alone.fix.is_some_and(|fix| fix.starts_with("campanile echo 5000 ")));
        let fix = "campanile beacon listen --group '[ff15::7]:5000'  #";
        assert!(of_group.fix.is_some_and(|told| told.starts_with(fix)));
    }

    #[test]
    fn a_socket_of_another_address_hears_no_group() {
        let severity = |address: &str, group: &str| {
            let file = if address.len() > 8 { "proc/net/udp6" } else { "proc/net/udp" };
            let planted = Planted::new(&[(file, &format!("{HEAD}{}", line(address, 5000, 0, 0)))]);
            sockets(planted.tree(), 5000, Some(group.parse().expect("a literal address")), Severity::Notice)
                .severity
        };
        let word = |octets: [u8; 4]| hexadecimal(&octets);
        let any = ANY.repeat(4);
        for address in [ANY, &word([239, 192, 7, 1]), &any] {
            assert_eq!(severity(address, "239.192.7.1"), Severity::Fine, "{address}");
        }
        for address in [&word([192, 0, 2, 1]), &word([239, 192, 7, 2])] {
            assert_eq!(severity(address, "239.192.7.1"), Severity::Warning, "{address}");
        }
        assert_eq!(
            (severity(&any, "ff15::7"), severity(ANY, "ff15::7")),
            (Severity::Fine, Severity::Warning)
        );
        let connected = line(ANY, 5000, 0, 0).replace(":0000 07", ":1234 01");
        let planted = Planted::new(&[("proc/net/udp", &format!("{HEAD}{connected}"))]);
        let group = "239.192.7.1".parse().expect("a literal address");
        assert_eq!(sockets(planted.tree(), 5000, Some(group), Severity::Notice).severity, Severity::Warning);
    }

    #[test]
    fn owners_are_rivals_where_one_datagram_is_for_both() {
        let [one, two, group] =
            [[192, 0, 2, 1], [192, 0, 2, 2], [239, 192, 7, 1]].map(|octets| hexadecimal(&octets));
        let both =
            |first: &str, second: &str| found(&[line(first, 5000, 0, 0), line(second, 5000, 7, 0)]).severity;
        assert_eq!((both(ANY, ANY), both(&one, ANY)), (Severity::Warning, Severity::Warning));
        assert_eq!((both(&one, &two), both(&group, &group)), (Severity::Fine, Severity::Fine));
        let files = [
            ("proc/net/udp", format!("{HEAD}{}", line(ANY, 5000, 0, 0))),
            ("proc/net/udp6", format!("{HEAD}{}", line(&ANY.repeat(4), 5000, 7, 0))),
        ];
        let planted = Planted::new(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
        let found = sockets(planted.tree(), 5000, None, Severity::Warning);
        assert_eq!(found.severity, Severity::Fine, "each has its family");
    }

    #[test]
    fn a_socket_on_loopback_is_noticed() {
        let on = |address: IpAddr| {
            let octets = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            Bound::read(&line(&hexadecimal(&octets), 5000, 0, 0), 5000).expect("a line").address
        };
        for text in ["127.0.0.1", "192.0.2.7", "::1", "2001:db8::7", "0.0.0.0", "::"] {
            let address = text.parse().expect("a literal address");
            assert_eq!(on(address), address);
        }
        let mapped = "::ffff:127.0.0.1".parse().expect("a literal address");
        assert_eq!(on(mapped), Ipv4Addr::LOCALHOST);
        let alone = found(&[line(&hexadecimal(&[127, 0, 0, 1]), 5000, 0, 0)]);
        assert_eq!(alone.evidence, "1 socket on loopback has port 5000; 0 datagrams found it full");
        assert_eq!(alone.severity, Severity::Notice);
        let both = found(&[line(&hexadecimal(&[127, 0, 0, 1]), 5000, 0, 0), line(ANY, 5000, 0, 0)]);
        assert_eq!(both.severity, Severity::Fine);
    }

    #[test]
    fn sockets_of_two_programs_are_rivals_and_those_of_one_are_not() {
        let bound = [90, 91].map(|inode| Bound {
            address: Ipv4Addr::UNSPECIFIED.into(),
            is_connected: false,
            drops: 0,
            uid: 0,
            inode,
        });
        let owned = |first: u32, second: u32| {
            let mut programs = BTreeMap::new();
            for (pid, inode) in [(first, 90), (second, 91)] {
                let new = Program { name: "one".to_owned(), pid, inodes: Vec::new() };
                programs.entry(pid).or_insert(new).inodes.push(inode);
            }
            are_rivals(&bound, &programs)
        };
        assert!(owned(71, 88) && !owned(71, 71));
        assert!(!are_rivals(&bound, &BTreeMap::new()), "their owners are not known");
    }
}
