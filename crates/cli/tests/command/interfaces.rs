//! Interfaces that come and go while a session lasts.

use super::process::run_in_namespaces;

/// Where an interface is made, and made anew.
const PLUG: &str = "plug() {
    ip link add cable0 type veth peer name cable1 && ip addr add 10.9.8.1/24 dev cable0 \\
    && ip link set cable1 up && ip link set cable0 up && ip route add 224.0.0.0/4 dev cable0
}
count() { grep -c . out; }
waits() { until [ $(count) -gt $1 ]; do sleep 0.1; done; }";

/// Lines go by an interface, which is removed, and made again; the next ones come.
#[test]
fn an_interface_that_comes_back_is_used_again() {
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let prepare = format!("{PLUG}\ncd {} && plug", scratch.path().display());
    let script = "\"$0\" recv --lines --group 239.192.7.1:7500 --interface cable0 > out & receiver=$!
        (while sleep 0.2; do echo line; done) | \"$0\" send --lines --group 239.192.7.1:7500 \\
            --interface cable0 > sent &
        waits 3
        ip link del cable0
        sleep 1
        plug
        before=$(count)
        waits $(($before + 10))
        kill $receiver
        wait $receiver
        echo over";
    let Some(ended) = run_in_namespaces(&prepare, script) else { return };
    assert!(ended.stdout.ends_with("over\n"), "{ended:?}");
}

/// Of two interfaces the one comes back while the other is still gone: it is used again by itself.
#[test]
fn an_interface_that_comes_back_waits_for_no_other() {
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let second = "ip link add other0 type veth peer name other1 && ip addr add 10.9.7.1/24 dev other0 \
        && ip link set other1 up && ip link set other0 up";
    let prepare = format!("{PLUG}\ncd {} && plug && {second}", scratch.path().display());
    let script = "\"$0\" recv --lines --group 239.192.7.1:7500 --interface cable0,other0 > out & receiver=$!
        (while sleep 0.2; do echo line; done) | \"$0\" send --lines --group 239.192.7.1:7500 \\
            --interface cable0,other0 > sent &
        waits 3
        ip link del other0
        ip link del cable0
        sleep 1
        plug
        before=$(count)
        waits $(($before + 10))
        kill $receiver
        wait $receiver
        echo over";
    let Some(ended) = run_in_namespaces(&prepare, script) else { return };
    assert!(ended.stdout.ends_with("over\n"), "{ended:?}");
}

/// Receivers know a session by its source's address: one that lost it to another says so, and does not send in vain for ever.
#[test]
fn a_source_whose_address_changes_fails() {
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let prepare = format!("{PLUG}\ncd {} && plug", scratch.path().display());
    let script = "(while sleep 0.2; do echo line; done) | \"$0\" send --lines --group 239.192.7.1:7500 \\
            --interface cable0 > sent 2>&1 & sender=$!
        sleep 1
        ip addr del 10.9.8.1/24 dev cable0 && ip addr add 10.9.8.7/24 dev cable0
        wait $sender
        echo \"status $?\"
        cat sent";
    let Some(ended) = run_in_namespaces(&prepare, script) else { return };
    let says = "10.9.8.1 is no address of this machine any more, and its interface has 10.9.8.7";
    assert!(ended.stdout.starts_with("status 1\n") && ended.stdout.contains(says), "{ended:?}");
}
