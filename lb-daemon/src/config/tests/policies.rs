//! What files say of pools in trouble, and what is said about that.

use super::{
    super::{MinHealthy, OnAllDown, OnBackendDead, Percent, effective_yaml},
    VIP, good, problems, with_service,
};

const WITH_BACKUP: &str = "backends: [{ name: a, address: 10.0.0.1 }, { name: spare, address: \
                           10.0.0.2, backup: true }]\n";
const WITHOUT: &str =
    "backends: [{ name: a, address: 10.0.0.1 }, { name: b, address: 10.0.0.2 }]\n";

#[test]
fn what_holds_unless_the_file_says_otherwise() {
    let config = good(&with_service(&format!("{VIP}{WITH_BACKUP}")));
    let policy = config.services[0].policy;
    assert_eq!(policy.on_all_down, OnAllDown::FailOpen);
    assert_eq!(policy.backup_below, Percent::NONE);
    assert_eq!(policy.min_healthy, MinHealthy::Count(1));
    let backups: Vec<_> = config.services[0].backends.iter().map(|one| one.backup).collect();
    assert_eq!(backups, [false, true]);
}

#[test]
fn what_is_given_is_taken_and_printed() {
    let lines = "on_all_down: backup\nbackup_below: 50%\nmin_healthy: 30%\non_backend_dead: drop";
    let config = good(&with_service(&format!("{VIP}{WITH_BACKUP}{lines}")));
    let service = &config.services[0];
    assert_eq!(service.policy.on_all_down, OnAllDown::Backup);
    assert_eq!(service.policy.backup_below, Percent(50));
    assert_eq!(service.policy.min_healthy, MinHealthy::Share(Percent(30)));
    assert_eq!(service.on_backend_dead, OnBackendDead::Drop);
    let printed = effective_yaml(&config);
    for line in lines.lines().chain(["backup: true"]) {
        assert!(printed.contains(line), "{line} in\n{printed}");
    }
    assert_eq!(good(&printed), config);
}

#[test]
fn what_defaults_say_of_backups_is_for_services_that_have_some() {
    let config = good(&format!(
        "interfaces: [eth0]\ndefaults: {{ mode: dsr, on_all_down: backup, backup_below: 25% }}\n\
         services:\n- {{ name: a, vip: 192.0.2.1, port: 80, {} }}\n\
         - {{ name: b, vip: 192.0.2.2, port: 80, {} }}\n",
        WITHOUT.trim(),
        WITH_BACKUP.trim()
    ));
    let policies: Vec<_> = config
        .services
        .iter()
        .map(|one| (one.policy.on_all_down, one.policy.backup_below))
        .collect();
    let expected = [(OnAllDown::FailOpen, Percent::NONE), (OnAllDown::Backup, Percent(25))];
    assert_eq!(policies, expected);
    assert_eq!(good(&effective_yaml(&config)), config);
}

/// Lines of one service, and what is said about them (without the file's name).
const WRONG: [(&str, &str); 10] = [
    (
        "{WITHOUT}on_all_down: fail-closed",
        "8:18: services[0].on_all_down: fail-closed is not a policy; give fail-open, reject or backup",
    ),
    (
        "{WITHOUT}on_all_down: backup",
        "8:18: services[0].on_all_down: no backend is a backup; give some backends backup: true, or remove on_all_down",
    ),
    (
        "{WITHOUT}backup_below: 50%",
        "8:19: services[0].backup_below: no backend is a backup; give some backends backup: true, or remove backup_below",
    ),
    (
        "{BACKUP}backup_below: 50",
        "8:19: services[0].backup_below: 50 is not a share; give a share of the weight, such as 50%",
    ),
    (
        "{BACKUP}backup_below: 101%",
        "8:19: services[0].backup_below: 101% is not a share; give a share of the weight, such as 50%",
    ),
    (
        "{WITHOUT}min_healthy: 3",
        "8:18: services[0].min_healthy: service web has 2 backends at most: with 3 it is never up; give 2 or less, or a share such as 50%",
    ),
    (
        "{WITHOUT}min_healthy: half",
        "8:18: services[0].min_healthy: half is not a number of backends; give a whole number from 0 to 65504",
    ),
    (
        "{WITHOUT}min_healthy: 050%",
        "8:18: services[0].min_healthy: 050% is not a share; give a number of backends, or a share of them, such as 50%",
    ),
    (
        "backends: [{ name: a, address: 10.0.0.1, backup: yes }]",
        "7:54: services[0].backends[0].backup: yes is not true or false; give true or false",
    ),
    (
        "backends: [{ name: a, address: 10.0.0.1, backup: true }]",
        "3:11: services[0].name: all backends are backups: there is nobody whom they could stand in for; remove backup: true from those that usually serve",
    ),
];

#[test]
fn what_contradicts_itself_is_refused() {
    for (lines, expected) in WRONG {
        let lines = lines.replace("{BACKUP}", WITH_BACKUP).replace("{WITHOUT}", WITHOUT);
        let text = with_service(&format!("{VIP}{lines}"));
        assert_eq!(problems(&text), format!("lb.yaml:{expected}"), "in\n{text}");
    }
}

#[test]
fn who_may_be_found_may_be_a_backup_and_may_be_enough() {
    for lines in [
        "backends: [{ name: a, srv: _http._tcp.a.example }]\non_all_down: backup\nmin_healthy: 64",
        "backends: [{ name: a, dns: a.example, backup: true }]\nbackup_below: 10%",
        "backends: []\nbackends_file: /run/a.yaml\non_all_down: backup",
    ] {
        good(&with_service(&format!("{VIP}{lines}")));
    }
    let lines = "backends: [{ name: a, dns: a.example }]\nmin_healthy: 65";
    let said = problems(&with_service(&format!("{VIP}{lines}")));
    assert!(said.contains("service web has 64 backends at most"), "{said}");
}
