//! The thief's game: two hold one family, and the thief may play any strategy.
//!
//! Every game up to a depth is played, on the reference that the service is held to (see `model`). An honest holder
//! presents the last token it was given. The thief presents any token that it ever saw. Either may lose an answer. Time
//! stands still or passes the grace window.

use std::collections::BTreeSet;
use std::time::Duration;

use super::reference::{Expected, Family, Rules, Token};

const RULES: Rules = Rules {
    grace: Duration::from_secs(30),
    recovery: None,
    idle_ttl: Duration::from_secs(1_000_000),
    max_ttl: Duration::from_secs(10_000_000),
};

/// One move.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// The victim refreshes; whether the answer arrives.
    Victim { arrives: bool },
    /// The thief refreshes with the token it saw as the nth.
    Thief { token: usize },
    /// The thief copies the token that the victim holds now.
    Steal,
    /// The grace window passes.
    Wait,
}

#[derive(Debug, Clone)]
struct Game {
    family: Family,
    now: Duration,
    issued: Token,
    /// What the victim will present next; `None` once it was refused and has to log in again.
    victim: Option<Token>,
    thief: BTreeSet<Token>,
    /// The token that the thief was given last, if the victim has not refreshed since.
    gained: Option<Token>,
    moves: Vec<Move>,
}

impl Game {
    fn new() -> Self {
        Self {
            family: Family::new(0, 0, Duration::ZERO, &RULES),
            now: Duration::ZERO,
            issued: 0,
            victim: Some(0),
            thief: BTreeSet::new(),
            gained: None,
            moves: Vec::new(),
        }
    }

    fn present(&mut self, token: Token) -> Option<Token> {
        match self.family.present(token, self.issued + 1, self.now, true, &RULES) {
            Expected::Fresh => {
                self.issued += 1;
                Some(self.issued)
            }
            Expected::Same => Some(self.family.current),
            Expected::Refused | Expected::RefusedAndRevoked => None,
        }
    }

    fn options(&self) -> Vec<Move> {
        let mut options = vec![Move::Wait];
        if self.victim.is_some() {
            options.extend([Move::Victim { arrives: true }, Move::Victim { arrives: false }, Move::Steal]);
        }
        options.extend((0..self.thief.len()).map(|token| Move::Thief { token }));
        options
    }

    fn play(&self, next: Move) -> Self {
        let mut game = self.clone();
        game.moves.push(next);
        match next {
            Move::Wait => game.now += RULES.grace,
            Move::Steal => game.thief.extend(game.victim),
            Move::Thief { token } => {
                let token = *game.thief.iter().nth(token).expect("one that it saw");
                let issued = game.issued;
                let gained = game.present(token);
                game.thief.extend(gained);
                if game.issued > issued {
                    game.gained = gained;
                }
            }
            Move::Victim { arrives } => {
                let token = game.victim.expect("still signed in");
                let given = game.present(token);
                game.gained = None;
                if arrives {
                    game.victim = given;
                }
            }
        }
        game
    }
}

fn play_all(depth: usize, game: &Game, check: &mut impl FnMut(&Game)) {
    check(game);
    if depth > 0 {
        for next in game.options() {
            play_all(depth - 1, &game.play(next), check);
        }
    }
}

/// Whatever a thief gains is worth nothing after the victim's next use, if that comes later than the grace window: either
/// it ends the family, or it is a recovery, which is audited, and which voids what the thief gained, so that the next use
/// of that ends the family.
#[test]
fn a_thief_is_exposed_by_the_victims_next_use_outside_the_grace_window() {
    let (mut ended, mut voided) = (0_u64, 0_u64);
    play_all(7, &Game::new(), &mut |game| {
        let (Some(presented), Some(gained)) = (game.victim, game.gained) else { return };
        if game.family.is_revoked || game.now - game.family.rotated_at < RULES.grace {
            return;
        }
        let after = game.play(Move::Victim { arrives: true });
        if after.family.is_revoked {
            ended += 1;
            return;
        }
        assert_eq!(game.family.parent, Some(presented), "a recovery: {:?}", after.moves);
        let mut thief = after.clone();
        thief.now += RULES.grace;
        assert_eq!(thief.present(gained), None, "{:?}", after.moves);
        assert!(thief.family.is_revoked, "{:?}", after.moves);
        voided += 1;
    });
    assert!(ended > 1_000 && voided > 1_000, "games that ended the family: {ended}, that voided the gain: {voided}");
}

/// Two live branches never exist: at any time at most one token rotates, and every other one is dead, its parent, or the
/// end of the family.
#[test]
fn there_is_never_more_than_one_branch() {
    play_all(6, &Game::new(), &mut |game| {
        let rotating = (0..=game.issued)
            .filter(|token| {
                let mut probe = game.clone();
                probe.now += RULES.grace;
                let before = probe.family.parent;
                Some(*token) != before && probe.present(*token).is_some()
            })
            .count();
        assert!(rotating <= 1, "{:?}", game.moves);
    });
}

/// An honest holder alone never loses the session, whatever answers get lost.
#[test]
fn without_a_thief_nobody_is_ever_refused() {
    fn play(depth: usize, game: &Game) {
        assert!(game.victim.is_some() && !game.family.is_revoked, "{:?}", game.moves);
        if depth > 0 {
            for next in [Move::Victim { arrives: true }, Move::Victim { arrives: false }, Move::Wait] {
                play(depth - 1, &game.play(next));
            }
        }
    }
    play(11, &Game::new());
}

/// What the design does not catch, so that nobody believes it does: a thief who follows each refresh of the victim within
/// the grace window gets the same successor each time.
#[test]
fn a_thief_who_follows_within_the_grace_window_is_not_caught() {
    let mut game = Game::new().play(Move::Steal);
    for _ in 0..10 {
        game = game.play(Move::Wait).play(Move::Victim { arrives: true });
        let newest = game.thief.len() - 1;
        game = game.play(Move::Thief { token: newest });
        assert!(!game.family.is_revoked);
        assert!(game.thief.contains(&game.family.current));
    }
}
