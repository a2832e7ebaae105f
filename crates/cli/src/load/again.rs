//! A load's arguments formatted as its command line, to be typed again with a change.

use std::fmt;
use std::time::Duration;

use campanile::Choice;

use super::Arguments;

/// All arguments that the run depends on, without those of its report.
impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "campanile load {} {} {}", self.host, self.port, self.payload)?;
        if let Some(cores) = self.cores {
            write!(f, " {cores} {}", self.seconds.as_secs_f64())?;
        }
        match self.rate {
            Some(rate) => write!(f, " --rate {rate}")?,
            None => write!(f, " --window {}", self.window)?,
        }
        if self.train != 1 {
            write!(f, " --train {}", self.train)?;
        }
        if self.sockets != 4 {
            write!(f, " --sockets {}", self.sockets)?;
        }
        if let Some(warm_up) = self.warm_up {
            write!(f, " --warm-up {}", warm_up.as_secs_f64())?;
        }
        if self.repeat != 1 {
            write!(f, " --repeat {}", self.repeat)?;
        }
        if self.spin {
            f.write_str(" --spin")?;
        }
        if self.backend != Choice::Auto {
            write!(f, " --backend {}", self.backend)?;
        }
        if self.timeout != Duration::from_secs(1) {
            write!(f, " --timeout {}", self.timeout.as_secs_f64())?;
        }
        if self.no_probe {
            f.write_str(" --no-probe")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn parsed(text: &str) -> Arguments {
        let words = text.split(' ').skip(1);
        let matches = Arguments::augment_args(Command::new("load")).get_matches_from(words);
        Arguments::from_arg_matches(&matches).expect("what clap took is what the type wants")
    }

    #[test]
    fn a_command_to_repeat_has_all_its_arguments() {
        let plain = "campanile load ::1 5000 64 --window 32";
        assert_eq!(parsed("campanile load ::1 5000").to_string(), plain);
        let commands = [
            plain,
            "campanile load fe80::1%eth0 7 200 1 0.25 --window 2 --sockets 1 --timeout 20 --no-probe",
            "campanile load server 7 64 2 10 --rate 2000 --train 8 --warm-up 1.5 --repeat 7 --spin --backend epoll",
        ];
        for command in commands {
            assert_eq!(parsed(command).to_string(), command);
        }
    }
}
