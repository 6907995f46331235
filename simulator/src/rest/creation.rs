//! The JSON that asks for an instance, what of it is refused, and the topology that is answered.
//!
//! What the simulator can't do is refused by name rather than ignored: a test that asks for the ledger should not run
//! without it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Refusal;
use super::gateway::{GatewayConfig, GatewayInfo};
use super::wire::{AutoProgressConfig, RawCanisterId, RawPrincipal, RawPrincipalId, RawTime};
use crate::chance::Schedule;
use crate::instance::{
    CostSchedule, GENESIS_NANOS, InstructionProfile, NetworkConfig, SubnetKind, SubnetSpec, Topology,
};

/// Subnets of one instance.
const SUBNETS_MAX: usize = 64;

#[derive(Debug, Deserialize)]
pub struct InstanceConfig {
    subnet_config_set: RawSubnets,
    pub http_gateway_config: Option<GatewayConfig>,
    state_dir: Option<Value>,
    icp_config: Option<BTreeMap<String, Value>>,
    bitcoind_addr: Option<Value>,
    dogecoind_addr: Option<Value>,
    icp_features: Option<BTreeMap<String, Value>>,
    pub initial_time: Option<InitialTime>,
    mainnet_nns_subnet_id: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub enum InitialTime {
    Timestamp(RawTime),
    AutoProgress(AutoProgressConfig),
}

#[derive(Debug, Default, Deserialize)]
struct RawSubnets {
    nns: Option<RawSubnetSpec>,
    sns: Option<RawSubnetSpec>,
    ii: Option<RawSubnetSpec>,
    fiduciary: Option<RawSubnetSpec>,
    bitcoin: Option<RawSubnetSpec>,
    test_threshold_keys: Option<RawSubnetSpec>,
    #[serde(default)]
    system: Vec<RawSubnetSpec>,
    #[serde(default)]
    application: Vec<RawSubnetSpec>,
    #[serde(default)]
    cloud_engine: Vec<RawSubnetSpec>,
    #[serde(default)]
    verified_application: Vec<RawSubnetSpec>,
}

#[derive(Debug, Deserialize)]
struct RawSubnetSpec {
    state_config: Value,
    instruction_config: RawInstructionConfig,
    subnet_admins: Option<Vec<RawPrincipalId>>,
    #[serde(default)]
    cost_schedule: RawCostSchedule,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum RawInstructionConfig {
    Production,
    Benchmarking,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum RawCostSchedule {
    #[default]
    Normal,
    Free,
}

#[derive(Debug, Serialize)]
pub enum CreateInstanceResponse {
    Created { instance_id: u64, topology: RawTopology, http_gateway_info: Option<GatewayInfo> },
    Error { message: String },
}

#[derive(Debug, Serialize)]
pub struct RawTopology {
    /// By the text of the subnet's principal.
    subnet_configs: BTreeMap<String, RawSubnetConfig>,
    default_effective_canister_id: RawCanisterId,
}

#[derive(Debug, Serialize)]
struct RawSubnetConfig {
    subnet_kind: &'static str,
    subnet_admins: Option<Vec<RawPrincipalId>>,
    cost_schedule: RawCostSchedule,
    subnet_seed: [u8; 32],
    instruction_config: RawInstructionConfig,
    canister_ranges: Vec<RawRange>,
}

#[derive(Debug, Serialize)]
struct RawRange {
    start: RawCanisterId,
    end: RawCanisterId,
}

impl InstanceConfig {
    /// Describes a live instance with one application subnet and a gateway at `port`.
    pub fn live(ip_addr: IpAddr, port: u16) -> Self {
        let subnet = RawSubnetSpec {
            state_config: Value::from("New"),
            instruction_config: RawInstructionConfig::Production,
            subnet_admins: None,
            cost_schedule: RawCostSchedule::Normal,
        };
        let gateway = GatewayConfig {
            ip_addr: Some(ip_addr.to_string()),
            port: Some(port),
            forward_to: None,
            domains: None,
            https_config: None,
            domain_custom_provider_local_file: None,
        };
        Self {
            subnet_config_set: RawSubnets { application: vec![subnet], ..RawSubnets::default() },
            http_gateway_config: Some(gateway),
            state_dir: None,
            icp_config: None,
            bitcoind_addr: None,
            dogecoind_addr: None,
            icp_features: None,
            initial_time: Some(InitialTime::AutoProgress(AutoProgressConfig { artificial_delay_ms: None })),
            mainnet_nns_subnet_id: None,
        }
    }

    /// Checks the configuration and turns it into that of a network.
    ///
    /// # Errors
    /// `Bad` naming what is not supported or against the rules.
    pub fn network(self, seed: u64, schedule: Schedule) -> Result<NetworkConfig, Refusal> {
        self.refuse_unsupported().map_err(Refusal::Bad)?;
        let initial_time_nanos = match self.initial_time {
            Some(InitialTime::Timestamp(time)) if time.nanos_since_epoch < GENESIS_NANOS => {
                let given = time.nanos_since_epoch;
                return Err(Refusal::Bad(format!("The initial time {given} ns is before {GENESIS_NANOS} ns.")));
            }
            Some(InitialTime::Timestamp(time)) => Some(time.nanos_since_epoch),
            Some(InitialTime::AutoProgress(_)) | None => None,
        };
        let subnets = self.subnet_config_set.specs().map_err(Refusal::Bad)?;
        Ok(NetworkConfig { subnets, initial_time_nanos, seed, schedule })
    }

    fn refuse_unsupported(&self) -> Result<(), String> {
        let flags = [
            ("state_dir", self.state_dir.is_some()),
            ("bitcoind_addr", self.bitcoind_addr.is_some()),
            ("dogecoind_addr", self.dogecoind_addr.is_some()),
            ("mainnet_nns_subnet_id", self.mainnet_nns_subnet_id == Some(true)),
        ];
        if let Some((name, _)) = flags.iter().find(|(_, asked)| *asked) {
            return Err(format!("The simulator does not support `{name}`."));
        }
        if let Some((name, _)) = self.icp_features.iter().flatten().find(|(_, value)| !value.is_null()) {
            return Err(format!("The simulator does not have the ICP feature `{name}`."));
        }
        for (name, value) in self.icp_config.iter().flatten().filter(|(_, value)| !value.is_null()) {
            // What the simulator does anyway. Limits on the length of function names are not simulated at all.
            let usual = match name.as_str() {
                "beta_features" => "Disabled",
                "canister_execution_rate_limiting" => "Enabled",
                "function_name_length_limits" => continue,
                _ => return Err(format!("The simulator does not know the ICP setting `{name}`.")),
            };
            if value != usual {
                return Err(format!("The simulator does not support `{name}` other than `{usual}`."));
            }
        }
        Ok(())
    }
}

impl RawSubnets {
    fn specs(self) -> Result<Vec<SubnetSpec>, String> {
        let named = [
            (SubnetKind::Nns, self.nns),
            (SubnetKind::Sns, self.sns),
            (SubnetKind::InternetIdentity, self.ii),
            (SubnetKind::Fiduciary, self.fiduciary),
            (SubnetKind::Bitcoin, self.bitcoin),
            (SubnetKind::TestThresholdKeys, self.test_threshold_keys),
        ];
        let unnamed = [
            (SubnetKind::System, self.system),
            (SubnetKind::Application, self.application),
            (SubnetKind::CloudEngine, self.cloud_engine),
            (SubnetKind::VerifiedApplication, self.verified_application),
        ];
        let named = named.into_iter().filter_map(|(kind, spec)| Some((kind, spec?)));
        let unnamed = unnamed.into_iter().flat_map(|(kind, specs)| specs.into_iter().map(move |spec| (kind, spec)));
        let specs: Vec<SubnetSpec> =
            named.chain(unnamed).map(|(kind, raw)| raw.spec(kind)).collect::<Result<_, String>>()?;
        match specs.len() {
            0 => Err("An instance needs at least one subnet.".to_string()),
            1..=SUBNETS_MAX => Ok(specs),
            count => Err(format!("An instance may have {SUBNETS_MAX} subnets, not {count}.")),
        }
    }
}

impl RawSubnetSpec {
    fn spec(self, kind: SubnetKind) -> Result<SubnetSpec, String> {
        let name = kind_name(kind);
        if self.state_config != "New" {
            return Err(format!("The {name} subnet can only be new: the simulator keeps no states."));
        }
        let free = self.cost_schedule == RawCostSchedule::Free;
        let rentable = matches!(kind, SubnetKind::Application | SubnetKind::CloudEngine);
        if !rentable && (free || self.subnet_admins.is_some()) {
            return Err(format!("The {name} subnet can have neither admins nor another cost schedule."));
        }
        if !free && (self.subnet_admins.is_some() || kind == SubnetKind::CloudEngine) {
            return Err(format!("The {name} subnet must have the cost schedule `Free`."));
        }
        let admins = self.subnet_admins.unwrap_or_default().into_iter().map(|admin| admin.principal_id.0).collect();
        let instructions = match self.instruction_config {
            RawInstructionConfig::Production => InstructionProfile::Production,
            RawInstructionConfig::Benchmarking => InstructionProfile::Benchmarking,
        };
        let cost_schedule = if free { CostSchedule::Free } else { CostSchedule::Normal };
        Ok(SubnetSpec { kind, instructions, cost_schedule, admins })
    }
}

impl From<Topology> for RawTopology {
    fn from(topology: Topology) -> Self {
        let canister = |id| RawCanisterId { canister_id: RawPrincipal(id) };
        let configs = topology.subnets.into_iter().map(|(id, subnet)| {
            let admins = subnet.admins.into_iter().map(|id| RawPrincipalId { principal_id: RawPrincipal(id) });
            let admins: Vec<_> = admins.collect();
            let ranges = subnet.canister_ranges.into_iter();
            let config = RawSubnetConfig {
                subnet_kind: kind_name(subnet.kind),
                subnet_admins: (!admins.is_empty()).then_some(admins),
                cost_schedule: match subnet.cost_schedule {
                    CostSchedule::Normal => RawCostSchedule::Normal,
                    CostSchedule::Free => RawCostSchedule::Free,
                },
                subnet_seed: subnet.seed,
                instruction_config: match subnet.instructions {
                    InstructionProfile::Production => RawInstructionConfig::Production,
                    InstructionProfile::Benchmarking => RawInstructionConfig::Benchmarking,
                },
                canister_ranges: ranges.map(|(a, z)| RawRange { start: canister(a), end: canister(z) }).collect(),
            };
            (id.to_text(), config)
        });
        Self {
            subnet_configs: configs.collect(),
            default_effective_canister_id: canister(topology.default_effective_canister_id),
        }
    }
}

/// The name of a kind of subnet on the wire.
fn kind_name(kind: SubnetKind) -> &'static str {
    match kind {
        SubnetKind::Application => "Application",
        SubnetKind::Bitcoin => "Bitcoin",
        SubnetKind::CloudEngine => "CloudEngine",
        SubnetKind::Fiduciary => "Fiduciary",
        SubnetKind::InternetIdentity => "II",
        SubnetKind::Nns => "NNS",
        SubnetKind::Sns => "SNS",
        SubnetKind::System => "System",
        SubnetKind::TestThresholdKeys => "TestThresholdKeys",
        SubnetKind::VerifiedApplication => "VerifiedApplication",
    }
}
