//! What an account knows of where it is used: the addresses and devices that it was logged in to from. Each log-in looks at what
//! would be news to it, which mostly is nothing, and only then writes.

use std::time::Duration;

use diesel::QueryResult;

use super::bucket::SourceDigest;
use super::device::DeviceToken;
use super::store;
use crate::account::UserId;
use crate::clock::Timestamp;
use crate::db::Tx;

/// How many sources of each kind an account knows: the ones that it saw last.
const KNOWN_OF_EACH_KIND: i64 = 20;
/// That a known source was seen is noted once in this time, so that a log-in mostly writes nothing.
const SEEN_AGAIN: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Device,
    Address,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Address => "address",
        }
    }
}

/// Where somebody comes from, and when the account saw them there last, if it knows it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) source: SourceDigest,
    pub(super) seen_at: Option<Timestamp>,
}

/// What a log-in tells an account about where it is used.
pub(super) struct News {
    /// New, or not seen for long.
    places: Vec<Place>,
    /// The device that was shown, if the account knows it.
    known_device: Option<DeviceToken>,
    wants_device: bool,
    has_address: bool,
}

/// What an account makes of where it was logged in to from.
#[derive(Debug, Default)]
pub(crate) struct Recognition {
    /// The token by which it will know the device: the one that was shown, if it is known, else a new one. None unless one is
    /// wanted.
    pub(crate) device: Option<DeviceToken>,
    /// It knows neither the device nor the address, and others it does know.
    pub(crate) is_strange: bool,
}

impl News {
    /// Of `places`, the better proof first, one of which is that of the device that was `shown`.
    pub(super) fn of(places: &[Place], now: Timestamp, shown: Option<&DeviceToken>, wants_device: bool) -> Self {
        let is_known = |place: &Place| place.kind == Kind::Device && place.seen_at.is_some();
        let known_device = shown.filter(|_| places.iter().any(is_known)).cloned();
        let tells = |place: &&Place| match (place.kind, place.seen_at) {
            (_, Some(at)) => now.since(at) >= SEEN_AGAIN,
            // Only what was issued here is ever known: otherwise one could plant a token that one knows.
            (Kind::Device, None) => false,
            // A device that travels would push out the addresses at which its owner is at home.
            (Kind::Address, None) => known_device.is_none(),
        };
        let has_address = places.iter().any(|place| place.kind == Kind::Address);
        Self { places: places.iter().filter(tells).copied().collect(), known_device, wants_device, has_address }
    }

    /// What it comes to if there is nothing to be noted.
    pub(super) fn none(self) -> Option<Recognition> {
        let is_none = self.places.is_empty() && (!self.wants_device || self.known_device.is_some());
        is_none.then(|| Recognition { device: self.known_device.filter(|_| self.wants_device), is_strange: false })
    }

    /// The account takes note.
    pub(super) fn note(self, tx: &mut Tx<'_>, user: UserId) -> QueryResult<Recognition> {
        let mut is_strange = false;
        for Place { kind, source, seen_at } in self.places {
            is_strange |= come_to_know(tx, user, kind, source, seen_at.is_none())?;
        }
        if !self.wants_device {
            return Ok(Recognition { device: None, is_strange });
        }
        if let Some(known) = self.known_device {
            return Ok(Recognition { device: Some(known), is_strange });
        }
        let token = DeviceToken::generate();
        let knows_others = come_to_know(tx, user, Kind::Device, token.digest(), true)?;
        // Where the address tells, it is the one to ask: a known one may well have another device.
        is_strange |= knows_others && !self.has_address;
        Ok(Recognition { device: Some(token), is_strange })
    }
}

/// A new source takes the place of the one that was seen longest ago. Whether it is new, and the account knows others.
fn come_to_know(tx: &mut Tx<'_>, user: UserId, kind: Kind, source: SourceDigest, is_new: bool) -> QueryResult<bool> {
    store::upsert_known(tx, user, kind.as_str(), source)?;
    if !is_new {
        return Ok(false);
    }
    Ok(store::delete_known_beyond(tx, user, kind.as_str(), KNOWN_OF_EACH_KIND)? > 1)
}
