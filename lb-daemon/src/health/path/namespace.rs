//! A network namespace of the prober's own, with a thread that lives in it.
//!
//! It has no name: it lasts as long as the thread, and goes with the process,
//! however that ends, and what is in it goes, too.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::mpsc,
    thread,
};

use nix::sched::{CloneFlags, unshare};
use tokio::{
    runtime::{self, Handle, Runtime},
    sync::oneshot,
};

use crate::capability::give_up_sys_admin;

/// What runs on its thread sees its network; sockets made there stay there.
#[derive(Debug)]
pub struct Namespace {
    runtime: Handle,
    descriptor: OwnedFd,
    /// The thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Namespace {
    /// Takes CAP_SYS_ADMIN.
    pub fn make() -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::Builder::new().name("path-probes".into()).spawn(move || match enter() {
            Ok((runtime, descriptor)) => {
                let (stop, stopped) = oneshot::channel();
                let made = Self { runtime: runtime.handle().clone(), descriptor, _stop: stop };
                // Nobody waits for it any more: it ends at once.
                let _ = sender.send(Ok(made));
                let _ = runtime.block_on(stopped);
            }
            Err(error) => drop(sender.send(Err(error))),
        })?;
        receiver.recv().unwrap_or_else(|_| Err(io::Error::other("its thread has ended")))
    }

    /// To run tasks inside.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Calls a function inside, and waits for it.
    pub fn call<T: Send + 'static>(
        &self,
        function: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.runtime.spawn(async move { drop(sender.send(function())) });
        receiver.recv().unwrap_or_else(|_| Err(io::Error::other("its thread has ended")))
    }
}

fn enter() -> io::Result<(Runtime, OwnedFd)> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    give_up_sys_admin()?;
    let descriptor = File::open("/proc/thread-self/ns/net")?.into();
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok((runtime, descriptor))
}
