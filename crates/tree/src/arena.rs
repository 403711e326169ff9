//! How inodes come into a tree and leave it: numbered once, counted by their names.

use crate::inode::{Directory, Inode, InodeId, Kind};
use crate::name::Name;
use crate::tree::{Tree, TreeError};

impl<C> Tree<C> {
    /// Numbers `inode` and gives it a slot, without a name yet.
    pub(crate) fn adopt(
        &mut self,
        parent: InodeId,
        mut inode: Inode<C>,
    ) -> Result<InodeId, TreeError> {
        let number = u32::try_from(self.slots.len()).ok().filter(|number| *number != u32::MAX);
        let id = InodeId(number.ok_or(TreeError::Full)?);
        inode.links = 0;
        if let Kind::Directory(directory) = &mut inode.kind {
            *directory = Directory { parent, ..Directory::new() };
        }
        self.slots.push(Some(inode));
        self.live = self.live.saturating_add(1);
        Ok(id)
    }

    /// Names an inode of this tree. Counted first, so that it outlives what it may replace.
    pub(crate) fn attach(&mut self, parent: InodeId, name: Name, id: InodeId) {
        self.hold(id);
        let replaced = self.entries_mut(parent).and_then(|here| here.entries.insert(name, id));
        if let Some(replaced) = replaced {
            self.release(replaced);
        }
    }

    /// Counts one more name of an inode: it stays until [`Self::release`].
    pub(crate) fn hold(&mut self, id: InodeId) {
        if let Some(inode) = self.get_mut(id) {
            inode.links = inode.links.saturating_add(1);
        }
    }

    /// Counts one name less of an inode, and drops it, with all that is in it, after the last.
    pub(crate) fn release(&mut self, id: InodeId) {
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            let Some(slot) = self.slots.get_mut(id.index()) else { continue };
            let Some(inode) = slot else { continue };
            inode.links = inode.links.saturating_sub(1);
            if inode.links > 0 {
                continue;
            }
            if let Some(Inode { kind: Kind::Directory(gone), .. }) = slot.take() {
                pending.extend(gone.entries.into_values());
            }
            self.live = self.live.saturating_sub(1);
        }
    }

    /// Takes an inode out of its slot, whatever names it; only for a tree that is taken apart.
    pub(crate) fn take(&mut self, id: InodeId) -> Option<Inode<C>> {
        self.slots.get_mut(id.index())?.take()
    }
}
