//! How a session ends for its publisher.

use std::time::Duration;

use campanile::multicast::{Published, Publisher, Standing};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a session is over; how many receivers said at the end that they have all.
pub(crate) fn finish(publisher: &Publisher) -> usize {
    publisher.finish();
    let mut complete = Vec::new();
    loop {
        match publisher.next(PATIENCE).expect("a session ends") {
            Published::Report { report, .. } => {
                if report.standing == Standing::Complete && !complete.contains(&report.receiver) {
                    complete.push(report.receiver);
                }
            }
            Published::Finished => return complete.len(),
            Published::Failed(error) => panic!("{error}"),
        }
    }
}
