//! `campanile beacon`: what is sent is heard, the first datagram too.

use campanile_rig::free_port;
use serde_json::Value;

use super::process::{Running, run, run_in_namespaces};

/// A listener on loopback that has joined its group.
fn listening(group: &str, options: &str) -> Running {
    let arguments = format!("beacon listen --group {group} --interface 127.0.0.1 --json {options}");
    let mut listener = Running::start(&arguments);
    assert_eq!(listener.json()["event"], "started");
    listener
}

fn values(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).expect("one value a line")).collect()
}

#[test]
fn all_that_is_sent_is_heard_in_order() {
    let group = format!("239.192.71.10:{}", free_port());
    let listener = listening(&group, "--count 20 --duration 60");
    let sent =
        run(&format!("beacon send --group {group} --interface 127.0.0.1 --every 0.001 --count 20 --json"));
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let heard = listener.finish();
    assert_eq!((heard.code, heard.stderr.as_str()), (Some(0), ""), "{heard:?}");
    let (sent, heard) = (values(&sent.stdout), values(&heard.stdout));
    assert_eq!((sent.len(), heard.len()), (21, 21));
    for (number, (sent, heard)) in sent.iter().zip(&heard).take(20).enumerate() {
        assert_eq!((&sent["event"], &heard["event"]), (&"sent".into(), &"heard".into()));
        assert_eq!((&sent["sequence"], &heard["sequence"]), (&number.into(), &number.into()));
        assert_eq!(
            (&heard["sent"], &heard["text"], &heard["bytes"]),
            (&sent["time"], &sent["time"], &59.into())
        );
        assert_eq!(
            (&heard["missing"], &heard["late"], &heard["duplicate"]),
            (&0.into(), &false.into(), &false.into())
        );
    }
    let source = &heard[20]["sources"][0];
    assert_eq!((&source["first"], &source["received"], &source["lost"]), (&0.into(), &20.into(), &0.into()));
}

#[test]
fn any_text_is_sent_and_shown() {
    let group = format!("239.192.71.11:{}", free_port());
    let mut listener = Running::start(&format!(
        "beacon listen --group {group} --interface 127.0.0.1 --count 1 --duration 60"
    ));
    assert!(listener.line().starts_with(&format!("listening to {group} on 127.0.0.1")));
    let sent =
        run(&format!("beacon send --group {group} --interface 127.0.0.1 --text hello --size 9000 --count 1"));
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(sent.stdout.contains("9000 bytes to "), "{sent:?}");
    assert!(sent.stdout.ends_with("stopped: 1 datagram sent\n"), "{sent:?}");
    let heard = listener.finish();
    assert_eq!(heard.code, Some(0), "{heard:?}");
    let lines: Vec<&str> = heard.stdout.lines().collect();
    assert!(lines[0].contains("9000 bytes") && lines[0].ends_with("  hello"), "{lines:?}");
    assert_eq!(lines[1], "stopped: 1 datagram from 1 source");
    assert!(lines[2].ends_with(" 1 from number 0 on, 0 lost (0.000 %)"), "{lines:?}");
}

#[test]
fn silence_is_a_failure_where_something_was_expected() {
    let group = format!("239.192.71.12:{}", free_port());
    let arguments = format!("beacon listen --group {group} --interface 127.0.0.1 --duration 0.1");
    let finished = run(&arguments);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    let finished = run(&format!("{arguments} --count 1"));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.starts_with("error: 0 of 1 datagrams were heard; "), "{finished:?}");
}

#[test]
fn an_interrupt_ends_both_with_a_summary() {
    let group = format!("239.192.71.13:{}", free_port());
    let mut listener = listening(&group, "");
    let mut sender =
        Running::start(&format!("beacon send --group {group} --interface 127.0.0.1 --every 0.01"));
    assert!(sender.line().contains("59 bytes to "));
    assert_eq!(listener.json()["sequence"], 0);
    if !sender.interrupt() || !listener.interrupt() {
        eprintln!("skipped: there is no `kill` here");
        return;
    }
    let sent = sender.finish();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(sent.stdout.lines().last().is_some_and(|line| line.starts_with("stopped: ")), "{sent:?}");
    let heard = listener.finish();
    assert_eq!(heard.code, Some(0), "{heard:?}");
    assert_eq!(values(&heard.stdout).last().expect("a summary")["event"], "stopped");
}

/// The interface goes while it sends.
#[test]
fn a_beacon_that_can_send_no_more_says_how_many_were_sent() {
    let scratch =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's directory can be written");
    let prepare = format!("ip link set lo up && cd {}", scratch.path().display());
    let script = "\"$0\" beacon send --interface 127.0.0.1 --every 0.1 --json > out & beacon=$!
        until [ -s out ]; do sleep 0.05; done
        ip link set lo down
        wait $beacon; code=$?; tail -n 1 out; exit $code";
    let Some(finished) = run_in_namespaces(&prepare, script) else { return };
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.starts_with("error: nothing can be sent to 239.192.7.1:7125: "), "{finished:?}");
    let last = values(&finished.stdout).pop().expect("a summary");
    assert!(last["event"] == "stopped" && last["sent"].as_u64() > Some(0), "{last}");
}

#[test]
fn bad_values_are_refused_with_the_reason() {
    for (arguments, words) in [
        ("send --group 10.0.0.1", "give a multicast group"),
        ("send --size 31 --count 1 --interface 127.0.0.1", "possible are 59 to 65507"),
        ("send --size 65508 --count 1 --interface 127.0.0.1", "possible are 59 to 65507"),
        ("send --count 0", "--count"),
        ("send --every 0", "give a time above 0"),
        ("send --interface nowhere0", "no interface nowhere0"),
        ("listen --interface nowhere0", "no interface nowhere0"),
        ("listen --group here", "give a multicast group"),
        ("tell", "'tell'"),
    ] {
        let finished = run(&format!("beacon {arguments}"));
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{arguments}: {finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{arguments}: {finished:?}");
        assert!(finished.stderr.contains(words), "{arguments}: {finished:?}");
    }
}
