//! What people read of a packet, for one of everything.

use crate::specimens::specimens;

#[test]
fn one_line_for_each_specimen() {
    let lines: String = specimens()
        .iter()
        .map(|(name, packet)| {
            let line = packet.to_string();
            let body =
                line.strip_prefix("202.59.169.17.224.1.43210 to 7500: ").expect("the session comes first");
            format!("{name}: {body}\n")
        })
        .collect();
    assert_eq!(lines, include_str!("display.txt"), "\n{lines}");
}
