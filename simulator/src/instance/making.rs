//! Making a network: keys, ids and ranges of its subnets, then the subnets.

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;
use sha2::{Digest, Sha256};

use super::*;
use crate::replica::certification::{Delegator, Directory, NodeKey, Signer, SubnetEntry};

/// Numbers of canister ids in one range that is given to a subnet.
const RANGE_IDS: u64 = 1 << 20;
/// From where on cycles are reserved for growth, unless [`Instance::set_reservation_threshold`] says otherwise.
const RESERVATION_THRESHOLD_BYTES: u64 = 750 * GIB;
/// The part of the network's randomness that belongs to no subnet.
const NETWORK_PART: u64 = u32::MAX as u64;

impl Instance {
    /// Makes a network.
    ///
    /// # Errors
    /// A text if the configuration has no subnet, two of a kind of which there is one, or a time that is too late.
    pub fn new(config: NetworkConfig) -> Result<Instance, String> {
        check_kinds(&config.subnets)?;
        if let Some(nanos) = config.initial_time_nanos.filter(|nanos| *nanos > TIME_NANOS_MAX) {
            return Err(format!("The initial time {nanos} is beyond {TIME_NANOS_MAX}, the last that can be set."));
        }
        let time_nanos = config.initial_time_nanos.unwrap_or(GENESIS_NANOS);
        let mut ranges_end = u64::MAX;
        let mut plans = Vec::new();
        for (index, spec) in config.subnets.iter().enumerate() {
            let seed = derive(config.seed, "subnet", index as u64);
            let signer = Signer::new(seed);
            let public_key = Arc::new(signer.public_key_der());
            let id = Principal::self_authenticating(public_key.as_slice());
            let allocation = (ranges_end - RANGE_IDS + 1, ranges_end);
            ranges_end -= RANGE_IDS;
            let mut ranges = named_ranges(spec.kind);
            ranges.push(allocation);
            plans.push(Plan { id, kind: spec.kind, seed, signer: Arc::new(signer), public_key, ranges, allocation });
        }
        let root = config.subnets.iter().position(|spec| spec.kind == SubnetKind::Nns).unwrap_or(0);
        let routes = Arc::new(Routes {
            ranges: plans
                .iter()
                .flat_map(|plan| plan.ranges.iter().map(|(first, last)| (*last, (*first, plan.id))))
                .collect(),
            subnets: plans.iter().map(|plan| plan.id).collect(),
        });
        let directory: Arc<Directory> = Arc::new(plans.iter().map(|plan| (plan.id, plan.entry())).collect());
        let delegator = Delegator { signer: plans[root].signer.clone(), directory: directory.clone() };
        let delegator = Arc::new(delegator);
        let mut subnets = Vec::new();
        let mut topology = BTreeMap::new();
        for (index, (spec, plan)) in config.subnets.iter().zip(&plans).enumerate() {
            let nodes = node_count(spec.kind);
            let node_seed = |node| derive(config.seed, &plan.id.to_text(), node as u64);
            let node_keys: Vec<NodeKey> = (0..nodes).map(|node| NodeKey::new(node_seed(node))).collect();
            let node_ids = node_keys.iter().map(|node| node.id).collect();
            let subnet = SubnetConfig {
                id: plan.id,
                kind: spec.kind,
                nodes,
                fees: Fees { nodes, free: spec.cost_schedule == CostSchedule::Free || spec.kind.is_system() },
                limits: match spec.instructions {
                    InstructionProfile::Production if spec.kind.is_system() => InstructionLimits::SYSTEM,
                    InstructionProfile::Production => InstructionLimits::PRODUCTION,
                    InstructionProfile::Benchmarking => InstructionLimits::BENCHMARKING,
                },
                admins: spec.admins.clone(),
                ranges: plan.ranges.clone(),
                allocation: plan.allocation,
                public_key: plan.public_key.clone(),
                root_key: plans[root].public_key.clone(),
                signer: plan.signer.clone(),
                node_keys: Arc::new(node_keys),
                delegator: (index != root).then(|| delegator.clone()),
                directory: directory.clone(),
                routes: routes.clone(),
                memory_bytes_max: MEMORY_BYTES_PER_SUBNET,
                reservation_threshold_bytes: RESERVATION_THRESHOLD_BYTES,
            };
            topology.insert(
                plan.id,
                SubnetTopology {
                    kind: spec.kind,
                    instructions: spec.instructions,
                    cost_schedule: spec.cost_schedule,
                    admins: spec.admins.clone(),
                    seed: plan.seed,
                    canister_ranges: plan.canister_ranges(),
                    node_ids,
                },
            );
            let chance = Chance::new(config.seed, index as u64, config.schedule);
            subnets.push(SubnetState::new(subnet, time_nanos, chance));
        }
        let default = config.subnets.iter().position(|spec| spec.kind == SubnetKind::Application).unwrap_or(0);
        let topology = Topology {
            subnets: topology,
            root_subnet: plans[root].id,
            default_effective_canister_id: canister_id(plans[default].allocation.0),
        };
        Ok(Instance {
            subnets,
            topology,
            routes,
            time_nanos,
            last_round_nanos: time_nanos,
            events: EventLog::default(),
            chance: Chance::new(config.seed, NETWORK_PART, config.schedule),
            skews: BTreeMap::new(),
        })
    }
}

/// A subnet before it is made: all must be known before the first.
struct Plan {
    id: Principal,
    kind: SubnetKind,
    seed: [u8; 32],
    signer: Arc<Signer>,
    public_key: Arc<Vec<u8>>,
    ranges: Vec<(u64, u64)>,
    allocation: (u64, u64),
}

impl Plan {
    fn entry(&self) -> SubnetEntry {
        SubnetEntry { kind: self.kind, public_key: self.public_key.clone(), canister_ranges: self.canister_ranges() }
    }

    fn canister_ranges(&self) -> Vec<(Principal, Principal)> {
        self.ranges.iter().map(|(first, last)| (canister_id(*first), canister_id(*last))).collect()
    }
}

fn derive(seed: u64, purpose: &str, number: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(purpose.as_bytes());
    hash.update(number.to_le_bytes());
    hash.finalize().into()
}

fn check_kinds(specs: &[SubnetSpec]) -> Result<(), String> {
    if specs.is_empty() {
        return Err("SubnetConfigSet must contain at least one subnet".to_string());
    }
    let is_single = |kind: SubnetKind| {
        use SubnetKind::*;
        matches!(kind, Bitcoin | Fiduciary | InternetIdentity | Nns | Sns | TestThresholdKeys)
    };
    for (index, spec) in specs.iter().enumerate() {
        if is_single(spec.kind) && specs[..index].iter().any(|other| other.kind == spec.kind) {
            return Err(format!("There can be only one subnet of kind {:?}", spec.kind));
        }
    }
    Ok(())
}

fn node_count(kind: SubnetKind) -> u32 {
    match kind {
        SubnetKind::Nns => 40,
        SubnetKind::Fiduciary | SubnetKind::Sns | SubnetKind::InternetIdentity | SubnetKind::TestThresholdKeys => 34,
        _ => 13,
    }
}

/// Ranges that subnets of the real network have, beside the one in which ids are given out.
fn named_ranges(kind: SubnetKind) -> Vec<(u64, u64)> {
    match kind {
        SubnetKind::Nns => vec![(0, 6), (8, 0xf_ffff)],
        SubnetKind::InternetIdentity => vec![(7, 7), (0x210_0000, 0x21f_ffff)],
        SubnetKind::Sns => vec![(0x200_0000, 0x20f_ffff)],
        SubnetKind::Fiduciary => vec![(0x230_0000, 0x23f_ffff)],
        SubnetKind::Bitcoin => vec![(0x1a0_0000, 0x1af_ffff)],
        _ => Vec::new(),
    }
}
