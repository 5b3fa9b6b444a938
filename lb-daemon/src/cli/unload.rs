//! `lb-daemon unload`.

use super::{Failure, failure::Code};
use crate::{
    api::{Instance, InstanceLock, LockError, RuntimeDir},
    loader::{self, PinDir, Unloaded},
};

pub fn unload(instance: &Instance) -> Result<(), Failure> {
    // A running daemon would miss what is removed under it.
    let _lock = InstanceLock::acquire(&RuntimeDir::default(), instance).map_err(refusal)?;
    let removed = remove(instance)?;
    if removed.pins == 0 {
        println!("instance {instance} was not loaded");
    } else {
        println!(
            "instance {instance} is unloaded: detached from {} interfaces",
            removed.interfaces.len()
        );
    }
    Ok(())
}

fn refusal(error: LockError) -> Failure {
    match error {
        LockError::Running { .. } => Failure::new(
            Code::Failed,
            "its daemon is running; stop it first (systemctl stop lb-daemon), then unload",
        ),
        LockError::Io { .. } => anyhow::Error::from(error).into(),
    }
}

fn remove(instance: &Instance) -> anyhow::Result<Unloaded> {
    Ok(loader::unload(&PinDir::of_instance(instance.as_str()))?)
}
