//! A task is made: on the disk, or where there is no place for it, nowhere.

use std::sync::Arc;

use content::{Layout, TaskId};
use sparse::SparseFile;
use sparse::steps::step;

use super::{Inner, Store};
use crate::error::{CreateError, PutError};
use crate::facts::Facts;
use crate::lock::{lock, write};
use crate::task::{Parts, Task};
use crate::{names, recover};

impl Store {
    /// A task, made if it is new. The media type of a task that has none yet is filled in.
    ///
    /// # Errors
    /// If it is cut in another way in the store, or the disk takes nothing.
    pub fn create(
        &self,
        id: TaskId,
        layout: Layout,
        media_type: &str,
    ) -> Result<Arc<Task>, CreateError> {
        if let Some(task) = self.task(&id) {
            return existing(task, layout, media_type);
        }
        let _changing = lock(&self.inner.changing);
        if let Some(task) = self.task(&id) {
            return existing(task, layout, media_type);
        }
        let shared = &self.inner.shared;
        let made = shared.space.check().and_then(|()| {
            self.inner.make(id, layout, media_type).inspect_err(|error| shared.space.learn(error))
        });
        let task = made.map_err(|source| CreateError::Disk { task: id, source })?;
        write(&self.inner.tasks).insert(id, Arc::clone(&task));
        Ok(task)
    }

    /// A task that the disk has no place for: its handle keeps nothing, every piece is refused as
    /// [`PutError::Gone`], and the store does not know it.
    ///
    /// # Errors
    /// If it is cut as no file can be.
    pub fn unkept(
        &self,
        id: TaskId,
        layout: Layout,
        media_type: &str,
    ) -> Result<Arc<Task>, CreateError> {
        let stem = names::stem(&self.inner.folder, &id);
        let file = SparseFile::nowhere(&stem, layout.length(), piece_size(layout));
        let file = file.map_err(|error| CreateError::Disk {
            task: id,
            source: PutError::of_sparse(id, error),
        })?;
        let facts = Facts::new(layout, media_type);
        let store = Arc::downgrade(&self.inner);
        let shared = Arc::clone(&self.inner.shared);
        Ok(Arc::new(Task::unkept(Parts { id, layout, file, facts, last_use: 0, shared, store })))
    }
}

impl Inner {
    fn make(
        self: &Arc<Self>,
        id: TaskId,
        layout: Layout,
        media_type: &str,
    ) -> Result<Arc<Task>, PutError> {
        let stem = names::stem(&self.folder, &id);
        if let Some(folder) = stem.parent() {
            recover::make_folder(folder).map_err(|error| PutError::of_io(folder, error))?;
        }
        let file = SparseFile::create(&stem, layout.length(), piece_size(layout))
            .map_err(|error| PutError::of_sparse(id, error))?;
        let facts = Facts::new(layout, media_type);
        let shared = &self.shared;
        // Without its entry a task is taken in again after a restart, so its loss is no harm.
        let tick = shared.clock.tick();
        let entered =
            shared.index.set_facts(&id, &facts).and_then(|()| shared.index.set_used(&id, tick));
        step("index entry written");
        let parts = Parts {
            id,
            layout,
            file,
            facts,
            last_use: tick,
            shared: Arc::clone(shared),
            store: Arc::downgrade(self),
        };
        let task = Task::new(parts);
        task.log_index(entered);
        Ok(Arc::new(task))
    }
}

fn piece_size(layout: Layout) -> u32 {
    u32::try_from(layout.piece_size().bytes()).unwrap_or(u32::MAX)
}

fn existing(task: Arc<Task>, asked: Layout, media_type: &str) -> Result<Arc<Task>, CreateError> {
    if task.layout() != asked {
        return Err(CreateError::OtherLayout { task: task.id(), stored: task.layout(), asked });
    }
    task.log_index(task.update_facts(|facts| {
        if facts.media_type.is_empty() {
            media_type.clone_into(&mut facts.media_type);
        }
    }));
    task.touch();
    Ok(task)
}
