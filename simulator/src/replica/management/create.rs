//! New canisters, and cycles for existing ones.

use candid::{CandidType, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterSettings, ChangeDetails, CreateCanisterArgs, CreationRecord,
    ProvisionalCreateCanisterWithCyclesArgs, ProvisionalTopUpCanisterArgs,
};

use super::errors::Refusal;
use super::info::{self, origin};
use super::settings::{self, Changes};
use super::{Step, payload};
use crate::replica::state::subnet::{canister_id, canister_number};
use crate::replica::state::{Canister, ManagementCall, Settings, SubnetState};

/// Canisters on one subnet.
const CANISTERS_MAX: usize = 120_000;
/// What `provisional_create_canister_with_cycles` gives unless told otherwise.
const PROVISIONAL_CYCLES_DEFAULT: u128 = 100_000_000_000_000;

/// Creates a canister out of attached cycles, less the fee.
pub(super) fn create_canister(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CreateCanisterArgs = payload::decode(&call.payload)?;
    let required = subnet.config.fees.create_canister();
    if call.cycles < required {
        return Err(Refusal::CreationFee { required, sent: call.cycles });
    }
    let origin = origin(call, args.sender_canister_version);
    let balance = call.cycles - required;
    let id = insert(subnet, call.caller, None, args.settings.unwrap_or_default(), balance, origin)?;
    subnet.ledger.burned += required;
    Ok(Step::reply(payload::encode(&CanisterIdRecord { canister_id: id })).accepting(call.cycles))
}

/// Creates a canister with cycles from nothing (test networks only), at a wished id if there is one.
pub(super) fn provisional_create(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: ProvisionalCreateCanisterWithCyclesArgs = payload::decode(&call.payload)?;
    let amount = match &args.amount {
        Some(amount) => payload::nat_u128(amount)
            .ok_or_else(|| Refusal::Payload(format!("an amount of {amount} cycles does not fit in 128 bits")))?,
        None => PROVISIONAL_CYCLES_DEFAULT,
    };
    let origin = origin(call, args.sender_canister_version);
    let settings = args.settings.unwrap_or_default();
    let mut ledger = subnet.ledger;
    let minted = ledger.mint(amount);
    let id = insert(subnet, call.caller, args.specified_id, settings, minted, origin)?;
    subnet.ledger = ledger;
    Ok(Step::reply(payload::encode(&CanisterIdRecord { canister_id: id })))
}

/// Adds cycles from nothing (test networks only).
pub(super) fn provisional_top_up(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: ProvisionalTopUpCanisterArgs = payload::decode(&call.payload)?;
    let amount = payload::nat_u128(&args.amount)
        .ok_or_else(|| Refusal::Payload(format!("an amount of {} cycles does not fit in 128 bits", args.amount)))?;
    super::canister(subnet, args.canister_id)?;
    let minted = subnet.ledger.mint(amount);
    super::canister_mut(subnet, args.canister_id)?.account.balance += minted;
    Ok(Step::nothing())
}

/// Adds the attached cycles to a canister's balance, whoever calls.
pub(super) fn deposit_cycles(subnet: &mut SubnetState, call: &ManagementCall) -> Result<Step, Refusal> {
    let args: CanisterIdRecord = payload::decode(&call.payload)?;
    super::canister_mut(subnet, args.canister_id)?.account.balance += call.cycles;
    Ok(Step::nothing().accepting(call.cycles))
}

/// Lists the ids in use as ranges, for subnet admins.
pub(super) fn list_canisters(subnet: &SubnetState, caller: Principal) -> Result<Step, Refusal> {
    #[derive(CandidType)]
    struct Range {
        start: Principal,
        end: Principal,
    }
    #[derive(CandidType)]
    struct List {
        canisters: Vec<Range>,
    }
    if !subnet.config.admins.contains(&caller) {
        return Err(Refusal::OnlyAdmins("list_canisters"));
    }
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in subnet.canisters.keys().filter_map(canister_number) {
        match ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
            _ => ranges.push((number, number)),
        }
    }
    let canisters =
        ranges.into_iter().map(|(start, end)| Range { start: canister_id(start), end: canister_id(end) }).collect();
    Ok(Step::reply(payload::encode(&List { canisters })))
}

fn insert(
    subnet: &mut SubnetState,
    caller: Principal,
    specified: Option<Principal>,
    wanted: CanisterSettings,
    balance: u128,
    origin: ic_management_canister_types::ChangeOrigin,
) -> Result<Principal, Refusal> {
    if subnet.canisters.len() >= CANISTERS_MAX {
        return Err(Refusal::TooManyCanisters { subnet: subnet.config.id, canisters_max: CANISTERS_MAX });
    }
    let changes = Changes::parse(wanted)?;
    if let Some(id) = specified {
        check_specified_id(subnet, id)?;
    }
    let mut canister =
        Canister::new(Principal::management_canister(), Settings::new([caller].into()), subnet.time_nanos);
    canister.account.balance = balance;
    let growth = settings::check(subnet, &canister, &changes)?;
    let id = match specified {
        Some(id) => id,
        None => subnet.next_canister_id().ok_or(Refusal::IdsExhausted)?,
    };
    canister.id = id;
    changes.apply(&mut canister);
    growth.reserve(&mut canister);
    let controllers = canister.settings.controllers.iter().copied().collect();
    let environment_variables_hash = changes.environment_hash();
    let creation = ChangeDetails::Creation(CreationRecord { controllers, environment_variables_hash });
    info::record(&mut canister, subnet.time_nanos, origin, creation);
    subnet.canisters.insert(id, canister);
    subnet.touch(id);
    Ok(id)
}

fn check_specified_id(subnet: &SubnetState, id: Principal) -> Result<(), Refusal> {
    if !subnet.in_range(&id) {
        return Err(Refusal::IdElsewhere(format!("Specified CanisterId {id} is not hosted by this subnet.")));
    }
    if subnet.canisters.contains_key(&id) { Err(Refusal::IdTaken(id)) } else { Ok(()) }
}
