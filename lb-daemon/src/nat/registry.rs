//! Where the control loop, the sweeper and those who ask for flows meet. Every
//! lock is held for the copy of a pointer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Census, Directory, NatTables};

#[derive(Debug)]
pub struct Registry {
    tables: Mutex<Arc<NatTables>>,
    directory: Mutex<Arc<Directory>>,
    census: Mutex<Arc<Census>>,
}

/// Nothing is done under a lock that could fail half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub fn new(tables: NatTables, directory: Directory) -> Self {
        Self {
            tables: Mutex::new(Arc::new(tables)),
            directory: Mutex::new(Arc::new(directory)),
            census: Mutex::default(),
        }
    }

    pub fn tables(&self) -> Arc<NatTables> {
        lock(&self.tables).clone()
    }

    /// The maps are others now.
    pub fn set_tables(&self, tables: NatTables) {
        *lock(&self.tables) = Arc::new(tables);
    }

    pub fn directory(&self) -> Arc<Directory> {
        lock(&self.directory).clone()
    }

    pub fn set_directory(&self, directory: Directory) {
        *lock(&self.directory) = Arc::new(directory);
    }

    pub fn census(&self) -> Arc<Census> {
        lock(&self.census).clone()
    }

    pub fn set_census(&self, census: Census) {
        *lock(&self.census) = Arc::new(census);
    }
}
