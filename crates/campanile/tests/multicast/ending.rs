//! How a session ends for its publisher.

use std::time::{Duration, Instant};

use campanile::multicast::{Published, Standing};

use super::group::options;
use super::kinds::{Kind, Speaks};

const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until a session is over, which goes on until it was heard; how many receivers said at the end that they have all.
pub(crate) fn finish(publisher: &mut dyn Speaks, is_heard: impl Fn() -> bool) -> usize {
    publisher.finish();
    let deadline = Instant::now() + PATIENCE;
    let mut complete = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "the session does not end: {:?}", publisher.counts());
        if is_heard() {
            publisher.set_linger(Duration::ZERO);
        }
        match publisher.next(Duration::from_millis(20)) {
            Some(Published::Report { report, .. })
                if report.standing == Standing::Complete && !complete.contains(&report.receiver) =>
            {
                complete.push(report.receiver);
            }
            Some(Published::Finished) => return complete.len(),
            Some(Published::Failed(error)) => panic!("{error}"),
            Some(Published::Report { .. }) | None => {}
        }
    }
}

#[test]
fn nothing_comes_after_the_end() {
    for kind in [Kind::Thread, Kind::CurrentThread] {
        kind.speak(&options(), |publisher| {
            publisher.publish(b"for nobody").expect("in time");
            finish(publisher, || true);
            let asked_at = Instant::now();
            assert_eq!(publisher.next(PATIENCE), None);
            assert!(asked_at.elapsed() < PATIENCE, "{kind:?}: nobody waits for what will not come");
        });
    }
}
