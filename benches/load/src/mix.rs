//! Which calls are made, and how often each: `refresh`, or `refresh=80,me=15,login=5`.

use std::cell::Cell;
use std::str::FromStr;
use std::sync::Arc;

/// Calls and their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix(pub Vec<(Arc<str>, u32)>);

/// Weights that add up to more than this are a mistake.
const MAX_WEIGHT: u32 = 10_000;

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let calls = text.split(',').map(|part| {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let weight = weight.parse().map_err(|_| format!("`{weight}` is no weight"))?;
            Ok((Arc::from(name.trim()), weight))
        });
        let mix = Self(calls.collect::<Result<Vec<_>, String>>()?);
        match mix.total() {
            1..=MAX_WEIGHT => Ok(mix),
            total => Err(format!("weights add up to 1 to {MAX_WEIGHT}, not to {total}")),
        }
    }
}

impl Mix {
    fn total(&self) -> u32 {
        self.0.iter().fold(0, |total, (_, weight)| total.saturating_add(*weight))
    }

    /// The names of the calls.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.0.iter().map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The calls in turn, each as often as its weight says and as evenly spread as can be: no draw, so that two runs make
    /// the same calls.
    pub fn rota(&self) -> Rota {
        let total = i64::from(self.total());
        let mut credit = vec![0_i64; self.0.len()];
        let turns = (0..total).map(|_| {
            for (own, (_, weight)) in credit.iter_mut().zip(&self.0) {
                *own += i64::from(*weight);
            }
            let richest = (0..credit.len()).rev().max_by_key(|index| credit[*index]).expect("a mix has calls");
            credit[richest] -= total;
            Arc::clone(&self.0[richest].0)
        });
        Rota { turns: turns.collect(), next: Cell::new(0) }
    }
}

/// Whose turn it is.
pub struct Rota {
    turns: Vec<Arc<str>>,
    next: Cell<usize>,
}

impl Rota {
    pub fn next(&self) -> Arc<str> {
        let index = self.next.get();
        self.next.set((index + 1) % self.turns.len());
        Arc::clone(&self.turns[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_share_and_none_waits_for_the_end() {
        let rota = "refresh=4,me=2,login=1".parse::<Mix>().expect("a mix").rota();
        let turns: Vec<String> = (0..14).map(|_| rota.next().to_string()).collect();
        assert_eq!(turns[..7], ["refresh", "me", "refresh", "login", "refresh", "me", "refresh"]);
        assert_eq!(turns[7..], turns[..7]);
    }

    #[test]
    fn one_call_needs_no_weight_and_no_weight_is_no_mix() {
        assert_eq!("me".parse(), Ok(Mix(vec![("me".into(), 1)])));
        assert!("me=0".parse::<Mix>().is_err());
        assert!("me=x".parse::<Mix>().is_err());
        assert!("me=4294967295,login=4294967295".parse::<Mix>().is_err());
    }
}
