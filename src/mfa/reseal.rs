//! `signet mfa reseal` — seal the secrets of all second factors with the key of today, so that those before it can go.
//!
//! In steps of some hundred, each a transaction of its own. What is sealed with the key of today is passed over, so after a
//! failure it is run again and goes on where it was. Log-ins meanwhile do the same for their own user; of two who seal one secret
//! anew at the same moment one finds that it was done.
//!
//! Owns: totp_factors.  Emits: FactorsResealed.

use std::sync::Arc;

use super::seal::{Sealed, SealingKeys};
use super::store::{self, Factor};
use crate::audit::{self, Actor, Event};
use crate::db::Db;
use crate::error::Result;

/// Factors that are looked at with one statement, and written in one transaction.
const STEP: i64 = 200;

/// What became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sealed with the key of today, now.
    pub resealed: usize,
    /// Sealed with it before, or by a log-in meanwhile.
    pub current: usize,
    /// No configured key opens them. Their users have recovery codes, or need `signet users reset-mfa`.
    pub unopened: usize,
}

impl Counts {
    /// How many were looked at.
    pub fn all(self) -> usize {
        self.resealed + self.current + self.unopened
    }
}

/// Seals what is sealed with an older key anew; `progress` is told after each step.
///
/// # Errors
/// The database's. What was sealed anew until then stays so.
pub async fn reseal(db: &Db, keys: Arc<SealingKeys>, by: Actor, mut progress: impl FnMut(Counts)) -> Result<Counts> {
    let (mut counts, mut after) = (Counts::default(), None);
    loop {
        let factors = db.read("mfa.look_to_reseal", move |tx| store::list_factors(tx, after, STEP)).await?;
        let Some(last) = factors.last().map(|factor| factor.id) else { return Ok(counts) };
        let mut renewals = Vec::new();
        for factor in factors {
            match renew(&keys, &factor) {
                Renewed::With(sealed) => renewals.push((factor, sealed)),
                Renewed::Current => counts.current += 1,
                Renewed::Unopened => counts.unopened += 1,
            }
        }
        let (wanted, by) = (renewals.len(), by.clone());
        let resealed = db.tx("mfa.reseal", move |tx| {
            let mut count = 0;
            for (factor, sealed) in &renewals {
                count += usize::from(store::replace_sealed(tx, factor.id, &factor.sealed, sealed)?);
            }
            if count > 0 {
                audit::record_by(tx, &by, &Event::FactorsResealed { count })?;
            }
            Ok(count)
        });
        let resealed = if wanted == 0 { 0 } else { resealed.await? };
        counts.resealed += resealed;
        counts.current += wanted - resealed;
        progress(counts);
        after = Some(last);
    }
}

enum Renewed {
    With(Sealed),
    Current,
    Unopened,
}

fn renew(keys: &SealingKeys, factor: &Factor) -> Renewed {
    let Ok(secret) = keys.open(factor.user, &factor.sealed) else { return Renewed::Unopened };
    keys.renew(factor.user, &factor.sealed, &secret).map_or(Renewed::Current, Renewed::With)
}
