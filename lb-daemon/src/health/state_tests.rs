use super::*;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn machine(state: State) -> Machine {
    Machine::new(state, 2, 3, SECOND)
}

/// Feeds outcomes written as letters: w(orks), f(ails), g(one), n(ot made).
fn feed(machine: &mut Machine, outcomes: &str) -> Vec<State> {
    let now = Instant::now();
    outcomes.chars().filter_map(|c| machine.observe(&outcome(c), now)).map(|c| c.state).collect()
}

fn outcome(letter: char) -> Outcome {
    match letter {
        'w' => Outcome::Works(Duration::ZERO),
        'f' => Outcome::Fails("no answer".into()),
        'g' => Outcome::Gone("refused".into()),
        'n' => Outcome::NotMade("no descriptors".into()),
        other => panic!("{other}"),
    }
}

#[test]
fn changes_of_state() {
    use State::*;
    for (start, outcomes, expected) in [
        (Unknown, "w", &[][..]),
        (Unknown, "ww", &[Up]),
        (Unknown, "ff", &[]),
        (Unknown, "fff", &[Failing]),
        (Unknown, "ggg", &[Dead]),
        // The row starts again with every success, and with every failure.
        (Up, "ffwffw", &[]),
        (Failing, "wfwfw", &[]),
        (Up, "ffw", &[]),
        // What the last failure of the row says decides.
        (Up, "ggf", &[Failing]),
        (Up, "ffg", &[Dead]),
        // Worse evidence is taken in, less is not.
        (Failing, "gg", &[]),
        (Failing, "ggfgg", &[]),
        (Failing, "ggg", &[Dead]),
        (Up, "fggg", &[Dead]),
        (Up, "fffggg", &[Failing, Dead]),
        (Dead, "ffffff", &[]),
        (Dead, "w", &[]),
        (Dead, "ffww", &[Up]),
        (Failing, "ww", &[Up]),
        (Up, "wwww", &[]),
        // A probe that could not be made neither counts nor ends a row.
        (Up, "nnnnnn", &[]),
        (Up, "ffnf", &[Failing]),
        (Failing, "wnw", &[Up]),
    ] {
        assert_eq!(feed(&mut machine(start), outcomes), expected, "{start:?} {outcomes}");
    }
}

#[test]
fn one_is_enough_when_rise_and_fall_are_one() {
    let mut machine = Machine::new(State::Unknown, 1, 1, SECOND);
    assert_eq!(feed(&mut machine, "wgwf"), [State::Up, State::Dead, State::Up, State::Failing]);
}

#[test]
fn a_failed_neighbour_is_dead_at_once_and_held_down() {
    let (mut machine, start) = (machine(State::Up), Instant::now());
    let change = machine.neighbour_failed(start).unwrap();
    assert_eq!(change.state, State::Dead);
    assert_eq!(machine.neighbour_failed(start), None);
    for _ in 0..5 {
        assert_eq!(machine.observe(&outcome('w'), start + SECOND), None);
    }
    // `fall` intervals later the row of successes starts from nothing.
    let later = start + 3 * SECOND;
    assert_eq!(machine.observe(&outcome('w'), later), None);
    assert_eq!(machine.observe(&outcome('w'), later).unwrap().state, State::Up);
}

#[test]
fn a_restored_state_gives_way_to_a_known_one() {
    let mut fresh = machine(State::Unknown);
    fresh.restore(State::Up);
    assert_eq!(feed(&mut fresh, "ww"), []);
    let mut known = machine(State::Dead);
    known.restore(State::Up);
    assert_eq!(feed(&mut known, "ww"), [State::Up]);
}

#[test]
fn the_reason_names_the_last_failure_and_the_row() {
    let (mut machine, now) = (machine(State::Up), Instant::now());
    let changes: Vec<_> = "fgg".chars().filter_map(|c| machine.observe(&outcome(c), now)).collect();
    assert_eq!(changes[0].reason, "refused (2 failures in a row)");
}

/// Seconds pass, one for each outcome.
fn live(machine: &mut Machine, start: Instant, outcomes: &str) -> Vec<Change> {
    let times = (0u32..).map(|second| start + second * SECOND);
    let observed = outcomes.chars().zip(times).map(|(c, now)| machine.observe(&outcome(c), now));
    observed.flatten().collect()
}

#[test]
fn one_that_flaps_is_held_down_and_says_why() {
    let (mut machine, start) = (machine(State::Up), Instant::now());
    let changes = live(&mut machine, start, "fffwwfffwwfffww");
    assert_eq!(changes.iter().filter(|one| one.state == State::Up).count(), 2);
    let last = changes.last().unwrap();
    assert_eq!(
        last.reason,
        "no answer (3 failures in a row); it went down 3 times in 10 s: it needs 4 \
         successes in a row to be up"
    );
    let now = start + 14 * SECOND;
    let held = machine.held(now).expect("it works");
    assert_eq!((held.falls.times, held.until), (3, now + 2 * SECOND));
    let up = live(&mut machine, now + SECOND, "ww").pop().unwrap();
    assert_eq!(up.state, State::Up);
    assert_eq!(up.reason, "4 successes in a row, since it went down 3 times in 14 s");
    assert_eq!(machine.held(now), None);
}

#[test]
fn one_failure_after_another_day_is_no_flapping() {
    let (mut machine, mut now) = (machine(State::Up), Instant::now());
    for _ in 0..20 {
        let changes = live(&mut machine, now, "fffww");
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert!(!changes[0].reason.contains("went down"), "{changes:?}");
        now += Duration::from_secs(86_400);
    }
}

#[test]
fn failures_while_it_is_down_are_no_further_falls() {
    let mut machine = machine(State::Up);
    let changes = live(&mut machine, Instant::now(), "fffgggwfffwfffwfffwfffww");
    let states: Vec<_> = changes.iter().map(|one| one.state).collect();
    assert_eq!(states, [State::Failing, State::Dead, State::Up]);
}

proptest! {
    /// Whatever happens, a state is entered only on enough evidence.
    #[test]
    fn no_state_without_its_evidence(outcomes in "[wfgn]{0,64}") {
        let (mut machine, now) = (machine(State::Unknown), Instant::now());
        let mut seen = String::new();
        for letter in outcomes.chars() {
            let change = machine.observe(&outcome(letter), now);
            if letter != 'n' { seen.push(letter); }
            match change.map(|c| c.state) {
                Some(State::Up) => prop_assert!(seen.ends_with("ww")),
                Some(State::Failing) => prop_assert!(seen.ends_with('f')),
                Some(State::Dead) => prop_assert!(seen.ends_with('g')),
                Some(State::Unknown) => prop_assert!(false, "nothing becomes unknown"),
                None => {}
            }
            if seen.ends_with("fff") || seen.ends_with("ggg") {
                prop_assert!(matches!(machine.state, State::Failing | State::Dead));
            }
        }
    }
}
