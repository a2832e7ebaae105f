//! Commands that do what they are for.

use std::fs::File;
use std::net::UdpSocket;
use std::time::Duration;

use campanile_rig::free_port;

use super::process::{Running, Server, campanile, run, run_in_namespaces};

fn is_measured(backend: &str) {
    let server = Server::start(&format!("--backend {backend}"));
    let options = format!("--window 4 --sockets 2 --timeout 20 --backend {backend} --json");
    let load = run(&format!("load 127.0.0.1 {} 200 1 0.5 {options}", server.port));
    assert_eq!(load.code, Some(0), "{load:?}");
    let report: serde_json::Value = serde_json::from_str(&load.stdout).expect("one value");
    let stopped = server.stop();
    assert_eq!(report["lost"], 0, "{report}");
    assert_eq!(report["payload"], 200);
    assert!(report["received"]["packets"].as_u64() > Some(0), "{report}");
    assert_eq!(report["sent"]["packets"], report["received"]["packets"]);
    // The server counts the questions for its account too.
    assert!(stopped["received"]["packets"].as_u64() > report["sent"]["packets"].as_u64(), "{stopped}");
    assert_eq!(report["server"]["received"], report["sent"]["packets"]);
    assert_eq!(report["server"]["replied"], report["received"]["packets"]);
    assert_eq!(stopped["dropped"], serde_json::json!({}));
}

#[test]
fn a_load_measures_a_server() {
    is_measured("auto");
}

#[test]
fn a_load_measures_a_server_on_io_uring() {
    is_measured("uring");
}

/// `/sys` is that of the namespace outside, whose loopback has another MTU.
#[test]
fn an_interface_of_another_namespace_is_not_taken_for_the_load_s() {
    let script = "\"$0\" echo 5000 1 >/dev/null & server=$!
                  until \"$0\" load 127.0.0.1 5000 64 1 0.1 --json; do sleep 0.1; done
                  kill $server; wait $server";
    let Some(finished) = run_in_namespaces("ip link set lo mtu 9000 up", script) else { return };
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).expect("one value");
    let environment = &report["environment"];
    assert_eq!((&environment["interface"], &environment["mtu"]), (&"lo".into(), &().into()), "{environment}");
}

/// A card and its VLANs have one hardware address, and so one link-local address.
#[test]
fn the_interface_of_a_link_local_target_is_the_named_one() {
    let prepare = "ip link set lo up && ip link add one type veth peer name two && ip link set one up && ip link set two up &&
                   ip address add fe80::7/64 dev one nodad && ip address add fe80::7/64 dev two nodad";
    let script = "\"$0\" echo 5000 1 >/dev/null & server=$!
                  for name in one two; do
                      until \"$0\" load fe80::7%$name 5000 64 1 0.1 --json; do sleep 0.1; done
                  done
                  kill $server; wait $server";
    let Some(finished) = run_in_namespaces(prepare, script) else { return };
    let reports = finished.stdout.lines().map(|line| serde_json::from_str(line).expect("a value"));
    let names: Vec<serde_json::Value> =
        reports.map(|report: serde_json::Value| report["environment"]["interface"].clone()).collect();
    assert_eq!(names, ["one", "two"]);
}

/// Whether a run stands depends on what else the system does; that its figures agree does not.
#[test]
fn an_open_loop_is_repeated_and_leaves_a_log() {
    let server = Server::start("");
    let folder = tempfile::tempdir().expect("a new folder");
    let log = folder.path().join("of-the-run.hlog");
    let options = format!("--rate 1k --warm-up 0.1 --repeat 3 --timeout 20 --histogram {}", log.display());
    let load = run(&format!("load 127.0.0.1 {} 64 1 1 {options} --json", server.port));
    let report: serde_json::Value = serde_json::from_str(&load.stdout).expect("one value");
    let runs = report["runs"].as_array().expect("the runs");
    assert_eq!(runs.len(), 3);
    for run in runs {
        let (sent, rate) = (run["sent"]["packets"].as_u64(), run["rate"].as_u64());
        // A client that lags does not get to all that was due.
        let all_or_spoiled =
            sent == Some(1000) || sent < Some(1000) && run["spoiled"] != serde_json::json!([]);
        assert!(sent > Some(0) && all_or_spoiled && rate == Some(1000), "{run}");
        assert!(run["from_due"]["p99_ns"].as_u64() >= run["round_trip"]["p50_ns"].as_u64(), "{run}");
        assert!(run["send_lag"]["p99_9_ns"].as_u64() > Some(0) && run["environment"]["loopback"] == true);
    }
    let spoiled = runs.iter().filter(|run| run["spoiled"] != serde_json::json!([])).count();
    assert_eq!(report["spread"]["spoiled"].as_u64(), Some(spoiled as u64));
    assert_eq!(report["spread"]["latency"], "from_due");
    assert_eq!(load.code, Some(i32::from(spoiled > 0)), "{}", load.stderr);
    let written = std::fs::read_to_string(&log).expect("the log is there");
    for tag in ["Tag=send,", "Tag=due,", "Tag=lag,"] {
        assert_eq!(written.lines().filter(|line| line.starts_with(tag)).count(), 3, "{written}");
    }
}

#[test]
fn a_run_without_a_result_leaves_the_log_of_the_last_one() {
    let folder = tempfile::tempdir().expect("a new folder");
    let log = folder.path().join("of-the-run.hlog");
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port that answers nothing");
    let port = nobody.local_addr().expect("it is bound").port();
    std::fs::write(&log, "of the last run").expect("a log");
    let load = run(&format!("load 127.0.0.1 {port} 64 1 0.2 --timeout 5 --histogram {}", log.display()));
    let left = std::fs::read_to_string(&log).expect("the log is there");
    assert_eq!((load.code, left.as_str()), (Some(1), "of the last run"), "{load:?}");
    let server = Server::start("");
    // No log has such a character.
    std::fs::write(&log, "~".repeat(1 << 20)).expect("a long log");
    run(&format!("load 127.0.0.1 {} 64 1 0.2 --timeout 5 --histogram {}", server.port, log.display()));
    let log = std::fs::read_to_string(&log).expect("the log is there");
    assert!(log.starts_with('#') && !log.contains('~'), "nothing of the last one is behind it");
}

#[test]
fn a_log_on_a_full_disk_is_a_failure() {
    // A device of Linux that never has room.
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        eprintln!("skipped: there is no full disk here");
        return;
    }
    let server = Server::start("");
    let arguments =
        format!("load 127.0.0.1 {} 64 1 0.1 --window 4 --histogram /dev/full --json", server.port);
    let load = run(&arguments);
    assert_eq!(load.code, Some(1), "{load:?}");
    let report: serde_json::Value = serde_json::from_str(&load.stdout).expect("the report is there");
    assert!(report["received"]["packets"].as_u64() > Some(0), "{report}");
    assert!(load.stderr.starts_with("error: file '/dev/full' cannot be written ("), "{load:?}");
    assert!(load.stderr.ends_with("; make room there, and run it again\n"), "{load:?}");
}

#[test]
fn a_run_that_lags_is_invalid_and_fails() {
    let server = Server::start("");
    let load = run(&format!("load 127.0.0.1 {} 64 1 0.3 --rate 100m --timeout 5", server.port));
    assert_eq!(load.code, Some(1), "{load:?}");
    assert!(load.stderr.starts_with("error: the run is INVALID: this client sent "), "{}", load.stderr);
    assert!(load.stdout.contains("\nINVALID     this client sent "), "{}", load.stdout);
    let late = "--rate 100m --warm-up 0.5 --timeout 0.1";
    let load = run(&format!("load 127.0.0.1 {} 64 1 0.3 {late}", server.port));
    assert_eq!(load.code, Some(1), "{load:?}");
    let told = "error: nothing was sent in the time that is measured; ask for less";
    assert!(load.stderr.starts_with(told), "{}", load.stderr);
}

/// What a load reports of a server in a namespace whose loopback was prepared so; `None` where that cannot be had.
fn report_behind(prepare: &str, options: &str) -> Option<serde_json::Value> {
    let folder = tempfile::tempdir().expect("a new folder");
    let prepare = format!("cd {} && ip link set lo up && {prepare}", folder.path().display());
    let script = format!(
        "{{ \"$0\" echo 5000 1 --bind 127.0.0.1 --duration 120 > started & }} && \
         until [ -s started ]; do sleep 0.01; done && \
         \"$0\" load 127.0.0.1 5000 200 1 1 {options} --json"
    );
    let finished = run_in_namespaces(&prepare, &script)?;
    Some(serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}")))
}

/// A filter drops every tenth packet on the way there and every twentieth on the way back; probes have another size.
#[test]
fn loss_is_split_into_there_and_back() {
    let filter = "nft add table inet f && \
                  nft 'add chain inet f input { type filter hook input priority 0; }' && \
                  nft add rule inet f input udp dport 5000 udp length 208 numgen inc mod 10 == 0 drop && \
                  nft add rule inet f input udp sport 5000 udp length 208 numgen inc mod 20 == 0 drop";
    let Some(report) = report_behind(filter, "--rate 200 --timeout 5") else { return };
    let server = &report["server"];
    // So few that buffers hold them all, should one of the two not get to its work. Two hundred, if nothing kept the other one from it.
    let sent = report["books"]["sent"].as_u64().expect("a number");
    let up = sent.div_ceil(10);
    let down = (sent - up).div_ceil(20);
    assert_eq!((&server["lost_up"], &server["lost_down"]), (&up.into(), &down.into()), "{report}");
    let books = &report["books"];
    assert_eq!(
        (&books["received"], &books["unexplained"]),
        (&(sent - up - down).into(), &0.into()),
        "{report}"
    );
}

/// A filter refuses every sixteenth packet of a socket, by its number.
#[test]
fn packets_that_the_system_refuses_are_a_limit() {
    let filter = "nft add table inet f && \
                  nft 'add chain inet f output { type filter hook output priority 0; }' && \
                  nft add rule inet f output udp dport 5000 udp length 208 '@th,64,8 & 0x0f == 0' drop";
    let Some(report) = report_behind(filter, "--rate 200 --timeout 2") else { return };
    let entry = &report["books"]["entries"][0];
    assert_eq!(
        (&entry["place"], &report["books"]["unexplained"]),
        (&"own_send".into(), &0.into()),
        "{report}"
    );
    let limit = serde_json::json!({"what": "place", "place": "own_send", "packets": entry["packets"]});
    assert_eq!(report["limit"], limit, "{report}");
}

/// An interface of 2 Mbit/s with a short queue is told to send 8.
#[test]
fn a_full_queue_is_known_and_named() {
    let queue = "tc qdisc add dev lo root tbf rate 2mbit burst 4k limit 8k";
    let Some(report) = report_behind(queue, "--rate 4k --timeout 2") else { return };
    let entries = report["books"]["entries"].as_array().expect("a list");
    let queue =
        entries.iter().find(|entry| entry["place"] == "own_queue").unwrap_or_else(|| panic!("{report}"));
    assert!(queue["packets"].as_u64() > report["books"]["sent"].as_u64().map(|sent| sent / 10), "{report}");
    assert_eq!(report["limit"]["what"], "way_out", "{report}");
}

#[test]
fn a_report_says_where_packets_went_and_what_to_try() {
    let server = Server::start("");
    let load = run(&format!("load 127.0.0.1 {} 64 1 0.3 --window 2 --sockets 1 --timeout 20", server.port));
    assert_eq!(load.code, Some(0), "{load:?}");
    let line = |name: &str| load.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(
        line("server ").contains(" 1 thread, ")
            && line("server ").contains(" busy, ")
            && line("server ").contains("there 0, back 0"),
        "{load:?}"
    );
    assert!(line("books ").ends_with(" came back + 0 lost + 0 unexplained"), "{load:?}");
    assert!(line("headers ").contains(" 51 % of what a packet"), "{load:?}");
    assert!(line("limit ").len() > 20, "{load:?}");
    // What else runs on this machine decides which command it is. One of the load's own is the one above with a change: another core, too.
    for command in load.stdout.lines().filter_map(|line| line.split_once("campanile load 127.0.0.1 ")) {
        let kept = ["1", "2"].map(|cores| format!("{} 64 {cores} 0.3 ", server.port));
        let begin = kept.iter().any(|kept| command.1.starts_with(kept));
        assert!(begin && command.1.ends_with(" --sockets 1 --timeout 20"), "{command:?}");
    }
    let silent = run(&format!("load 127.0.0.1 {} 64 1 0.3 --no-probe --json", server.port));
    let report: serde_json::Value = serde_json::from_str(&silent.stdout).expect("one value");
    assert_eq!((&report["server_kind"], &report["server"]), (&"not_asked".into(), &serde_json::Value::Null));
    assert!(report["limit"]["what"].is_string() && report["books"]["sent"].is_u64(), "{report}");
}

#[test]
fn a_server_says_what_it_is() {
    let server = Server::start("");
    assert_eq!(server.started["address"], format!("127.0.0.1:{}", server.port));
    assert_eq!(server.started["cores"].as_array().map(Vec::len), Some(1));
    assert!(server.started["backend"].is_string() && server.started["shard"].is_string());
}

/// What netcat and its like send: short lines, without a header.
#[test]
fn raw_echo_is_for_this_machine_and_takes_lines() {
    let port = free_port();
    let mut server = Running::start(&format!("echo {port} 1 --rfc862 --duration 300"));
    let started = server.line();
    assert!(started.starts_with(&format!("echo on 127.0.0.1:{port}, ")), "{started}");
    let client = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    client.connect(("127.0.0.1", port)).expect("loopback is reachable");
    client.set_read_timeout(Some(Duration::from_secs(120))).expect("a valid timeout");
    for number in 0..200 {
        let line = format!("line {number}\n");
        client.send(line.as_bytes()).expect("sent");
        let mut reply = [0; 64];
        let len = client.recv(&mut reply).expect("an answer within the timeout");
        assert_eq!(&reply[..len], line.as_bytes());
    }
}

/// No system has every backend: the one that is missing is named, with the reason, and the server runs all the same.
#[test]
fn a_backend_that_is_not_there_is_replaced_aloud() {
    let told = ["epoll", "iocp"].map(|backend| {
        let finished =
            run(&format!("echo {} 1 --bind 127.0.0.1 --backend {backend} --duration 0.05", free_port()));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout.contains(&format!("({backend} is not available here: "))
    });
    assert_eq!(told.iter().filter(|&&told| told).count(), 1, "{told:?}");
}

#[test]
fn a_server_reports_at_intervals() {
    let echo = |options: &str| format!("echo {} 1 --bind 127.0.0.1 {options}", free_port());
    let mut server = Running::start(&echo("--stats-interval 0.1 --duration 300"));
    let started = server.line();
    assert!(started.starts_with("echo on 127.0.0.1:"), "{started}");
    for _ in 0..3 {
        let line = server.line();
        assert!(line.contains("0 packets/s") && line.contains("dropped 0"), "{line}");
    }
    let finished = run(&echo("--stats-interval 0.1 --duration 0.35"));
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let last: Vec<&str> = finished.stdout.lines().rev().take(2).collect();
    assert_eq!(last[0], "stopped: 0 packets received, 0 sent back");
    assert!(last[1].starts_with("on average over 0."), "it is no interval: {finished:?}");
}

#[test]
fn more_buffer_than_there_is_gives_a_note_or_is_given() {
    let arguments =
        format!("echo {} 1 --bind 127.0.0.1 --recv-buffer 1g --duration 0.05 --json", free_port());
    let finished = run(&arguments);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let started = finished.stdout.lines().next().expect("the first report");
    let started: serde_json::Value = serde_json::from_str(started).expect("one value a line");
    let is_short = started["receive_buffer"].as_u64() < Some(1 << 30);
    assert_eq!(finished.stderr.contains("not the 1024.0 MiB asked for"), is_short, "{finished:?}");
}

#[test]
fn a_port_belongs_to_one_server() {
    let first = Server::start("");
    let second = run(&format!("echo {} --bind 127.0.0.1", first.port));
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(second.stderr.contains(&format!("port {} is in use", first.port)), "{second:?}");
}

#[test]
fn a_load_without_a_server_fails_and_says_so() {
    let port = free_port();
    let finished = run(&format!("load 127.0.0.1 {port} 64 1 0.2 --timeout 0.2 --json"));
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""));
    let said = &finished.stderr;
    // Not every system tells what the other side said.
    let refused = format!("error: nothing listens on 127.0.0.1:{port}; ");
    let silent = format!("error: no reply from 127.0.0.1:{port} to ");
    assert!(said.starts_with(&refused) || said.starts_with(&silent), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn the_demo_shows_packets_going_there_and_back() {
    let finished = run("demo");
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    let line = finished.stdout.lines().find(|line| line.contains(" packets went there and back: "));
    let count = line.and_then(|line| line.split_once(' ')).map(|(count, _)| count.replace(',', ""));
    let count: Option<u64> = count.and_then(|count| count.parse().ok());
    assert!(count > Some(0), "{}", finished.stdout);
    let words = [
        "backend",
        "round trip",
        "lost",
        "All 4 have it after",
        "times the file, not 4",
        "campanile echo 5000",
    ];
    for word in words {
        assert!(finished.stdout.contains(word), "{word}: {}", finished.stdout);
    }
}

#[test]
fn a_reader_that_leaves_ends_the_server_quietly() {
    let arguments = format!("echo {} 1 --bind 127.0.0.1 --stats-interval 0.05 --duration 300", free_port());
    let mut server = Running::start(&arguments);
    assert!(server.line().starts_with("echo on "));
    let (code, messages) = server.look_away();
    assert_eq!((code, messages.as_str()), (Some(0), ""));
}

#[test]
fn a_reader_that_leaves_the_help_is_no_failure() {
    let (code, messages) = Running::start("echo --help").look_away();
    assert_eq!((code, messages.as_str()), (Some(0), ""));
}

/// A device of Linux that never has room.
#[test]
fn help_that_finds_no_room_is_a_failure() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("skipped: there is no full disk here");
        return;
    };
    for arguments in ["--help", "load --help", "--version"] {
        let full = full.try_clone().expect("a second descriptor");
        let output = campanile(arguments).stdout(full).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
        assert!(said.starts_with("error: cannot write the output: "), "{arguments}: {said}");
    }
}
