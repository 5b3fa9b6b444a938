//! `lb-daemon unload`.

use super::{Failure, failure::Code};
use crate::api::{Instance, InstanceLock, LockError, RuntimeDir};

pub fn unload(instance: &Instance) -> Result<(), Failure> {
    // A running daemon would miss what is removed under it.
    let _lock = InstanceLock::acquire(&RuntimeDir::default(), instance).map_err(refusal)?;
    remove(instance)?;
    println!("instance {instance} is unloaded");
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

fn remove(instance: &Instance) -> anyhow::Result<()> {
    anyhow::bail!("{instance}: crate::loader::unload(instance)")
}
