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

/// PS3.8 Table 9-10: a row per event, a column per state.
#[rustfmt::skip]
const TABLE: [[Option<Action>; 13]; 19] = {
    use Action::{
        Aa1, Aa2, Aa3, Aa4, Aa5, Aa6, Aa7, Aa8, Ae1, Ae2, Ae3, Ae4, Ae5, Ae6, Ae7, Ae8, Ar1, Ar10,
        Ar2, Ar3, Ar4, Ar5, Ar6, Ar7, Ar8, Ar9, Dt1, Dt2,
    };
    use core::option::Option::{None as NO, Some as a};
    [
    //          Sta1    Sta2    Sta3    Sta4    Sta5    Sta6    Sta7    Sta8    Sta9    Sta10    Sta11   Sta12   Sta13
    /* Evt1  */ [a(Ae1), NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO,      NO,     NO,     NO    ],
    /* Evt2  */ [NO,     NO,     NO,     a(Ae2), NO,     NO,     NO,     NO,     NO,     NO,      NO,     NO,     NO    ],
    /* Evt3  */ [NO,     a(Aa1), a(Aa8), NO,     a(Ae3), a(Aa8), a(Aa8), a(Aa8), a(Aa8), a(Aa8),  a(Aa8), a(Aa8), a(Aa6)],
    /* Evt4  */ [NO,     a(Aa1), a(Aa8), NO,     a(Ae4), a(Aa8), a(Aa8), a(Aa8), a(Aa8), a(Aa8),  a(Aa8), a(Aa8), a(Aa6)],
    /* Evt5  */ [a(Ae5), NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO,      NO,     NO,     NO    ],
    /* Evt6  */ [NO,     a(Ae6), a(Aa8), NO,     a(Aa8), a(Aa8), a(Aa8), a(Aa8), a(Aa8), a(Aa8),  a(Aa8), a(Aa8), a(Aa7)],
    /* Evt7  */ [NO,     NO,     a(Ae7), NO,     NO,     NO,     NO,     NO,     NO,     NO,      NO,     NO,     NO    ],
    /* Evt8  */ [NO,     NO,     a(Ae8), NO,     NO,     NO,     NO,     NO,     NO,     NO,      NO,     NO,     NO    ],
    /* Evt9  */ [NO,     NO,     NO,     NO,     NO,     a(Dt1), NO,     a(Ar7), NO,     NO,      NO,     NO,     NO    ],
    /* Evt10 */ [NO,     a(Aa1), a(Aa8), NO,     a(Aa8), a(Dt2), a(Ar6), a(Aa8), a(Aa8), a(Aa8),  a(Aa8), a(Aa8), a(Aa6)],
    /* Evt11 */ [NO,     NO,     NO,     NO,     NO,     a(Ar1), NO,     NO,     NO,     NO,      NO,     NO,     NO    ],
    /* Evt12 */ [NO,     a(Aa1), a(Aa8), NO,     a(Aa8), a(Ar2), a(Ar8), a(Aa8), a(Aa8), a(Aa8),  a(Aa8), a(Aa8), a(Aa6)],
    /* Evt13 */ [NO,     a(Aa1), a(Aa8), NO,     a(Aa8), a(Aa8), a(Ar3), a(Aa8), a(Aa8), a(Ar10), a(Ar3), a(Aa8), a(Aa6)],
    /* Evt14 */ [NO,     NO,     NO,     NO,     NO,     NO,     NO,     a(Ar4), a(Ar9), NO,      NO,     a(Ar4), NO    ],
    /* Evt15 */ [NO,     NO,     a(Aa1), a(Aa2), a(Aa1), a(Aa1), a(Aa1), a(Aa1), a(Aa1), a(Aa1),  a(Aa1), a(Aa1), NO    ],
    /* Evt16 */ [NO,     a(Aa2), a(Aa3), NO,     a(Aa3), a(Aa3), a(Aa3), a(Aa3), a(Aa3), a(Aa3),  a(Aa3), a(Aa3), a(Aa2)],
    /* Evt17 */ [NO,     a(Aa5), a(Aa4), a(Aa4), a(Aa4), a(Aa4), a(Aa4), a(Aa4), a(Aa4), a(Aa4),  a(Aa4), a(Aa4), a(Ar5)],
    /* Evt18 */ [NO,     a(Aa2), NO,     NO,     NO,     NO,     NO,     NO,     NO,     NO,      NO,     NO,     a(Aa2)],
    /* Evt19 */ [NO,     a(Aa1), a(Aa8), NO,     a(Aa8), a(Aa8), a(Aa8), a(Aa8), a(Aa8), a(Aa8),  a(Aa8), a(Aa8), a(Aa7)],
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    fn named(state: State, event: Evt) -> Option<(&'static str, &'static str)> {
        cell(state, event).map(|cell| (cell.action.name(), cell.next.name()))
    }

    /// PS3.8 Table 9-10 has 123 filled cells; a slipped row or column changes this or the next test.
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
