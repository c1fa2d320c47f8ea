//! Leave to change something. A decision that takes rights away is answered once nobody holds leave that was given before it: so nothing is
//! started, and no file changes, after a person has been told that a page may not any more.

use tokio::sync::RwLockReadGuard;

use super::{Access, Trust};
use crate::gate::Principal;

/// Leave to change something, see [`Trust::permit`].
pub struct Permit<'a> {
    _held: RwLockReadGuard<'a, ()>,
}

impl Trust {
    /// Leave to change something, for as long as it is held; `None` where this is not allowed (any more). To be held for the moment of the change
    /// and no longer: [`Self::until_quiet`] waits for it, and others wait behind that.
    pub async fn permit(&self, principal: &Principal, wanted: Access) -> Option<Permit<'_>> {
        let permit = self.acting.read().await;
        (self.access(principal) >= Some(wanted)).then_some(Permit { _held: permit })
    }

    /// The same for a thread that may block.
    pub fn permit_blocking(&self, principal: &Principal, wanted: Access) -> Option<Permit<'_>> {
        let permit = self.acting.blocking_read();
        (self.access(principal) >= Some(wanted)).then_some(Permit { _held: permit })
    }

    /// Waits until nothing is being changed any more by leave that was given before this call.
    pub async fn until_quiet(&self) {
        drop(self.acting.write().await);
    }
}
