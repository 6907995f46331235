use super::*;

const ROUTER: u8 = 1;
const SOURCE: u8 = 2;
const TARGET: u8 = 3;
const USER_METHOD: &str = "merge_shard";

fn id(number: u8) -> Principal {
    Principal::from_slice(&[number])
}

/// Writes down messages, one after the other.
#[derive(Default)]
struct Log(Vec<Execution>);

impl Log {
    fn add(&mut self, kind: EventKind, canister: Principal, method: &str, call: Option<Call>) -> &mut Self {
        let number = self.0.len() as u64;
        self.0.push(Execution { number, kind, canister, method: method.to_string(), call });
        self
    }

    /// A call, and the answer to it.
    fn call(&mut self, caller: u8, callee: u8, method: &str, is_bounded: bool) -> &mut Self {
        let number = self.0.len() as u64;
        let (caller, callee) = (id(caller), id(callee));
        let call = Some(Call { number, caller, callee, method: method.to_string(), is_bounded });
        self.add(EventKind::Update, callee, method, call.clone());
        self.add(EventKind::ReplyCallback, caller, "canister_global_timer", call)
    }
}

/// A merge with a client's write in the middle.
fn rehearsal() -> Rehearsal {
    let mut log = Log::default();
    log.add(EventKind::Update, id(ROUTER), USER_METHOD, None);
    log.call(ROUTER, TARGET, "begin_transfer", true).call(ROUTER, SOURCE, "begin_transfer", true);
    log.add(EventKind::Update, id(ROUTER), "put", None).call(ROUTER, SOURCE, "apply", true);
    log.add(EventKind::GlobalTimer, id(SOURCE), "canister_global_timer", None);
    log.call(SOURCE, TARGET, "import_batch", true).call(SOURCE, TARGET, "import_batch", true);
    log.call(ROUTER, SOURCE, "set_roles", true);
    log.call(SOURCE, TARGET, "hand_over", true);
    let ended = log.0.len() as u64;
    log.call(ROUTER, TARGET, "set_roles", true);
    let management = Principal::management_canister();
    let call = Call {
        number: 99,
        caller: id(ROUTER),
        callee: management,
        method: "install_code".to_string(),
        is_bounded: false,
    };
    log.add(EventKind::Management, management, "install_code", Some(call));
    log.add(EventKind::Management, management, "stop_canister", None);
    Rehearsal {
        executions: log.0,
        source: id(SOURCE),
        target: id(TARGET),
        router: id(ROUTER),
        method: USER_METHOD,
        ended,
    }
}

fn plan() -> Plan {
    Plan::new(Kind::Merge, &rehearsal()).expect("nothing is missing")
}

fn find(plan: &Plan, what: &str) -> Step {
    let found = plan.steps.iter().find(|step| step.what == what);
    found.unwrap_or_else(|| panic!("there is no {what}: {:?}", plan.steps)).clone()
}

#[test]
fn messages_for_clients_are_no_steps_and_equal_ones_are_told_apart() {
    let plan = plan();
    let steps: Vec<String> = plan.steps.iter().map(Step::describe).collect();
    let expected = [
        "router: merge_shard",
        "target: begin_transfer",
        "router: answer to begin_transfer",
        "source: begin_transfer",
        "router: answer to begin_transfer (2)",
        "source: timer",
        "target: import_batch",
        "source: answer to import_batch",
        "target: import_batch (2)",
        "source: answer to import_batch (2)",
        "target: hand_over",
        "source: answer to hand_over",
        "target: set_roles",
        "router: answer to set_roles",
        "platform: install_code",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_retirement_differs_only_after_its_transfer() {
    let plan = Plan::new(Kind::Retire, &rehearsal()).expect("nothing is missing");
    let steps: Vec<String> = plan.steps.iter().map(Step::describe).collect();
    assert_eq!(steps, ["target: set_roles", "router: answer to set_roles", "platform: install_code"]);
}

#[test]
fn a_message_without_which_there_is_no_transfer_is_missed() {
    let mut rehearsal = rehearsal();
    rehearsal.executions.retain(|ran| ran.method != "hand_over");
    assert!(Plan::new(Kind::Merge, &rehearsal).is_err_and(|missing| missing.contains("hand_over")));
}

#[test]
fn only_who_runs_a_step_traps_in_it() {
    let plan = plan();
    let step = find(&plan, "import_batch (2)");
    assert!(plan.check(&step, Party::Target, Trouble::Trap).is_ok());
    assert!(plan.check(&step, Party::Source, Trouble::Trap).is_err());
    let of_platform = find(&plan, "install_code");
    assert!(Party::ALL.iter().all(|party| plan.check(&of_platform, *party, Trouble::Trap).is_err()));
}

#[test]
fn only_who_waits_with_a_bound_loses_an_answer() {
    let plan = plan();
    for trouble in [Trouble::ReplyLost, Trouble::UnknownHasRun, Trouble::UnknownRunsLater, Trouble::RequestLost] {
        assert!(plan.check(&find(&plan, "hand_over"), Party::Source, trouble).is_ok());
        assert!(plan.check(&find(&plan, "hand_over"), Party::Router, trouble).is_err());
        assert!(plan.check(&find(&plan, "install_code"), Party::Router, trouble).is_err(), "it waits without one");
        assert!(plan.check(&find(&plan, "answer to hand_over"), Party::Source, trouble).is_err());
        assert!(plan.check(&find(&plan, "timer"), Party::Source, trouble).is_err());
    }
}

#[test]
fn a_transfer_is_cancelled_between_its_name_and_its_end() {
    let plan = plan();
    for party in Party::ALL {
        assert!(plan.check(&find(&plan, "merge_shard"), party, Trouble::Cancel).is_err());
        assert!(plan.check(&find(&plan, "hand_over"), party, Trouble::Cancel).is_ok());
        assert!(plan.check(&find(&plan, "set_roles"), party, Trouble::Cancel).is_err());
    }
}

#[test]
fn shards_go_on_alone_once_the_source_has_begun() {
    let plan = plan();
    let place = |what: &str| plan.steps.iter().position(|step| step.what == what).expect("it is a step");
    assert!(!plan.goes_on_alone(place("begin_transfer")));
    assert!(plan.goes_on_alone(place("answer to begin_transfer (2)")));
}

#[test]
fn whatever_is_not_played_is_counted() {
    let plan = plan();
    let (spots, inapplicable) = plan.spots();
    let all = plan.steps.len() * Party::ALL.len() * Trouble::ALL.len();
    assert_eq!(spots.len() as u64 + inapplicable.values().sum::<u64>(), all as u64);
}
