//! Faults on demand (`--fault`, `--abort-after` and their kind): which rules fire, and what then.
//!
//! Laboratories test senders with them. Python reads the rules (`config/faults.py`, whose table
//! says what goes with what); here each event is held against them: `association` acts at the
//! request and behind the answer, `store` at the data set, the response and behind it. Whether a
//! rule fires depends on its number, the seed and how many events it has seen, and on nothing else,
//! so that a run can be repeated. Of an event every rule that fires acts.

use core::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::shared_numbers::SharedNumbers;
use crate::ae_title::AeTitle;
use crate::dimse::status::Status;
use crate::mixing::mixed;
use crate::net::tcp::{SLICE, StopFlag};
use crate::uid::UidText;
use crate::ul::pdu::AssociateRj;

/// What a fault happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An A-ASSOCIATE-RQ, understood and not refused for another reason.
    Association,
    /// A C-ECHO request.
    Echo,
    /// A C-STORE request.
    Store,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Association => "association",
            Self::Echo => "echo",
            Self::Store => "store",
        })
    }
}

/// When it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first fragment of the data set came.
    Data,
    /// The data set begins, at each of its fragments, and at its end; delays only.
    Fragment,
    /// Before the answer, or in its place.
    Response,
    /// Behind the answer.
    Next,
}

/// How something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// This status is answered.
    Status(Status),
    /// The association is rejected.
    Reject(AssociateRj),
    /// A-ABORT.
    Abort,
    /// The connection ends without a word.
    Close,
    /// Half of the answer, then the end of the connection.
    Truncate,
}

/// What happens at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// First this long nothing.
    pub delay: Duration,
    /// Then this.
    pub ending: Option<Ending>,
}

/// What happens to one event, by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// At the first fragment.
    pub data: Effect,
    /// At each step of the data set.
    pub fragment: Duration,
    /// At the answer.
    pub response: Effect,
    /// Behind it.
    pub next: Effect,
    /// Bytes a second that are read from the peer.
    pub slow_read: Option<NonZeroU32>,
    /// The endings are an option's of their own.
    pub is_dial: bool,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct FaultRule {
    /// What it is about.
    pub event: Event,
    /// Where it acts.
    pub place: Place,
    /// Every n-th event only.
    pub every: Option<NonZeroU32>,
    /// The chance of each event, of 2³².
    pub rate: Option<u64>,
    /// Events of this SOP class only.
    pub sop_class: Option<UidText>,
    /// Events of this calling AE title only.
    pub calling_ae_title: Option<AeTitle>,
    /// The effect.
    pub effect: Effect,
    /// Bytes a second that are read from the peer.
    pub slow_read: Option<NonZeroU32>,
    /// An option of its own asks for it (`--abort-after`), and every event meets it: no line says
    /// that it fires.
    pub is_dial: bool,
}

/// All rules, with what they have seen.
pub struct Faults {
    rules: Vec<FaultRule>,
    seed: u64,
    seen: SharedNumbers,
}

impl Faults {
    /// `rules` in the order in which they were given.
    ///
    /// # Errors
    ///
    /// There is no memory for their numbers.
    pub fn new(rules: Vec<FaultRule>, seed: u64) -> std::io::Result<Self> {
        let seen = SharedNumbers::new(rules.len())?;
        Ok(Self { rules, seed, seen })
    }

    /// What happens to an event; the numbers of the rules that fired, from 1, for the log.
    ///
    /// `concerns` says whether the event has a SOP class.
    pub fn effects(
        &self,
        event: Event,
        calling_ae_title: &AeTitle,
        concerns: impl Fn(UidText) -> bool,
    ) -> (Effects, Vec<usize>) {
        let mut effects = Effects::default();
        let mut fired = Vec::new();
        for ((at, rule), seen) in self.rules.iter().enumerate().zip(self.seen.all()) {
            let is_meant = rule.event == event
                && rule.calling_ae_title.as_ref().is_none_or(|title| title == calling_ae_title)
                && rule.sop_class.is_none_or(&concerns);
            if is_meant && rule.fires(self.seed, at as u64, seen.fetch_add(1, Ordering::Relaxed)) {
                effects.add(rule);
                if !rule.is_dial {
                    fired.push(at + 1);
                }
            }
        }
        (effects, fired)
    }
}

impl Effects {
    fn add(&mut self, rule: &FaultRule) {
        self.slow_read = self.slow_read.or(rule.slow_read);
        self.is_dial |= rule.is_dial;
        let effect = match rule.place {
            Place::Fragment => return self.fragment += rule.effect.delay,
            Place::Data => &mut self.data,
            Place::Response => &mut self.response,
            Place::Next => &mut self.next,
        };
        effect.delay += rule.effect.delay;
        effect.ending = effect.ending.or(rule.effect.ending);
    }
}

impl FaultRule {
    /// True if the rule fires at the event that it sees after `seen` others.
    fn fires(&self, seed: u64, number: u64, seen: u64) -> bool {
        let is_nth = self.every.is_none_or(|every| (seen + 1) % u64::from(every.get()) == 0);
        let is_chosen = self.rate.is_none_or(|rate| {
            let mixed = mixed(mixed(mixed(seed) ^ number) ^ seen);
            mixed >> 32 < rate
        });
        is_nth && is_chosen
    }
}

/// Waits, as a fault asks for, unless a stop is asked for.
pub fn pause(stop: &StopFlag, wait: Duration) {
    let begun = Instant::now();
    while let Some(left) = wait.checked_sub(begun.elapsed()) {
        if left.is_zero() || stop.is_raised() {
            return;
        }
        thread::sleep(left.min(SLICE));
    }
}

/// How long `bytes` take at `pace` bytes a second.
pub fn time_for(bytes: usize, pace: NonZeroU32) -> Duration {
    Duration::from_micros(bytes as u64 * 1_000_000 / u64::from(pace.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(event: Event, place: Place) -> FaultRule {
        FaultRule {
            event,
            place,
            every: None,
            rate: None,
            sop_class: None,
            calling_ae_title: None,
            effect: Effect::default(),
            slow_read: None,
            is_dial: false,
        }
    }

    fn title() -> AeTitle {
        AeTitle::new(b"MODALITY")
    }

    /// How often each of `rules` fires over `count` stores, and at which.
    fn run(rules: Vec<FaultRule>, seed: u64, count: usize) -> Vec<Vec<usize>> {
        let faults = Faults::new(rules, seed).unwrap();
        (0..count).map(|_| faults.effects(Event::Store, &title(), |_| true).1).collect()
    }

    /// Every n-th, counted by each rule over the events that concern it.
    #[test]
    fn every_nth() {
        let third = FaultRule { every: NonZeroU32::new(3), ..rule(Event::Store, Place::Response) };
        let other = FaultRule { event: Event::Echo, ..third.clone() };
        let fired = run(vec![other, third], 1, 7);
        let at: Vec<_> = (1..=7).filter(|at| !fired[at - 1].is_empty()).collect();
        assert_eq!(at, [3, 6]);
        assert_eq!(fired[2], [2]);
    }

    /// A rate is met, the same seed repeats it, and another does not; 0 never, 1 always.
    #[test]
    fn rates() {
        let tenth = FaultRule { rate: Some((1 << 32) / 10), ..rule(Event::Store, Place::Next) };
        let rules = || vec![tenth.clone(), tenth.clone()];
        let first = run(rules(), 7, 10_000);
        for number in [1, 2] {
            let count = first.iter().filter(|fired| fired.contains(&number)).count();
            assert!((850..1150).contains(&count), "{count}");
        }
        // Two rules of one rate are two dice.
        assert!(first.iter().filter(|fired| fired.len() == 2).count() < 200);
        assert_eq!(first, run(rules(), 7, 10_000));
        assert_ne!(first, run(rules(), 8, 10_000));
        for (rate, is_always) in [(0, false), (1 << 32, true)] {
            let rule = FaultRule { rate: Some(rate), ..tenth.clone() };
            let fired = run(vec![rule], 1, 1000);
            assert!(fired.iter().all(|fired| fired.is_empty() != is_always));
        }
    }

    /// SOP class and calling title narrow a rule; what it does not concern it does not count.
    #[test]
    fn conditions() {
        let ct = UidText::new(b"1.2.840.10008.5.1.4.1.1.2").unwrap();
        let every = NonZeroU32::new(2);
        let base = rule(Event::Store, Place::Response);
        let faults = Faults::new(
            vec![
                FaultRule { sop_class: Some(ct), every, ..base.clone() },
                FaultRule { calling_ae_title: Some(title()), ..base },
            ],
            0,
        )
        .unwrap();
        let fired = |title: &AeTitle, is_ct: bool| {
            faults.effects(Event::Store, title, |uid| uid == ct && is_ct).1
        };
        assert_eq!(fired(&title(), true), [2]);
        assert_eq!(fired(&AeTitle::new(b"OTHER"), false), [0; 0]);
        assert_eq!(fired(&title(), false), [2]);
        assert_eq!(fired(&AeTitle::new(b"OTHER"), true), [1]);
    }

    /// Delays add up, the first ending counts, and places are kept apart.
    #[test]
    fn effects_join() {
        let second = Duration::from_secs(1);
        let with = |place, ending| FaultRule {
            effect: Effect { delay: second, ending },
            ..rule(Event::Store, place)
        };
        let status = Some(Ending::Status(Status::OUT_OF_RESOURCES));
        let faults = Faults::new(
            vec![
                with(Place::Response, None),
                with(Place::Response, status),
                with(Place::Response, Some(Ending::Abort)),
                with(Place::Fragment, None),
                with(Place::Fragment, None),
                with(Place::Next, Some(Ending::Close)),
            ],
            0,
        )
        .unwrap();
        let (effects, fired) = faults.effects(Event::Store, &title(), |_| true);
        assert_eq!(fired.len(), 6);
        assert_eq!(effects.response, Effect { delay: second * 3, ending: status });
        assert_eq!(effects.fragment, second * 2);
        assert_eq!(effects.next, Effect { delay: second, ending: Some(Ending::Close) });
        assert_eq!(effects.data, Effect::default());
    }
}
