//! How the C library's heap behaves.
#![allow(unsafe_code)]

/// From so many bytes on an allocation is pages of its own.
#[cfg(target_env = "gnu")]
const OWN_PAGES: libc::c_int = 512 << 10;

/// Large allocations are pages of their own from now on, fresh from the kernel and given back to it,
/// however many came and went before. (By itself glibc moves that border up to 32 MiB as they are
/// freed. A zeroed buffer of 16 MiB, of which a few KiB are used, then takes memory for all of it,
/// because old memory has to be overwritten.) Where there is another C library, nothing is done.
pub fn keep_large_allocations_apart() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number; glibc takes its own lock for that. What it refuses stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES);
    }
}
