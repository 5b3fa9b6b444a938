//! `--keep`: how to play with the hosts.

use anyhow::Result;
use lb_test_lab::Lab;

use super::config::{DNS, WEB};
use crate::sh;

pub fn explain(lab: &Lab) -> Result<()> {
    let teardown = lab.keep()?;
    let client = format!("nsenter --net=/run/netns/{}", lab.client.namespace);
    let daemon = format!("{} --instance {}", lab.tools.daemon.display(), lab.name);
    sh::heading("The hosts stay up");
    sh::say("a client's request:");
    sh::say(&format!("  {client} curl http://{}/", WEB));
    sh::say(&format!("  {client} dig +short @{} whoami.lab TXT", DNS));
    sh::say("statistics, every second:");
    sh::say(&format!("  {daemon} stats --watch"));
    sh::say("edit the file, then apply it:");
    sh::say(&format!("  {}", lab.file("lb.yaml").display()));
    sh::say(&format!("  {daemon} reload"));
    sh::say("a backend that fails: stop its servers with");
    sh::say(&format!("  kill $(ip netns pids {})", lab.backends[0].namespace));
    sh::say("the daemon's and the servers' logs are in");
    sh::say(&format!("  {}", lab.dir().display()));
    sh::say("remove all of it:");
    sh::say(&format!("  cargo xtask demo --clean      (or: {teardown})"));
    Ok(())
}
