//! Why a run says nothing about the server.

use serde::Serialize;

use super::latency::Latency;

/// Why the figures of an open loop describe the client instead of what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Spoiled {
    /// The client did not send what was asked.
    Rate {
        /// Packets a second that were asked for.
        asked: f64,
        /// Packets a second that were sent.
        achieved: f64,
    },
    /// The client was late itself, by more than half of what it measures.
    Lag {
        /// 99 of 100 packets were sent no later than this after they were due.
        lag_p99_ns: u64,
        /// 99 of 100 replies came no later than this after their packets were sent.
        from_send_p99_ns: u64,
    },
}

impl Spoiled {
    /// The share of the rate asked for that has to be reached.
    const RATE_MIN: f64 = 0.99;
    /// The timer of an idle system is this late too.
    const LAG_MIN_NS: u64 = 100_000;

    /// What spoils a run at the rate `asked`, if anything does. A train more or less, which is `train` packets a second, depends on
    /// when a measurement begins and ends.
    pub(crate) fn judge(
        asked: f64,
        achieved: f64,
        train: f64,
        lag: Option<Latency>,
        from_send: Option<Latency>,
    ) -> Vec<Self> {
        let mut reasons = Vec::new();
        if achieved + train < asked * Self::RATE_MIN {
            reasons.push(Self::Rate { asked, achieved });
        }
        if let (Some(lag), Some(from_send)) = (lag, from_send) {
            let (lag_p99_ns, from_send_p99_ns) = (lag.p99_ns, from_send.p99_ns);
            if lag_p99_ns > Self::LAG_MIN_NS && lag_p99_ns > from_send_p99_ns / 2 {
                reasons.push(Self::Lag { lag_p99_ns, from_send_p99_ns });
            }
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p99(p99_ns: u64) -> Option<Latency> {
        let min_ns = 0;
        Some(Latency { min_ns, mean_ns: 0, p50_ns: 0, p90_ns: 0, p99_ns, p99_9_ns: p99_ns, max_ns: p99_ns })
    }

    #[test]
    fn a_run_as_asked_is_not_spoiled() {
        assert_eq!(Spoiled::judge(1000.0, 995.0, 1.0, p99(400_000), p99(900_000)), []);
        assert_eq!(
            Spoiled::judge(1000.0, 1000.0, 1.0, p99(90_000), p99(30_000)),
            [],
            "a timer's own lateness"
        );
        assert_eq!(Spoiled::judge(1000.0, 960.0, 64.0, None, None), [], "15 trains of 64 in a second");
    }

    #[test]
    fn too_little_and_too_late_are_named() {
        let rate = Spoiled::Rate { asked: 1000.0, achieved: 900.0 };
        let lag = Spoiled::Lag { lag_p99_ns: 600_000, from_send_p99_ns: 900_000 };
        assert_eq!(Spoiled::judge(1000.0, 900.0, 64.0, p99(600_000), p99(900_000)), [rate, lag]);
    }
}
