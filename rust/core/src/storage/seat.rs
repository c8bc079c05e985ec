//! Where an association waits while another does its work: the queue of a group commit.
//!
//! Who waits keeps the [`Seat`]; who works for it holds it [`Seated`], and cannot forget it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What those who wait are told.
pub trait News {
    /// The one who worked for them did not come to its end.
    fn interrupted() -> Self;
}

/// A place in the queue.
pub struct Seat<N> {
    slot: Mutex<Slot<N>>,
    told: Condvar,
}

struct Slot<N> {
    news: Option<N>,
    /// True while somebody sits there: to wake nobody is a system call, too.
    is_waited_for: bool,
}

impl<N> Seat<N> {
    pub fn new() -> Arc<Self> {
        let slot = Mutex::new(Slot { news: None, is_waited_for: false });
        Arc::new(Self { slot, told: Condvar::new() })
    }

    pub fn wait(&self) -> N {
        let mut slot = self.lock();
        loop {
            if let Some(news) = slot.news.take() {
                slot.is_waited_for = false;
                return news;
            }
            slot.is_waited_for = true;
            slot = self.told.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn tell(&self, news: N) {
        let mut slot = self.lock();
        slot.news = Some(news);
        let is_waited_for = slot.is_waited_for;
        drop(slot);
        if is_waited_for {
            self.told.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slot<N>> {
        // A panic elsewhere leaves plain data behind, every state of which is usable.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A seat whose association hears something whatever happens.
pub struct Seated<N: News>(Option<Arc<Seat<N>>>);

impl<N: News> Seated<N> {
    pub fn on(seat: &Arc<Seat<N>>) -> Self {
        Self(Some(Arc::clone(seat)))
    }

    pub fn is(&self, seat: &Arc<Seat<N>>) -> bool {
        self.0.as_ref().is_some_and(|own| Arc::ptr_eq(own, seat))
    }

    /// Says something that is not the last. It has to be taken before more is said.
    pub fn tell(&self, news: N) {
        if let Some(seat) = &self.0 {
            seat.tell(news);
        }
    }

    /// Says the last thing.
    pub fn dismiss(mut self, news: N) {
        if let Some(seat) = self.0.take() {
            seat.tell(news);
        }
    }

    /// Nobody waits here any more.
    pub fn leave(mut self) {
        self.0 = None;
    }
}

impl<N: News> Drop for Seated<N> {
    fn drop(&mut self) {
        if let Some(seat) = self.0.take() {
            seat.tell(N::interrupted());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Word {
        Interrupted,
        Yes,
    }

    impl News for Word {
        fn interrupted() -> Self {
            Self::Interrupted
        }
    }

    /// Who waits is told what was said, or that nobody will say anything any more: after a panic, too.
    #[test]
    fn nobody_is_forgotten() {
        let seat = Seat::new();
        let seated = Seated::on(&seat);
        assert!(seated.is(&seat) && !seated.is(&Seat::new()));
        seated.tell(Word::Yes);
        assert_eq!(seat.wait(), Word::Yes);
        seated.dismiss(Word::Yes);
        assert_eq!(seat.wait(), Word::Yes);
        let forgotten = Seated::on(&seat);
        let _ = std::thread::spawn(move || {
            let _held = forgotten;
            panic!("the one that worked");
        })
        .join();
        assert_eq!(seat.wait(), Word::Interrupted);
        Seated::on(&seat).leave();
        assert!(seat.lock().news.is_none());
    }
}
