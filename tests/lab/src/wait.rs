//! Waiting for what will come, with a deadline that only a fault can meet.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the answer is yes.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        if Instant::now() > end {
            bail!("waited {} s in vain: {what}", DEADLINE.as_secs());
        }
        sleep(PAUSE);
    }
    Ok(())
}
