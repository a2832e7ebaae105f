//! The path of datagrams through chains.

use super::chain::{Chain, Chains, Line};
use super::rule::{Packet, Rule, Verdict};

/// What becomes of datagrams in a chain, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome<'t> {
    Passed,
    /// The rule drops some, perhaps: its conditions do not name them.
    PerhapsDropped(&'t str),
    /// The rule gives them another address or port, or those that match its other conditions.
    Redirected(&'t str),
    /// They are dropped, except those that the rule accepts.
    Only(&'t str),
    /// They are dropped, unless a rule accepts them that is not specific to them.
    Unnamed,
    /// The rule drops those that match its other conditions.
    SomeDropped(&'t str),
    Dropped(&'t str),
    /// No rule accepts them, and what none accepts is dropped.
    DroppedByDefault,
}

/// Datagrams that rules have accepted so far.
#[derive(Clone, Copy, Debug)]
enum Accepted<'t> {
    None,
    /// Perhaps some: the rule depends on what is not known.
    Perhaps,
    /// Those that match this rule, which names them.
    Named(&'t str),
}

/// Which of the datagrams reach a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    All,
    /// Those that match a condition on what is not known.
    Some,
    /// Those that did not match such a condition.
    Rest,
}

/// A walk through chains, in the order in which the system evaluates their rules.
struct Walk<'a, 't> {
    chains: &'a Chains<'t>,
    packet: &'a Packet<'a>,
    rules_left: usize,
    accepted: Accepted<'t>,
    outcome: Outcome<'t>,
}

/// Chains that call each other can make a walk exponentially long.
const RULES_MAX: usize = 100_000;
/// The depth to which the system lets chains call each other.
const DEPTH_MAX: usize = 16;

/// What becomes of datagrams in a chain that the system calls; `is_certain` if it applies to all of them.
pub(super) fn outcome<'t>(
    chains: &Chains<'t>,
    chain: &Chain<'t>,
    packet: &Packet<'_>,
    is_certain: bool,
) -> Outcome<'t> {
    let (accepted, outcome) = (Accepted::None, Outcome::Passed);
    let mut walk = Walk { chains, packet, rules_left: RULES_MAX, accepted, outcome };
    let is_over = walk.chain(chain, if is_certain { Reach::All } else { Reach::Some }, DEPTH_MAX);
    if !is_over && chain.drops_by_default {
        walk.rest_is_dropped(if is_certain { Outcome::DroppedByDefault } else { Outcome::Unnamed });
    }
    walk.outcome
}

impl Reach {
    /// The part of these that matches a condition on what is not known.
    fn part(self) -> Self {
        if self == Self::All { Self::Some } else { self }
    }
}

impl<'t> Walk<'_, 't> {
    /// Walks a chain; returns whether it decided about all the datagrams, so that no later rule applies.
    fn chain(&mut self, chain: &Chain<'t>, mut reach: Reach, depth: usize) -> bool {
        for line in &chain.lines {
            if self.rules_left == 0 {
                return true;
            }
            self.rules_left -= 1;
            let Some(rule) = Rule::read(&line.words, self.packet) else { continue };
            let met = if rule.is_certain { reach } else { reach.part() };
            match rule.verdict {
                Verdict::Accept | Verdict::Drop if met == Reach::All => {
                    if let Verdict::Drop = rule.verdict {
                        self.rest_is_dropped(Outcome::Dropped(line.text));
                    }
                    return true;
                }
                Verdict::Accept => self.some_accepted(line, &rule),
                Verdict::Drop => self.some_dropped(line, &rule, reach),
                // Where they are sent is not looked into.
                Verdict::Redirect if met == Reach::All => {
                    self.note(Outcome::Redirected(line.text));
                    return true;
                }
                Verdict::Redirect => self.note(Outcome::Redirected(line.text)),
                Verdict::Jump(name) | Verdict::Goto(name) => {
                    let called = self.chains.get(&(chain.table, name)).filter(|_| depth > 0);
                    if called.is_some_and(|called| self.chain(called, met, depth - 1)) {
                        return true;
                    }
                }
                Verdict::Return => {}
            }
            if let Verdict::Goto(_) | Verdict::Return = rule.verdict {
                if rule.is_certain {
                    return false;
                }
                reach = Reach::Rest;
            }
        }
        false
    }

    fn some_accepted(&mut self, line: &Line<'t>, rule: &Rule<'_>) {
        self.accepted = match self.accepted {
            _ if rule.names_them => Accepted::Named(line.text),
            Accepted::None => Accepted::Perhaps,
            accepted => accepted,
        };
    }

    fn some_dropped(&mut self, line: &Line<'t>, rule: &Rule<'_>, reach: Reach) {
        if rule.names_them {
            self.note(Outcome::SomeDropped(line.text));
        } else if reach != Reach::Rest {
            self.note(Outcome::PerhapsDropped(line.text));
        }
    }

    /// Notes the outcome for what no rule has accepted so far.
    fn rest_is_dropped(&mut self, outcome: Outcome<'t>) {
        self.note(match (self.accepted, outcome) {
            (Accepted::Named(rule), _) => Outcome::Only(rule),
            (Accepted::Perhaps, Outcome::Dropped(rule)) => Outcome::SomeDropped(rule),
            (Accepted::Perhaps, _) => Outcome::Unnamed,
            (Accepted::None, outcome) => outcome,
        });
    }

    fn note(&mut self, outcome: Outcome<'t>) {
        self.outcome = self.outcome.max(outcome);
    }
}
