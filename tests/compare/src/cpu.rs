//! CPUs: which ones processes run on, and how long one of them was busy.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// The CPUs that this process may use.
pub fn available() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot tell which CPUs to use")?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// Puts this thread, and all threads and processes it starts from now on, on these CPUs.
pub fn pin(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu).with_context(|| format!("there is no CPU {cpu}"))?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("cannot run on CPU {cpus:?} alone"))
}

/// A CPU's clocks at one moment.
pub struct Reading {
    pub wall: Instant,
    /// Time in which the CPU did nothing for us: idle, or taken away by the hypervisor.
    away: Duration,
}

impl Reading {
    pub fn take(cpu: usize) -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let away = away(&stat, cpu).with_context(|| format!("/proc/stat has no cpu{cpu}"))?;
        Ok(Self { wall: Instant::now(), away })
    }

    /// Wall time less what the CPU was away. The kernel keeps idle and steal by the
    /// clock; user, system and softirq it samples, at ticks that bursts by the
    /// millisecond fall in step with.
    pub fn busy_since(&self, before: &Self) -> Duration {
        (self.wall - before.wall).saturating_sub(self.away.saturating_sub(before.away))
    }
}

fn away(stat: &str, cpu: usize) -> Option<Duration> {
    let name = format!("cpu{cpu}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name))?;
    let field = |number: usize| line.split_whitespace().nth(number)?.parse::<u64>().ok();
    let [idle, iowait, steal] = [field(4)?, field(5)?, field(8)?];
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(Duration::from_secs_f64((idle + iowait + steal) as f64 / per_second as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  9 9 9 9 9 9 9 9 0 0\n\
                        cpu1 10 0 20 3000 40 0 5 600 0 0\n\
                        cpu10 1 1 1 100 0 0 0 0 0 0\nintr 5\n";

    #[test]
    fn away_is_idle_iowait_and_steal() {
        let ticks = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap() as f64;
        let seconds = |cpu| away(STAT, cpu).unwrap().as_secs_f64() * ticks;
        assert_eq!((seconds(1).round(), seconds(10).round()), (3640.0, 100.0));
        assert_eq!(away(STAT, 2), None);
    }

    #[test]
    fn busy_is_what_is_left_of_the_wall() {
        let wall = Instant::now();
        let before = Reading { wall, away: Duration::from_secs(5) };
        let after =
            Reading { wall: wall + Duration::from_secs(2), away: Duration::from_millis(6500) };
        assert_eq!(after.busy_since(&before), Duration::from_millis(500));
    }
}
