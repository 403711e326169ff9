//! How much of an image can be kept.
//!
//! An image may say of itself what it likes, in a few bytes: that it has hundreds of blobs, each larger
//! than any disk. What is to be known of the blocks of its cache files must not follow.

use crate::cache::MAX_KEPT;

/// All blobs of an image are kept up to here together, in bytes: their maps take 8 MiB, in memory and
/// at most on the disk.
const MOST: u64 = 256 << 30;

/// How much of each of an image's blobs can be kept, by their sizes.
pub(super) fn shares(sizes: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    sizes.scan(MOST, |left, size| {
        let share = size.min(MAX_KEPT).min(*left);
        *left = left.saturating_sub(share);
        Some(share)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_image_keeps_more_whatever_it_says() {
        let real = [3 << 30, 0, 90 << 20];
        assert_eq!(shares(real.into_iter()).collect::<Vec<_>>(), real);
        let hostile: Vec<_> = shares([u64::MAX; 254].into_iter()).collect();
        assert_eq!(hostile[..5], [MAX_KEPT, MAX_KEPT, MAX_KEPT, MAX_KEPT, 0]);
        assert_eq!((hostile.len(), hostile.iter().sum::<u64>()), (254, MOST));
    }
}
