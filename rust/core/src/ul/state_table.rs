//! The state machine of the upper layer as one table: 13 states, 19 events, and nothing else.
//!
//! Source: PS3.8 §9.2, Tables 9-1 to 9-10. [`cell`] answers what Table 9-10 prints in a cell: the
//! action and the state after it. An empty cell is `None`: the standard leaves that event undefined
//! there, because it cannot happen or is the local user's mistake. What an action *does* stands in
//! `provider.rs`. Pure data; called by `provider` and by the tests that walk every cell.

/// A state of the upper layer, PS3.8 Tables 9-1 to 9-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Idle.
    Sta1,
    /// Transport connection open; awaiting the A-ASSOCIATE-RQ PDU.
    Sta2,
    /// Awaiting the local A-ASSOCIATE response.
    Sta3,
    /// Awaiting that the transport connection opens.
    Sta4,
    /// Awaiting the A-ASSOCIATE-AC or -RJ PDU.
    Sta5,
    /// Association established, ready for data.
    Sta6,
    /// Awaiting the A-RELEASE-RP PDU.
    Sta7,
    /// Awaiting the local A-RELEASE response.
    Sta8,
    /// Release collision, requestor: awaiting the local A-RELEASE response.
    Sta9,
    /// Release collision, acceptor: awaiting the A-RELEASE-RP PDU.
    Sta10,
    /// Release collision, requestor: awaiting the A-RELEASE-RP PDU.
    Sta11,
    /// Release collision, acceptor: awaiting the local A-RELEASE response.
    Sta12,
    /// Awaiting that the transport connection closes.
    Sta13,
}

/// An event, PS3.8 Table 9-10, first column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Evt {
    /// A-ASSOCIATE request of the local user.
    Evt1,
    /// The transport connection that we asked for is open.
    Evt2,
    /// A-ASSOCIATE-AC PDU received.
    Evt3,
    /// A-ASSOCIATE-RJ PDU received.
    Evt4,
    /// A peer opened a transport connection.
    Evt5,
    /// A-ASSOCIATE-RQ PDU received.
    Evt6,
    /// A-ASSOCIATE response of the local user: accept.
    Evt7,
    /// A-ASSOCIATE response of the local user: reject.
    Evt8,
    /// P-DATA request of the local user.
    Evt9,
    /// P-DATA-TF PDU received.
    Evt10,
    /// A-RELEASE request of the local user.
    Evt11,
    /// A-RELEASE-RQ PDU received.
    Evt12,
    /// A-RELEASE-RP PDU received.
    Evt13,
    /// A-RELEASE response of the local user.
    Evt14,
    /// A-ABORT request of the local user.
    Evt15,
    /// A-ABORT PDU received.
    Evt16,
    /// The transport connection closed.
    Evt17,
    /// ARTIM expired.
    Evt18,
    /// Unrecognized or invalid PDU received.
    Evt19,
}

/// An action, PS3.8 Tables 9-6 to 9-9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "Tables 9-6 to 9-9 define them; provider.rs carries them out")]
pub enum Action {
    Ae1,
    Ae2,
    Ae3,
    Ae4,
    Ae5,
    Ae6,
    Ae7,
    Ae8,
    Dt1,
    Dt2,
    Ar1,
    Ar2,
    Ar3,
    Ar4,
    Ar5,
    Ar6,
    Ar7,
    Ar8,
    Ar9,
    Ar10,
    Aa1,
    Aa2,
    Aa3,
    Aa4,
    Aa5,
    Aa6,
    Aa7,
    Aa8,
}

impl State {
    /// Every state, in order.
    pub const ALL: [Self; 13] = [
        Self::Sta1,
        Self::Sta2,
        Self::Sta3,
        Self::Sta4,
        Self::Sta5,
        Self::Sta6,
        Self::Sta7,
        Self::Sta8,
        Self::Sta9,
        Self::Sta10,
        Self::Sta11,
        Self::Sta12,
        Self::Sta13,
    ];

    /// The name in the standard, such as `Sta6`.
    pub const fn name(self) -> &'static str {
        const NAMES: [&str; 13] = [
            "Sta1", "Sta2", "Sta3", "Sta4", "Sta5", "Sta6", "Sta7", "Sta8", "Sta9", "Sta10",
            "Sta11", "Sta12", "Sta13",
        ];
        NAMES[self as usize]
    }
}

impl Evt {
    /// Every event, in order.
    pub const ALL: [Self; 19] = [
        Self::Evt1,
        Self::Evt2,
        Self::Evt3,
        Self::Evt4,
        Self::Evt5,
        Self::Evt6,
        Self::Evt7,
        Self::Evt8,
        Self::Evt9,
        Self::Evt10,
        Self::Evt11,
        Self::Evt12,
        Self::Evt13,
        Self::Evt14,
        Self::Evt15,
        Self::Evt16,
        Self::Evt17,
        Self::Evt18,
        Self::Evt19,
    ];

    /// The name in the standard, such as `Evt10`.
    pub const fn name(self) -> &'static str {
        const NAMES: [&str; 19] = [
            "Evt1", "Evt2", "Evt3", "Evt4", "Evt5", "Evt6", "Evt7", "Evt8", "Evt9", "Evt10",
            "Evt11", "Evt12", "Evt13", "Evt14", "Evt15", "Evt16", "Evt17", "Evt18", "Evt19",
        ];
        NAMES[self as usize]
    }
}

impl Action {
    /// The name in the standard, such as `DT-2`.
    pub const fn name(self) -> &'static str {
        const NAMES: [&str; 28] = [
            "AE-1", "AE-2", "AE-3", "AE-4", "AE-5", "AE-6", "AE-7", "AE-8", "DT-1", "DT-2", "AR-1",
            "AR-2", "AR-3", "AR-4", "AR-5", "AR-6", "AR-7", "AR-8", "AR-9", "AR-10", "AA-1",
            "AA-2", "AA-3", "AA-4", "AA-5", "AA-6", "AA-7", "AA-8",
        ];
        NAMES[self as usize]
    }

    /// The state after the action, and the other one where the standard prints two: AE-6 ends in
    /// Sta3, or in Sta13 when the provider itself rejects; AR-8 in Sta9 for the requestor and in
    /// Sta10 for the acceptor.
    pub const fn next(self) -> (State, Option<State>) {
        match self {
            Self::Ae1 => (State::Sta4, None),
            Self::Ae2 => (State::Sta5, None),
            Self::Ae5 => (State::Sta2, None),
            Self::Ae6 => (State::Sta3, Some(State::Sta13)),
            Self::Ae3 | Self::Ae7 | Self::Dt1 | Self::Dt2 => (State::Sta6, None),
            Self::Ar1 | Self::Ar6 => (State::Sta7, None),
            Self::Ar2 | Self::Ar7 => (State::Sta8, None),
            Self::Ar8 => (State::Sta9, Some(State::Sta10)),
            Self::Ar9 => (State::Sta11, None),
            Self::Ar10 => (State::Sta12, None),
            Self::Ae8 | Self::Ar4 | Self::Aa1 | Self::Aa6 | Self::Aa7 | Self::Aa8 => {
                (State::Sta13, None)
            }
            Self::Ae4 | Self::Ar3 | Self::Ar5 | Self::Aa2 | Self::Aa3 | Self::Aa4 | Self::Aa5 => {
                (State::Sta1, None)
            }
        }
    }
}

/// One cell of Table 9-10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What is done.
    pub action: Action,
    /// The state after it.
    pub next: State,
    /// The other state that the standard names, for AE-6 and AR-8 only.
    pub alternative: Option<State>,
}

/// What Table 9-10 says of `event` in `state`; `None` for an empty cell.
pub const fn cell(state: State, event: Evt) -> Option<Cell> {
    match TABLE[event as usize][state as usize] {
        Some(action) => {
            let (next, alternative) = action.next();
            Some(Cell { action, next, alternative })
        }
        None => None,
    }
}

/// PS3.8 Table 9-10: a row per event, a column per state; `____` is an empty cell.
#[rustfmt::skip]
const TABLE: [[Option<Action>; 13]; 19] = {
    const ____: Option<Action> = None;
    const AA1: Option<Action> = Some(Action::Aa1);
    const AA2: Option<Action> = Some(Action::Aa2);
    const AA3: Option<Action> = Some(Action::Aa3);
    const AA4: Option<Action> = Some(Action::Aa4);
    const AA5: Option<Action> = Some(Action::Aa5);
    const AA6: Option<Action> = Some(Action::Aa6);
    const AA7: Option<Action> = Some(Action::Aa7);
    const AA8: Option<Action> = Some(Action::Aa8);
    const AE1: Option<Action> = Some(Action::Ae1);
    const AE2: Option<Action> = Some(Action::Ae2);
    const AE3: Option<Action> = Some(Action::Ae3);
    const AE4: Option<Action> = Some(Action::Ae4);
    const AE5: Option<Action> = Some(Action::Ae5);
    const AE6: Option<Action> = Some(Action::Ae6);
    const AE7: Option<Action> = Some(Action::Ae7);
    const AE8: Option<Action> = Some(Action::Ae8);
    const AR1: Option<Action> = Some(Action::Ar1);
    const AR2: Option<Action> = Some(Action::Ar2);
    const AR3: Option<Action> = Some(Action::Ar3);
    const AR4: Option<Action> = Some(Action::Ar4);
    const AR5: Option<Action> = Some(Action::Ar5);
    const AR6: Option<Action> = Some(Action::Ar6);
    const AR7: Option<Action> = Some(Action::Ar7);
    const AR8: Option<Action> = Some(Action::Ar8);
    const AR9: Option<Action> = Some(Action::Ar9);
    const AR10: Option<Action> = Some(Action::Ar10);
    const DT1: Option<Action> = Some(Action::Dt1);
    const DT2: Option<Action> = Some(Action::Dt2);
    [
    //           Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9  Sta10 Sta11 Sta12 Sta13
    /* Evt1  */ [AE1,  ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____],
    /* Evt2  */ [____, ____, ____, AE2,  ____, ____, ____, ____, ____, ____, ____, ____, ____],
    /* Evt3  */ [____, AA1,  AA8,  ____, AE3,  AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA6],
    /* Evt4  */ [____, AA1,  AA8,  ____, AE4,  AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA6],
    /* Evt5  */ [AE5,  ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, ____],
    /* Evt6  */ [____, AE6,  AA8,  ____, AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA7],
    /* Evt7  */ [____, ____, AE7,  ____, ____, ____, ____, ____, ____, ____, ____, ____, ____],
    /* Evt8  */ [____, ____, AE8,  ____, ____, ____, ____, ____, ____, ____, ____, ____, ____],
    /* Evt9  */ [____, ____, ____, ____, ____, DT1,  ____, AR7,  ____, ____, ____, ____, ____],
    /* Evt10 */ [____, AA1,  AA8,  ____, AA8,  DT2,  AR6,  AA8,  AA8,  AA8,  AA8,  AA8,  AA6],
    /* Evt11 */ [____, ____, ____, ____, ____, AR1,  ____, ____, ____, ____, ____, ____, ____],
    /* Evt12 */ [____, AA1,  AA8,  ____, AA8,  AR2,  AR8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA6],
    /* Evt13 */ [____, AA1,  AA8,  ____, AA8,  AA8,  AR3,  AA8,  AA8,  AR10, AR3,  AA8,  AA6],
    /* Evt14 */ [____, ____, ____, ____, ____, ____, ____, AR4,  AR9,  ____, ____, AR4,  ____],
    /* Evt15 */ [____, ____, AA1,  AA2,  AA1,  AA1,  AA1,  AA1,  AA1,  AA1,  AA1,  AA1,  ____],
    /* Evt16 */ [____, AA2,  AA3,  ____, AA3,  AA3,  AA3,  AA3,  AA3,  AA3,  AA3,  AA3,  AA2],
    /* Evt17 */ [____, AA5,  AA4,  AA4,  AA4,  AA4,  AA4,  AA4,  AA4,  AA4,  AA4,  AA4,  AR5],
    /* Evt18 */ [____, AA2,  ____, ____, ____, ____, ____, ____, ____, ____, ____, ____, AA2],
    /* Evt19 */ [____, AA1,  AA8,  ____, AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA8,  AA7],
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    fn named(state: State, event: Evt) -> Option<(&'static str, &'static str)> {
        cell(state, event).map(|cell| (cell.action.name(), cell.next.name()))
    }

    /// PS3.8 Table 9-10 has 123 filled cells; a slipped row or column changes this or the next
    /// test.
    #[test]
    fn filled_cells() {
        let filled = Evt::ALL
            .iter()
            .flat_map(|event| State::ALL.iter().map(move |state| cell(*state, *event)))
            .flatten()
            .count();
        assert_eq!(filled, 123);
    }

    /// Cells that a shifted row or column would change.
    #[test]
    fn landmarks() {
        assert_eq!(named(State::Sta1, Evt::Evt1), Some(("AE-1", "Sta4")));
        assert_eq!(named(State::Sta6, Evt::Evt10), Some(("DT-2", "Sta6")));
        assert_eq!(named(State::Sta7, Evt::Evt10), Some(("AR-6", "Sta7")));
        assert_eq!(named(State::Sta10, Evt::Evt13), Some(("AR-10", "Sta12")));
        assert_eq!(named(State::Sta12, Evt::Evt14), Some(("AR-4", "Sta13")));
        assert_eq!(named(State::Sta13, Evt::Evt6), Some(("AA-7", "Sta13")));
        assert_eq!(named(State::Sta13, Evt::Evt17), Some(("AR-5", "Sta1")));
        assert_eq!(named(State::Sta2, Evt::Evt9), None);
    }

    /// Only AE-6 and AR-8 have two next states.
    #[test]
    fn alternatives() {
        for event in Evt::ALL {
            for state in State::ALL {
                let Some(cell) = cell(state, event) else { continue };
                let two = matches!(cell.action, Action::Ae6 | Action::Ar8);
                assert_eq!(cell.alternative.is_some(), two, "{} {}", state.name(), event.name());
            }
        }
    }

    /// In every state with a peer, every received PDU has an answer: the table has no hole a peer
    /// could fall into.
    #[test]
    fn every_pdu_is_answered_in_every_connected_state() {
        use Evt::{Evt3, Evt4, Evt6, Evt10, Evt12, Evt13, Evt16, Evt17, Evt19};
        for state in State::ALL {
            if matches!(state, State::Sta1 | State::Sta4) {
                continue;
            }
            for event in [Evt3, Evt4, Evt6, Evt10, Evt12, Evt13, Evt16, Evt17, Evt19] {
                assert!(cell(state, event).is_some(), "{} {}", state.name(), event.name());
            }
        }
    }
}
