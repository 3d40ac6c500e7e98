//! Locks that are held for a few instructions, mostly by the thread that they belong to.
//!
//! To let go of one of these is a plain store, which on some processors makes an event half as
//! expensive as with a lock of the standard library. Who finds it taken lets others run meanwhile.

#[cfg(loom)]
pub(super) use crate::locks::MutexGuard as Guard;
#[cfg(not(loom))]
pub(super) type Guard<'a, T> = spin::mutex::SpinMutexGuard<'a, T>;

/// A lock.
#[derive(Debug)]
pub(super) struct Short<T> {
    #[cfg(not(loom))]
    lock: spin::mutex::SpinMutex<T, spin::Yield>,
    #[cfg(loom)]
    lock: crate::locks::Mutex<T>,
}

impl<T> Short<T> {
    pub(super) fn new(value: T) -> Short<T> {
        Short {
            #[cfg(not(loom))]
            lock: spin::mutex::SpinMutex::new(value),
            #[cfg(loom)]
            lock: crate::locks::Mutex::new(value),
        }
    }

    #[inline(always)]
    pub(super) fn lock(&self) -> Guard<'_, T> {
        #[cfg(not(loom))]
        return self.lock.lock();
        #[cfg(loom)]
        return crate::locks::lock(&self.lock);
    }

    /// Nothing if it is taken.
    #[inline(always)]
    pub(super) fn try_lock(&self) -> Option<Guard<'_, T>> {
        #[cfg(not(loom))]
        return self.lock.try_lock();
        #[cfg(loom)]
        return crate::locks::try_lock(&self.lock);
    }
}
