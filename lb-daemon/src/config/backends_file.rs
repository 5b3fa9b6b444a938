//! A service's `backends_file`: a list as under `backends`, checked like it.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    hash::Hash,
    net::IpAddr,
    path::Path,
};

use super::{
    fit::Fit,
    load,
    model::{Backend, Config, Origin, Service},
    problem::Problems,
    ranges, raw,
    report::Report,
    resolve,
    yaml::{self, At, Kind},
};

/// The backends in the file at `path`, which `service` of `config` names.
pub fn read_backends(
    path: &Path,
    config: &Config,
    service: &Service,
) -> Result<Vec<Backend>, Problems> {
    let mut report = Report::new(&path.display().to_string());
    let help = "have it written by whoever names its backends";
    let backends = match load::text(path, help, &mut report) {
        // More likely half a file than the wish to have none.
        Some(text) if says_nothing(&text) => {
            report.whole_file("says nothing", "give [] for no backends");
            Vec::new()
        }
        Some(text) => yaml::build(&text, &mut report)
            .map(|tree| backends(tree.root(), &Fit::new(config), service, &mut report))
            .unwrap_or_default(),
        None => Vec::new(),
    };
    report.outcome(backends)
}

/// But comments.
fn says_nothing(text: &str) -> bool {
    text.lines().map(str::trim_start).all(|line| line.is_empty() || line.starts_with('#'))
}

fn backends(root: At, fit: &Fit, service: &Service, report: &mut Report) -> Vec<Backend> {
    if let Kind::Null = root.kind() {
        report.problem(root, "there is no list of backends", "give [] for none");
        return Vec::new();
    }
    let (typed, names) = raw::backend_entries(root, report);
    for entry in names {
        let message = format!("{} belongs into the configuration file", entry.kind.key());
        report.problem(entry.at, message, "give backends with an address");
    }
    if typed.len() > ranges::BACKENDS.max as usize {
        let message = format!("{} backends are more than {}", typed.len(), ranges::BACKENDS.max);
        report.problem(root, message, "split them between services");
    }
    let (mut names, mut addresses) = (HashMap::new(), HashMap::new());
    let listed = Listed::new(service);
    let mut backends = Vec::new();
    for one in &typed {
        let Some(backend) = resolve::backend(one) else { continue };
        let backend = Backend { origin: Origin::BackendsFile, ..backend };
        let address_at = one.address.as_ref().map_or(root, |address| address.at);
        let name_at = one.name.as_ref().map_or(root, |name| name.at);
        once(&mut names, backend.name.clone(), "backend", name_at, report);
        once(&mut addresses, backend.address, "address", address_at, report);
        listed.meets(&backend, name_at, address_at, report);
        if let Some(why) = fit.refusal(service, &backend) {
            let help = format!("mend the entry, or service {}", service.name);
            report.problem(address_at, why, help);
        }
        backends.push(backend);
    }
    backends
}

fn once<'t, T: Eq + Hash + Display>(
    seen: &mut HashMap<T, At<'t>>,
    item: T,
    what: &str,
    at: At<'t>,
    report: &mut Report,
) {
    if let Some(first) = seen.get(&item) {
        let message = format!("{what} {item} is already at {}", first.position());
        report.problem(at, message, "remove or change one of the two");
    } else {
        seen.insert(item, at);
    }
}

/// Backends of the configuration file.
struct Listed<'s> {
    names: HashSet<&'s str>,
    addresses: HashSet<IpAddr>,
    service: &'s str,
}

impl<'s> Listed<'s> {
    fn new(service: &'s Service) -> Self {
        let listed = || service.backends.iter().filter(|one| one.origin == Origin::Listed);
        Self {
            names: listed().map(|one| one.name.as_str()).collect(),
            addresses: listed().map(|one| one.address).collect(),
            service: &service.name,
        }
    }

    fn meets(&self, backend: &Backend, name_at: At, address_at: At, report: &mut Report) {
        let mut problem = |at, what: &str, item: &dyn Display| {
            let message = format!("{what} {item} is listed in service {} too", self.service);
            report.problem(at, message, "remove it here or there");
        };
        if self.names.contains(backend.name.as_str()) {
            problem(name_at, "backend", &backend.name);
        }
        if self.addresses.contains(&backend.address) {
            problem(address_at, "address", &backend.address);
        }
    }
}
